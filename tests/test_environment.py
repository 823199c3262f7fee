"""Settings from the environment, and secrets from files."""

from __future__ import annotations

import os
import pickle

import pytest
import requests

from clientcreds_requests import (
    ClientCredentialsAuth,
    ClientCredentialsSession,
    ClientSecretBasic,
    TokenError,
)

NAMES = (
    *("TOKEN_ENDPOINT", "ISSUER", "CLIENT_ID", "CLIENT_SECRET", "CLIENT_SECRET_FILE"),
    *("SCOPE", "RESOURCES", "AUDIENCE", "BODY", "CLIENT_AUTH"),
)


@pytest.fixture
def setenv(monkeypatch):
    """Sets variables by their names after the prefix."""
    for name in NAMES:
        monkeypatch.delenv(f"CLIENTCREDS_{name}", raising=False)

    def set_all(prefix="CLIENTCREDS_", **values):
        for name, value in values.items():
            monkeypatch.setenv(prefix + name, value)

    return set_all


@pytest.fixture
def client(server, setenv):
    """The server's client in the environment, by its token endpoint."""
    setenv(
        TOKEN_ENDPOINT=server.token_endpoint,
        CLIENT_ID=server.client_id,
        CLIENT_SECRET=server.client_secret,
    )


@pytest.fixture
def secret_file(tmp_path):
    return tmp_path / "client_secret"


@pytest.mark.usefixtures("client")
def test_url_id_and_secret_are_all_that_is_needed(server):
    assert requests.get(server.api_url, auth=ClientCredentialsAuth.from_env()).ok


@pytest.mark.usefixtures("client")
def test_sessions_are_made_from_it_too(server):
    with ClientCredentialsSession.from_env(base_url=server.api_url) as session:
        assert session.get("data").ok


def test_the_issuer_may_stand_in_for_the_token_endpoint(server, setenv):
    setenv(ISSUER=server.issuer, CLIENT_ID=server.client_id, CLIENT_SECRET=server.client_secret)
    auth = ClientCredentialsAuth.from_env()
    assert server.metadata_requests == []
    assert auth.authorize().authorized
    with ClientCredentialsSession.from_env(base_url=server.api_url) as session:
        assert session.get("data").ok
    assert len(server.metadata_requests) == 2


@pytest.mark.usefixtures("client")
def test_all_that_is_asked_for_can_be_said(server, setenv):
    setenv(
        SCOPE="api:read api:write",
        RESOURCES="https://a.example  urn:b",
        AUDIENCE="https://api.example.com",
        BODY="form",
        CLIENT_AUTH="client_secret_basic",
    )
    ClientCredentialsAuth.from_env().authorize()
    (request,) = server.token_requests
    assert request.params == {
        "grant_type": "client_credentials",
        "scope": "api:read api:write",
        "resource": ["https://a.example", "urn:b"],
        "audience": "https://api.example.com",
    }
    assert request.headers.get_content_type() == "application/x-www-form-urlencoded"
    assert request.headers["Authorization"].startswith("Basic ")


def test_the_prefix_can_be_another(server, setenv):
    setenv(
        "BILLING_",
        TOKEN_ENDPOINT=server.token_endpoint,
        CLIENT_ID=server.client_id,
        CLIENT_SECRET=server.client_secret,
    )
    assert ClientCredentialsAuth.from_env("BILLING_").authorize().authorized
    with pytest.raises(ValueError, match="CLIENTCREDS_TOKEN_ENDPOINT"):
        ClientCredentialsAuth.from_env()


@pytest.mark.usefixtures("client")
def test_arguments_come_before_the_environment(server, setenv):
    setenv(SCOPE="from-the-environment", CLIENT_SECRET="")
    auth = ClientCredentialsAuth.from_env(
        scope="from-the-argument", client_auth=ClientSecretBasic(server.client_secret)
    )
    assert auth.authorize().authorized
    assert server.token_requests[0].params["scope"] == "from-the-argument"


@pytest.mark.usefixtures("client")
def test_a_variable_that_is_empty_is_not_set(server, setenv):
    setenv(SCOPE="", RESOURCES="", AUDIENCE="", BODY="", CLIENT_AUTH="", ISSUER="")
    setenv(CLIENT_SECRET_FILE="")
    ClientCredentialsAuth.from_env().authorize()
    asked = {"grant_type", "client_id", "client_secret"}
    assert server.token_requests[0].params.keys() == asked


# Secrets in files


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=ascii)
@pytest.mark.parametrize("end", ["", "\n", "\r\n"], ids=ascii)
@pytest.mark.usefixtures("client")
def test_the_final_newline_of_a_secret_file_is_dropped(server, setenv, secret_file, mark, end):
    secret_file.write_bytes(f"{mark}{server.client_secret}{end}".encode())
    setenv(CLIENT_SECRET="", CLIENT_SECRET_FILE=str(secret_file))
    assert ClientCredentialsAuth.from_env().authorize().authorized


@pytest.mark.usefixtures("client")
def test_w4_a_secret_file_is_read_for_every_token_request(server, setenv, secret_file):
    secret_file.write_text(server.client_secret)
    setenv(CLIENT_SECRET="", CLIENT_SECRET_FILE=str(secret_file))
    auth = ClientCredentialsAuth.from_env().authorize()
    server.client_secret = "a-rotated-secret"
    secret_file.write_text("a-rotated-secret\n")
    auth.signout()
    assert auth.authorize().authorized
    assert [request.status for request in server.token_requests] == [200, 200]


