"""A headless Chromium, which ends when the tests do."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STOPPED_WITHIN = 10.0
# Nothing but what the page asks for goes over the network.
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)


def find_chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def open_page(url: str, scratch: Path) -> Iterator[Path]:
    """Open a page in a Chromium without a past; yield the file to which it logs."""
    program = find_chromium()
    assert program is not None
    log = scratch / "chromium.log"
    command = [program, *FLAGS, "--enable-logging=stderr", f"--user-data-dir={scratch / 'profile'}"]
    proxies = {f"{scheme}_proxy" for scheme in ("http", "https", "all", "no")}
    environment = {k: v for k, v in os.environ.items() if k.lower() not in proxies}
    with (
        log.open("wb") as stderr,
        subprocess.Popen(
            [*command, url], stdout=subprocess.DEVNULL, stderr=stderr, env=environment
        ) as process,
    ):
        try:
            yield log
        finally:
            process.terminate()
            try:
                process.wait(STOPPED_WITHIN)
            except subprocess.TimeoutExpired:
                process.kill()
