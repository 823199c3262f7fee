"""Many callers: one token request for all, nobody stranded, nobody waiting for others."""

from __future__ import annotations

import logging
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from helpers import PATIENCE, Crowd, Held, together, until

from clientcreds_requests import ClientCredentialsAuth, TokenError, TokenTimeout
from clientcreds_requests.testing import HANG, Answer

MANY = 256
REFUSAL = Answer(401, {"error": "invalid_client"})


def joined(auth: ClientCredentialsAuth, count: int) -> None:
    """Wait until so many threads wait for the token request of another."""
    until(lambda: auth.manager.stats().joined == count)


# C1: one token request


def test_c1_cold_threads_cause_one_token_request_and_share_its_token(server, auth):
    tokens = together(MANY, auth.get_token)
    assert len(server.token_requests) == 1
    assert {id(token) for token in tokens} == {id(auth.get_token())}
    assert tokens[0].access_token == server.tokens[0].access_token


def test_c1_cold_threads_that_call_the_api_cause_one_token_request(server, auth):
    responses = together(32, lambda: requests.get(server.api_url, auth=auth))
    assert [response.status_code for response in responses] == [200] * 32
    assert len(server.token_requests) == 1


def test_c1_threads_that_are_refused_share_one_request_and_each_has_its_own_error(server, auth):
    held = Held(REFUSAL)
    server.answer_next(held, REFUSAL)
    crowd = Crowd(MANY, auth.get_token)
    joined(auth, MANY - 1)
    held.released.set()
    errors = crowd.join()
    assert len(server.token_requests) == 2  # JSON and a form: one token request
    assert {type(error) for error in errors} == {TokenError}
    assert {error.error for error in errors} == {"invalid_client"}
    assert len({id(error) for error in errors}) == MANY
    (original,) = {error.__cause__ for error in errors}
    assert isinstance(original, TokenError)
    assert original not in errors
    assert {str(error) for error in errors} == {str(original)}


def test_c1_after_a_shared_failure_the_next_call_asks_again(server, auth):
    server.answer_next(REFUSAL, REFUSAL)
    with pytest.raises(TokenError):
        auth.get_token()
    assert auth.get_token().access_token == server.tokens[0].access_token


def test_c1_different_token_requests_never_wait_for_each_other(server, auth):
    siblings = [auth.replace(scope=f"scope-{number}") for number in range(8)]
    all_there = threading.Barrier(8)

    def answer_when_all_are_there(_request):
        all_there.wait(PATIENCE)

    server.answer_next(*[answer_when_all_are_there] * 8)
    with ThreadPoolExecutor(8) as pool:
        tokens = list(pool.map(lambda sibling: sibling.get_token(), siblings))
    assert {token.scope for token in tokens} == {f"scope-{number}" for number in range(8)}
    assert len(server.token_requests) == 8


def test_c1_a_failure_of_one_token_request_is_no_failure_of_another(server, auth):
    sibling = auth.replace(scope="b")
    server.answer_next(REFUSAL, REFUSAL)
    with pytest.raises(TokenError):
        auth.get_token()
    assert sibling.get_token().scope == "b"


def test_c1_the_lock_is_free_while_a_token_request_is_in_flight(server, auth):
    held = Held()
    server.answer_next(held)
    crowd = Crowd(4, auth.get_token)
    joined(auth, 3)
    assert auth.manager._lock.acquire(timeout=PATIENCE)
    auth.manager._lock.release()
    held.released.set()
    assert len(set(crowd.join())) == 1


# C2: nobody is stranded


def test_c2_nobody_waits_longer_than_the_deadline_for_an_endpoint_that_hangs(server, make_auth):
    auth = make_auth(deadline=0.5)
    server.answer_next(*[HANG] * 20)
    errors = together(8, auth.get_token)
    assert {type(error) for error in errors} == {TokenTimeout}
    assert all(error.retryable for error in errors)
    assert len({id(error) for error in errors}) == 8


