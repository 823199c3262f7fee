"""The main job on a local server, watched: a cold start, renewals, a revocation, an outage."""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from time import monotonic, sleep
from typing import Any, NamedTuple

import requests
from urllib3 import Retry

from ..auth import ClientCredentialsAuth
from ..testing import LocalAuthorizationServer
from .screen import Screen

THREADS = 32
#: Seconds from one call of a thread to its next: 160 calls a second in all, little for one core.
PERIOD = 0.2
#: Seconds after which what should have happened is taken not to happen.
PATIENCE = 30.0

# Seconds, in a demo of about ten. A token is renewed when it is 1.5 to 2.3 s old. Acts begin when
# it is 0.8 s old, so that a stall of half a second changes nothing; an outage leaves 3 s for it.
_TIMES = {
    "lifetime": 6.0,
    "leeway": 0.5,
    "renew_ahead": 4.5,
    "latency": 0.3,
    "api_latency": 0.04,
    "outage": 2.2,
    "rest": 0.8,
    "backoff": 0.25,
    "step": 0.25,  # to a column of the timeline
}
# For each act how the timeline marks it (renewals show in the row of tokens), and the promise.
_ACTS = {
    "cold start": ("cold", "One token request, however many threads wait for it."),
    "renewal": ("", "In the background and ahead of time: nobody waits for it."),
    "revocation": ("revoked", "Refused calls are sent again; callers see no 401."),
    "outage": ("down", "Nobody notices while the token at hand is valid."),
}
_COUNTED = """
Counted by the server
  API calls             {api_calls:8,}
    answered with 401   {api_401s:8,}
  token requests        {token_requests:8,}
    answered            {answered:8,}
    reset in the outage {token_requests_reset:8,}

Seen by the callers
  calls                 {calls:8,}
    failed              {failed:8,}
    ended with 401      {saw_401:8,}
  slowest call          {slowest:8,.0f} ms, in the {slowest_act}

What was promised, and what happened"""


class Call(NamedTuple):
    """An API call as its caller saw it; times are seconds of the monotonic clock."""

    thread: int
    ended: float
    seconds: float
    failure: str  # what the library should have spared the caller
    refused: int  # times that the API said 401 before the answer


