"""The session: its base URL, where its token goes, and what a token request takes of it."""

from __future__ import annotations

import inspect
import subprocess
import sys
from urllib.parse import urlsplit

import pytest
import requests
import requests_mock
from helpers import elsewhere, token_answer
from requests.adapters import HTTPAdapter
from requests_ratelimiter import LimiterMixin

from clientcreds_requests import (
    ClientCredentialsAuth,
    ClientCredentialsSession,
    InsecureTransportError,
    TokenError,
)
from clientcreds_requests._env import AuthOptions
from clientcreds_requests.testing import RESET, Answer

TOKEN_ENDPOINT = "https://auth.example.com/token"
BASE = "https://api.example.com/v1"
INVALID_TOKEN = {"WWW-Authenticate": 'Bearer error="invalid_token"'}


@pytest.fixture
def make_session(server):
    """Makes a session for the server, with any further arguments."""
    made = []

    def make(**options):
        made.append(
            ClientCredentialsSession(
                server.token_endpoint, server.client_id, server.client_secret, **options
            )
        )
        return made[-1]

    yield make
    for session in made:
        session.close()


@pytest.fixture
def session(make_session):
    return make_session()


def write_netrc(monkeypatch, tmp_path):
    path = tmp_path / "netrc"
    hosts = ("127.0.0.1", "localhost")
    path.write_text("".join(f"machine {host} login user password pw\n" for host in hosts))
    monkeypatch.setenv("NETRC", str(path))


def authorizations(server):
    """The first word of each Authorization that the API saw."""
    return [call.headers.get("Authorization", "").partition(" ")[0] for call in server.api_requests]


# The base URL

JOINED = [
    ("https://h", "data", "https://h/data"),
    ("https://h/", "/data", "https://h/data"),
    ("https://h/v1", "data", "https://h/v1/data"),
    ("https://h/v1", "/data", "https://h/v1/data"),
    ("https://h/v1/", "data", "https://h/v1/data"),
    ("https://h/v1/", "/data/", "https://h/v1/data/"),
    ("https://h/v1//", "//data", "https://h/v1/data"),
    ("https://h/v1", "a/b?c=d#e", "https://h/v1/a/b?c=d#e"),
    ("https://h/v1", "?c=d", "https://h/v1/?c=d"),
    ("https://h/v1", "", "https://h/v1/"),
    ("https://h/v1", "  data", "https://h/v1/data"),
    ("https://h/v1", b"data", "https://h/v1/data"),
    ("https://h/v1", "users/a:b", "https://h/v1/users/a:b"),
    ("https://h/v1", "a:b", "https://h/v1/a:b"),
    ("https://h/v1", "go?to=https://x/", "https://h/v1/go?to=https://x/"),
    ("https://h/v1", "@evil.test", "https://h/v1/@evil.test"),
    ("https://h/v1", "https://other/x", "https://other/x"),
    ("https://h/v1", "HTTPS://Other/x", "https://other/x"),
    ("https://h/v1", b"https://other/x", "https://other/x"),
    ("https://H:443/v1", "data", "https://h:443/v1/data"),
    ("https://bücher.example", "data", "https://xn--bcher-kva.example/data"),
]


@pytest.mark.parametrize(("base_url", "url", "joined"), JOINED)
def test_a_relative_url_is_appended_to_the_base_url(base_url, url, joined):
    options = {"base_url": base_url, "allowed_origins": []}
    with ClientCredentialsSession(TOKEN_ENDPOINT, "id", "secret", **options) as session:
        request = requests.Request("GET", url)
        assert session.prepare_request(request).url == joined
        assert request.url == url  # the caller's object stays as it is


def test_without_a_base_url_a_relative_url_is_an_error(session):
    assert session.base_url is None
    with pytest.raises(requests.exceptions.MissingSchema):
        session.get("data")


@pytest.mark.parametrize(
    ("base_url", "error", "match"),
    [
        pytest.param("api.example.com", ValueError, "base_url", id="no scheme"),
        pytest.param("ftp://api.example.com", ValueError, "base_url", id="other scheme"),
        pytest.param("https://", ValueError, "base_url", id="no host"),
        pytest.param("https://api.example.com?x=1", ValueError, "session.params", id="query"),
        pytest.param("https://api.example.com#x", ValueError, "fragment", id="fragment"),
        pytest.param("https://u:p@api.example.com", ValueError, "credentials", id="userinfo"),
        pytest.param("", ValueError, "base_url", id="empty"),
        pytest.param(b"https://api.example.com", TypeError, "base_url", id="bytes"),
        pytest.param("http://api.example.com", InsecureTransportError, "http:", id="in the clear"),
    ],
)
def test_w8_a_base_url_that_could_not_work_is_refused(base_url, error, match):
    with pytest.raises(error, match=match):
        ClientCredentialsSession(TOKEN_ENDPOINT, "id", "secret", base_url=base_url)


