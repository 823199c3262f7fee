"""When a token is due: early enough that nobody has to wait, and not for a whole fleet at once."""

from __future__ import annotations

import math
import random

from .tokens import Token


def margin(token: Token, leeway: float, renew_ahead: float | None) -> float:
    """Seconds before its expiry from which a token is due.

    :param leeway: seconds of life below which it is no longer used.
    :param renew_ahead: seconds before expiry; None: the smaller of 300 and a quarter of its life.
    """
    left = token.seconds_left()
    usable = left - leeway
    ahead = min(300.0, left / 4) if renew_ahead is None else renew_ahead
    if renew_ahead is None and ahead <= leeway:
        # A quarter that lies inside the leeway would come too late to spare anyone the wait.
        ahead = leeway + usable / 4
    if usable <= 0 or usable == math.inf or ahead <= leeway:
        return leeway
    # A token that is due from its first moment on would be renewed without end.
    ahead = min(ahead, left - usable / 10)
    # A little later at random, so that a fleet which started together drifts apart.
    return ahead - (ahead - leeway) * random.uniform(0, 0.2)
