"""What a manager knows of one token request, and the pure functions of time behind it.

No lock and no I/O: the manager changes an :class:`Entry` under its lock.
"""

from __future__ import annotations

import contextlib
import math
import random
import threading
import time
from concurrent.futures import Future, InvalidStateError
from hashlib import sha256
from weakref import ref

from .exceptions import CallableError, TokenError
from .tokens import Fetched, Moment, Token, TokenRequest

#: Minimum age, in seconds, before the replacement of a refused token may itself be invalidated.
MIN_REPLACEMENT_AGE = 10.0
#: Seconds for which a token serves after it was received, however short it lives.
MIN_USE = 1.0
#: Seconds between two looks at the clocks while a token is usable.
CLOCK_INTERVAL = 1.0
#: Pauses after failures in a row, in seconds: the first, and the longest.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
#: The longest Retry-After that is honoured, in seconds.
LONGEST_RETRY_AFTER = 3600.0
#: How many of the tokens that were issued last are recognized in a request.
MAX_ISSUED = 64
#: How many entries are kept that are not in use at the moment.
MAX_KEPT = 1000


def renewal_margin(left: float, leeway: float, renew_ahead: float | None) -> float:
    """Seconds before its expiry from which a token is due.

    :param left: seconds until it expires.
    :param leeway: seconds of life below which it is not used.
    :param renew_ahead: seconds before expiry; None: the smaller of 300 and a quarter of its life.
    """
    usable = left - leeway
    ahead = min(300.0, left / 4) if renew_ahead is None else renew_ahead
    if renew_ahead is None and ahead <= leeway:
        # A quarter that lies inside the leeway would come too late to spare anyone the wait.
        ahead = leeway + usable / 4
    if usable <= 0 or usable == math.inf or ahead <= leeway:
        return leeway
    # A token that is due from its first moment on would be renewed without end.
    ahead = min(ahead, left - usable / 10)
    # A little later at random, so that a fleet which started together drifts apart.
    return ahead - (ahead - leeway) * random.uniform(0, 0.2)


def pause_after(failures: int, retry_after: float | None) -> float:
    """Seconds for which to leave the endpoint alone.

    :param failures: failures in a row, at least one.
    :param retry_after: seconds that the endpoint asked for.
    """
    pause = min(retry_after or 0.0, LONGEST_RETRY_AFTER)
    if failures > 1:
        # The exponent is bounded so that the factor cannot overflow.
        grown = FIRST_PAUSE * 2 ** min(failures - 2, 10) * random.uniform(1, 1.5)
        pause = max(pause, min(grown, LONGEST_PAUSE))
    return pause


def is_same(token: Token, before: Token) -> bool:
    """True if the endpoint has handed out the token before once more, with the life it had left.

    Rounding, and the time that token requests take, may prolong it by a few seconds.
    """
    if token.access_token != before.access_token:
        return False
    return token.seconds_left() <= before.seconds_left() + 5


_NEVER = Moment(-math.inf, -math.inf)


class Usable:
    """A token that may be returned without the lock, until the limit passes.

    Never moved on to another token: a thread that extends the limit of one that was replaced
    meanwhile changes nothing.

    :param margin: seconds before its expiry at which this ends.
    :param at_least: a moment up to which it serves in any case, unless one of the clocks is set.
    :param at_most: a moment on the monotonic clock at which this ends in any case.
    """

    __slots__ = ("_at_most", "_margin", "at_least", "header_field", "limit", "token")

    def __init__(
        self,
        token: Token | None = None,
        margin: float = 0.0,
        *,
        at_least: Moment = _NEVER,
        at_most: float = math.inf,
    ) -> None:
        self.token: Token | None = token
        #: As requests stores it; made once, since every call needs it.
        self.header_field: tuple[str, str] = ("Authorization", token.authorization if token else "")
        self.limit: float = -math.inf
        self.at_least: Moment = at_least
        self._margin, self._at_most = margin, at_most
        self.check()

    def check(self) -> Token | None:
        """Return the token if both clocks allow it; callers need not ask again before the limit."""
        if self.token is None:
            return None
        now = time.monotonic()
        serves = min(self.token.seconds_left() - self._margin, self._at_most - now)
        serves = max(serves, min(self.at_least.wall - time.time(), self.at_least.monotonic - now))
        if serves <= 0:
            return None
        self.limit = now + min(serves, CLOCK_INTERVAL)
        return self.token


