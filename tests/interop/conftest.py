from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache

import pytest
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from .certificates import Certificates, issue_certificates
from .frameworks import FRAMEWORKS
from .keys import public_key_set, signing_keys
from .process import launch
from .server import Server

SECRET = "a-secret-of-more-than-32-characters"  # as HS256 wants it


@pytest.fixture(scope="session")
def keys() -> dict[str, PrivateKeyTypes]:
    """What private-key-client signs with, by algorithm."""
    return signing_keys()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return issue_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session", params=FRAMEWORKS)
def start(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    keys: dict[str, PrivateKeyTypes],
    certificates: Certificates,
) -> Iterator[Callable[..., Server]]:
    """The server that issues tokens of that lifetime to that secret: started once, then shared."""
    framework = FRAMEWORKS[request.param]
    if reason := framework.missing():
        if os.environ.get("CLIENTCREDS_INTEROP") == "required":
            pytest.fail(reason)
        pytest.skip(reason)

    with ExitStack() as running:

        @cache
        def start(secret: str = SECRET, lifetime: int = 60) -> Server:
            scratch = tmp_path_factory.mktemp(request.param)
            settings = {
                "INTEROP_CLIENT_SECRET": secret,
                "INTEROP_CLIENT_KEYS": json.dumps(public_key_set(keys)),
                "INTEROP_LIFETIME": str(lifetime),
                "INTEROP_TLS_CERTIFICATE": str(certificates.server),
                "INTEROP_TLS_CLIENT_AUTHORITY": str(certificates.client_authority),
            }
            program = launch(framework.command(scratch), settings, scratch / "stderr.log")
            return Server(
                secret=secret,
                to_json=framework.to_json,
                to_wrong_secret=framework.to_wrong_secret,
                **running.enter_context(program),
            )

        yield start


@pytest.fixture
def server(start: Callable[..., Server]) -> Server:
    return start()
