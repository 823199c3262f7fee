"""C2: what breaks into a token request at any point: interrupts, signal handlers, finalizers."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from fetches import Fetch, Gate, joined, settle
from helpers import PATIENCE, Crowd, until
from steps import broken_into

from clientcreds_requests import Token, TokenError, TokenManager, TokenRequest, TokenTimeout


class Interrupt(BaseException):
    """Stands for KeyboardInterrupt, and for what a signal handler raises to end a task."""


def interrupt() -> None:
    raise Interrupt


def each_step(scenario: Callable[[int], bool]) -> int:
    """Play a scenario for one step after the other until there is none; return how many."""
    step = 0
    while scenario(step):
        step += 1
    return step


def is_free(lock) -> bool:
    """Can another thread have it?"""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: lock.acquire(blocking=False) and not lock.release()).result()


def interrupted(step: int, work: Callable[[], object]) -> bool:
    """Do some work that is interrupted; return False if it has no such step."""
    try:
        return broken_into(step, interrupt, work)
    except Interrupt:
        return True


def goes_on(manager: TokenManager) -> None:
    """Check that nothing of an interrupted call stands in the way of the next ones."""
    assert is_free(manager._lock)
    manager.get_token()
    settle(manager)  # a token that was being taken note of may seem to be due
    token = manager.get_token()
    assert manager.get_token() is token
    assert Crowd(1, manager.get_token).join() == [token]
    assert manager.entry().token is token
    assert manager.entry().fetch is None


# --- interrupts -----------------------------------------------------------------------------


def test_c2_an_interrupt_at_any_point_of_the_callers_own_token_request_strands_nobody(clock):
    def scenario(step: int) -> bool:
        fetch, others = Fetch(clock), []

        def first_joined(request: TokenRequest) -> Token:
            if not others:
                others.append(Crowd(2, manager.get_token))
                joined(manager, 2)
            return fetch(request)

        manager = TokenManager(first_joined, deadline=600.0)
        reached = interrupted(step, manager.get_token)
        for crowd in others:
            assert {type(token) for token in crowd.join()} == {Token}
        goes_on(manager)
        return reached

    assert each_step(scenario) > 50


def test_c2_an_interrupt_at_any_point_of_a_token_request_that_fails_strands_nobody(clock):
    def scenario(step: int) -> bool:
        fetch, others = Fetch(clock), []
        fetch.error = TokenError("down")

        def first_joined(request: TokenRequest) -> Token:
            if not others:
                others.append(Crowd(2, manager.get_token))
                joined(manager, 2)
            return fetch(request)

        def fails() -> None:
            with pytest.raises(TokenError, match="down"):
                manager.get_token()

        manager = TokenManager(first_joined, deadline=600.0)
        reached = interrupted(step, fails)
        for crowd in others:
            assert {str(error) for error in crowd.join()} == {"down"}
        fetch.error = None
        clock.advance(60)
        goes_on(manager)
        return reached

    assert each_step(scenario) > 50


def test_c2_an_interrupt_at_any_point_of_a_wait_strands_nobody(clock):
    def scenario(step: int) -> bool:
        gate = Gate(Fetch(clock))
        manager = TokenManager(gate, deadline=600.0)
        crowds = [Crowd(1, manager.get_token)]
        gate.wait_for_one()

        def let_others_wait_too_and_open() -> None:
            until(lambda: over.is_set() or manager.stats().joined)
            others = 2 + manager.stats().joined
            crowds.append(Crowd(2, manager.get_token))
            joined(manager, others)
            gate.open()

        over = threading.Event()
        opener = threading.Thread(target=let_others_wait_too_and_open)
        opener.start()
        reached = interrupted(step, manager.get_token)
        over.set()
        opener.join(PATIENCE)
        for crowd in crowds:
            assert {type(token) for token in crowd.join()} == {Token}
        goes_on(manager)
        return reached

    assert each_step(scenario) > 15


def test_c2_an_interrupt_at_any_point_at_which_an_overdue_request_is_given_up_strands_nobody(clock):
    def scenario(step: int) -> bool:
        gate = Gate(Fetch(clock))
        manager = TokenManager(gate, deadline=60.0)
        hanging = Crowd(1, manager.get_token)
        gate.wait_for_one()
        clock.advance(30)
        waiters = Crowd(2, manager.get_token)
        joined(manager, 2)
        clock.advance(31)
        gate.shut = False
        reached = interrupted(step, manager.get_token)
        goes_on(manager)
        assert {type(token) for token in waiters.join()} == {Token}
        gate.open()
        hanging.join()
        return reached

    assert each_step(scenario) > 50


def test_c2_an_interrupt_at_any_point_at_which_a_renewal_begins_strands_nobody(clock):
    def scenario(step: int) -> bool:
        fetch = Fetch(clock)
        manager = TokenManager(fetch, deadline=60.0)
        manager.get_token()
        clock.advance(3400)
        reached = interrupted(step, manager.get_token)
        settle(manager)
        clock.advance(1)  # a renewal that did not begin is tried again
        manager.get_token()
        settle(manager)
        assert manager.get_token().access_token != "token1"
        goes_on(manager)
        return reached

    assert each_step(scenario) > 20


@pytest.mark.parametrize("what", ["invalidate", "clear", "stats", "entry"])
def test_c2_an_interrupt_at_any_point_of_anything_else_leaves_the_lock_free(clock, what):
    def scenario(step: int) -> bool:
        manager = TokenManager(Fetch(clock))
        token = manager.get_token()
        work = {
            "invalidate": lambda: manager.invalidate(token),
            "clear": manager.clear,
            "stats": manager.stats,
            "entry": lambda: manager.entry(TokenRequest(scope="new")),
        }[what]
        reached = interrupted(step, work)
        goes_on(manager)
        return reached

    assert each_step(scenario) > 3


# --- signal handlers ------------------------------------------------------------------------


def asks(manager: TokenManager, outcomes: list[object]) -> Callable[[], None]:
    """A signal handler that needs a token."""

    def handler() -> None:
        try:
            outcomes.append(manager.get_token())
        except TokenError as error:
            outcomes.append(error)

    return handler


def served_at_once(outcome: object, *, under_lock: bool) -> bool:
    """Did a handler get a token; or an error, which tells it that it asked within a request?"""
    if isinstance(outcome, Token):
        return True
    return not under_lock and "within its own token request" in str(outcome)


@pytest.mark.parametrize("state", ["cold", "due", "refused", "overdue", "failed"])
def test_c2_a_signal_handler_that_asks_at_any_point_never_waits_for_its_own_thread(clock, state):
    def scenario(step: int) -> bool:
        fetch, outcomes, held = Fetch(clock), [], []
        gate = Gate(fetch, shut=state == "overdue")
        manager = TokenManager(gate, deadline=60.0)
        crowds = prepare(manager, fetch, gate)
        handler = asks(manager, outcomes)
        # A clock stops while the handler waits: with a wait of 60 s the test would not end.
        reached = broken_into(
            step, lambda: (held.append(not is_free(manager._lock)), handler()), manager.get_token
        )
        for outcome in outcomes:
            assert not isinstance(outcome, TokenTimeout)
            assert served_at_once(outcome, under_lock=held[0]), outcome
        assert len(outcomes) == reached
        settle(manager)
        gate.open()
        for crowd in crowds:
            assert {type(token) for token in crowd.join()} == {Token}
        goes_on(manager)
        return reached

    def prepare(manager: TokenManager, fetch: Fetch, gate: Gate) -> list[Crowd]:
        crowds = []
        if state == "due":
            manager.get_token()
            clock.advance(3400)
        elif state == "refused":
            manager.invalidate(manager.get_token())
        elif state == "overdue":
            crowds.append(Crowd(1, manager.get_token))
            gate.wait_for_one()
            clock.advance(30)
            crowds.append(Crowd(1, manager.get_token))
            joined(manager, 1)
            clock.advance(31)
            gate.shut = False
        elif state == "failed":
            fetch.error = TokenError("down")
            with pytest.raises(TokenError):
                manager.get_token()
            fetch.error = None
        return crowds

    assert each_step(scenario) > 20


def test_c2_a_signal_handler_that_asks_while_its_thread_waits_for_another_waits_too(clock):
    def handler() -> None:
        opener.start()
        outcomes.append(manager.get_token())

    gate, outcomes = Gate(Fetch(clock)), []
    manager = TokenManager(gate, deadline=60.0)
    crowd = Crowd(1, manager.get_token)
    gate.wait_for_one()
    opener = threading.Thread(target=lambda: (joined(manager, 2), gate.open()))
    main = threading.get_ident()
    before = signal.signal(signal.SIGUSR1, lambda *_: handler())
    sender = threading.Thread(
        target=lambda: (joined(manager, 1), signal.pthread_kill(main, signal.SIGUSR1))
    )
    sender.start()
    try:
        outcomes.append(manager.get_token())
    finally:
        signal.signal(signal.SIGUSR1, before)
    sender.join(PATIENCE)
    opener.join(PATIENCE)
    assert len(set(outcomes + crowd.join())) == 1


@pytest.mark.parametrize("what", ["invalidate", "clear", "stats", "entry"])
def test_c2_a_signal_handler_may_ask_at_any_point_of_anything_else(clock, what):
    def scenario(step: int) -> bool:
        manager, outcomes = TokenManager(Fetch(clock)), []
        token = manager.get_token()
        work = {
            "invalidate": lambda: manager.invalidate(token),
            "clear": manager.clear,
            "stats": manager.stats,
            "entry": lambda: manager.entry(TokenRequest(scope="new")),
        }[what]
        reached = broken_into(step, asks(manager, outcomes), work)
        assert all(isinstance(outcome, Token) for outcome in outcomes)
        goes_on(manager)
        return reached

    assert each_step(scenario) > 3


def test_c2_a_signal_handler_may_sign_out_at_any_point(clock):
    def scenario(step: int) -> bool:
        manager = TokenManager(Fetch(clock), deadline=60.0)
        reached = broken_into(step, manager.clear, manager.get_token)
        goes_on(manager)
        return reached

    assert each_step(scenario) > 50


def test_c2_a_fetch_that_a_signal_handler_makes_directly_is_not_made_within_itself(clock):
    asked = []

    def fetch(request: TokenRequest) -> Token:
        asked.append(request)
        with pytest.raises(TokenError, match="within its own token request"):
            manager.get_token()
        return Token("token", expires_at=clock.time() + 3600)

    def scenario(step: int) -> bool:
        nonlocal manager
        manager = TokenManager(fetch)
        asked.clear()
        reached = broken_into(step, manager.get_token, manager.stats)
        assert len(asked) == reached
        return reached

    manager = TokenManager(fetch)
    assert each_step(scenario) > 5


def test_c2_what_runs_under_the_lock_and_asks_again_within_its_fetch_is_told_so(clock):
    told = []

    def fetch(request: TokenRequest) -> Token:
        try:
            manager.get_token()
        except TokenError as error:
            told.append(str(error))
        return Token("token", expires_at=clock.time() + 3600)

    class Asking(TokenRequest):
        """Asks for a token when it is looked up, as a finalizer may do at that moment."""

        __slots__ = ()

        def __hash__(self) -> int:
            assert manager.get_token().access_token == "token"
            return super().__hash__()

    manager = TokenManager(fetch)
    request = Asking(scope="other")
    told.clear()
    manager.invalidate(Token("another"), request)
    assert set(told) == {"no token: it was asked for within its own token request"}
