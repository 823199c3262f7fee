"""A store of the user's own: asked where a token request would have been made, and nowhere else."""

from __future__ import annotations

import threading

import pytest
import requests
import trustme
from helpers import PATIENCE, Crowd

from clientcreds_requests import (
    ClientCredentialsAuth,
    TLSClientAuth,
    Token,
    TokenError,
    TokenTimeout,
)
from clientcreds_requests.jwt import DPoPKey


class Shelf:
    """A store within one process, which remembers what it was asked."""

    def __init__(self) -> None:
        self.tokens = {}
        self.asked = []

    def get_or_fetch(self, key, fetch, rejected):
        self.asked.append((key, rejected))
        token = self.tokens.get(key)
        if token is None or (rejected is not None and token.access_token == rejected.access_token):
            token = self.tokens[key] = fetch()
        return token


@pytest.fixture
def shelf():
    return Shelf()


def test_l6_two_auths_with_one_store_share_a_token(server, make_auth, shelf):
    first, second = make_auth(store=shelf), make_auth(store=shelf)
    assert first.get_token() is second.get_token()
    assert len(server.token_requests) == 1


def test_a_usable_token_does_not_ask_the_store(server, make_auth, shelf):
    auth = make_auth(store=shelf)
    for _ in range(5):
        assert requests.get(server.api_url, auth=auth).ok
    assert len(shelf.asked) == 1


class Forgetful(Shelf):
    """A store that is told of refusals."""

    def __init__(self) -> None:
        super().__init__()
        self.forgotten = []

    def forget(self, key, token):
        self.forgotten.append((key, token))


def test_r1_a_store_is_told_which_token_was_refused_and_not_which_is_due(server, make_auth):
    store = Forgetful()
    server.lifetime = 3600
    auth = make_auth(store=store, renew_ahead=3599)
    refused = auth.get_token()
    assert store.forgotten == []
    server.revoke_all()
    assert requests.get(server.api_url, auth=auth).ok
    (key, _), *_ = store.asked
    assert store.forgotten == [(key, refused)]
    assert [rejected for _, rejected in store.asked] == [None, refused]


def test_r3_a_stored_token_that_is_refused_too_is_replaced_at_once(server, make_auth):
    store = Forgetful()
    auth, other = make_auth(store=store), make_auth(store=store)
    auth.authorize()
    store.tokens.clear()
    other.authorize()  # has renewed, just before all were revoked
    server.revoke_all()
    assert requests.get(server.api_url, auth=auth).status_code == 401
    assert requests.get(server.api_url, auth=auth).ok
    assert len(server.token_requests) == 3


def test_l5_after_signing_out_nothing_is_rejected(server, make_auth, shelf):
    auth = make_auth(store=shelf)
    token = auth.get_token()
    auth.signout()
    assert auth.get_token() is token  # the others go on with it
    assert [rejected for _, rejected in shelf.asked] == [None, None]
    assert len(server.token_requests) == 1


def test_c2_a_store_that_hangs_holds_nobody_else_up_beyond_the_deadline(server, make_auth):
    entered, release = threading.Event(), threading.Event()

    class Hanging(Shelf):
        def get_or_fetch(self, key, fetch, rejected):
            token = super().get_or_fetch(key, fetch, rejected)
            if len(self.asked) == 1:
                entered.set()
                release.wait(PATIENCE)
            return token

    store = Hanging()
    auth = make_auth(store=store, deadline=0.5)
    slow = Crowd(1, auth.get_token)
    assert entered.wait(PATIENCE)
    with pytest.raises(TokenTimeout):
        auth.get_token()
    assert auth.get_token() is store.tokens[store.asked[0][0]]  # asked by itself
    release.set()
    assert slow.join() == [auth.get_token()]
    assert [rejected for _, rejected in store.asked] == [None, None]
    assert len(server.token_requests) == 1


def test_l1_a_token_that_lives_no_longer_than_the_leeway_is_left_to_others(
    server, make_auth, shelf, caplog
):
    server.lifetime = 125
    others = make_auth(store=shelf).get_token()
    auth = make_auth(store=shelf, leeway=125)
    server.lifetime = 3600
    assert auth.authorize().authorized
    assert auth.get_token() is not others
    assert [rejected for _, rejected in shelf.asked] == [None, None, others]
    assert "leeway" not in caplog.text


def test_a_refused_token_is_rejected_and_never_handed_out_again(server, make_auth, shelf):
    auth = make_auth(store=shelf)
    refused = auth.get_token()
    server.revoke_all()
    assert requests.get(server.api_url, auth=auth).ok
    assert [rejected for _, rejected in shelf.asked] == [None, refused]
    assert len(server.token_requests) == 2


def test_a_failed_token_request_is_the_callers_error(server, make_auth, shelf):
    with pytest.raises(TokenError) as caught:
        make_auth(store=shelf, client_secret="wrong secret").authorize()
    assert caught.value.error == "invalid_client"


class Full:
    """A store that has a token for everybody, and keeps the keys that it was asked for."""

    def __init__(self):
        self.keys = []

    def get_or_fetch(self, key, fetch, rejected):
        self.keys.append(key)
        return Token("stored-token")


@pytest.fixture
def key_for(make_auth):
    """The key under which a store is asked for the token of an auth with these arguments."""

    def key_for(**options):
        store = Full()
        make_auth(store=store, **options).authorize()
        return store.keys[0]

    return key_for