class Entry:
    """What is known of one :class:`TokenRequest`; changed under the manager's lock alone."""

    __slots__ = (
        *("__weakref__", "_issued", "_replaceable_at", "error", "failed_at", "failures", "fetch"),
        *("not_before", "paused_until", "refused", "reporting", "usable"),
    )

    def __init__(self) -> None:
        # Digests of the header values of the tokens that were issued last.
        self._issued: tuple[bytes, ...] = ()
        #: The threads that log the outcome of a token request.
        self.reporting: list[int] = []
        self.reset()
        #: Tokens of token requests that began earlier are not kept.
        self.not_before: float = -math.inf

    def reset(self) -> None:
        """Forget everything, and the outcome of a token request under way."""
        self.not_before = time.monotonic()
        #: The token that is held, and for how long; one object, which is replaced as a whole.
        self.usable: Usable = Usable()
        self.fetch: Fetch | None = None
        #: The token that was refused, until it is replaced.
        self.refused: Token | None = None
        self._replaceable_at = -math.inf
        #: Why the last token request failed; None once one has succeeded.
        self.error: TokenError | None = None
        self.failed_at: float = -math.inf
        self.failures: int = 0
        self.paused_until: float = -math.inf

    def begin_anew(self, leeway: float, ahead: float | None) -> None:
        """Go on in a forked child, where no thread fetches or reports."""
        self.fetch = None
        self.reporting.clear()
        if self.token is not None:
            margin = renewal_margin(self.token.seconds_left(), leeway, ahead)
            self.usable = Usable(self.token, margin, at_least=self.usable.at_least)

    @property
    def token(self) -> Token | None:
        """The token that is held, usable or not."""
        return self.usable.token

    def unexpired(self) -> Token | None:
        """The token, until it expires."""
        token = self.token
        return token if token is not None and token.seconds_left() > 0 else None

    def note_issued(self, token: Token) -> None:
        """Recognize the token from now on in the header of a request."""
        digest = sha256(token.authorization.encode()).digest()
        self._issued = (*self._issued[1 - MAX_ISSUED :], digest)

    def has_issued(self, authorization: str) -> bool:
        """Return True if a header value carries one of the tokens that were issued last."""
        return sha256(authorization.encode(errors="replace")).digest() in self._issued

    def keep(self, fetched: Fetched, fetch: Fetch, leeway: float, ahead: float | None) -> None:
        """Hold a new token."""
        token, before, now = fetched.token, self.unexpired(), Moment.now()
        # One from a store may be older than the refusal: it may be invalidated at once.
        replaces = fetch.refused and not fetched.from_store
        self._replaceable_at = now.monotonic + MIN_REPLACEMENT_AGE if replaces else -math.inf
        self.not_before, self.refused = fetch.began, None
        self.error, self.failures, self.paused_until = None, 0, -math.inf
        margin = 0.0
        if before is None or not is_same(token, before):  # or the endpoint has no other
            margin = renewal_margin(token.seconds_left(), leeway, ahead)
        at_least = Moment(now.wall + MIN_USE, now.monotonic + MIN_USE)
        self.usable = Usable(token, margin, at_least=at_least)

    def invalidate(self, token: Token) -> bool:
        """Drop a refused token if it is the one held, and no recent replacement."""
        if self.token is None or self.token.access_token != token.access_token:
            return False
        if time.monotonic() < self._replaceable_at:
            return False
        self.refused, self.usable = self.token, Usable()
        return True

    def note_failure(self, error: TokenError) -> float:
        """Remember a failure; return the seconds for which the endpoint is left alone."""
        pause, now = 0.0, time.monotonic()
        self.error, self.failed_at = error, now
        renew_at = now + MIN_USE
        if not isinstance(error, CallableError):  # which says nothing about the endpoint
            self.failures += 1
            pause = pause_after(self.failures, error.retry_after)
            renew_at = self.paused_until = now + pause
        self.postpone(renew_at)  # the token serves until it expires
        return pause

    def postpone(self, until: float, margin: float = 0.0) -> None:
        """Renew the token no sooner than at a moment, unless the margin is reached."""
        held = self.usable
        self.usable = Usable(held.token, margin, at_least=held.at_least, at_most=until)

    def is_needed(self, now: float) -> bool:
        """Return True if it must be kept while not in use: for its token, or its failures."""
        if self.failures and now < max(self.paused_until, self.failed_at + LONGEST_PAUSE):
            return True
        return self.unexpired() is not None


