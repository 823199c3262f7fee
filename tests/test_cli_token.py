"""The command that prints a token, and where both commands get their settings from."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from command_line import RUN, forget_settings, options_for, runner
from helpers import token_answer, until

from clientcreds_requests import ClientCredentialsAuth
from clientcreds_requests.testing import HANG, RESET, Answer

linux = pytest.mark.skipif(sys.platform != "linux", reason="opens its controlling terminal")


@pytest.fixture(autouse=True)
def environment(server, monkeypatch):
    forget_settings(monkeypatch)
    monkeypatch.setenv("CLIENTCREDS_CLIENT_SECRET", server.client_secret)


@pytest.fixture
def run(server, capsys):
    return runner(server, capsys)


def test_it_prints_the_token_and_nothing_else(server, run):
    result = run("token", *options_for(server))
    assert (result.status, result.err) == (0, "")
    assert result.out == f"{server.tokens[0].access_token}\n"


def test_a_token_that_expires_at_once_is_printed_without_a_warning(server, capfd):
    server.lifetime = 0
    printed = subprocess.run(
        (*RUN, "token", *options_for(server)), capture_output=True, text=True, check=True
    )
    assert (printed.stdout, printed.stderr) == (f"{server.tokens[0].access_token}\n", "")


def test_options_say_what_is_asked_for_and_how(server, run):
    options = ["--scope", "a b", "--resource", "https://x.test", "--resource", "https://y.test"]
    options += ["--audience", "api", "--param", "tenant=t=1", "--param", "region=eu"]
    options += ["--body", "form", "--client-auth", "client_secret_basic", "--timeout", "20"]
    assert run("token", *options_for(server, *options)).status == 0
    (request,) = server.token_requests
    assert request.headers["Authorization"].startswith("Basic ")
    assert request.params == {
        "grant_type": "client_credentials",
        "scope": "a b",
        "resource": ["https://x.test", "https://y.test"],
        "audience": "api",
        "tenant": "t=1",
        "region": "eu",
    }


@pytest.fixture
def settings(server, monkeypatch):
    """All settings in the environment."""
    settings = {
        "TOKEN_ENDPOINT": server.token_endpoint,
        "CLIENT_ID": server.client_id,
        "SCOPE": "a b",
        "RESOURCES": "https://x.test https://y.test",
        "AUDIENCE": "api",
        "BODY": "form",
        "CLIENT_AUTH": "client_secret_basic",
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"CLIENTCREDS_{name}", value)


@pytest.mark.usefixtures("settings")
def test_what_is_not_given_comes_from_the_environment(server, run):
    assert run("token").status == 0
    (request,) = server.token_requests
    assert request.headers["Authorization"].startswith("Basic ")
    assert request.headers.get_content_type() == "application/x-www-form-urlencoded"
    assert request.params == {
        "grant_type": "client_credentials",
        "scope": "a b",
        "resource": ["https://x.test", "https://y.test"],
        "audience": "api",
    }


@pytest.mark.usefixtures("settings")
def test_what_is_given_wins_over_the_environment(server, run, monkeypatch):
    monkeypatch.setenv("CLIENTCREDS_TOKEN_ENDPOINT", "http://127.0.0.1:1/wrong")
    monkeypatch.setenv("CLIENTCREDS_ISSUER", "http://127.0.0.1:1/wrong")
    monkeypatch.setenv("CLIENTCREDS_CLIENT_ID", "another")
    options = ["--scope", "", "--resource", "https://z.test", "--audience", "other"]
    options += ["--body", "json", "--client-auth", "client_secret_post"]
    assert run("token", *options_for(server, *options)).status == 0
    params = server.token_requests[0].params
    assert (params["resource"], params["audience"]) == (["https://z.test"], "other")
    assert params["client_secret"] == server.client_secret
    assert "scope" not in params


def test_an_empty_variable_says_nothing(server, run, monkeypatch):
    for name in ("ISSUER", "SCOPE", "RESOURCES", "AUDIENCE", "BODY", "CLIENT_AUTH"):
        monkeypatch.setenv(f"CLIENTCREDS_{name}", "")
    assert run("token", *options_for(server)).status == 0


def test_without_an_endpoint_it_says_how_to_give_one(run):
    result = run("token", "--client-id", "me")
    assert (result.status, result.out) == (2, "")
    assert result.err == (
        "bad argument: set one of --token-endpoint (CLIENTCREDS_TOKEN_ENDPOINT) and --issuer "
        "(CLIENTCREDS_ISSUER); neither is set\n"
    )


@pytest.mark.usefixtures("settings")
def test_an_endpoint_and_an_issuer_in_the_environment_are_refused(run, monkeypatch):
    monkeypatch.setenv("CLIENTCREDS_ISSUER", "https://issuer.test")
    result = run("token")
    assert result.status == 2
    assert " and --issuer (CLIENTCREDS_ISSUER); both " in result.err


def test_an_endpoint_and_an_issuer_as_options_are_refused(server, run):
    result = run("token", *options_for(server, "--issuer", "https://issuer.test"))
    assert result.status == 2
    assert " and --issuer (CLIENTCREDS_ISSUER); both " in result.err


def test_without_a_client_id_it_says_how_to_give_one(server, run):
    result = run("token", "--token-endpoint", server.token_endpoint)
    assert result.status == 2
    assert result.err == "bad argument: --client-id (CLIENTCREDS_CLIENT_ID) is not set\n"


@pytest.mark.parametrize("command", ["token", "check"])
@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--scope", 'a"'], "scope 'a\"' has characters that RFC 6749"),
        (["--resource", "relative"], "resources: 'relative' is not an absolute URI"),
        (["--timeout", "0"], "timeout must be a finite number of seconds, > 0"),
        (["--param", "scope=x"], "extra_params may not redefine 'scope'"),
        (["--param", "a=1", "--param", "a=2"], "give --param as NAME=VALUE, each NAME once"),
        (["--token-endpoint", "nowhere"], "token_endpoint must be an absolute http or https URL"),
        (["--token-endpoint", "http://x.test"], "clear; use https, or pass --allow-http on a"),
    ],
)
def test_bad_arguments_are_one_line_and_status_2(server, run, command, options, complaint):
    result = run(command, *options_for(server, *options))
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith("bad argument: ")
    assert complaint in result.err
    assert result.err.count("\n") == 1
    assert server.token_requests == []


def test_a_parameter_without_a_name_or_a_value_is_not_repeated(server, run):
    for parameter in ("hunter22", "=hunter22"):
        result = run("token", *options_for(server, "--param", parameter))
        assert result.status == 2
        assert result.err == "bad argument: give --param as NAME=VALUE, each NAME once\n"
        assert "hunter22" not in result.err


@pytest.mark.parametrize("command", ["token", "check"])
@pytest.mark.parametrize(
    "attempt",
    [
        ["--client-secret", "hunter22"],
        ["--client-secret=hunter22"],
        ["--secret", "hunter22"],
        ["--secret=hunter22"],
        ["--secret-fil=hunter22"],
        ["-shunter22"],
        ["--hunter22"],
        ["hunter22"],
        ["--", "hunter22"],
    ],
)
def test_a_secret_as_an_argument_is_refused_and_not_repeated(server, run, command, attempt):
    for arguments in ([command, *options_for(server), *attempt], [*attempt, command]):
        result = run(*arguments)
        assert (result.status, result.out) == (2, "")
        assert "hunter22" not in result.err
        assert "The client secret is never an argument" in result.err
        assert result.err.count("\n") == 1
    assert server.token_requests == []


def test_an_unknown_option_is_named(server, run):
    result = run("token", *options_for(server, "--client-secret=x"))
    assert result.err.startswith("clientcreds-requests: there is no option --client-secret; see")


def test_what_may_be_a_value_is_not_named(server, run):
    result = run("token", *options_for(server, "--secretHunter22"))
    assert result.err.startswith("clientcreds-requests: an argument too many; see")


@pytest.mark.parametrize(("timeout", "deadline"), [("5", 30), ("40", 40)])
def test_a_long_timeout_is_not_cut_short_by_the_deadline(
    server, run, monkeypatch, timeout, deadline
):
    deadlines = []
    get_token = ClientCredentialsAuth.get_token

    def noting(auth):
        deadlines.append(auth.manager.deadline)
        return get_token(auth)

    monkeypatch.setattr(ClientCredentialsAuth, "get_token", noting)
    assert run("token", *options_for(server, "--timeout", timeout)).status == 0
    assert deadlines == [deadline]


@pytest.mark.parametrize("newline", ["", "\n", "\r\n"])
def test_a_secret_file_is_read_without_its_final_newline(
    server, run, tmp_path, monkeypatch, newline
):
    path = tmp_path / "secret"
    path.write_bytes(f"{server.client_secret}{newline}".encode())
    monkeypatch.setenv("CLIENTCREDS_CLIENT_SECRET", "another")
    assert run("token", *options_for(server, "--secret-file", str(path))).status == 0


def test_a_secret_file_may_be_named_by_the_environment(server, run, tmp_path, monkeypatch):
    path = tmp_path / "secret"
    path.write_text(server.client_secret, encoding="utf-8")
    monkeypatch.setenv("CLIENTCREDS_CLIENT_SECRET_FILE", str(path))
    monkeypatch.delenv("CLIENTCREDS_CLIENT_SECRET")
    assert run("token", *options_for(server)).status == 0


def test_two_secrets_in_the_environment_are_refused(server, run, monkeypatch):
    monkeypatch.setenv("CLIENTCREDS_CLIENT_SECRET_FILE", "there")
    result = run("token", *options_for(server))
    assert result.status == 2
    assert result.err == (
        "bad argument: set one of CLIENTCREDS_CLIENT_SECRET and --secret-file "
        "(CLIENTCREDS_CLIENT_SECRET_FILE); both are set\n"
    )


def test_a_secret_file_that_cannot_be_read_is_not_named(server, run, tmp_path, monkeypatch):
    result = run("token", *options_for(server, "--secret-file", "hunter22"))
    assert result.status == 2
    assert result.err.startswith("bad argument: --secret-file (CLIENTCREDS_CLIENT_SECRET_FILE)")
    assert "hunter22" not in result.err
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    monkeypatch.setenv("CLIENTCREDS_CLIENT_SECRET_FILE", str(tmp_path / "bytes"))
    monkeypatch.delenv("CLIENTCREDS_CLIENT_SECRET")
    result = run("token", *options_for(server))
    assert result.status == 2
    assert result.err.startswith("bad argument: --secret-file (CLIENTCREDS_CLIENT_SECRET_FILE)")
    assert "is no text" in result.err


def test_an_unusable_secret_is_refused_and_not_repeated(server, run, tmp_path):
    path = tmp_path / "secret"
    path.write_text("hunter22\nmore", encoding="utf-8")
    for command in ("token", "check"):
        result = run(command, *options_for(server, "--secret-file", str(path)))
        assert result.status == 2
        assert "CLIENTCREDS_CLIENT_SECRET_FILE) has a control character" in result.err
        assert "hunter22" not in result.err


@pytest.mark.parametrize("command", ["token", "check"])
@pytest.mark.parametrize("stdin", [None, "pytest's"])
def test_without_a_secret_and_a_terminal_it_says_where_secrets_come_from(
    server, run, monkeypatch, command, stdin
):
    monkeypatch.delenv("CLIENTCREDS_CLIENT_SECRET")
    if stdin is None:  # as under pythonw
        monkeypatch.setattr(sys, "stdin", None)
    result = run(command, *options_for(server))
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith("no client secret. The client secret is never an argument")
    assert result.err.count("\n") == 1
    for way in ("CLIENTCREDS_CLIENT_SECRET,", "--secret-file", "prompt"):
        assert way in result.err


@linux
@pytest.mark.parametrize(
    ("typed", "status"),
    [
        pytest.param("{secret}\n", 0, id="secret"),
        pytest.param("\x04", 2, id="end of file"),
        pytest.param("\x03", 130, id="interrupt"),
    ],
)
def test_on_a_terminal_it_prompts_for_the_secret(server, monkeypatch, typed, status):
    monkeypatch.delenv("CLIENTCREDS_CLIENT_SECRET")
    keyboard, terminal = os.openpty()
    with subprocess.Popen(
        (sys.executable, "-c", WITH_A_TERMINAL, "token", *options_for(server)),
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as prompting:
        os.close(terminal)
        prompt = b""
        while not prompt.endswith(b"client secret: "):  # before that, what is typed is dropped
            prompt += os.read(keyboard, 100)
        os.write(keyboard, typed.format(secret=server.client_secret).encode())
        out, _ = prompting.communicate(timeout=60)
    shown = prompt + read_all(keyboard)
    assert prompting.returncode == status
    assert server.client_secret.encode() not in shown + out
    lines = out.decode().split("\n")
    if status == 0:
        assert lines == [server.tokens[0].access_token, ""]
    elif status == 2:
        assert lines[1].startswith("no client secret. ")
    else:
        assert lines == ["", "interrupted", ""]


#: getpass asks the controlling terminal, which a new session lacks until it opens one.
WITH_A_TERMINAL = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a job in the background ignores
os.close(os.open(os.ttyname(0), os.O_RDWR))
from clientcreds_requests._cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def read_all(keyboard: int) -> bytes:
    """What is left on a terminal that everybody else has closed."""
    content = b""
    try:
        while part := os.read(keyboard, 1000):
            content += part
    except OSError:  # Linux says the end so
        pass
    os.close(keyboard)
    return content


def test_a_refusal_is_one_line_and_status_1(server, run):
    server.client_secret = "changed"
    result = run("token", *options_for(server))
    assert (result.status, result.out) == (1, "")
    assert result.err == (
        f"token request to {server.token_endpoint} failed with status 401: invalid_client: unknown "
        "client or wrong secret (check client_id, client_secret and client_auth); the answer to "
        "json was no better, and body='form' only skips that attempt\n"
    )


def test_an_endpoint_that_is_down_is_one_line_and_status_1(server, run):
    server.answer_next(*[RESET] * 4)
    result = run("token", *options_for(server))
    assert (result.status, result.out) == (1, "")
    assert result.err.count("\n") == 1


def test_a_body_that_only_the_environment_can_get_wrong_is_a_bad_argument(server, run, monkeypatch):
    monkeypatch.setenv("CLIENTCREDS_BODY", "xml")
    result = run("token", *options_for(server))
    assert result.status == 2
    assert result.err == "bad argument: body must be 'auto', 'json' or 'form'\n"


def test_a_server_that_repeats_the_secret_does_not_get_it_printed(server, run):
    server.answer_next(
        lambda request: Answer(
            400, {"error": "odd", "error_description": request.params["client_secret"]}
        )
    )
    result = run("token", *options_for(server, "--body", "form"))
    assert result.status == 1
    assert "odd: [redacted]" in result.err


@pytest.mark.parametrize("command", ["token", "check"])
def test_an_interrupt_while_it_waits_ends_it_with_status_130(server, command):
    server.answer_next(HANG)
    with subprocess.Popen(
        (*RUN, command, *options_for(server)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as waiting:
        until(lambda: server.token_requests)
        waiting.send_signal(signal.SIGINT)
        out, err = waiting.communicate(timeout=60)
    assert (waiting.returncode, err) == (130, "\ninterrupted\n")
    assert "Python" not in out


def test_it_accepts_a_plain_http_endpoint_elsewhere_when_that_is_allowed(server, run, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", server.url)  # it answers for any host
    server.answer_next(Answer(200, token_answer("abc")))
    elsewhere = ["--token-endpoint", "http://auth.test/token", "--client-id", "me"]
    assert run("token", *elsewhere, "--allow-http").out == "abc\n"


@pytest.mark.parametrize("command", ["token", "check"])
def test_w7_plain_http_through_a_proxy_elsewhere_is_refused_with_the_option_for_it(
    server, run, monkeypatch, command
):
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.invalid:3128")
    result = run(command, *options_for(server))
    assert result.status == {"token": 1, "check": 2}[command]
    said = result.out + result.err
    assert "pass --allow-http on a network you trust\n" in said
    assert "allow_http" not in said


def test_options_stay_out_of_the_environment(server, run):
    before = dict(os.environ)
    options = ["--scope", "a", "--body", "form", "--audience", "b"]
    assert run("token", *options_for(server, *options)).status == 0
    assert run("token", "--client-id", "me").status == 2
    assert dict(os.environ) == before


def test_help_says_where_settings_come_from(run):
    for command in ("token", "check"):
        result = run(command, "--help")
        assert result.status == 0
        for name in ("CLIENTCREDS_TOKEN_ENDPOINT", "CLIENTCREDS_RESOURCES", "--allow-http"):
            assert name in result.out
        assert ("--client-auth" in result.out) == (command == "token")


# Without a secret


@pytest.fixture
def assertion(server, tmp_path):
    """A file with the assertion by which the server knows its client, in every body."""
    text = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ3b3JrbG9hZCJ9.c2lnbmVk"
    (tmp_path / "assertion").write_text(f"{text}\n")

    def check(request):
        if request.params.get("client_assertion") != text:
            return None
        return Answer(200, token_answer(server.issue().access_token))

    server.answer_next(*[check] * 9)
    return str(tmp_path / "assertion")


def test_an_assertion_file_stands_in_for_the_secret(server, run, assertion, monkeypatch):
    monkeypatch.setenv("CLIENTCREDS_CLIENT_SECRET", "not-this-one")
    result = run("token", *options_for(server, "--assertion-file", assertion))
    assert (result.status, result.err) == (0, "")
    assert result.out == f"{server.tokens[0].access_token}\n"
    assert "client_secret" not in server.token_requests[0].params


def test_the_grant_type_is_an_option(server, run):
    server.answer_next(Answer(200, token_answer("an-issued-token")))
    options = ["--grant-type", "account_credentials", "--param", "account_id=a"]
    assert run("token", *options_for(server, *options)).out == "an-issued-token\n"
    params = server.token_requests[0].params
    assert (params["grant_type"], params["account_id"]) == ("account_credentials", "a")


def test_check_finds_out_what_is_accepted_with_an_assertion(server, run, assertion, monkeypatch):
    result = run("check", *options_for(server, "--assertion-file", assertion))
    assert result.status == 0
    assert [row[:2] for row in result.rows] == [["form", "assertion"], ["json", "assertion"]]
    assert f'client_auth=FederatedAssertion(FileToken("{assertion}")),' in result.python
    assert "CLIENT_SECRET" not in result.python
    assert result.auth(monkeypatch, "unused").authorize().authorized


def test_check_says_that_an_assertion_is_rejected(server, run, assertion):
    server._authorization_server.scripts.clear()
    result = run("check", *options_for(server, "--assertion-file", assertion))
    assert result.status == 1
    assert [row[:2] for row in result.rows] == [["form", "assertion"]]
