"""A test kit: an authorization server and a protected API on loopback; filters for recorders."""

from .messages import HANG, RESET, Answer, Fault, RecordedRequest
from .recorders import betamax_filter, vcr_filters
from .server import IssuedToken, LocalAuthorizationServer

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
