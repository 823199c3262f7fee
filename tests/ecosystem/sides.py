"""Who may see what: the token endpoint the client's secret, the API the token, and nobody both."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import requests

from clientcreds_requests.testing import RecordedRequest

from .story import Story


def auth_in_session(story: Story, **options: object) -> requests.Session:
    """A session of requests, with an auth whose token requests go through it."""
    session = requests.Session()
    session.auth = story.auth(session=session, **options)
    return session


def own_session(story: Story, **options: object) -> requests.Session:
    """A session of ours."""
    return story.session(**options)


SESSIONS: list[Callable[..., requests.Session]] = [auth_in_session, own_session]


def check_sides(story: Story) -> None:
    """Fail if the endpoint saw a token, or the API the client's secret."""
    assert not names_in(story, texts_of(story.server.token_requests)) - {"the client secret"}
    tokens = {f"token {number}" for number in range(1, len(story.server.tokens) + 1)}
    assert names_in(story, texts_of(story.server.api_requests)) == tokens


def names_in(story: Story, texts: Iterable[str]) -> set[str]:
    """What the secrets are called that stand in the texts."""
    everything = "\n".join(texts)
    return {name for name, form in story.secrets() if form in everything and "base64" not in name}


def texts_of(arrived: Iterable[RecordedRequest]) -> Iterator[str]:
    """Everything that a server has seen of requests."""
    for request in arrived:
        yield f"{request.path}?{request.query}"
        yield str(request.headers)
        yield request.body.decode("latin-1")
