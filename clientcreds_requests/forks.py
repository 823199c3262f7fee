"""What a forked child must not share with its parent: locks, work in flight, sockets."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import requests
from requests.adapters import HTTPAdapter

# The only state of this package beside its objects: os.register_at_fork() cannot be undone, so
# it is called once, for whatever is alive at the fork.
_resets: WeakKeyDictionary[Any, Callable[[Any], None]] = WeakKeyDictionary()


def reset_in_child(instance: object, reset: Callable[[Any], None]) -> None:
    """Call ``reset(instance)`` in every child forked while the instance is alive."""
    _resets[instance] = reset


def _reset_all() -> None:
    for instance, reset in list(_resets.items()):
        reset(instance)


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows does not fork
    os.register_at_fork(after_in_child=_reset_all)


def drop_connections(session: requests.Session) -> None:
    """Close a session's pooled connections, in a child: the parent goes on using them.

    Locks are made anew, since a thread that the child does not have may have held them. Closing
    sends nothing: the parent's connections stay whole.
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
    connections = list(queue.queue)
    queue.__init__(queue.maxsize)
    for _ in range(queue.maxsize):
        queue.put_nowait(None)  # as urllib3 marks a place that is free
    for connection in connections:
        if connection is not None:
            connection.close()
