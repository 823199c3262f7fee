"""Finding a token endpoint by its issuer: RFC 8414, OpenID Connect, and what may go wrong."""

from __future__ import annotations

import copy
import logging

import pytest
import requests
from helpers import PATIENCE, Crowd, Held, elsewhere, together, token_answer, until

from clientcreds_requests import (
    ClientCredentialsAuth,
    ClientCredentialsSession,
    ClientSecretBasic,
    InsecureTransportError,
    TLSClientAuth,
    TokenConnectionError,
    TokenError,
    TokenTimeout,
)
from clientcreds_requests.discovery import Issuer, discover
from clientcreds_requests.testing import RESET, Answer
from clientcreds_requests.testing.listener import Listener

RFC_8414 = "/.well-known/oauth-authorization-server"
OPENID = "/.well-known/openid-configuration"


class Site(Listener):
    """A server that answers each path with the next of its answers, the last one for ever."""

    def __init__(self) -> None:
        super().__init__(lambda request: request, self._page, lambda: 0.0)
        self.pages: dict[str, list] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def metadata(self, path="", **members):
        """The metadata of the issuer at that path; a member that is None is left out."""
        document = {
            "issuer": self.url + path,
            "token_endpoint": f"{self.url}/token",
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
        } | members
        return {name: value for name, value in document.items() if value is not None}

    def _page(self, request):
        answers = self.pages.get(request.path, [Answer(404)])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return answer if isinstance(answer, Answer) else Answer(200, answer)

    def paths(self):
        return [request.path for request in self.requests()]


@pytest.fixture
def site():
    site = Site()
    site.start()
    site.pages["/token"] = [token_answer("a-token")]
    yield site
    site.stop()


def failure(site, path="", **options) -> TokenError:
    with pytest.raises(TokenError) as caught:
        discover(site.url + path, retries=0, **options)
    return caught.value


# Where it is


@pytest.mark.parametrize(
    ("issuer", "first", "second"),
    [
        ("https://h", f"https://h{RFC_8414}", f"https://h{OPENID}"),
        ("https://h/", f"https://h{RFC_8414}", f"https://h{OPENID}"),
        ("https://h/t1", f"https://h{RFC_8414}/t1", f"https://h/t1{OPENID}"),
        ("https://h/t1/", f"https://h{RFC_8414}/t1", f"https://h/t1{OPENID}"),
        ("https://h:8443/a/b", f"https://h:8443{RFC_8414}/a/b", f"https://h:8443/a/b{OPENID}"),
        ("https://h/h", f"https://h{RFC_8414}/h", f"https://h/h{OPENID}"),
    ],
)
def test_the_metadata_is_where_the_standards_put_it(issuer, first, second):
    assert Issuer(issuer).metadata_urls == (first, second)


@pytest.mark.parametrize("path", ["", "/", "/t1", "/t1/"])
@pytest.mark.parametrize("openid", [False, True])
def test_both_places_are_looked_at_in_order(site, path, openid):
    inserted, appended = RFC_8414 + path.rstrip("/"), path.rstrip("/") + OPENID
    site.pages[appended if openid else inserted] = [site.metadata(path)]
    found = discover(site.url + path)
    assert (found.issuer, found.token_endpoint) == (site.url + path, f"{site.url}/token")
    assert site.paths() == ([inserted, appended] if openid else [inserted])


@pytest.mark.parametrize(
    "unusable",
    [
        Answer(404),
        Answer(403, "no"),
        Answer(204),
        Answer(200, "<html>"),
        Answer(200, "[]"),
        Answer(200, {}),
        Answer(500),
        Answer(302),
        Answer(302, headers={"Location": "http://[::"}),
    ],
    ids=repr,
)
def test_what_is_no_metadata_sends_it_to_the_other_place(site, unusable):
    site.pages = {RFC_8414: [unusable], OPENID: [site.metadata()]}
    assert discover(site.url, retries=0).token_endpoint == f"{site.url}/token"


