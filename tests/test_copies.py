"""S2, L6: what leaves an auth or a session, in a pickle, a copy or a file, and what does not."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import subprocess
import sys
import textwrap

import pytest

from clientcreds_requests import (
    ClientCredentialsAuth,
    ClientCredentialsSession,
    ClientSecretBasic,
    ClientSecretJWT,
    ClientSecretPost,
    TLSClientAuth,
)
from clientcreds_requests.testing import Answer

COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda original: pickle.loads(pickle.dumps(original)),
}
copies = pytest.mark.parametrize("duplicate", COPIES.values(), ids=COPIES)


def secret_from_environment() -> str:
    return os.environ["TEST_CLIENT_SECRET"]


@pytest.fixture
def environment(server, monkeypatch):
    monkeypatch.setenv("TEST_CLIENT_SECRET", server.client_secret)


@pytest.fixture(params=[ClientCredentialsAuth, ClientCredentialsSession])
def make(request, server):
    return lambda secret, **options: request.param(
        server.token_endpoint, server.client_id, secret, **options
    )


@copies
def test_s2_a_literal_secret_is_neither_pickled_nor_copied(make, duplicate):
    with pytest.raises(TypeError, match=r"literal client_secret.*callable"):
        duplicate(make("s3cr3t-literal"))


@copies
@pytest.mark.parametrize(
    "method",
    [ClientSecretPost("s3cr3t"), ClientSecretBasic("s3cr3t"), ClientSecretJWT("s3cr3t", "issuer")],
    ids=lambda method: type(method).__name__,
)
def test_s2_a_method_with_a_literal_secret_is_not_copied_either(method, duplicate):
    with pytest.raises(TypeError, match="literal client_secret"):
        duplicate(method)


@copies
def test_s2_with_a_callable_copies_work_and_take_no_token_along(
    make, duplicate, server, environment
):
    original = make(secret_from_environment, scope="a b")
    auth_of(original).authorize()
    twin = duplicate(original)
    assert auth_of(twin).access_token is None
    assert auth_of(twin).authorize().access_token != auth_of(original).access_token
    assert [request.params["scope"] for request in server.token_requests] == ["a b", "a b"]


@copies
def test_s2_a_copied_session_is_whole(server, environment, duplicate):
    original = ClientCredentialsSession(
        server.token_endpoint, server.client_id, secret_from_environment, base_url=server.api_url
    )
    original.headers["X-Own"] = "1"
    with original, duplicate(original) as twin:
        assert twin.get("data").json()["path"] == "/api/data"
        assert server.api_requests[-1].headers["X-Own"] == "1"
        assert twin.auth is not original.auth
        assert twin.get_adapter(server.token_endpoint) is not original.get_adapter(
            server.token_endpoint
        )
        assert "X-Own" not in server.token_requests[-1].headers


@copies
def test_s2_a_client_without_a_secret_is_copied_as_it_is(server, duplicate):
    original = ClientCredentialsAuth(server.token_endpoint, "id", client_auth=TLSClientAuth())
    assert repr(duplicate(original)) == repr(original)


def test_s2_a_pickle_holds_no_token_and_no_secret(make, server, environment):
    original = make(secret_from_environment)
    token = auth_of(original).get_token()
    server.client_secret = "another secret"
    pickled = pickle.dumps(original)
    assert token.access_token.encode() not in pickled
    assert os.environ["TEST_CLIENT_SECRET"].encode() not in pickled


def test_s2_the_windows_travel_along(environment, server):
    original = ClientCredentialsAuth(
        server.token_endpoint,
        server.client_id,
        secret_from_environment,
        leeway=1,
        renew_ahead=7,
        deadline=3,
    )
    manager = copy.copy(original).manager
    assert (manager.leeway, manager.renew_ahead, manager.deadline) == (1, 7, 3)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_s2_multiprocessing_workers_get_tokens_of_their_own(make, server, environment, method):
    original = make(secret_from_environment)
    auth_of(original).authorize()
    context = multiprocessing.get_context(method)
    with context.Pool(2) as pool:
        tokens = pool.map(get_access_token, [original, original])
    assert all(tokens)
    assert auth_of(original).access_token not in tokens


def get_access_token(made) -> str:
    return auth_of(made).get_token().access_token


def auth_of(made) -> ClientCredentialsAuth:
    return made if isinstance(made, ClientCredentialsAuth) else made.auth


def test_l6_nothing_is_ever_written_anywhere(server):
    program = """
        import os, sys
        opened = []

        def note(event, arguments):
            if event == "open":
                path, mode, flags = arguments
                if (isinstance(mode, str) and set(mode) & set("wax+")) or flags & os.O_ACCMODE:
                    opened.append(path)

        import requests
        from clientcreds_requests import ClientCredentialsAuth
        sys.addaudithook(note)
        url, client_id, secret, api = sys.argv[1:]
        auth = ClientCredentialsAuth(url, client_id, secret, leeway=3599, renew_ahead=3600)
        first = auth.get_token()
        requests.get(api, auth=auth).raise_for_status()
        auth.manager.invalidate(first)
        requests.get(api, auth=auth).raise_for_status()
        auth.signout()
        open(os.devnull, "w").close()
        print(*opened)
    """
    where = (server.token_endpoint, server.client_id, server.client_secret, server.api_url)
    output = subprocess.run(
        [sys.executable, "-B", "-c", textwrap.dedent(program), *where],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert output.split() == [os.devnull]


def test_l5_after_signout_nothing_holds_a_token_of_a_session(server):
    program = """
        import gc, hashlib, re, sys
        from clientcreds_requests import ClientCredentialsSession

        def held():
            gc.collect()
            seen, pending, found = {}, gc.get_objects(), set()
            while pending:
                thing = pending.pop()
                if id(thing) not in seen:
                    seen[id(thing)] = thing
                    if isinstance(thing, (bytes, bytearray)):
                        thing = thing.decode("latin-1")
                    if not isinstance(thing, str):
                        pending += gc.get_referents(thing)
                    elif len(thing) >= 43:
                        found |= {digest(word) for word in re.findall("[A-Za-z0-9_-]{43}", thing)}
            return found

        def digest(word):
            return hashlib.sha256(word.encode()).hexdigest()

        api, *client = sys.argv[1:]
        session = ClientCredentialsSession(*client, base_url=api)
        issued = set()
        for _ in range(2):  # the first of them is refused by the second call
            session.get("data").raise_for_status()
            issued.add(digest(session.auth.get_token().access_token))
        sibling = session.auth.replace(scope="b").authorize()
        issued.add(digest(sibling.access_token))
        print(len(issued), bool(issued & held()))
        session.auth.signout()
        sibling.signout()
        print(len(issued & held()))
    """
    server.api_answer_next(None, Answer(401))
    where = (server.api_url, server.token_endpoint, server.client_id, server.client_secret)
    output = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), *where],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert output.split() == ["3", "True", "0"]
