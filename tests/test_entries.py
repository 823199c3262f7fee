"""What a manager keeps of its token requests, and what it costs to have many of them."""

from __future__ import annotations

import gc
import sys

import pytest
import secrecy
from fetches import Fetch, Gate, failures, joined, settle
from helpers import Crowd

from clientcreds_requests import ClientCredentialsAuth, Token, TokenError, TokenManager
from clientcreds_requests import TokenRequest as Request
from clientcreds_requests._state import Entry

MOST = 1000
"""How many are kept that nobody uses."""


@pytest.fixture
def fetch(clock) -> Fetch:
    return Fetch(clock)


@pytest.fixture
def manager(fetch) -> TokenManager:
    return TokenManager(fetch)


def known() -> int:
    """How many token requests anything is known of."""
    gc.collect()
    return sum(type(thing) is Entry for thing in gc.get_objects())


def audiences(count: int, begin: int = 0) -> list[Request]:
    return [Request(audience=str(number)) for number in range(begin, begin + count)]


def asked_anew(manager: TokenManager, fetch: Fetch, request: Request) -> bool:
    """Ask for a token; return True if that took a token request."""
    calls = fetch.calls
    manager.get_token(request)
    settle(manager, request)
    return fetch.calls > calls


# --- what goes ------------------------------------------------------------------------------


def test_l9_ten_thousand_audiences_never_asked_for_leave_nothing(server, make_auth):
    auth, before = make_auth(), known()
    for number in range(10_000):
        auth.replace(audience=str(number))
    assert known() == before


def test_l9_audiences_one_after_the_other_do_not_pile_up(manager, fetch):
    before = known()
    for request in audiences(3 * MOST):
        manager.get_token(request)
    assert fetch.calls == 3 * MOST
    assert known() - before == MOST


def test_l9_those_used_last_are_kept(manager, fetch, clock):
    everyday, first, second, *others = audiences(MOST + 1)
    manager.get_token(everyday)
    manager.get_token(first)
    manager.get_token(second)
    for request in others[:-1]:
        clock.advance(1)
        manager.get_token(request)
        manager.get_token(everyday)
    manager.get_token(first)
    clock.advance(1)
    manager.get_token(others[-1])
    kept = [request for request in others if not asked_anew(manager, fetch, request)]
    assert kept == others
    assert not asked_anew(manager, fetch, everyday)
    assert not asked_anew(manager, fetch, first)
    assert asked_anew(manager, fetch, second)


def test_l9_a_token_just_received_is_not_the_first_to_go(manager, fetch, clock):
    for request in audiences(MOST):
        manager.get_token(request)
        clock.advance(1)
        manager.get_token(request)
    last, newest = audiences(2, begin=MOST)
    manager.get_token(last)
    manager.get_token(newest)
    assert not asked_anew(manager, fetch, last)
    assert not asked_anew(manager, fetch, newest)


def test_l9_the_expired_go(manager, fetch, clock):
    before = known()
    for request in audiences(500):
        manager.get_token(request)
    clock.advance(3600)
    manager.get_token()
    assert known() - before == 1


def test_l9_the_refused_go(manager, fetch):
    before = known()
    for request in audiences(500):
        manager.invalidate(manager.get_token(request), request)
    manager.get_token()
    assert known() - before == 1


@pytest.mark.parametrize("request_", [Request(), None], ids=["one", "all"])
def test_l9_signing_out_lets_go(manager, request_):
    before = known()
    manager.get_token()
    manager.get_token(Request(audience="received last"))
    manager.clear(request_)
    assert known() - before == 1  # the one that was received last


def test_l9_what_failed_does_not_pile_up(manager, fetch):
    before = known()
    fetch.error = TokenError("no such audience")
    for request in audiences(3 * MOST):
        failures_of(manager, request, 1)
    assert known() - before <= MOST


# --- what stays -----------------------------------------------------------------------------


def failures_of(manager: TokenManager, request: Request, count: int) -> None:
    for _ in range(count):
        with pytest.raises(TokenError) as caught:
            manager.get_token(request, insist=True)
        caught.value.__traceback__ = None  # whose frames hold the entry


def crowd_out(manager: TokenManager, fetch: Fetch) -> None:
    """Use more token requests than are kept."""
    fetch.error = None
    for request in audiences(2 * MOST, begin=10_000):
        manager.get_token(request)


