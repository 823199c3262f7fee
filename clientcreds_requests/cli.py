"""The command line: ``clientcreds-requests``, and ``python -m clientcreds_requests``."""

from __future__ import annotations

import argparse
import codecs
import io
import json
import os
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Any, TextIO

from .demo import Demo, count
from .testing import LocalAuthorizationServer

#: What the library promises for each act of the demo.
PROMISES = {
    "cold start": "One token request, however many threads wait for it",
    "renewal": "In the background and ahead of time: nobody waits for it",
    "revocation": "Refused calls are sent again; callers see no 401",
    "outage": "Nobody notices while the token at hand is valid",
}
#: How the timeline marks them; renewals are seen in the row of tokens.
EVENTS = {"cold start": "cold", "revocation": "revoked", "outage": "down"}

LABEL = 22  # columns for what is to the left of the timeline and of the figures


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


class Screen:
    """Plain lines; on a terminal also one that is written over.

    :param stream: where they go.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_terminal = stream.isatty()
        self._over = ""  # erases the line that is to be written over
        self.width = shutil.get_terminal_size().columns
        self.is_utf8 = codecs.lookup(stream.encoding or "ascii").name == "utf-8"

    def say(self, line: str = "", /) -> None:
        """Show a line that stays."""
        self._stream.write(f"{self._over}{line}\n")
        self._stream.flush()
        self._over = ""

    def paragraph(self, head: str, text: str) -> None:
        """Show a text beside its head, wrapped."""
        width = max(self.width - 1 - len(head), 20)
        for line in textwrap.wrap(text, width, break_long_words=False):
            self.say(f"{head}{line}")
            head = " " * len(head)

    def live(self, line: str, /) -> None:
        """Show a line until the next one comes, if this is a terminal."""
        if self._is_terminal:
            line = line[: self.width - 1]  # in the last column some terminals move on
            self._stream.write(f"{self._over}{line}")
            self._stream.flush()
            self._over = f"\r{' ' * len(line)}\r"


def show(figures: dict[str, Any], screen: Screen) -> None:
    """Show a timeline, what was counted, and which promises were kept."""
    screen.say()
    for label, cells in _timeline(figures["timeline"], screen):
        screen.say(f"{label:{LABEL}}{cells}".rstrip())
    server, callers, acts = figures["server"], figures["callers"], figures["acts"]
    slowest = max(acts, key=lambda act: float(act["callers"]["slowest"]))
    reset = server["token_requests_reset"]
    screen.say("\nCounted by the server")
    for label, number, rest in (
        ("API calls", server["api_calls"], ""),
        ("  answered with 401", server["api_401s"], ""),
        ("token requests", server["token_requests"], ""),
        ("  answered", server["token_requests"] - reset, ""),
        ("  reset in the outage", reset, ""),
        ("\nSeen by the callers", None, ""),
        ("calls", callers["calls"], ""),
        ("  failed", callers["failed"], ""),
        ("  ended with 401", callers["saw_401"], ""),
        ("slowest call", round(callers["slowest"] * 1000), f"ms, in the {slowest['name']}"),
    ):
        screen.say(label if number is None else f"  {label:{LABEL}}{number:>8,} {rest}".rstrip())
    screen.say("\nWhat was promised, and what happened")
    for act in acts:
        screen.paragraph(f"  {act['name']:12}", f"{PROMISES[act['name']]}.")
        screen.paragraph(" " * 14, f"{_happened(act, figures['settings'])}.")
    screen.say()
    for reason in figures["reasons"]:
        screen.paragraph("Broken: ", f"{reason}.")
    if figures["ok"]:
        screen.say("All promises were kept.")


def _happened(act: dict[str, Any], settings: dict[str, Any]) -> str:
    server, callers = act["server"], act["callers"]
    slowest = f"slowest {callers['slowest'] * 1000:.0f} ms"
    if act["name"] == "cold start":
        requests = count(server["token_requests"], "token request")
        return f"{settings['threads']} threads started cold: {requests}; {slowest}"
    if act["name"] == "renewal":
        return f"{count(server['tokens_issued'], 'token')} got that way; {slowest}"
    if act["name"] == "revocation":
        refused = count(server["api_401s"], "call")
        return f"{refused} refused, {callers['saw_401']} seen by callers; {slowest}"
    down = f"{settings['outage']:.2g} s down, leeway {settings['leeway']:.2g} s"
    return f"{down}: {callers['failed']} of {count(callers['calls'], 'call')} failed; {slowest}"


def _timeline(timeline: dict[str, Any], screen: Screen) -> Iterator[tuple[str, str]]:
    """Labels, and what stands to the right of them, a column for each step."""
    bars, issued, reset, refused, edges, moment = "▁▂▃▄▅▆▇█", "●", "○", "!", "├─┤", "▲"
    if not screen.is_utf8:
        bars, issued, reset, edges, moment = "_.-:=+*#", "o", "x", "|-|", "^"
    room = max(screen.width - LABEL - 1, 20)
    together = -(-len(timeline["api_calls"]) // room)  # steps that share a column
    step = timeline["step"] * together
    columns = {
        name: [sum(counts[i : i + together]) for i in range(0, len(counts), together)]
        for name, counts in timeline.items()
        if name not in ("step", "events")
    }
    width = len(columns["api_calls"])
    ticks = (f"{column * step:.3g} s" for column in range(0, width, 8))
    yield "", "".join(f"{tick:8}" for tick in ticks)
    highest = max(*columns["api_calls"], 1)
    yield (
        "API calls",
        "".join(
            bars[-(-calls * len(bars) // highest) - 1] if calls else " "
            for calls in columns["api_calls"]
        ),
    )
    for label, name, mark in (
        ("  answered with 401", "api_401s", refused),
        ("tokens issued", "tokens_issued", issued),
        ("token requests reset", "token_requests_reset", reset),
    ):
        yield label, "".join(mark if number else " " for number in columns[name])
    events = ""
    for event in timeline["events"]:
        if event["name"] in EVENTS:
            at, until = int(event["at"] / step), int(event["until"] / step)
            text = f"{moment} {EVENTS[event['name']]}"
            if until > at:
                inside = f" {EVENTS[event['name']]} ".center(until - at - 1, edges[1])
                text = f"{edges[0]}{inside}{edges[2]}"
            events = f"{events[: max(at - 1, 0)]:{at}}{text}"
    yield "events", events
