"""Tokens of the platform: where they come from, byte by byte, and what can go wrong there."""

from __future__ import annotations

import functools
import os
import pickle
import socket
import subprocess
import sys
import threading
import time

import pytest
from helpers import PATIENCE, locals_in, texts_in, variables_of
from platform_double import PlatformDouble, http_answer

from clientcreds_requests import TokenConnectionError, TokenError, TokenTimeout
from clientcreds_requests.identity import (
    AzureManagedIdentityToken,
    EnvToken,
    FileToken,
    GitHubActionsToken,
    GoogleMetadataToken,
)

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ3b3JrbG9hZCJ9.c2lnbmVk"
PAGE = "<html><body>Sign in to the network</body></html>"
REQUEST_TOKEN = "the-request-token-of-the-runner"
IDENTITY_HEADER = "853b9a84-5bfa-4b22-a3f3-0b9a43d9ad8a"
VARIABLES = (
    *("ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "GCE_METADATA_HOST"),
    *("IDENTITY_ENDPOINT", "IDENTITY_HEADER", "IMDS_ENDPOINT"),
)
# Sent with every request of the package, beside what a platform demands.
OWN_FIELDS = {
    "accept": "application/json",
    "accept-encoding": "identity",
    "connection": "close",
    "user-agent": "clientcreds-requests",
}


@pytest.fixture(autouse=True)
def no_platform(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def double():
    with PlatformDouble() as running:
        yield running


def failure_of(token):
    """The error of a callable that must fail, with nothing secret in anything it leads to."""
    with pytest.raises(TokenError) as caught:
        token()
    error = caught.value
    shown = [*texts_in(error), *(text for _, text in locals_in(error))]
    for secret in (JWT, REQUEST_TOKEN, IDENTITY_HEADER):
        assert not [text for text in shown if secret in text]
    assert "\n" not in str(error)
    return error


def only_request(double):
    """The request line, and the header fields that are not in every request of the package."""
    (request,) = double.lines
    fields = double.fields()
    assert fields.pop("host") == double.host
    assert double.body() == ""
    for name, value in OWN_FIELDS.items():
        assert fields.pop(name) == value
    return request[0], fields


# What a platform is: how to set it up, what is asked for, and what it answers.


def on_github(double, monkeypatch):
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", f"{double.url}/x/token?api-version=2.0")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", REQUEST_TOKEN)
    return GitHubActionsToken("https://auth.example.com/realms/a b", timeout=5), {"value": JWT}


def on_azure_vm(double, monkeypatch):
    url = f"{double.url}/metadata/identity/oauth2/token"
    token = AzureManagedIdentityToken("api://AzureADTokenExchange", url=url, timeout=5)
    return token, {"access_token": JWT, "token_type": "Bearer"}


def on_app_service(double, monkeypatch):
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{double.url}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", IDENTITY_HEADER)
    token = AzureManagedIdentityToken("https://vault.azure.net", client_id="an-id", timeout=5)
    return token, {"access_token": JWT, "expires_on": "1586984735"}


def on_google(double, monkeypatch):
    monkeypatch.setenv("GCE_METADATA_HOST", double.host)
    return GoogleMetadataToken("https://auth.example.com/?a&b", timeout=5), f"{JWT}\n"


PLATFORMS = [on_github, on_azure_vm, on_app_service, on_google]
each_platform = pytest.mark.parametrize("platform", PLATFORMS, ids=lambda p: p.__name__)


@pytest.mark.parametrize(
    ("platform", "line", "fields"),
    [
        (
            on_github,
            "GET /x/token?api-version=2.0"
            "&audience=https%3A%2F%2Fauth.example.com%2Frealms%2Fa+b HTTP/1.1",
            {"authorization": f"bearer {REQUEST_TOKEN}"},
        ),
        (
            on_azure_vm,
            "GET /metadata/identity/oauth2/token"
            "?resource=api%3A%2F%2FAzureADTokenExchange&api-version=2018-02-01 HTTP/1.1",
            {"metadata": "true"},
        ),
        (
            on_app_service,
            "GET /msi/token?resource=https%3A%2F%2Fvault.azure.net&client_id=an-id"
            "&api-version=2019-08-01 HTTP/1.1",
            {"x-identity-header": IDENTITY_HEADER},
        ),
        (
            on_google,
            "GET /computeMetadata/v1/instance/service-accounts/default/identity"
            "?audience=https%3A%2F%2Fauth.example.com%2F%3Fa%26b&format=full HTTP/1.1",
            {"metadata-flavor": "Google"},
        ),
    ],
    ids=["GitHub", "Azure VM", "App Service", "Google"],
)
def test_the_platform_is_asked_as_its_documentation_says(
    platform, line, fields, double, monkeypatch
):
    token, answer = platform(double, monkeypatch)
    double.reply = http_answer(answer, Metadata_Flavor="Google")
    assert token() == JWT
    assert only_request(double) == (line, fields)


def test_github_is_asked_for_its_default_audience_by_none(double, monkeypatch):
    on_github(double, monkeypatch)
    double.reply = http_answer({"value": JWT})
    assert GitHubActionsToken()() == JWT
    assert double.lines[0][0] == "GET /x/token?api-version=2.0 HTTP/1.1"


def test_the_azure_and_google_services_are_where_their_documentation_says(double, monkeypatch):
    assert AzureManagedIdentityToken("r").url == (
        "http://169.254.169.254/metadata/identity/oauth2/token"
    )
    names, port = [], int(double.host.rpartition(":")[2])
    lookup = socket.getaddrinfo

    def resolve(host, at, *more, **options):  # as DNS within Google's cloud
        names.append((host, at))
        return lookup("127.0.0.1", port, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    double.reply = http_answer(JWT, Metadata_Flavor="Google")
    assert GoogleMetadataToken("a", timeout=5)() == JWT
    assert names == [("metadata.google.internal", 80)]
    assert double.fields()["host"] == "metadata.google.internal"


def test_an_endpoint_alone_names_no_other_service_of_azure(double, monkeypatch):
    token, answer = on_azure_vm(double, monkeypatch)
    monkeypatch.setenv("IDENTITY_ENDPOINT", "http://127.0.0.1:1/token")
    double.reply = http_answer(answer)
    assert token() == JWT
    assert "&api-version=2018-02-01 " in double.lines[0][0]


# Azure Arc


@pytest.fixture
def arc(double, monkeypatch, tmp_path):
    """The agent of Azure Arc: it names a file, and wants to see what is in there."""
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{double.url}/metadata/identity/oauth2/token")
    monkeypatch.setenv("IMDS_ENDPOINT", double.url)
    key = tmp_path / "challenge.key"
    key.write_text("a-key-of-the-agent")

    def answer(request):
        if b"Authorization: Basic a-key-of-the-agent\r\n" in request:
            return http_answer({"access_token": JWT})
        challenge = f"Basic realm={double.names}"
        return http_answer("", "401 Unauthorized", Www_Authenticate=challenge)

    double.names, double.reply = key, answer
    double.token = AzureManagedIdentityToken("r", arc_folder=str(tmp_path), timeout=5)
    return double


def test_arc_is_shown_the_content_of_the_file_that_it_names(arc):
    assert arc.token() == JWT
    assert [lines[0] for lines in arc.lines] == [
        "GET /metadata/identity/oauth2/token?resource=r&api-version=2020-06-01 HTTP/1.1"
    ] * 2
    assert [arc.fields(n)["metadata"] for n in (0, 1)] == ["true", "true"]
    assert "authorization" not in arc.fields(0)
    assert arc.fields(1)["authorization"] == "Basic a-key-of-the-agent"


@pytest.mark.parametrize("name", ["../secret.key", "challenge.txt", "sub/x.key", "link.key"])
def test_arc_is_shown_no_other_file(arc, tmp_path, name):
    (tmp_path / "sub").mkdir()
    outside = tmp_path.parent / "secret.key"
    for path in (outside, tmp_path / "challenge.txt", tmp_path / "sub" / "x.key"):
        path.write_text("not for the agent")
    (tmp_path / "link.key").symlink_to(outside)
    arc.names = tmp_path / name
    assert "no .key in" in str(failure_of(arc.token))
    assert len(arc.requests) == 1


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda key: key.unlink(), "there is no such file"),
        (lambda key: key.write_bytes(b"\xff"), "no token"),
        (lambda key: key.write_text("x" * 16385), "longer than 16384"),
    ],
    ids=["missing", "no text", "too large"],
)
def test_arc_names_a_file_that_is_no_challenge(arc, tmp_path, spoil, problem):
    spoil(tmp_path / "challenge.key")
    error = str(failure_of(arc.token))
    assert problem in error
    assert "from Azure Arc" in error
    assert "join the group himds" in error


