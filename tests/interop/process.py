"""A program in a process of its own, which ends when the tests do."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

READY_WITHIN = 60.0
STOPPED_WITHIN = 5.0


@contextmanager
def launch(
    command: Sequence[str | Path], settings: Mapping[str, str], log: Path
) -> Iterator[dict[str, Any]]:
    """Run it, with the settings in its environment; the JSON it prints when it is ready."""
    with (
        log.open("wb") as stderr,
        subprocess.Popen(
            command,
            env={**os.environ, **settings},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
        ) as process,
    ):
        try:
            if not (ready := _first_line(process)):
                raise RuntimeError(f"{command[-1]} did not start:\n{log.read_text()}")
            yield json.loads(ready)
        finally:
            _stop(process)


def _first_line(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout
    too_late = threading.Timer(READY_WITHIN, process.kill)
    too_late.start()
    try:
        return process.stdout.readline()
    finally:
        too_late.cancel()


def _stop(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin
    process.stdin.close()
    try:
        process.wait(STOPPED_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
