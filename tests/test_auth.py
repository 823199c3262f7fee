"""The auth by itself: its header, what it tells, its siblings, and where its token may go."""

from __future__ import annotations

import sys
import warnings

import pytest
import requests
from helpers import PATIENCE, Crowd, Held

from clientcreds_requests import (
    ClientCredentialsAuth,
    ClientCredentialsSession,
    ClientSecretBasic,
    ClientSecretPost,
    InsecureTransportError,
    TokenError,
)
from clientcreds_requests.testing import Answer

API = "https://api.example.com"


def header_for(auth, url):
    """The Authorization that a request to the URL would carry."""
    return requests.Request("GET", url, auth=auth).prepare().headers.get("Authorization")


# The header


def test_a_request_carries_the_token_and_the_api_accepts_it(server, auth):
    response = requests.get(server.api_url, auth=auth)
    assert response.status_code == 200
    assert response.request.headers["Authorization"] == f"Bearer {server.tokens[0].access_token}"
    assert [call.token_state for call in server.api_requests] == ["valid"]


def test_one_token_serves_many_requests_and_sessions(server, auth):
    with requests.Session() as session:
        session.auth = auth
        assert session.get(server.api_url).ok
        assert session.post(server.api_url, data="x").ok
    assert requests.get(server.api_url, auth=auth).ok
    assert len(server.token_requests) == 1


def test_the_token_replaces_an_authorization_header_of_the_caller(server, auth):
    requests.get(server.api_url, auth=auth, headers={"authorization": "Basic eDp5"})
    headers = server.api_requests[0].headers.get_all("Authorization")
    assert headers == [f"Bearer {server.tokens[0].access_token}"]


@pytest.mark.parametrize("ahead", ["wall", "mono"])
def test_l4_a_token_that_one_clock_says_is_due_is_put_on_no_request(clock, make_auth, ahead):
    auth = make_auth(renew_ahead=0)
    first = header_for(auth, API)
    setattr(clock, ahead, getattr(clock, ahead) + 3580 - 1.5)
    clock.advance(1)  # both clocks are looked at once a second
    assert header_for(auth, API) == first
    clock.advance(0.5)
    assert header_for(auth, API) not in (None, first)


def test_l4_a_jump_of_the_wall_clock_is_noticed_within_a_second(clock, make_auth):
    auth = make_auth(renew_ahead=0)
    first = header_for(auth, API)
    clock.step(3580)
    clock.advance(1)
    assert header_for(auth, API) not in (None, first)


def test_a_failure_to_get_a_token_keeps_the_request_from_being_sent(server, auth):
    server.answer_next(*[Answer(401, {"error": "invalid_client"})] * 2)
    with pytest.raises(TokenError, match="invalid_client"):
        requests.get(server.api_url, auth=auth)
    assert server.api_requests == []


# What it tells


def test_get_token_hands_out_the_token_that_requests_carry(server, make_auth):
    auth = make_auth(scope="a b")
    token = auth.get_token()
    assert token.access_token == auth.access_token == server.tokens[0].access_token
    assert auth.headers == {"Authorization": token.authorization}
    assert (token.scope, token.token_type) == ("a b", "Bearer")


def test_what_is_held_stays_visible_after_it_has_expired(server, clock, auth):
    server.lifetime = 100
    token = auth.get_token()
    clock.advance(101)
    assert not auth.authorized
    assert auth.access_token == token.access_token
    assert auth.headers == {"Authorization": token.authorization}
    assert auth.expires == int((clock.time() - 1) * 1000)


def test_a_token_without_an_expiry_is_authorized_and_has_no_expires(server, auth):
    server.lifetime = None
    auth.authorize()
    assert auth.authorized
    assert auth.expires is None


# Siblings