def test_arc_is_shown_a_challenge_of_the_longest_size(arc, tmp_path):
    key = "x" * 4096  # as its documentation says
    (tmp_path / "challenge.key").write_text(f"{key}\n")
    failure_of(arc.token)  # the agent wants to see another
    assert arc.fields(1)["authorization"] == f"Basic {key}"


def test_arc_sends_no_challenge(arc):
    arc.reply = http_answer("", "401 Unauthorized", Www_Authenticate="Negotiate")
    assert "no challenge" in str(failure_of(arc.token))


@pytest.mark.skipif(sys.platform != "linux", reason="the folder is that of Linux")
def test_arc_is_trusted_with_its_own_folder_by_default(arc):
    token = AzureManagedIdentityToken("r", timeout=5)
    assert "no .key in /var/opt/azcmagent/tokens" in str(failure_of(token))
    arc.names = "/var/opt/azcmagent/tokens/there-is-none.key"
    assert "there is no such file" in str(failure_of(token))


def test_arc_reads_no_key_of_a_folder_that_it_does_not_know(arc, monkeypatch):
    monkeypatch.setattr(sys, "platform", "an-unknown-one")
    assert "pass arc_folder" in str(failure_of(AzureManagedIdentityToken("r", timeout=5)))
    assert len(arc.requests) == 1