@pytest.mark.usefixtures("client")
def test_s2_an_auth_with_a_secret_file_can_be_pickled(server, setenv, secret_file):
    secret_file.write_text(server.client_secret)
    setenv(CLIENT_SECRET="", CLIENT_SECRET_FILE=str(secret_file))
    pickled = pickle.dumps(ClientCredentialsAuth.from_env())
    assert server.client_secret.encode() not in pickled
    assert pickle.loads(pickled).authorize().authorized


@pytest.mark.usefixtures("client")
def test_a_secret_file_that_vanishes_is_a_token_error(setenv, server, secret_file):
    secret_file.write_text(server.client_secret)
    setenv(CLIENT_SECRET="", CLIENT_SECRET_FILE=str(secret_file))
    auth = ClientCredentialsAuth.from_env()
    secret_file.unlink()
    with pytest.raises(requests.RequestException, match="client_secret callable raised FileNotFou"):
        auth.authorize()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "not the path of a file"),
        (b"\xff\xfe-s3cr3t", "cannot be read"),
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"s3cr3t\n\n", "control character"),
        (b"s3cr\0et", "control character"),
    ],
)
@pytest.mark.usefixtures("client")
def test_w8_a_secret_file_without_a_secret_is_refused_and_not_quoted(
    setenv, secret_file, content, says
):
    if content is not None:
        secret_file.write_bytes(content)
    setenv(CLIENT_SECRET="", CLIENT_SECRET_FILE=str(secret_file))
    with pytest.raises(ValueError, match=says) as caught:
        ClientCredentialsAuth.from_env()
    assert "CLIENTCREDS_CLIENT_SECRET_FILE" in str(caught.value)
    assert "s3cr" not in repr(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None


@pytest.mark.usefixtures("client")
def test_w8_a_pipe_or_a_folder_is_no_secret_file(setenv, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        setenv(CLIENT_SECRET="", CLIENT_SECRET_FILE=str(path))
        with pytest.raises(ValueError, match="CLIENT_SECRET_FILE is not the path of a file"):
            ClientCredentialsAuth.from_env()


@pytest.mark.usefixtures("client")
def test_w8_a_secret_file_may_have_64_kib_and_not_a_byte_more(server, setenv, secret_file):
    server.client_secret = "x" * 65_536
    secret_file.write_text(server.client_secret)
    setenv(CLIENT_SECRET="", CLIENT_SECRET_FILE=str(secret_file))
    auth = ClientCredentialsAuth.from_env().authorize()
    auth.signout()
    secret_file.write_text("x" * 65_537)
    with pytest.raises(TokenError, match="client_secret callable raised ValueError"):
        auth.authorize()
    with pytest.raises(ValueError, match="CLIENT_SECRET_FILE: a file of more than 65536 bytes"):
        ClientCredentialsAuth.from_env()
    assert len(server.token_requests) == 1


# Bad input


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"TOKEN_ENDPOINT": ""}, "CLIENTCREDS_TOKEN_ENDPOINT and CLIENTCREDS_ISSUER; neither"),
        ({"ISSUER": "https://i"}, "CLIENTCREDS_TOKEN_ENDPOINT and CLIENTCREDS_ISSUER; both"),
        ({"CLIENT_ID": ""}, "CLIENTCREDS_CLIENT_ID is not set"),
        ({"CLIENT_SECRET": ""}, "client_secret is needed"),
        ({"CLIENT_SECRET_FILE": "x"}, "one of CLIENTCREDS_CLIENT_SECRET and CLIENTCREDS_CLIENT_S"),
        ({"BODY": "xml"}, "body must be"),
        ({"CLIENT_AUTH": "none"}, "client_auth must be"),
        ({"RESOURCES": "not-absolute"}, "resources"),
        ({"TOKEN_ENDPOINT": "http://auth.example.com/token"}, "https"),
        ({"TOKEN_ENDPOINT": "", "ISSUER": "https://h/?q"}, "issuer may not have a query"),
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", [ClientCredentialsAuth, ClientCredentialsSession])
@pytest.mark.usefixtures("client")
def test_w8_what_is_missing_or_wrong_is_named(setenv, kind, changes, says):
    setenv(**changes)
    with pytest.raises(ValueError, match=says):
        kind.from_env()


def test_w8_a_prefix_is_a_string():
    with pytest.raises(TypeError, match="prefix"):
        ClientCredentialsAuth.from_env(None)


@pytest.mark.parametrize("name", ["token_endpoint", "client_id", "client_secret"])
@pytest.mark.usefixtures("client")
def test_w8_what_the_environment_says_is_no_option(name):
    with pytest.raises(TypeError, match=f"CLIENTCREDS_{name.upper()} sets it"):
        ClientCredentialsAuth.from_env(**{name: "https://auth.example.com"})


@pytest.mark.usefixtures("client")
def test_w8_bytes_that_are_no_text_are_refused(setenv):
    setenv(CLIENT_ID="caf\udce9")
    with pytest.raises(ValueError, match="client_id is no text"):
        ClientCredentialsAuth.from_env()


@pytest.mark.usefixtures("client")
def test_w8_an_unknown_option_is_a_type_error():
    with pytest.raises(TypeError, match="colour"):
        ClientCredentialsAuth.from_env(colour="red")
