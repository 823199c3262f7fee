"""The command that finds out what an endpoint accepts: every answer it may meet."""

from __future__ import annotations

import base64
import html
import os
import socket
import subprocess
import sys
from itertools import product
from urllib.parse import quote

import pytest
import requests
from command_line import RUN, Terminal, forget_settings, options_for, runner
from helpers import token_answer, until

from clientcreds_requests._cli.main import main
from clientcreds_requests.testing import HANG, RESET, Answer

POST, BASIC = "client_secret_post", "client_secret_basic"
FORM_POST, FORM_BASIC = "form post", "form basic"
ALL = ["form post", "form basic", "json post", "json basic"]
HTML = {"Content-Type": "text/html; charset=utf-8"}


@pytest.fixture(autouse=True)
def environment(server, monkeypatch):
    forget_settings(monkeypatch)
    monkeypatch.setenv("CLIENTCREDS_CLIENT_SECRET", server.client_secret)


@pytest.fixture
def check(server, capsys, monkeypatch):
    """Runs a check of the server, with further options or another secret."""
    run = runner(server, capsys)

    def run_check(*options, secret=server.client_secret):
        monkeypatch.setenv("CLIENTCREDS_CLIENT_SECRET", secret)
        result = run("check", *options_for(server, *options), secret=secret)
        assert result.err == ""
        return result

    return run_check


@pytest.fixture
def pasted_gets_a_token(server, monkeypatch):
    """Runs the Python that was printed, and returns the one token request it made."""

    def run(result):
        auth = result.auth(monkeypatch, server.client_secret)
        server.reset_records()
        assert requests.get(server.api_url, auth=auth, timeout=20).ok
        (request,) = server.token_requests
        return request

    return run


@pytest.mark.parametrize("scopes", [None, "known", "unknown"])
@pytest.mark.parametrize("methods", [(POST,), (BASIC,), (POST, BASIC)])
@pytest.mark.parametrize("accepts", [("form",), ("json",), ("form", "json")])
def test_it_finds_what_every_server_accepts(
    server, check, pasted_gets_a_token, accepts, methods, scopes
):
    server.accepts, server.methods = set(accepts), set(methods)
    server.scopes = frozenset({"api:read", "api:write"}) if scopes else None
    asked = {None: (), "known": ("--scope", "api:read"), "unknown": ("--scope", "other")}[scopes]
    result = check(*asked)
    assert result.status == 0
    body, method = min(product(accepts, methods), key=lambda way: (way[0], way[1] != POST))
    granted = [row[:3] for row in result.rows if row[4].startswith("token")]
    works = "api:read" if scopes == "known" else "-"
    assert granted[0] == [body, method, works]
    assert {(row[0], row[1]) for row in granted} == set(product(accepts, methods))
    request = pasted_gets_a_token(result)
    assert request.headers.get_content_subtype().removeprefix("x-www-") == {
        "form": "form-urlencoded"
    }.get(body, body)
    assert ("Authorization" in request.headers) == (method == BASIC)
    assert request.params.get("scope", "-") == works


def test_the_table_and_the_python_are_laid_out_as_one_would_write_them(server, check):
    server.scopes, server.methods = frozenset({"api:read"}), {BASIC}
    server.accepts = {"form"}
    assert (
        check("--scope", "api:read").out
        == f"""\
body  client_auth          scope     status  answer
form  client_secret_post   api:read  401     invalid_client: authenticate with: client_secret_basic
form  client_secret_basic  api:read  200     token, expires in 3600 s, scope "api:read"
form  client_secret_basic  -         200     token, expires in 3600 s, scope "api:read"
json  client_secret_post   api:read  400     invalid_request: send a body of: form
json  client_secret_post   -         400     invalid_request: send a body of: form
json  client_secret_basic  api:read  400     invalid_request: send a body of: form
json  client_secret_basic  -         400     invalid_request: send a body of: form

import os

from clientcreds_requests import ClientCredentialsAuth

auth = ClientCredentialsAuth(
    "{server.token_endpoint}",
    "my-service",
    os.environ["CLIENT_SECRET"],
    scope="api:read",
    body="form",
    client_auth="client_secret_basic",
)
"""
    )


