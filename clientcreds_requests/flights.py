"""One token request under way: made in a thread of its own, awaited by any number of others."""

from __future__ import annotations

import contextvars
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout

from .exceptions import TokenError
from .tokens import Token, TokenRequest


class NotFlown(Exception):
    """A token request that was never made: whoever waits for it asks again."""


class Flight:
    """A token request, from its start to the outcome that everybody shares.

    A thread of its own sees to it that no caller waits longer than it wants to, whatever the
    network does, and that an interrupted caller strands nobody.

    :param request: what is asked for.
    """

    __slots__ = (
        "_owner",
        "_worker",
        "after",
        "ahead",
        "future",
        "landed",
        "replaces",
        "request",
        "started",
    )

    def __init__(self, request: TokenRequest) -> None:
        self.request: TokenRequest = request
        self.future: Future[Token] = Future()
        self.future.set_running_or_notify_cancel()  # whoever holds it cannot cancel it
        #: Has the outcome been taken note of? Guarded by the manager's lock.
        self.landed: bool = False
        #: Is it made because a token was refused?
        self.replaces: bool = False
        #: Does another token serve meanwhile, so that nobody waits for it?
        self.ahead: bool = False
        #: The failure that came before it, if there was one.
        self.after: TokenError | None = None
        self.started: float = time.monotonic()
        self._owner = threading.get_ident()
        self._worker: threading.Thread | None = None

    @property
    def launched(self) -> bool:
        """Is there a thread that makes it, or has it ended?"""
        worker = self._worker
        return self.future.done() or (worker is not None and worker.ident is not None)

    @property
    def waits_for_this_thread(self) -> bool:
        """Has this very thread been broken into before it could launch it?"""
        return self._owner == threading.get_ident() and not self.launched

    @property
    def flown_by_this_thread(self) -> bool:
        """Is this the very thread that makes it, which would wait for itself?"""
        return self._worker is not None and self._worker.ident == threading.get_ident()

    def says_again(self, outcome: Token | BaseException) -> bool:
        """Is an outcome no failure of its own, but that before it, said again?"""
        return isinstance(outcome, TokenError) and outcome.__cause__ is self.after is not None

    def launch(
        self,
        fetch: Callable[[], Token],
        land: Callable[[Token | BaseException], None],
        *,
        needed: bool,
    ) -> None:
        """Make the token request.

        :param fetch: makes it.
        :param land: takes its outcome, whatever that is.
        :param needed: if there can be no other thread, make it in this one; else not at all.
        """
        context = contextvars.copy_context()

        def fly() -> None:
            land(context.run(_outcome, fetch))

        worker = threading.Thread(target=fly, name="clientcreds-requests", daemon=True)
        try:
            if not sys.is_finalizing():  # start() might wait for ever then
                self._worker = worker
                worker.start()
                return
        except RuntimeError:  # the interpreter is shutting down, or it has no threads
            self._worker = None
        if needed:
            fly()
        else:
            land(NotFlown())

    def wait(self, until: float) -> Token | BaseException | None:
        """The outcome; None when there is none yet.

        :param until: the moment, on the monotonic clock, at which to stop waiting.
        """
        try:
            error = self.future.exception(max(0.0, until - time.monotonic()))
        except FutureTimeout:
            return None
        if self._worker is not None:
            self._worker.join(1.0)  # it is about to end: leave no thread behind
        return self.future.result() if error is None else error


def own_copy(error: TokenError) -> TokenError:
    """An exception of the caller's own: one raised by many threads would mix their tracebacks."""
    own = type(error).__new__(type(error))
    TokenError.__init__(own, str(error))  # whatever a subclass asks for
    own.__dict__.update(error.__dict__)
    return own


def _outcome(fetch: Callable[[], Token]) -> Token | BaseException:
    try:
        return fetch()
    except TokenError as error:
        return error
    except Exception as error:
        failure = TokenError(f"token request failed: {type(error).__name__}")
        failure.__cause__ = error
        return failure
    except BaseException as interrupt:
        return interrupt