def test_the_request_asks_for_json_and_carries_nothing_else(site):
    site.pages[RFC_8414] = [site.metadata()]
    session = requests.Session()
    session.headers["X-Key"] = "of the API"
    session.params = {"k": "of the API"}
    session.cookies.set("c", "of the API")
    discover(site.url, session=session)
    (request,) = site.requests()
    assert (request.method, request.query, request.body) == ("GET", "", b"")
    assert request.headers["Accept"] == "application/json"
    assert {"X-Key", "Cookie", "Authorization"}.isdisjoint(request.headers)


def test_the_local_server_has_its_metadata_at_both_places_and_nowhere_else(server):
    for place in (RFC_8414, OPENID):
        metadata = requests.get(server.issuer + place).json()
        assert metadata["token_endpoint"] == server.token_endpoint
    assert requests.get(f"{server.issuer}{RFC_8414}/tenant").status_code == 404
    assert len(server.metadata_requests) == 3
    assert server.token_requests == []


# What may be believed


@pytest.mark.parametrize(
    "said",
    [
        "https://other.example",
        "{url}/",
        "{url}/t1",
        "HTTP://127.0.0.1:{port}",
        "https://login.example/{{tenantid}}/v2.0",
        "",
        None,
        5,
        ["{url}"],
    ],
    ids=str,
)
def test_metadata_of_another_issuer_is_not_used(site, said):
    if isinstance(said, str):
        said = said.format(url=site.url, port=site.port)
    site.pages = {place: [site.metadata(issuer=said)] for place in (RFC_8414, OPENID)}
    error = failure(site)
    assert f"expected '{site.url}'" in str(error)
    assert not error.retryable
    assert set(site.paths()) == {RFC_8414, OPENID}


def test_an_issuer_with_a_final_slash_is_another_than_one_without(site):
    site.pages[RFC_8414] = [site.metadata("/")]
    assert discover(f"{site.url}/").issuer == f"{site.url}/"
    with pytest.raises(TokenError, match=f"names issuer '{site.url}/', expected '{site.url}'"):
        discover(site.url)


@pytest.mark.parametrize(
    ("endpoint", "problem"),
    [
        (None, "names no token_endpoint"),
        (5, "names no token_endpoint"),
        ("", "must not be empty"),
        ("/token", "must be an absolute http or https URL"),
        ("ftp://h/token", "must be an absolute http or https URL"),
        ("https://h/token#f", "may not have a fragment"),
        ("https://me:secret@h/token", "may not hold credentials"),
        ("http://auth.example.com/token", "is not https"),
        ("http://auth.example.com/" + "a" * 9999, "http://auth.example.com/aaa"),
        ("https://auth.example.com/" + "a" * 976, "of more than 1000 characters"),
        ("https://auth.example.com/" + "é" * 163, "of more than 1000 characters"),
    ],
)
def test_a_token_endpoint_that_cannot_be_used_is_refused(site, endpoint, problem):
    site.pages[RFC_8414] = [site.metadata(token_endpoint=endpoint)]
    error = str(failure(site))
    assert problem in error
    assert len(error) < 1000


def test_the_endpoint_of_an_https_issuer_is_https_even_on_loopback(site):
    from clientcreds_requests.discovery import _endpoint

    with pytest.raises(ValueError, match="without https"):
        _endpoint("http://127.0.0.1/token", "https://issuer.example", True)


@pytest.mark.parametrize(
    ("listed", "methods"),
    [
        (["client_secret_post", "private_key_jwt"], ("client_secret_post", "private_key_jwt")),
        (None, ("client_secret_basic",)),  # RFC 8414 §2
        ("client_secret_post", ("client_secret_basic",)),
        ([5, "none"], ("none",)),
    ],
)
def test_the_methods_are_those_that_are_listed(site, listed, methods):
    members = {"token_endpoint_auth_methods_supported": listed}
    site.pages[RFC_8414] = [site.metadata(**members)]
    assert discover(site.url).client_auth_methods == methods


# Within bounds


def test_a_redirect_within_the_origin_is_followed(site):
    site.pages = {
        RFC_8414: [Answer(302, headers={"Location": "/moved"})],
        "/moved": [site.metadata()],
    }
    assert discover(site.url).token_endpoint == f"{site.url}/token"
    assert site.paths() == [RFC_8414, "/moved"]


