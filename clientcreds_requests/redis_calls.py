"""Asking Redis without waiting for it: whatever timeouts and retries a client has, or has not."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from .events import log

logger: logging.Logger = logging.getLogger("clientcreds_requests.redis")

#: Seconds for which Redis is left alone after it has failed.
REST = 1.0

_T = TypeVar("_T")


class NoAnswer(Exception):
    """Redis does not answer in time, or not at all: go on without it."""


class Calls:
    """Has things done in threads that need not be waited for.

    :param timeout: seconds after which they are not.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._rests_until = 0.0
        self._down = False
        # Threads of calls that were given up. In a forked child all have ended.
        self._hanging: list[threading.Thread] = []

    def __reduce__(self) -> tuple[type[Calls], tuple[float]]:
        return Calls, (self._timeout,)

    def in_time(
        self,
        work: Callable[[], _T],
        undo: Callable[[_T], None] | None = None,
        *,
        urgent: bool = False,
    ) -> _T:
        """Have something done.

        :param work: it, which may fail in any way, or hang.
        :param undo: is given the outcome for which nobody waited any more.
        :param urgent: try also while Redis is left alone after a failure.
        :raises NoAnswer: when it fails, takes too long, or something has just done so.
        """
        self._hanging = [thread for thread in self._hanging if thread.is_alive()]
        if self._hanging or (not urgent and time.monotonic() < self._rests_until):
            raise NoAnswer
        answer: Future[_T] = Future()

        def run() -> None:
            try:
                result = work()
            except Exception as error:
                if answer.set_running_or_notify_cancel():
                    answer.set_exception(error)
                return
            if answer.set_running_or_notify_cancel():
                answer.set_result(result)
            elif undo is not None:
                undo(result)

        thread = start(run)
        if thread is None:
            raise NoAnswer
        thread.join(self._timeout)
        if answer.cancel():
            self._hanging.append(thread)
            raise self._failed("no answer in time")
        error = answer.exception()
        if error is not None:
            raise self._failed(type(error).__name__)
        if self._down:
            self._down = False
            log(logger, "store_recovered")
        return answer.result()

    def _failed(self, reason: str) -> NoAnswer:
        self._rests_until = time.monotonic() + REST
        if not self._down:
            self._down = True
            log(logger, "store_failed", reason=reason)
        return NoAnswer()


def start(work: Callable[[], None]) -> threading.Thread | None:
    """A thread that does the work; None when there can be none."""
    thread = threading.Thread(target=work, name="clientcreds-requests-redis", daemon=True)
    if sys.is_finalizing():  # start() might wait for ever then
        return None
    try:
        thread.start()
    except RuntimeError:  # the interpreter is shutting down, or it has no threads
        return None
    return thread
