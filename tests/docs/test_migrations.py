"""The guide to coming from another library: what it says, and both pieces of code.

The libraries are in the extra ``bench``. With CLIENTCREDS_PEERS=required none may be missing.
"""

from __future__ import annotations

import importlib
import os
import re
from configparser import ConfigParser
from typing import Any

import pytest
import requests
from helpers import Held, together, token_answer, until
from pages import GUIDES, ROOT, blocks, section, text_of

import clientcreds_requests
from clientcreds_requests import ClientSecretBasic, TokenError
from clientcreds_requests.testing import Answer, LocalAuthorizationServer

pytestmark = pytest.mark.tells_secrets("requests-oauthlib logs secret and token")

GUIDE = GUIDES / "MIGRATING.md"
SECTION = section(GUIDE, "## From four Python libraries")
PAIRS = {part.partition("\n")[0]: blocks(part) for part in SECTION.split("\n### ")[1:]}
MODULES = {
    "requests-oauthlib": "requests_oauthlib",
    "Authlib": "authlib.integrations.requests_client",
    "requests_auth": "requests_auth",
    "requests_oauth2client": "requests_oauth2client",
}
RAISES = {
    "requests-oauthlib": "InvalidClientError",
    "Authlib": "OAuthError",
    "requests_auth": "InvalidGrantRequest",
    "requests_oauth2client": "InvalidClient",
}
WITH_BASIC = ["requests-oauthlib", "Authlib", "requests_auth"]

every_library = pytest.mark.parametrize("library", MODULES)


class Migration:
    """Runs the code of the guide with one library, and without, against a server."""

    def __init__(self, library: str, server: LocalAuthorizationServer) -> None:
        self.peer = importlib.import_module(MODULES[library])
        self._before, self._after = PAIRS[library]
        self._server = server

    def _run(self, code: str):
        here = code.replace("https://auth.example.com/token", self._server.token_endpoint)
        here = here.replace("https://api.example.com/v1", self._server.api_url)
        # requests_oauth2client has this switch for loopback, requests-oauthlib a variable.
        here = here.replace('["CLIENT_SECRET"])\nauth', '["CLIENT_SECRET"], testing=True)\nauth')
        names: dict[str, Any] = {}
        exec(compile(here, str(GUIDE.relative_to(ROOT)), "exec"), names)
        return names

    def before(self):
        """The names that the code with the library leaves."""
        return self._run(self._before)

    def after(self):
        """The names that the code with ours leaves."""
        return self._run(self._after)

    def call(self, names):
        """One more call of the API by what the code has left."""
        url = f"{self._server.api_url}/data"
        return (names.get("session") or requests).get(url, auth=names.get("auth"))


@pytest.fixture
def server():
    with LocalAuthorizationServer(client_secret="letters-and-digits-123") as running:
        yield running


@pytest.fixture
def migrate(server, monkeypatch):
    """Makes the migration from a library, if that is installed."""
    monkeypatch.setenv("CLIENT_SECRET", server.client_secret)
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")

    def make(library):
        try:
            migration = Migration(library, server)
        except ModuleNotFoundError as error:
            if os.environ.get("CLIENTCREDS_PEERS") == "required":
                raise
            pytest.skip(f"{library} is not installed: {error}")
        if library == "requests_auth":
            migration.peer.OAuth2.token_cache.clear()
        return migration

    return make


def test_the_section_has_a_pair_of_code_for_every_library():
    assert list(PAIRS) == list(MODULES)
    assert all(len(pair) == 2 for pair in PAIRS.values())


def test_the_versions_are_those_of_the_extra():
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    extra = dict(
        line.split(" >= ") for line in setup["options.extras_require"]["bench"].strip().splitlines()
    )
    assert [f"{name} {extra[name]}" in SECTION for name in MODULES] == [True] * 4


@every_library
def test_both_get_the_same_at_the_api(library, migrate, server):
    migration = migrate(library)
    theirs, ours = migration.before()["response"], migration.after()["response"]
    assert theirs.status_code == ours.status_code == 200
    assert theirs.json() == ours.json()
    assert (ours.json()["client_id"], ours.json()["scope"]) == (server.client_id, "api:read")


@every_library
def test_a_refused_token_is_replaced_by_ours_only(library, migrate, server):
    migration = migrate(library)
    theirs, ours = migration.before(), migration.after()
    server.revoke_all()
    assert migration.call(theirs).status_code == 401
    assert migration.call(ours).status_code == 200


@every_library
def test_a_failing_token_endpoint_is_asked_again_by_ours_only(library, migrate, server):
    migration = migrate(library)
    server.answer_next(Answer(503))
    [theirs] = together(1, migration.before)
    assert isinstance(theirs, Exception)
    assert len(server.token_requests) == 1
    server.answer_next(Answer(503))
    assert migration.after()["response"].ok
    assert len(server.token_requests) == 3


@every_library
def test_what_is_raised_about_a_token_is_a_token_error(library, migrate, server):
    migration = migrate(library)
    server.clients.clear()
    server.client_secret = "another"
    [theirs], [ours] = together(1, migration.before), together(1, migration.after)
    assert type(theirs).__name__ == RAISES[library]
    assert isinstance(ours, TokenError)
    assert ours.error == "invalid_client"


