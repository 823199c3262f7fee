"""A test kit: an authorization server and a protected API on loopback; filters for recorders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .messages import HANG, RESET, Answer, Fault, IssuedToken, RecordedRequest
from .server import LocalAuthorizationServer

if TYPE_CHECKING:
    from .recorders import betamax_filter, vcr_filters

__all__ = [
    "HANG",
    "RESET",
    "Answer",
    "Fault",
    "IssuedToken",
    "LocalAuthorizationServer",
    "RecordedRequest",
    "betamax_filter",
    "vcr_filters",
]


# The server needs the standard library alone, so what needs more is imported when it is used.
def __getattr__(name: str) -> Any:
    if name in ("betamax_filter", "vcr_filters"):
        from . import recorders

        return getattr(recorders, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
