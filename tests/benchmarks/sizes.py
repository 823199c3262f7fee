"""How much is measured: all of it, enough to try a change, or enough to see that it runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """Numbers of rounds, calls and threads; durations in seconds."""

    attach_rounds: int
    thread_rounds: int
    thread_seconds: float
    end_to_end_rounds: int
    end_to_end_calls: int
    herds: tuple[int, ...]
    herd_rounds: int
    herd_limit: float
    renewal_seconds: float
    outage_seconds: float
    outage_length: float
    revocation_seconds: float
    import_rounds: int
    objects: int
    peer_objects: int
    cached: tuple[int, ...]
    growth_rounds: int


FULL = Size(
    attach_rounds=400,
    thread_rounds=11,
    thread_seconds=0.04,
    end_to_end_rounds=40,
    end_to_end_calls=40,
    herds=(64, 256),
    herd_rounds=3,
    herd_limit=6,
    renewal_seconds=15,
    outage_seconds=20,
    outage_length=5,
    revocation_seconds=4,
    import_rounds=7,
    objects=10_000,
    peer_objects=1_000,
    cached=(1, 100, 10_000),
    growth_rounds=10,
)
QUICK = Size(
    attach_rounds=60,
    thread_rounds=5,
    thread_seconds=0.03,
    end_to_end_rounds=10,
    end_to_end_calls=20,
    herds=(64, 256),
    herd_rounds=1,
    herd_limit=4,
    renewal_seconds=7,
    outage_seconds=12,
    outage_length=5,
    revocation_seconds=2,
    import_rounds=3,
    objects=1_000,
    peer_objects=300,
    cached=(1, 100, 1_000),
    growth_rounds=3,
)
SMOKE = Size(
    attach_rounds=2,
    thread_rounds=1,
    thread_seconds=0.002,
    end_to_end_rounds=2,
    end_to_end_calls=2,
    herds=(8,),
    herd_rounds=1,
    herd_limit=4,
    renewal_seconds=1,
    outage_seconds=1,
    outage_length=0.2,
    revocation_seconds=0.5,
    import_rounds=1,
    objects=5,
    peer_objects=5,
    cached=(1, 10),
    growth_rounds=1,
)
SIZES = {"full": FULL, "quick": QUICK, "smoke": SMOKE}