def test_c2_an_endpoint_that_drips_its_answer_is_given_up_at_the_deadline(server, make_auth):
    auth = make_auth(deadline=2.0)
    given_up, read_to_its_end = threading.Event(), threading.Event()

    def drip():
        yield b"HTTP/1.1 200 OK\r\nX-Slow: "
        for _ in range(int(PATIENCE / 0.05)):
            if given_up.wait(0.05):
                return
            yield b"x"
        read_to_its_end.set()

    server.answer_next(drip())
    with pytest.raises(TokenTimeout):
        auth.get_token()
    given_up.set()
    assert not read_to_its_end.is_set()
    assert auth.authorize().authorized


def test_c2_after_an_outcome_that_came_too_late_the_next_call_asks_anew(server, make_auth):
    auth, held = make_auth(deadline=0.5), Held()
    server.answer_next(held)
    with pytest.raises(TokenTimeout):
        auth.get_token()
    assert auth.authorize().access_token == server.tokens[0].access_token
    held.released.set()
    assert auth.get_token().access_token == server.tokens[0].access_token


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs POSIX signals")
@pytest.mark.parametrize("position", ["first", "later"])
def test_c2_an_interrupt_of_one_caller_strands_nobody(server, auth, position):
    held = Held()
    server.answer_next(held)
    main = threading.current_thread()
    assert main is threading.main_thread()
    others = []

    def interrupt_when_all_wait():
        if position == "first":
            assert held.arrived.wait(PATIENCE)
            others.append(Crowd(8, auth.get_token))
        joined(auth, 8)
        signal.pthread_kill(main.ident, signal.SIGINT)

    if position == "later":
        others.append(Crowd(8, auth.get_token))
        joined(auth, 7)
    interrupter = threading.Thread(target=interrupt_when_all_wait)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        interrupter.start()
        with pytest.raises(KeyboardInterrupt):
            auth.get_token()
    finally:
        interrupter.join(PATIENCE)
        signal.signal(signal.SIGINT, before)
    if position == "first":  # its token request is interrupted with it; one of the others asks
        assert {token.access_token for token in others[0].join()} == {auth.access_token}
    held.released.set()
    assert {token.access_token for token in others[0].join()} == {auth.access_token}
    assert auth.get_token().access_token == auth.access_token
    assert len(server.token_requests) == (2 if position == "first" else 1)


def test_c2_who_asks_within_a_token_request_does_not_wait_for_itself(server):
    outcomes: list[object] = []

    def client_secret() -> str:
        try:
            auth.get_token()
        except TokenError as error:
            outcomes.append(str(error))
        return server.client_secret

    auth = ClientCredentialsAuth(server.token_endpoint, server.client_id, client_secret)
    assert auth.get_token().access_token
    assert outcomes
    assert set(outcomes) == {"no token: it was asked for within its own token request"}


def test_c2_a_lock_held_by_the_caller_may_be_taken_by_its_callables(server):
    lock = threading.RLock()

    def client_secret() -> str:
        assert lock.acquire(timeout=PATIENCE)
        try:
            return server.client_secret
        finally:
            lock.release()

    auth = ClientCredentialsAuth(server.token_endpoint, server.client_id, client_secret)
    with lock:
        assert requests.get(server.api_url, auth=auth).ok


def test_c2_a_callable_sees_the_thread_local_state_of_its_caller(server):
    tenant = threading.local()

    def client_secret() -> str:
        return tenant.secret

    tenant.secret = server.client_secret
    auth = ClientCredentialsAuth(server.token_endpoint, server.client_id, client_secret)
    assert auth.authorize().authorized