@pytest.mark.parametrize("secret", ["ONE-half other-half\n", "ONE-half\x01other", "ONE'half\"\n"])
def test_s1_a_secret_that_no_header_can_carry_is_not_in_the_error(monkeypatch, secret):
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", "http://127.0.0.1:1/token")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", secret)
    error = failure_of(GitHubActionsToken("a"))
    assert "'Authorization' is no valid header field" in str(error)
    assert "half" not in f"{error}{error.__cause__}"


def test_a_file_that_is_missing_for_a_moment_is_read_again(tmp_path, monkeypatch, clock):
    path = tmp_path / "token"
    monkeypatch.setattr(clock, "sleep", lambda _: path.write_text(JWT))
    assert FileToken(path)() == JWT


def test_only_a_file_without_a_token_is_waited_for(tmp_path, clock):
    path = tmp_path / "token"
    failure_of(FileToken(path))
    waits = len(clock.slept)
    assert waits > 0
    path.write_text(JWT)
    assert FileToken(path)() == JWT
    assert len(clock.slept) == waits


@pytest.mark.parametrize("value", [0, b"", []])
def test_w8_what_is_no_text_is_refused_though_it_is_empty(value):
    with pytest.raises(TypeError, match="audience"):
        GitHubActionsToken(value)
    with pytest.raises(TypeError, match="client_id"):
        AzureManagedIdentityToken("r", client_id=value)


def test_arc_has_no_user_assigned_identities(arc):
    token = AzureManagedIdentityToken("r", client_id="an-id")
    assert "pass no client_id" in str(failure_of(token))
    assert arc.requests == []