def test_a_redirect_to_another_origin_is_not_followed(site):
    away = Answer(302, headers={"Location": elsewhere(site.url) + "/evil?k=v"})
    site.pages = {RFC_8414: [away], OPENID: [away], "/evil": [site.metadata()]}
    error = failure(site)
    assert f"redirects to {elsewhere(site.url)}," in str(error)
    assert "evil" not in str(error)
    assert site.paths() == [RFC_8414, OPENID]


def test_a_redirect_with_userinfo_is_not_followed(site):
    host = site.url.removeprefix("http://")
    away = Answer(302, headers={"Location": f"http://user:password@{host}/moved"})
    site.pages = {RFC_8414: [away], "/moved": [site.metadata()], OPENID: [site.metadata()]}
    assert discover(site.url).token_endpoint == f"{site.url}/token"
    assert site.paths() == [RFC_8414, OPENID]


def test_a_redirect_to_a_name_beyond_ascii_is_one_to_another_origin(site):
    away = Answer(302, headers={"Location": "http://%C3%A9vil.example/"})
    site.pages = {RFC_8414: [away], OPENID: [away]}
    assert "only those within its origin are followed" in str(failure(site))
    assert Issuer("https://b\u00fccher.example/t").metadata_urls == (
        f"https://xn--bcher-kva.example{RFC_8414}/t",
        f"https://xn--bcher-kva.example/t{OPENID}",
    )


def test_redirects_without_end_are_given_up(site):
    site.pages = {RFC_8414: [Answer(302, headers={"Location": RFC_8414})]}
    assert "redirects more than 3 times" in str(failure(site))
    assert site.paths() == [RFC_8414] * 4 + [OPENID]


def test_a_document_without_end_is_given_up(site):
    site.pages[RFC_8414] = [Answer(200, b" " * (1024 * 1024 + 1) + b"{}")]
    assert "larger than" in str(failure(site))
    site.pages[OPENID] = [site.metadata()]
    assert discover(site.url).token_endpoint == f"{site.url}/token"


def test_a_server_that_does_not_answer_is_given_up_in_time(site):
    site.pages[RFC_8414] = [Answer()]
    held = Held()
    site.scripts.append(held)
    try:
        assert isinstance(failure(site, timeout=0.2), TokenTimeout)
    finally:
        held.released.set()


def test_a_failure_tells_all_that_was_tried_in_one_line(site):
    site.pages = {
        RFC_8414: [Answer(503, headers={"Retry-After": "7"})],
        OPENID: [Answer(503, headers={"Retry-After": "7"})],
    }
    error = failure(site)
    assert str(error) == (
        f"no metadata of issuer {site.url}: {site.url}{RFC_8414} answers with status 503; "
        f"{site.url}{OPENID} answers with status 503; check the issuer, or pass the token endpoint"
    )
    assert (error.status_code, error.retryable, error.retry_after) == (503, True, 7.0)


def test_of_two_failures_the_one_that_may_pass_is_told(site):
    site.pages[RFC_8414] = [Answer(503, headers={"Retry-After": "60"})]
    error = failure(site)
    assert (error.status_code, error.retryable, error.retry_after) == (503, True, 60.0)


def test_a_failure_that_lasts_is_given_up_after_three_retries(site, clock):
    site.pages[RFC_8414] = [Answer(503)]
    with pytest.raises(TokenError, match="503"):
        discover(site.url)
    assert site.paths() == [RFC_8414] * 4 + [OPENID]


def test_a_failure_at_the_second_place_tells_of_the_first_as_well(site):
    site.pages[RFC_8414] = [site.metadata(issuer="https://other.example")]
    site.scripts.extend([None, RESET])
    error = failure(site)
    assert isinstance(error, TokenConnectionError)
    assert "other.example" in str(error)
    assert f"; {site.url}{OPENID}: " in str(error)


def test_a_server_that_is_down_is_a_connection_error(site):
    site.stop()
    error = failure(site)
    assert isinstance(error, TokenConnectionError)
    assert error.retryable
    assert str(error).startswith(f"no metadata of issuer {site.url}: {site.url}{RFC_8414}: ")


def test_the_words_of_a_server_are_one_bounded_line(site):
    said = "x\r\nERROR forged \x1b[31m" + "y" * 10_000
    site.pages[RFC_8414] = [site.metadata(issuer=said)]
    error = str(failure(site))
    assert error.isprintable()
    assert len(error) < 1000