def test_the_key_depends_on_all_that_makes_a_token_the_clients_own(server, key_for):
    keys = [
        key_for(**options)
        for options in (
            {},
            {"scope": "a"},
            {"audience": "a"},
            {"resources": ["https://a"]},
            {"extra_params": {"tenant": "a"}},
            {"client_secret": "another secret"},
            {"client_auth": TLSClientAuth()},
        )
    ]
    for endpoint, client_id in (("?tenant=1", server.client_id), ("", "another-client")):
        store = Full()
        url = server.token_endpoint + endpoint
        ClientCredentialsAuth(url, client_id, server.client_secret, store=store).authorize()
        keys += store.keys
    assert len(set(keys)) == len(keys)
    assert {len(key) for key in keys} == {32}
    assert keys[0] == key_for()


def test_the_key_depends_on_further_header_fields(key_for):
    keys = [
        key_for(extra_headers=headers)
        for headers in (
            None,
            {"X-Tenant": "alpha"},
            {"X-Tenant": "beta"},
            {"X-Id": lambda: "anew each time"},
        )
    ]
    assert len(set(keys)) == len(keys)
    assert key_for(extra_headers={"x-tenant": "alpha"}) == keys[1]


def test_the_key_depends_on_what_the_tokens_are_bound_to(key_for, tmp_path):
    authority = trustme.CA()
    pems = [tmp_path / "a.pem", tmp_path / "b.pem"]
    for pem in pems:
        authority.issue_cert("client").private_key_and_cert_chain_pem.write_to_path(pem)
    session = requests.Session()
    session.cert = (str(pems[0]), "the-key-is-not-read.pem")
    dpop = DPoPKey.generate()
    keys = [
        key_for(),
        key_for(dpop=dpop),
        key_for(dpop=DPoPKey.generate()),
        key_for(client_auth=TLSClientAuth()),
        *(key_for(client_auth=TLSClientAuth(str(pem))) for pem in pems),
        key_for(session=session),
    ]
    assert len(set(keys)) == len(keys)
    assert key_for(dpop=dpop) == keys[1]
    assert key_for(client_auth=TLSClientAuth(), session=session) == keys[4]


def test_a_certificate_that_has_vanished_is_a_token_error_before_the_store_is_asked(
    make_auth, shelf
):
    session = requests.Session()
    session.cert = "no-such.pem"
    with pytest.raises(TokenError, match="reading the client certificate raised FileNotFoundErr"):
        make_auth(store=shelf, session=session).authorize()
    assert shelf.asked == []


def test_a_secret_that_cannot_be_read_is_a_token_error_before_the_store_is_asked(make_auth, shelf):
    def unreadable() -> str:
        raise FileNotFoundError("no such secret")

    with pytest.raises(TokenError, match="client_secret callable raised FileNotFoundError"):
        make_auth(store=shelf, client_secret=unreadable).authorize()
    assert shelf.asked == []


def test_w4_a_token_got_with_a_rotated_secret_is_stored_under_the_new_one(
    server, make_auth, shelf, key_for
):
    secrets = ["rotated out", server.client_secret]
    auth = make_auth(store=shelf, client_secret=lambda: secrets[0])

    def rotate(request):
        secrets.pop(0)

    server.answer_next(rotate)
    token = auth.get_token()
    old, new = (key for key, _ in shelf.asked)
    assert (old, new) == (key_for(client_secret="rotated out"), key_for())
    assert shelf.tokens == {new: token}
    assert len(server.token_requests) == 3  # JSON, a form, and that with the new secret


def test_the_token_request_is_made_with_the_secret_of_its_key(server, make_auth, key_for):
    secrets = [server.client_secret]
    seen = []

    class Rotates(Shelf):
        def get_or_fetch(self, key, fetch, rejected):
            secrets[0] = "another secret"
            seen.append(key)
            return fetch()

    auth = make_auth(store=Rotates(), client_secret=lambda: secrets[0])
    assert auth.get_token()
    assert seen == [key_for()]


def test_w4_a_failure_that_another_process_saw_is_over_once_the_secret_has_changed(
    server, make_auth
):
    secrets = ["rotated out"]

    class Hearsay(Shelf):
        def get_or_fetch(self, key, fetch, rejected):
            if secrets == ["rotated out"]:
                raise TokenError("rejected", error="invalid_client")
            return super().get_or_fetch(key, fetch, rejected)

    auth = make_auth(store=Hearsay(), client_secret=lambda: secrets[0])
    for _ in range(3):  # until the endpoint is left alone
        with pytest.raises(TokenError):
            auth.get_token()
    assert len(server.token_requests) == 0
    secrets[0] = server.client_secret
    assert auth.authorize().authorized
    assert len(server.token_requests) == 1


@pytest.mark.tells_secrets("the store is a list of the test's own, and pickled with its tokens")
def test_a_store_that_needs_a_secret_is_refused_to_a_client_without_one(make_auth, shelf):
    shelf.needs_secret = True
    assert make_auth(store=shelf).get_token()
    with pytest.raises(ValueError, match="encryption_key"):
        make_auth(store=shelf, client_auth=TLSClientAuth())
    shelf.needs_secret = False
    assert make_auth(store=shelf, client_auth=TLSClientAuth())


def test_w8_what_is_no_store_is_refused(make_auth):
    with pytest.raises(TypeError, match="store"):
        make_auth(store={})


def test_f4_a_store_that_returns_no_token_is_named(server, make_auth, shelf):
    shelf.get_or_fetch = lambda *_: None
    with pytest.raises(TokenError, match="store must return a Token, not NoneType"):
        make_auth(store=shelf).get_token()
    assert server.token_requests == []
