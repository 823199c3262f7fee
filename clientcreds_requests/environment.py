"""Settings from environment variables, and secrets from files that may change."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .client_auth import check_secret
from .issuer_endpoint import by_issuer
from .values import Value, value_class

# In bytes: what is larger is no secret, and is not read whole.
_LONGEST_SECRET = 64 * 1024


@value_class(frozen=True)
class SecretFile(Value):
    """A client secret in a file, as Docker and Kubernetes mount it.

    Used as ``client_secret`` it is read anew for every token request, so that rotation needs no
    restart.

    :param path: of the file; the newline that it ends with is dropped.
    """

    path: str

    def __call__(self) -> str:
        """The secret of this moment.

        :raises OSError, UnicodeError: when it cannot be read.
        """
        with open(self.path, "rb") as file:
            content = file.read(_LONGEST_SECRET).decode()
        return content.removeprefix("\ufeff").removesuffix("\n").removesuffix("\r")


def by_environment(prefix: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a constructor that the environment gives.

    :param prefix: how the names of the variables begin. One that is empty is not set.
    :param options: keyword arguments, which come first.
    :raises TypeError, ValueError: when something is missing or said twice; the text names it.
    """
    if not isinstance(prefix, str):
        raise TypeError(f"prefix must be a str, not {type(prefix).__name__}")
    for name in ("token_endpoint", "client_id", "client_secret"):
        if name in options:
            raise TypeError(f"{name} is no option here: {prefix}{name.upper()} says it")

    def value(name: str) -> str | None:
        return os.environ.get(prefix + name) or None

    issuer, endpoint = value("ISSUER"), value("TOKEN_ENDPOINT")
    if (issuer is None) == (endpoint is None):
        how_many = "neither" if issuer is None else "both"
        raise ValueError(f"set one of {prefix}TOKEN_ENDPOINT and {prefix}ISSUER; {how_many} is set")
    client_id = value("CLIENT_ID")
    if client_id is None:
        raise ValueError(f"{prefix}CLIENT_ID is not set")
    secret = _secret(prefix, value("CLIENT_SECRET"), value("CLIENT_SECRET_FILE"))
    resources = value("RESOURCES")
    found = {
        "scope": value("SCOPE"),
        "resources": None if resources is None else resources.split(),
        "audience": value("AUDIENCE"),
        "body": value("BODY"),
        "client_auth": value("CLIENT_AUTH"),
    }
    settings = {name: said for name, said in found.items() if said is not None} | dict(options)
    if issuer is not None:
        return by_issuer(issuer, client_id, secret, settings)
    return {
        **settings,
        "token_endpoint": endpoint,
        "client_id": client_id,
        "client_secret": secret,
    }


def _secret(prefix: str, secret: str | None, path: str | None) -> str | SecretFile | None:
    if path is None:
        return secret
    if secret is not None:
        raise ValueError(f"set one of {prefix}CLIENT_SECRET and {prefix}CLIENT_SECRET_FILE")
    if not Path(path).is_file():  # a pipe would let the constructor wait
        raise ValueError(f"{prefix}CLIENT_SECRET_FILE: there is no file {path}")
    file, content, problem = SecretFile(path), "", ""
    try:
        content = file()
    except (OSError, UnicodeError) as error:
        problem = type(error).__name__
    if problem:  # out here, where the error does not hold on to one that may quote the secret
        raise ValueError(f"{prefix}CLIENT_SECRET_FILE: {path} cannot be read ({problem})")
    check_secret(f"{prefix}CLIENT_SECRET_FILE: the content of {path}", content)
    return file