# Bad input


@pytest.mark.parametrize(
    ("issuer", "kind", "says"),
    [
        ("auth.example.com", ValueError, "issuer must be an absolute http or https URL"),
        ("", ValueError, "issuer must not be empty"),
        (None, TypeError, "issuer must be a str"),
        ("https://h/?tenant=1", ValueError, "issuer may not have a query"),
        ("https://h/#f", ValueError, "issuer may not have a fragment"),
        ("https://me:pw@h/", ValueError, "issuer may not hold credentials"),
        (f"https://h{OPENID}", ValueError, "without /.well-known/"),
        ("http://auth.example.com", InsecureTransportError, "is not https"),
    ],
)
def test_w8_what_is_no_issuer_is_refused_by_the_constructors(issuer, kind, says):
    for make in (ClientCredentialsAuth, ClientCredentialsSession):
        with pytest.raises(kind, match=says):
            make.from_issuer(issuer, "me", "a-secret")
    with pytest.raises(kind, match=says):
        discover(issuer)


@pytest.mark.parametrize(
    ("options", "kind", "says"),
    [
        ({"issuer": "http://auth.example.com"}, InsecureTransportError, "^issuer .* is not https"),
        ({"timeout": 0}, ValueError, "^timeout must"),
        ({"deadline": 0}, ValueError, "^deadline must"),
        ({"retries": -1}, ValueError, "^retries must"),
        ({"allow_http": 1}, TypeError, "^allow_http must"),
    ],
    ids=str,
)
def test_w8_a_wrong_argument_of_discover_is_named(options, kind, says):
    with pytest.raises(kind, match=says):
        discover(**{"issuer": "https://auth.example.com", **options})


def test_w7_a_proxy_on_another_machine_is_not_asked_for_the_metadata_in_the_clear(site):
    proxy = {"http": "http://proxy.example.com:3128"}
    with ClientCredentialsSession.from_issuer(site.url, "me", "a-secret") as session:
        session.proxies = proxy
        with pytest.raises(InsecureTransportError, match="its proxy is on another machine"):
            session.auth.authorize()
    assert site.paths() == []


@pytest.mark.parametrize("options", [{}, {"client_auth": "client_secret_jwt"}], ids=str)
def test_w8_a_client_without_a_secret_or_another_method_is_refused(options):
    with pytest.raises(ValueError, match="client_secret is needed"):
        ClientCredentialsAuth.from_issuer("https://h", "me", **options)


def test_w8_a_token_endpoint_beside_the_issuer_is_refused():
    with pytest.raises(TypeError, match="token_endpoint"):
        ClientCredentialsAuth.from_issuer("https://h", "me", "s3cret", token_endpoint="https://h/t")


def test_w8_other_bad_arguments_are_refused_as_by_the_constructor():
    with pytest.raises(TypeError, match="colour"):
        ClientCredentialsAuth.from_issuer("https://h", "me", "a-secret", colour="red")
    with pytest.raises(ValueError, match="leeway"):
        ClientCredentialsAuth.from_issuer("https://h", "me", "a-secret", leeway=-1)


# From the issuer to the token


def test_from_issuer_needs_nothing_but_issuer_id_and_secret(server):
    auth = ClientCredentialsAuth.from_issuer(server.issuer, server.client_id, server.client_secret)
    assert server.metadata_requests == []  # not before a token is needed
    assert requests.get(server.api_url, auth=auth).ok
    assert len(server.metadata_requests) == 1
    (request,) = server.token_requests  # a form at once, by a method that is listed
    assert request.headers.get_content_type() == "application/x-www-form-urlencoded"


def test_from_issuer_makes_sessions_too(server):
    with ClientCredentialsSession.from_issuer(
        server.issuer, server.client_id, server.client_secret, base_url=server.api_url
    ) as session:
        assert session.get("data").ok
    assert [len(server.metadata_requests), len(server.token_requests)] == [1, 1]