@pytest.mark.parametrize("library", WITH_BASIC)
def test_basic_without_encoding_is_what_three_of_them_send(library, migrate, server, monkeypatch):
    migration = migrate(library)
    secret = "a+b c"
    monkeypatch.setenv("CLIENT_SECRET", secret)
    server.answer_next(Answer(200, token_answer(server.issue().access_token)))
    migration.before()
    headers = {}
    ClientSecretBasic(secret, encode=False)(server.client_id, {}, headers)
    assert server.token_requests[0].headers["Authorization"] == headers["Authorization"]


def test_requests_oauthlib_does_not_renew(migrate, server):
    migration = migrate("requests-oauthlib")
    names = migration.before()
    assert "refresh_token" not in names["session"].token
    names["session"].token = {**names["session"].token, "expires_at": 1.0}
    with pytest.raises(names["TokenExpiredError"]):
        migration.call(names)
    assert len(server.token_requests) == 1
    assert names["get"](server.api_url).ok
    assert len(server.token_requests) == 2


def test_requests_oauthlib_refreshes_with_refresh_tokens_only(migrate, server):
    migration = migrate("requests-oauthlib")
    names = migration.before()
    session = names["session"]
    session.auto_refresh_url, session.token_updater = server.token_endpoint, lambda _: None
    session.token = {**session.token, "expires_at": 1.0}
    [error] = together(1, lambda: migration.call(names))
    assert isinstance(error, Exception)
    assert server.token_requests[-1].params["grant_type"] == "refresh_token"


def test_authlib_wants_the_first_token_to_be_fetched(migrate, server):
    migration = migrate("Authlib")
    session = migration.peer.OAuth2Session(
        "my-service",
        server.client_secret,
        token_endpoint=server.token_endpoint,
        grant_type="client_credentials",
    )
    with session, pytest.raises(Exception, match="missing_token"):
        session.get(server.api_url)


def test_authlib_leaves_out_when_it_renews_what_it_was_given_once(migrate, server):
    migration = migrate("Authlib")
    server.lifetime = 30  # less than its leeway: due at once
    session = migration.before()["session"]
    session.fetch_token(audience="https://api.example.com")
    assert session.get(server.api_url).ok
    assert [request.params.get("audience") for request in server.token_requests[-2:]] == [
        "https://api.example.com",
        None,
    ]


def test_ours_sends_the_audience_with_every_token_request(server):
    auth = clientcreds_requests.ClientCredentialsAuth(
        server.token_endpoint, server.client_id, server.client_secret, audience="https://api"
    )
    for _ in range(2):
        assert requests.get(server.api_url, auth=auth).ok
        server.revoke_all()
    assert [request.params["audience"] for request in server.token_requests] == ["https://api"] * 2


def test_requests_auth_gives_two_clients_one_token(migrate, server, monkeypatch):
    migration = migrate("requests_auth")
    server.clients["another"] = "its-secret"
    assert migration.before()["response"].json()["client_id"] == server.client_id
    other = migration.peer.OAuth2ClientCredentials(
        server.token_endpoint, "another", "its-secret", scope="api:read"
    )
    assert requests.get(server.api_url, auth=other).json()["client_id"] == server.client_id
    ours = clientcreds_requests.ClientCredentialsAuth(
        server.token_endpoint, "another", "its-secret", scope="api:read"
    )
    assert requests.get(server.api_url, auth=ours).json()["client_id"] == "another"


def test_requests_oauth2client_asks_once_for_every_cold_thread(migrate, server):
    migration = migrate("requests_oauth2client")
    names = migration.before()
    names["auth"].forget_token()
    server.reset_records()
    held = [Held(), Held()]
    server.answer_next(*held)

    def release():
        until(lambda: all(one.arrived.is_set() for one in held))
        for one in held:
            one.released.set()

    work = iter([release, lambda: migration.call(names), lambda: migration.call(names)])
    together(3, lambda: next(work)())
    assert len(server.token_requests) == 2


# From the JavaScript original

ORIGINAL = section(GUIDE, "## From @schematize/client-credentials")
ROWS = re.findall(r"^\| (.*?) \| (.*?) \| (.*?) ?\|$", ORIGINAL, re.MULTILINE)[1:]


NAMES = """
ClientCredentials endpoints.token endpoints.revoke clientId clientSecret scope resources
initialized initialize authorize authorizing signout getUserInfo
authorized accessToken headers expires userInfo error errorDescription errorUri
"""


def test_every_name_of_the_original_has_one_here():
    there = "\n".join(row[0] for row in ROWS)
    for name in NAMES.split():
        assert re.search(rf"\b{re.escape(name)}\b", there), name


@pytest.mark.parametrize("name", re.findall(r"`auth\.(\w+)", "".join(row[1] for row in ROWS)))
def test_what_is_named_here_is_there(name):
    assert hasattr(clientcreds_requests.ClientCredentialsAuth, name)


def test_the_example_of_the_original_becomes_one_that_runs(server, monkeypatch):
    monkeypatch.setenv("CLIENT_SECRET", server.client_secret)
    [code] = blocks(ORIGINAL)
    for host, here in {
        "https://auth.example.com/token": server.token_endpoint,
        "https://api.example.com/v1": server.api_url,
        "your-client-id": server.client_id,
    }.items():
        assert host in code
        code = code.replace(host, here)
    names: dict[str, Any] = {}
    exec(compile(code, str(GUIDE.relative_to(ROOT)), "exec"), names)
    assert names["response"].json()["scope"] == "api:read api:write"


def test_every_block_of_the_guide_is_run_here():
    assert len(blocks(text_of(GUIDE))) == 2 * len(MODULES) + 1
