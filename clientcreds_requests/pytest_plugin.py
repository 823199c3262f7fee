"""Fixtures for the tests of those who use the package; pytest finds them by itself.

It is loaded by every test run where the package is installed, and imports no more than that
package, ``requests`` with it, until a test asks for a fixture. ``-p no:clientcreds_requests`` turns
it off.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from . import ClientCredentialsAuth
    from .testing import LocalAuthorizationServer


@pytest.fixture
def authorization_server() -> Iterator[LocalAuthorizationServer]:
    """A token endpoint and a protected API on loopback, new for each test.

    It is a clientcreds_requests.testing.LocalAuthorizationServer, and can be changed while it runs.
    """
    from .testing import LocalAuthorizationServer

    with LocalAuthorizationServer() as server:
        yield server


@pytest.fixture
def client_credentials(authorization_server: LocalAuthorizationServer) -> ClientCredentialsAuth:
    """A ClientCredentialsAuth whose tokens come from the authorization_server."""
    from . import ClientCredentialsAuth

    return ClientCredentialsAuth(
        authorization_server.token_endpoint,
        authorization_server.client_id,
        authorization_server.client_secret,
    )
