"""What the manager knows for one token request: its token, its last failure, its pauses."""

from __future__ import annotations

import math
import random
import time
from collections import Counter

from .exceptions import TokenError
from .flights import Flight
from .tokens import Token

#: A refused token's replacement is not itself replaced for so many seconds.
REPLACEMENT_REST = 10.0

#: Pauses after failures in a row, in seconds: the first, and the longest.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0

#: The longest Retry-After that is obeyed, in seconds.
LONGEST_RETRY_AFTER = 3600.0

_NONE_FRESH = (-math.inf, -math.inf, None)


class Entry:
    """The state of one :class:`TokenRequest`; changed under the manager's lock alone.

    :attr:`fresh` needs no lock: it is one reference to an immutable value.
    """

    __slots__ = (
        "_rests_until",
        "counts",
        "error",
        "failures",
        "flight",
        "fresh",
        "last_error_at",
        "paused_until",
        "refused",
        "token",
    )

    def __init__(self) -> None:
        self.count_anew()
        self.reset()

    def count_anew(self) -> None:
        """Begin to count what :class:`TokenStats` tells; signing out does not."""
        self.counts: Counter[str] = Counter()
        self.last_error_at: float | None = None

    def reset(self) -> None:
        """Forget everything, the request in flight too."""
        self.token: Token | None = None
        self.flight: Flight | None = None
        #: The token that was refused, until there is another: its replacement.
        self.refused: Token | None = None
        self.error: TokenError | None = None
        self.failures: int = 0
        self.paused_until: float = -math.inf
        self._rests_until = -math.inf
        #: The moments on the wall and the monotonic clock up to which a token may be handed out
        #: without a thought, and the token.
        self.fresh: tuple[float, float, Token | None] = _NONE_FRESH

    def fresh_token(self) -> Token | None:
        """The token, while there is nothing to be thought about."""
        until, until_monotonic, token = self.fresh
        return token if time.time() < until and time.monotonic() < until_monotonic else None

    def unexpired_token(self) -> Token | None:
        """The token, while anything is left of it."""
        token = self.token
        return token if token is not None and token.seconds_left() > 0 else None

    def keep(self, token: Token, margin: float, *, replaces: bool) -> None:
        """Hold a new token.

        :param margin: the seconds before its expiry from which it is due.
        :param replaces: was it got because the one before was refused?
        """
        self.token = token
        self.refused = None
        self.error, self.failures, self.paused_until = None, 0, -math.inf
        self._rests_until = time.monotonic() + REPLACEMENT_REST if replaces else -math.inf
        self.stay_fresh(margin)

    def stay_fresh(self, margin: float, until: float = math.inf) -> None:
        """Hand the token out without a thought as long as more than the margin is left of it.

        :param until: a moment on the monotonic clock at which that ends in any case.
        """
        if self.token is not None:
            expires_at = math.inf if self.token.expires_at is None else self.token.expires_at
            monotonic = min(self.token.expires_monotonic - margin, until)
            self.fresh = expires_at - margin, monotonic, self.token

    def forget(self, token: Token) -> bool:
        """Drop a refused token, if it is the one held, and not a replacement at rest."""
        if self.token is None or self.token.access_token != token.access_token:
            return False
        if time.monotonic() < self._rests_until:
            return False
        self.token, self.fresh, self.refused = None, _NONE_FRESH, self.token
        self.counts["refused"] += 1
        return True

    def count(self, flight: Flight, outcome: Token | BaseException) -> None:
        """Count what came of a token request, also when it is of no more use here."""
        if isinstance(outcome, Token):
            self.counts["from_store" if outcome.stored else "obtained"] += 1
            self.counts["renewed_ahead"] += flight.ahead
        elif flight.says_again(outcome):
            self.counts["paused"] += 1
        elif isinstance(outcome, TokenError):
            self.counts["failed"] += 1
            self.last_error_at = time.time()

    def note_failure(self, error: TokenError) -> float:
        """Leave the endpoint alone for a while: as it asked, and from the second failure on.

        :return: for how many seconds.
        """
        self.error = error
        self.failures += 1
        pause = min(error.retry_after or 0.0, LONGEST_RETRY_AFTER)
        if self.failures > 1:
            # The factor grows without a bound that matters, but must not overflow.
            grown = FIRST_PAUSE * 2 ** min(self.failures - 2, 10) * random.uniform(1, 1.5)
            pause = max(pause, min(grown, LONGEST_PAUSE))
        self.paused_until = time.monotonic() + pause
        return pause
