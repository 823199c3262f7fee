"""The settings of a client: options, over the variables that ``from_env`` reads."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from collections.abc import Mapping
from typing import Any

from .._env import by_environment
from ..auth import ClientCredentialsAuth

#: Seconds for one attempt and for all of them, as a ClientCredentialsAuth has them.
TIMEOUT, DEADLINE = 10.0, 30.0

SECRET_SOURCES = (
    "The client secret is never an argument: it comes from CLIENTCREDS_CLIENT_SECRET, from the "
    "file that --secret-file names, or from a prompt on a terminal."
)

_PREFIX = "CLIENTCREDS_"
# Options that stand in for variables: the name after the prefix, a placeholder, the help.
_OPTIONS = {
    "--token-endpoint": ("TOKEN_ENDPOINT", "URL", "the token endpoint"),
    "--issuer": ("ISSUER", "URL", "the issuer, whose metadata names the token endpoint"),
    "--client-id": ("CLIENT_ID", "ID", "the client's identifier"),
    "--secret-file": ("CLIENT_SECRET_FILE", "PATH", "the file with the client secret"),
    "--assertion-file": ("CLIENT_ASSERTION_FILE", "PATH", "the file with a client assertion"),
    "--grant-type": ("GRANT_TYPE", "GRANT", "if it is not client_credentials"),
    "--scope": ("SCOPE", "SCOPES", "scopes, space-separated"),
    "--resource": ("RESOURCES", "URI", "a resource server (RFC 8707); repeat it for more"),
    "--audience": ("AUDIENCE", "A", "the audience, as Auth0 and others want it"),
    "--body": ("BODY", "auto|json|form", "how the token request is written"),
    "--client-auth": ("CLIENT_AUTH", "METHOD", "client_secret_post, client_secret_basic or none"),
}
# Of each group, an option stands in for all variables.
_RIVALS = (
    {"TOKEN_ENDPOINT", "ISSUER"},
    {"CLIENT_SECRET", "CLIENT_SECRET_FILE", "CLIENT_ASSERTION_FILE"},
)


class BadArguments(Exception):
    """The command cannot be run as it was given; the text is one line."""


def add_options(parser: argparse.ArgumentParser, *, how: bool) -> None:
    """Add the options of a client; those that say how to ask as well, or not."""
    for option, (variable, placeholder, words) in _OPTIONS.items():
        if how or variable not in ("BODY", "CLIENT_AUTH"):
            parser.add_argument(
                option,
                dest=variable,
                action="append" if variable == "RESOURCES" else "store",
                metavar=placeholder,
                help=f"{words} [{_PREFIX}{variable}]",
            )
    parser.add_argument(
        "--param", action="append", metavar="NAME=VALUE", help="a further one; repeat it for more"
    )
    parser.add_argument(
        "--timeout", type=float, metavar="SECONDS", help="for one attempt (default 10)"
    )
    parser.add_argument("--allow-http", action="store_true", help="let the secret go in the clear")


def in_options(error: Exception) -> str:
    """Return the text of an error, with options beside the variables that they stand in for."""
    text = str(error).replace("allow_http=True", "--allow-http")
    for option, (variable, *_) in _OPTIONS.items():
        text = text.replace(_PREFIX + variable, f"{option} ({_PREFIX}{variable})")
    return text


def client_of(given: Mapping[str, Any]) -> tuple[ClientCredentialsAuth, dict[str, Any]]:
    """Return an auth, and the arguments that it was made with.

    :param given: what the options say; those in capitals stand in for variables.
    :raises BadArguments: if something is missing, said twice, or could not work.
    """
    try:
        arguments = _arguments(given)
        return ClientCredentialsAuth(**arguments), arguments
    except (TypeError, ValueError) as error:
        raise BadArguments(f"bad argument: {error}") from None


def _arguments(given: Mapping[str, Any]) -> dict[str, Any]:
    pairs = [parameter.partition("=") for parameter in given.get("param", ())]
    params = {name: value for name, equals, value in pairs if name and equals}
    if len(params) < len(pairs):
        raise ValueError("give --param as NAME=VALUE, each NAME once")
    variables = {name: value for name, value in given.items() if name.isupper()}
    for rivals in _RIVALS:
        if rivals & variables.keys():
            variables = {**dict.fromkeys(rivals, ""), **variables}
    if "RESOURCES" in variables:
        variables["RESOURCES"] = " ".join(variables["RESOURCES"])
    timeout = given.get("timeout", TIMEOUT)
    options = {"timeout": timeout, "deadline": max(DEADLINE, timeout), "extra_params": params}
    options["allow_http"] = "allow_http" in given
    environ = os.environ | {_PREFIX + name: value for name, value in variables.items()}
    arguments = by_environment(_PREFIX, options, environ)
    method = arguments.get("client_auth", "client_secret_post")
    if method in ("client_secret_post", "client_secret_basic") and not arguments["client_secret"]:
        arguments["client_secret"] = _prompted()
    return arguments


def _prompted() -> str:
    try:
        if sys.stdin is not None and sys.stdin.isatty():
            return getpass.getpass("client secret: ")
    except EOFError:
        print(file=sys.stderr)
    raise BadArguments(f"no client secret. {SECRET_SOURCES}")