CHANGES = [
    pytest.param({"scope": "b"}, id="scope"),
    pytest.param({"resources": ["https://b.example"]}, id="resources"),
    pytest.param({"audience": "b"}, id="audience"),
    pytest.param({"extra_params": {"tenant": "b"}}, id="extra_params"),
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_sibling_asks_for_something_else_and_gets_a_token_of_its_own(server, make_auth, change):
    asked = {
        "scope": "a",
        "resources": ["https://a.example"],
        "audience": "a",
        "extra_params": {"tenant": "a"},
    }
    auth = make_auth(**asked)
    sibling = auth.authorize().replace(**change)
    assert not sibling.authorized
    sibling.authorize()
    assert auth.access_token == server.tokens[0].access_token
    assert sibling.access_token == server.tokens[1].access_token
    first, second = ({**request.params} for request in server.token_requests)
    if "extra_params" in change:
        assert (first.pop("tenant"), second.pop("tenant")) == ("a", "b")
    name = {"resources": "resource"}.get(*change, *change)
    assert {key for key in first if first[key] != second[key]} == {name} - {"extra_params"}


def test_a_sibling_that_asks_for_the_same_shares_the_token(server, make_auth):
    auth = make_auth(scope="a").authorize()
    same = auth.replace(scope="b").replace(scope="a")
    assert same.authorized
    assert same.get_token() is auth.get_token()
    assert same.endpoint is auth.endpoint
    assert same.manager is auth.manager
    assert len(server.token_requests) == 1


def test_siblings_never_wait_for_one_another(server, make_auth):
    auth, held = make_auth(scope="a"), Held()
    sibling = auth.replace(scope="b")
    server.answer_next(held)
    pending = Crowd(1, auth.authorize)
    assert held.arrived.wait(PATIENCE)
    sibling.authorize()
    assert (auth.authorized, sibling.authorized) == (False, True)
    assert (auth.authorizing is None, sibling.authorizing) == (False, None)
    held.released.set()
    assert pending.join() == [auth]
    assert auth.access_token == server.tokens[1].access_token


def test_sign_out_errors_and_refusals_of_a_sibling_are_its_own(server, make_auth):
    auth = make_auth(scope="a").authorize()
    sibling = auth.replace(scope="b").authorize()
    sibling.signout()
    assert not sibling.authorized
    server.answer_next(Answer(400, {"error": "invalid_scope"}))
    with pytest.raises(TokenError):
        sibling.authorize()
    assert (auth.error, sibling.error) == (None, "invalid_scope")
    sibling.authorize()
    server.revoke(str(sibling.access_token))
    assert requests.get(server.api_url, auth=sibling).ok
    assert auth.get_token().access_token == server.tokens[0].access_token


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        pytest.param({"resources": "https://a.example"}, TypeError, "resources", id="bare string"),
        pytest.param({"scope": 'a"b'}, ValueError, "scope", id="bad scope"),
        pytest.param({"extra_params": {"scope": "x"}}, ValueError, "scope", id="own argument"),
        pytest.param({"client_id": "x"}, TypeError, "client_id", id="not replaceable"),
    ],
)
def test_replace_checks_its_arguments_as_the_constructor_does(auth, changes, error, match):
    with pytest.raises(error, match=match):
        auth.replace(**changes)


# W7: nothing in the clear


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example.com/",
        "http://10.0.0.1/",
        "http://localhost.example.com/",
        "http://[::2]/",
    ],
)
def test_w7_a_request_in_the_clear_is_refused_before_a_token_is_asked_for(server, auth, url):
    with pytest.raises(InsecureTransportError, match="the API http://"):
        requests.get(url, auth=auth)
    assert server.token_requests == []


def test_w7_a_request_in_the_clear_is_refused_before_any_socket_is_opened(server, auth):
    # Not a loopback address by name, but one that reaches the server.
    url = server.api_url.replace("127.0.0.1", "0.0.0.0")
    with pytest.raises(InsecureTransportError):
        requests.get(f"{url}?key=hidden", auth=auth)
    assert server.api_requests == server.token_requests == []


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/", "http://localhost:81/", "http://[::1]/", "http://127.8.8.8/x", API]
)
def test_w7_https_and_loopback_need_no_permission(auth, url):
    assert header_for(auth, url) == auth.headers["Authorization"]


def test_w7_allow_http_lets_the_token_travel_in_the_clear(make_auth):
    auth = make_auth(allow_http=True)
    assert header_for(auth, "http://api.example.com/") == auth.headers["Authorization"]


def test_w7_the_error_says_what_to_do_and_leaves_the_query_out(auth):
    with pytest.raises(
        InsecureTransportError, match="use https, or pass allow_http=True"
    ) as caught:
        requests.get("http://api.example.com/data?key=hidden", auth=auth)
    assert "hidden" not in str(caught.value)


# R5: only to its origins