def test_requests_go_to_the_base_url_with_the_token(server, make_session):
    session = make_session(base_url=f"{server.api_url}/v1/")
    assert session.get("data", params={"a": "b"}).json()["query"] == "a=b"
    assert [call.path for call in server.api_requests] == ["/api/v1/data"]


# R5: to its origins alone


def test_r5_the_token_goes_to_the_origin_of_the_base_url_alone(server, make_session):
    session = make_session(base_url=server.api_url)
    for url in ("data", server.api_url, elsewhere(server.api_url), f"{server.url}/api"):
        session.get(url)
    assert authorizations(server) == ["Bearer", "Bearer", ""]
    assert "Authorization" not in server.token_requests[-1].headers


def test_r5_allowed_origins_take_the_place_of_the_base_urls(server, make_session):
    there = elsewhere(server.api_url)
    origins = [f"http://{urlsplit(there).netloc}"]
    session = make_session(base_url=server.api_url, allowed_origins=origins)
    session.get("data")
    assert session.get(there).ok
    assert authorizations(server) == ["", "Bearer"]


def test_r5_without_a_base_url_the_token_goes_wherever_the_session_is_used(server, session):
    assert session.get(server.api_url).ok
    assert session.get(elsewhere(server.api_url)).ok


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_r5_a_redirect_to_another_origin_carries_no_token(server, session, status):
    target = elsewhere(server.api_url)
    server.api_answer_next(
        Answer(status, headers={"Location": target}), Answer(401, "no", INVALID_TOKEN)
    )
    assert session.get(server.api_url).status_code == 401
    assert authorizations(server) == ["Bearer", ""]
    assert session.auth.authorized


def test_r5_a_redirect_to_another_port_carries_no_token(server, session):
    server.api_answer_next(Answer(302, headers={"Location": f"{server.url}/elsewhere"}))
    session.get(server.api_url)
    assert server.token_requests[-1].path == "/elsewhere"
    assert "Authorization" not in server.token_requests[-1].headers


@pytest.mark.parametrize(
    ("location", "carried"),
    [
        pytest.param("https://api.example.com/there", True, id="same origin"),
        pytest.param("https://api.example.com:443/there", True, id="default port"),
        pytest.param("https://API.example.com/there", True, id="upper case"),
        pytest.param("http://api.example.com/", False, id="downgrade"),
        pytest.param("https://api.example.com:444/", False, id="other port"),
        pytest.param("https://v2.api.example.com/", False, id="subdomain"),
        pytest.param("https://api.example.com.evil.test/", False, id="suffix"),
        pytest.param("https://api.example.com@evil.test/", False, id="userinfo"),
        pytest.param("https://evil.test\\.api.example.com/", False, id="backslash dot"),
        pytest.param("https://evil.test\\@api.example.com/", False, id="backslash at"),
        pytest.param("https://api.example.com\\@evil.test/", False, id="backslash at, reversed"),
        pytest.param("https://api.example.com./", False, id="trailing dot"),
        pytest.param("ftp://api.example.com/", False, id="no http"),
        pytest.param("https://api.example.com:port/", False, id="no port"),
    ],
)
def test_r5_where_a_redirect_leads_is_judged_on_the_url_connected_to(session, location, carried):
    assert carried is token_survives(session, "https://api.example.com/data", location)


def test_r5_an_upgrade_to_https_is_another_origin_though_requests_lets_it_pass(session):
    plain, secure = "http://api.example.com/", "https://api.example.com/"
    assert not session.should_strip_auth(plain, secure)
    assert not token_survives(session, plain, secure)


def token_survives(session, from_url, to_url):
    response = requests.Response()
    response.request = requests.Request("GET", from_url).prepare()
    redirected = response.request.copy()
    redirected.headers["Authorization"] = "Bearer token"
    redirected.url = to_url
    session.rebuild_auth(redirected, response)
    return "Authorization" in redirected.headers


# R6: netrc


