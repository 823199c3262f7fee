"""The retry policy of the token request, against a server that really fails."""

from __future__ import annotations

import socket
import time
from contextlib import closing

import pytest
import requests
import trustme
from helpers import TLSAuthorizationServer
from raw_server import Drip, HangingUp, endpoint_of, failure_of
from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3 import PoolManager, Retry

from clientcreds_requests import (
    ClientCredentialsSession,
    ClientSecretPost,
    TokenConnectionError,
    TokenEndpoint,
    TokenRequest,
    TokenTimeout,
)
from clientcreds_requests.adapters import RetriedRequest, RetryAdapter
from clientcreds_requests.testing import HANG, RESET, Answer

PLAIN = TokenRequest()
OVERLOADED = Answer(503, {"error": "temporarily_unavailable", "error_description": "soon"})


def after(value, status=503):
    return Answer(status, headers={"Retry-After": value})


# A5: how much is read

MIB = 1024 * 1024


@pytest.mark.parametrize(("size", "is_read"), [(MIB, True), (MIB + 1, False)])
def test_a5_a_token_is_read_from_a_body_of_1_mib_and_not_a_byte_more(server, size, is_read):
    server.answer_next(Answer(200, b'{"access_token": "token"}'.ljust(size)))
    endpoint = endpoint_of(server, retries=0)
    if is_read:
        assert endpoint(PLAIN).access_token == "token"
    else:
        assert "larger" in str(failure_of(endpoint))


# F1: what is retried

TRANSIENT = {
    **{str(status): Answer(status) for status in (429, 500, 502, 503, 504)},
    "a reset": RESET,
    "a closed socket": b"",
    "no HTTP": b"nonsense\r\n\r\n",
    "half a body": b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{",
}
FINAL = [301, 400, 401, 403, 404, 405, 407, 409, 415, 422, 501, 505, 519, 525]


@pytest.mark.parametrize("failure", TRANSIENT.values(), ids=TRANSIENT)
def test_f1_what_may_pass_is_retried_for_the_post(server, clock, failure):
    server.answer_next(failure, failure)
    assert endpoint_of(server, retries=2)(PLAIN).access_token
    assert [request.method for request in server.token_requests] == ["POST"] * 3
    assert len({request.body for request in server.token_requests}) == 1
    assert len(clock.slept) == 2


@pytest.mark.parametrize("status", FINAL)
def test_f1_no_other_status_is_retried(server, clock, status):
    server.answer_next(Answer(status))
    assert failure_of(endpoint_of(server, retries=3)).status_code == status
    assert len(server.token_requests) == 1
    assert clock.slept == []


def test_f1_an_attempt_that_takes_too_long_is_retried(server):
    server.answer_next(HANG)
    assert endpoint_of(server, retries=1, timeout=1)(PLAIN).access_token
    assert len(server.token_requests) == 2


@pytest.mark.parametrize("timeout", [0.3, (5, 0.3)], ids=str)
def test_f1_the_timeout_of_one_attempt_is_a_token_timeout(server, timeout):
    server.answer_next(HANG)
    started = time.monotonic()
    error = failure_of(endpoint_of(server, timeout=timeout))
    assert time.monotonic() - started < 4
    assert isinstance(error, TokenTimeout)
    assert error.retryable


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_f1_there_are_as_many_retries_as_were_asked_for(server, clock, retries):
    server.down = True
    error = failure_of(endpoint_of(server, retries=retries))
    assert isinstance(error, TokenConnectionError)
    assert error.retryable
    assert len(server.token_requests) == retries + 1


def test_f1_a_refused_connection_is_retried(clock):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/token"
    endpoint = TokenEndpoint(url, "me", ClientSecretPost("long-secret"), retries=2)
    error = failure_of(endpoint)
    assert isinstance(error, TokenConnectionError)
    assert "refused" in str(error)
    assert len(clock.slept) == 2


@pytest.mark.parametrize("status", [429, 503])
def test_f1_the_final_answer_keeps_its_status_and_oauth_error(server, clock, status):
    said = {"error": "temporarily_unavailable", "error_description": "soon"}
    server.answer_next(*[Answer(status, said)] * 4)
    error = failure_of(endpoint_of(server, retries=3))
    assert len(server.token_requests) == 4
    assert (error.status_code, error.error, error.error_description) == (status, *said.values())
    assert error.retryable


def test_f1_the_last_failure_is_what_the_caller_gets(server, clock):
    server.answer_next(RESET, OVERLOADED)
    assert failure_of(endpoint_of(server, retries=1)).status_code == 503
    server.answer_next(OVERLOADED, RESET)
    assert isinstance(failure_of(endpoint_of(server, retries=1)), TokenConnectionError)


# F1: certificates


def test_f1_certificate_errors_are_not_retried(clock):
    with TLSAuthorizationServer(trustme.CA()) as tls:
        error = failure_of(endpoint_of(tls, retries=3))
    assert len(tls.handshakes) == 1
    assert "CERTIFICATE_VERIFY_FAILED" in str(error)
    assert not error.retryable
    assert clock.slept == []


def test_f1_a_handshake_cut_short_is_retried(clock):
    with HangingUp() as server:
        url = f"https://127.0.0.1:{server.port}/token"
        endpoint = TokenEndpoint(url, "me", ClientSecretPost("long-secret"), retries=2)
        assert failure_of(endpoint).retryable
        assert server.connections == 3


# F1: back-off


def waits(server, clock, **options):
    """The waits of one token request during an outage."""
    clock.slept.clear()
    with server.outage():
        failure_of(endpoint_of(server, **options))
    return list(clock.slept)


def test_f1_waits_grow_and_are_jittered(server, clock):
    runs = [waits(server, clock, retries=4) for _ in range(5)]
    for slept in runs:
        for wait, (least, most) in zip(
            slept, [(0, 0.25), (0.5, 0.75), (1, 1.25), (2, 2.25)], strict=True
        ):
            assert least <= wait <= most
    assert all(len(set(column)) > 1 for column in zip(*runs, strict=True))


def test_f1_no_attempt_begins_after_the_deadline(server, clock):
    slept = waits(server, clock, retries=100, deadline=10)
    assert 0 < sum(slept) < 10
    assert len(slept) < 10


def test_f1_an_attempt_has_no_more_time_than_is_left(server):
    server.answer_next(HANG, HANG)
    started = time.monotonic()
    endpoint = endpoint_of(server, retries=3, timeout=10, deadline=0.5)
    assert isinstance(failure_of(endpoint), TokenTimeout)
    assert time.monotonic() - started < 3


# F2


@pytest.mark.parametrize(
    ("value", "wait"),
    [("1", 1), ("5", 5), ("Fri, 15 Jan 2027 08:00:03 GMT", 3)],
    ids=["seconds", "the most that is waited for", "a date"],
)
@pytest.mark.parametrize("status", [429, 503])
def test_f2_a_short_retry_after_is_waited_for(server, clock, value, wait, status):
    server.answer_next(after(value, status))
    endpoint_of(server, retries=1)(PLAIN)
    assert clock.slept == [wait]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("6", 6),
        ("3600", 3600),
        ("9999999999", 9999999999),
        ("Fri, 15 Jan 2027 09:00:00 GMT", 3600),
    ],
)
def test_f2_beyond_that_the_error_is_raised_at_once(server, clock, value, seconds):
    server.answer_next(after(value))
    error = failure_of(endpoint_of(server, retries=3))
    assert error.retry_after == seconds
    assert len(server.token_requests) == 1
    assert clock.slept == []


