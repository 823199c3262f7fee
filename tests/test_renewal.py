"""When a token is due, in figures: how many seconds before its expiry."""

from __future__ import annotations

import random

import pytest

from clientcreds_requests import Token
from clientcreds_requests.renewal import margin


@pytest.fixture
def margins(clock):
    """The seconds for a thousand tokens of the same lifetime, in their order."""

    def draw(lifetime: float, leeway: float, renew_ahead: float | None) -> list[float]:
        random.seed("the same in every run")
        token = Token("token", expires_at=clock.time() + lifetime)
        return sorted(margin(token, leeway, renew_ahead) for _ in range(1000))

    return draw


@pytest.mark.parametrize(
    ("lifetime", "leeway", "renew_ahead", "ahead"),
    [
        pytest.param(86400, 20, None, 300, id="300 s"),
        pytest.param(1000, 20, None, 250, id="a quarter, when that is less"),
        pytest.param(
            60, 20, None, 30, id="a quarter of what is usable, for the leeway has the rest"
        ),
        pytest.param(80, 20, None, 35, id="also when its quarter is the leeway"),
        pytest.param(21, 20, None, 20.25, id="however little is usable"),
        pytest.param(3600, 20, 1000, 1000, id="as was said"),
        pytest.param(3600, 0, 1000, 1000, id="as was said, without leeway"),
        pytest.param(3600, 20, 3500, 3242, id="not in the first tenth of what is usable"),
        pytest.param(3600, 20, 9999, 3242, id="also when more was said than its life"),
    ],
)
def test_l2_a_token_is_due_so_long_before_its_expiry_less_up_to_a_fifth_at_random(
    margins, lifetime, leeway, renew_ahead, ahead
):
    earliest, *_, latest = reversed(margins(lifetime, leeway, renew_ahead))
    fifth = (ahead - leeway) / 5
    assert earliest <= ahead
    assert earliest == pytest.approx(ahead, abs=fifth / 50)
    assert latest == pytest.approx(ahead - fifth, abs=fifth / 50)


@pytest.mark.parametrize(
    ("lifetime", "renew_ahead"),
    [
        pytest.param(3600, 0, id="it was said to be never"),
        pytest.param(3600, 20, id="it would be no earlier than the leeway"),
        pytest.param(20, 300, id="nothing of it is usable"),
        pytest.param(19.5, 300, id="less than nothing of it is usable"),
        pytest.param(19.5, None, id="less than nothing of it is usable, and nothing was said"),
        pytest.param(float("inf"), 300, id="it never expires"),
    ],
)
def test_l2_a_token_is_not_renewed_ahead_when(margins, lifetime, renew_ahead):
    assert set(margins(lifetime, 20, renew_ahead)) == {20}
