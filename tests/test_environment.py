"""Settings from the environment, and secrets from files."""

from __future__ import annotations

import os
import pickle

import pytest
import requests
from helpers import token_answer

from clientcreds_requests import (
    ClientCredentialsAuth,
    ClientCredentialsSession,
    ClientSecretBasic,
    TokenError,
)
from clientcreds_requests.testing import Answer

NAMES = (
    *("TOKEN_ENDPOINT", "ISSUER", "CLIENT_ID", "CLIENT_SECRET", "CLIENT_SECRET_FILE"),
    *("SCOPE", "RESOURCES", "AUDIENCE", "BODY", "CLIENT_AUTH", "GRANT_TYPE"),
    "CLIENT_ASSERTION_FILE",
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
def test_an_environment_that_was_replaced_as_a_whole_is_read(monkeypatch):
    monkeypatch.setattr(os, "environ", {**os.environ, "CLIENTCREDS_CLIENT_ID": "another"})
    assert ClientCredentialsAuth.from_env().endpoint.client_id == "another"


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
        (b"\xff\xfe-s3cr3t", "is no text"),
        (b"", "must not be empty"),
        (b"\n", "must not be empty"),
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


@pytest.mark.skipif(not os.path.isfile("/proc/self/mem"), reason="needs a file that fails")
@pytest.mark.usefixtures("client")
def test_w8_a_secret_file_that_cannot_be_read_is_a_value_error_that_names_it(setenv):
    setenv(CLIENT_SECRET="", CLIENT_SECRET_FILE="/proc/self/mem")
    with pytest.raises(ValueError, match=r"CLIENT_SECRET_FILE cannot be read \(OSError\)"):
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
    with pytest.raises(ValueError, match="client_id has a control character, or is no text"):
        ClientCredentialsAuth.from_env()


@pytest.mark.usefixtures("client")
def test_w8_an_unknown_option_is_a_type_error():
    with pytest.raises(TypeError, match="colour"):
        ClientCredentialsAuth.from_env(colour="red")


# Without a secret

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ3b3JrbG9hZCJ9.c2lnbmVk"


@pytest.fixture
def assertion_file(tmp_path):
    path = tmp_path / "assertion"
    path.write_text(f"{JWT}\n")
    return path


@pytest.fixture
def federated(server, setenv, assertion_file):
    """A client that is known by the assertion in a file."""
    setenv(
        TOKEN_ENDPOINT=server.token_endpoint,
        CLIENT_ID=server.client_id,
        CLIENT_ASSERTION_FILE=str(assertion_file),
    )

    def check(request):
        if request.params.get("client_assertion") != assertion_file.read_text().strip():
            return Answer(401, {"error": "invalid_client"})
        return Answer(200, token_answer(server.issue().access_token))

    server.answer_next(*[check] * 9)


@pytest.mark.usefixtures("federated")
@pytest.mark.parametrize("kind", [ClientCredentialsAuth, ClientCredentialsSession])
def test_w4_an_assertion_file_is_read_for_every_token_request(server, assertion_file, kind):
    made = kind.from_env()
    auth = getattr(made, "auth", made)
    auth.authorize()
    assertion_file.write_text(f"{JWT}-rotated\n")
    auth.signout()
    assert auth.authorize().authorized
    assert [r.params["client_assertion"] for r in server.token_requests] == [JWT, f"{JWT}-rotated"]
    assert "client_secret" not in server.token_requests[0].params
    assert JWT.encode() not in pickle.dumps(auth)


@pytest.mark.usefixtures("federated")
def test_an_assertion_file_works_with_an_issuer_too(server, setenv):
    setenv(TOKEN_ENDPOINT="", ISSUER=server.issuer)
    assert ClientCredentialsAuth.from_env().authorize().authorized
    assert server.token_requests[0].params["client_assertion"] == JWT


@pytest.mark.usefixtures("federated")
def test_an_assertion_file_that_vanishes_is_a_token_error_that_names_it(assertion_file):
    auth = ClientCredentialsAuth.from_env()
    assertion_file.unlink()
    with pytest.raises(TokenError, match=f"the file {assertion_file}: there is no such file"):
        auth.authorize()


@pytest.mark.parametrize("other", ["CLIENT_SECRET", "CLIENT_SECRET_FILE", "CLIENT_AUTH"])
@pytest.mark.usefixtures("federated")
def test_w8_an_assertion_file_stands_alone(setenv, assertion_file, other):
    setenv(**{other: str(assertion_file)})
    with pytest.raises(
        ValueError, match=f"set one of CLIENTCREDS_{other} and CLIENTCREDS_CLIENT_A"
    ):
        ClientCredentialsAuth.from_env()


@pytest.mark.usefixtures("federated")
def test_w8_an_assertion_in_place_of_its_file_is_not_quoted(setenv):
    setenv(CLIENT_ASSERTION_FILE=JWT)
    with pytest.raises(ValueError, match="CLIENTCREDS_CLIENT_ASSERTION_FILE is not") as caught:
        ClientCredentialsAuth.from_env()
    assert JWT not in str(caught.value)


@pytest.mark.usefixtures("federated")
def test_arguments_come_before_an_assertion_file(server):
    method = ClientSecretBasic(server.client_secret)
    assert ClientCredentialsAuth.from_env(client_auth=method).endpoint.client_auth is method


@pytest.mark.parametrize("client_id", ["", "me"])
def test_no_client_authentication_needs_no_client_id(server, setenv, client_id):
    setenv(TOKEN_ENDPOINT=server.token_endpoint, CLIENT_ID=client_id, CLIENT_AUTH="none")
    setenv(GRANT_TYPE="urn:ietf:params:oauth:grant-type:jwt-bearer")
    server.answer_next(Answer(200, token_answer("an-issued-token")))
    auth = ClientCredentialsAuth.from_env(extra_params={"assertion": lambda: JWT})
    assert auth.authorize().authorized
    sent = {
        "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "assertion": JWT,
        "client_id": client_id,
    }
    assert server.token_requests[0].params == {name: v for name, v in sent.items() if v}


@pytest.mark.usefixtures("client")
def test_the_grant_type_can_be_another_and_an_argument_comes_before_it(server, setenv):
    setenv(GRANT_TYPE="account_credentials")
    server.answer_next(*[Answer(200, token_answer("an-issued-token"))] * 2)
    ClientCredentialsAuth.from_env(extra_params={"account_id": "a"}).authorize()
    ClientCredentialsAuth.from_env(extra_params={"grant_type": "another"}).authorize()
    grants = [request.params["grant_type"] for request in server.token_requests]
    assert grants == ["account_credentials", "another"]
    assert server.token_requests[0].params["account_id"] == "a"


@pytest.mark.usefixtures("client")
@pytest.mark.parametrize("params", [5, "a=b", [("a", "b")]])
def test_w8_parameters_that_are_no_mapping_are_refused_by_name(setenv, params):
    setenv(GRANT_TYPE="account_credentials")
    with pytest.raises(TypeError, match="extra_params"):
        ClientCredentialsAuth.from_env(extra_params=params)
