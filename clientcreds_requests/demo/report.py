"""What is shown of a run when it is over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .figures import count
from .screen import Screen

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
    bars, issued, reset = ("▁▂▃▄▅▆▇█", "●", "○") if screen.is_utf8 else ("_.-:=+*#", "o", "x")
    room = max(screen.width - LABEL - 1, 20)
    together = -(-len(timeline["api_calls"]) // room)  # steps that share a column
    step = timeline["step"] * together
    columns = {
        name: [sum(counts[i : i + together]) for i in range(0, len(counts), together)]
        for name, counts in timeline.items()
        if name not in ("step", "events")
    }
    calls = columns["api_calls"]
    ticks = (f"{column * step:.3g} s" for column in range(0, len(calls), 8))
    yield "", "".join(f"{tick:8}" for tick in ticks)
    highest = max(*calls, 1)
    yield "API calls", "".join(bars[-(-n * len(bars) // highest) - 1] if n else " " for n in calls)
    for label, name, mark in (
        ("  answered with 401", "api_401s", "!"),
        ("tokens issued", "tokens_issued", issued),
        ("token requests reset", "token_requests_reset", reset),
    ):
        yield label, "".join(mark if number else " " for number in columns[name])
    yield "events", _events(timeline["events"], step, screen)


def _events(events: list[dict[str, Any]], step: float, screen: Screen) -> str:
    edges, moment = ("├─┤", "▲") if screen.is_utf8 else ("|-|", "^")
    line = ""
    for event in events:
        if event["name"] in EVENTS:
            at, until = int(event["at"] / step), int(event["until"] / step)
            text = f"{moment} {EVENTS[event['name']]}"
            if until > at:
                inside = f" {EVENTS[event['name']]} ".center(until - at - 1, edges[1])
                text = f"{edges[0]}{inside}{edges[2]}"
            line = f"{line[: max(at - 1, 0)]:{at}}{text}"
    return line
