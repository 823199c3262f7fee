"""What depends on process and interpreter: forked children, whether threads start, who called."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any
from weakref import WeakValueDictionary

import requests
from requests.adapters import HTTPAdapter

# os.register_at_fork() cannot be undone, so it is called once for all objects alive at the fork.
# By identity: a session of the user may define equality.
_resets: WeakValueDictionary[tuple[int, Callable[[Any], None]], Any] = WeakValueDictionary()


def reset_in_child(instance: object, reset: Callable[[Any], None]) -> None:
    """Call ``reset(instance)`` in every child forked while the instance is alive."""
    _resets[id(instance), reset] = instance


def _reset_all() -> None:
    for (_, reset), instance in list(_resets.items()):
        with contextlib.suppress(Exception):  # one that fails must not stop the others
            reset(instance)


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows does not fork
    os.register_at_fork(after_in_child=_reset_all)


def start_thread(make: Callable[[], threading.Thread]) -> threading.Thread | None:
    """Start a daemon thread that ``make`` constructs; None if none can be started.

    So it is at interpreter exit, in WebAssembly, and in some subinterpreters.
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
    """Warn at the line outside this package from which it was called."""
    from inspect import currentframe  # which is slow to import

    # From Python 3.12 on, skip_file_prefixes of warnings.warn() does the same.
    level, frame = 1, currentframe()
    while frame is not None and frame.f_globals.get("__package__") == __package__:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, UserWarning, stacklevel=level)


def close_idle_connections(session: requests.Session) -> None:
    """Close a session's idle connections; those in use serve to the end of their answers."""
    for adapter in session.adapters.values():
        if isinstance(adapter, HTTPAdapter):
            HTTPAdapter.close(adapter)  # close() of a derived class may be final


def drop_connections(session: requests.Session) -> None:
    """Close a session's pooled connections in a forked child.

    Locks are replaced, since a thread that the child does not have may hold them. Closing sends
    nothing, so the parent can keep using its connections.
    """
    session.cookies._cookies_lock = threading.RLock()
    for adapter in session.adapters.values():
        if isinstance(adapter, HTTPAdapter):
            for manager in (adapter.poolmanager, *adapter.proxy_manager.values()):
                manager.pools.lock = threading.RLock()
                for key in manager.pools.keys():  # noqa: SIM118 - its iteration is forbidden
                    pool = manager.pools[key]
                    if pool.pool is not None:  # else it is closed
                        pool.pool.mutex = threading.Lock()
                        pool.pool.not_empty = threading.Condition(pool.pool.mutex)
                        pool.pool.not_full = threading.Condition(pool.pool.mutex)
                    pool.close()
    close_idle_connections(session)
