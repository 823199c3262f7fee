"""What the tests of logs and counters share."""

from __future__ import annotations

from pathlib import Path

from fetches import Fetch

from clientcreds_requests import (
    TokenError,
    TokenManager,
)

GUIDE = Path(__file__).parent.parent / ".github" / "docs" / "OPERATIONS.md"
SECTION = (
    GUIDE.read_text(encoding="utf-8").partition("\n## Observability\n")[2].partition("\n## ")[0]
)


DOWN = TokenError(
    "down: later",
    error="temporarily_unavailable",
    error_description="come back later",
    error_uri="https://as.example/down",
    status_code=503,
    retry_after=9.0,
)


def manager_and_fetch(clock):
    fetch = Fetch(clock)
    return TokenManager(fetch), fetch
