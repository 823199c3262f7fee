"""A request that the API has refused: sent again once, exactly as it was, or not at all."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import threading
import traceback
import weakref
from contextlib import ExitStack
from io import BytesIO
from urllib.parse import urlsplit

import pytest
import requests
from helpers import PATIENCE, Held, elsewhere, texts_in, together, token_answer
from requests.adapters import BaseAdapter, HTTPAdapter
from requests.structures import CaseInsensitiveDict

from clientcreds_requests import TokenError
from clientcreds_requests.testing import Answer

INVALID_TOKEN = 'Bearer realm="api", error="invalid_token"'
REFUSED = Answer(401, {"error": "invalid_token"}, {"WWW-Authenticate": INVALID_TOKEN})


@pytest.fixture
def revoked(server, auth):
    """An auth whose token the API refuses from now on."""
    auth.authorize()
    server.revoke_all()
    return auth


def states(server):
    """What the tokens were worth that the API saw."""
    return [call.token_state for call in server.api_requests]


# R1: when


def test_r1_a_refused_request_is_sent_once_more_with_a_new_token(server, revoked):
    response = requests.get(server.api_url, auth=revoked)
    assert response.status_code == 200
    assert states(server) == ["revoked", "valid"]
    assert len(server.token_requests) == 2
    assert revoked.access_token == server.tokens[1].access_token


def test_r1_the_first_answer_goes_into_the_history_and_both_tell_what_they_carried(server, revoked):
    response = requests.get(server.api_url, auth=revoked)
    (first,) = response.history
    assert first.status_code == 401
    assert first.json()["error"] == "invalid_token"
    carried = [answer.request.headers["Authorization"] for answer in (first, response)]
    assert carried == [f"Bearer {token.access_token}" for token in server.tokens]


def test_r1_a_request_refused_twice_is_returned_as_it_is(server, auth):
    server.api_answer_next(REFUSED, REFUSED)
    response = requests.get(server.api_url, auth=auth)
    assert response.status_code == 401
    assert response.json()["error"] == "invalid_token"
    assert (len(server.api_requests), len(server.token_requests)) == (2, 2)


def test_r1_a_refused_token_that_is_no_longer_held_costs_no_token_request(server, clock, auth):
    old = requests.Request("GET", server.api_url, auth=auth).prepare()
    server.revoke_all()
    assert requests.get(server.api_url, auth=auth).ok
    clock.advance(11)  # replacements are kept for ten seconds in any case
    with requests.Session() as session:
        assert session.send(old).ok
    assert states(server) == ["revoked", "valid", "revoked", "valid"]
    assert len(server.token_requests) == 2


def test_r1_twenty_refusals_at_once_cost_one_token_request(server, revoked):
    arrived = threading.Barrier(20)

    def refuse_all_together(_request):
        arrived.wait(PATIENCE)

    server.api_answer_next(*[refuse_all_together] * 20)
    responses = together(20, lambda: requests.get(server.api_url, auth=revoked))
    assert {response.status_code for response in responses} == {200}
    assert sorted(states(server)) == ["revoked"] * 20 + ["valid"] * 20
    assert len(server.token_requests) == 2


def test_r1_a_new_token_that_is_the_old_one_is_not_tried_again(server, auth):
    token = auth.get_token().access_token
    server.answer_next(Answer(200, token_answer(token)))
    server.api_answer_next(REFUSED)
    response = requests.get(server.api_url, auth=auth)
    assert response.json()["error"] == "invalid_token"
    assert (len(server.api_requests), len(server.token_requests)) == (1, 2)


CHALLENGES = [
    pytest.param(None, True, id="none"),
    pytest.param("", True, id="empty"),
    pytest.param("Bearer", True, id="bearer"),
    pytest.param('BEARER realm="x", Error="invalid_token"', True, id="any case"),
    pytest.param("Bearer error=invalid_token", True, id="unquoted"),
    pytest.param('Bearer error="invalid_request"', True, id="other error"),
    pytest.param('Basic realm="x", Bearer error="invalid_token"', True, id="second"),
    pytest.param('Bearer, DPoP algs="ES256"', True, id="first"),
    pytest.param('Newauth realm="x, y", bearer', True, id="comma in quotes"),
    pytest.param('Bearer error="insufficient_scope", scope="admin"', False, id="scope"),
    pytest.param('Bearer error="insufficient_user_authentication"', False, id="step up"),
    pytest.param('Basic realm="x"', False, id="basic"),
    pytest.param("Negotiate", False, id="negotiate"),
    pytest.param('DPoP algs="ES256"', False, id="dpop"),
    pytest.param('Basic realm="a, Bearer error=\\"invalid_token\\""', False, id="within quotes"),
    pytest.param("Basic Bearer", False, id="token68"),
    pytest.param(", ," + '"' * 60_000, True, id="nothing legible"),
]


@pytest.mark.parametrize(("challenge", "again"), CHALLENGES)
def test_r1_whether_it_is_sent_again_depends_on_the_challenges(server, auth, challenge, again):
    headers = {} if challenge is None else {"WWW-Authenticate": challenge}
    server.api_answer_next(Answer(401, "no", headers))
    response = requests.get(server.api_url, auth=auth)
    assert response.status_code == (200 if again else 401)
    assert len(server.api_requests) == len(server.token_requests) == (2 if again else 1)


def test_r1_challenges_in_several_fields_are_all_read(server, auth):
    fields = [("WWW-Authenticate", "Basic"), ("WWW-Authenticate", INVALID_TOKEN)]
    server.api_answer_next(Answer(401, "no", fields))
    assert requests.get(server.api_url, auth=auth).ok


@pytest.mark.parametrize("status", [400, 403, 407, 500])
def test_r1_no_other_status_is_about_the_token(server, auth, status):
    server.api_answer_next(Answer(status, "no", {"WWW-Authenticate": INVALID_TOKEN}))
    assert requests.get(server.api_url, auth=auth).status_code == status
    assert auth.authorized


def test_r1_an_api_that_always_refuses_gets_no_storm_of_tokens(server, auth):
    server.api_answer_next(*[REFUSED] * 100)
    for _ in range(10):
        assert requests.get(server.api_url, auth=auth).status_code == 401
    assert len(server.token_requests) == 2


# R1: once, whatever happens to the request object


def test_r1_a_request_prepared_twice_is_replayed_once(server, auth):
    request = requests.Request("GET", server.api_url, auth=auth).prepare()
    request.prepare_auth(auth)
    assert len(request.hooks["response"]) == 1
    server.api_answer_next(*[REFUSED] * 5)
    with requests.Session() as session:
        assert session.send(request).status_code == 401
    assert len(server.api_requests) == 2


def test_r1_a_request_prepared_with_one_token_and_again_with_the_next_is_replayed_once(
    server, auth
):
    request = requests.Request("GET", server.api_url, auth=auth).prepare()
    auth.signout()
    request.prepare_auth(auth)
    server.api_answer_next(*[REFUSED] * 5)
    with requests.Session() as session:
        assert session.send(request).status_code == 401
    assert states(server) == ["valid", "valid"]


def test_r1_a_copy_is_replayed_once(server, revoked):
    request = requests.Request("GET", server.api_url, auth=revoked).prepare().copy()
    with requests.Session() as session:
        assert session.send(request).ok
    assert len(server.api_requests) == 2


@pytest.mark.parametrize("number", [1, 2], ids=["one", "two in turn"])
def test_r1_requests_sent_over_and_over_are_replayed_every_time(server, clock, auth, number):
    request = requests.Request("GET", server.api_url, auth=auth)
    prepared = [request.prepare() for _ in range(number)]
    with requests.Session() as session:
        for _ in range(3):
            server.revoke_all()
            assert [session.send(request).status_code for request in prepared] == [200] * number
            clock.advance(11)  # replacements are kept for ten seconds
    assert len(server.token_requests) == 4


def test_r1_a_request_sent_again_by_the_caller_carries_the_new_token(server, revoked):
    prepared = requests.Request("GET", server.api_url, auth=revoked).prepare()
    server.revoke_all()
    with requests.Session() as session:
        assert [session.send(prepared).status_code for _ in range(2)] == [200, 200]
    assert states(server) == ["revoked", "valid", "valid"]


# R1: who signs, and what signing changes


def test_r1_the_auth_that_signed_last_is_the_one_that_acts(server, auth):
    other = auth.replace(scope="other")
    request = requests.Request("GET", server.api_url, auth=auth).prepare()
    other(request)
    assert request.headers["Authorization"] == other.headers["Authorization"]
    server.revoke_all()
    server.reset_records()
    with requests.Session() as session:
        response = session.send(request)
    assert response.status_code == 200
    assert [asked.params.get("scope") for asked in server.token_requests] == ["other"]
    assert response.request.headers["Authorization"] == other.headers["Authorization"]
    assert len(response.request.hooks["response"]) == 1


def test_r1_signing_changes_nothing_that_copies_share(server, auth):
    def mine(response, **_settings):
        pass

    template = requests.Request("GET", server.api_url, hooks={"response": mine}).prepare()
    signed = auth(template.copy())
    assert template.hooks == {"response": [mine]}
    assert "Authorization" not in template.headers
    again = auth(signed.copy())
    assert [hook is mine for hook in again.hooks["response"]] == [False, True]
    assert again.hooks is not signed.hooks
    server.revoke_all()
    before = dict(again.hooks), again.headers.copy()
    with requests.Session() as session:
        assert session.send(signed).ok
    assert (dict(again.hooks), again.headers) == before


class ForeignRequest:
    """A prepared request of a fork of requests, which has hooks for further events."""

    def __init__(self) -> None:
        self.method, self.url = "GET", "https://api.example.com/"
        self.headers = CaseInsensitiveDict()
        self.hooks = {"response": [], "pre_send": [print]}


def test_r1_signing_leaves_the_hooks_of_a_fork_of_requests_alone(auth):
    for _ in range(3):
        request = ForeignRequest()
        hooks = request.hooks
        auth(request)
        assert request.headers["Authorization"].startswith("Bearer ")
        assert request.hooks["pre_send"] == [print]
        assert hooks == {"response": [], "pre_send": [print]}


def leave_it(response, **_settings):
    return response


@pytest.mark.parametrize(
    "hooks",
    [{}, {"response": None}, {"response": leave_it}, {"response": ()}],
    ids=["none", "None", "one", "empty"],
)
def test_r1_any_hooks_that_requests_takes_will_do(server, auth, hooks):
    with requests.Session() as session:
        for _ in range(2):  # the second time with a token at hand
            request = requests.Request("GET", server.api_url).prepare()
            request.hooks = dict(hooks)
            answer = session.send(auth(request))
            assert answer.ok
            is_kept = leave_it in request.hooks["response"]
            assert is_kept is (hooks.get("response") is leave_it)


def test_r1_a_template_that_is_signed_for_each_call_has_one_hook_however_many_tokens(server, auth):
    template = requests.Request("GET", server.api_url).prepare()
    with requests.Session() as session:
        for _ in range(40):
            auth.signout()
            assert session.send(auth(template.copy())).ok
            auth(template)
        server.revoke_all()
        answers = [session.send(auth(template.copy())), session.send(template)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert len(template.hooks["response"]) == 1


@pytest.mark.parametrize("refused", [False, True])
def test_r1_the_hook_keeps_nothing_of_a_request(server, auth, refused):
    def refuse(_request):
        return REFUSED if refused else None

    server.api_answer_next(refuse)
    response = requests.post(server.api_url, auth=auth, data=b"body")
    hook, *_ = response.request.hooks["response"]
    answers = [*response.history, response]
    kept = [weakref.ref(one) for answer in answers for one in (answer, answer.request)]
    assert len(answers) == 1 + refused
    del response, answers
    gc.collect()
    assert [reference() for reference in kept] == [None] * len(kept)
    assert callable(hook)


def test_r1_a_request_that_a_sibling_signed_meanwhile_drops_no_token(server, auth):
    sibling = auth.replace()
    prepared = requests.Request("GET", server.api_url, auth=auth).prepare()

    def sign_again(response, **_):
        sibling(prepared)

    prepared.hooks["response"].insert(0, sign_again)
    server.api_answer_next(REFUSED)
    with requests.Session() as session:
        assert session.send(prepared).status_code == 200
    assert auth.manager.stats().refused == 0
    assert states(server)[-1] == "valid"


# R2: the body

CONTENT = b"\x00first\r\nsecond\xff" * 100


def opened_file(tmp_path, at=0):
    path = tmp_path / "body"
    path.write_bytes(CONTENT)
    file = path.open("rb")
    file.seek(at)
    return file


def seeked(at):
    stream = BytesIO(CONTENT)
    stream.seek(at)
    return stream


BODIES = [
    pytest.param(lambda _: {"data": CONTENT}, CONTENT, id="bytes"),
    pytest.param(lambda _: {"data": bytearray(CONTENT)}, CONTENT, id="bytearray"),
    pytest.param(lambda _: {"data": "grün"}, "grün".encode(), id="str"),
    pytest.param(lambda _: {"data": ""}, b"", id="empty"),
    pytest.param(lambda _: {"data": {"a": "b c"}}, b"a=b+c", id="form"),
    pytest.param(lambda _: {"json": {"a": [1]}}, b'{"a": [1]}', id="json"),
    pytest.param(lambda _: {"files": {"f": ("n", CONTENT)}}, None, id="multipart"),
    pytest.param(lambda _: {"data": BytesIO(CONTENT)}, CONTENT, id="BytesIO"),
    pytest.param(lambda _: {"data": seeked(7)}, CONTENT[7:], id="seeked BytesIO"),
    pytest.param(lambda tmp: {"data": opened_file(tmp)}, CONTENT, id="file"),
    pytest.param(lambda tmp: {"data": opened_file(tmp, 7)}, CONTENT[7:], id="seeked file"),
    pytest.param(lambda tmp: {"files": {"f": opened_file(tmp)}}, None, id="multipart of a file"),
]


@pytest.mark.parametrize(("make", "sent"), BODIES)
def test_r2_a_body_is_sent_again_exactly(server, revoked, tmp_path, make, sent):
    given = make(tmp_path)
    with ExitStack() as stack:
        for value in (given.get("data"), *given.get("files", {}).values()):
            if hasattr(value, "close"):
                stack.enter_context(value)
        assert requests.post(server.api_url, auth=revoked, **given).ok
    first, second = server.api_requests
    assert first.body == second.body
    assert CONTENT in second.body if sent is None else second.body == sent
    for name in ("Content-Length", "Content-Type", "Transfer-Encoding"):
        assert first.headers.get_all(name) == second.headers.get_all(name)


class Unseekable(BytesIO):
    """Seeks until it has been read, as requests wants to know its length."""

    def __init__(self, error):
        super().__init__(CONTENT)
        self._error, self._read = error, False

    def read(self, size=-1):
        self._read = True
        return super().read(size)

    def seek(self, *args):
        if self._read:
            raise self._error
        return super().seek(*args)


def pipe():
    reading, writing = os.pipe()
    with open(writing, "wb") as sink:
        sink.write(b"once")
    return open(reading, "rb")


@pytest.mark.parametrize(
    ("make", "sent"),
    [
        pytest.param(lambda: (part for part in [b"on", b"ce"]), b"once", id="generator"),
        pytest.param(pipe, b"once", id="pipe"),
        pytest.param(lambda: Unseekable(OSError("no")), CONTENT, id="failing seek"),
        pytest.param(lambda: Unseekable(RuntimeError("no")), CONTENT, id="crashing seek"),
    ],
)
def test_r2_what_cannot_be_sent_again_exactly_is_not_sent_again(server, revoked, make, sent):
    with ExitStack() as stack:
        body = make()
        stack.callback(body.close)
        response = requests.post(server.api_url, auth=revoked, data=body)
    assert response.json()["error"] == "invalid_token"
    assert response.history == []
    assert [call.body for call in server.api_requests] == [sent]
    assert len(server.token_requests) == 1
    assert requests.get(server.api_url, auth=revoked).ok
    assert len(server.token_requests) == 2


# R2: everything else about the call


def test_r2_the_timeout_is_kept(server, revoked):
    held = Held()
    server.api_answer_next(None, held)
    with pytest.raises(requests.ReadTimeout):
        requests.get(server.api_url, auth=revoked, timeout=(PATIENCE, 0.3))
    held.released.set()
    assert len(server.api_requests) == 2


def test_r2_proxies_are_kept(server, make_auth):
    auth = make_auth(allow_http=True).authorize()
    server.revoke_all()
    proxies = {"http": server.api_url}
    response = requests.get("http://api.example.test/data", auth=auth, proxies=proxies)
    assert response.status_code == 200
    assert [call.path for call in server.api_requests] == ["http://api.example.test/data"] * 2


def test_r2_a_streamed_answer_is_still_streamed(server, revoked):
    with requests.get(server.api_url, auth=revoked, stream=True) as response:
        assert response._content is False
        assert response.raw.read().startswith(b'{"method": "GET"')
        assert response.history[0].json()["error"] == "invalid_token"


def test_r2_the_elapsed_time_is_that_of_the_answer(server, revoked):
    response = requests.get(server.api_url, auth=revoked)
    assert 0 < response.elapsed.total_seconds() < PATIENCE
    assert 0 < response.history[0].elapsed.total_seconds() < PATIENCE


def set_cookies(*cookies):
    fields = [("Set-Cookie", cookie) for cookie in cookies]
    return Answer(401, "no", [("WWW-Authenticate", INVALID_TOKEN), *fields])


def test_r2_cookies_that_the_401_sets_are_sent_and_kept(server, auth):
    server.api_answer_next(set_cookies("new=1", "old=2", "far=3; Path=/far"))
    with requests.Session() as session:
        session.cookies.set("old", "1", domain="127.0.0.1", path="/")
        session.cookies.set("stays", "0", domain="127.0.0.1", path="/")
        assert session.get(server.api_url, auth=auth).ok
        assert session.cookies.get("new") == "1"
        assert session.cookies.get("far") == "3"
    before, after = (set(call.headers["Cookie"].split("; ")) for call in server.api_requests)
    assert before == {"old=1", "stays=0"}
    assert after >= {"new=1", "stays=0"}
    assert "far=3" not in after


def test_r2_a_cookie_header_written_by_hand_is_left_alone(server, auth):
    server.api_answer_next(set_cookies("new=1"))
    assert requests.get(server.api_url, auth=auth, headers={"Cookie": "mine=1"}).ok
    assert [call.headers.get_all("Cookie") for call in server.api_requests] == [["mine=1"]] * 2


def test_r2_a_request_without_a_jar_takes_no_cookies(server, auth):
    request = requests.PreparedRequest()
    request.method, request.url = "GET", server.api_url
    request.prepare_headers({})
    request.prepare_auth(auth)
    server.api_answer_next(set_cookies("new=1"))
    with requests.Session() as session:
        assert session.send(request).ok
    assert "Cookie" not in server.api_requests[1].headers


# R2: draining the 401


@pytest.mark.parametrize("stream", [False, True])
def test_r2_a_small_401_keeps_its_connection(server, revoked, stream):
    with requests.get(server.api_url, auth=revoked, stream=stream) as response:
        assert response.ok
    first, second = server.api_requests
    assert first.client_port == second.client_port


HEAD = b"HTTP/1.1 401 Unauthorized\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
LONG = HEAD + b"Content-Length: 1000000000\r\n\r\n"


def give_up_401(server, auth, head, part, pause, times):
    """Whether a call gets its answer before the body of a 401 has been sent to its end."""
    replayed, sent_to_its_end = threading.Event(), threading.Event()

    def body():
        yield head
        for _ in range(times):
            if replayed.wait(pause):
                return
            yield part
        sent_to_its_end.set()

    server.api_answer_next(body(), lambda _request: replayed.set())
    response = requests.get(server.api_url, auth=auth)
    assert response.status_code == 200
    assert response.history[0].content == b""
    first, second = server.api_requests
    assert first.client_port != second.client_port
    return not sent_to_its_end.is_set()


@pytest.mark.parametrize(
    ("head", "part"),
    [
        pytest.param(CHUNKED, b"400\r\n" + b"x" * 1024 + b"\r\n", id="chunks"),
        pytest.param(LONG, b"x" * 1024, id="long"),
    ],
)
def test_r2_a_401_that_is_large_is_given_up(server, clock, auth, head, part):
    assert give_up_401(server, auth, head, part, pause=0, times=50_000)


@pytest.mark.parametrize(
    ("head", "part"),
    [
        pytest.param(LONG, b"x", id="drip"),
        pytest.param(LONG, b"", id="silence"),
        pytest.param(CHUNKED, b"1\r\nx\r\n", id="dripping chunks"),
        pytest.param(CHUNKED, b"0", id="dripping chunk size"),
    ],
)
def test_r2_a_401_that_takes_too_long_is_given_up(server, auth, head, part):
    assert give_up_401(server, auth, head, part, pause=0.05, times=int(PATIENCE / 0.05))


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(LONG + b"x", id="cut off"),
        pytest.param(CHUNKED + b"zz\r\n", id="bad chunk"),
        pytest.param(HEAD + b"Content-Encoding: gzip\r\n\r\nno gzip", id="bad gzip"),
    ],
)
def test_r2_a_401_that_cannot_be_read_is_replayed_all_the_same(server, auth, answer):
    server.api_answer_next(answer)
    assert requests.get(server.api_url, auth=auth).ok


def test_r2_a_401_that_has_been_read_already_is_kept_as_it_is(server, revoked):
    class Reading(HTTPAdapter):
        def build_response(self, req, resp):
            response = super().build_response(req, resp)
            assert response.content
            return response

    with requests.Session() as session:
        session.mount("http://", Reading())
        response = session.get(server.api_url, auth=revoked)
    assert response.status_code == 200
    assert response.history[0].json()["error"] == "invalid_token"


def test_r2_where_no_thread_can_be_started_a_401_is_drained_all_the_same(
    server, revoked, monkeypatch
):
    def refuse(_timer):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Timer, "start", refuse)
    response = requests.get(server.api_url, auth=revoked)
    assert response.status_code == 200
    assert response.history[0].json()["error"] == "invalid_token"


def test_r2_what_was_cut_off_does_not_look_complete(server, auth):
    released = threading.Event()

    def until_the_connection_closes():
        yield b"HTTP/1.1 401 Unauthorized\r\nConnection: close\r\n\r\nonly a part"
        released.wait(PATIENCE)

    server.api_answer_next(until_the_connection_closes())
    response = requests.get(server.api_url, auth=auth)
    released.set()
    assert response.status_code == 200
    assert response.history[0].content == b""


class Handmade(BaseAdapter):
    """An adapter whose answers never saw a network."""

    def send(self, request, **_settings):
        response = requests.Response()
        response.request, response.url, response.connection = request, request.url, self
        response.status_code, response.raw = 200, BytesIO(b"handmade")
        if request.headers["Authorization"] == "Bearer refused":
            response.status_code = 401
        return response

    def close(self):
        pass


def test_r1_an_answer_that_an_adapter_made_up_is_replayed_too(server, auth):
    server.answer_next(Answer(200, token_answer("refused")))
    with requests.Session() as session:
        session.mount("https://", Handmade())
        response = session.get("https://api.example.com/", auth=auth)
    assert (response.status_code, response.content) == (200, b"handmade")
    assert response.history[0].content == b"handmade"


def test_r1_an_answer_of_an_adapter_that_does_not_name_itself_is_returned_as_it_is(server, auth):
    class Nameless(BaseAdapter):
        def send(self, request, **_settings):
            response = requests.Response()
            response.status_code, response.request, response.url = 401, request, request.url
            response.raw = BytesIO(b"refused")
            return response

        def close(self):
            pass

    with requests.Session() as session:
        session.mount("https://", Nameless())
        assert session.get("https://api.example.com/", auth=auth).content == b"refused"


def test_r1_an_answer_of_an_asynchronous_adapter_is_returned_as_it_is(server, auth):
    class Asynchronous(BaseAdapter):
        async def send(self, request, **_settings):
            raise AssertionError("nobody awaits this")

    class Awaiting(HTTPAdapter):
        def build_response(self, req, resp):
            response = super().build_response(req, resp)
            response.connection = Asynchronous()
            return response

    auth.authorize()
    server.revoke_all()
    with requests.Session() as session:
        session.mount("http://", Awaiting())
        assert session.get(server.api_url, auth=auth).json()["error"] == "invalid_token"
        assert session.get(server.api_url, auth=auth).ok  # with another token
    assert states(server) == ["revoked", "valid"]


def test_r1_one_request_sent_by_many_threads_is_replayed_for_each(server, auth):
    prepared = requests.Request("GET", server.api_url, auth=auth).prepare()
    server.revoke_all()
    everybody = threading.Barrier(16)

    def send():
        with requests.Session() as session:
            everybody.wait(PATIENCE)
            return session.send(prepared).status_code

    assert together(16, send) == [200] * 16


def test_r2_a_request_prepared_again_after_it_was_copied_is_replayed_once(server, auth):
    prepared = requests.Request("GET", server.api_url, auth=auth).prepare()
    twin = prepared.copy()
    server.revoke_all()
    auth.signout()
    auth.authorize()
    prepared.prepare_auth(auth)
    server.api_answer_next(*[REFUSED] * 3)
    with requests.Session() as session:
        response = session.send(twin)
    assert response.status_code == 401
    assert [answer.history for answer in response.history] == [[]]


@pytest.mark.parametrize("copied", [pickle.dumps, copy.deepcopy], ids=["pickle", "deepcopy"])
def test_s2_a_response_may_be_pickled_and_copied_with_its_request(server, auth, copied):
    response = requests.get(server.api_url, auth=auth)
    assert copied(response)


def test_s2_a_request_from_a_pickle_is_not_sent_again(server, auth):
    response = requests.get(server.api_url, auth=auth)
    request = pickle.loads(pickle.dumps(response)).request
    server.revoke_all()
    with requests.Session() as session:
        assert session.send(request).status_code == 401
    assert len(server.token_requests) == 1


# Redirects: R1, R5


def test_r1_a_redirect_after_a_replay_carries_the_new_token(server, revoked):
    server.api_answer_next(None, Answer(302, headers={"Location": "/api/there"}))
    assert requests.get(server.api_url, auth=revoked).ok
    assert states(server) == ["revoked", "valid", "valid"]
    assert server.api_requests[2].path == "/api/there"


def test_r1_the_target_of_a_redirect_within_the_origin_is_replayed_too(server, auth):
    server.api_answer_next(Answer(302, headers={"Location": "/api/there"}), REFUSED)
    assert requests.get(server.api_url, auth=auth).ok
    assert [call.path for call in server.api_requests] == ["/api", "/api/there", "/api/there"]
    assert len(server.token_requests) == 2


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("where", ["other host", "other port"])
def test_r5_no_replay_brings_the_token_to_the_target_of_a_redirect(server, auth, status, where):
    target = elsewhere(server.api_url) if where == "other host" else f"{server.url}/api"
    challenge = Answer(401, "no", {"WWW-Authenticate": INVALID_TOKEN})
    server.api_answer_next(Answer(status, headers={"Location": target}), challenge)
    auth.authorize()
    server.reset_records()
    if where == "other port":
        server.answer_next(challenge)
    response = requests.get(server.api_url, auth=auth)
    assert response.status_code == 401
    arrived = [*server.api_requests, *server.token_requests]
    assert ["Authorization" in request.headers for request in arrived] == [True, False]
    assert auth.authorized


@pytest.fixture
def bound_auth(server, make_auth):
    """An auth whose token may go to the API alone, and its token is there."""
    return make_auth(allowed_origins=[server.api_url.removesuffix("/api")]).authorize()


def test_r5_a_request_signed_again_for_another_origin_loses_token_and_hook(server, bound_auth):
    def mine(response, **_settings):
        pass

    request = requests.Request("GET", server.api_url, hooks={"response": mine}).prepare()
    bound_auth(request)
    request.url = elsewhere(server.api_url)
    bound_auth(request)
    assert "Authorization" not in request.headers
    assert request.hooks == {"response": [mine]}
    with requests.Session() as session:
        assert session.send(request).status_code == 401
    assert states(server) == ["none"]
    assert len(server.token_requests) == 1


def test_r5_signed_again_it_loses_the_token_of_another_auth_too(server, auth, bound_auth):
    request = requests.Request("GET", elsewhere(server.api_url), auth=auth).prepare()
    assert request.headers["Authorization"] == auth.headers["Authorization"]
    bound_auth(request)
    assert "Authorization" not in request.headers
    assert request.hooks == {"response": []}


def test_r5_an_authorization_of_the_caller_is_left_on_a_request_to_another_origin(
    server, bound_auth
):
    request = requests.Request("GET", elsewhere(server.api_url)).prepare()
    for mine in ("Basic of-the-caller", "Bearer of-the-caller", b"Bearer of-the-caller"):
        request.headers["Authorization"] = mine
        bound_auth(request)
        assert request.headers["Authorization"] == mine


def test_r5_a_replayed_request_whose_url_was_changed_gets_no_new_token(server, bound_auth):
    signed = requests.Request("GET", server.api_url, auth=bound_auth).prepare()
    copied = signed.copy()
    copied.url = elsewhere(server.api_url)
    server.api_answer_next(REFUSED)
    with requests.Session() as session:
        assert session.send(copied).status_code == 401
    assert len(server.api_requests) == len(server.token_requests) == 1
    assert bound_auth.authorized


class DefaultPorts(HTTPAdapter):
    """Connects to one port in the place of 80 and 443, which only root can open."""

    def __init__(self, port):
        super().__init__()
        self._port = port

    def get_connection_with_tls_context(self, request, verify, proxies=None, cert=None):
        return self.poolmanager.connection_from_host("127.0.0.1", self._port, scheme="http")


@pytest.mark.parametrize("first", ["redirect", "refusal"])
def test_r5_no_token_follows_from_http_to_https_of_the_same_host(server, auth, first):
    auth.authorize()
    redirect = Answer(302, headers={"Location": "https://127.0.0.1/there"})
    server.api_answer_next(*[REFUSED] * (first == "refusal"), redirect)
    with requests.Session() as session:
        for scheme in ("http://", "https://"):
            session.mount(scheme, DefaultPorts(urlsplit(server.api_url).port))
        response = session.get("http://127.0.0.1/api", auth=auth)
    assert (response.url, response.status_code) == ("https://127.0.0.1/there", 401)
    assert states(server)[-1] == "none"
    redirected = response.history[-1].request
    assert redirected.headers["Authorization"] == auth.headers["Authorization"]


# Hooks of the user


def test_r2_a_hook_of_the_user_sees_the_final_answer_alone(server, revoked):
    seen = []

    def hook(response, **_settings):
        seen.append(response.status_code)
        response.raise_for_status()

    assert requests.get(server.api_url, auth=revoked, hooks={"response": hook}).ok
    with requests.Session() as session:
        session.hooks["response"] = [hook]
        server.revoke_all()
        revoked.signout()
        assert session.get(server.api_url, auth=revoked).ok
    assert seen == [200, 200]


# R4: no new token


@pytest.fixture
def no_new_token(server, revoked):
    """What a call raises when the API refuses the token, and the endpoint gives no other."""
    server.answer_next(Answer(401, {"error": "invalid_client", "error_description": "gone"}))
    with pytest.raises(TokenError) as caught:
        requests.get(server.api_url, auth=revoked)
    return caught.value


def test_r4_the_token_error_is_raised_with_the_401_as_its_context(server, no_new_token):
    assert no_new_token.error == "invalid_client"
    context = no_new_token.__context__
    assert isinstance(context, requests.HTTPError)
    assert context.response.status_code == 401
    assert context.response.json()["error"] == "invalid_token"
    assert context.response.request.url == server.api_url
    assert "Authorization" not in context.response.request.headers
    assert len(server.api_requests) == 1


def test_r4_the_token_is_nowhere_in_the_exceptions(server, no_new_token):
    texts = list(texts_in(no_new_token))
    assert "gone" in texts  # it has looked
    assert server.api_url in texts
    assert [t for t in texts if server.tokens[0].access_token in t] == []
    assert [t for t in texts if server.client_secret in t] == []


def test_r4_the_token_is_nowhere_in_the_locals_of_our_frames(server, no_new_token):
    ours = []
    for frame, _line in traceback.walk_tb(no_new_token.__traceback__):
        if frame.f_globals["__name__"].startswith("clientcreds_requests."):
            ours.append(repr(frame.f_locals))
    assert len(ours) >= 3
    assert [text for text in ours if server.tokens[0].access_token in text] == []


def test_r4_the_request_of_the_caller_keeps_its_header(server, revoked):
    request = requests.Request("GET", server.api_url, auth=revoked).prepare()
    server.answer_next(Answer(401, {"error": "invalid_client"}))
    with requests.Session() as session:
        with pytest.raises(TokenError):
            session.send(request)
        assert "Authorization" in request.headers
        assert session.send(request).ok


def test_r4_the_next_call_tries_again_on_the_same_connection(server, revoked):
    server.answer_next(Answer(401, {"error": "invalid_client"}))
    with requests.Session() as session:
        with pytest.raises(TokenError):
            session.get(server.api_url, auth=revoked)
        assert session.get(server.api_url, auth=revoked).ok
    first, second = server.api_requests
    assert first.client_port == second.client_port


def test_r5_a_token_that_many_newer_ones_followed_is_taken_off_all_the_same(server, make_auth):
    auth = make_auth(allowed_origins=[server.api_url.removesuffix("/api")])
    request = auth(requests.Request("GET", server.api_url).prepare())
    for _ in range(80):
        auth.signout()
        auth.authorize()
    request.url = "https://other.example.com/"
    assert "Authorization" not in auth(request).headers