def test_l3_a_slow_answer_is_waited_for_when_the_token_held_will_not_outlast_it(
    server, make_auth, clock
):
    server.lifetime = 10
    auth = make_auth(leeway=9.0, renew_ahead=0)
    first = auth.get_token()
    clock.advance(9.25)
    held = Held()
    server.answer_next(held)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(auth.get_token)
        assert held.arrived.wait(PATIENCE)
        # Longer than the token's last moments: on a clock that stands still it would serve on.
        threading.Event().wait(1.5)
        held.released.set()
        assert call.result(PATIENCE).access_token != first.access_token


@pytest.mark.parametrize("jump", ["step", "suspend"])
def test_l4_a_jump_of_the_wall_clock_shows_within_a_second(server, auth, clock, jump):
    def token() -> str:
        request = requests.Request("GET", server.api_url, auth=auth).prepare()
        return request.headers["Authorization"]

    first = token()
    clock.advance(60)
    assert token() == first
    getattr(clock, jump)(3600)
    clock.mono += 1
    assert token() != first


def test_l2_no_timer_outlives_its_token_request(server, make_auth):
    auth = make_auth(leeway=0.0)
    server.answer_next(*[Answer(401, {"error": "invalid_client"})] * 2)
    with pytest.raises(TokenError):
        auth.get_token()
    assert timers() == []
    auth.get_token()
    assert timers() == []


def timers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]


# C4: no lock with a usable token


def test_c4_with_a_usable_token_no_lock_is_taken(server, auth):
    auth.authorize()
    with ThreadPoolExecutor(1) as pool, auth.manager._lock:
        assert pool.submit(auth.get_token).result(PATIENCE)
        assert pool.submit(lambda: auth.authorized).result(PATIENCE)
        assert pool.submit(lambda: auth.headers).result(PATIENCE)
        response = pool.submit(lambda: requests.get(server.api_url, auth=auth)).result(PATIENCE)
    assert response.ok


# C5: log handlers, and the end of the program


class Handler(logging.Handler):
    """Does something with every record of the package."""

    def __init__(self, work: Callable[[logging.LogRecord], object]) -> None:
        super().__init__()
        self.work, self.events = work, []

    def emit(self, record: logging.LogRecord) -> None:
        self.events.append(record.clientcreds_event)
        self.work(record)


@pytest.fixture
def handle() -> Iterator[Callable[..., Handler]]:
    """Makes handlers for all records of the package."""
    logger, handlers = logging.getLogger("clientcreds_requests"), []
    level = logger.level

    def make(work: Callable[[logging.LogRecord], object], least: int = logging.DEBUG) -> Handler:
        handlers.append(Handler(work))
        logger.setLevel(least)
        logger.addHandler(handlers[-1])
        return handlers[-1]

    yield make
    logger.setLevel(level)
    for handler in handlers:
        logger.removeHandler(handler)


@pytest.mark.parametrize("answer", [None, REFUSAL], ids=["token", "error"])
def test_c5_who_waits_for_another_has_its_outcome_before_any_log_handler_runs(
    server, auth, handle, answer
):
    held, blocked, go_on = Held(answer), threading.Event(), threading.Event()
    server.answer_next(held, answer)  # to JSON, and to the form
    handle(lambda _: (blocked.set(), go_on.wait(PATIENCE)))
    first = Crowd(1, auth.get_token)
    assert held.arrived.wait(PATIENCE)
    waiters = Crowd(8, auth.get_token)
    joined(auth, 8)
    held.released.set()
    outcomes = waiters.join()
    assert blocked.wait(PATIENCE)
    assert first.outcomes == []  # it is still busy with the handler
    go_on.set()
    outcomes += first.join()
    if answer is None:
        assert {token.access_token for token in outcomes} == {auth.access_token}
    else:
        assert {error.error for error in outcomes} == {"invalid_client"}


