"""What the tests of the commands share: arguments, results without secrets, the Python to paste."""

from __future__ import annotations

import base64
import io
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from clientcreds_requests import ClientCredentialsAuth
from clientcreds_requests._cli.main import main
from clientcreds_requests.testing import LocalAuthorizationServer

RUN = (sys.executable, "-m", "clientcreds_requests")


def options_for(server: LocalAuthorizationServer, *more: str) -> list[str]:
    """The options that name a server and its client."""
    return ["--token-endpoint", server.token_endpoint, "--client-id", server.client_id, *more]


def forget_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take this machine's own settings out of the environment."""
    for name in list(os.environ):
        if name.startswith("CLIENTCREDS_"):
            monkeypatch.delenv(name)


@dataclass
class Result:
    """What a command has printed, and its exit status."""

    status: int | str | None
    out: str
    err: str

    @property
    def rows(self) -> list[list[str]]:
        """The table: body, client_auth, scope, status, answer."""
        lines = self.out.split("\n\n")[0].splitlines()
        assert lines[0].split() == ["body", "client_auth", "scope", "status", "answer"]
        edges = [lines[0].index(name) for name in lines[0].split()]
        return [
            [line[start:end].strip() for start, end in zip(edges, [*edges[1:], None], strict=True)]
            for line in lines[1:]
        ]

    @property
    def asked(self) -> list[str]:
        """The ways that were tried, such as ``form post``."""
        return [f"{body} {method.rpartition('_')[2]}" for body, method, *_ in self.rows]

    @property
    def python(self) -> str:
        """The lines to paste."""
        return self.out[self.out.index("import os\n") :]

    def auth(self, monkeypatch: pytest.MonkeyPatch, secret: str) -> ClientCredentialsAuth:
        """What the lines to paste make."""
        monkeypatch.setenv("CLIENT_SECRET", secret)
        names: dict[str, Any] = {}
        exec(compile(self.python, "pasted", "exec"), names)
        return names["auth"]


def runner(
    server: LocalAuthorizationServer, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Result]:
    """Returns what runs a command, and sees to it that it prints no secret."""

    def run(*arguments: str, secret: str = server.client_secret) -> Result:
        try:
            status: int | str | None = main(arguments)
        except SystemExit as error:
            status = error.code
        result = Result(status, *capsys.readouterr())
        said = result.out + result.err
        assert not any(form in said for form in repeated(server.client_id, secret))
        if arguments[0] == "check":
            assert not any(token.access_token in said for token in server.tokens)
        return result

    return run


def repeated(client_id: str, secret: str) -> list[str]:
    """A secret as somebody may have repeated it."""
    plain, quoted = f"{client_id}:{secret}", f"{quote(client_id, safe='')}:{quote(secret, safe='')}"
    basic = [base64.b64encode(pair.encode()).decode() for pair in (plain, quoted)]
    return [secret, quote(secret), quote(secret, safe=""), quote_plus(secret), *basic]


class Terminal(io.TextIOWrapper):
    """A terminal of some encoding, that remembers what was written."""

    def __init__(self, encoding: str = "utf-8") -> None:
        super().__init__(io.BytesIO(), encoding=encoding, newline="\n")

    def isatty(self) -> bool:
        return True

    def text(self) -> str:
        """All that was written."""
        self.seek(0)
        return self.read()