class Entries:
    """What is known of each token request, as long as it is in use or worth keeping."""

    __slots__ = ("_in_use", "_kept", "_sweep_at")

    def __init__(self) -> None:
        self._in_use: dict[TokenRequest, ref[Entry]] = {}
        self._sweep_at = 0
        self._kept: dict[TokenRequest, Entry] = {}

    def get(self, request: TokenRequest) -> Entry | None:
        """Return what is known of a token request."""
        known = self._in_use.get(request)
        # The finalizers that garbage collection runs find weak references gone already.
        return self._kept.get(request) or (None if known is None else known())

    def get_or_add(self, request: TokenRequest) -> Entry:
        """Return what is known of a token request; it stays known while the caller holds it."""
        entry = self.get(request)
        if entry is None:
            if len(self._in_use) >= self._sweep_at:
                # A list first: a signal handler may add one meanwhile.
                self._in_use = {known: one for known, one in list(self._in_use.items()) if one()}
                self._sweep_at = len(self._in_use) + 64
            entry = Entry()
            self._in_use[request] = ref(entry)
        return entry

    def all(self) -> list[Entry]:
        """Return all entries."""
        in_use = [entry for one in list(self._in_use.values()) if (entry := one()) is not None]
        return list({*in_use, *self._kept.values()})

    def forget(self, request: TokenRequest | None) -> None:
        """Keep an entry no longer than it is in use.

        :param request: of which; None for all.
        """
        if request is None:
            self._kept.clear()
        else:
            self._kept.pop(request, None)

    def keep(self, request: TokenRequest, entry: Entry) -> None:
        """Keep an entry, and let go of those that are expired or were not used for longest."""
        now = time.monotonic()
        # Another dict, in which nothing changes when a signal handler signs out meanwhile.
        kept = {**self._kept, request: entry}
        kept = {known: one for known, one in kept.items() if one.is_needed(now)}
        if len(kept) > MAX_KEPT:
            idle = [known for known, one in kept.items() if now >= one.paused_until]
            # A limit lies within a second of the last use.
            for known in sorted(idle, key=lambda known: kept[known].usable.limit)[:-MAX_KEPT]:
                del kept[known]
        self._kept = kept


class Fetch:
    """One token request, and its outcome for all who wait for it."""

    __slots__ = (
        *("_gate", "_is_over", "ahead", "began", "error", "future", "overdue", "refused"),
        *("rejected", "thread", "token"),
    )

    def __init__(self) -> None:
        self.thread: int | None = threading.get_ident()
        #: The outcome; neither is set if the thread was interrupted.
        self.token: Token | None = None
        self.error: TokenError | None = None
        #: The token request that this one replaces, since it has taken too long.
        self.overdue: Fetch | None = None
        # A bare lock, held until the outcome is there: an interrupt within Python's events and
        # futures may leave their locks held.
        self._gate = threading.Lock()
        self._gate.acquire()
        self._is_over = False
        self.future: Future[Token] = Future()
        self.future.set_running_or_notify_cancel()  # it cannot be cancelled any more

    def begin(self, entry: Entry, *, ahead: bool) -> None:
        """Become the token request under way.

        :param ahead: True if another token is usable meanwhile, so that no caller waits for it.
        """
        self.began: float = time.monotonic()
        self.ahead: bool = ahead
        self.rejected: Token | None = entry.refused or entry.token
        self.refused: bool = entry.refused is not None
        self.overdue = entry.fetch
        entry.fetch = self

    def hand_out(self) -> None:
        """Let all who wait go on; they find no outcome if there is none."""
        self._is_over = True
        with contextlib.suppress(RuntimeError):  # it is open
            self._gate.release()
        with contextlib.suppress(InvalidStateError):  # it was given up before
            if self.token is not None:
                self.future.set_result(self.token)
            else:
                self.future.set_exception(self.error or TokenError("token request given up"))

    def wait(self, until: float) -> bool:
        """Wait for the outcome; False if there was none by then.

        :param until: a moment on the monotonic clock.
        """
        left = max(0.0, until - time.monotonic())
        try:
            self._gate.acquire(timeout=min(left, threading.TIMEOUT_MAX))
        finally:
            if self._is_over:  # for the next one who waits
                try:  # noqa: SIM105 - no call before release() at which an interrupt could come
                    self._gate.release()
                except RuntimeError:  # pragma: no cover - another one was first
                    pass
        return self._is_over
