"""The security promises in SECURITY.md: below each are tests, and the tests are there.

Those at the end show what no other file shows.
"""

from __future__ import annotations

import ast
import base64
import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
import requests
from helpers import elsewhere
from pages import ROOT, section

import clientcreds_requests
from clientcreds_requests import ClientCredentialsSession
from clientcreds_requests.testing import Answer

PACKAGE = Path(clientcreds_requests.__file__).parent
SECTION = section(ROOT / ".github" / "SECURITY.md", "## Security promises")
PROMISES = re.findall(r"^- (.*(?:\n  (?!- ).*)*)\n((?:  - .*\n)*)", SECTION, re.MULTILINE)


def unknown(tests: str) -> list[str]:
    """What is named below a promise and is no test; also, that nothing is named."""
    wrong = [] if "`" in tests else ["no test"]
    for name in re.findall(r"`(.*?)`", tests):
        path, _, function = name.partition("::")
        file = ROOT / path
        there = ast.parse(file.read_text(encoding="utf-8")).body if file.is_file() else []
        if function not in {node.name for node in there if isinstance(node, ast.FunctionDef)}:
            wrong.append(name)
    return wrong


def test_the_promises_were_found():
    assert 12 <= len(PROMISES) <= 20
    assert len(PROMISES) == SECTION.count("\n- ")


@pytest.mark.parametrize(("promise", "tests"), PROMISES, ids=lambda text: text[:40])
def test_every_promise_names_tests_that_exist(promise, tests):
    assert promise.endswith(".")
    assert unknown(tests) == []


@pytest.mark.parametrize(
    "tests",
    [
        "",
        "`tests/test_promises.py::test_that_is_not_there`",
        "`tests/test_nowhere.py::test_the_promises_were_found`",
        "`tests/test_promises.py`",
        "`tests/test_promises.py::test_the_promises_were_found`, `test_package.py::test_x`",
    ],
)
def test_a_promise_that_nothing_shows_is_found_out(tests):
    assert unknown(tests) != []


def forms(text: str, client_id: str) -> set[str]:
    """A text as it would look wherever it got to."""
    encoded = [text, quote(text, safe=""), quote_plus(text), json.dumps(text)[1:-1]]
    basic = [f"{client_id}:{form}".encode() for form in encoded]
    return {*encoded, *(base64.b64encode(form).decode().rstrip("=") for form in basic)}


def mentions(request, text, client_id):
    """The parts of a request that hold the text in some form."""
    parts = {"path": request.path, "query": request.query, "body": request.body.decode()}
    parts |= dict(request.headers.items())
    wanted = forms(text, client_id)
    return {name for name, value in parts.items() if any(form in value for form in wanted)}


@pytest.fixture(params=["client_secret_post", "client_secret_basic"])
def eventful(request, server):
    """The server after calls, a renewal, a replay, redirects and refusals; by what method."""
    client = (server.token_endpoint, server.client_id, server.client_secret)
    away = Answer(302, headers={"Location": elsewhere(server.api_url)})
    with ClientCredentialsSession(*client, client_auth=request.param) as session:
        assert session.get(server.api_url).ok
        server.revoke_all()
        assert session.post(server.api_url, data={"a": "1"}).ok
        server.api_answer_next(away)
        assert session.get(server.api_url).status_code == 401
        session.auth.signout()
        server.answer_next(Answer(400, {"error": "invalid_scope"}))
        with pytest.raises(clientcreds_requests.TokenError):
            session.get(server.api_url)
        assert session.get(server.api_url).ok
    return server, request.param


def test_the_secret_goes_to_the_token_endpoint_and_to_nobody_else(eventful):
    server, method = eventful
    place = {"body"} if method == "client_secret_post" else {"Authorization"}
    secret = (server.client_secret, server.client_id)
    assert len(server.token_requests) == 4
    assert len(server.api_requests) == 6
    assert [mentions(request, *secret) for request in server.token_requests] == [place] * 4
    assert [mentions(request, *secret) for request in server.api_requests] == [set()] * 6


def test_a_token_travels_in_the_authorization_header_alone(eventful):
    server, _ = eventful
    assert len(server.tokens) == 3
    for token in server.tokens:
        value = (token.access_token, server.client_id)
        assert not any(mentions(request, *value) for request in server.token_requests)
        places = [mentions(request, *value) for request in server.api_requests]
        assert {"Authorization"} in places
        assert all(place <= {"Authorization"} for place in places)


def test_it_connects_to_the_two_servers_and_to_nobody_else(server):
    program = """
        import socket, sys
        import requests
        connected, looked_up = set(), set()

        def note(event, arguments):
            if event == "socket.connect":
                connected.add(arguments[1][1])
            if event in ("socket.getaddrinfo", "socket.gethostbyname"):
                looked_up.add(arguments[0])

        sys.addaudithook(note)
        from clientcreds_requests import ClientCredentialsAuth
        url, client_id, secret, api = sys.argv[1:]
        auth = ClientCredentialsAuth(url, client_id, secret, leeway=3599, renew_ahead=3600)
        assert not connected
        requests.get(api, auth=auth).raise_for_status()
        assert requests.get(api, auth=auth).history
        auth.signout()
        print(*sorted(connected), *looked_up)
    """
    where = (server.token_endpoint, server.client_id, server.client_secret, server.api_url)
    server.api_answer_next(None, Answer(401))
    output = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), *where],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    ports = sorted(requests.utils.urlparse(url).port for url in (where[0], where[3]))
    assert output.split() == [*map(str, ports), "127.0.0.1"]


def test_nothing_in_the_package_switches_verification_off():
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg in ("verify", "check_hostname"):
                assert not isinstance(node.value, ast.Constant), f"{path.name}: {node.arg}"
            names = {getattr(node, "attr", None), getattr(node, "id", None)}
            assert not names & {"CERT_NONE", "CERT_OPTIONAL", "disable_warnings"}, path.name
            assert not names & {"_create_unverified_context"}, path.name