@pytest.mark.parametrize(
    ("listed", "sends"),
    [
        (["client_secret_basic", "client_secret_post"], "client_secret"),
        (["client_secret_basic", "private_key_jwt"], "Authorization"),
        (["client_secret_jwt"], "client_assertion"),
        (None, "Authorization"),
    ],
    ids=str,
)
def test_the_secret_goes_by_a_method_that_the_server_lists(site, listed, sends):
    members = {"token_endpoint_auth_methods_supported": listed}
    site.pages[RFC_8414] = [site.metadata(**members)]
    ClientCredentialsAuth.from_issuer(site.url, "me", "a-secret").authorize()
    request = site.requests()[-1]
    offers = {"client_secret", "client_assertion"} & request.params.keys()
    offers |= {"Authorization"} & set(request.headers)
    assert offers == {sends}


def test_a_server_that_lists_no_method_with_a_secret_is_named_with_what_it_lists(site):
    listed = {"token_endpoint_auth_methods_supported": ["private_key_jwt", "tls_client_auth"]}
    site.pages[RFC_8414] = [site.metadata(**listed)]
    with pytest.raises(TokenError, match=r"\(private_key_jwt, tls_client_auth\).*client_auth"):
        ClientCredentialsAuth.from_issuer(site.url, "me", "a-secret").authorize()
    assert "/token" not in site.paths()


@pytest.mark.parametrize("name", ["client_secret_basic", "client_secret_post", "client_secret_jwt"])
def test_a_method_that_is_said_holds_whatever_is_listed(site, name):
    site.pages[RFC_8414] = [
        site.metadata(token_endpoint_auth_methods_supported=["private_key_jwt"])
    ]
    ClientCredentialsAuth.from_issuer(site.url, "me", "a-secret", client_auth=name).authorize()
    ClientCredentialsAuth.from_issuer(
        site.url, "me", client_auth=ClientSecretBasic("a-secret")
    ).authorize()
    named, given = [request for request in site.requests() if request.path == "/token"]
    assert ("Authorization" in named.headers) == (name == "client_secret_basic")
    assert ("client_secret" in named.params) == (name == "client_secret_post")
    assert ("client_assertion" in named.params) == (name == "client_secret_jwt")
    assert "Authorization" in given.headers


def test_a_body_that_is_said_holds(site):
    site.pages[RFC_8414] = [site.metadata()]
    ClientCredentialsAuth.from_issuer(site.url, "me", "a-secret", body="json").authorize()
    assert site.requests()[-1].headers.get_content_type() == "application/json"


def test_clients_with_a_certificate_ask_at_the_alias(site):
    alias = {"mtls_endpoint_aliases": {"token_endpoint": f"{site.url}/mtls"}}
    site.pages |= {RFC_8414: [site.metadata(**alias)], "/mtls": [token_answer("bound")]}
    auth = ClientCredentialsAuth.from_issuer(site.url, "me", client_auth=TLSClientAuth())
    assert auth.get_token().access_token == "bound"
    auth = ClientCredentialsAuth.from_issuer(site.url, "me", "a-secret")
    assert auth.get_token().access_token == "a-token"
    session = requests.Session()
    session.cert = __file__  # without TLS nobody reads it
    auth = ClientCredentialsAuth.from_issuer(site.url, "me", "a-secret", session=session)
    assert auth.get_token().access_token == "bound"


def test_a1_what_stops_the_search_on_this_side_is_a_token_error_too(site):
    session = requests.Session()
    session.cert = "no-such-file.pem"
    auth = ClientCredentialsAuth.from_issuer(site.url, "me", "a-secret", session=session)
    with pytest.raises(TokenError, match=r"no metadata of issuer.*no-such-file\.pem"):
        auth.authorize()


@pytest.mark.parametrize(
    "aliases",
    [{}, [], *({"token_endpoint": alias} for alias in (None, "", 5, "http://other.example/"))],
    ids=str,
)
def test_without_an_alias_they_ask_where_everybody_does(site, aliases):
    site.pages[RFC_8414] = [site.metadata(mtls_endpoint_aliases=aliases)]
    auth = ClientCredentialsAuth.from_issuer(site.url, "me", client_auth=TLSClientAuth())
    assert auth.get_token().access_token == "a-token"


# In the course of time