def test_all_that_was_asked_for_is_in_the_python(server, check, pasted_gets_a_token):
    options = ["--resource", "https://x.test", "--audience", 'the "api"', "--param", "tenant=it's"]
    result = check(*options, "--timeout", "40")
    assert (
        result.python.split("    os.environ")[1]
        == """["CLIENT_SECRET"],
    resources=[
        "https://x.test",
    ],
    audience='the "api"',
    extra_params={
        "tenant": "it's",
    },
    body="form",
    timeout=40,
    deadline=40,
)
"""
    )
    request = pasted_gets_a_token(result)
    assert request.params["audience"] == 'the "api"'
    assert request.params["tenant"] == "it's"


def test_a_long_list_takes_a_line_for_each_part(check, pasted_gets_a_token):
    uris = [f"https://{letter * 30}.test" for letter in "ab"]
    result = check("--resource", uris[0], "--resource", uris[1])
    assert (
        f"""
    resources=[
        "{uris[0]}",
        "{uris[1]}",
    ],
    body="form",
"""
        in result.python
    )
    assert pasted_gets_a_token(result).params["resource"] == uris


def test_plain_http_elsewhere_is_allowed_in_the_python_too(server, check, monkeypatch):
    assert "allow_http" not in check("--allow-http").python
    monkeypatch.setenv("HTTP_PROXY", server.url)  # it answers for any host
    server.answer_next(*[Answer(200, token_answer("abc")) for _ in ALL])
    result = check("--token-endpoint", "http://auth.test/token", "--allow-http")
    assert '    body="form",\n    allow_http=True,\n)' in result.python
    assert result.auth(monkeypatch, "any").endpoint.url == "http://auth.test/token"


def test_settings_for_how_to_ask_do_not_count(check, monkeypatch):
    monkeypatch.setenv("CLIENTCREDS_BODY", "xml")
    monkeypatch.setenv("CLIENTCREDS_CLIENT_AUTH", "client_secret_jwt")
    assert check().asked == ALL


def test_a_secret_file_is_read_for_it(server, check, tmp_path, monkeypatch):
    path = tmp_path / "secret"
    path.write_text(f"{server.client_secret}\n", encoding="utf-8")
    result = check("--secret-file", str(path), secret="another")
    assert result.status == 0


def test_a_timeout_shorter_than_the_default_is_not_needed(check):
    assert "timeout" not in check("--timeout", "5").python


def test_the_status_is_the_servers_own(server, check):
    server.answer_next(Answer(201, token_answer("abc")))
    assert [row[3] for row in check().rows] == ["201", "200", "200", "200"]


def test_a_refused_scope_without_which_a_token_comes_is_said(server, check):
    server.scopes = frozenset({"a"})
    result = check("--scope", "b")
    assert "invalid_scope: unknown scope" in result.rows[0][4]
    assert '    # The scope "b" was rejected: see the table.\n' in result.python
    assert "scope=" not in result.python


def test_a_way_with_the_scope_comes_before_one_without(server, check, pasted_gets_a_token):
    no = Answer(400, {"error": "invalid_scope"})
    server.answer_next(no, None, no, None)  # a server whose forms lack scopes
    result = check("--scope", "a")
    assert "rejected" not in result.python
    request = pasted_gets_a_token(result)
    assert (request.headers.get_content_subtype(), request.params["scope"]) == ("json", "a")


def test_a_scope_granted_only_in_part_is_said(server, check):
    server.answer_next(Answer(200, token_answer("abc", scope="b c")))
    result = check("--scope", "a b")
    assert 'scope "b c"' in result.rows[0][4]
    assert (
        '    # The scope granted is narrower: see the table.\n    scope="a b",\n' in result.python
    )
    server.answer_next(Answer(200, token_answer("abc", scope="c b a")))
    assert "narrower" not in check("--scope", "a b").out
    server.answer_next(Answer(200, token_answer("abc")))  # RFC 6749 5.1: then it is as asked for
    assert "narrower" not in check("--scope", "a b").out


