"""When a token is asked for: the manager alone, with a scripted fetch and a clock that obeys.

Interrupts are shown in ``test_interrupts.py``, what is kept in ``test_entries.py``; what it looks
like through HTTP in ``test_concurrency.py`` and ``tests/soak``.
"""

from __future__ import annotations

import contextlib
import contextvars
import gc
import logging
import sys
import threading
import time
import weakref
from collections.abc import Callable

import pytest
import secrecy
from helpers import PATIENCE, Crowd, texts_in, together, until

from clientcreds_requests import Token, TokenError, TokenManager, TokenRequest, TokenTimeout

ANY = TokenRequest()


class Fetch:
    """A token endpoint without HTTP: hands out token1, token2, ... or does as it was told."""

    def __init__(self, clock=time) -> None:
        self.clock = clock
        self.lifetime: float | None = 3600.0
        self.calls = 0
        self.error: BaseException | None = None
        self.name: str | None = None
        """Of the token, if it is to be the same every time."""

    def __call__(self, request: TokenRequest) -> Token:
        self.calls += 1
        if self.error is not None:
            raise self.error
        name = self.name or f"token{self.calls}"
        if self.lifetime is None:
            return Token(name)
        return Token(name, expires_at=self.clock.time() + self.lifetime)


class Gate:
    """A fetch in front of another: while it is shut, it waits for being opened.

    :param beyond: makes the token requests.
    """

    def __init__(self, beyond: Callable[[TokenRequest], Token], *, shut: bool = True) -> None:
        self.shut, self.arrived = shut, threading.Semaphore(0)
        self._beyond, self._opened = beyond, threading.Event()

    def __call__(self, request: TokenRequest) -> Token:
        self.arrived.release()
        if self.shut:
            assert self._opened.wait(PATIENCE), "nobody has opened the gate"
        return self._beyond(request)

    def open(self) -> None:
        """Let everybody through, now and from now on."""
        self.shut = False
        self._opened.set()

    def wait_for_one(self) -> None:
        """Wait until somebody stands before the gate, or has passed it."""
        assert self.arrived.acquire(timeout=PATIENCE), "nobody has come to the gate"


@pytest.fixture
def fetch(clock) -> Fetch:
    return Fetch(clock)


@pytest.fixture
def manager(fetch) -> TokenManager:
    return TokenManager(fetch, deadline=10.0)


def settle(manager: TokenManager, request: TokenRequest = ANY) -> None:
    """Wait for the token request under way, whatever comes of it."""
    fetch = manager.entry(request).fetch
    if fetch is not None:
        fetch.future.exception(5)
    for thread in threading.enumerate():
        if thread.name == "clientcreds-requests":
            thread.join(5)


