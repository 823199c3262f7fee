"""A test kit: an authorization server and a protected API on loopback, standard library only."""

from .messages import HANG, RESET, Answer, Fault, RecordedRequest
from .server import IssuedToken, LocalAuthorizationServer

__all__ = [
    "HANG",
    "RESET",
    "Answer",
    "Fault",
    "IssuedToken",
    "LocalAuthorizationServer",
    "RecordedRequest",
]
