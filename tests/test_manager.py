"""When a token is asked for: the manager alone, with a scripted fetch and a clock that obeys.

Interrupts are shown in ``test_interrupts.py``, what is kept in ``test_entries.py``; what it looks
like through HTTP in ``test_concurrency.py`` and ``tests/soak``.
"""

from __future__ import annotations

import contextvars
import logging
import threading
import time

import pytest
from fetches import ANY, Fetch, Gate, failures, fetch, joined, manager, settle  # noqa: F401 - fixtures
from helpers import Crowd, texts_in, together, until

from clientcreds_requests import Token, TokenError, TokenManager, TokenRequest

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
