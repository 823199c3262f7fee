"""What is sent to other processes: a client whose secret is a callable, and the story there."""

from __future__ import annotations

import os
import time
from typing import Any

import requests

from clientcreds_requests import ClientCredentialsAuth, ClientCredentialsSession
from clientcreds_requests.testing import RecordedRequest

from .story import Story

VARIABLE = "SECRET_OF_THE_STORY"


def secret() -> str:
    """A callable that other processes can import."""
    return os.environ[VARIABLE]


def auth_to_send(story: Story, monkeypatch: Any) -> ClientCredentialsAuth:
    """An auth without a literal secret."""
    prepare(story, monkeypatch)
    return story.auth(client_secret=secret)


def session_to_send(story: Story, monkeypatch: Any) -> ClientCredentialsSession:
    """A session without a literal secret."""
    prepare(story, monkeypatch)
    server = story.server
    return ClientCredentialsSession(server.token_endpoint, server.client_id, secret)


def prepare(story: Story, monkeypatch: Any) -> None:
    """Let the first token be a short one, and a call revoke all."""
    monkeypatch.setenv(VARIABLE, story.server.client_secret)
    server = story.server
    server.lifetime = 15  # shorter than the leeway: used for a second

    def answer(request: RecordedRequest) -> None:
        server.lifetime = 3600
        if request.path.endswith("/revoke"):
            server.revoke_all()

    server.answer = answer


def live(auth: ClientCredentialsAuth, url: str) -> list[int]:
    """Let the story happen in this process, by its own clock; the statuses of all calls."""
    statuses = [requests.get(url, auth=auth).status_code]
    time.sleep(1.1)
    for path in ("", "/revoke", ""):
        statuses.append(requests.get(url + path, auth=auth).status_code)
    return statuses