class Demo:
    """One run on a server that is not yet started; at a pace of 1 it takes about ten seconds."""

    def __init__(self, server: LocalAuthorizationServer, screen: Screen, pace: float = 1.0) -> None:
        self._server, self._screen = server, screen
        self._times = {name: pace * seconds for name, seconds in _TIMES.items()}
        self._calls: list[Call] = []
        self._acts: dict[str, float] = {}  # when each began
        self._back, self._over = 0.0, threading.Event()  # when the outage was over; when all is
        server.lifetime, server.latency = self._times["lifetime"], self._times["latency"]
        server.api_latency = self._times["api_latency"]

    def run(self) -> dict[str, Any]:
        """Play all acts, and return what came of them, ready for JSON."""
        server, times, reasons = self._server, self._times, list[str]()
        # The default retries, at the pace of all the rest: else a quick outage outlasts its token.
        backoff: Any = dict.fromkeys(("backoff_factor", "backoff_jitter"), times["backoff"])
        with server, requests.Session() as transport, ThreadPoolExecutor(THREADS) as pool:
            transport.trust_env = False  # no proxy leads to this machine's loopback
            auth = ClientCredentialsAuth(
                server.token_endpoint,
                server.client_id,
                server.client_secret,
                leeway=times["leeway"],
                renew_ahead=times["renew_ahead"],
                retries=Retry(3, allowed_methods=None, **backoff),
                session=transport,
            )
            try:
                self._play(lambda: pool.map(self._call_steadily, [auth] * THREADS, range(THREADS)))
                self._over.set()
                self._until(lambda: auth.authorizing is None, "the last token request ends")
            except TimeoutError as stuck:
                reasons.append(str(stuck))
            finally:
                self._over.set()
        figures = self._figures(monotonic())
        reasons += self._broken_promises(figures)
        return {"ok": not reasons, "reasons": reasons, **figures}

    def _call_steadily(self, auth: ClientCredentialsAuth, number: int) -> None:
        wait = 0.0
        with requests.Session() as session:
            session.auth, session.trust_env = auth, False
            while not self._over.wait(wait):
                failure, refused, started = "", 0, monotonic()
                try:
                    answer = session.get(self._server.api_url, timeout=PATIENCE)
                    failure = "" if answer.ok else f"status {answer.status_code}"
                    refused = len(answer.history)
                except Exception as error:
                    failure = f"{type(error).__name__}: {error}"
                ended = monotonic()
                self._calls.append(Call(number, ended, ended - started, failure, refused))
                # Each keeps a beat of its own: after a wait they would otherwise call all at once.
                wait = PERIOD - (monotonic() - PERIOD * number / THREADS) % PERIOD

    def _play(self, start: Callable[[], object]) -> None:
        times, server = self._times, self._server
        latency = f"getting one takes {times['latency'] * 1000:.0f} ms"
        self._begin("cold start", f"{THREADS} threads start without a token; {latency}")
        start()
        self._until(lambda: len({c.thread for c in self._calls}) == THREADS, "all are answered")
        self._say("all of them have their answer")

        lifetime = f"tokens that live {times['lifetime']:.2g} s"
        self._begin("renewal", f"steady load goes on, with {lifetime}")
        self._until_renewed(2)

        self._wait(times["rest"])
        self._begin("revocation", "the token in use is revoked")
        known = len(server.tokens)
        server.revoke(server.tokens[-1].access_token)
        self._until_in_use(known + 1)
        self._say("a new token is in use")
        self._until_renewed(known + 2)

        self._wait(times["rest"])
        self._begin("outage", f"the token endpoint goes down, for {times['outage']:.2g} s")
        with server.outage():
            self._wait(times["outage"])
        known = len(server.tokens)
        self._back = monotonic()
        self._say("the token endpoint is back")
        self._until_renewed(known + 1)
        self._wait(times["rest"])

    def _begin(self, name: str, event: str) -> None:
        self._acts[name] = monotonic()
        self._say(event)

    def _say(self, event: str) -> None:
        self._screen.say(f"{self._now():6.2f} s  {event}")

    def _now(self) -> float:
        return monotonic() - self._acts["cold start"]

    def _until_renewed(self, number: int) -> None:
        self._until_in_use(number)
        self._say("the token is renewed in the background")

    def _until_in_use(self, number: int) -> None:
        def is_in_use() -> bool:
            tokens, calls = self._server.tokens, self._server.api_requests
            return len(tokens) >= number and calls[-1].access_token == tokens[-1].access_token

        self._until(is_in_use, "a new token is in use")

    def _wait(self, seconds: float) -> None:
        end = monotonic() + seconds
        self._until(lambda: monotonic() >= end, "it is over")

    def _until(self, reached: Callable[[], bool], what: str) -> None:
        give_up = monotonic() + PATIENCE
        while not reached():
            if monotonic() > give_up:
                raise TimeoutError(f"waited {PATIENCE:g} s in vain until {what}")
            now = f"{self._now():6.2f} s  {list(self._acts)[-1]:12}"
            calls, tokens = f"{len(self._calls):,} calls", _count(len(self._server.tokens), "token")
            failed = sum(bool(call.failure) for call in self._calls)
            self._screen.live(f"{now}{calls:>12}  {failed} failed  {tokens} issued")
            sleep(0.05)

    def _figures(self, ended: float) -> dict[str, Any]:
        """Return what the server's own records say, and what callers alone can know."""
        began, asked, calls = self._acts["cold start"], self._server.token_requests, self._calls
        moments = {
            "api_calls": [request.started for request in self._server.api_requests],
            "api_401s": [r.started for r in self._server.api_requests if r.status == 401],
            "token_requests": [request.started for request in asked],
            "token_requests_reset": [r.started for r in asked if r.status is None],
            "tokens_issued": [token.issued_at for token in self._server.tokens],
            # A call belongs to where it ended: it may have begun before a revocation.
            "calls": [call.ended for call in calls],
            "failed": [call.ended for call in calls if call.failure],
            "saw_401": [call.ended for call in calls if call.failure == "status 401"],
            "sent_again": [call.ended for call in calls for _ in range(call.refused)],
        }

        def counted(start: float, end: float) -> dict[str, Any]:
            took = [call.seconds * 1000 for call in calls if start <= call.ended < end]
            numbers = {
                name: sum(start <= m < end for m in found) for name, found in moments.items()
            }
            return {**numbers, "slowest": max(took, default=0.0)}

        acts = {
            name: {"at": start - began, **counted(start, end)}
            for (name, start), (_, end) in pairwise([*self._acts.items(), ("", ended)])
        }
        # What is asked for once the first token is due is its renewal, in whichever act.
        due = began + self._times["lifetime"] - self._times["renew_ahead"]
        acts["cold start"]["token_requests"] = sum(request.started < due for request in asked)
        return {
            "settings": {"threads": THREADS, **self._times},
            "back": self._back - began,
            "ended": ended - began,
            **counted(began, math.inf),
            "acts": acts,
            "moments": {name: [at - began for at in found] for name, found in moments.items()},
        }

    def _broken_promises(self, figures: dict[str, Any]) -> Iterator[str]:
        cold = figures["acts"]["cold start"]["token_requests"]
        if cold != 1:
            yield f"the cold start took {_count(cold, 'token request')}"
        pairs = pairwise(self._server.token_requests)
        if any(first.ended is None or first.ended > then.started for first, then in pairs):
            yield "two token requests were under way at once"
        failures = [call.failure for call in self._calls if call.failure]
        if failures:
            of_all = f"{len(failures)} of {_count(len(self._calls), 'call')}"
            yield f"{of_all} failed, the first with {failures[0]}"
        again = figures["api_calls"] - figures["calls"]
        if not failures and not again == figures["api_401s"] == figures["sent_again"]:
            yield "the server and the callers did not count the same calls"