@pytest.mark.parametrize(("lifetime", "leeway"), [(39, 9), (20, 5), (1, 0)])
def test_a_short_lifetime_comes_with_a_leeway_that_fits(
    server, check, pasted_gets_a_token, monkeypatch, lifetime, leeway
):
    server.lifetime = lifetime
    result = check()
    said = f"    # A token lives for {lifetime} s only; the default leeway is 20 s.\n"
    assert f'    body="form",\n{said}    leeway={leeway},\n)' in result.python
    pasted_gets_a_token(result)


def test_a_lifetime_of_40_seconds_needs_no_leeway(server, check):
    server.lifetime = 40
    assert "leeway" not in check().out


def test_a_token_that_expires_at_once_is_said(server, check):
    server.lifetime = 0
    result = check()
    assert "    # A token expires at once: it serves the calls of one second.\n" in result.python
    assert "leeway" not in result.python


def test_a_lifetime_that_nobody_told_is_said(server, check):
    server.lifetime = None
    result = check()
    assert result.rows[0][4] == "token, no expires_in"
    assert "    # The server does not say how long a token lives: " in result.python
    assert "leeway" not in result.python


def test_wrong_credentials_are_sent_twice_and_no_more(server, check):
    result = check("--scope", "a", secret="not-the-secret")
    assert result.status == 1
    assert result.asked == [FORM_POST, FORM_BASIC]
    assert result.out.endswith(
        "\n\nStopped: id or secret are wrong, and more attempts could lock the client out.\n"
    )
    assert len(server.token_requests) == 2


def test_wrong_credentials_are_known_by_the_status_too(server, check):
    server.answer_next(*[Answer(401) for _ in ALL])
    result = check()
    assert (result.status, len(result.rows)) == (1, 3)
    assert result.rows[0][4] == "(check client_id, client_secret and client_auth)"
    assert "Stopped: " in result.out


def test_wrong_credentials_for_one_method_do_not_stop_it(server, check):
    server.methods = {BASIC}
    assert check().asked == ALL


def decodes_nothing(request) -> Answer:
    """A server that takes id and secret out of Basic as they are."""
    given = request.headers.get("Authorization", "").removeprefix("Basic ")
    plain = b"my-service:" + b"s3cr3t: a+b & c=%64"
    if base64.b64decode(given) == plain:
        return Answer(200, token_answer("unencoded"))
    return Answer(401, {"error": "invalid_client"})


def test_basic_without_encoding_is_found_and_said(server, check, monkeypatch):
    server.answer_next(*[decodes_nothing] * 6)
    result = check()
    assert result.status == 0
    assert [row[1] for row in result.rows] == [POST, BASIC, "basic, not encoded"] * 2
    assert result.python.splitlines()[2:] == [
        "from clientcreds_requests import ClientCredentialsAuth, ClientSecretBasic",
        "",
        "auth = ClientCredentialsAuth(",
        f'    "{server.token_endpoint}",',
        '    "my-service",',
        '    body="form",',
        "    # Without the percent-encoding that RFC 6749 section 2.3.1 asks for.",
        '    client_auth=ClientSecretBasic(os.environ["CLIENT_SECRET"], encode=False),',
        ")",
    ]
    auth = result.auth(monkeypatch, server.client_secret)
    server.reset_records()
    server.answer_next(decodes_nothing)
    assert auth.get_token().access_token == "unencoded"
    assert len(server.token_requests) == 1


def test_basic_without_encoding_is_the_last_choice(server, check, pasted_gets_a_token):
    server.answer_next(*[decodes_nothing] * 3)
    result = check()
    assert [row[3] for row in result.rows] == ["401", "401", "200", "200", "200"]
    assert pasted_gets_a_token(result).headers.get_content_subtype() == "json"


def test_basic_without_encoding_counts_as_an_attempt_with_wrong_credentials(server, check):
    result = check(secret="not: the secret")
    assert (result.status, len(server.token_requests)) == (1, 3)
    assert "Stopped: " in result.out


@pytest.mark.parametrize("client_id", ["my:service", "my-service"])
def test_basic_without_encoding_is_not_tried_where_it_cannot_help(server, check, client_id):
    secret = "not: the secret" if ":" in client_id else "not-the-secret"
    result = check("--client-id", client_id, secret=secret)
    assert result.asked == [FORM_POST, FORM_BASIC]