def test_r6_a_netrc_entry_never_replaces_the_token(server, session, monkeypatch, tmp_path):
    write_netrc(monkeypatch, tmp_path)
    server.api_answer_next(None, Answer(302, headers={"Location": "/api/there"}))
    assert session.get(server.api_url).ok
    assert session.get(server.api_url).ok
    assert authorizations(server) == ["Bearer", "Bearer", "Bearer"]
    assert "Authorization" not in server.token_requests[0].headers


def test_r6_another_origin_gets_its_own_netrc_entry(server, session, monkeypatch, tmp_path):
    write_netrc(monkeypatch, tmp_path)
    server.api_answer_next(Answer(302, headers={"Location": elsewhere(server.api_url)}))
    session.get(server.api_url)
    assert authorizations(server) == ["Bearer", "Basic"]


def test_r6_a_redirect_of_a_request_without_the_token_is_as_in_requests(
    server, make_session, monkeypatch, tmp_path
):
    session = make_session(allowed_origins=[])
    server.api_answer_next(Answer(302, headers={"Location": "/api/there"}))
    session.get(server.api_url)
    write_netrc(monkeypatch, tmp_path)
    server.api_answer_next(Answer(302, headers={"Location": "/api/there"}))
    session.get(server.api_url)
    assert authorizations(server) == ["", "", "", "Basic"]


# R1, R5: redirects, and requests that were signed before they were sent

REDIRECT = Answer(302, headers={"Location": "/api/there"})
REFUSED = Answer(401, "no", INVALID_TOKEN)


@pytest.mark.parametrize(
    ("answers", "statuses"),
    [
        ([REDIRECT, REFUSED], [302, 401]),
        ([REFUSED, REDIRECT], [401, 302]),
        ([REDIRECT, REFUSED, REDIRECT], [302, 401, 302]),
        ([REDIRECT, REDIRECT, REFUSED], [302, 302, 401]),
        ([REFUSED, REDIRECT, REDIRECT], [401, 302, 302]),
    ],
    ids=lambda value: "-".join(map(str, value)) if isinstance(value[0], int) else "",
)
def test_r1_refusals_are_in_the_history_beside_redirects_in_order(
    server, session, answers, statuses
):
    server.api_answer_next(*answers)
    response = session.get(server.api_url)
    assert response.status_code == 200
    assert [earlier.status_code for earlier in response.history] == statuses
    assert [call.status for call in server.api_requests] == [*statuses, 200]
    sent = [answer.request.headers["Authorization"] for answer in (*response.history, response)]
    assert sent == [call.headers["Authorization"] for call in server.api_requests]


def test_r1_without_following_redirects_a_refusal_is_in_the_history_too(server, session):
    server.api_answer_next(REFUSED, REDIRECT)
    response = session.get(server.api_url, allow_redirects=False)
    assert response.status_code == 302
    assert [earlier.status_code for earlier in response.history] == [401]
    following = response.next
    assert following.url == f"{server.api_url}/there"
    assert following.headers["Authorization"] == session.auth.headers["Authorization"]
    assert session.send(following).ok


def test_r1_the_next_request_of_a_redirect_is_replayed_too(server, session):
    server.api_answer_next(REDIRECT, REFUSED)
    response = session.get(server.api_url, allow_redirects=False)
    assert response.history == []
    response = session.send(response.next)
    assert response.status_code == 200
    assert [earlier.status_code for earlier in response.history] == [401]


def test_r1_a_hook_of_the_user_sees_redirects_and_no_refusals(server, session):
    seen = []
    session.hooks["response"] = [lambda response, **_: seen.append(response.status_code)]
    server.api_answer_next(REFUSED, REDIRECT)
    assert session.get(server.api_url).ok
    assert seen == [302, 200]


def test_r1_refusals_do_not_count_as_redirects(server, session):
    session.max_redirects = 2
    server.api_answer_next(REFUSED, REDIRECT, REDIRECT)
    assert session.get(server.api_url).ok


def test_r5_a_signed_request_whose_url_was_changed_is_sent_without_the_token(server, make_session):
    session = make_session(base_url=server.api_url)
    request = session.prepare_request(requests.Request("GET", "data")).copy()
    request.url = elsewhere(server.api_url)
    server.api_answer_next(REFUSED)
    assert session.send(request).status_code == 401
    assert authorizations(server) == [""]
    assert request.hooks == {"response": []}
    assert len(server.token_requests) == 1


