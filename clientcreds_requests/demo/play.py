"""The acts, one after the other."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic, sleep
from typing import Any, Protocol

import requests
from urllib3 import Retry

from ..auth import ClientCredentialsAuth
from ..testing import LocalAuthorizationServer
from .figures import Act, Notes, count, figures_of
from .load import Load
from .settings import PATIENCE, THREADS, Times

TICK = 0.05
RENEWED = "the token is renewed in the background"


class Watcher(Protocol):
    """Where the demo is watched."""

    def say(self, line: str, /) -> None:
        """Show a line that stays."""

    def live(self, line: str, /) -> None:
        """Show a line until the next one comes."""


class Stuck(Exception):
    """What the rest of the demo needs did not happen."""


class Demo:
    """One run.

    :param server: not yet started; its lifetime and latencies are set here.
    :param watcher: where it is watched.
    :param pace: how slow it goes; at 1 it takes about ten seconds.
    """

    def __init__(
        self, server: LocalAuthorizationServer, watcher: Watcher, pace: float = 1.0
    ) -> None:
        self._server, self._watcher, self._times = server, watcher, Times(pace)
        self._notes = Notes(self._times)
        server.lifetime = self._times.lifetime
        server.latency, server.api_latency = self._times.latency, self._times.api_latency

    def run(self) -> dict[str, Any]:
        """Play all acts, and return what came of them, ready for JSON."""
        logger, quiet = logging.getLogger("clientcreds_requests"), logging.NullHandler()
        logger.addHandler(quiet)  # renewals that fail are logged, but here they are on the program
        try:
            with self._server, requests.Session() as transport:
                transport.trust_env = False  # no proxy leads to this machine's loopback
                auth = self._auth(transport)
                try:
                    self._play(auth)
                    self._until(lambda: auth.authorizing is None, "the last token request ends")
                except Stuck as stuck:
                    self._notes.reasons.append(str(stuck))
                self._notes.acts[-1].ended = monotonic()
                return figures_of(self._notes, self._server)
        finally:
            logger.removeHandler(quiet)

    def _auth(self, transport: requests.Session) -> ClientCredentialsAuth:
        # The default retries, at the pace of all the rest: else a quick outage outlasts its token.
        backoff = self._times.backoff
        return ClientCredentialsAuth(
            self._server.token_endpoint,
            self._server.client_id,
            self._server.client_secret,
            leeway=self._times.leeway,
            renew_ahead=self._times.renew_ahead,
            retries=Retry(3, allowed_methods=None, backoff_factor=backoff, backoff_jitter=backoff),
            session=transport,
        )

    def _play(self, auth: ClientCredentialsAuth) -> None:
        with Load(self._server.api_url, auth, self._notes.calls) as load:
            self._start_cold(load)
            self._renew()
            self._revoke()
            self._suffer_an_outage()
            self._wait(self._times.tail)

    def _start_cold(self, load: Load) -> None:
        latency = self._times.latency * 1000
        self._begin(
            "cold start",
            f"{THREADS} threads start without a token; getting one takes {latency:.0f} ms",
        )
        load.start()
        self._until(lambda: sum(c.first for c in self._notes.calls) == THREADS, "all are answered")
        self._say("all of them have their answer")

    def _renew(self) -> None:
        lifetime = self._times.lifetime
        self._begin("renewal", f"steady load goes on, with tokens that live {lifetime:.2g} s")
        self._until_renewed(1, RENEWED)

    def _revoke(self) -> None:
        self._until_settled()
        self._begin("revocation", "the token in use is revoked")
        known = self._server.tokens
        self._server.revoke(known[-1].access_token)
        self._until_renewed(len(known), "a new token is in use")
        self._until_renewed(len(known) + 1, RENEWED)

    def _suffer_an_outage(self) -> None:
        self._until_settled()
        outage = self._times.outage
        event = self._begin("outage", f"the token endpoint goes down, for {outage:.2g} s")
        with self._server.outage():
            self._wait(outage)
        known = len(self._server.tokens)
        event["until"] = self._notes.at(monotonic())
        self._say("the token endpoint is back")
        self._until_renewed(known, RENEWED)

    def _begin(self, name: str, event: str) -> dict[str, Any]:
        """Begin an act; return its event, a moment that may be made a span."""
        now = monotonic()
        if self._notes.acts:
            self._notes.acts[-1].ended = now
        else:
            self._notes.began = now
        self._notes.acts.append(Act(name, now, now))
        at = self._notes.at(now)
        self._notes.events.append({"name": name, "at": at, "until": at})
        self._say(event)
        return self._notes.events[-1]

    def _until(self, reached: Callable[[], bool], what: str) -> None:
        give_up = monotonic() + PATIENCE
        while not reached():
            if monotonic() > give_up:
                raise Stuck(f"waited {PATIENCE:g} s in vain until {what}")
            notes, tokens = self._notes, count(len(self._server.tokens), "token")
            failed = sum(bool(call.failure) for call in notes.calls)
            now = f"{notes.at(monotonic()):6.2f} s  {notes.acts[-1].name:12}"
            calls = f"{len(notes.calls):,} calls"
            self._watcher.live(f"{now}{calls:>12}  {failed} failed  {tokens} issued")
            sleep(TICK)

    def _wait(self, seconds: float) -> None:
        end = monotonic() + seconds
        self._until(lambda: monotonic() >= end, "it is over")

    def _until_renewed(self, known: int, event: str) -> None:
        self._until(
            lambda: len(self._server.tokens) > known and self._newest_is_in_use(),
            "a new token is in use",
        )
        self._say(event)

    def _until_settled(self) -> None:
        """The newest token is in use, and not due for a while."""
        self._until(
            lambda: (
                monotonic() >= self._server.tokens[-1].issued_at + self._times.settled
                and self._newest_is_in_use()
            ),
            "a token has settled",
        )

    def _newest_is_in_use(self) -> bool:
        newest = self._server.tokens[-1].access_token
        return self._server.api_requests[-1].access_token == newest

    def _say(self, event: str) -> None:
        self._watcher.say(f"{self._notes.at(monotonic()):6.2f} s  {event}")