def show(figures: dict[str, Any], screen: Screen) -> None:
    """Show a timeline, what was counted, and which promises were kept."""
    screen.say()
    for label, cells in _timeline(figures, screen):
        screen.say(f"{label:22}{cells}".rstrip())
    acts = figures["acts"]
    slowest = max(acts, key=lambda name: float(acts[name]["slowest"]))
    answered = figures["token_requests"] - figures["token_requests_reset"]
    screen.say(_COUNTED.format(**figures, answered=answered, slowest_act=slowest))
    down = "{outage:.2g} s down, leeway {leeway:.2g} s".format(**figures["settings"])
    for name, act in acts.items():
        asked, called = _count(act["token_requests"], "token request"), _count(act["calls"], "call")
        issued, refused = _count(act["tokens_issued"], "token"), _count(act["api_401s"], "call")
        happened = {
            "cold start": f"{THREADS} threads started cold: {asked}",
            "renewal": f"{issued} got that way",
            "revocation": f"{refused} refused, {act['saw_401']} seen by callers",
            "outage": f"{down}: {act['failed']} of {called} failed",
        }[name]
        screen.paragraph(_ACTS[name][1], f"  {name:12}")
        screen.paragraph(f"{happened}; slowest {act['slowest']:.0f} ms.", " " * 14)
    screen.say()
    for reason in figures["reasons"]:
        screen.paragraph(f"{reason}.", "Broken: ")
    if figures["ok"]:
        screen.say("All promises were kept.")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _timeline(figures: dict[str, Any], screen: Screen) -> Iterator[tuple[str, str]]:
    """Yield labels, and what stands to the right of them, a column for each step or several."""
    bars, issued, reset, edges, moment = "▁▂▃▄▅▆▇█", "●", "○", "├─┤", "▲"
    if not screen.is_utf8:
        bars, issued, reset, edges, moment = "_.-:=+*#", "o", "x", "|-|", "^"
    step = figures["settings"]["step"]
    step *= math.ceil(figures["ended"] / step / max(screen.width - 22, 20))
    columns = range(int(figures["ended"] / step) + 1)

    def row(name: str) -> list[int]:
        found = Counter(int(at / step) for at in figures["moments"][name])
        return [found[column] for column in columns]

    calls = row("api_calls")
    yield "", "".join(f"{f'{column * step:.3g} s':8}" for column in columns[::8])
    highest = max(*calls, 1)
    yield "API calls", "".join(bars[-(-n * len(bars) // highest) - 1] if n else " " for n in calls)
    for label, name, mark in (
        ("  answered with 401", "api_401s", "!"),
        ("tokens issued", "tokens_issued", issued),
        ("token requests reset", "token_requests_reset", reset),
    ):
        yield label, "".join(mark if number else " " for number in row(name))
    line = ""
    for name, act in figures["acts"].items():
        mark, at = _ACTS[name][0], int(act["at"] / step)
        text = f"{moment} {mark}"
        if mark == "down":
            width = int(figures["back"] / step) - at - 1
            text = f"{edges[0]}{f' {mark} '.center(width, edges[1])}{edges[2]}"
        if mark:
            line = f"{line[: max(at - 1, 0)]:{at}}{text}"
    yield "events", line
