"""The thread of a token request: it keeps no program from its end, and is gone with its request."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading

from clientcreds_requests import Token, TokenManager
from tests.helpers import PATIENCE

HANGING = """
import threading
from clientcreds_requests import TokenManager, TokenTimeout

try:
    TokenManager(lambda _: threading.Event().wait(), deadline=0.1).get_token()
except TokenTimeout:
    print("gave up")
"""


def test_l2_a_program_ends_though_its_token_request_hangs():
    program = [sys.executable, "-c", HANGING]
    done = subprocess.run(program, capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert done.stdout.split("\n") == ["gave up", ""]


def test_l2_the_thread_of_a_token_request_is_gone_when_its_caller_goes_on():
    class Dawdler(logging.Handler):
        """Keeps the thread, which logs when nobody waits for the token any more."""

        def emit(self, record: logging.LogRecord) -> None:
            self.thread = threading.current_thread()
            threading.Event().wait(0.05)

    dawdler, logger = Dawdler(), logging.getLogger("clientcreds_requests.manager")
    logger.addHandler(dawdler)
    try:
        TokenManager(lambda _: Token("token", expires_at=0.0)).get_token()
    finally:
        logger.removeHandler(dawdler)
    assert dawdler.thread.name == "clientcreds-requests"
    assert not dawdler.thread.is_alive()
