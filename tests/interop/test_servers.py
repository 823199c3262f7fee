"""Our public API against authorization servers that others wrote, on real sockets.

What each of them does differently is told at the top of its program in servers/.
"""

from __future__ import annotations

import threading
import time
import traceback
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from clientcreds_requests import ClientCredentialsAuth, ClientCredentialsSession, TokenError

from .process import Server

THREADS = 8
# Every character that some encoding of Basic, of a form or of JSON treats in its own way.
SPECIAL = 's:e c+r/e%t&="\\é€'
WRONG = "w:r o+n/g%s&="

both_secret_methods = pytest.mark.parametrize(
    "client_auth", ["client_secret_post", "client_secret_basic"]
)
django_only = pytest.mark.parametrize("start", ["django"], indirect=True)


def in_threads(work: Callable[[], object]) -> None:
    """Run it in each of the threads; what fails in one fails here."""
    with ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(work) for _ in range(THREADS)]:
            done.result()


def test_requests_get_works_with_nothing_but_url_id_and_secret(server: Server) -> None:
    assert (
        requests.get(server.api, auth=ClientCredentialsAuth(*server.credentials)).status_code == 200
    )


def test_session_works_with_nothing_but_url_id_and_secret(server: Server) -> None:
    with ClientCredentialsSession(*server.credentials, base_url=server.url) as session:
        assert session.get("api").status_code == 200


def test_json_is_tried_once_and_the_form_that_worked_is_remembered(server: Server) -> None:
    auth = ClientCredentialsAuth(*server.credentials)
    before = server.stats()
    for _ in range(2):
        assert requests.get(server.api, auth=auth).status_code == 200
        auth.signout()
    assert server.stats() - before == {
        "POST /token 400": 1,
        "POST /token 200": 2,
        "GET /api 200": 2,
    }


def test_explicit_form_costs_one_request(server: Server) -> None:
    before = server.stats()
    auth = ClientCredentialsAuth(*server.credentials, body="form")
    assert requests.get(server.api, auth=auth).status_code == 200
    assert server.stats() - before == {"POST /token 200": 1, "GET /api 200": 1}


def test_explicit_json_is_refused_by_name(server: Server) -> None:
    auth = ClientCredentialsAuth(*server.credentials, body="json")
    with pytest.raises(TokenError) as caught:
        requests.get(server.api, auth=auth)
    assert (caught.value.error, caught.value.status_code) == ("unsupported_grant_type", 400)


@both_secret_methods
def test_secret_gets_through(server: Server, client_auth: str) -> None:
    auth = ClientCredentialsAuth(*server.credentials, client_auth=client_auth)
    assert requests.get(server.api, auth=auth).status_code == 200


@both_secret_methods
def test_secret_full_of_special_characters_gets_through(
    start: Callable[..., Server], client_auth: str
) -> None:
    server = start(secret=SPECIAL)
    auth = ClientCredentialsAuth(*server.credentials, client_auth=client_auth)
    assert requests.get(server.api, auth=auth).status_code == 200


@both_secret_methods
def test_wrong_secret_is_invalid_client_and_told_to_nobody(
    server: Server, client_auth: str
) -> None:
    endpoint, client_id, _ = server.credentials
    auth = ClientCredentialsAuth(endpoint, client_id, WRONG, client_auth=client_auth)
    before = server.stats()
    with pytest.raises(TokenError) as caught:
        requests.get(server.api, auth=auth)
    error = caught.value
    assert (error.error, error.status_code) == ("invalid_client", 401)
    assert (auth.error, auth.authorized) == ("invalid_client", False)
    assert server.stats() - before == {"POST /token 400": 1, "POST /token 401": 1}  # JSON, form

    told = repr(error) + "".join(traceback.format_exception(error))
    assert WRONG not in told
    assert b64encode(f"{client_id}:{WRONG}".encode()).decode() not in told