@pytest.mark.parametrize(
    "value", ["", "soon", "-1", "1.5", "9" * 5000, "0", "Thu, 01 Jan 1970 00:00:00 GMT"]
)
def test_f2_a_retry_after_that_says_nothing_leaves_the_back_off(server, clock, value):
    server.answer_next(after(value))
    endpoint_of(server, retries=1)(PLAIN)
    assert len(clock.slept) == 1
    assert clock.slept[0] <= 0.25


def test_f2_a_retry_after_beyond_the_deadline_is_not_waited_for(server, clock):
    server.answer_next(after("4"))
    assert failure_of(endpoint_of(server, retries=1, deadline=3)).retry_after == 4
    assert clock.slept == []


def test_f2_a_retry_after_shorter_than_the_back_off_does_not_shorten_it(server, clock):
    server.answer_next(Answer(503), Answer(503), after("1"))
    endpoint_of(server, retries=3)(PLAIN)
    assert clock.slept[0] <= 0.25
    assert clock.slept[2] >= 1


# F1: a policy of the user's own


def test_f1_a_policy_of_the_users_own_says_what_is_retried(server, clock):
    policy = Retry(1, status_forcelist=[418], allowed_methods=None, raise_on_status=True)
    server.answer_next(Answer(418), None, Answer(503))
    endpoint = endpoint_of(server, retries=policy)
    assert endpoint(PLAIN).access_token
    assert failure_of(endpoint).status_code == 503
    assert len(server.token_requests) == 3


