"""The commands with an issuer, whose metadata names the token endpoint."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
import requests
from command_line import forget_settings, runner

from clientcreds_requests.testing import Answer

POST, BASIC = "client_secret_post", "client_secret_basic"


class Issuer(ThreadingHTTPServer):
    """Serves metadata at any address; None: there is none."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.metadata: dict | None = {"issuer": self.url}


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        metadata = self.server.metadata
        body = json.dumps(metadata).encode()
        self.send_response(404 if metadata is None else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def issuer(server) -> Iterator[Issuer]:
    with Issuer() as running:
        running.metadata["token_endpoint"] = server.token_endpoint
        running.metadata["token_endpoint_auth_methods_supported"] = [POST, BASIC]
        thread = Thread(target=running.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def environment(server, issuer, monkeypatch):
    forget_settings(monkeypatch)
    monkeypatch.setenv("CLIENTCREDS_CLIENT_SECRET", server.client_secret)
    monkeypatch.setenv("CLIENTCREDS_CLIENT_ID", server.client_id)


@pytest.fixture
def run(server, capsys):
    return runner(server, capsys)


def test_token_asks_where_the_metadata_says(server, issuer, run):
    result = run("token", "--issuer", issuer.url, "--scope", "a")
    assert (result.status, result.err) == (0, "")
    assert result.out == f"{server.tokens[0].access_token}\n"


def test_the_issuer_may_come_from_the_environment(server, issuer, run, monkeypatch):
    monkeypatch.setenv("CLIENTCREDS_ISSUER", issuer.url)
    assert run("token").status == run("check").status == 0


def test_token_says_in_one_line_that_there_is_no_metadata(issuer, run):
    issuer.metadata = None
    result = run("token", "--issuer", issuer.url)
    assert (result.status, result.out) == (1, "")
    assert result.err.count("\n") == 1


@pytest.mark.parametrize("command", ["token", "check"])
def test_an_issuer_that_is_no_https_url_is_a_bad_argument(run, command):
    for issuer in ("nowhere", "http://issuer.test"):
        result = run(command, "--issuer", issuer)
        assert (result.status, result.out) == (2, "")
        assert result.err.startswith("bad argument: ")


def test_check_shows_the_metadata_first_and_pastes_from_issuer(server, issuer, run, monkeypatch):
    result = run("check", "--issuer", issuer.url, "--scope", "api:read")
    assert (result.status, result.err) == (0, "")
    lines = result.out.splitlines()
    assert lines[:4] == [
        f"token endpoint  {server.token_endpoint}",
        "client_auth     client_secret_post, client_secret_basic",
        "",
        "body  client_auth          scope     status  answer",
    ]
    assert result.python.splitlines()[2:] == [
        "from clientcreds_requests import ClientCredentialsAuth",
        "",
        "auth = ClientCredentialsAuth.from_issuer(",
        f'    "{issuer.url}",',
        '    "my-service",',
        '    os.environ["CLIENT_SECRET"],',
        '    scope="api:read",',
        ")",
    ]
    assert pasted_asks_once(server, result, monkeypatch)


def pasted_asks_once(server, result, monkeypatch) -> bool:
    auth = result.auth(monkeypatch, server.client_secret)
    server.reset_records()
    assert requests.get(server.api_url, auth=auth, timeout=20).ok
    return [request.path for request in server.token_requests] == ["/token"]


def test_an_issuer_that_lists_basic_alone_gets_basic_though_post_works(
    server, issuer, run, monkeypatch
):
    issuer.metadata["token_endpoint_auth_methods_supported"] = [BASIC]
    result = run("check", "--issuer", issuer.url)
    assert "client_auth     client_secret_basic\n" in result.out
    assert "ClientCredentialsAuth.from_issuer(" in result.python
    assert "client_auth=" not in result.python
    assert pasted_asks_once(server, result, monkeypatch)
    assert "Authorization" in server.token_requests[0].headers


def test_where_from_issuer_would_choose_what_fails_the_endpoint_is_pasted(
    server, issuer, run, monkeypatch
):
    server.methods = {BASIC}  # whatever its metadata says
    result = run("check", "--issuer", issuer.url)
    assert result.status == 0
    assert result.python.splitlines()[4:6] == [
        "auth = ClientCredentialsAuth(",
        f'    "{server.token_endpoint}",',
    ]
    assert '    client_auth="client_secret_basic",\n' in result.python
    assert pasted_asks_once(server, result, monkeypatch)


def test_an_issuer_that_lists_other_methods_gets_the_endpoint_pasted(
    server, issuer, run, monkeypatch
):
    issuer.metadata["token_endpoint_auth_methods_supported"] = ["client_secret_jwt"]
    result = run("check", "--issuer", issuer.url)
    assert "from_issuer" not in result.python
    assert pasted_asks_once(server, result, monkeypatch)


def test_settings_that_from_issuer_cannot_find_out_are_pasted_with_it(
    server, issuer, run, monkeypatch
):
    server.lifetime = 30
    result = run("check", "--issuer", issuer.url, "--timeout", "20")
    assert result.python.endswith(
        "    # A token lives for 30 s only; the default leeway is 20 s.\n"
        "    leeway=7,\n    timeout=20,\n)\n"
    )
    assert pasted_asks_once(server, result, monkeypatch)


def test_check_says_in_one_line_that_there_is_no_metadata(server, issuer, run):
    issuer.metadata = None
    result = run("check", "--issuer", issuer.url)
    assert (result.status, result.out, result.err.count("\n")) == (2, "", 1)
    assert server.token_requests == []


def test_check_says_that_the_endpoint_of_the_metadata_is_down(issuer, run):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    issuer.metadata["token_endpoint"] = f"http://127.0.0.1:{port}/token"
    result = run("check", "--issuer", issuer.url)
    assert result.status == 2
    last = result.out.splitlines()[-1]
    assert last.startswith(f"token request to http://127.0.0.1:{port}/token failed: ")


def test_check_says_that_the_endpoint_of_the_metadata_refuses_the_client(server, issuer, run):
    server.answer_next(*[Answer(400, {"error": "unauthorized_client"})] * 4)
    result = run("check", "--issuer", issuer.url)
    assert result.status == 1
    assert result.out.endswith("the server does not let this client use this grant_type)\n")
