from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from importlib.util import find_spec

import pytest

from .process import NEEDS, Server, launch


@pytest.fixture(scope="session", params=NEEDS)
def start(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Server]]:
    """The server that issues tokens of that lifetime to that secret: started once, then shared."""
    framework: str = request.param
    if missing := [module for module in NEEDS[framework] if find_spec(module) is None]:
        reason = f"not installed: {', '.join(missing)} (see tests/interop/requirements.txt)"
        if os.environ.get("CLIENTCREDS_INTEROP") == "required":
            pytest.fail(reason)
        pytest.skip(reason)
    logs = tmp_path_factory.mktemp(framework)

    with ExitStack() as running:

        @cache
        def start(secret: str = "a-plain-secret", lifetime: int = 60) -> Server:
            log = logs / f"lifetime-{lifetime}-{len(list(logs.iterdir()))}.log"
            return running.enter_context(launch(framework, secret, lifetime, log))

        yield start


@pytest.fixture
def server(start: Callable[..., Server]) -> Server:
    return start()