def test_c1_callers_who_need_one_token_share_the_search_for_its_endpoint(site):
    site.pages[RFC_8414] = [site.metadata()]
    auth = ClientCredentialsAuth.from_issuer(site.url, "me", "a-secret")
    tokens = together(16, auth.get_token)
    assert {token.access_token for token in tokens} == {"a-token"}
    assert site.paths() == [RFC_8414, "/token"]


def test_what_was_found_serves_every_token_request(site):
    site.pages[RFC_8414] = [site.metadata()]
    auth = ClientCredentialsAuth.from_issuer(site.url, "me", "a-secret")
    for number in range(8):
        auth.replace(scope=f"s{number}").authorize()
    assert site.paths() == [RFC_8414] + ["/token"] * 8


def test_c1_different_token_requests_do_not_wait_for_one_anothers_search(site):
    site.pages[RFC_8414] = [site.metadata()]
    auth, held = ClientCredentialsAuth.from_issuer(site.url, "me", "a-secret"), Held()
    site.scripts.append(held)
    slow = Crowd(1, auth.authorize)
    assert held.arrived.wait(PATIENCE)
    assert auth.replace(scope="b").authorize().authorized
    held.released.set()
    assert slow.join() == [auth]


def test_c1_a_failed_search_is_shared_too(site):
    held = Held(Answer(403))
    site.scripts.append(held)
    auth = ClientCredentialsAuth.from_issuer(site.url, "me", "a-secret")
    crowd = Crowd(2, auth.authorize)
    assert held.arrived.wait(PATIENCE)
    until(lambda: auth.manager.stats().joined == 1)
    held.released.set()
    assert [type(error) for error in crowd.join()] == [TokenError] * 2
    assert site.paths() == [RFC_8414, OPENID]


