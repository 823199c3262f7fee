"""Arguments of the constructors from an issuer or from environment variables; secret files."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from .client_auth import ClientSecretJWT, check_secret
from .discovery import Issuer

# In bytes: what is larger is no secret, and is not read whole.
_LONGEST_SECRET = 64 * 1024


class SecretFile:
    """A client secret in a file, as Docker and Kubernetes mount it.

    Used as ``client_secret`` it is read anew for every token request, so that rotation needs no
    restart.

    :param path: of the file; the newline that it ends with is dropped.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def __call__(self) -> str:
        """Return the secret that the file holds now.

        :raises OSError, UnicodeError: if it cannot be read.
        :raises ValueError: if it is too large to be a secret.
        """
        with open(self.path, "rb") as file:
            read = file.read(_LONGEST_SECRET + 1)
        if len(read) > _LONGEST_SECRET:
            raise ValueError(f"a file of more than {_LONGEST_SECRET} bytes is no client secret")
        content = read.decode()
        return content.removeprefix("\ufeff").removesuffix("\n").removesuffix("\r")


def by_environment(prefix: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a constructor that the environment gives.

    :param prefix: how the names of the variables begin. One that is empty is not set.
    :param options: keyword arguments, which come first.
    :raises TypeError, ValueError: if something is missing or set twice; the text names it.
    """
    if not isinstance(prefix, str):
        raise TypeError(f"prefix must be a str, not {type(prefix).__name__}")
    for name in ("token_endpoint", "client_id", "client_secret"):
        if name in options:
            raise TypeError(f"{name} cannot be passed: {prefix}{name.upper()} sets it")

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
    name = f"{prefix}CLIENT_SECRET_FILE"
    # The path is not quoted: it may be the secret itself, by mistake.
    if not os.path.isfile(path):  # a pipe would let the constructor wait
        raise ValueError(
            f"{name} is not the path of a file; pass the path of the file that holds the secret, "
            f"or set {prefix}CLIENT_SECRET"
        )
    file, content, problem = SecretFile(path), "", ""
    try:
        content = file()
    except (OSError, UnicodeError) as error:
        problem = f"it cannot be read ({type(error).__name__})"
    except ValueError as error:
        problem = str(error)
    if problem:  # out here, where the error does not hold on to one that may quote the secret
        raise ValueError(f"{name}: {problem}")
    check_secret(f"the content of {name}", content)
    return file


def by_issuer(
    issuer: str,
    client_id: str,
    client_secret: str | Callable[[], str] | None,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the arguments of a constructor that leaves the rest to an issuer's metadata.

    :raises TypeError, ValueError: for arguments that cannot work.
    """
    arguments = {"body": "form", **options}
    if "token_endpoint" in options:
        raise TypeError("token_endpoint cannot be passed: the issuer's metadata names it")
    if arguments.get("client_auth") == "client_secret_jwt":
        if client_secret is None:
            raise ValueError("client_secret is needed for client_secret_jwt")
        arguments["client_auth"] = ClientSecretJWT(client_secret, issuer)
        client_secret = None
    return {
        **arguments,
        "token_endpoint": Issuer(issuer, choose_auth="client_auth" not in options),
        "client_id": client_id,
        "client_secret": client_secret,
    }
