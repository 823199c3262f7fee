"""The command line: ``clientcreds-requests``, and ``python -m clientcreds_requests``."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version

from .demo import Demo, Screen, show
from .testing import LocalAuthorizationServer


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand.

    :param argv: the arguments; those of the process by default.
    :return: the exit status.
    """
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.run is None:
        parser.print_help(sys.stderr)
        return 2
    try:
        status: int = arguments.run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read along has left
        # The interpreter flushes once more when it exits, and must not fail then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="clientcreds-requests", description="OAuth 2.0 client credentials for requests."
    )
    release = version("clientcreds-requests")
    parser.add_argument("--version", action="version", version=f"%(prog)s {release}")
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
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
