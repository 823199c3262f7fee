"""Cassettes: recorded at real servers without a secret in them, and played without any server."""

from __future__ import annotations

import gzip
import json
import logging
import os
import re
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from clientcreds_requests import ClientCredentialsSession, ClientSecretJWT, TokenError
from clientcreds_requests.testing import Answer, betamax_filter, vcr_filters

WITHOUT_SECRET = "recorded"
"""The client secret of one who plays a cassette and does not know the real one."""

REFUSED = Answer(401, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})


@pytest.fixture(autouse=True)
def _vcrpy_logs_no_answers():
    logger = logging.getLogger("vcr")
    logger.setLevel(logging.WARNING)
    yield
    logger.setLevel(logging.NOTSET)


class Vcrpy:
    """Cassettes of vcrpy, which records whatever goes through http.client."""

    @contextmanager
    def cassette(self, session, filtered=True):
        import vcr

        # Requests are filtered before they are compared, so that everything may be compared.
        strictly = ["method", "uri", "headers", "body"]
        recorder = vcr.VCR(match_on=strictly, **(vcr_filters() if filtered else {}))
        with recorder.use_cassette("cassette.yaml"):
            yield


class Betamax:
    """Cassettes of betamax, which records what goes through one session."""

    @contextmanager
    def cassette(self, session, filtered=True):
        import betamax

        hooks = betamax.configure.Configuration.recording_hooks["before_stop"]
        if filtered:
            with betamax.Betamax.configure() as config:
                config.before_stop(callback=betamax_filter)
        try:
            recorder = betamax.Betamax(session, cassette_library_dir=".")
            with recorder.use_cassette("cassette"):
                yield
        finally:
            hooks.clear()


@pytest.fixture(
    params=[
        pytest.param(Vcrpy, marks=pytest.mark.package("vcrpy")),
        pytest.param(Betamax, marks=pytest.mark.package("betamax")),
    ]
)
def recorder(request):
    return request.param()


def auth_of(story, secret, **options):
    session = requests.Session()
    session.auth = story.auth(client_secret=secret, session=session, **options)
    return session


def session_of(story, secret, **options):
    server = story.server
    return ClientCredentialsSession(server.token_endpoint, server.client_id, secret, **options)


@pytest.fixture(params=[auth_of, session_of])
def make(request, story):
    """Makes a session with an auth, or a session of ours; with a client secret and options."""
    return lambda secret, **options: request.param(story, secret, **options)


def play(story, get):
    """Let the same happen once more, at the same URLs, when the servers are gone."""
    story.server.stop()
    seen = []
    for number in (1, 2, 3, 4):
        if number == 3:
            story.let_expire()
        response = get(f"{story.server.api_url}/{number}")
        seen.append([answer.status_code for answer in (*response.history, response)])
    assert seen == [[200], [200], [200], [401, 200]]


@pytest.mark.parametrize("client_auth", ["client_secret_post", "client_secret_basic"])
@pytest.mark.parametrize("body", ["json", "form"])
def test_a_cassette_is_recorded_without_secrets_and_played_without_servers(
    story, recorder, make, client_auth, body, tmp_path
):
    options = {"client_auth": client_auth, "body": body}
    with make(story.server.client_secret, **options) as session, recorder.cassette(session):
        story.tell(session.get)
    (cassette,) = story.search_files(tmp_path)
    recorded = cassette.read_bytes()
    with make(WITHOUT_SECRET, **options) as session, recorder.cassette(session):
        play(story, session.get)
    assert cassette.read_bytes() == recorded


def test_without_the_filter_the_secrets_are_in_the_cassette(story, recorder, make, tmp_path):
    with make(story.server.client_secret) as session, recorder.cassette(session, filtered=False):
        story.tell(session.get)
    (cassette,) = tmp_path.iterdir()
    with pytest.raises(AssertionError, match="the client secret, token 1, token 2, token 3 in"):
        story.search("the cassette", cassette.read_bytes())
    cassette.unlink()


