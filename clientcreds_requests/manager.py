"""When a token is asked for: once for everybody, ahead of time, and not while it is no use."""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from .arguments import seconds
from .entries import Entry
from .events import log
from .exceptions import TokenError, TokenTimeout
from .flights import Flight, NotFlown, own_copy
from .forks import reset_in_child
from .renewal import margin
from .stats import TokenStats, stats_of
from .tokens import Token, TokenRequest

logger: logging.Logger = logging.getLogger(__name__)


class TokenManager:
    """The in-memory cache of one client's tokens, by what they were asked for.

    :param fetch: makes one token request; returns a token or raises a :class:`TokenError`. It is
        called in a thread of its own.
    :param leeway: seconds. A token is usable while more than that is left of it.
    :param renew_ahead: seconds before expiry from which the token is renewed in the background.
        None: the smaller of 300 and a quarter of the lifetime. 0: never.
    :param deadline: seconds. No caller waits longer.
    :param credentials_changed: would a token request that was refused with ``invalid_client``
        now be made with other credentials? It is then made at once, pause or not. None: they
        cannot change.
    :raises TypeError, ValueError: for what could not work.
    """

    def __init__(
        self,
        fetch: Callable[[TokenRequest], Token],
        *,
        leeway: float = 20.0,
        renew_ahead: float | None = None,
        deadline: float = 30.0,
        credentials_changed: Callable[[], bool] | None = None,
    ) -> None:
        if not callable(fetch):
            raise TypeError("fetch must be a callable that takes a TokenRequest")
        self.leeway: float = seconds("leeway", leeway, zero=True)
        self.renew_ahead: float | None = (
            None if renew_ahead is None else seconds("renew_ahead", renew_ahead, zero=True)
        )
        self.deadline: float = seconds("deadline", deadline)
        self._fetch = fetch
        self._credentials_changed = credentials_changed
        self._entries: dict[TokenRequest, Entry] = {}
        # Guards the entries. It is never held during I/O, a callback, a wait or a log call. Only
        # a signal handler or a finalizer can find it held by its own thread; see _obtain().
        self._lock = threading.RLock()
        self._warned = False
        reset_in_child(self, TokenManager._begin_anew)

    def get_token(self, request: TokenRequest = TokenRequest(), *, insist: bool = False) -> Token:
        """A usable token, at once if there is one, else from the token endpoint.

        :param request: what is asked for.
        :param insist: ask the endpoint also while it is being left alone after failures.
        :raises TokenError: when none is to be had; each caller has an exception of its own.
        """
        entry = self._entries.get(request)
        token = entry.fresh_token() if entry is not None else None
        return token if token is not None else self._obtain(request, insist)

    def invalidate(self, token: Token, request: TokenRequest = TokenRequest()) -> bool:
        """Forget a token that was refused, if it still is the one that is held.

        A token got to replace a refused one is kept for ten seconds: an API that refuses every
        token does not turn into a storm on the token endpoint.

        :return: was it forgotten?
        """
        with self._lock:
            entry = self._entries.get(request)
            forgotten = entry is not None and entry.forget(token)
        if forgotten:
            log(logger, "token_refused", token=token, scope=request.scope)
        return forgotten

    def clear(self, request: TokenRequest | None = None) -> None:
        """Forget a token, its failures and the result of a request in flight.

        :param request: for which; None for all.
        """
        with self._lock:
            for entry in self._known(request):
                entry.reset()

    def stats(self, request: TokenRequest | None = None) -> TokenStats:
        """What has come of the token requests so far, in figures.

        A token that is at hand is handed out without being counted.

        :param request: of which; None for all together.
        """
        with self._lock:
            return stats_of(self._known(request))

    def entry(self, request: TokenRequest = TokenRequest()) -> Entry:
        """What is known for a request; the same object as long as the manager lives."""
        with self._lock:
            return self._entries.setdefault(request, Entry())

    def held(self, request: TokenRequest = TokenRequest()) -> Token | None:
        """The token that is held, usable or not."""
        entry = self._entries.get(request)
        return entry.token if entry is not None else None

    def is_usable(self, token: Token) -> bool:
        """Is more than the leeway left of it?"""
        return token.seconds_left() > self.leeway

    def in_flight(self, request: TokenRequest = TokenRequest()) -> Future[Token] | None:
        """The token request in flight."""
        entry = self._entries.get(request)
        flight = entry.flight if entry is not None else None
        return flight.future if flight is not None else None

    def last_error(self, request: TokenRequest = TokenRequest()) -> TokenError | None:
        """Why the last token request failed; None once one has succeeded."""
        entry = self._entries.get(request)
        return entry.error if entry is not None else None

    def _known(self, request: TokenRequest | None) -> list[Entry]:
        entries = self._entries.items()
        return [entry for known, entry in entries if request is None or known == request]

    def _obtain(self, request: TokenRequest, insist: bool) -> Token:
        if self._lock._is_owned():  # type: ignore[attr-defined]
            return self._fetch(request)  # what breaks in cannot wait for what it interrupts
        entry = self.entry(request)
        fetch = functools.partial(self._fetch, request)
        mine = Flight(request)
        # Whoever launches a flight gives up at the very moment at which it is overdue for all.
        give_up = mine.started + self.deadline
        while True:
            try:
                token, flight = self._board(entry, insist, mine)
                if flight is mine:
                    mine.launch(
                        fetch,
                        functools.partial(self._land, entry, mine),
                        needed=token is None,
                    )
            except BaseException:  # interrupted: nobody shall wait for what never began
                if not mine.launched:
                    self._land(entry, mine, NotFlown())
                raise
            if token is not None:
                return token
            if isinstance(flight, TokenError):
                if flight.error != "invalid_client" or self._credentials_changed is None:
                    with self._lock:
                        entry.counts["paused"] += 1
                    raise own_copy(flight) from flight
                fetch = functools.partial(self._fetch_if_changed, request, flight)
                insist = True
                continue
            assert flight is not None  # without a token there is a flight, or an error
            if flight.waits_for_this_thread:
                return self._fetch(request)
            if flight.flown_by_this_thread:
                raise TokenError("no token: it was asked for within its own token request")
            outcome = self._await(entry, flight, give_up)
            if isinstance(outcome, Token):
                return outcome
            if outcome is None or isinstance(outcome, TokenError):
                held = entry.unexpired_token()
                if held is not None:
                    return held
            if isinstance(outcome, TokenError):
                raise own_copy(outcome) from outcome
            if flight is mine and outcome is not None and not isinstance(outcome, NotFlown):
                raise outcome  # an interrupt, meant for this caller; the others ask again
            mine = Flight(request)

    def _board(
        self, entry: Entry, insist: bool, mine: Flight
    ) -> tuple[Token | None, Flight | TokenError | None]:
        """One look at an entry under the lock.

        :param mine: becomes the flight, if there is none and it is time for one.
        :return: a token to go on with at once; and the flight, which is to be launched if it is
            the caller's, or the last error while the endpoint is left alone.
        """
        with self._lock:
            token = entry.fresh_token()
            if token is not None:
                return token, None
            token = entry.unexpired_token()
            if token is not None and not self.is_usable(token) and (insist or not entry.error):
                # Inside the leeway a token serves only while the endpoint is known to fail.
                token = None
            paused = time.monotonic() < entry.paused_until and (token is not None or not insist)
            if entry.flight is None and not paused:
                mine.replaces = entry.refused is not None
                mine.ahead, mine.after = token is not None, entry.error
                entry.flight = mine
                if token is not None:
                    entry.stay_fresh(self.leeway)
            elif entry.flight is not None and token is None:
                entry.counts["joined"] += 1
            return token, entry.flight or entry.error

    def _fetch_if_changed(self, request: TokenRequest, error: TokenError) -> Token:
        """Ask with other credentials than those that were refused, if there are any."""
        if self._credentials_changed is not None and self._credentials_changed():
            return self._fetch(request)
        raise own_copy(error) from error

    def _await(self, entry: Entry, flight: Flight, give_up: float) -> Token | BaseException | None:
        """The outcome of a flight; None when a token that is held would run out over it."""
        now = time.monotonic()
        overdue = flight.started + self.deadline
        until = min(give_up, overdue)
        held = entry.unexpired_token()
        patience = now + held.seconds_left() / 2 if held is not None else until
        outcome = flight.wait(min(until, patience))
        if outcome is None and time.monotonic() >= until:
            outcome = TokenTimeout(
                f"token request failed: no outcome within {self.deadline:g} s", retryable=True
            )
            if time.monotonic() >= overdue:
                self._land(entry, flight, outcome)
        return outcome

    def _land(self, entry: Entry, flight: Flight, outcome: Token | BaseException) -> None:
        """Take note of an outcome, unless the flight was given up, and tell who waits for it."""
        with self._lock:
            if flight.landed:
                return
            flight.landed = True
            entry.count(flight, outcome)
            held, pause = None, 0.0
            if entry.flight is flight:  # or it was signed out, or given up before it was boarded
                entry.flight = None
                pause = self._note(entry, flight, outcome)
                held = entry.unexpired_token()
        # Nobody waits for what a program does with its log records.
        if isinstance(outcome, Token):
            flight.future.set_result(outcome)
            self._warn_if_brief(flight, outcome)
            return
        flight.future.set_exception(outcome)
        if isinstance(outcome, TokenError):
            tell = functools.partial(log, logger, failure=outcome, scope=flight.request.scope)
            if held is not None:
                tell("token_renewal_failed", token=held, seconds_left=held.seconds_left())
            if pause > 0:
                tell("endpoint_paused", pause=pause)

    def _note(self, entry: Entry, flight: Flight, outcome: Token | BaseException) -> float:
        """Keep a token; or leave the endpoint alone, for as many seconds as are returned."""
        if isinstance(outcome, Token):
            # One from a store may be older than the refusal: it does not stay for ten seconds.
            replaces = flight.replaces and not outcome.stored
            entry.keep(outcome, margin(outcome, self.leeway, self.renew_ahead), replaces=replaces)
            return 0.0
        pause = 0.0
        if isinstance(outcome, TokenError) and not flight.says_again(outcome):
            pause = entry.note_failure(outcome)
        entry.stay_fresh(self.leeway, entry.paused_until)
        return pause

    def _warn_if_brief(self, flight: Flight, token: Token) -> None:
        if not self.is_usable(token) and not self._warned:
            self._warned = True
            log(logger, "token_brief", leeway=self.leeway, scope=flight.request.scope)

    def _begin_anew(self) -> None:
        """In a forked child: the threads that hold the lock or land a flight are not here."""
        self._lock = threading.RLock()
        for entry in self._entries.values():
            entry.flight = None
            entry.count_anew()
            if entry.token is not None:
                entry.stay_fresh(margin(entry.token, self.leeway, self.renew_ahead))
