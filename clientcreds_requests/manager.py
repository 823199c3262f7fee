"""When a token is asked for: the cache behind its lock, single flight, renewal and back-off."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar, cast

from ._checks import seconds
from ._fork import reset_in_child, start_thread
from ._logs import log, state_of
from ._redaction import forget_frames, raised_at
from ._state import Entries, Entry, Fetch
from .exceptions import WITHIN_ITSELF, CallableError, TokenError, TokenTimeout, raise_again
from .tokens import Fetched, PlainSource, Token, TokenRequest, TokenSource, TokenStats

logger: logging.Logger = logging.getLogger(__name__)

_Method = TypeVar("_Method", bound=Callable[..., Any])


def _under_lock(method: _Method) -> _Method:
    """Run a method of the manager under its lock, and remember which threads do."""

    @functools.wraps(method)
    def locked(self: TokenManager, *args: Any, **named: Any) -> Any:
        me = threading.get_ident()
        nested = me in self._inside
        try:
            self._inside.add(me)
            with self._lock:  # itself: an interrupt within a wrapper could leave it held
                return method(self, *args, **named)
        finally:
            if not nested:
                self._inside.discard(me)

    return cast(_Method, locked)


class TokenManager:
    """The in-memory cache of one client's tokens, by what they were asked for.

    The first caller that finds no usable token makes the token request in its own thread; others
    wait for its outcome. A thread is started only to renew a token ahead of time.

    :param fetch: makes one token request; returns a token or raises a :class:`TokenError`.
    :param leeway: seconds. A token is usable while more than that is left.
    :param renew_ahead: seconds before expiry from which a token is renewed in the background.
        None: the smaller of 300 and a quarter of the lifetime. 0: never.
    :param deadline: seconds. No caller waits longer for the token request of another.
    :raises TypeError, ValueError: for arguments that cannot work.
    """

    def __init__(
        self,
        fetch: Callable[[TokenRequest], Token] | TokenSource,
        *,
        leeway: float = 20.0,
        renew_ahead: float | None = None,
        deadline: float = 30.0,
    ) -> None:
        self.leeway: float = seconds("leeway", leeway, zero=True)
        self.renew_ahead: float | None = (
            None if renew_ahead is None else seconds("renew_ahead", renew_ahead, zero=True)
        )
        self.deadline: float = seconds("deadline", deadline)
        self._source = fetch if isinstance(fetch, TokenSource) else PlainSource(fetch)
        self._entries = Entries()
        self._latest: Entry | None = None
        self._warned = False
        self._begin_anew()

    def _begin_anew(self) -> None:
        """Start, also in a forked child: the threads that hold the lock or fetch are not there."""
        # Guards the entries and counters. It is never held during I/O, a callback, a wait or a
        # log call. Only a signal handler or a finalizer can find it held by its own thread.
        self._lock = threading.RLock()
        # The threads that use the lock, and marks of those that fetch meanwhile.
        self._inside: set[int | tuple[int, str]] = set()
        self._counts: Counter[str] = Counter()
        self._last_error_at: float | None = None
        for entry in self._entries.all():
            entry.begin_anew(self.leeway, self.renew_ahead)
        reset_in_child(self, TokenManager._begin_anew)

    def __repr__(self) -> str:
        held = state_of(self._latest.token if self._latest else None, self.leeway)
        return f"<{type(self).__name__} {self._source!r}: {held}>"

    def get_token(self, request: TokenRequest = TokenRequest(), *, insist: bool = False) -> Token:
        """Return a usable token, fetching one if there is none.

        :param request: what is asked for.
        :param insist: ask also in a pause, and whenever no more than the leeway is left.
        :raises TokenError: if there is none; each caller has an exception of its own.
        """
        entry = self._entries.get(request)
        token = entry.usable.check() if entry is not None and not insist else None
        return token if token is not None else self._obtain(request, insist)

    def invalidate(self, token: Token, request: TokenRequest = TokenRequest()) -> bool:
        """Drop a refused token if it still is the one cached for the request.

        Its replacement stays for ten seconds, whatever an API that refuses every token says.

        :return: True if it was dropped.
        """
        if dropped := self._drop(token, request):
            log(logger, "token_refused", token=token, scope=request.scope)
        return dropped

    @_under_lock
    def clear(self, request: TokenRequest | None = None) -> None:
        """Forget a token, its failures and the outcome of a token request under way.

        :param request: for which; None for all.
        """
        for entry in self._entries.all() if request is None else [self._entries.get(request)]:
            if entry is not None:
                entry.reset()
        self._entries.forget(request)

    @_under_lock
    def stats(self) -> TokenStats:
        """Return the counters of this manager, for all token requests together."""
        token = self._latest.unexpired() if self._latest is not None else None
        return TokenStats(
            **self._counts,
            last_error_at=self._last_error_at,
            seconds_left=token.seconds_left() if token is not None else None,
        )

    @_under_lock
    def entry(self, request: TokenRequest = TokenRequest()) -> Entry:
        """Return what is known of a token request; it stays known while the caller holds it."""
        return self._entries.get_or_add(request)

    def is_usable(self, token: Token) -> bool:
        """Return True while more than the leeway is left of a token."""
        return token.seconds_left() > self.leeway

    @_under_lock
    def _drop(self, token: Token, request: TokenRequest) -> bool:
        entry = self._entries.get(request)
        dropped = entry is not None and entry.invalidate(token)
        self._counts["refused"] += dropped
        return dropped

    def _obtain(self, request: TokenRequest, insist: bool) -> Token:
        if (me := threading.get_ident()) in self._inside:
            # A signal handler while this thread holds the lock: waiting would deadlock.
            fetches = (me, "fetches")
            if fetches in self._inside:
                raise TokenError(WITHIN_ITSELF)
            try:
                self._inside.add(fetches)
                return self._ask(request, time.monotonic() + self.deadline, None, False).token
            finally:
                self._inside.discard(fetches)
        entry = self.entry(request)
        latest = time.monotonic() + self.deadline
        while True:
            mine = Fetch()
            try:
                token, fetch = self._next_step(entry, mine, insist)
                if fetch is mine and mine.overdue is not None:
                    mine.overdue.hand_out()  # nothing: those who wait for it look again
                if token is not None:
                    if fetch is mine:
                        self._renew_in_background(request, entry, mine)
                    return token
                assert fetch is not None  # without a token there is one to make or to join
                until = time.monotonic() + self.deadline if fetch is mine else latest
                held = entry.unexpired()
                half = held.seconds_left() / 2 if held is not None else 0.0
                # Half of its life may be spent on its successor; then the token itself is used.
                if half > 1 or (half > 0 and fetch is not mine):
                    until = min(until, time.monotonic() + half)
                if fetch is mine:
                    self._make(request, entry, mine, until)
                elif not fetch.wait(until):
                    token = entry.usable.check() or entry.unexpired()
                    if token is not None:
                        return token
                    if until == latest:
                        reason = f"token request failed: no outcome within {self.deadline:g} s"
                        raise TokenTimeout(reason, retryable=True)
            except BaseException:  # an interrupt: the others must not wait
                self._give_up(entry, mine)
                raise
            if fetch.token is not None:
                return fetch.token
            if fetch.error is not None:
                if (held := entry.unexpired()) is not None:
                    return held
                raise_again(fetch.error)
            # Interrupted in its thread, given up as overdue, or the token held has expired.

    @_under_lock
    def _next_step(
        self, entry: Entry, mine: Fetch, insist: bool
    ) -> tuple[Token | None, Fetch | None]:
        """Decide what a caller does: its token is usable, due, or there is none.

        :param mine: becomes the token request under way if there is to be one.
        :return: a token to go on with; and a token request to make, if ``mine``, or to wait for.
        """
        now, me = time.monotonic(), threading.get_ident()
        token = entry.usable.check()
        if token is not None and not (insist and not self.is_usable(token)):
            return token, None
        under_way = entry.fetch
        if under_way is not None and under_way.thread != me:
            is_overdue = now - under_way.began > self.deadline
            under_way = None if is_overdue else under_way  # the process was frozen, or it hangs
        paused = now < entry.paused_until
        held = entry.unexpired()
        if held is not None and (self.is_usable(held) or (entry.error and not insist)):
            if under_way is not None or paused:
                return held, None
            mine.begin(entry, ahead=True)
            entry.postpone(now + self.deadline, self.leeway)  # no caller waits for it
            return held, mine
        if under_way is not None:
            if under_way.thread == me:
                raise TokenError(WITHIN_ITSELF)
            self._counts["joined"] += 1
            return None, under_way
        if paused and not insist and entry.error is not None:
            self._counts["paused"] += 1
            raise_again(entry.error, now - entry.failed_at)
        if me in entry.reporting and entry.error is not None:
            raise_again(entry.error)  # a log handler: another failure would be logged, and so on
        mine.begin(entry, ahead=False)
        return None, mine

    def _renew_in_background(self, request: TokenRequest, entry: Entry, fetch: Fetch) -> None:
        fetch.thread = None

        def renew() -> None:
            fetch.thread = threading.get_ident()
            try:
                self._make(request, entry, fetch, time.monotonic() + self.deadline)
            finally:
                self._give_up(entry, fetch)

        run = functools.partial(contextvars.copy_context().run, renew)
        if not start_thread(lambda: threading.Thread(target=run, name="clientcreds-requests")):
            self._give_up(entry, fetch)  # the caller goes on with its token

    def _make(self, request: TokenRequest, entry: Entry, fetch: Fetch, until: float) -> None:
        """Make a token request in this thread, and hand out its outcome."""
        outcome: Fetched | TokenError
        try:
            outcome = self._ask(request, until, fetch.rejected, fetch.refused)
            fetch.token = outcome.token
        except TokenError as error:
            outcome = fetch.error = error.with_traceback(None)
        took = time.monotonic() - fetch.began
        pause, held = self._take(request, entry, fetch, outcome)
        fetch.hand_out()  # before any log handler runs
        me = threading.get_ident()
        try:
            entry.reporting.append(me)
            self._source.report(request, outcome, took)
            tell = functools.partial(log, logger, scope=request.scope)
            if isinstance(outcome, Fetched):
                if not self.is_usable(outcome.token) and not self._warned:
                    self._warned = True
                    tell("token_brief", leeway=self.leeway)
                return
            if held is not None:
                left = held.seconds_left()
                tell("token_renewal_failed", token=held, failure=outcome, seconds_left=left)
            if pause > 0:
                tell("endpoint_paused", failure=outcome, pause=pause)
        finally:
            with contextlib.suppress(ValueError):  # interrupted before it was there
                entry.reporting.remove(me)

    def _ask(
        self, request: TokenRequest, until: float, rejected: Token | None, refused: bool
    ) -> Fetched:
        """Call the source: the boundary at which an error loses the frames below."""
        try:
            fetched = self._source.fetch(request, until, rejected, refused)
            token: object = fetched.token  # which comes from a callable of the user's own
            if isinstance(token, Token):
                return fetched
            what = type(token).__name__
            failure: TokenError = CallableError(f"fetch must return a Token, not {what}")
        except TokenError as error:
            failure = error
        except Exception as error:
            failure = CallableError(f"token request failed: {raised_at(error)}")
            failure.__cause__ = error
        forget_frames(failure)
        try:
            raise failure
        finally:
            del failure  # or it would be kept by its own traceback

    @_under_lock
    def _take(
        self, request: TokenRequest, entry: Entry, fetch: Fetch, outcome: Fetched | TokenError
    ) -> tuple[float, Token | None]:
        """Take note of an outcome; return a pause, and the token that serves on after a failure."""
        pause, held = 0.0, None
        is_current = entry.fetch is fetch
        if is_current:
            entry.fetch = None
        if isinstance(outcome, Fetched):
            self._counts["from_store" if outcome.from_store else "obtained"] += 1
            self._counts["renewed_ahead"] += fetch.ahead
            entry.note_issued(outcome.token)
            # One that was given up is kept all the same, if no newer one is held.
            if is_current or fetch.began > entry.not_before:
                entry.keep(outcome, fetch, self.leeway, self.renew_ahead)
                self._latest = entry
        else:
            self._counts["failed"] += 1
            self._last_error_at = time.time()
            if is_current:
                pause = entry.note_failure(outcome)
                held = entry.unexpired()
        self._entries.keep(request, entry)
        return pause, held

    def _give_up(self, entry: Entry, fetch: Fetch) -> None:
        """End all waits for a token request."""
        self._withdraw(entry, fetch)
        if fetch.overdue is not None:
            fetch.overdue.hand_out()
        fetch.hand_out()

    @_under_lock
    def _withdraw(self, entry: Entry, fetch: Fetch) -> None:
        if entry.fetch is fetch:
            entry.fetch = None
            entry.postpone(time.monotonic() + 1, self.leeway)