def test_r5_a_request_that_another_auth_has_signed_goes_where_that_one_allows(
    server, session, make_session
):
    other = make_session(base_url=server.api_url).auth
    request = session.prepare_request(requests.Request("GET", server.api_url, auth=other))
    assert session.send(request).ok
    request.url = elsewhere(server.api_url)
    assert session.send(request).status_code == 401
    assert authorizations(server) == ["Bearer", ""]


def test_a_session_whose_auth_was_taken_away_goes_on_with_signed_requests(server, session):
    request = session.prepare_request(requests.Request("GET", server.api_url))
    session.auth = None
    server.api_answer_next(REDIRECT, REFUSED, REDIRECT)
    assert session.send(request).ok
    assert authorizations(server) == ["Bearer"] * 4
    server.api_answer_next(REDIRECT)
    assert session.get(server.api_url).status_code == 401
    assert authorizations(server)[4:] == ["", ""]


def test_r1_a_stubbed_refusal_is_replayed_by_the_session(make_session, server):
    session = make_session()
    with requests_mock.Mocker() as mock:
        answers = [{"json": token_answer(token)} for token in ("first", "second")]
        mock.post(server.token_endpoint, answers)
        away = {"status_code": 302, "headers": {"Location": "https://api.example.com/there"}}
        mock.get("https://api.example.com/", [away])
        mock.get("https://api.example.com/there", [{"status_code": 401}, {"text": "there"}])
        response = session.get("https://api.example.com/")
    assert (response.text, [a.status_code for a in response.history]) == ("there", [302, 401])


# W7: no token in the clear, by a proxy either

PROXY = "http://proxy.example.com:3128"


@pytest.mark.parametrize("said", ["session", "call", "environment"])
def test_w7_a_proxy_on_another_machine_gets_no_token_for_loopback(
    server, session, monkeypatch, said
):
    session.auth.authorize()
    if said == "environment":
        monkeypatch.setenv("HTTP_PROXY", PROXY)
    elif said == "session":
        session.proxies = {"http": PROXY}
    options = {"proxies": {"http": PROXY}} if said == "call" else {}
    with pytest.raises(InsecureTransportError, match="its proxy is on another machine"):
        session.get(f"{server.api_url}?key=hidden", **options)
    prepared = session.prepare_request(requests.Request("GET", server.api_url))
    with pytest.raises(InsecureTransportError) as caught:
        session.send(prepared, **options)
    assert "hidden" not in str(caught.value)
    assert server.api_requests == []