@each_platform
def test_s1_no_variable_holds_a_secret_while_a_platform_is_asked(platform, double, monkeypatch):
    """As tracers may record them, of the package's frames while a request is under way."""
    token, answer = platform(double, monkeypatch)
    recorded, caller = [], threading.get_ident()

    def record(_):
        recorded.extend(variables_of(caller))
        return http_answer(answer, Metadata_Flavor="Google")

    double.reply = record
    assert token() == JWT
    assert len(recorded) > 3
    assert not [text for text in recorded if REQUEST_TOKEN in text or IDENTITY_HEADER in text]


# What can go wrong at a service


@each_platform
def test_a_service_that_hangs_is_left_after_the_timeout(platform, double, monkeypatch):
    token, _ = platform(double, monkeypatch)
    token.timeout = 0.3
    began = time.monotonic()
    error = failure_of(token)
    assert time.monotonic() - began < 3
    assert isinstance(error, TokenTimeout)
    assert error.retryable
    assert double.host in str(error)


@each_platform
def test_a_service_that_drips_is_left_after_the_timeout(platform, double, monkeypatch):
    token, _ = platform(double, monkeypatch)
    token.timeout = 0.3

    def drip():
        yield b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
        while True:
            time.sleep(0.05)
            yield b"x"

    double.reply = drip()
    began = time.monotonic()
    assert failure_of(token).retryable
    assert time.monotonic() - began < 3


@each_platform
def test_a_redirect_is_not_followed(platform, double, monkeypatch):
    token, _ = platform(double, monkeypatch)
    with PlatformDouble(http_answer({"value": JWT, "access_token": JWT})) as other:
        double.reply = http_answer("", "302 Found", Location=f"{other.url}/")
        error = failure_of(token)
    assert "redirect, which is not followed" in str(error)
    assert not error.retryable
    assert error.status_code == 302
    assert other.requests == []


@pytest.mark.parametrize(
    ("status", "redirects"), [(300, True), (399, True), (400, False), (299, False)]
)
def test_a_3xx_alone_is_called_a_redirect(double, monkeypatch, status, redirects):
    token, _ = on_google(double, monkeypatch)
    double.reply = http_answer("", f"{status} Strange")
    assert ("a redirect" in str(failure_of(token))) is redirects


@pytest.mark.parametrize(
    ("platform", "body"),
    [
        *((platform, body) for platform in PLATFORMS for body in (PAGE, "", "\0\0")),
        *((platform, body) for platform in PLATFORMS[:3] for body in ("[]", "{}")),
        *((platform, '{"value": 1, "access_token": []}') for platform in PLATFORMS[:3]),
    ],
    ids=lambda v: getattr(v, "__name__", None),
)
def test_what_is_no_token_is_an_error(platform, body, double, monkeypatch):
    token, _ = platform(double, monkeypatch)
    double.reply = http_answer(body, Metadata_Flavor="Google", Content_Type="text/html")
    error = failure_of(token)
    assert not error.retryable
    assert "Sign in" not in str(error)


@each_platform
def test_what_is_too_long_to_be_a_token_is_an_error(platform, double, monkeypatch):
    token, answer = platform(double, monkeypatch)
    long = "x" * (16 * 1024 + 1)
    if isinstance(answer, dict):
        answer = {name: long if value == JWT else value for name, value in answer.items()}
    double.reply = http_answer(
        answer if isinstance(answer, dict) else long, Metadata_Flavor="Google"
    )
    error = failure_of(token)
    assert "longer than 16384" in str(error)
    assert long not in str(error)


def test_what_is_just_not_too_long_is_a_token(path, double, monkeypatch):
    long = "x" * (16 * 1024)
    path.write_bytes(f"\ufeff{long}\n".encode())
    assert FileToken(path)() == long
    token, _ = on_google(double, monkeypatch)
    double.reply = http_answer(long, Metadata_Flavor="Google")
    assert token() == long


