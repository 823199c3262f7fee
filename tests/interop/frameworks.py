"""The programs in servers/: what each can do, what it needs, and how it is started."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import pytest

from .server import Answer

SERVERS = Path(__file__).parent / "servers"


class Framework(Protocol):
    @property
    def abilities(self) -> frozenset[str]:
        """What not every one of them can do, in the words of the tests."""

    @property
    def to_json(self) -> Answer:
        """What it says to a JSON token request with the secret in it."""

    @property
    def to_wrong_secret(self) -> Answer:
        """What it says to a wrong secret, in a form or by Basic."""

    def missing(self) -> str | None:
        """What is to be installed before it can be started."""

    def command(self, scratch: Path) -> list[str | Path]:
        """How it is started; the scratch folder is the program's own."""


@dataclass(frozen=True)
class PythonFramework:
    program: str
    modules: tuple[str, ...]
    abilities: frozenset[str]
    to_json: Answer
    to_wrong_secret: Answer

    def missing(self) -> str | None:
        if not (missing := [module for module in self.modules if find_spec(module) is None]):
            return None
        return f"not installed: {', '.join(missing)} (see tests/interop/requirements.txt)"

    def command(self, scratch: Path) -> list[str | Path]:
        return [sys.executable, SERVERS / self.program]


@dataclass(frozen=True)
class NodeFramework:
    program: str
    package: str
    abilities: frozenset[str]
    to_json: Answer
    to_wrong_secret: Answer

    def missing(self) -> str | None:
        if (self._modules / self.package).exists():
            return None
        return (
            f"not installed: {self.package} (run npm ci in a copy of tests/interop/servers, "
            f"and tell the path of its node_modules in {NODE_MODULES})"
        )

    def command(self, scratch: Path) -> list[str | Path]:
        # Node looks for packages in the folders above the file that imports them.
        programs = shutil.copytree(SERVERS, scratch / "servers")
        (programs / "node_modules").symlink_to(self._modules)
        # Its own Node comes with the packages where there is one for the machine.
        node = shutil.which("node", path=self._modules / ".bin") or "node"
        return [node, programs / self.program]

    @property
    def _modules(self) -> Path:
        return Path(os.environ.get(NODE_MODULES, "node_modules")).absolute()


NODE_MODULES = "CLIENTCREDS_INTEROP_NODE_MODULES"
# What most of them say to a wrong secret.
INVALID_CLIENT = Answer(401, "invalid_client")
FRAMEWORKS: dict[str, Framework] = {
    "authlib": PythonFramework(
        "authlib_server.py",
        ("authlib", "flask", "joserfc"),
        frozenset(
            {
                "client_secret_jwt",
                "invalid_scope",
                "jwt-bearer",
                "percent-decoded Basic",
                "private_key_jwt",
                "secrets beyond ASCII",
            }
        ),
        to_json=Answer(400, "unsupported_grant_type"),
        to_wrong_secret=INVALID_CLIENT,
    ),
    "django": PythonFramework(
        "django_server.py",
        ("django", "oauth2_provider"),
        frozenset(
            {
                "invalid_scope",
                "metadata",
                "metadata of an issuer with a path",
                "percent-decoded Basic",
                "resources",
                "secrets beyond ASCII",
                "several resources",
            }
        ),
        to_json=Answer(400, "unsupported_grant_type"),
        to_wrong_secret=INVALID_CLIENT,
    ),
    "django_oidc": PythonFramework(
        "django_oidc_server.py",
        ("django", "oidc_provider"),
        frozenset({"invalid_scope", "metadata", "raw Basic"}),
        to_json=Answer(400, "invalid_client"),
        to_wrong_secret=Answer(400, "invalid_client"),
    ),
    "oauth2orize": NodeFramework(
        "oauth2orize_server.mjs",
        "oauth2orize",
        frozenset({"invalid_scope", "raw Basic"}),
        to_json=Answer(401, None),
        to_wrong_secret=Answer(401, None),
    ),
    "oidc_provider": NodeFramework(
        "oidc_provider/server.mjs",
        "oidc-provider",
        frozenset(
            {
                "client_secret_jwt",
                "DPoP",
                "every algorithm",
                "introspection",
                "metadata",
                "one resource a token",
                "OpenID metadata",
                "percent-decoded Basic",
                "private_key_jwt",
                "resources",
                "scopes of a client",
                "tls_client_auth",
                "token exchange",
            }
        ),
        to_json=Answer(400, "invalid_request"),
        to_wrong_secret=INVALID_CLIENT,
    ),
}


def that_can(ability: str) -> pytest.MarkDecorator:
    """The test is of the servers that can do this."""
    names = [name for name, framework in FRAMEWORKS.items() if ability in framework.abilities]
    assert names, f"no server can do {ability}"
    return pytest.mark.parametrize("start", names, indirect=True)