def test_w7_a_proxy_on_this_machine_or_for_other_urls_is_no_obstacle(server, session, monkeypatch):
    session.auth.authorize()
    session.proxies = {"https": PROXY, "http": urlsplit(server.api_url).netloc}
    assert session.get(server.api_url).ok
    assert server.api_requests[0].path == server.api_url  # as proxies are asked
    monkeypatch.setenv("HTTP_PROXY", PROXY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    session.proxies = {}
    assert session.get(server.api_url).ok


def test_w7_allow_http_lets_a_proxy_have_the_token(server, make_session):
    session = make_session(allow_http=True)
    session.auth.authorize()
    proxy = server.api_url.replace("127.0.0.1", "0.0.0.0")  # not a loopback address by name
    assert session.get("http://127.0.0.1/data", proxies={"http": proxy}).ok
    assert authorizations(server) == ["Bearer"]


# W5: what token requests take of the session


def test_w5_a_token_request_carries_nothing_of_the_session(server, session, monkeypatch, tmp_path):
    write_netrc(monkeypatch, tmp_path)
    seen = []
    session.headers.update({"X-Api-Key": "K", "Accept": "text/x", "User-Agent": "me"})
    session.params = {"version": "1"}
    session.cookies.set("mine", "1", domain="127.0.0.1")
    session.hooks["response"].append(lambda response, **_: seen.append(response.url))
    server.answer_next(
        Answer(200, token_answer(server.issue().access_token), {"Set-Cookie": "theirs=1; Path=/"})
    )
    assert session.get(server.api_url).ok
    session.auth.signout()
    session.auth.authorize()
    for request in server.token_requests:
        names = {name.lower() for name in request.headers}
        assert not names & {"x-api-key", "cookie", "authorization"}
        assert request.query == ""
        assert request.headers["Accept"] == "application/json"
        assert request.headers["User-Agent"] != "me"
    assert seen == [f"{server.api_url}?version=1"]
    assert session.cookies.get_dict() == {"mine": "1"}
    assert server.api_requests[0].headers["X-Api-Key"] == "K"


def test_w5_a_token_request_leaves_no_idle_connection_behind(server, session):
    session.auth.authorize()
    session.auth.signout()
    session.auth.authorize()
    first, second = server.token_requests
    assert first.client_port != second.client_port
    assert first.headers["Connection"] == "close"


def test_w5_a_token_request_goes_through_the_proxies_of_the_session(server):
    server.answer_next(Answer(200, token_answer("T")))
    url = "http://auth.example.test/token"
    with ClientCredentialsSession(url, "id", "secret", allow_http=True) as session:
        session.proxies = {"http": server.url}
        session.auth.authorize()
    assert [request.path for request in server.token_requests] == [url]


def test_w5_a_token_request_goes_through_the_proxies_of_the_environment(server, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", server.url)
    server.answer_next(Answer(200, token_answer("T")))
    url = "http://auth.example.test/token"
    with ClientCredentialsSession(url, "id", "secret", allow_http=True) as session:
        session.auth.authorize()
    assert [request.path for request in server.token_requests] == [url]


def test_w5_the_session_of_an_auth_is_neither_changed_nor_closed(server, make_auth):
    with requests.Session() as session:
        adapters, before = dict(session.adapters), dict(vars(session))
        make_auth(session=session).authorize()
        assert session.adapters == adapters
        assert {name: vars(session)[name] for name in before} == before
        assert session.get(server.token_endpoint).status_code == 405


# The adapters


class Recording(HTTPAdapter):
    """An adapter of the user's."""

    def __init__(self):
        super().__init__()
        self.urls, self.settings = [], []

    def send(self, request, **settings):
        self.urls.append(request.url)
        self.settings.append(settings)
        return super().send(request, **settings)


@pytest.mark.parametrize("prefix", ["http://", "origin", "endpoint", "upper case"])
def test_w5_an_adapter_that_the_user_mounts_later_sends_the_token_requests(server, session, prefix):
    prefixes = {
        "origin": server.url,
        "endpoint": server.token_endpoint,
        "upper case": server.url.upper(),
    }
    adapter = Recording()
    session.mount(prefixes.get(prefix, prefix), adapter)
    server.answer_next(RESET)
    session.auth.authorize()
    assert adapter.urls == [server.token_endpoint] * 2  # and is retried


def test_w5_verify_cert_and_timeout_reach_the_adapter(server, make_session, tmp_path):
    adapter, session = Recording(), make_session(timeout=(3, 4))
    session.mount("http://", adapter)
    files = [tmp_path / name for name in ("ca", "cert", "key")]
    for file in files:
        file.touch()
    session.verify, cert, key = map(str, files)
    session.cert = (cert, key)
    session.auth.authorize()
    (settings,) = adapter.settings
    assert (settings["verify"], settings["cert"]) == (session.verify, session.cert)
    assert settings["timeout"] == (3, 4)


def test_f1_the_default_adapters_stay_as_requests_made_them(session):
    plain = requests.Session()
    for url in ("https://api.example.com/", "http://127.0.0.1/token"):
        ours, theirs = session.get_adapter(url), plain.get_adapter(url)
        assert type(ours) is type(theirs) is HTTPAdapter
        assert ours.max_retries.total == theirs.max_retries.total == 0


@pytest.mark.parametrize("path", ["/tokens", "/token/x", "/token?x", "/token"])
def test_f1_a_request_that_is_no_token_request_is_not_retried(server, session, path):
    server.answer_next(Answer(503), Answer(503))
    response = session.post(f"{server.url}{path}", auth=lambda request: request)
    assert response.status_code == 503
    assert len(server.token_requests) == 1


def test_f1_a_token_request_is_retried(server, session):
    server.answer_next(Answer(503), RESET)
    assert session.auth.authorize().authorized
    assert len(server.token_requests) == 3


def test_a_session_without_any_adapter_for_the_endpoint_says_so(server, make_session):
    session = make_session(retries=0)
    del session.adapters["http://"]
    with pytest.raises(TokenError, match="no adapter is mounted for http://127"):
        session.auth.authorize()


# What it is


def test_the_session_has_every_parameter_of_the_auth_by_name_but_for_session():
    # Mixins, such as those of requests-cache and requests-ratelimiter, pass on nothing else.
    expected = dict(inspect.signature(ClientCredentialsAuth).parameters)
    parameters = dict(inspect.signature(ClientCredentialsSession).parameters)
    del expected["session"]
    base_url = parameters.pop("base_url")
    assert (base_url.kind, base_url.default) == (base_url.KEYWORD_ONLY, None)
    assert parameters == expected
    options = {
        name: annotation.__forward_arg__ for name, annotation in AuthOptions.__annotations__.items()
    }
    keywords = {p.name: p.annotation for p in expected.values() if p.kind is p.KEYWORD_ONLY}
    assert options == keywords
    assert AuthOptions.__required_keys__ == frozenset()


class Limited(LimiterMixin, ClientCredentialsSession):
    """A session whose requests are limited in rate."""


def test_a_mixin_that_passes_on_named_parameters_alone_drops_none(server):
    with Limited(
        per_second=1000,
        **{"token_endpoint": server.token_endpoint, "client_id": server.client_id},
        client_secret=server.client_secret,
        base_url=f"{server.api_url}/v1",
        scope="a b",
        client_auth="client_secret_basic",
        body="form",
        leeway=1.0,
        renew_ahead=2.0,
        deadline=3.0,
    ) as session:
        assert session.get("data").ok
        session.get(elsewhere(server.api_url))
    assert authorizations(server) == ["Bearer", ""]
    (asked,) = server.token_requests
    assert asked.params["scope"] == "a b"
    assert asked.headers["Authorization"].startswith("Basic ")
    assert asked.headers.get_content_type() == "application/x-www-form-urlencoded"
    manager = session.auth.manager
    assert (manager.leeway, manager.renew_ahead, manager.deadline) == (1, 2, 3)


def test_the_options_reach_the_auth(server, make_session):
    session = make_session(scope="a", body="form", leeway=1, allow_http=True)
    session.auth.authorize()
    assert server.token_requests[0].params["scope"] == "a"
    assert session.auth.manager.leeway == 1
    with pytest.raises(TypeError, match="colour"):
        make_session(colour="red")
    with pytest.raises(TypeError, match="session"):
        make_session(session=session)


def test_a_request_may_bring_another_auth(server, session):
    session.get(server.api_url, auth=("user", "pw"))
    assert authorizations(server) == ["Basic"]
    assert server.token_requests == []


def test_the_session_replays_what_was_refused(server, session):
    session.auth.authorize()
    server.revoke_all()
    assert session.post(server.api_url, json={"a": 1}).ok
    first, second = server.api_requests
    assert first.body == second.body
    assert first.client_port == second.client_port


def test_a_session_that_defines_equality_can_be_used(server):
    class Equal(ClientCredentialsSession):
        def __eq__(self, other):
            return isinstance(other, Equal)

        __hash__ = None

    with Equal(server.token_endpoint, server.client_id, server.client_secret) as session:
        assert session.get(server.api_url).ok


def test_w5_the_finalizer_of_an_adapter_runs_for_the_adapter_alone(server, session):
    closed = []

    class Closing(HTTPAdapter):
        def __del__(self):
            closed.append(self)

    session.mount("http://", Closing())
    assert session.get(server.api_url).ok
    assert not closed


def test_w5_an_adapter_whose_class_allows_no_subclass_is_used_as_it_is(server, session):
    class Closed(HTTPAdapter):
        def __init_subclass__(cls, *, allowed):
            raise AssertionError

    session.mount("http://", Closed())
    assert session.get(server.api_url).ok


REPLACING = """
import sys
import requests


def replace():
    class Replacement(requests.Session):  # as a cache does that is installed for all of requests
        def send(self, request, **settings):
            sent.append(request.url)
            return super().send(request, **settings)

    requests.Session = requests.sessions.Session = Replacement


sent = []
if sys.argv[1] == "before":
    replace()
from clientcreds_requests import ClientCredentialsAuth, ClientCredentialsSession
from clientcreds_requests.testing import LocalAuthorizationServer
if sys.argv[1] == "after":
    plain = requests.Session()
    replace()
else:
    plain = requests.Session()

with LocalAuthorizationServer() as server:
    client = (server.token_endpoint, server.client_id, server.client_secret)
    with ClientCredentialsSession(*client) as session:
        assert session.get(server.api_url).ok
    assert requests.get(server.api_url, auth=ClientCredentialsAuth(*client, session=plain)).ok
    assert requests.Session().get(server.api_url, auth=ClientCredentialsAuth(*client)).ok
    assert len(server.token_requests) == 3
    assert sent == [server.api_url] * 2
"""


@pytest.mark.parametrize("replaced", ["before", "after"])
def test_w5_a_class_in_the_place_of_that_of_requests_sees_no_token_request(replaced):
    """It may store what it sends, and what it gets."""
    command = [sys.executable, "-c", REPLACING, replaced]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
