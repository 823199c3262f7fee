"""Answers that were hostile once, or are of a kind that is: parsed, and sent over a socket.

``python -m tests.fuzz`` looks for more of them.
"""

from __future__ import annotations

import pytest
from fuzz import corpus, parsers, wire

FILES = sorted(corpus.FOLDER.iterdir())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a1_nothing_but_a_token_error_comes_of_hostile_bytes(path):
    parsers.run(corpus.load(path))


@pytest.fixture
def hostile_server():
    with wire.Server() as server, wire.NowhereElse(server.port):
        yield server


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a1_nothing_but_a_token_error_comes_of_a_hostile_server(hostile_server, path):
    for variant in range(2):
        wire.run(hostile_server, corpus.load(path), variant)
