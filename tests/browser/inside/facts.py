"""What this Python is."""

from __future__ import annotations

import sys
import threading

import js  # type: ignore[import-not-found]
from pyodide.ffi import can_run_sync  # type: ignore[import-not-found]


def python() -> dict[str, object]:
    return {
        "version": list(sys.version_info[:2]),
        "platform": sys.platform,
        "in a worker": not hasattr(js, "document"),
        "can wait for promises": can_run_sync(),
    }


def thread() -> str:
    """Return what becomes of a thread."""
    try:
        threading.Thread(target=print).start()
    except RuntimeError as error:
        return str(error)
    return "started"
