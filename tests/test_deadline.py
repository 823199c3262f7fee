"""What becomes of the connections that are opened under a deadline."""

from __future__ import annotations

import json
import os
import socket
import threading
from urllib.parse import urlsplit

import pytest
import requests
import urllib3
from helpers import PATIENCE
from raw_server import endpoint_of
from requests.adapters import HTTPAdapter

from clientcreds_requests import ClientCredentialsAuth, TokenRequest

BODY = json.dumps({"access_token": "token-of-the-second", "token_type": "bearer"}).encode()
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)


def serve_one_at_a_time(listener: socket.socket) -> None:
    """Answer no first connection, and no other before the client has hung up on that."""
    listener.settimeout(PATIENCE)
    for answer in (b"", ANSWER):
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(PATIENCE)
            while received := connection.recv(65536):
                if answer and b"client_secret" in received:
                    connection.sendall(answer)


def test_f1_an_attempt_that_took_too_long_is_hung_up_before_the_next_one():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve_one_at_a_time, args=(listener,))
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/token"
        settings = {"body": "form", "timeout": 0.3, "retries": 1, "deadline": 10}
        auth = ClientCredentialsAuth(url, "id", "s3cret-of-ours", **settings)
        assert auth.get_token().access_token == "token-of-the-second"
        thread.join()


class OfItsOwn(HTTPAdapter):
    """An adapter with a pool that it shares with whomever it likes."""

    def __init__(self, url):
        super().__init__()
        where = urlsplit(url)
        self.pool = urllib3.HTTPConnectionPool(where.hostname, where.port)

    def get_connection_with_tls_context(self, *args, **options):
        return self.pool


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="this system shows no descriptors")
def test_w5_a_pool_of_the_sessions_adapter_is_given_back_as_it_was(server):
    with requests.Session() as session:
        adapter = OfItsOwn(server.token_endpoint)
        session.mount("http://", adapter)
        endpoint_of(server, session=session)(TokenRequest())
        connections = [kept for kept in adapter.pool.pool.queue if kept is not None]
        assert connections
        assert not [kept for kept in connections if {"_new_conn", "close"} & vars(kept).keys()]
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(10):
            session.get(server.token_endpoint, headers={"Connection": "close"})
        assert len(os.listdir("/proc/self/fd")) <= before + 1
        adapter.pool.close()