def test_basic_without_encoding_is_not_tried_where_post_works(server, check):
    server.methods = {POST}
    assert check().asked == ALL


def test_an_endpoint_that_refuses_every_way_ends_it_with_status_1_and_its_reason(server, check):
    server.accepts, server.scopes = {"json"}, frozenset()
    server.answer_next(None, None, None, None, *[Answer(400, {"error": "invalid_scope"})] * 4)
    result = check("--scope", "a")
    assert (result.status, len(result.rows)) == (1, 8)
    assert result.out.endswith(
        f"\n\ntoken request to {server.token_endpoint} failed with status 400: invalid_scope "
        "(check scope)\n"
    )


def test_an_endpoint_that_only_speaks_vaguely_is_quoted_all_the_same(server, check):
    server.answer_next(*[Answer(422, {"detail": [{"loc": "body"}]}) for _ in ALL])
    result = check()
    assert (result.status, result.asked) == (1, ALL)
    assert {row[4] for row in result.rows} == {"no OAuth error, and no token"}
    assert result.out.endswith(
        f"\n\ntoken request to {server.token_endpoint} failed with status 422\n"
    )


def test_an_endpoint_that_is_one_may_say_so_with_any_status(server, check):
    server.answer_next(*[Answer(404, {"error": "unauthorized_client"}) for _ in ALL])
    result = check()
    assert (result.status, result.asked) == (1, ALL)


def test_a_refusal_may_come_with_a_status_of_success(server, check):
    server.answer_next(*[Answer(200, {"error": "no_such_app"}) for _ in ALL])
    result = check()
    assert (result.status, result.asked) == (1, ALL)
    assert result.rows[0][3:] == ["200", "no_such_app"]


def verdict(result) -> str:
    """The line below the table, when there is no token endpoint to be had."""
    assert result.status == 2
    *_, empty, line = result.out.splitlines()
    assert empty == ""
    return line


def test_an_endpoint_that_nobody_listens_at_is_tried_once(check):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    line = verdict(check("--token-endpoint", f"http://127.0.0.1:{port}/token"))
    assert line.startswith(f"token request to http://127.0.0.1:{port}/token failed: ")


