"""What depends on process and interpreter: forked children, whether threads start, who called."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any
from weakref import ref

import requests
from requests.adapters import HTTPAdapter

# os.register_at_fork() cannot be undone, so it is called once for all objects alive at the fork.
# By identity: a session of the user may define equality.
_resets: dict[int, tuple[ref[Any], Callable[[Any], None]]] = {}


def reset_in_child(instance: object, reset: Callable[[Any], None]) -> None:
    """Call ``reset(instance)`` in every child forked while the instance is alive."""
    key = id(instance)
    _resets[key] = (ref(instance, lambda _: _resets.pop(key, None)), reset)


def _reset_all() -> None:
    for known, reset in list(_resets.values()):
        with contextlib.suppress(Exception):  # one that fails, or is gone, must not stop the others
            reset(known())


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows does not fork
    os.register_at_fork(after_in_child=_reset_all)


def start_thread(make: Callable[[], threading.Thread]) -> threading.Thread | None:
    """Start a daemon thread.

    :param make: constructs it, which raises RuntimeError in some subinterpreters.
    :return: None if none can be started: at interpreter exit, in a subinterpreter that allows no
        daemon threads, in WebAssembly.
    """
    if sys.is_finalizing():  # start() would block for ever
        return None
    try:
        thread = make()
        thread.daemon = True
        thread.start()
    except RuntimeError:
        return None
    return thread


def warn_caller(message: str) -> None:
    """Warn at the line outside this package from which it was called.

    ``skip_file_prefixes`` of ``warnings.warn`` does the same, from Python 3.12 on.
    """
    from inspect import currentframe  # which is slow to import

    level, frame = 1, currentframe()
    while frame is not None and frame.f_globals.get("__package__") == __package__:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, UserWarning, stacklevel=level)


def drop_connections(session: requests.Session) -> None:
    """Close a session's pooled connections in a forked child; the parent keeps using them.

    Locks are replaced, since a thread that the child does not have may hold them. Closing sends
    nothing, so the parent's connections stay intact.
    """
    session.cookies._cookies_lock = threading.RLock()
    for adapter in session.adapters.values():
        if isinstance(adapter, HTTPAdapter):
            for manager in (adapter.poolmanager, *adapter.proxy_manager.values()):
                manager.pools.lock = threading.RLock()
                for key in manager.pools.keys():  # noqa: SIM118 - its iteration is forbidden
                    _empty(manager.pools[key])


def _empty(pool: Any) -> None:
    queue = pool.pool
    if queue is None:  # closed
        return
    queue.mutex = threading.Lock()
    queue.not_empty = threading.Condition(queue.mutex)
    queue.not_full = threading.Condition(queue.mutex)
    connections = list(queue.queue)
    queue.queue.clear()
    for _ in range(queue.maxsize):
        queue.put_nowait(None)  # urllib3's mark of a free place
    for connection in connections:
        if connection is not None:
            connection.close()
