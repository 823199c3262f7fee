"""The pure functions of time: when a token is due, and how long the endpoint is left alone."""

from __future__ import annotations

import random

import pytest

from clientcreds_requests._state import pause_after, renewal_margin

DRAWS = 1000


@pytest.fixture(autouse=True)
def the_same_in_every_run():
    random.seed("the same in every run")


def margins(left: float, leeway: float, renew_ahead: float | None) -> list[float]:
    """The seconds for many tokens of the same lifetime, in their order."""
    return sorted(renewal_margin(left, leeway, renew_ahead) for _ in range(DRAWS))


def pauses(failures: int, retry_after: float | None = None) -> list[float]:
    """The pauses of many clients, in their order."""
    return sorted(pause_after(failures, retry_after) for _ in range(DRAWS))


@pytest.mark.parametrize(
    ("left", "leeway", "renew_ahead", "ahead"),
    [
        pytest.param(86400, 20, None, 300, id="300 s"),
        pytest.param(1000, 20, None, 250, id="a quarter, when that is less"),
        pytest.param(
            60, 20, None, 30, id="a quarter of what is usable, for the leeway has the rest"
        ),
        pytest.param(80, 20, None, 35, id="also when its quarter is the leeway"),
        pytest.param(21, 20, None, 20.25, id="however little is usable"),
        pytest.param(3600, 20, 1000, 1000, id="as configured"),
        pytest.param(3600, 0, 1000, 1000, id="as configured, without leeway"),
        pytest.param(3600, 20, 3500, 3242, id="not in the first tenth of what is usable"),
        pytest.param(3600, 20, 9999, 3242, id="also when more was configured than its life"),
    ],
)
def test_l2_a_token_is_due_so_long_before_its_expiry_less_up_to_a_fifth_at_random(
    left, leeway, renew_ahead, ahead
):
    latest, *_, earliest = margins(left, leeway, renew_ahead)
    fifth = (ahead - leeway) / 5
    assert earliest <= ahead
    assert earliest == pytest.approx(ahead, abs=fifth / 50)
    assert latest == pytest.approx(ahead - fifth, abs=fifth / 50)


@pytest.mark.parametrize(
    ("left", "renew_ahead"),
    [
        pytest.param(3600, 0, id="renew_ahead is 0"),
        pytest.param(3600, 20, id="it would be no earlier than the leeway"),
        pytest.param(20, 300, id="nothing of it is usable"),
        pytest.param(19.5, 300, id="less than nothing of it is usable"),
        pytest.param(19.5, None, id="less than nothing of it is usable, and nothing is configured"),
        pytest.param(float("inf"), 300, id="it never expires"),
        pytest.param(float("inf"), None, id="it never expires, and nothing is configured"),
    ],
)
def test_l2_a_token_is_not_renewed_ahead_when(left, renew_ahead):
    assert set(margins(left, 20, renew_ahead)) == {20}


@pytest.mark.parametrize(
    ("failures", "shortest"),
    [
        pytest.param(2, 0.5, id="second"),
        pytest.param(3, 1.0, id="third"),
        pytest.param(4, 2.0, id="fourth"),
        pytest.param(7, 16.0, id="seventh"),
    ],
)
def test_f3_a_pause_doubles_with_every_failure_and_is_up_to_half_longer_at_random(
    failures, shortest
):
    least, *_, most = pauses(failures)
    longest = min(shortest * 1.5, 30.0)
    assert shortest <= least < most <= longest
    assert least == pytest.approx(shortest, rel=0.01)
    assert most == pytest.approx(longest, rel=0.01)


@pytest.mark.parametrize("failures", [8, 12, 13, 10_000])
def test_f3_no_pause_is_longer_than_30_seconds(failures):
    assert set(pauses(failures)) == {30.0}


def test_f3_a_first_failure_makes_no_pause():
    assert set(pauses(1)) == {0.0}


@pytest.mark.parametrize("failures", [1, 2])
@pytest.mark.parametrize(
    ("retry_after", "pause"),
    [
        pytest.param(60.0, 60.0, id="a minute"),
        pytest.param(3600.0, 3600.0, id="an hour"),
        pytest.param(3601.0, 3600.0, id="more than an hour"),
        pytest.param(1e9, 3600.0, id="absurdly long"),
    ],
)
def test_f2_retry_after_is_honoured_from_the_first_failure_on_up_to_an_hour(
    failures, retry_after, pause
):
    assert set(pauses(failures, retry_after)) == {pause}


@pytest.mark.parametrize("retry_after", [0.0, 0.1, None])
def test_f2_a_short_retry_after_does_not_shorten_the_pause_of_a_later_failure(retry_after):
    assert min(pauses(2, retry_after)) >= 0.5


def test_f2_a_retry_after_of_nothing_makes_no_pause_after_a_first_failure():
    assert set(pauses(1, 0.0)) == {0.0}