@pytest.mark.parametrize("answer", [RESET, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", b"?"])
def test_an_endpoint_that_breaks_off_is_tried_once(server, check, answer):
    server.answer_next(answer)
    assert verdict(check()).startswith(f"token request to {server.token_endpoint} failed: ")
    assert len(server.token_requests) == 1


def test_an_endpoint_that_does_not_answer_in_time_is_tried_once(server, check):
    server.answer_next(HANG)
    assert "failed: " in verdict(check("--timeout", "0.2"))
    assert len(server.token_requests) == 1


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_an_endpoint_that_wants_to_be_left_alone_is(server, check, status):
    server.answer_next(Answer(status, {"error": "slow_down"}, {"Retry-After": "30"}))
    assert verdict(check()) == (
        f"token request to {server.token_endpoint} failed with status {status}: slow_down; try "
        "again in 30 s, as it asks"
    )
    assert len(server.token_requests) == 1
    server.answer_next(Answer(status, "<html>", HTML))
    assert verdict(check()).endswith(f" failed with status {status}; try again later")


def test_a_pause_that_is_asked_for_between_refusals_ends_it_with_status_2(server, check):
    server.answer_next(Answer(400, {"error": "invalid_scope"}), Answer(503))
    result = check()
    assert result.status == 2
    assert [row[3] for row in result.rows] == ["400", "503"]
    assert result.out.endswith(" failed with status 503; try again later\n")


def test_a_pause_that_is_asked_for_after_a_token_leaves_the_token_good(
    server, check, pasted_gets_a_token
):
    server.answer_next(None, Answer(429))
    result = check()
    assert (result.status, len(result.rows)) == (0, 2)
    assert (
        f"Stopped: token request to {server.token_endpoint} failed with status 429; try again "
        "later. What was not tried may work too.\n"
    ) in result.out
    pasted_gets_a_token(result)


@pytest.mark.parametrize("status", [404, 405])
def test_an_address_where_there_is_nothing_is_asked_twice(server, check, status):
    server.answer_next(Answer(status, "<html>"), Answer(status, {"error": "Not Found"}))
    assert verdict(check("--scope", "a")) == (
        f"token request to {server.token_endpoint} failed with status {status} (check the URL of "
        "the token endpoint)"
    )
    assert ways_of(server) == [FORM_POST, "json post"]


def ways_of(server) -> list[str]:
    return [
        f"{'json' if 'json' in request.headers['Content-Type'] else 'form'} "
        f"{'basic' if 'Authorization' in request.headers else 'post'}"
        for request in server.token_requests
    ]


@pytest.mark.parametrize("status", [200, 404])
def test_a_web_page_is_asked_for_twice(server, check, status):
    server.answer_next(*[Answer(status, "<html>", HTML)] * 2)
    result = check("--scope", "a")
    assert "check the URL" in verdict(result)
    assert {row[4] for row in result.rows} == {"HTML, not JSON"}
    assert ways_of(server) == [FORM_POST, "json post"]


@pytest.mark.parametrize("status", [400, 403, 500])
def test_a_web_page_as_an_error_is_no_answer_to_any_way(server, check, status):
    server.answer_next(*[Answer(status, "<html>", HTML)] * 4)
    result = check("--scope", "a")
    assert verdict(result).endswith(f" failed with status {status}; check the URL")
    assert {row[4] for row in result.rows} == {"HTML, not JSON"}
    assert ways_of(server) == ALL


def test_a_web_page_that_asks_for_a_password_is_not_asked_on_and_on(server, check):
    server.answer_next(*[Answer(401, "<html>", HTML)] * 2)
    result = check(secret="plain-secret")
    assert "failed with status 401" in verdict(result)
    assert {row[4] for row in result.rows} == {"HTML, not JSON"}
    assert ways_of(server) == [FORM_POST, FORM_BASIC]


def test_an_error_without_json_is_no_answer(server, check):
    server.answer_next(*[Answer(400, "bad") for _ in ALL])
    assert verdict(check()).endswith(" failed with status 400: bad; check the URL")


def test_an_endpoint_that_always_fails_is_said_to(server, check):
    server.answer_next(*[Answer(500, {"error": "server_error"}) for _ in ALL])
    assert verdict(check()) == (
        f"token request to {server.token_endpoint} failed with status 500: server_error"
    )


def test_a_redirect_is_not_followed_and_said(server, check):
    server.answer_next(*[Answer(302, headers={"Location": "https://login.test/x?y=z"})] * 2)
    assert "it redirects to https://login.test, and" in verdict(check())


def test_an_answer_without_a_token_is_said(server, check):
    server.answer_next(*[Answer(200, {"data": {}})] * 2)
    assert "failed with status 200: " in verdict(check())


def test_what_was_not_read_is_shown_once_something_was(server, check, pasted_gets_a_token):
    server.answer_next(Answer(500, "<html>", HTML), Answer(404), None, None)
    result = check()
    assert [row[3:] for row in result.rows][:2] == [
        ["500", "HTML, not JSON"],
        ["404", "(check the URL of the token endpoint)"],
    ]
    assert pasted_gets_a_token(result).headers.get_content_subtype() == "json"


def echo(status, place):
    """A server that repeats the secret in every form it can think of."""

    def answer(request):
        params = request.params
        secret = params.get("client_secret") or "s3cr3t: a+b & c=%64"
        basic = base64.b64encode(f"my-service:{quote(secret, safe='')}".encode()).decode()
        forms = (secret, html.escape(secret), quote(secret, safe=""), basic)
        said = " | ".join((*forms, request.headers.get("Authorization", "")))
        headers = {"X-Secret": secret, "WWW-Authenticate": said}
        if place == "page":
            return Answer(status, f"<html>{said}</html>", {**HTML, **headers})
        body = {"error": f"odd {said}", "error_description": f"You sent {said}"}
        if place == "scope":
            body = token_answer("the-token-itself", scope=f"{said} the-token-itself")
        return Answer(status, body, headers)

    return answer


@pytest.mark.tells_secrets("the server says in other words what was never sent in these")
@pytest.mark.parametrize("place", ["error", "page", "scope"])
@pytest.mark.parametrize("status", [200, 302, 400, 401, 404, 429, 500])
def test_a_server_that_repeats_secrets_does_not_get_them_printed(server, check, status, place):
    server.answer_next(*[echo(status, place)] * 16)
    out = check("--scope", "a").out
    for form in ("s3cr3t", "a+b", "a%2Bb", "&amp;", "the-token-itself"):
        assert form not in out


@pytest.mark.tells_secrets("the server says in other words what was never sent in these")
def test_what_a_server_says_besides_the_secret_is_shown(server, check):
    server.answer_next(*[echo(400, "error")] * 8)
    result = check("--scope", "a")
    assert result.status == 1
    assert all(row[4].startswith("odd [redacted] | ") for row in result.rows)


def test_a_description_is_one_bounded_line(server, check):
    server.answer_next(
        Answer(400, {"error": "odd", "error_description": "a\n\x1b[31m" + "b" * 9000})
    )
    row = check().rows[0]
    assert row[4].startswith("odd: a [31mbbb")
    assert len(row[4]) < 220


@pytest.fixture
def terminal(monkeypatch):
    """A terminal of some width to run on."""

    def make(width, encoding="utf-8"):
        stream = Terminal(encoding)
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setattr(sys, "stdout", stream)
        return stream

    return make


def test_a_terminal_gets_answers_wrapped_beside_their_head(server, terminal):
    stream = terminal(80)
    server.accepts = {"json"}
    server.answer_next(Answer(400, {"error": "odd", "error_description": "one two three " * 9}))
    assert main(["check", *options_for(server)]) == 0
    lines = stream.text().splitlines()
    assert max(map(len, lines)) < 80
    assert lines[1].startswith("form  client_secret_post   -      400     odd: one two")
    assert lines[2].startswith(" " * 42 + "t")


def test_a_narrow_terminal_gets_answers_below_their_head(server, terminal):
    stream = terminal(50)
    assert main(["check", *options_for(server, "--scope", "api:read api:write api:all")]) == 0
    lines = stream.text().splitlines()[:6]
    assert max(map(len, lines)) < 50
    assert lines[:4] == [
        "body  client_auth          scope         status",
        "      answer",
        "form  client_secret_post   api:read ...  200",
        '      token, expires in 3600 s, scope "api:read',
    ]


def test_a_terminal_of_hardly_any_width_is_no_error(server, terminal):
    stream = terminal(10)
    assert main(["check", *options_for(server)]) == 0
    assert "auth = ClientCredentialsAuth(" in stream.text()


def test_what_an_encoding_lacks_is_escaped_and_the_python_still_runs(server, terminal, monkeypatch):
    stream = terminal(200, "ascii")
    server.clients["d\xfcse \U0001f600"] = server.client_secret
    server.answer_next(Answer(400, {"error": "odd", "error_description": "caf\xe9"}))
    options = [*options_for(server), "--client-id", "d\xfcse \U0001f600"]
    assert main(["check", *options]) == 0
    text = stream.text()
    assert "odd: caf\\xe9" in text
    monkeypatch.setenv("CLIENT_SECRET", server.client_secret)
    names = {}
    exec(text[text.index("import os\n") :], names)
    server.reset_records()
    names["auth"].get_token()
    assert len(server.token_requests) == 1


def test_rows_are_shown_while_it_goes_on_also_in_a_pipe(server, monkeypatch):
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    server.answer_next(None, HANG)
    with subprocess.Popen(
        (*RUN, "check", *options_for(server)), stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout.readline().startswith("body")
        assert running.stdout.readline().startswith("form  client_secret_post")
        until(lambda: len(server.token_requests) == 2)
        assert server.token_requests[1].ended is None
        server.stop()  # which ends the second request, too
        rest = running.stdout.read()
        assert running.wait(timeout=60) == 0
    assert "Stopped: token request to" in rest
    assert rest.endswith("\n)\n")


def test_a_reader_that_leaves_ends_it_without_a_traceback(server, monkeypatch):
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        assert main(["check", *options_for(server)]) == 1
