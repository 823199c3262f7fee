"""The commands, and their exit statuses."""

from __future__ import annotations

import argparse
import io
import json
import logging
import os
import re
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, NoReturn

from ..exceptions import TokenError
from ..testing import LocalAuthorizationServer
from .browser import PYODIDE, serve
from .check import Check
from .demo import Demo, show
from .screen import Screen
from .settings import SECRET_SOURCES, BadArguments, add_options, client_of, in_options


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command, given its arguments or those of the process; return the exit status."""
    parser = _parser()
    options, unknown = parser.parse_known_args(argv)
    if unknown:
        option = re.match(r"--[a-z]+(-[a-z]+)*(?=$|=)", unknown[0])
        parser.reject(f"there is no option {option[0]}" if option else "an argument too many")
    given = vars(options)
    run = given.pop("run", None)
    if run is None:
        parser.print_help(sys.stderr)
        return 2
    # What the library warns of concerns programs which keep a token.
    logging.getLogger("clientcreds_requests").addHandler(logging.NullHandler())
    try:
        status: int = run(given)
        sys.stdout.flush()
    except (BadArguments, TokenError) as error:
        print(in_options(error), file=sys.stderr)
        return 1 if isinstance(error, TokenError) and run is token else 2
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader has left
        # The interpreter flushes once more when it exits, and must not fail then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


class _Parser(argparse.ArgumentParser):
    """Does not repeat what it cannot read: that may be a secret which somebody tried to pass."""

    def error(self, message: str) -> NoReturn:  # noqa: ARG002
        self.reject("unknown command or option")

    def reject(self, why: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {why}; see --help. {SECRET_SOURCES}\n")


def _parser() -> _Parser:
    parser = _Parser(prog="clientcreds-requests", allow_abbrev=False, epilog=SECRET_SOURCES)
    release = version("clientcreds-requests")
    parser.add_argument("--version", action="version", version=f"%(prog)s {release}")
    commands = parser.add_subparsers(metavar="COMMAND", parser_class=argparse.ArgumentParser)
    parsers: dict[object, argparse.ArgumentParser] = {}
    for run in (demo, token, check):
        parsers[run] = commands.add_parser(
            run.__name__,
            help=(run.__doc__ or "").partition(".")[0],
            description=run.__doc__,
            epilog=None if run is demo else SECRET_SOURCES,
            allow_abbrev=False,
            argument_default=argparse.SUPPRESS,  # what is not given may be in a variable
        )
        parsers[run].set_defaults(run=run)
    add_options(parsers[token], how=True)
    add_options(parsers[check], how=False)
    parsers[demo].add_argument("--json", action="store_true", help="print one JSON object only")
    parsers[demo].add_argument("--seconds", type=float, metavar="N", help="2 to 60 (default 10)")
    parsers[demo].add_argument(
        "--browser", nargs="?", const=PYODIDE, metavar="URL", help="in a browser; URL of Pyodide"
    )
    return parser


def demo(given: Mapping[str, Any]) -> int:
    """Watch it work on a local server. Exit status 1: a promise was broken."""
    if "browser" in given:
        if len(given) > 1:
            raise BadArguments("bad argument: --browser goes with no other option")
        serve(given["browser"])  # until interrupted
    seconds = given.get("seconds", 10.0)
    if not 2 <= seconds <= 60:
        raise BadArguments(f"bad argument: --seconds must be from 2 to 60, not {seconds:g}")
    screen = Screen(io.StringIO() if "json" in given else sys.stdout)
    figures = Demo(LocalAuthorizationServer(), screen, seconds / 10).run()
    if "json" in given:
        print(json.dumps(figures))
    else:
        show(figures, screen)
    return 0 if figures["ok"] else 1


def token(given: Mapping[str, Any]) -> int:
    """Print an access token, and nothing else. Exit status 1: none could be had."""
    print(client_of(given)[0].get_token().access_token)
    return 0


def check(given: Mapping[str, Any]) -> int:
    """Find out what a token endpoint accepts, and print the lines of Python to use it.

    Exit status 1: it rejects this client in every way; 2: it is down, or no token endpoint.
    """
    # Not wrapped unless on a terminal: reports are searched, and Python is pasted from them.
    screen = Screen(sys.stdout, width=sys.maxsize)
    given = {**given, "BODY": "", "CLIENT_AUTH": ""}  # all of them are tried
    return Check(client_of(given)[1], screen).run()
