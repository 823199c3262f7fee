"""Many callers of one manager, token requests that take too long, failures and refusals."""

from __future__ import annotations

import contextlib
import gc
import sys
import threading
import time
import weakref

import pytest
import secrecy
from fetches import ANY, Fetch, Gate, failures, fetch, joined, manager, settle  # noqa: F401 - fixtures
from helpers import PATIENCE, Crowd, together, until

from clientcreds_requests import Token, TokenError, TokenManager, TokenRequest, TokenTimeout

# --- L8: a token request that takes too long -------------------------------------------------


DEADLINE = 120.0
"""Longer than a test waits: who is not told of an outcome fails it."""


class Overdue:
    """A manager whose token request has been under way for longer than the deadline.

    :param waiters: how many wait for it.
    """

    def __init__(self, fetch: Fetch, clock, *, due: bool = False, waiters: int = 0) -> None:
        self.gate = Gate(fetch, shut=not due)
        self.manager = TokenManager(lambda asked: self.gate(asked), deadline=DEADLINE)
        if due:
            self.manager.get_token()
            clock.advance(3360)
            self.gate.shut = True
        self.crowd = Crowd(1, self.manager.get_token)
        for _ in range(1 + due):
            self.gate.wait_for_one()
        clock.advance(DEADLINE / 2)
        self.waiters = Crowd(waiters, self.manager.get_token) if waiters else None
        joined(self.manager, waiters)
        clock.advance(DEADLINE / 2)
        self.gate.shut = False  # for those who come from now on


def told_at_once(crowd: Crowd) -> list[object]:
    """Wait for those who need not wait any longer."""
    began = time.monotonic()
    outcomes = crowd.join()
    assert time.monotonic() - began < PATIENCE / 2
    return outcomes


def test_l8_an_overdue_token_request_is_given_up_by_the_next_caller(clock, fetch):
    overdue = Overdue(fetch, clock)
    manager = overdue.manager
    clock.advance(0.25)
    token = manager.get_token()
    assert token.access_token == "token1"
    overdue.gate.open()
    assert [late.access_token for late in overdue.crowd.join()] == ["token2"]
    assert manager.get_token() is token  # a newer one is held than that which came late


def test_l8_a_token_request_is_not_overdue_at_the_deadline(clock, fetch):
    overdue = Overdue(fetch, clock)
    waiter = Crowd(1, overdue.manager.get_token)
    joined(overdue.manager, 1)
    overdue.gate.open()
    assert {token.access_token for token in overdue.crowd.join() + waiter.join()} == {"token1"}


def test_l8_the_new_token_request_has_a_deadline_of_its_own(clock, fetch):
    overdue = Overdue(fetch, clock)
    clock.advance(0.25)
    overdue.gate.shut = True
    second = Crowd(1, overdue.manager.get_token)
    overdue.gate.wait_for_one()
    clock.advance(DEADLINE)
    third = Crowd(1, overdue.manager.get_token)
    joined(overdue.manager, 1)
    clock.advance(0.25)
    overdue.gate.shut = False
    assert overdue.manager.get_token().access_token == "token1"
    assert [token.access_token for token in third.join()] == ["token1"]
    overdue.gate.open()
    second.join()
    overdue.crowd.join()


def test_l8_who_waits_for_an_overdue_token_request_gets_the_new_outcome(clock, fetch):
    overdue = Overdue(fetch, clock, waiters=8)
    clock.advance(0.25)
    token = overdue.manager.get_token()
    assert told_at_once(overdue.waiters) == [token] * 8
    overdue.gate.open()
    overdue.crowd.join()


def test_l8_who_waits_for_an_overdue_token_request_gets_the_new_error(clock, fetch):
    overdue = Overdue(fetch, clock, waiters=8)
    clock.advance(0.25)
    fetch.error = TokenError("down")
    with pytest.raises(TokenError, match="down"):
        overdue.manager.get_token()
    assert {str(error) for error in told_at_once(overdue.waiters)} == {"down"}
    overdue.gate.open()
    overdue.crowd.join()


def test_l8_a_token_that_comes_late_is_kept_if_no_newer_one_is_held(clock, fetch):
    overdue = Overdue(fetch, clock)
    manager = overdue.manager
    clock.advance(0.25)
    fetch.error = TokenError("down")
    failures(manager, 2)
    with pytest.raises(TokenError, match="down"):  # while the endpoint is left alone
        manager.get_token()
    fetch.error = None
    overdue.gate.open()
    (late,) = overdue.crowd.join()
    assert manager.get_token() is late
    assert fetch.calls == 3