ALLOWED = [
    pytest.param(f"{API}/data", id="origin"),
    pytest.param(f"{API}:443/", id="default port"),
    pytest.param("HTTPS://API.Example.COM/", id="upper case"),
    pytest.param(f"{API}?q=https://evil.test/", id="query only"),
    pytest.param("https://user:pw@api.example.com/", id="userinfo"),
    pytest.param("https://bücher.example/", id="idn"),
    pytest.param("https://xn--bcher-kva.example/", id="punycode"),
    # requests decodes the dot before it connects.
    pytest.param("https://api%2eexample.com/", id="percent-encoded dot"),
    # requests ends the host at the backslash, and connects to api.example.com.
    pytest.param(f"{API}\\@evil.test/", id="backslash at"),
]
FOREIGN = [
    pytest.param(f"{API}:444/", id="other port"),
    pytest.param("http://api.example.com/", id="other scheme"),
    pytest.param("http://api.example.com:443/", id="other scheme, same port"),
    pytest.param("https://example.com/", id="parent domain"),
    pytest.param("https://v2.api.example.com/", id="subdomain"),
    pytest.param(f"{API}.evil.test/", id="suffix"),
    pytest.param("https://evil-api.example.com/", id="prefix"),
    pytest.param(f"{API}@evil.test/", id="userinfo"),
    pytest.param(f"{API}:443@evil.test/", id="userinfo with port"),
    pytest.param("https://evil.test/\\@api.example.com/", id="in the path"),
    pytest.param("https://evil.test\\.api.example.com/", id="backslash dot"),
    pytest.param("https://evil.test\\@api.example.com/", id="backslash at"),
    pytest.param("https://api.example.com./", id="trailing dot"),
    pytest.param("https://bucher.example/", id="not the idn"),
]


@pytest.fixture
def bound_auth(make_auth):
    """An auth whose token may go to two origins; it has trusted one of them already."""
    auth = make_auth(allowed_origins=[API, "https://bücher.example:443/"])
    assert header_for(auth, f"{API}/first") is not None
    return auth


@pytest.mark.parametrize("url", ALLOWED)
def test_r5_the_token_goes_to_an_allowed_origin_however_it_is_written(bound_auth, url):
    for _ in range(2):
        assert header_for(bound_auth, url) == bound_auth.headers["Authorization"]


@pytest.mark.parametrize("url", FOREIGN)
def test_r5_a_request_to_another_origin_goes_out_without_the_token(bound_auth, url):
    for _ in range(2):
        request = requests.Request("GET", url, auth=bound_auth).prepare()
        assert "Authorization" not in request.headers
        assert request.hooks["response"] == []


def test_r5_a_request_to_another_origin_asks_for_no_token(server, make_auth):
    auth = make_auth(allowed_origins=[API])
    assert requests.get(server.api_url, auth=auth).status_code == 401
    assert server.token_requests == []
    assert [call.token_state for call in server.api_requests] == ["none"]


def test_r5_no_allowed_origin_at_all_is_nowhere(make_auth):
    assert header_for(make_auth(allowed_origins=[]), API) is None


def test_r5_an_origin_that_was_trusted_lends_its_trust_to_nobody(auth):
    assert header_for(auth, "http://127.0.0.1:80/") is not None
    for url in ("http://127.0.0.1:80@evil.test/", "http://127.0.0.1.evil.test/"):
        with pytest.raises(InsecureTransportError):
            header_for(auth, url)


def test_r5_many_origins_are_judged_as_one_is(make_auth):
    origins = [f"https://api{number}.example.com" for number in range(20)]
    auth = make_auth(allowed_origins=origins)
    for _ in range(2):
        assert all(header_for(auth, origin) for origin in origins)
        assert header_for(auth, "https://api20.example.com") is None


@pytest.mark.parametrize(
    ("url", "goes"),
    [
        pytest.param(f"{API}?x=1", True, id="no path"),
        pytest.param(f"{API}\\@evil.test/", False, id="parsers disagree"),
        pytest.param(
            "https://evil.test\\@api.example.com/", False, id="parsers disagree, reversed"
        ),
        pytest.param("", False, id="empty"),
    ],
)
def test_r5_a_url_that_requests_did_not_prepare_is_judged_with_suspicion(bound_auth, url, goes):
    request = requests.Request("GET", API).prepare()
    request.url = url
    assert ("Authorization" in bound_auth(request).headers) is goes


def test_r5_a_host_that_nobody_can_tell_is_no_loopback_host(auth):
    request = requests.Request("GET", API).prepare()
    request.url = "http://evil.test\\@127.0.0.1/"  # urllib3 connects to evil.test
    with pytest.raises(InsecureTransportError):
        auth(request)