@pytest.mark.parametrize("kind", ["handler", "filter"])
def test_c5_a_handler_or_filter_that_raises_loses_no_token(server, auth, handle, kind):
    def fail(_: logging.LogRecord) -> bool:
        seen.append(1)
        raise RuntimeError("the disk is full")

    seen: list[int] = []
    handler = handle(fail if kind == "handler" else lambda _: None)
    name = "clientcreds_requests.token_endpoint"
    if kind == "filter":
        logging.getLogger(name).addFilter(fail)
    try:
        tokens = {auth.get_token().access_token for _ in range(3)}
    finally:
        logging.getLogger(name).removeFilter(fail)
    assert seen
    assert handler.events == ([] if kind == "filter" else ["token_obtained"])
    assert tokens == {server.tokens[0].access_token}
    assert len(server.token_requests) == 1


def test_c5_a_handler_that_raises_changes_no_error(server, auth, handle):
    def fail(_: logging.LogRecord) -> None:
        raise RuntimeError("the disk is full")

    handle(fail)
    server.answer_next(REFUSAL, REFUSAL)
    with pytest.raises(TokenError) as caught:
        auth.get_token()
    assert caught.value.error == "invalid_client"
    assert auth.authorize().authorized


@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO])
def test_c5_a_handler_that_ships_records_with_the_same_auth_loses_nothing(
    server, make_auth, handle, level
):
    def ship(record: logging.LogRecord) -> None:
        try:
            shipped.append(requests.post(server.api_url, data="record", auth=auth).status_code)
        except TokenError as error:
            shipped.append(str(error))

    server.accepts = {"form"}
    auth, shipped = make_auth(), []
    handler = handle(ship, level)
    began = time.monotonic()
    assert requests.get(server.api_url, auth=auth).ok
    assert time.monotonic() - began < PATIENCE
    within = "no token: it was asked for within its own token request"
    expected = {"json_not_read": within, "token_obtained": 200}
    assert handler.events[0] == "json_not_read"
    assert shipped == [expected[event] for event in handler.events]
    assert ("token_obtained" in handler.events) == (level == logging.DEBUG)


def test_c5_a_handler_that_asks_when_a_token_request_has_failed_gets_that_error(
    server, make_auth, handle
):
    def ask(_: logging.LogRecord) -> None:
        try:
            auth.authorize()
        except TokenError as error:
            got.append(str(error))

    def client_secret() -> str:
        calls.append(1)
        raise LookupError("no such secret")

    auth = ClientCredentialsAuth(server.token_endpoint, server.client_id, client_secret)
    got, calls = [], []
    handle(ask)
    with pytest.raises(TokenError) as caught:
        auth.get_token()
    assert got == [str(caught.value)]
    assert len(calls) == 1


HANGING = """
import threading
from clientcreds_requests import TokenManager, TokenTimeout

hanging = threading.Event()
manager = TokenManager(lambda _: hanging.set() or threading.Event().wait(), deadline=1.0)
threading.Thread(target=manager.get_token, daemon=True).start()
hanging.wait()
try:
    manager.get_token()
except TokenTimeout:
    print("gave up")
"""

READING = """
import sys, threading
from clientcreds_requests import ClientCredentialsAuth

auth = ClientCredentialsAuth(sys.argv[1], "me", "long-secret", timeout=600, deadline=600)
threading.Thread(target=auth.authorize, daemon=True).start()
sys.stdin.readline()
print("leaving it")
"""


def test_c5_a_program_ends_though_its_token_request_hangs():
    program = [sys.executable, "-c", HANGING]
    done = subprocess.run(program, capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert done.stdout.split("\n") == ["gave up", ""]


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"])
def test_c5_a_program_ends_though_the_answer_does_not(answer):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/token"
        program = [sys.executable, "-c", READING, url]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(program, **pipes, text=True) as running:
            try:
                connection, _ = listener.accept()
                with connection:
                    connection.sendall(answer)
                    told, _ = running.communicate("\n", timeout=PATIENCE)
            finally:
                running.kill()
    assert told == "leaving it\n"
    assert running.returncode == 0
