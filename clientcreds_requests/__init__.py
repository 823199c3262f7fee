"""OAuth 2.0 client credentials for requests: a token for every request, got once, kept safe."""

from .auth import ClientCredentialsAuth
from .client_auth import (
    ClientAssertion,
    ClientAuth,
    ClientSecretBasic,
    ClientSecretJWT,
    ClientSecretPost,
    TLSClientAuth,
)
from .exceptions import InsecureTransportError, TokenConnectionError, TokenError, TokenTimeout
from .manager import TokenManager
from .sessions import ClientCredentialsSession
from .stores import TokenStore
from .token_endpoint import TokenEndpoint
from .tokens import Token, TokenRequest

__all__ = [
    "ClientAssertion",
    "ClientAuth",
    "ClientCredentialsAuth",
    "ClientCredentialsSession",
    "ClientSecretBasic",
    "ClientSecretJWT",
    "ClientSecretPost",
    "InsecureTransportError",
    "TLSClientAuth",
    "Token",
    "TokenConnectionError",
    "TokenEndpoint",
    "TokenError",
    "TokenManager",
    "TokenRequest",
    "TokenStore",
    "TokenTimeout",
]