def test_c2_whoever_waits_for_the_search_of_another_waits_no_longer_than_the_deadline(site):
    held = Held()
    site.scripts.append(held)
    auth = ClientCredentialsAuth.from_issuer(site.url, "me", "a-secret", deadline=0.4)
    slow = Crowd(1, auth.authorize)
    assert held.arrived.wait(PATIENCE)
    with pytest.raises(TokenTimeout):
        auth.authorize()
    assert isinstance(slow.join()[0], TokenTimeout)
    held.released.set()


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nX-Slow: ", b"HTTP/1.1 200 OK\r\n\r\n{"])
def test_c2_an_answer_that_drips_is_given_up_at_the_deadline(site, head):
    site.pages[RFC_8414] = [site.metadata()]
    held = Held()  # only its event is used

    def drip():
        yield head
        while not held.released.wait(0.05):
            yield b" "

    site.scripts.append(drip())
    auth = ClientCredentialsAuth.from_issuer(site.url, "me", "a-secret", deadline=1.0)
    with pytest.raises(TokenTimeout):
        auth.authorize()
    held.released.set()
    assert auth.authorize().authorized
    assert site.paths() == [RFC_8414, RFC_8414, "/token"]


def test_a_failure_is_not_remembered_once_the_metadata_is_there(site):
    auth = ClientCredentialsAuth.from_issuer(site.url, "me", "a-secret")
    with pytest.raises(TokenError, match="404"):
        auth.authorize()
    site.pages[RFC_8414] = [site.metadata()]
    assert auth.authorize().authorized


GONE = Answer(404)


def fail(site, auth, answer=GONE):
    """Let a token request fail."""
    auth.signout()
    site.scripts.append(answer)
    with pytest.raises(TokenError):
        auth.authorize()


def again(auth):
    """Another token request."""
    auth.signout()
    assert auth.authorize().authorized


def searches(site):
    return site.paths().count(RFC_8414)


def test_as_long_as_token_requests_succeed_the_metadata_is_not_looked_up_again(site, clock):
    site.pages[RFC_8414] = [site.metadata()]
    auth = ClientCredentialsAuth.from_issuer(site.url, "me", "a-secret")
    for _ in range(3):
        again(auth)
        clock.advance(7 * 24 * 3600)
    assert searches(site) == 1


@pytest.mark.parametrize(
    "gone", [GONE, Answer(308), Answer(401, {"error": "invalid_client"}), RESET], ids=repr
)
def test_after_a_failure_the_endpoint_is_looked_up_again(site, clock, gone):
    moved = site.metadata(token_endpoint=site.url + "/v2")
    site.pages |= {RFC_8414: [site.metadata(), moved], "/v2": [token_answer("from-v2")]}
    auth = ClientCredentialsAuth.from_issuer(site.url, "me", "a-secret", retries=0).authorize()
    clock.advance(301)
    fail(site, auth, gone)
    assert searches(site) == 1  # with the next token request, and not before
    assert auth.authorize().access_token == "from-v2"
    assert searches(site) == 2


def test_failures_in_a_row_do_not_ask_for_the_metadata_each_time(site, clock):
    site.pages |= {RFC_8414: [site.metadata()], "/token": [Answer(404)]}
    auth = ClientCredentialsAuth.from_issuer(site.url, "me", "a-secret")
    for seconds in (0, 100, 199, 2, 0, 0):  # five minutes have passed before the last but two
        clock.advance(seconds)
        with pytest.raises(TokenError, match="404"):
            auth.authorize()
    assert searches(site) == 2


def test_while_the_metadata_is_not_there_the_endpoint_known_serves(site, clock, caplog):
    site.pages[RFC_8414] = [site.metadata(), Answer(403), site.metadata()]
    auth = ClientCredentialsAuth.from_issuer(site.url, "me", "a-secret").authorize()
    clock.advance(301)
    fail(site, auth)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            again(auth)
    assert searches(site) == 2
    assert f"still using {site.url}/token" in caplog.text
    fail(site, auth)
    again(auth)
    assert searches(site) == 2  # it is left alone for a while
    clock.advance(301)
    fail(site, auth)
    again(auth)
    assert searches(site) == 3


def test_an_endpoint_that_stays_is_not_asked_again_which_body_it_reads(site, clock):
    site.pages |= {RFC_8414: [site.metadata()]}
    auth = ClientCredentialsAuth.from_issuer(site.url, "me", "a-secret", body="auto")
    site.scripts.extend([None, Answer(400)])
    auth.authorize()
    clock.advance(301)
    fail(site, auth, Answer(400, {"error": "invalid_scope"}))
    again(auth)
    assert searches(site) == 2
    bodies = [r.headers.get_content_subtype() for r in site.requests() if r.path == "/token"]
    assert bodies == ["json"] + ["x-www-form-urlencoded"] * 3


def test_methods_that_cannot_be_used_are_not_remembered(site):
    useless = {"token_endpoint_auth_methods_supported": ["private_key_jwt"]}
    site.pages[RFC_8414] = [site.metadata(**useless), site.metadata()]
    auth = ClientCredentialsAuth.from_issuer(site.url, "me", "a-secret")
    with pytest.raises(TokenError, match="private_key_jwt"):
        auth.authorize()
    assert auth.authorize().authorized


def test_methods_that_cannot_be_used_do_not_replace_those_that_can(site, clock, caplog):
    useless = {"token_endpoint_auth_methods_supported": ["x\nCRITICAL forged"] + ["y"] * 9999}
    site.pages[RFC_8414] = [site.metadata(), site.metadata(**useless)]
    auth = ClientCredentialsAuth.from_issuer(site.url, "me", "a-secret").authorize()
    clock.advance(301)
    fail(site, auth)
    for _ in range(2):
        again(auth)
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warning.isprintable()
    assert len(warning) < 1000


def test_w4_a_rotated_secret_counts_at_a_discovered_endpoint_too(server):
    secrets = iter(["an-old-secret"] + [server.client_secret] * 9)
    auth = ClientCredentialsAuth.from_issuer(server.issuer, server.client_id, lambda: next(secrets))
    assert auth.authorize().authorized
    assert [request.status for request in server.token_requests] == [401, 200]


def test_s2_a_copy_finds_the_endpoint_for_itself(server):
    auth = ClientCredentialsAuth.from_issuer(
        server.issuer, server.client_id, server_secret_of(server)
    )
    auth.authorize()
    assert copy.deepcopy(auth).authorize().authorized
    assert len(server.metadata_requests) == 2


def server_secret_of(server):
    secret = server.client_secret
    return lambda: secret


def test_s1_the_repr_names_the_issuer(server):
    auth = ClientCredentialsAuth.from_issuer(server.issuer, "me", "a-secret")
    assert server.issuer in repr(auth)
    assert "a-secret" not in repr(auth)