def joined(manager: TokenManager, count: int) -> None:
    """Wait until so many callers wait for the token requests of others."""
    until(lambda: manager.stats().joined == count)


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
    manager, fetch, clock, caplog, lifetime
):
    fetch.lifetime, got = lifetime, []
    for _ in range(3):
        got.append(manager.get_token().access_token)
        clock.advance(1)
    assert got == ["token1", "token2", "token3"]
    warnings = [r.message for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "leeway" in warnings[0]


@pytest.mark.parametrize("lifetime", [0.0, 1.0])
def test_l1_a_brief_token_serves_everybody_who_waited_for_it(clock, fetch, lifetime):
    fetch.lifetime = lifetime
    gate = Gate(fetch)
    manager = TokenManager(gate)
    crowd = Crowd(8, manager.get_token)
    joined(manager, 7)
    gate.open()
    assert {token.access_token for token in crowd.join()} == {"token1"}
    assert fetch.calls == 1


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
    gate = Gate(fetch, shut=False)
    manager = TokenManager(gate)
    first = manager.get_token()
    gate.wait_for_one()
    gate.shut = True
    clock.advance(3400)
    assert [manager.get_token() for _ in range(50)] == [first] * 50
    gate.wait_for_one()  # the renewal
    assert not gate.arrived.acquire(blocking=False)
    gate.open()
    settle(manager)
    assert manager.get_token().access_token == "token2"


def test_l2_a_renewal_runs_in_a_thread_of_its_own_with_the_callers_context(clock, fetch):
    tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant")
    seen = []

    def looks(request: TokenRequest) -> Token:
        seen.append((threading.current_thread().name, tenant.get("nobody")))
        return fetch(request)

    manager = TokenManager(looks)
    contextvars.copy_context().run(lambda: (tenant.set("first"), manager.get_token()))
    clock.advance(3400)
    contextvars.copy_context().run(lambda: (tenant.set("second"), manager.get_token()))
    settle(manager)
    caller = threading.current_thread().name
    assert seen == [(caller, "first"), ("clientcreds-requests", "second")]


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
        while manager.get_token() is first and manager.entry().fetch is None:
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


def no_threads(monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("can't start new thread")

    if why == "finalizing":  # start() would wait for ever
        monkeypatch.setattr("sys.is_finalizing", lambda: True)
        monkeypatch.setattr(threading.Thread, "start", lambda _: pytest.fail("it would hang"))
    elif why == "WebAssembly":
        monkeypatch.setattr(threading.Thread, "start", refuse)
    else:  # a subinterpreter, whose threads may not be daemons
        monkeypatch.setattr(threading.Thread, "daemon", property(lambda _: False, refuse))


NO_THREADS = pytest.mark.parametrize("why", ["finalizing", "WebAssembly", "subinterpreter"])


@NO_THREADS
def test_l2_where_no_thread_can_be_started_the_caller_goes_on(
    manager, fetch, clock, monkeypatch, why
):
    first = manager.get_token()
    clock.advance(3400)
    no_threads(monkeypatch, why)
    assert [manager.get_token() for _ in range(3)] == [first] * 3
    assert fetch.calls == 1
    assert manager.entry().fetch is None


@NO_THREADS
def test_l2_where_no_thread_can_be_started_a_needed_token_is_got_in_this_one(
    manager, fetch, clock, monkeypatch, why
):
    no_threads(monkeypatch, why)
    assert manager.get_token().access_token == "token1"
    clock.advance(3590)
    assert manager.get_token().access_token == "token2"


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
        no_threads(patch, "WebAssembly")
        assert manager.get_token() is first
    clock.advance(1)
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
    gate = Gate(fetch, shut=False)
    manager = TokenManager(gate, renew_ahead=0)
    first = manager.get_token()
    clock.advance(3585)
    fetch.error = TokenError("down")
    assert manager.get_token() is first
    gate.shut = True
    assert manager.get_token() is first  # which starts a token request
    for _ in range(3):
        gate.wait_for_one()
    assert manager.get_token() is first  # while it stands before the gate
    gate.open()
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


def test_l3_a_caller_with_some_seconds_left_does_not_wait_them_away(clock, fetch):
    fetch.lifetime = 3.0
    gate = Gate(fetch, shut=False)
    manager = TokenManager(gate, deadline=60.0)
    first = manager.get_token()
    clock.advance(2.0)  # it is no longer a token just received
    gate.shut = True
    crowd = Crowd(1, manager.get_token)
    until(lambda: manager.entry().fetch)
    began = time.monotonic()
    assert manager.get_token() is first  # it has waited for the other's token request
    assert time.monotonic() - began < 30
    gate.open()
    assert [token.access_token for token in crowd.join()] == ["token2"]


def test_l3_a_token_that_runs_out_while_its_successor_is_awaited_fails_nobody():
    fetch, opener = Fetch(), threading.Event()
    fetch.lifetime = 1.4

    def slow(request: TokenRequest) -> Token:
        if fetch.calls:
            opener.wait(0.8)
        return fetch(request)

    manager = TokenManager(slow, leeway=1.2, renew_ahead=0)
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
    assert manager.entry().token is None
    assert manager.get_token().access_token == "token2"


def test_l5_signing_out_forgets_one_request_and_no_other(manager):
    other = TokenRequest(scope="other")
    manager.get_token()
    kept = manager.get_token(other)
    manager.clear(ANY)
    assert manager.entry(ANY).token is None
    assert manager.entry(other).token is kept


def test_l5_signing_out_forgets_the_result_of_a_request_in_flight(clock, fetch):
    gate = Gate(fetch)
    manager = TokenManager(gate)
    crowd = Crowd(2, manager.get_token)
    joined(manager, 1)
    manager.clear()
    gate.open()
    assert [token.access_token for token in crowd.join()] == ["token1"] * 2  # they waited for it
    assert manager.entry().token is None
    assert manager.get_token().access_token == "token2"


@pytest.mark.parametrize("request_", [ANY, None], ids=["one", "all"])
def test_l5_after_signing_out_nothing_holds_the_token_any_more(manager, fetch, clock, request_):
    token = manager.get_token()
    assert token.access_token in set(texts_in(manager))
    manager.invalidate(token)
    newer = manager.get_token()
    entry = manager.entry()
    manager.clear(request_)
    held = {*texts_in(manager), *texts_in(entry)}
    assert not [text for text in held for one in (token, newer) if one.access_token in text]


# --- L7: a token just received, and one that is handed out again -----------------------------


@pytest.mark.parametrize("lifetime", [0.0, 0.5, 20.0])
def test_l7_a_token_serves_for_a_second_after_it_was_received_however_short_it_lives(
    manager, fetch, clock, lifetime
):
    fetch.lifetime = lifetime
    first = manager.get_token()
    clock.advance(0.75)
    assert manager.get_token() is first
    clock.advance(0.25)
    assert manager.get_token() is not first
    assert fetch.calls == 2


def test_l7_the_second_counts_from_when_the_token_was_received(clock, fetch):
    def slow(request: TokenRequest) -> Token:
        token = fetch(request)
        clock.advance(5)
        return token

    fetch.lifetime = 0.0
    manager = TokenManager(slow)
    first = manager.get_token()
    clock.advance(0.75)
    assert manager.get_token() is first


def test_l7_refusal_by_the_api_ends_the_second(manager, fetch, clock):
    fetch.lifetime = 0.0
    first = manager.get_token()
    assert manager.invalidate(first)
    assert manager.get_token().access_token == "token2"


def test_l7_asking_explicitly_asks_within_the_second_if_no_more_than_the_leeway_is_left(
    manager, fetch
):
    fetch.lifetime = 20.0
    manager.get_token()
    assert manager.get_token(insist=True).access_token == "token2"
    assert manager.get_token(insist=True).access_token == "token3"
    fetch.lifetime = 20.5
    manager.get_token(insist=True)
    assert manager.get_token(insist=True).access_token == "token4"


def test_l7_a_failure_does_not_end_the_second(manager, fetch, clock):
    fetch.lifetime = 0.0
    first = manager.get_token()
    fetch.error = TokenError("down")
    failures(manager, 1)
    clock.advance(0.75)
    assert manager.get_token() is first
    clock.advance(0.25)
    with pytest.raises(TokenError, match="down"):
        manager.get_token()


def handed_out_again(manager: TokenManager, fetch: Fetch, clock, left: float) -> Token:
    """Return a token that the endpoint, which has no other, has handed out twice."""
    fetch.name = "the-only-one"
    manager.get_token()
    clock.advance(3600 - left)
    fetch.lifetime = left
    again = manager.get_token(insist=True)
    settle(manager)
    assert fetch.calls == 2
    return again


@pytest.mark.parametrize("left", [240.0, 20.0, 5.0])
def test_l7_a_token_that_is_handed_out_again_serves_until_it_expires(manager, fetch, clock, left):
    handed_out_again(manager, fetch, clock, left)
    for _ in range(9):
        clock.advance(left / 10)
        assert manager.get_token().access_token == "the-only-one"
        settle(manager)
    assert fetch.calls == 2
    clock.advance(left / 10)
    fetch.name = "another"
    assert manager.get_token().access_token == "another"


def test_l7_rounding_and_the_time_of_a_request_do_not_make_it_another_token(manager, fetch, clock):
    fetch.name = "the-only-one"
    manager.get_token()
    clock.advance(3590)
    fetch.lifetime = 12.0
    manager.get_token()
    clock.advance(11.5)
    manager.get_token()
    assert fetch.calls == 2


def test_l7_a_token_whose_life_was_prolonged_is_renewed_ahead_as_any_other(manager, fetch, clock):
    fetch.name = "the-only-one"
    for calls in range(1, 4):
        manager.get_token()
        settle(manager)
        assert fetch.calls == calls
        clock.advance(3400)


def test_l7_refusal_by_the_api_ends_the_token_that_was_handed_out_again(manager, fetch, clock):
    again = handed_out_again(manager, fetch, clock, 20.0)
    assert manager.invalidate(again)
    fetch.name = "another"
    replacement = manager.get_token()
    assert replacement.access_token == "another"
    assert not manager.invalidate(replacement)  # R3 holds


def test_l7_a_refused_token_that_is_handed_out_again_is_like_any_other(manager, fetch, clock):
    fetch.name = "the-only-one"
    assert manager.invalidate(manager.get_token())
    clock.advance(3590)
    fetch.lifetime = 10.0
    manager.get_token()
    clock.advance(1)
    manager.get_token()
    assert fetch.calls == 3


def test_l7_asking_explicitly_asks_though_the_token_was_handed_out_again(manager, fetch, clock):
    handed_out_again(manager, fetch, clock, 20.0)
    for calls in (3, 4):
        manager.get_token(insist=True)
        assert fetch.calls == calls


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
