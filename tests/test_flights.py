"""The thread of a token request: it keeps no program from its end, and is gone with its request."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
import threading

from helpers import PATIENCE

from clientcreds_requests import Token, TokenManager

HANGING = """
import threading
from clientcreds_requests import TokenManager, TokenTimeout

try:
    TokenManager(lambda _: threading.Event().wait(), deadline=0.1).get_token()
except TokenTimeout:
    print("gave up")
"""

READING = """
import sys, threading
from clientcreds_requests import ClientCredentialsAuth

auth = ClientCredentialsAuth(sys.argv[1], "me", "long-secret", timeout=600, deadline=600)
threading.Thread(target=auth.authorize, daemon=True).start()
sys.stdin.readline()
print("leaving it")
"""


def test_l2_a_program_ends_though_its_token_request_hangs():
    program = [sys.executable, "-c", HANGING]
    done = subprocess.run(program, capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert done.stdout.split("\n") == ["gave up", ""]


def test_l2_a_program_ends_though_the_answer_does_not():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/token"
        program = [sys.executable, "-c", READING, url]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(program, **pipes, text=True) as running:
            try:
                connection, _ = listener.accept()
                with connection:
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{")
                    told, _ = running.communicate("\n", timeout=PATIENCE)
            finally:
                running.kill()
    assert told == "leaving it\n"
    assert running.returncode == 0


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