def test_f1_a_policy_retries_the_post_though_urllib3_would_not(server, clock):
    server.answer_next(RESET, Answer(503))
    assert endpoint_of(server, retries=Retry(3))(PLAIN)
    assert len(server.token_requests) == 3


def test_f1_a_policy_without_back_off_does_not_hammer(server, clock):
    server.answer_next(*[Answer(503)] * 200)
    failure_of(endpoint_of(server, retries=Retry(None), deadline=2))
    assert 5 < len(server.token_requests) <= 40


def test_f1_as_many_retries_are_made_as_were_asked_for(server, clock):
    server.answer_next(*[Answer(503)] * 11)
    failure_of(endpoint_of(server, retries=10, deadline=300))
    assert len(server.token_requests) == 11


def test_f1_retries_of_the_sessions_adapter_do_not_multiply_ours(server):
    server.answer_next(Answer(503))
    policy = Retry(3, allowed_methods=None, status_forcelist={503})
    with requests.Session() as session:
        session.mount("http://", HTTPAdapter(max_retries=policy))
        endpoint = TokenEndpoint(
            server.token_endpoint,
            server.client_id,
            ClientSecretPost(server.client_secret),
            body="form",
            retries=0,
            session=session,
        )
        assert failure_of(endpoint).status_code == 503
    assert len(server.token_requests) == 1


def test_w5_what_an_adapter_of_the_user_owns_stays_open(server):
    class Owner(HTTPAdapter):
        closed = 0

        def close(self) -> None:
            Owner.closed += 1
            super().close()

    with requests.Session() as session:
        session.mount("http://", Owner())
        TokenEndpoint(
            server.token_endpoint,
            server.client_id,
            ClientSecretPost(server.client_secret),
            session=session,
        )(PLAIN)
        assert Owner.closed == 0


def test_w5_a_pool_manager_of_the_users_own_is_used(server):
    class Counting(PoolManager):
        asked = 0

        def connection_from_host(self, *args, **kwargs):
            Counting.asked += 1
            return super().connection_from_host(*args, **kwargs)

    with requests.Session() as session:
        adapter = HTTPAdapter()
        adapter.poolmanager = Counting()
        session.mount("http://", adapter)
        TokenEndpoint(
            server.token_endpoint,
            server.client_id,
            ClientSecretPost(server.client_secret),
            body="form",
            session=session,
        )(PLAIN)
        assert Counting.asked == 1


def test_f1_a_policy_may_ignore_retry_after(server, clock):
    policy = Retry(1, allowed_methods=None, respect_retry_after_header=False)
    server.answer_next(after("3"))
    endpoint_of(server, retries=policy)(PLAIN)
    assert all(wait < 1 for wait in clock.slept)
    assert len(clock.slept) == 1


# F1: for the token endpoint alone


@pytest.fixture
def session(server):
    arguments = (server.token_endpoint, server.client_id, server.client_secret)
    with ClientCredentialsSession(*arguments, body="form", retries=3) as session:
        session.get(server.api_url)
        server.reset_records()
        yield session


@pytest.mark.parametrize("path", ["", "s", "/sub", "?x=1", ".evil"])
def test_f1_calls_to_urls_that_begin_like_the_token_endpoint_are_not_retried(server, session, path):
    server.answer_next(Answer(503))
    assert session.post(server.token_endpoint + path).status_code == 503
    assert len(server.token_requests) == 1


def test_f1_calls_to_the_api_are_not_retried(server, session):
    server.api_answer_next(Answer(503))
    assert session.post(server.api_url).status_code == 503
    assert len(server.api_requests) == 1


def test_f1_the_token_endpoint_of_a_session_is_retried(server, session, clock):
    session.auth.signout()
    server.answer_next(Answer(503), RESET)
    assert session.get(server.api_url).ok
    assert len(server.token_requests) == 3


def test_f1_other_requests_pass_through_with_all_their_settings(server):
    with requests.Session() as session, closing(HTTPAdapter()) as below:
        adapter = RetryAdapter(below, 3)
        session.mount(server.url, adapter)
        server.answer_next(Answer(503, b"body"))
        response = session.post(server.token_endpoint, stream=True, timeout=5)
        assert not response._content_consumed
        assert response.content == b"body"
        adapter.close()
        assert session.get(server.url).status_code == 404


def test_f1_the_adapter_takes_one_timeout_for_both(server):
    with closing(HTTPAdapter()) as below:
        adapter = RetryAdapter(below, 0)
        post = RetriedRequest(
            "POST", server.token_endpoint, lambda: (b"", {}), time.monotonic() + 20
        )
        assert adapter.send(post, timeout=5).status_code == 400