def test_l9_what_is_paused_stays(manager, fetch, clock):
    (paused,) = audiences(1)
    fetch.error = TokenError("down", retry_after=60.0)
    failures_of(manager, paused, 1)
    crowd_out(manager, fetch)
    clock.advance(59)
    crowd_out(manager, fetch)
    calls = fetch.calls
    with pytest.raises(TokenError, match="down") as caught:
        manager.get_token(paused)
    assert caught.value.retry_after == 1.0
    assert fetch.calls == calls


def test_l9_a_failure_is_remembered_until_the_next_that_makes_a_pause(manager, fetch):
    request = Request(audience="made anew for every call")
    fetch.error = TokenError("down")
    for _ in range(20):
        with pytest.raises(TokenError, match="down"):
            manager.get_token(Request(audience=request.audience))
    assert fetch.calls == 2


def test_l9_a_failure_is_not_remembered_for_ever(manager, fetch, clock):
    before = known()
    fetch.error = TokenError("down")
    failures_of(manager, Request(audience="once"), 1)
    fetch.error = None
    clock.advance(30)
    manager.get_token()
    assert known() - before == 1


def test_l9_what_is_in_use_stays(manager, fetch):
    (used,) = audiences(1)
    entry = manager.entry(used)  # as an auth does
    token = manager.get_token(used)
    crowd_out(manager, fetch)
    assert manager.entry(used) is entry
    assert manager.get_token(used) is token


def test_l9_what_an_auth_uses_stays_when_its_token_has_expired(server, auth):
    entry = auth.manager.entry(auth._request)
    server.lifetime = 0
    auth.authorize()
    auth.manager.get_token(Request(audience="another"))
    assert auth.manager.entry(auth._request) is entry
    assert auth.access_token == server.tokens[0].access_token


def test_l9_what_is_under_way_stays(clock, fetch):
    (slow,) = audiences(1)
    gate = Gate(fetch)
    manager = TokenManager(lambda asked: gate(asked) if asked == slow else fetch(asked))
    crowd = Crowd(1, lambda: manager.get_token(Request(audience=slow.audience)))
    gate.wait_for_one()
    crowd_out(manager, fetch)
    calls = fetch.calls
    joiner = Crowd(1, lambda: manager.get_token(slow))
    joined(manager, 1)
    gate.open()
    assert crowd.join() == joiner.join()
    assert fetch.calls == calls + 1


def test_l9_what_garbage_collection_finalizes_still_finds_its_token(server, make_auth):
    got = []

    class Client:
        """Part of a cycle, as clients with callbacks are."""

        def __init__(self) -> None:
            self.auth: ClientCredentialsAuth = make_auth()
            self.auth.authorize()
            self.itself = self

        def __del__(self) -> None:
            got.append(self.auth.get_token())

    Client()
    secrecy.notes.clients.clear()  # the watch over secrets holds on to them
    gc.collect()
    assert len(got) == 1
    assert len(server.token_requests) == 1


# --- what it costs --------------------------------------------------------------------------


def steps(work) -> int:
    """How many instructions of the package some work takes."""
    count = 0

    def trace(frame, event, _):
        nonlocal count
        if not frame.f_globals.get("__name__", "").startswith(("clientcreds_requests", "weakref")):
            return None
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys._getframe().f_trace_opcodes = True  # else 3.12 has no events for the first one that counts
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("what", ["clear", "invalidate", "stats"])
def test_l9_costs_do_not_depend_on_how_many_token_requests_are_known(clock, what):
    def cost(known: int) -> int:
        manager = TokenManager(Fetch(clock))
        token = manager.get_token()
        held = [manager.entry(request) for request in audiences(known)]
        for request in audiences(min(known, MOST - 1)):
            manager.get_token(request)
        assert len(held) == known
        return steps(
            {
                "clear": lambda: manager.clear(Request()),
                "invalidate": lambda: manager.invalidate(token),
                "stats": manager.stats,
            }[what]
        )

    assert cost(1) == cost(10_000) > 0


def test_l9_a_failure_makes_no_entry_for_those_who_only_look(manager):
    before = known()
    for request in audiences(100):
        manager.invalidate(Token("token"), request)
        manager.invalidate(Token("other"), request)
        manager.clear(request)
    assert known() == before


def test_l9_counters_are_those_of_the_whole_manager(manager, fetch):
    for request in audiences(3 * MOST):
        manager.get_token(request)
    fetch.error = TokenError("down")
    failures(manager, 1)
    stats = manager.stats()
    assert (stats.obtained, stats.failed) == (3 * MOST, 1)