@each_platform
@pytest.mark.parametrize(
    ("status", "retryable"),
    [("400 Bad Request", False), ("403 Forbidden", False), ("410 Gone", True), ("429 Slow", True)],
)
def test_a_status_is_told_and_with_it_the_words_of_the_service(
    platform, status, retryable, double, monkeypatch
):
    token, _ = platform(double, monkeypatch)

    def answer(_):  # which repeats what was sent
        body = {"error": "no_such_thing", "error_description": str(double.fields())}
        return http_answer(body, status, Retry_After="60")

    double.reply = answer
    error = failure_of(token)
    assert f"status {status[:3]}: no_such_thing" in str(error)
    assert error.status_code == int(status[:3])
    assert error.retryable is (retryable and (status[:3] == "429" or platform is not on_github))
    assert error.retry_after == 60


@pytest.mark.parametrize("platform", [on_github, on_app_service], ids=lambda p: p.__name__)
def test_s1_a_secret_that_a_service_repeats_alone_is_redacted(platform, double, monkeypatch):
    token, _ = platform(double, monkeypatch)
    secrets = f"{REQUEST_TOKEN} and {IDENTITY_HEADER}"
    double.reply = http_answer({"error": "x", "error_description": secrets}, "401 Unauthorized")
    with pytest.raises(TokenError, match=r"\[redacted\]") as caught:
        token()
    secret = REQUEST_TOKEN if platform is on_github else IDENTITY_HEADER
    assert secret not in str(caught.value)


@pytest.mark.parametrize(
    ("platform", "place"),
    [
        (on_github, "GitHub Actions"),
        (on_azure_vm, "Azure's Instance Metadata Service"),
        (on_app_service, "Azure's managed identity endpoint"),
        (on_google, "Google's metadata server"),
    ],
)
def test_an_error_names_the_place_that_was_asked(platform, place, double, monkeypatch):
    token, _ = platform(double, monkeypatch)
    double.reply = http_answer("", "403 Forbidden")
    assert str(failure_of(token)).startswith(f"no identity token from {place} at {double.url}/")


def test_s1_a_secret_that_is_short_is_redacted_too(double, monkeypatch):
    token, _ = on_app_service(double, monkeypatch)
    monkeypatch.setenv("IDENTITY_HEADER", "a-7-chr")
    double.reply = http_answer({"error": "no a-7-chr"}, "401 Unauthorized")
    assert str(failure_of(token)).endswith("status 401: no [redacted]")


@each_platform
def test_an_error_tells_what_was_asked_for_without_the_query(platform, double, monkeypatch):
    token, _ = platform(double, monkeypatch)
    double.reply = http_answer("", "403 Forbidden")
    request = failure_of(token).request
    assert request.method == "GET"
    assert request.url == double.url + double.lines[0][0].split("?")[0].removeprefix("GET ")


def test_what_every_request_to_google_has_is_no_secret_in_its_words(double, monkeypatch):
    token, _ = on_google(double, monkeypatch)
    double.reply = http_answer({"error": "Google says no"}, "403 Forbidden")
    assert "status 403: Google says no" in str(failure_of(token))


@each_platform
def test_a_passing_failure_is_tried_again(platform, double, monkeypatch):
    token, answer = platform(double, monkeypatch)
    answers = iter([http_answer("", "503 Busy"), http_answer(answer, Metadata_Flavor="Google")])
    double.reply = lambda _: next(answers)
    assert token() == JWT
    assert len(double.requests) == 2


@each_platform
def test_a_failure_that_lasts_is_given_up_after_three_retries(platform, double, monkeypatch, clock):
    token, _ = platform(double, monkeypatch)
    double.reply = http_answer("", "503 Busy")
    token.timeout = 600
    assert failure_of(token).status_code == 503
    assert len(double.requests) == 4