class StandIn(BaseAdapter):
    """Answers without a network, as the libraries for users' tests do."""

    def __init__(self, *statuses, padding=0):
        super().__init__()
        self.statuses, self.padding = list(statuses), padding

    def send(self, request, **settings):
        response = requests.Response()
        response.status_code = self.statuses.pop(0)
        content = b'{"access_token": "stand-in"}'
        response._content = content.ljust(self.padding)
        return response

    def close(self):
        pass


def test_f1_a_stand_in_for_the_network_is_retried_too(server, clock):
    with requests.Session() as session:
        session.mount(server.url, stand_in := StandIn(503, 200))
        token = endpoint_of(server, session=session, retries=1)(PLAIN)
    assert token.access_token == "stand-in"
    assert stand_in.statuses == []
    assert server.token_requests == []


def test_a5_the_answer_of_a_stand_in_is_bounded_too(server):
    with requests.Session() as session:
        session.mount(server.url, StandIn(200, padding=MIB))
        assert endpoint_of(server, session=session)(PLAIN).access_token == "stand-in"
        session.mount(server.url, StandIn(200, padding=MIB + 1))
        error = failure_of(endpoint_of(server, session=session))
    assert "the body is larger than 1048576 bytes" in str(error)


# The adapter that really sends is looked up when it sends


class Recorder(BaseAdapter):
    """Sends by the adapter that its session had for the URL, as recorders of cassettes do."""

    def __init__(self, session, change=lambda request: request):
        super().__init__()
        self.change, self.recorded = change, []
        self.adapters = dict(session.adapters)

    def send(self, request, **settings):
        self.recorded.append(request.url)
        below = next(a for prefix, a in self.adapters.items() if request.url.startswith(prefix))
        response = below.send(self.change(request), **settings)
        assert not response._content_consumed, "it was read on the way"
        return response

    def close(self):
        pass


RECORDERS = {
    "for all URLs": ["http://"],
    "in the place of every adapter": None,
}


@pytest.mark.parametrize(
    "change", [lambda request: request, lambda request: request.copy()], ids=["it", "a copy"]
)
@pytest.mark.parametrize("prefixes", RECORDERS.values(), ids=RECORDERS)
def test_f1_a_request_that_a_recorder_hands_back_is_sent_and_recorded_once(
    server, session, clock, prefixes, change
):
    session.auth.signout()
    recorder = Recorder(session, change)
    for prefix in prefixes or list(session.adapters):
        session.mount(prefix, recorder)
    server.answer_next(Answer(503))
    assert session.get(server.api_url).ok
    assert recorder.recorded == [server.token_endpoint] * 2 + [server.api_url]
    assert len(server.token_requests) == 2


@pytest.mark.parametrize("prefixes", RECORDERS.values(), ids=RECORDERS)
def test_a5_what_drips_through_a_recorder_ends_at_the_deadline(server, prefixes):
    client = (server.token_endpoint, server.client_id, server.client_secret)
    with ClientCredentialsSession(*client, body="form", deadline=0.7) as session:
        recorder = Recorder(session)
        for prefix in prefixes or list(session.adapters):
            session.mount(prefix, recorder)
        server.answer_next(Drip(b"HTTP/1.1 200 OK\r\nX-Slow: "))
        started = time.monotonic()
        assert isinstance(failure_of(lambda _: session.auth.authorize()), TokenTimeout)
        assert time.monotonic() - started < 3


def test_f1_an_api_call_that_a_recorder_hands_back_is_sent_once(server, session):
    session.mount("http://", recorder := Recorder(session))
    assert session.get(server.token_endpoint).status_code
    assert recorder.recorded == [server.token_endpoint]


def test_f1_a_callable_may_make_token_requests_of_its_own_at_the_same_endpoint(server, clock):
    client = (server.token_endpoint, server.client_id, server.client_secret)
    with ClientCredentialsSession(*client, body="form") as inner:

        def fetched(*args):
            inner.auth.signout()
            return inner.auth.get_token().access_token

        server.answer_next(None, Answer(503), Answer(503))
        with ClientCredentialsSession(
            *client, body="form", extra_headers={"X-Actor": fetched}
        ) as outer:
            assert outer.get(server.api_url).ok
    asked_by = [request.headers.get("X-Actor") for request in server.token_requests]
    assert [actor is not None for actor in asked_by] == [False, True, False, False, True]