def test_l8_a_token_that_comes_late_is_kept_while_a_newer_one_is_awaited(clock, fetch):
    overdue = Overdue(fetch, clock)
    clock.advance(0.25)
    first, overdue.gate = overdue.gate, Gate(fetch)
    newer = Crowd(1, overdue.manager.get_token)
    overdue.gate.wait_for_one()
    first.open()
    (late,) = overdue.crowd.join()
    assert overdue.manager.get_token() is late
    overdue.gate.open()
    assert newer.join() == [overdue.manager.get_token()]


def test_l8_a_token_that_comes_late_is_not_kept_once_a_newer_one_was_refused(clock, fetch):
    overdue = Overdue(fetch, clock)
    clock.advance(0.25)
    manager = overdue.manager
    assert manager.invalidate(manager.get_token())
    overdue.gate.open()
    overdue.crowd.join()
    assert manager.get_token().access_token == "token3"


def test_l8_an_error_that_comes_late_changes_nothing(clock, fetch):
    overdue = Overdue(fetch, clock)
    clock.advance(0.25)
    token = overdue.manager.get_token()
    fetch.error = TokenError("too late", retry_after=60.0)
    overdue.gate.open()
    assert overdue.crowd.join() == [token]
    assert overdue.manager.get_token() is token
    overdue.manager.invalidate(token)
    fetch.error = None
    assert overdue.manager.get_token()  # there is no pause


def test_l8_an_overdue_renewal_is_given_up_too(clock, fetch):
    overdue = Overdue(fetch, clock, due=True)
    manager = overdue.manager
    assert [token.access_token for token in overdue.crowd.join()] == ["token1"]
    clock.advance(105)  # its token is not usable any more
    assert manager.get_token().access_token == "token2"
    overdue.gate.open()
    settle(manager)
    assert manager.get_token().access_token == "token2"


def test_l8_an_overdue_renewal_does_not_keep_another_from_starting(clock, fetch):
    overdue = Overdue(fetch, clock, due=True)
    manager = overdue.manager
    clock.advance(0.25)
    assert manager.get_token().access_token == "token1"
    until(lambda: manager.get_token().access_token == "token2")
    overdue.gate.open()
    settle(manager)


def test_l8_a_token_request_that_asks_for_a_token_after_its_deadline_does_not_start_another(clock):
    calls = []

    def slow(request: TokenRequest) -> Token:
        calls.append(request)
        clock.advance(60)
        return manager.get_token()

    manager = TokenManager(slow, deadline=30.0)
    with pytest.raises(TokenError, match="within its own token request"):
        manager.get_token()
    assert len(calls) == 1


# --- C1, C2: many callers -------------------------------------------------------------------


def test_c1_many_callers_share_one_token_request(clock, fetch):
    gate = Gate(fetch)
    manager = TokenManager(gate)
    crowd = Crowd(64, manager.get_token)
    joined(manager, 63)
    gate.open()
    assert len({token.access_token for token in crowd.join()}) == 1
    assert fetch.calls == 1


def test_c1_many_callers_share_one_error_each_as_an_exception_of_its_own(clock, fetch):
    fetch.error = original = TokenError("refused", error="invalid_client", status_code=401)
    gate = Gate(fetch)
    manager = TokenManager(gate)
    crowd = Crowd(64, manager.get_token)
    joined(manager, 63)
    gate.open()
    errors = crowd.join()
    assert fetch.calls == 1
    assert len({id(error) for error in errors}) == 64
    for error in errors:
        assert isinstance(error, TokenError)
        assert error is not original
        assert error.__cause__ is original
        assert (str(error), error.error, error.status_code) == ("refused", "invalid_client", 401)


def test_c1_the_caller_who_needs_the_token_fetches_it_in_its_own_thread(clock, fetch):
    threads = []

    def looks(request: TokenRequest) -> Token:
        threads.append(threading.current_thread())
        return fetch(request)

    TokenManager(looks).get_token()
    assert threads == [threading.current_thread()]


def test_c1_different_token_requests_never_wait_for_each_other(clock, fetch):
    slow, quick = TokenRequest(scope="slow"), TokenRequest(scope="quick")
    gate = Gate(fetch)
    manager = TokenManager(lambda asked: gate(asked) if asked == slow else fetch(asked))
    waiter = Crowd(1, lambda: manager.get_token(slow))
    gate.wait_for_one()
    assert manager.get_token(quick).access_token == "token1"
    assert waiter.outcomes == []
    gate.open()
    waiter.join()


def waits_for_the_lock(thread: threading.Thread) -> bool:
    frame = sys._current_frames().get(thread.ident or 0)
    return frame is not None and frame.f_code.co_name == "locked"


def test_c1_a_token_that_came_before_the_lock_was_had_is_taken(manager, fetch):
    with manager._lock:
        crowd = Crowd(1, manager.get_token)
        until(lambda: waits_for_the_lock(*crowd._threads))
        token = manager.get_token()
    assert crowd.join() == [token]
    assert fetch.calls == 1


