"""What the command line and the environment say of a client."""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from .auth import ClientCredentialsAuth
from .tokens import TokenRequest

#: The attempt's timeout and the deadline of :class:`ClientCredentialsAuth`, in seconds.
TIMEOUT, DEADLINE = 10.0, 30.0

SECRET_SOURCES = (
    "The client secret is never an argument: it comes from CLIENTCREDS_CLIENT_SECRET, from a file "
    "(--secret-file or CLIENTCREDS_CLIENT_SECRET_FILE), or from a prompt on a terminal."
)


class BadArguments(Exception):
    """The command cannot be run as it was given; the text is one line."""


@contextmanager
def bad_arguments() -> Generator[None]:
    """Within it, a TypeError or ValueError is about what the user gave.

    :raises BadArguments: in its stead.
    """
    try:
        yield
    except (TypeError, ValueError) as error:
        said = str(error).replace("allow_http=True", "--allow-http")
        raise BadArguments(f"bad argument: {said}") from None


@dataclass(frozen=True)
class Client:
    """A client as the command line and the environment describe it.

    :param where: the URL of the token endpoint, or the issuer.
    :param is_issuer: is it the issuer?
    :param client_id: who is asking.
    :param secret: proves that.
    :param request: what is asked for.
    :param timeout: seconds for one attempt; None: not given.
    :param allow_http: let the secret travel in the clear.
    :param settings: further arguments of :class:`ClientCredentialsAuth`.
    """

    where: str
    is_issuer: bool
    client_id: str
    secret: str = field(repr=False)
    request: TokenRequest
    timeout: float | None
    allow_http: bool
    settings: Mapping[str, Any]

    def auth(self) -> ClientCredentialsAuth:
        """The auth of this client.

        :raises TypeError, ValueError: for what could not work.
        """
        make = ClientCredentialsAuth.from_issuer if self.is_issuer else ClientCredentialsAuth
        timeout = TIMEOUT if self.timeout is None else self.timeout
        return make(
            self.where,
            self.client_id,
            self.secret,
            scope=self.request.scope,
            resources=self.request.resources,
            audience=self.request.audience,
            extra_params=dict(self.request.extra_params),
            timeout=timeout,
            deadline=max(DEADLINE, timeout),
            allow_http=self.allow_http,
            **self.settings,
        )


def add_client_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say who asks where for what; see :func:`client_of`."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--token-endpoint", metavar="URL", help="the token endpoint [CLIENTCREDS_TOKEN_ENDPOINT]"
    )
    where.add_argument(
        "--issuer",
        metavar="URL",
        help="the issuer, whose metadata names the token endpoint [CLIENTCREDS_ISSUER]",
    )
    parser.add_argument("--client-id", metavar="ID", help="[CLIENTCREDS_CLIENT_ID]")
    parser.add_argument(
        "--secret-file",
        metavar="PATH",
        help="the file with the client secret [CLIENTCREDS_CLIENT_SECRET_FILE]",
    )
    parser.add_argument(
        "--scope", metavar="SCOPES", help="scopes, space-separated [CLIENTCREDS_SCOPE]"
    )
    parser.add_argument(
        "--resource",
        action="append",
        metavar="URI",
        help="a resource server (RFC 8707); repeat it for more [CLIENTCREDS_RESOURCES, "
        "space-separated]",
    )
    parser.add_argument("--audience", metavar="A", help="[CLIENTCREDS_AUDIENCE]")
    parser.add_argument(
        "--param",
        action="append",
        default=[],
        type=_parameter,
        metavar="NAME=VALUE",
        help="a further parameter of the token request; repeat it for more",
    )
    parser.add_argument(
        "--timeout",
        type=float,
        metavar="SECONDS",
        help=f"for one attempt (default: {TIMEOUT:g})",
    )
    parser.add_argument(
        "--allow-http", action="store_true", help="let the secret travel in the clear"
    )


def add_token_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how to ask."""
    parser.add_argument("--body", choices=("auto", "json", "form"), help="[CLIENTCREDS_BODY]")
    parser.add_argument(
        "--client-auth",
        choices=("client_secret_post", "client_secret_basic"),
        help="[CLIENTCREDS_CLIENT_AUTH]",
    )
    parser.set_defaults(how=("body", "client_auth"))


def _parameter(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError("give it as NAME=VALUE")
    return name, value


def client_of(arguments: argparse.Namespace, environ: Mapping[str, str]) -> Client:
    """The client that the arguments describe; what they leave out comes from the environment.

    :param arguments: with the options of :func:`add_client_options`.
    :param environ: ``CLIENTCREDS_CLIENT_ID`` and so on; an empty variable says nothing.
    :raises BadArguments: when something is missing or said twice.
    :raises TypeError, ValueError: for a malformed scope and the like.
    """

    def given(name: str) -> Any:
        value = getattr(arguments, name)
        return environ.get(_variable(name)) or None if value is None else value

    names = ("token_endpoint", "issuer")
    if all(getattr(arguments, name) is None for name in names):
        found = {name: given(name) for name in names}
    else:
        found = {name: getattr(arguments, name) for name in names}
    where = [value for value in found.values() if value is not None]
    if len(where) != 1:
        what = "two places" if where else "no place"
        raise BadArguments(
            f"{what} to ask for a token: give --token-endpoint or --issuer, or set "
            "CLIENTCREDS_TOKEN_ENDPOINT or CLIENTCREDS_ISSUER"
        )
    client_id = given("client_id")
    if client_id is None:
        raise BadArguments("no client id: give --client-id, or set CLIENTCREDS_CLIENT_ID")
    resources = arguments.resource
    if resources is None:
        resources = environ.get("CLIENTCREDS_RESOURCES", "").split()
    params = dict(arguments.param)
    if len(params) < len(arguments.param):
        raise BadArguments("bad argument: --param gives the same NAME twice")
    request = TokenRequest(given("scope"), resources, given("audience"), params)
    how = {name: given(name) for name in getattr(arguments, "how", ())}
    return Client(
        where=where[0],
        is_issuer=found["issuer"] is not None,
        client_id=client_id,
        request=request,
        timeout=arguments.timeout,
        allow_http=arguments.allow_http,
        settings={name: value for name, value in how.items() if value is not None},
        secret=_secret(arguments.secret_file, environ),
    )


def _variable(name: str) -> str:
    return f"CLIENTCREDS_{name.upper()}"


def _secret(path: str | None, environ: Mapping[str, str]) -> str:
    if path is not None:
        return _content("--secret-file", path)
    secret = environ.get("CLIENTCREDS_CLIENT_SECRET", "")
    path = environ.get("CLIENTCREDS_CLIENT_SECRET_FILE", "")
    if secret and path:
        raise BadArguments(
            "two client secrets: set CLIENTCREDS_CLIENT_SECRET or CLIENTCREDS_CLIENT_SECRET_FILE"
        )
    if path:
        return _content("CLIENTCREDS_CLIENT_SECRET_FILE", path)
    return secret or _prompted()


def _content(source: str, path: str) -> str:
    # Neither error quotes the path: it may be the secret itself, given by mistake.
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return file.read().removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise BadArguments(f"{source} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadArguments(f"{source} is no UTF-8 text") from None


def _prompted() -> str:
    try:
        if sys.stdin is not None and sys.stdin.isatty():
            return getpass.getpass("client secret: ")
    except EOFError:
        print(file=sys.stderr)
    raise BadArguments(f"no client secret. {SECRET_SOURCES}")