def test_f1_a_recorder_may_derive_from_the_adapter_of_requests(server, session):
    class Deriving(HTTPAdapter):
        def send(self, request, **settings):
            recorded.append(request.url)
            assert len(recorded) < 10, "it is handed back again and again"
            if request.url != server.token_endpoint:
                return super().send(request, **settings)
            return session.get_adapter(request.url).send(request, **settings)

    recorded = []
    session.auth.signout()
    session.mount("http://", Deriving())
    assert session.get(server.api_url).ok
    assert recorded == [server.token_endpoint, server.api_url]


def test_f1_a_recorder_that_fails_leaves_nothing_behind(server, session):
    class Failing(Recorder):
        def send(self, request, **settings):
            super().send(request, **settings)
            raise requests.ConnectionError("the tape is full")

    def refused(_):
        session.auth.authorize()

    session.auth.signout()
    session.mount("http://", Failing(session))
    session.get_adapter(server.token_endpoint).max_retries = Retry(0)
    for _ in range(2):
        assert "the tape is full" in str(failure_of(refused))
    assert len(server.token_requests) == 2


def test_w5_an_adapter_that_is_mounted_or_replaced_later_is_used(server, session, clock):
    class Counting(HTTPAdapter):
        def __init__(self):
            super().__init__()
            self.sent = []

        def send(self, request, **settings):
            self.sent.append(request.url)
            return super().send(request, **settings)

    def ask():
        session.auth.signout()
        server.answer_next(Answer(503))
        session.auth.authorize()

    first, second, third = Counting(), Counting(), Counting()
    session.mount("http://", first)
    ask()
    session.mount("http://", second)
    ask()
    session.mount(server.token_endpoint, third)  # in the place of the retry adapter
    ask()
    for counting in (first, second, third):
        assert counting.sent == [server.token_endpoint] * 2


def test_w5_without_any_adapter_for_it_there_is_a_token_error(server, session):
    session.auth.signout()
    session.adapters.pop("http://")
    assert "no adapter" in str(failure_of(lambda _: session.auth.authorize()))


# What an attempt may depend on


def test_f1_every_answer_is_noted_before_the_next_attempt(server, clock):
    noted, completed = [], []

    def complete():
        completed.append(len(noted))
        return b"", {}

    unreadable = Answer(429, b"nonsense", {"Content-Encoding": "gzip"})
    server.answer_next(Answer(503), Answer(500), RESET, unreadable)
    with closing(HTTPAdapter()) as below:
        post = RetriedRequest(
            *("POST", server.token_endpoint, complete, clock.monotonic() + 20),
            answered=lambda response: noted.append(response.status_code),
        )
        assert RetryAdapter(below, 3).send(post, timeout=5).status_code == 429
    assert noted == [503, 500, 429]
    assert completed == [0, 1, 2, 2]


# F4


def test_f4_what_the_caller_sees_is_the_cause(server):
    server.answer_next(RESET)
    error = failure_of(endpoint_of(server))
    assert str(error).startswith(f"token request to {server.token_endpoint} failed: ")
    assert "Connection reset by peer" in str(error)
    assert isinstance(error.__cause__, requests.ConnectionError)


def test_f4_an_exception_of_a_foreign_adapter_is_a_token_error(server):
    class Demanding(Exception):
        def __init__(self, one, two):
            super().__init__(one, two)

    class Broken(StandIn):
        def send(self, request, **settings):
            raise Demanding("one", "two")

    with requests.Session() as session:
        session.mount(server.url, Broken())
        error = failure_of(endpoint_of(server, session=session))
    assert "Demanding" in str(error)
    assert "Demanding" in str(error.__cause__)


class Unplugged(BaseAdapter):
    """Fails without a word."""

    def __init__(self):
        super().__init__()
        self.attempts = 0

    def send(self, request, **_):
        self.attempts += 1
        raise requests.ConnectionError

    def close(self):
        pass


def test_f1_a_failure_without_a_cause_counts_as_one_in_the_users_policy(server):
    session, unplugged = requests.Session(), Unplugged()
    session.mount("http://", unplugged)
    failure_of(endpoint_of(server, retries=Retry(total=None, other=1), session=session))
    assert unplugged.attempts == 2


def test_f1_the_users_policy_is_given_the_answer(server):
    reasons = []

    class Noting(Retry):
        def increment(self, *args, response=None, **named):
            reasons.append(response.headers["X-Reason"])
            return super().increment(*args, response=response, **named)

    server.answer_next(Answer(503, headers={"X-Reason": "at noon"}))
    endpoint_of(server, retries=Noting(1, status_forcelist={503}))(PLAIN)
    assert reasons == ["at noon"]
