"""The command line: ``clientcreds-requests``, and ``python -m clientcreds_requests``."""

from __future__ import annotations

import argparse
import io
import json
import logging
import os
import re
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import NoReturn

from .check import check
from .cli_options import (
    SECRET_SOURCES,
    BadArguments,
    add_client_options,
    add_token_options,
    bad_arguments,
    client_of,
)
from .demo import Demo, Screen, show
from .exceptions import TokenError
from .testing import LocalAuthorizationServer

#: For what the library warns of: that concerns programs which keep a token.
_UNHEARD = logging.NullHandler()


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand.

    :param argv: the arguments; those of the process by default.
    :return: the exit status.
    """
    parser = _parser()
    arguments, unknown = parser.parse_known_args(argv)
    if unknown:
        parser.refuse(_named(unknown[0]))
    if arguments.run is None:
        parser.print_help(sys.stderr)
        return 2
    try:
        status: int = arguments.run(arguments)
        sys.stdout.flush()
    except (BadArguments, TokenError) as error:
        print(error, file=sys.stderr)
        return 1 if isinstance(error, TokenError) else 2
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read along has left
        # The interpreter flushes once more when it exits, and must not fail then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


class _Parser(argparse.ArgumentParser):
    """Does not repeat what it cannot read: that may be a secret which somebody tried to pass."""

    def error(self, message: str) -> NoReturn:  # noqa: ARG002
        self.refuse("unknown command or option")

    def refuse(self, why: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {why}; see --help. {SECRET_SOURCES}\n")


def _named(unknown: str) -> str:
    """What is wrong with an argument, without its value."""
    option = re.match(r"--[a-z]+(-[a-z]+)*(?=$|=)", unknown)
    return f"there is no option {option[0]}" if option else "an argument too many"


def _parser() -> _Parser:
    parser = _Parser(
        prog="clientcreds-requests",
        description="OAuth 2.0 client credentials for requests.",
        allow_abbrev=False,
    )
    release = version("clientcreds-requests")
    parser.add_argument("--version", action="version", version=f"%(prog)s {release}")
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", parser_class=argparse.ArgumentParser
    )
    watch = commands.add_parser(
        "demo",
        help="watch it work on a local server, for about ten seconds",
        description="A cold start, renewals, a revocation and an outage under steady load, on a "
        "local server that counts along. Exit status 1: a promise was broken.",
    )
    watch.add_argument("--json", action="store_true", help="print one JSON object, and only that")
    watch.add_argument(
        "--seconds",
        type=_seconds,
        default=10.0,
        metavar="N",
        help="how long it takes, about: 2 to 60 (default: 10)",
    )
    watch.set_defaults(run=_demo)
    token = commands.add_parser(
        "token",
        help="print an access token, and nothing else",
        description="Get a token and print it, as for "
        'curl -H "Authorization: Bearer $(clientcreds-requests token)". '
        "Exit status 1: no token was to be had; 2: bad arguments.",
        epilog=SECRET_SOURCES,
        allow_abbrev=False,
    )
    add_client_options(token)
    add_token_options(token)
    token.set_defaults(run=_token)
    find_out = commands.add_parser(
        "check",
        help="find out what a token endpoint accepts, and print the lines of Python to use it",
        description="Ask for tokens with forms and JSON, client_secret_post and "
        "client_secret_basic, with the scope and without; show what came of it, and the lines of "
        "Python to paste. Exit status 1: the endpoint refuses this client in every way; 2: it is "
        "down or no token endpoint, or bad arguments.",
        epilog=SECRET_SOURCES,
        allow_abbrev=False,
    )
    add_client_options(find_out)
    find_out.set_defaults(run=_check)
    return parser


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 2 <= seconds <= 60:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 2 to 60")
    return seconds


def _demo(arguments: argparse.Namespace) -> int:
    screen = Screen(io.StringIO() if arguments.json else sys.stdout)
    figures = Demo(LocalAuthorizationServer(), screen, arguments.seconds / 10).run()
    if arguments.json:
        print(json.dumps(figures))
    else:
        show(figures, screen)
    return 0 if figures["ok"] else 1


def _token(arguments: argparse.Namespace) -> int:
    logging.getLogger(__package__).addHandler(_UNHEARD)
    with bad_arguments():
        auth = client_of(arguments, os.environ).auth()
    print(auth.get_token().access_token)
    return 0


def _check(arguments: argparse.Namespace) -> int:
    with bad_arguments():
        client = client_of(arguments, os.environ)
    return check(client, sys.stdout)