@each_platform
def test_a_service_that_is_not_there_is_an_error_that_names_it(platform, double, monkeypatch):
    token, _ = platform(double, monkeypatch)
    token.timeout = 0.5
    with PlatformDouble() as other:
        gone = other.host
    for name in VARIABLES:
        if double.host in os.environ.get(name, ""):
            monkeypatch.setenv(name, os.environ[name].replace(double.host, gone))
    if platform is on_azure_vm:
        token.url = token.url.replace(double.host, gone)
    error = failure_of(token)
    assert isinstance(error, TokenConnectionError)
    assert error.retryable
    assert gone in str(error)


@pytest.mark.parametrize("platform", PLATFORMS[1:], ids=lambda p: p.__name__)
def test_metadata_services_are_never_asked_through_a_proxy(platform, double, monkeypatch):
    token, answer = platform(double, monkeypatch)
    double.reply = http_answer(answer, Metadata_Flavor="Google")
    with PlatformDouble(http_answer(PAGE)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("http_proxy", proxy.url)
        assert token() == JWT
    assert proxy.requests == []


def test_github_is_asked_through_the_proxy_of_the_runner(double, monkeypatch):
    token, _ = on_github(double, monkeypatch)
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", "https://pipelines.example.com/token")
    double.reply = http_answer("", "403 Forbidden")
    monkeypatch.setenv("HTTPS_PROXY", double.url)
    assert isinstance(failure_of(token), TokenConnectionError)
    assert double.lines[0][0].startswith("CONNECT pipelines.example.com:443 ")


def test_google_is_told_apart_from_whatever_else_answers(double, monkeypatch):
    token, answer = on_google(double, monkeypatch)
    double.reply = http_answer(answer)
    assert "Metadata-Flavor" in str(failure_of(token))


@pytest.mark.parametrize("name", ["URL", "TOKEN"])
def test_a_github_job_without_permission_is_told_what_to_write(name, double, monkeypatch):
    token, _ = on_github(double, monkeypatch)
    monkeypatch.delenv(f"ACTIONS_ID_TOKEN_REQUEST_{name}")
    error = failure_of(token)
    assert "permissions: id-token: write" in str(error)
    assert f"ACTIONS_ID_TOKEN_REQUEST_{name} " in str(error)
    assert not error.retryable
    assert double.requests == []


def test_the_token_of_the_runner_is_not_sent_in_the_clear(monkeypatch):
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", "http://pipelines.example.com/token")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", REQUEST_TOKEN)
    assert "not https" in str(failure_of(GitHubActionsToken("a")))


def test_an_endpoint_in_the_environment_that_is_no_url_is_an_error(monkeypatch):
    monkeypatch.setenv("IDENTITY_ENDPOINT", "not a url")
    monkeypatch.setenv("IDENTITY_HEADER", IDENTITY_HEADER)
    assert "must be an absolute http" in str(failure_of(AzureManagedIdentityToken("r")))


# Files and variables


@pytest.fixture
def path(tmp_path):
    return tmp_path / "token"


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_a_file_is_read_anew_and_its_final_newline_dropped(path, start, end):
    token = FileToken(path)
    for content in (JWT, "another.token.of-it"):
        path.write_bytes(f"{start}{content}{end}".encode())
        assert token() == content


def test_a_file_is_followed_through_the_links_that_kubernetes_swaps(path, tmp_path):
    token = FileToken(path)
    path.symlink_to(tmp_path / "..data" / "token")
    for number in range(2):
        folder = tmp_path / f"..{number}"
        folder.mkdir()
        (folder / "token").write_text(f"token-{number}")
        (tmp_path / "..next").symlink_to(folder)
        (tmp_path / "..next").rename(tmp_path / "..data")
        assert token() == f"token-{number}"


@pytest.mark.parametrize(
    ("make", "problem", "retryable"),
    [
        (lambda _: None, "no such file", False),
        (lambda path: path.mkdir(), "it is no file", False),
        (lambda path: os.mkfifo(path), "it is no file", False),
        (lambda path: path.symlink_to(path), "Too many levels", False),
        (lambda path: path.write_text(""), "it is empty", True),
        (lambda path: path.write_text("\n"), "it is empty", True),
        (lambda path: path.write_text(PAGE), "no token", False),
        (lambda path: path.write_text(f"{JWT}\n{JWT}\n"), "no token", False),
        (lambda path: path.write_bytes(JWT.encode("utf-16")), "no token", False),
        (lambda path: path.write_text("x" * 16385), "longer than 16384", False),
    ],
    ids=[
        *("missing", "folder", "pipe", "loop", "empty", "newline"),
        *("page", "two lines", "UTF-16", "too long"),
    ],
)
def test_a_file_without_a_token_is_an_error_that_names_it(path, make, problem, retryable):
    make(path)
    error = failure_of(FileToken(path))
    assert problem in str(error)
    assert str(path) in str(error)
    assert error.retryable is retryable


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs another user to be")
def test_a_file_that_may_not_be_read_is_an_error(path, tmp_path):
    path.write_text(JWT)
    path.chmod(0)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == 0 and str(folder) != "/":
            folder.chmod(folder.stat().st_mode | 0o011)
    program = (
        "import os, sys; from clientcreds_requests.identity import FileToken\n"
        "token = FileToken(sys.argv[1]); os.setuid(65534)\n"
        "try: token()\nexcept Exception as error: print(type(error).__name__, error)"
    )
    said = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True
    ).stdout
    assert said.startswith("TokenError no identity token from the file ")
    assert "Permission denied" in said


