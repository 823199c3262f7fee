"""Calls that fail with secrets at hand: what trackers of errors record of them is searched."""

from __future__ import annotations

from collections.abc import Callable

import requests

from clientcreds_requests import ClientCredentialsAuth, TokenError
from clientcreds_requests.testing import Answer

from .story import Story


def failures(
    story: Story,
    caught: Callable[[], object],
    but: Callable[[Story], None] | None = None,
) -> None:
    """Let calls fail, one after the other.

    :param caught: called while each error is being handled, for the tracker to record it.
    :param but: which one to leave out.
    """
    for fail in (secret_repeated, unreachable, no_token_after_a_401, secret_that_raises):
        if fail is but:
            continue
        try:
            fail(story)
        except TokenError:
            caught()
        else:
            raise AssertionError(f"no TokenError: {fail.__name__}")


def secret_repeated(story: Story) -> None:
    story.server.answer_next(*[refusal(story)] * 2)
    requests.get(story.url, auth=story.auth(retries=0))


def unreachable(story: Story) -> None:
    with story.server.outage():
        requests.post(story.url, json={"a": 1}, auth=story.auth(retries=0))


def no_token_after_a_401(story: Story) -> None:
    auth = story.auth(retries=0).authorize()
    story.server.revoke_all()
    story.server.answer_next(*[refusal(story)] * 2)
    with requests.Session() as session:
        session.get(story.url, auth=auth)


def secret_that_raises(story: Story) -> None:
    def secret() -> str:
        raise ValueError("the vault is sealed")

    ClientCredentialsAuth(story.server.token_endpoint, "id", secret).authorize()


def refusal(story: Story) -> Answer:
    """An answer that repeats the secret."""
    said = f"{story.server.client_secret} is not the secret"
    return Answer(401, {"error": "invalid_client", "error_description": said})