def test_c1_a_replacement_is_kept_though_the_clock_has_not_moved(manager, fetch):
    first = manager.get_token()
    manager.invalidate(first)
    second = manager.get_token()
    assert manager.get_token() is second
    assert fetch.calls == 2


def test_c2_no_caller_waits_longer_than_the_deadline_for_the_token_request_of_another(clock, fetch):
    gate = Gate(fetch)
    manager = TokenManager(gate, deadline=0.3)
    first = Crowd(1, manager.get_token)
    gate.wait_for_one()
    errors = together(8, manager.get_token)
    assert [type(error) for error in errors] == [TokenTimeout] * 8
    assert len({id(error) for error in errors}) == 8
    gate.open()
    assert [token.access_token for token in first.join()] == ["token1"]


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit, MemoryError])
def test_c2_an_interrupt_in_the_fetch_strands_nobody(clock, fetch, interrupt):
    def interrupted(request: TokenRequest) -> Token:
        if fetch.calls == 0:
            joined(manager, 5)
            fetch.calls += 1
            raise interrupt
        return fetch(request)

    def call() -> object:
        try:
            return manager.get_token()
        except BaseException as error:
            return error

    manager = TokenManager(interrupted)
    outcomes = together(6, call)
    if interrupt is MemoryError:  # an ordinary failure, and the same one for everybody
        assert all(isinstance(outcome, TokenError) for outcome in outcomes)
        return
    assert [type(outcome) for outcome in outcomes].count(interrupt) == 1
    assert sum(isinstance(outcome, Token) for outcome in outcomes) == 5


def test_c2_a_caller_whose_time_is_up_leaves_a_younger_request_to_the_others(fetch):
    gate = Gate(fetch)

    def first_interrupted_then_hanging(request: TokenRequest) -> Token:
        if fetch.calls == 0:
            joined(manager, 2)
            fetch.calls += 1
            raise KeyboardInterrupt
        return gate(request)

    def call() -> object:
        try:
            return manager.get_token()
        except BaseException as error:
            return type(error)

    manager = TokenManager(first_interrupted_then_hanging, deadline=1.0)
    crowd = Crowd(3, call)
    until(lambda: len(crowd.outcomes) == 2)
    assert set(crowd.outcomes) == {KeyboardInterrupt, TokenTimeout}
    assert manager.entry().fetch is not None  # it has time left
    gate.open()
    crowd.join()
    assert manager.entry().token in crowd.outcomes


@pytest.mark.parametrize("insist", [True, False])
def test_c2_who_asks_within_its_own_token_request_gets_an_error_at_once(clock, fetch, insist):
    errors = []

    def asks(request: TokenRequest) -> Token:
        with pytest.raises(TokenError, match="within its own token request") as caught:
            manager.get_token(insist=insist)
        errors.append(caught.value)
        return fetch(request)

    manager = TokenManager(asks)
    assert manager.get_token().access_token == "token1"
    assert [type(error) for error in errors] == [TokenError]


def test_c2_who_asks_within_a_renewal_gets_the_token_that_is_renewed(clock, fetch):
    got = []

    def asks(request: TokenRequest) -> Token:
        if fetch.calls:
            got.append(manager.get_token())
        return fetch(request)

    manager = TokenManager(asks)
    first = manager.get_token()
    clock.advance(3400)
    manager.get_token()
    settle(manager)
    assert got == [first]


def test_c2_who_asks_for_another_token_within_a_token_request_gets_it(clock, fetch):
    other = TokenRequest(scope="other")
    manager = TokenManager(
        lambda asked: fetch(asked) if asked == other else manager.get_token(other)
    )
    assert manager.get_token() is manager.get_token(other)


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
    gate = Gate(fetch)
    manager = TokenManager(gate)
    crowd = Crowd(1, manager.get_token)
    gate.wait_for_one()
    future = manager.entry().fetch.future
    assert not future.cancel()
    gate.open()
    crowd.join()
    assert future.result(5).access_token == "token1"


def test_c4_with_a_usable_token_no_lock_is_taken(manager):
    token = manager.get_token()
    with manager._lock:
        assert together(1, manager.get_token) == [token]


def test_c4_no_lock_is_taken_either_while_a_renewal_is_under_way(clock, fetch):
    gate = Gate(fetch, shut=False)
    manager = TokenManager(gate)
    token = manager.get_token()
    clock.advance(3400)
    gate.shut = True
    manager.get_token()
    for _ in range(2):
        gate.wait_for_one()
    with manager._lock:
        assert together(1, manager.get_token) == [token]
    gate.open()
    settle(manager)