def test_whatever_a_token_request_proves_the_client_with_is_not_recorded(
    story, recorder, make, tmp_path
):
    server = story.server
    sent = {"api_key": "the-key-of-the-api", "X-Actor": "a-token-of-another-client"}
    story.further_secrets += sent.values()
    options = {
        "client_auth": ClientSecretJWT(server.client_secret, server.issuer),
        "extra_params": {"api_key": sent["api_key"]},
        "extra_headers": {"X-Actor": sent["X-Actor"]},
    }
    assertions = []

    def issue(request):
        assertions.append(request.params["client_assertion"])
        assert (request.params["api_key"], request.headers["X-Actor"]) == tuple(sent.values())
        token = server.issue().access_token
        granted = {"access_token": token, "refresh_token": f"R.{token}", "expires_in": 3600}
        return Answer(200, granted, {"Set-Cookie": f"session={token}"})

    server.answer_next(issue, issue, issue)
    with make(None, **options) as session, recorder.cassette(session):
        story.tell(session.get)
    story.further_secrets += assertions
    assert len(set(assertions)) == 3
    story.search_files(tmp_path)
    options["client_auth"] = ClientSecretJWT("another secret", server.issuer)
    with make(None, **options) as session, recorder.cassette(session):
        play(story, session.get)


def test_an_api_that_repeats_the_token_tells_a_cassette_nothing(story, recorder, make, tmp_path):
    def repeat(request):
        body = json.dumps({"you": request.headers["Authorization"], "grüße": "€"}).encode()
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        return Answer(200, gzip.compress(body), {**headers, "X-Token": request.access_token})

    story.server.answer = repeat
    with make(story.server.client_secret) as session, recorder.cassette(session):
        story.tell(session.get)
        received = session.get(f"{story.server.api_url}/5").json()
    assert received["you"] == session.auth.headers["Authorization"]
    story.search_files(tmp_path)
    with make(WITHOUT_SECRET) as session, recorder.cassette(session):
        play(story, session.get)
        played = session.get(f"{story.server.api_url}/5")
    assert played.json() == {"you": "Bearer [redacted]", "grüße": "€"}
    assert played.headers["X-Token"] == "[redacted]"


def test_an_endpoint_that_repeats_the_secret_tells_a_cassette_nothing(
    story, recorder, make, tmp_path
):
    secret = story.server.client_secret
    refusal = {"error": "invalid_client", "error_description": f"{secret} is wrong"}
    story.server.answer_next(Answer(400, refusal))

    def error_of(secret):
        with (
            make(secret, body="json", retries=0) as session,
            recorder.cassette(session),
            pytest.raises(TokenError) as caught,
        ):
            session.get(story.server.api_url)
        error = caught.value
        return error.status_code, error.error, error.error_description

    recorded = error_of(secret)
    story.search_files(tmp_path)
    story.server.stop()
    assert error_of(WITHOUT_SECRET) == recorded == (400, "invalid_client", "[redacted] is wrong")
    story.told = True  # as far as the endpoint lets it be


@pytest.mark.package("vcrpy")
def test_vcrpy_logs_answers_before_it_filters_them(story, make, caplog):
    with make(story.server.client_secret) as session, Vcrpy().cassette(session):
        logging.getLogger("vcr").setLevel(logging.INFO)
        story.tell(session.get)
    with pytest.raises(AssertionError, match="token 1, token 2, token 3 in the logs"):
        story.search("the logs", caplog.text)
    caplog.clear()


GUIDE = Path(__file__).parents[2] / ".github" / "docs" / "COMBINING.md"


@pytest.mark.package("vcrpy", "pytest-recording", "betamax")
def test_the_tests_of_the_guide_can_be_recorded_and_played(story, tmp_path):
    server = story.server
    section = GUIDE.read_text(encoding="utf-8").partition("\n## Recorders\n")[2]
    blocks = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    assert len(blocks) == 3
    Path("tests/cassettes").mkdir(parents=True)
    for number, block in enumerate(blocks):
        text = block.replace("https://auth.example.com/token", server.token_endpoint)
        text = text.replace("https://api.example.com/v1", server.api_url)
        Path(f"test_{number}.py").write_text(text)

    def run(environment, *options):
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options]
        settings = {**os.environ, **environment}
        done = subprocess.run(command, env=settings, capture_output=True, text=True, check=False)
        assert "3 passed" in done.stdout, done.stdout
        story.search("what pytest printed", done.stdout + done.stderr)

    server.api_answer_next(None, REFUSED)
    run({"CLIENT_SECRET": server.client_secret}, "--record-mode=once")
    assert [call.status for call in server.api_requests] == [200, 401, 200, 200]
    cassettes = [path.name for path in tmp_path.rglob("*") if path.suffix in (".json", ".yaml")]
    assert sorted(cassettes) == ["data.json", "data.yaml", "test_data.yaml"]
    story.search_files(tmp_path)
    server.stop()
    run({}, "--block-network")
    story.told = True  # in the other processes
