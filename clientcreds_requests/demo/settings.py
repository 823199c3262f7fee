"""What the demo is set to."""

from __future__ import annotations

THREADS = 32
#: Seconds from one call of a thread to its next: 160 calls a second in all, little for one core.
PERIOD = 0.2
#: Seconds after which what should have happened is taken not to happen.
PATIENCE = 30.0


class Times:
    """How long things take, in seconds.

    :param pace: how slow the demo goes; at 1 it takes about ten seconds.
    """

    # A token is renewed when it is 1.5 to 2.3 s old. Acts begin when it is 0.8 s old, so that a
    # machine which stalls for half a second changes nothing, and after the outage there are 3 s
    # left of it in which to try the renewal again.
    def __init__(self, pace: float) -> None:
        self.lifetime: float = 6.0 * pace
        self.leeway: float = 0.5 * pace
        self.renew_ahead: float = 4.5 * pace
        self.latency: float = 0.3 * pace
        self.api_latency: float = 0.04 * pace
        self.settled: float = 0.8 * pace
        self.outage: float = 2.2 * pace
        self.tail: float = 0.8 * pace
        self.backoff: float = 0.25 * pace
        self.step: float = 0.25 * pace  # to a column of the timeline