def test_c4_no_lock_is_taken_either_while_a_renewal_is_not_yet_tried_again(manager, fetch, clock):
    token = manager.get_token()
    clock.advance(3400)
    fetch.error = TokenError("down")
    for _ in range(2):
        manager.get_token()
        settle(manager)
    with manager._lock:
        assert together(1, manager.get_token) == [token]


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


def test_f2_retry_after_is_what_is_left_to_wait(manager, fetch, clock):
    fetch.error = TokenError("busy", status_code=429, retryable=True, retry_after=8.0)
    left = []
    for _ in range(4):
        with pytest.raises(TokenError, match="busy") as caught:
            manager.get_token()
        left.append(caught.value.retry_after)
        clock.advance(2.5)
    assert left == [8.0, 5.5, 3.0, 0.5]
    assert fetch.error.retry_after == 8.0


def test_f2_what_is_left_of_the_pause_is_not_said_where_the_endpoint_said_nothing(
    manager, fetch, clock
):
    fetch.error = TokenError("down")
    failures(manager, 2)
    clock.advance(0.25)
    with pytest.raises(TokenError, match="down") as caught:
        manager.get_token()
    assert caught.value.retry_after is None


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
    assert manager.entry().error is None
    manager.invalidate(token)
    fetch.error = TokenError("down again")
    failures(manager, 1)
    fetch.error = None
    assert manager.get_token()  # one failure makes no pause


def test_f3_asking_explicitly_always_asks(manager, fetch):
    fetch.error = TokenError("down")
    failures(manager, 7)
    assert fetch.calls == 7


def failing_callable(request: TokenRequest) -> Token:
    raise LookupError("no such secret")


def test_f3_a_callable_that_fails_makes_no_pause(clock, fetch):
    manager = TokenManager(lambda asked: failing_callable(asked) if failing else fetch(asked))
    failing = True
    for _ in range(10):
        with pytest.raises(TokenError, match="LookupError"):
            manager.get_token()
    failing = False
    assert manager.get_token().access_token == "token1"


def test_f3_a_callable_that_fails_neither_prolongs_a_pause_nor_ends_it(clock, fetch):
    calls = []

    def asked_in_vain(request: TokenRequest) -> Token:
        calls.append(request)
        return failing_callable(request) if failing else fetch(request)

    manager, failing = TokenManager(asked_in_vain), False
    fetch.error = TokenError("down", retry_after=10.0)
    failures(manager, 1)
    failing = True
    failures(manager, 1)
    clock.advance(9.5)
    with pytest.raises(TokenError):
        manager.get_token()
    assert len(calls) == 2
    clock.advance(0.5)
    failing, fetch.error = False, None
    assert manager.get_token()


def test_f3_a_callable_that_fails_does_not_start_a_renewal_with_every_call(clock, fetch, caplog):
    calls = []

    def asked(request: TokenRequest) -> Token:
        calls.append(request)
        return failing_callable(request) if len(calls) > 1 else fetch(request)

    manager = TokenManager(asked)
    first = manager.get_token()
    clock.advance(3400)
    for _ in range(20):
        assert manager.get_token() is first
        settle(manager)
        clock.advance(0.25)
    assert len(calls) == 1 + 5
    assert len(caplog.records) == 5


@pytest.mark.parametrize("nothing", [None, "token", 42])
def test_f4_a_fetch_that_returns_no_token_is_a_token_error_that_says_so(clock, nothing):
    manager = TokenManager(lambda _: nothing)
    with pytest.raises(TokenError, match=f"a Token, not {type(nothing).__name__}"):
        manager.get_token()
    assert manager.entry().fetch is None


def test_f4_whatever_else_a_fetch_raises_is_a_token_error_with_that_cause(manager, fetch):
    fetch.error = KeyError("no such secret")
    with pytest.raises(TokenError, match="KeyError") as caught:
        manager.get_token()
    assert caught.value.__cause__.__cause__ is fetch.error
    assert "no such secret" not in str(caught.value)


@pytest.mark.parametrize("state", ["down", "paused", "a callable fails", "within the lock"])
def test_f4_an_error_goes_with_its_last_reference(manager, fetch, state):
    """A cycle would keep what its frames hold, connections among it, until garbage collection."""

    def error_of_a_call() -> weakref.ref[TokenError]:
        try:
            with manager._lock if state == "within the lock" else contextlib.nullcontext():
                manager.get_token()
        except TokenError as error:
            secrecy.notes.errors.clear()  # the watch over secrets holds on to them
            return weakref.ref(error)
        raise AssertionError("no error")

    fetch.error = LookupError() if state == "a callable fails" else TokenError("down")
    if state == "paused":
        failures(manager, 2)
    if state == "within the lock":
        manager._inside.add(threading.get_ident())
    gc.collect()
    gc.disable()
    try:
        gone = error_of_a_call()
        fetch.error = None
        assert gone() is None
    finally:
        gc.enable()


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