def test_a_file_that_is_being_written_is_read_again(path, monkeypatch):
    path.write_text(JWT[:10])
    real, looks = os.fstat, []

    def fstat(descriptor):
        looks.append(descriptor)
        if len(looks) == 1:  # after ten characters were read
            path.write_text(JWT)
        return real(descriptor)

    monkeypatch.setattr(os, "fstat", fstat)
    assert FileToken(path)() == JWT
    assert len(looks) == 2


def test_a_file_that_is_written_within_one_tick_of_its_clock_is_read_again(path, monkeypatch):
    real = {"stat": os.stat, "fstat": os.fstat}
    looks = []

    def write(text):
        path.write_text(text)
        os.utime(path, ns=(0, 0))

    def look(name, *arguments):
        looks.append(name)
        if len(looks) == 2:  # after ten characters were read
            write(JWT)
        found = real[name](*arguments)
        if len(looks) == 1:
            write(JWT[:10])
        return found

    write(JWT)
    with monkeypatch.context() as patch:
        for name in real:
            patch.setattr(os, name, functools.partial(look, name))
        token = FileToken(path)()
    assert token == JWT
    assert looks == ["stat", "fstat"] * 2


def test_a_reader_never_sees_half_of_a_file_that_others_keep_replacing(path):
    tokens = {letter * (1000 + 3000 * (letter == "a")) for letter in "abc"}
    path.write_text(max(tokens))
    stop = threading.Event()

    def replace():
        while not stop.is_set():
            for text in tokens:
                path.with_suffix(".new").write_text(text)
                path.with_suffix(".new").replace(path)

    writer = threading.Thread(target=replace, daemon=True)
    writer.start()
    try:
        token = FileToken(path)
        assert {token() for _ in range(500)} <= tokens
    finally:
        stop.set()
        writer.join(PATIENCE)


def test_a_file_that_changes_each_time_is_an_error_that_may_pass(path, clock):
    path.write_text(JWT)
    real = os.fstat

    def fstat(descriptor):
        os.utime(path, ns=(0, os.stat(path).st_mtime_ns + 1))
        return real(descriptor)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fstat", fstat)
        error = failure_of(FileToken(path))
    assert "it changed each time" in str(error)
    assert error.retryable
    assert 0 < sum(clock.slept) < 1