def test_known_scope_is_granted_as_asked(server: Server) -> None:
    auth = ClientCredentialsAuth(*server.credentials, scope=["api:read"])
    assert auth.get_token().scope == "api:read"
    assert requests.get(server.api, auth=auth).status_code == 200


def test_unknown_scope_is_invalid_scope(server: Server) -> None:
    auth = ClientCredentialsAuth(*server.credentials, scope="api:read no:such:scope")
    with pytest.raises(TokenError) as caught:
        requests.get(server.api, auth=auth)
    assert (caught.value.error, caught.value.status_code) == ("invalid_scope", 400)


@django_only
def test_token_for_the_right_resource_is_accepted(server: Server) -> None:
    resources = [server.api, "https://other.example/"]
    auth = ClientCredentialsAuth(*server.credentials, resources=resources)
    response = requests.get(server.api, auth=auth)
    assert (response.status_code, response.history) == (200, [])


@django_only
def test_token_for_another_resource_is_refused_after_one_replay(server: Server) -> None:
    auth = ClientCredentialsAuth(*server.credentials, resources=["https://other.example/"])
    response = requests.get(server.api, auth=auth)
    assert response.status_code == 401
    assert [answer.status_code for answer in response.history] == [401]


@django_only
def test_resource_that_the_server_cannot_use_is_invalid_target(server: Server) -> None:
    auth = ClientCredentialsAuth(*server.credentials, resources=["urn:example:api"])
    with pytest.raises(TokenError) as caught:
        requests.get(server.api, auth=auth)
    assert (caught.value.error, caught.value.status_code) == ("invalid_target", 400)


def test_cold_threads_share_one_token_request(server: Server) -> None:
    auth = ClientCredentialsAuth(*server.credentials, body="form")
    together = threading.Barrier(THREADS, timeout=30)

    def call() -> None:
        together.wait()
        assert requests.get(server.api, auth=auth).status_code == 200

    before = server.stats()
    in_threads(call)
    assert server.stats() - before == {"POST /token 200": 1, "GET /api 200": THREADS}


def test_revoked_token_is_replaced_behind_the_callers_back(server: Server) -> None:
    with ClientCredentialsSession(*server.credentials, base_url=server.url) as session:
        assert session.get("api").history == []
        revoked = session.auth.access_token
        server.revoke(revoked)
        before = server.stats()
        response = session.post("api", data=b"sent twice, received once")

    assert (response.status_code, response.content) == (200, b"sent twice, received once")
    assert [answer.status_code for answer in response.history] == [401]
    assert session.auth.access_token != revoked
    assert server.stats() - before == {
        "POST /api 401": 1,
        "POST /token 200": 1,
        "POST /api 200": 1,
    }


def test_token_revoked_under_load_is_replaced_once(server: Server) -> None:
    with ClientCredentialsSession(*server.credentials, base_url=server.url) as session:
        revoke = threading.Barrier(
            THREADS, lambda: server.revoke(session.auth.access_token), timeout=30
        )

        def calls() -> None:
            assert all(session.get("api").status_code == 200 for _ in range(10))
            revoke.wait()
            assert all(session.get("api").status_code == 200 for _ in range(10))

        session.auth.authorize()
        before = server.stats()
        in_threads(calls)

    answers = server.stats() - before
    assert answers["POST /token 200"] == 1
    assert answers["GET /api 200"] == THREADS * 20
    assert 1 <= answers["GET /api 401"] <= THREADS


def test_no_caller_notices_that_tokens_expire_under_load(start: Callable[..., Server]) -> None:
    server = start(lifetime=2)
    with ClientCredentialsSession(
        *server.credentials, base_url=server.url, body="form", leeway=0.5
    ) as session:
        end = time.monotonic() + 5

        def calls() -> None:
            while time.monotonic() < end:
                assert session.get("api").status_code == 200

        before = server.stats()
        in_threads(calls)

    # Each token serves for 1.5 s: four in 5 s, a little more or less as the machine allows.
    assert 2 <= (server.stats() - before)["POST /token 200"] <= 6
