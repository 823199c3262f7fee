"""When a token is asked for: the manager alone, with a scripted fetch and a clock that obeys.

What it looks like through HTTP is shown in ``test_concurrency.py`` and ``tests/soak``.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import pytest

from clientcreds_requests import Token, TokenError, TokenManager, TokenRequest, TokenTimeout
from clientcreds_requests.flights import Flight

ANY = TokenRequest()


class Fetch:
    """A token endpoint without HTTP: hands out token1, token2, ... or does as it was told."""

    def __init__(self, clock=time) -> None:
        self.clock = clock
        self.lifetime: float | None = 3600.0
        self.calls = 0
        self.script: list[Callable[[], Token | None]] = []
        self.error: BaseException | None = None

    def __call__(self, request: TokenRequest) -> Token:
        self.calls += 1
        if self.error is not None:
            raise self.error
        name = f"token{self.calls}"
        if self.lifetime is None:
            return Token(name)
        return Token(name, expires_at=self.clock.time() + self.lifetime)


@pytest.fixture
def fetch(clock) -> Fetch:
    return Fetch(clock)


@pytest.fixture
def manager(fetch) -> TokenManager:
    return TokenManager(fetch, deadline=10.0)


def settle(manager: TokenManager, request: TokenRequest = ANY) -> None:
    """Wait for the token request in flight, whatever comes of it."""
    future = manager.in_flight(request)
    if future is not None:
        future.exception(5)
    for thread in threading.enumerate():
        if thread.name == "clientcreds-requests":
            thread.join(5)


def failures(manager: TokenManager, count: int) -> None:
    for _ in range(count):
        with pytest.raises(TokenError):
            manager.get_token(insist=True)


# --- L1: usable while more than the leeway is left ------------------------------------------


def test_l1_a_usable_token_costs_no_request(manager, fetch):
    assert {manager.get_token().access_token for _ in range(100)} == {"token1"}
    assert fetch.calls == 1


@pytest.mark.parametrize(
    ("left", "usable"),
    [
        pytest.param(20.5, True, id="20 s left and a tick"),
        pytest.param(20.0, False, id="20 s left"),
        pytest.param(19.5, False, id="20 s left less a tick"),
        pytest.param(-1.0, False, id="expired"),
    ],
)
def test_l1_a_token_is_usable_while_more_than_the_leeway_is_left(clock, fetch, left, usable):
    manager = TokenManager(fetch, renew_ahead=0)
    first = manager.get_token()
    clock.advance(3600 - left)
    assert manager.is_usable(first) is usable
    assert (manager.get_token() is first) is usable
    assert fetch.calls == (1 if usable else 2)


def test_l1_the_leeway_is_the_users_to_choose(clock, fetch):
    manager = TokenManager(fetch, leeway=0, renew_ahead=0)
    manager.get_token()
    clock.advance(3599.5)
    manager.get_token()
    assert fetch.calls == 1
    clock.advance(0.5)
    manager.get_token()
    assert fetch.calls == 2


def test_l1_a_token_without_expiry_is_used_until_it_is_refused(manager, fetch, clock):
    fetch.lifetime = None
    token = manager.get_token()
    clock.advance(10 * 365 * 24 * 3600)
    assert manager.get_token() is token
    assert manager.invalidate(token)
    assert manager.get_token().access_token == "token2"


@pytest.mark.parametrize("lifetime", [0.0, 5.0, 20.0])
def test_l1_a_token_shorter_than_the_leeway_serves_its_call_and_one_warning_says_so(
    manager, fetch, caplog, lifetime
):
    fetch.lifetime = lifetime
    assert [manager.get_token().access_token for _ in range(3)] == ["token1", "token2", "token3"]
    warnings = [r.message for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "leeway" in warnings[0]


def test_l1_a_brief_token_serves_everybody_who_waited_for_it(clock, fetch):
    gate, waiting = threading.Event(), threading.Barrier(9)
    fetch.lifetime = 1.0

    def slow(request: TokenRequest) -> Token:
        gate.wait(5)
        return fetch(request)

    manager, got = TokenManager(slow), []
    threads = [
        threading.Thread(target=lambda: (waiting.wait(5), got.append(manager.get_token())))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    waiting.wait(5)
    while manager.in_flight() is None:
        pass
    gate.set()
    for thread in threads:
        thread.join(5)
    assert len(got) == 8
    assert fetch.calls < 8


# --- L2: renewal ahead of time --------------------------------------------------------------


@pytest.mark.parametrize(
    ("lifetime", "renew_ahead", "not_yet", "due"),
    [
        pytest.param(3600.0, None, 301, 239, id="300 s of an hour"),
        pytest.param(400.0, None, 101, 83, id="a quarter of 400 s"),
        pytest.param(60.0, None, 31, 27, id="a quarter of what lies before the leeway"),
        pytest.param(3600.0, 600.0, 601, 483, id="as told"),
    ],
)
def test_l2_a_due_token_is_renewed_while_everybody_goes_on_with_it(
    clock, fetch, lifetime, renew_ahead, not_yet, due
):
    fetch.lifetime = lifetime
    manager = TokenManager(fetch, renew_ahead=renew_ahead)
    first = manager.get_token()
    clock.advance(lifetime - not_yet)
    assert manager.get_token() is first
    settle(manager)
    assert fetch.calls == 1
    clock.advance(not_yet - due)
    assert manager.get_token() is first
    settle(manager)
    assert fetch.calls == 2
    assert manager.get_token().access_token == "token2"


def test_l2_nobody_waits_for_a_renewal_and_there_is_one_at_a_time(clock, fetch):
    gate, started = threading.Event(), threading.Semaphore(0)

    def slow(request: TokenRequest) -> Token:
        started.release()
        if fetch.calls:
            gate.wait(5)
        return fetch(request)

    manager = TokenManager(slow)
    first = manager.get_token()
    clock.advance(3400)
    assert [manager.get_token() for _ in range(50)] == [first] * 50
    assert started.acquire(timeout=5)  # the first request
    assert started.acquire(timeout=5)  # the renewal
    assert not started.acquire(blocking=False)
    gate.set()
    settle(manager)
    assert manager.get_token().access_token == "token2"


def test_l2_nothing_is_renewed_when_renew_ahead_is_zero(clock, fetch):
    manager = TokenManager(fetch, renew_ahead=0)
    first = manager.get_token()
    clock.advance(3579)
    assert manager.get_token() is first
    settle(manager)
    assert fetch.calls == 1


def test_l2_nothing_runs_when_nothing_is_asked_for(manager, fetch, clock):
    manager.get_token()
    clock.advance(3590)
    settle(manager)
    assert fetch.calls == 1
    assert threading.active_count() == 1


def test_l2_no_thread_outlives_its_one_request(manager):
    before = threading.active_count()
    manager.get_token()
    assert threading.active_count() == before


def test_l2_a_fleet_that_started_together_does_not_renew_in_step(clock, fetch):
    renewed_at = []
    for _ in range(40):
        manager = TokenManager(fetch)
        first, began = manager.get_token(), clock.mono
        while manager.get_token() is first and manager.in_flight() is None:
            clock.advance(1)
        settle(manager)
        renewed_at.append(clock.mono - began)
    assert len(set(map(int, renewed_at))) > 10
    assert min(renewed_at) >= 3300
    assert max(renewed_at) < 3600 - 20 - 100


def test_l2_a_failed_renewal_is_logged_paused_and_tried_again(manager, fetch, clock, caplog):
    first = manager.get_token()
    clock.advance(3400)
    fetch.error = TokenError("down", status_code=503, retryable=True)
    for attempts in (2, 3):
        assert manager.get_token() is first
        settle(manager)
        assert fetch.calls == attempts
    assert manager.get_token() is first  # paused
    settle(manager)
    assert fetch.calls == 3
    assert [r.message.endswith("down") for r in caplog.records] == [True, True]
    fetch.error = None
    clock.advance(1)
    assert manager.get_token() is first
    settle(manager)
    assert manager.get_token().access_token == "token4"


@pytest.mark.parametrize("finalizing", [True, False], ids=["finalizing", "no threads"])
def test_l2_where_no_thread_can_be_started_the_caller_goes_on(
    manager, fetch, clock, monkeypatch, finalizing
):
    first = manager.get_token()
    clock.advance(3400)
    no_threads(monkeypatch, finalizing)
    assert manager.get_token() is first
    assert fetch.calls == 1
    assert manager.in_flight() is None


@pytest.mark.parametrize("finalizing", [True, False], ids=["finalizing", "no threads"])
def test_l2_where_no_thread_can_be_started_a_needed_token_is_got_in_this_one(
    manager, fetch, monkeypatch, finalizing
):
    no_threads(monkeypatch, finalizing)
    assert manager.get_token().access_token == "token1"


def no_threads(monkeypatch: pytest.MonkeyPatch, finalizing: bool) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    if finalizing:
        monkeypatch.setattr("sys.is_finalizing", lambda: True)
    else:
        monkeypatch.setattr(threading.Thread, "start", refuse)


@pytest.mark.parametrize("renew_ahead", [300.0, 3600.0, 10_000.0])
def test_l2_a_token_that_is_always_due_is_not_renewed_without_end(clock, fetch, renew_ahead):
    fetch.lifetime = 300.0
    manager = TokenManager(fetch, renew_ahead=renew_ahead)
    for _ in range(250):
        manager.get_token()
        settle(manager)
        clock.advance(1)
    assert 2 < fetch.calls < 12


@pytest.mark.parametrize("leeway", [20.0, 300.0, 3600.0])
def test_l2_a_token_without_expiry_is_never_due(clock, fetch, leeway):
    fetch.lifetime = None
    manager = TokenManager(fetch, leeway=leeway)
    for _ in range(20):
        manager.get_token()
        settle(manager)
        clock.advance(1000)
    assert fetch.calls == 1


def test_l2_a_renewal_that_could_not_begin_is_tried_again(manager, fetch, clock):
    first = manager.get_token()
    clock.advance(3400)
    with pytest.MonkeyPatch.context() as patch:
        no_threads(patch, finalizing=False)
        assert manager.get_token() is first
    assert manager.get_token() is first
    settle(manager)
    assert manager.get_token().access_token == "token2"


# --- L3: grace ------------------------------------------------------------------------------


def test_l3_a_token_inside_the_leeway_serves_when_no_other_can_be_had(clock, fetch, caplog):
    manager = TokenManager(fetch, renew_ahead=0)
    first = manager.get_token()
    clock.advance(3585)
    fetch.error = TokenError("down", retryable=True)
    assert [manager.get_token() for _ in range(20)] == [first] * 20
    settle(manager)
    assert "down" in caplog.text
    clock.advance(15)
    with pytest.raises(TokenError, match="down"):
        manager.get_token()
    fetch.error = None
    assert manager.get_token(insist=True).access_token != "token1"


def test_l3_nobody_waits_while_the_endpoint_is_known_to_fail(clock, fetch):
    manager = TokenManager(fetch, renew_ahead=0)
    first = manager.get_token()
    clock.advance(3585)
    fetch.error = TokenError("down")
    assert manager.get_token() is first
    gate = threading.Event()
    manager._fetch = lambda asked: (gate.wait(5), fetch(asked))[1]
    assert manager.get_token() is first  # while a request hangs at the gate
    gate.set()
    settle(manager)


def test_l3_the_last_two_minutes_of_an_hours_token_survive_an_outage(manager, fetch, clock):
    first = manager.get_token()
    clock.advance(3480)
    fetch.error = TokenError("down", retryable=True)
    for _ in range(119):
        assert manager.get_token() is first
        settle(manager)
        clock.advance(1)
    assert fetch.calls < 30
    clock.advance(1)
    with pytest.raises(TokenError, match="down"):
        manager.get_token()
    fetch.error = None
    clock.advance(31)
    assert manager.get_token().access_token.startswith("token")


def test_l3_a_refused_token_is_never_fallen_back_on(manager, fetch):
    first = manager.get_token()
    manager.invalidate(first)
    fetch.error = TokenError("down")
    with pytest.raises(TokenError, match="down"):
        manager.get_token()


def test_l3_a_caller_with_some_seconds_left_does_not_wait_them_away():
    def hangs(request: TokenRequest) -> Token:
        if fetch.calls:
            gate.wait(10)
        return fetch(request)

    fetch, gate = Fetch(), threading.Event()
    fetch.lifetime = 1.0
    manager = TokenManager(hangs, leeway=20.0, deadline=10.0)
    first = manager.get_token()
    assert manager.get_token() is first
    gate.set()
    settle(manager)


def test_l3_a_token_that_runs_out_while_its_successor_is_awaited_fails_nobody():
    fetch, gate = Fetch(), threading.Event()
    fetch.lifetime = 0.4

    def slow(request: TokenRequest) -> Token:
        if fetch.calls:
            gate.wait(0.6)
        return fetch(request)

    manager = TokenManager(slow, leeway=0.3, renew_ahead=0)
    first = manager.get_token()

    def until_renewed() -> Token:
        while (token := manager.get_token()) is first:
            pass
        return token

    assert {type(outcome) for outcome in together(16, until_renewed)} == {Token}


# --- L4: two clocks -------------------------------------------------------------------------


def test_l4_a_wall_clock_set_back_does_not_prolong_a_token(clock, fetch):
    manager = TokenManager(fetch, renew_ahead=0)
    manager.get_token()
    clock.step(-3600)
    clock.advance(3581)
    manager.get_token()
    assert fetch.calls == 2


def test_l4_a_suspended_machine_does_not_prolong_a_token(clock, fetch):
    manager = TokenManager(fetch, renew_ahead=0)
    manager.get_token()
    clock.suspend(3581)
    manager.get_token()
    assert fetch.calls == 2


@pytest.mark.parametrize("ahead", ["wall", "mono"])
def test_l4_a_token_with_the_leeway_left_on_one_clock_alone_is_not_usable(clock, fetch, ahead):
    manager = TokenManager(fetch, renew_ahead=0)
    manager.get_token()
    setattr(clock, ahead, getattr(clock, ahead) + 3580 - 0.5)
    assert manager.get_token().access_token == "token1"
    setattr(clock, ahead, getattr(clock, ahead) + 0.5)
    assert manager.get_token().access_token == "token2"


def test_l4_a_wall_clock_stepped_forward_and_back_costs_one_request_at_most(clock, fetch):
    manager = TokenManager(fetch, renew_ahead=0)
    manager.get_token()
    clock.step(7200)
    manager.get_token()
    clock.step(-7200)
    for _ in range(10):
        manager.get_token()
    assert fetch.calls == 2


@pytest.mark.parametrize("wall", [0.0, 4_102_444_800.0], ids=["1970", "2100"])
def test_l4_any_wall_clock_will_do(clock, fetch, wall):
    clock.wall = wall
    manager = TokenManager(fetch)
    assert manager.get_token() is manager.get_token()


# --- L5: sign-out ---------------------------------------------------------------------------


@pytest.mark.parametrize("request_", [ANY, None], ids=["one", "all"])
def test_l5_signing_out_forgets_the_token(manager, fetch, request_):
    manager.get_token()
    manager.clear(request_)
    assert manager.held() is None
    assert manager.get_token().access_token == "token2"


def test_l5_signing_out_forgets_one_request_and_no_other(manager):
    other = TokenRequest(scope="other")
    manager.get_token()
    kept = manager.get_token(other)
    manager.clear(ANY)
    assert manager.held(ANY) is None
    assert manager.held(other) is kept


def test_l5_signing_out_forgets_the_result_of_a_request_in_flight(clock, fetch):
    gate = threading.Event()

    def slow(request: TokenRequest) -> Token:
        gate.wait(5)
        return fetch(request)

    manager, got = TokenManager(slow), []
    thread = threading.Thread(target=lambda: got.append(manager.get_token()))
    thread.start()
    while (future := manager.in_flight()) is None:
        pass
    manager.clear()
    gate.set()
    thread.join(5)
    assert got == [future.result(5)]  # who waited for it has it
    assert manager.held() is None
    assert manager.get_token().access_token == "token2"


# --- C1, C2: many callers -------------------------------------------------------------------


def together(count: int, call: Callable[[], object]) -> list[object]:
    """What the call returned or raised in each of so many threads that began together."""
    barrier, outcomes = threading.Barrier(count), []

    def run() -> None:
        barrier.wait(10)
        try:
            outcomes.append(call())
        except BaseException as error:
            outcomes.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return outcomes


def hold_until_all_wait(fetch: Fetch, gate: threading.Event) -> Callable[[TokenRequest], Token]:
    def slow(request: TokenRequest) -> Token:
        gate.wait(0.3)
        return fetch(request)

    return slow


def test_c1_many_callers_share_one_token_request(clock, fetch):
    manager = TokenManager(hold_until_all_wait(fetch, threading.Event()))
    assert len({token.access_token for token in together(64, manager.get_token)}) == 1
    assert fetch.calls == 1


def test_c1_many_callers_share_one_error_each_as_an_exception_of_its_own(clock, fetch):
    fetch.error = original = TokenError("refused", error="invalid_client", status_code=401)
    manager = TokenManager(hold_until_all_wait(fetch, threading.Event()))
    errors = together(64, manager.get_token)
    assert fetch.calls == 1
    assert len({id(error) for error in errors}) == 64
    for error in errors:
        assert isinstance(error, TokenError)
        assert error is not original
        assert error.__cause__ is original
        assert (str(error), error.error, error.status_code) == ("refused", "invalid_client", 401)


def test_c1_different_token_requests_never_wait_for_each_other(clock, fetch):
    gate = threading.Event()

    def slow(request: TokenRequest) -> Token:
        if request.scope == "slow":
            gate.wait(5)
        return fetch(request)

    manager = TokenManager(slow)
    waiter = threading.Thread(target=manager.get_token, args=(TokenRequest(scope="slow"),))
    waiter.start()
    while manager.in_flight(TokenRequest(scope="slow")) is None:
        pass
    assert manager.get_token(TokenRequest(scope="quick"))
    assert waiter.is_alive()
    gate.set()
    waiter.join(5)


def test_c2_no_caller_waits_longer_than_the_deadline():
    gate = threading.Event()
    manager = TokenManager(lambda _: gate.wait(20), deadline=0.3)
    errors = together(8, manager.get_token)
    assert [type(error) for error in errors] == [TokenTimeout] * 8
    assert not gate.is_set()
    gate.set()
    settle(manager)


@pytest.mark.parametrize("slow", [None, "entry", "_board", "_await"])
def test_c2_a_token_request_that_was_given_up_does_not_block_the_next_one(monkeypatch, slow):
    fetch = Fetch()
    gate, hanging = threading.Event(), [True]
    if slow:  # as on a machine that has other things to do
        real = getattr(TokenManager, slow)

        def slowly(*args):
            time.sleep(0.1)
            return real(*args)

        monkeypatch.setattr(TokenManager, slow, slowly)

    def fetch_or_hang(request: TokenRequest) -> Token:
        if hanging.pop() if hanging else False:
            gate.wait(20)
        return fetch(request)

    manager = TokenManager(fetch_or_hang, deadline=1.0)
    with pytest.raises(TokenTimeout):
        manager.get_token()
    token = manager.get_token()
    gate.set()
    settle(manager)
    assert manager.get_token() is token  # what comes too late is not taken


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit, MemoryError])
def test_c2_an_interrupt_in_the_fetch_strands_nobody(clock, fetch, interrupt):
    gate = threading.Event()

    def interrupted(request: TokenRequest) -> Token:
        if fetch.calls == 0:
            gate.wait(0.3)
            fetch.calls += 1
            raise interrupt
        return fetch(request)

    outcomes = together(6, TokenManager(interrupted).get_token)
    if interrupt is MemoryError:  # an ordinary failure, and the same one for everybody
        assert all(isinstance(outcome, TokenError) for outcome in outcomes)
        return
    assert [type(outcome) for outcome in outcomes].count(interrupt) == 1
    assert sum(isinstance(outcome, Token) for outcome in outcomes) == 5


@pytest.mark.parametrize("where", ["entry", "_board", "launch"])
def test_c2_an_interrupt_before_the_request_begins_strands_nobody(
    manager, fetch, monkeypatch, where
):
    owner = Flight if where == "launch" else TokenManager
    real = getattr(owner, where)

    def interrupted(self, *args, **kwargs):
        if where != "launch":
            real(self, *args, **kwargs)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(owner, where, interrupted)
        with pytest.raises(KeyboardInterrupt):
            manager.get_token()
    assert manager.in_flight() is None
    assert manager.get_token().access_token == "token1"


def test_c2_an_interrupt_just_after_the_request_began_leaves_it_alone(manager, monkeypatch):
    real = Flight.launch

    def interrupted(self, *args, **kwargs):
        real(self, *args, **kwargs)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Flight, "launch", interrupted)
        with pytest.raises(KeyboardInterrupt):
            manager.get_token()
    settle(manager)
    assert manager.get_token().access_token == "token1"


def test_c2_a_caller_whose_time_is_up_leaves_a_younger_request_to_the_others():
    fetch, gate, waits = Fetch(), threading.Event(), threading.Event()

    def first_interrupted_then_hanging(request: TokenRequest) -> Token:
        fetch.calls += 1
        if fetch.calls == 1:
            waits.wait(10)
            time.sleep(0.5)
            raise KeyboardInterrupt
        gate.wait(10)
        return Token("token")

    manager, outcomes = TokenManager(first_interrupted_then_hanging, deadline=1.0), []

    def call() -> None:
        try:
            manager.get_token()
        except BaseException as error:
            outcomes.append(type(error))

    threads = [threading.Thread(target=call) for _ in range(2)]
    for thread in threads:
        thread.start()
    waits.set()
    for thread in threads:
        thread.join(10)
    assert sorted(outcomes, key=str) == sorted([KeyboardInterrupt, TokenTimeout], key=str)
    assert manager.in_flight() is not None  # it has time left
    gate.set()
    settle(manager)
    assert manager.held() is not None


def test_c2_what_breaks_in_under_the_lock_does_not_wait_for_itself(manager, fetch):
    with manager._lock:  # as a signal handler or a finalizer may find it
        assert manager.get_token().access_token == "token1"
        manager.clear()
    assert manager.get_token().access_token == "token2"


def test_c2_what_breaks_in_before_the_request_begins_does_not_wait_for_itself(
    manager, fetch, monkeypatch
):
    real = Flight.launch

    def broken_into(self, *args, **kwargs):
        patch.undo()
        assert manager.get_token().access_token == "token1"  # as a signal handler would
        real(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Flight, "launch", broken_into)
        assert manager.get_token().access_token == "token2"


def test_c1_an_error_class_of_the_users_own_is_copied_too(manager, fetch):
    class Vault(TokenError):
        def __init__(self, path: str, code: int) -> None:
            super().__init__(f"no secret at {path}")
            self.code = code

    fetch.error = Vault("/a", 7)
    with pytest.raises(Vault, match="no secret at /a") as caught:
        manager.get_token()
    assert (caught.value.code, caught.value.__cause__) == (7, fetch.error)


def test_c2_the_future_of_a_request_in_flight_cannot_be_cancelled(clock, fetch):
    gate = threading.Event()
    manager = TokenManager(lambda asked: (gate.wait(5), fetch(asked))[1])
    thread = threading.Thread(target=manager.get_token)
    thread.start()
    while (future := manager.in_flight()) is None:
        pass
    assert not future.cancel()
    gate.set()
    thread.join(5)
    assert future.result(5).access_token == "token1"


def test_c4_with_a_usable_token_no_lock_is_taken(manager):
    token = manager.get_token()
    with manager._lock:
        assert together(1, manager.get_token) == [token]


def test_c4_no_lock_is_taken_either_while_a_renewal_is_under_way(clock, fetch):
    gate = threading.Event()

    def slow(request: TokenRequest) -> Token:
        if fetch.calls:
            gate.wait(5)
        return fetch(request)

    manager = TokenManager(slow)
    token = manager.get_token()
    clock.advance(3400)
    manager.get_token()
    with manager._lock:
        assert together(1, manager.get_token) == [token]
    gate.set()
    settle(manager)


# --- F2, F3: pauses -------------------------------------------------------------------------


def test_f2_the_endpoint_is_left_alone_until_retry_after(manager, fetch, clock):
    fetch.error = TokenError("busy", status_code=429, retryable=True, retry_after=60.0)
    for _ in range(50):
        with pytest.raises(TokenError, match="busy") as caught:
            manager.get_token()
        assert caught.value.retry_after == 60.0
    assert fetch.calls == 1
    fetch.error = None
    clock.advance(59.5)
    with pytest.raises(TokenError, match="busy"):
        manager.get_token()
    clock.advance(0.5)
    assert manager.get_token()


def test_f2_an_absurd_retry_after_is_bounded_by_an_hour(manager, fetch, clock):
    fetch.error = TokenError("busy", retry_after=1e9)
    failures(manager, 1)
    fetch.error = None
    clock.advance(3600)
    assert manager.get_token()


def test_f3_after_one_failure_the_next_call_asks_at_once(manager, fetch):
    fetch.error = TokenError("down")
    failures(manager, 1)
    fetch.error = None
    assert manager.get_token()


def test_f3_from_the_second_failure_on_callers_get_the_last_error_without_a_request(manager, fetch):
    fetch.error = original = TokenError("down")
    failures(manager, 2)
    errors = together(16, manager.get_token)
    assert fetch.calls == 2
    assert len({id(error) for error in errors}) == 16
    assert all(error.__cause__ is original for error in errors)


def test_f3_pauses_grow_with_jitter_from_half_a_second_to_thirty(clock, fetch):
    pauses = []
    for _ in range(8):
        manager = TokenManager(fetch)
        fetch.error = TokenError("down")
        failures(manager, 1)
        run = []
        for _ in range(12):
            failures(manager, 1)
            calls, began = fetch.calls, clock.mono
            while fetch.calls == calls:
                clock.advance(0.125)
                with pytest.raises(TokenError):
                    manager.get_token()
            run.append(clock.mono - began)
            fetch.calls -= 1
        pauses.append(run)
    firsts = [run[0] for run in pauses]
    assert min(firsts) >= 0.5
    assert max(firsts) <= 1.0
    assert all(max(run) <= 30.25 for run in pauses)
    assert all(run[-1] > 20 for run in pauses)
    assert len({tuple(run) for run in pauses}) > 1


def test_f3_success_ends_the_pause_and_the_count(manager, fetch, clock):
    fetch.error = TokenError("down")
    failures(manager, 5)
    fetch.error = None
    token = manager.get_token(insist=True)
    assert manager.last_error() is None
    manager.invalidate(token)
    fetch.error = TokenError("down again")
    failures(manager, 1)
    fetch.error = None
    assert manager.get_token()  # one failure makes no pause


def test_f3_asking_explicitly_always_asks(manager, fetch):
    fetch.error = TokenError("down")
    failures(manager, 7)
    assert fetch.calls == 7


@pytest.mark.parametrize("changed", [True, False])
def test_f3_changed_credentials_ask_at_once(clock, fetch, changed):
    manager = TokenManager(fetch, credentials_changed=lambda: changed)
    fetch.error = TokenError("refused", error="invalid_client")
    failures(manager, 3)
    fetch.error = None
    if changed:
        assert manager.get_token()
    else:
        failures_before = fetch.calls
        with pytest.raises(TokenError, match="refused"):
            manager.get_token()
        assert fetch.calls == failures_before


def test_f3_a_callable_that_hangs_keeps_nobody_beyond_the_deadline():
    fetch, gate = Fetch(), threading.Event()
    fetch.error = TokenError("refused", error="invalid_client")
    manager = TokenManager(fetch, deadline=0.5, credentials_changed=lambda: gate.wait(20))
    failures(manager, 2)
    assert {type(error) for error in together(4, manager.get_token)} == {TokenTimeout}
    assert fetch.calls == 2
    gate.set()
    settle(manager)


def test_f3_unchanged_credentials_neither_ask_nor_prolong_the_pause(clock, fetch):
    asked = []
    manager = TokenManager(fetch, credentials_changed=lambda: asked.append(1))
    fetch.error = TokenError("refused", error="invalid_client")
    failures(manager, 2)
    for _ in range(20):
        with pytest.raises(TokenError, match="refused"):
            manager.get_token()
    assert (fetch.calls, len(asked)) == (2, 20)
    clock.advance(0.75)
    with pytest.raises(TokenError, match="refused"):
        manager.get_token()
    assert fetch.calls == 3


def test_f3_changed_credentials_do_not_hurry_what_they_cannot_mend(clock, fetch):
    manager = TokenManager(fetch, credentials_changed=lambda: True)
    fetch.error = TokenError("down", status_code=503)
    failures(manager, 2)
    with pytest.raises(TokenError, match="down"):
        manager.get_token()
    assert fetch.calls == 2


def test_f4_whatever_else_a_fetch_raises_is_a_token_error_with_that_cause(manager, fetch):
    fetch.error = KeyError("no such secret")
    with pytest.raises(TokenError, match="KeyError") as caught:
        manager.get_token()
    assert caught.value.__cause__.__cause__ is fetch.error
    assert "no such secret" not in str(caught.value)


# --- R3: refusals ---------------------------------------------------------------------------


def test_r3_a_refused_token_is_forgotten_once(manager):
    first = manager.get_token()
    assert manager.invalidate(first)
    assert not manager.invalidate(first)
    second = manager.get_token()
    assert not manager.invalidate(first)  # 16 threads were refused: the others come too late
    assert manager.get_token() is second


def test_r3_a_replacement_is_itself_replaced_only_after_ten_seconds(manager, fetch, clock):
    manager.invalidate(manager.get_token())
    second = manager.get_token()
    clock.advance(9.5)
    assert not manager.invalidate(second)
    assert manager.get_token() is second
    clock.advance(0.5)
    assert manager.invalidate(second)
    assert manager.get_token().access_token == "token3"


def test_r3_a_token_that_was_merely_renewed_may_be_refused_at_once(manager, fetch, clock):
    manager.get_token()
    clock.advance(3600)
    assert manager.invalidate(manager.get_token())


def test_r3_nothing_is_forgotten_where_nothing_is_held(manager):
    assert not manager.invalidate(Token("t"))


# --- the constructor ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "name"),
    [
        ({"fetch": "no callable"}, TypeError, "fetch"),
        ({"leeway": "20"}, TypeError, "leeway"),
        ({"leeway": -1}, ValueError, "leeway"),
        ({"leeway": float("nan")}, ValueError, "leeway"),
        ({"renew_ahead": True}, TypeError, "renew_ahead"),
        ({"renew_ahead": -1}, ValueError, "renew_ahead"),
        ({"deadline": 0}, ValueError, "deadline"),
        ({"deadline": None}, TypeError, "deadline"),
        ({"deadline": float("inf")}, ValueError, "deadline"),
    ],
)
def test_w8_wrong_arguments_are_refused_by_name(arguments, error, name):
    with pytest.raises(error, match=name):
        TokenManager(**{"fetch": lambda _: Token("t"), **arguments})


def test_c1_a_token_that_came_before_the_lock_was_had_is_taken(manager, fetch):
    token = manager.get_token()
    assert manager._board(manager.entry(), False, Flight(ANY)) == (token, None)
    assert fetch.calls == 1