def test_a_variable_is_read_anew(monkeypatch):
    token = EnvToken("A_TOKEN")
    for value in (JWT, "another"):
        monkeypatch.setenv("A_TOKEN", f"{value}\n")
        assert token() == value


@pytest.mark.parametrize(
    ("value", "problem"),
    [(None, "not set"), ("", "empty"), (PAGE, "no token"), ("a b", "no token")],
)
def test_a_variable_without_a_token_is_an_error_that_names_it(value, problem, monkeypatch):
    monkeypatch.delenv("A_TOKEN", raising=False)
    if value is not None:
        monkeypatch.setenv("A_TOKEN", value)
    error = failure_of(EnvToken("A_TOKEN"))
    assert "the environment variable A_TOKEN" in str(error)
    assert problem in str(error)
    assert not error.retryable


# What they are


MADE = [
    (FileToken, ("/run/secrets/token",), {}),
    (EnvToken, ("A_TOKEN",), {}),
    (GitHubActionsToken, ("an-audience",), {"timeout": 3}),
    (AzureManagedIdentityToken, ("api://AzureADTokenExchange",), {"client_id": "an-id"}),
    (GoogleMetadataToken, ("an-audience",), {}),
]


def test_services_are_given_ten_seconds_by_default():
    made = [GitHubActionsToken(), AzureManagedIdentityToken("r"), GoogleMetadataToken("a")]
    assert [token.timeout for token in made] == [10] * 3


@pytest.mark.parametrize(("kind", "arguments", "options"), MADE, ids=lambda v: str(v)[-30:])
def test_they_are_values_that_can_be_pickled_and_read(kind, arguments, options):
    token = kind(*arguments, **options)
    copy = pickle.loads(pickle.dumps(token))
    assert copy == token
    assert hash(copy) == hash(token)
    assert token != kind("another", **options)
    assert token != "another"
    assert arguments[0] in repr(token)
    assert repr(token).startswith(f"{kind.__name__}(")


def test_their_repr_and_pickle_hold_no_token(path, monkeypatch):
    path.write_text(JWT)
    monkeypatch.setenv("A_TOKEN", JWT)
    for token in (FileToken(path), EnvToken("A_TOKEN")):
        assert token() == JWT
        assert JWT not in repr(token)
        assert JWT.encode() not in pickle.dumps(token)


@pytest.mark.parametrize(
    ("make", "error", "name"),
    [
        (lambda: FileToken(3), TypeError, "path"),
        (lambda: FileToken(b"x"), TypeError, "path"),
        (lambda: FileToken(""), ValueError, "path"),
        (lambda: FileToken(JWT), ValueError, "path is a token"),
        (lambda: EnvToken(None), TypeError, "name"),
        (lambda: EnvToken(JWT), ValueError, "name is a token"),
        (lambda: GitHubActionsToken(["a"]), TypeError, "audience"),
        (lambda: GitHubActionsToken("a\n"), ValueError, "audience"),
        (lambda: GitHubActionsToken(timeout=0), ValueError, "timeout"),
        (lambda: AzureManagedIdentityToken(None), TypeError, "resource"),
        (lambda: AzureManagedIdentityToken("r", client_id=3), TypeError, "client_id"),
        (lambda: AzureManagedIdentityToken("r", url="x"), ValueError, "url"),
        (lambda: AzureManagedIdentityToken("r", timeout=-1), ValueError, "timeout"),
        (lambda: GoogleMetadataToken(""), ValueError, "audience"),
        (lambda: GoogleMetadataToken("a", timeout="5"), TypeError, "timeout"),
    ],
)
def test_w8_arguments_that_cannot_work_are_named(make, error, name):
    with pytest.raises(error, match=rf"^{name}\b") as caught:
        make()
    assert JWT not in str(caught.value)
