"""OAuth 2.0 client credentials for requests: a token for every request, got once, kept safe.

Make an auth, or a session with one, at start-up; any number of threads may use it::

    auth = ClientCredentialsAuth(token_endpoint, client_id, client_secret, scope="api:read")
    response = requests.get("https://api.example.com/v1/data", auth=auth)

    session = ClientCredentialsSession.from_env(base_url="https://api.example.com/v1")
    response = session.get("data")

What goes wrong with a token is a :class:`TokenError`. Other ways to authenticate are the classes
named ``Client...``, ``TLSClientAuth``, and those of ``clientcreds_requests.jwt`` and ``.dpop``. A
server for tests is in ``.testing``.
"""

from .auth import ClientCredentialsAuth
from .client_auth import (
    ClientAssertion,
    ClientAuth,
    ClientSecretBasic,
    ClientSecretJWT,
    ClientSecretPost,
    FederatedAssertion,
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
    "FederatedAssertion",
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