@pytest.mark.parametrize(
    ("origins", "error"),
    [
        pytest.param(API, TypeError, id="bare string"),
        pytest.param([f"{API}/v1"], ValueError, id="path"),
        pytest.param([f"{API}?q"], ValueError, id="query"),
        pytest.param([f"{API}#f"], ValueError, id="fragment"),
        pytest.param(["https://user@api.example.com"], ValueError, id="userinfo"),
        pytest.param(["api.example.com"], ValueError, id="no scheme"),
        pytest.param(["ftp://api.example.com"], ValueError, id="other scheme"),
        pytest.param(["https://api.example.com:99999"], ValueError, id="port"),
        pytest.param([b"https://api.example.com"], TypeError, id="bytes"),
        pytest.param(["http://api.example.com"], InsecureTransportError, id="in the clear"),
    ],
)
def test_r5_allowed_origins_must_be_origins(make_auth, origins, error):
    with pytest.raises(error, match="allowed_origins"):
        make_auth(allowed_origins=origins)


# R6, S1, S3


def test_r6_a_netrc_entry_never_replaces_the_token(server, auth, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login user password pw\n")
    monkeypatch.setenv("NETRC", str(netrc))
    assert requests.get(server.api_url, auth=auth).ok
    assert server.api_requests[0].token_state == "valid"
    assert "Authorization" not in server.token_requests[0].headers


def test_s1_nothing_shows_a_secret_or_a_token_in_its_repr(server):
    endpoint = f"{server.token_endpoint}?key=hidden"
    client = (server.client_id, server.client_secret)
    with ClientCredentialsSession(endpoint, *client) as session:
        request = requests.Request("GET", server.api_url, auth=session.auth).prepare()
        auth = session.auth
        shown = [session, auth, auth.endpoint, auth.manager, auth.get_token(), request]
        shown += [*request.hooks["response"], auth.replace(scope="a"), auth.initialize()]
        shown += [ClientSecretPost(client[1]), ClientSecretBasic(client[1])]
    text = " ".join(f"{thing!r} {thing}" for thing in shown)
    assert f"<ClientCredentialsAuth {server.token_endpoint} 'my-service' " in text
    assert server.client_secret not in text
    assert server.tokens[0].access_token not in text
    assert "hidden" not in text


def test_s1_a_token_does_not_show_when_it_is_made_part_of_something(auth):
    token = auth.get_token()
    assert token.access_token not in repr({"token": token, "more": [token]})
    assert token.access_token not in f"{token}"


@pytest.mark.parametrize(
    "make",
    [
        lambda url: ClientCredentialsAuth(url, "id", "secret"),
        lambda url: ClientCredentialsAuth.from_issuer(url, "id", "secret"),
        lambda _: ClientCredentialsAuth.from_env("S3_"),
        lambda url: ClientCredentialsSession(url, "id", "secret"),
        lambda url: ClientCredentialsSession.from_issuer(url, "id", "secret"),
        lambda _: ClientCredentialsSession.from_env("S3_"),
    ],
)
def test_s3_in_a_browser_the_constructor_warns_where_it_is_called(server, monkeypatch, make):
    settings = {"TOKEN_ENDPOINT": server.token_endpoint, "CLIENT_ID": "id", "CLIENT_SECRET": "s"}
    for name, value in settings.items():
        monkeypatch.setenv(f"S3_{name}", value)
    monkeypatch.setattr(sys, "platform", "emscripten")
    with pytest.warns(UserWarning, match="auth.clientCredentials: You should NEVER use") as caught:
        make(server.url)
    (warning,) = caught
    assert (warning.filename, warning.lineno) == (__file__, make.__code__.co_firstlineno)
    assert str(warning.message) == (
        "auth.clientCredentials: You should NEVER use this in a browser environment. You will "
        "expose your 'clientSecret' to anyone who can inspect this code allowing anyone access."
    )


def test_s3_anywhere_else_it_does_not(server):
    with warnings.catch_warnings(record=True) as caught:
        ClientCredentialsAuth(server.token_endpoint, "id", "secret")
    assert caught == []


@pytest.mark.parametrize("before", [{}, {"authorization": "of the caller"}, {"AUTHORIZATION": "x"}])
def test_the_header_is_set_as_requests_itself_would(server, auth, before):
    prepared = requests.Request("GET", server.api_url, headers=before).prepare()
    expected = prepared.headers.copy()
    auth(prepared)
    expected["Authorization"] = f"Bearer {auth.access_token}"
    assert list(prepared.headers.items()) == list(expected.items())
    assert prepared.headers == expected
    assert prepared.copy().headers["authorization"] == expected["Authorization"]


def test_other_headers_than_those_of_requests_get_it_too(auth):
    prepared = requests.Request("GET", API, auth=auth).prepare()
    for _ in range(2):  # with a token at hand, and an origin that is known
        prepared.headers = {}
        assert auth(prepared).headers == auth.headers
