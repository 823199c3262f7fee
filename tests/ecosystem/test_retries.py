"""What calls again, or breaks the circuit: a TokenError is a RequestException that says whether."""

from __future__ import annotations

import pytest
import requests

from clientcreds_requests import TokenConnectionError, TokenError
from clientcreds_requests.testing import RESET, Answer


def may_succeed_later(error: BaseException) -> bool:
    """What is worth another try, to say it once for all of these packages."""
    return isinstance(error, requests.RequestException) and getattr(error, "retryable", True)


@pytest.fixture
def get(story):
    """Gets a URL with a token, whose requests are not retried; it pauses the clock passes."""
    auth = story.auth(retries=0)

    def get(url: str) -> requests.Response:
        story.clock.advance(0.6)  # the pause after a failure
        return requests.get(url, auth=auth)

    return get


def tell_with_failures(story, call) -> None:
    """The story, after a token endpoint that answered at the third attempt."""
    story.server.answer_next(RESET, Answer(503))
    assert call(story.url).ok
    assert len(story.server.token_requests) == 3
    story.server.reset_records()
    assert call(story.url).ok
    story.let_expire()
    assert call(story.url).ok
    story.server.revoke_all()
    assert call(story.url).ok
    assert story.calls() == list(story.EXPECTED)
    story.told = True
    # What will not succeed later is not tried again.
    story.let_expire()
    story.server.reset_records()
    story.server.answer_next(*[Answer(400, {"error": "invalid_scope"})] * 5)
    with pytest.raises(TokenError, match="invalid_scope"):
        call(story.url)
    assert len(story.server.token_requests) == 1


@pytest.mark.package("tenacity")
def test_tenacity(story, get):
    from tenacity import retry, retry_if_exception, stop_after_attempt

    again = retry(
        retry=retry_if_exception(may_succeed_later), stop=stop_after_attempt(4), reraise=True
    )
    tell_with_failures(story, again(get))


@pytest.mark.package("backoff")
def test_backoff(story, get):
    import backoff

    again = backoff.on_exception(
        backoff.constant,
        requests.RequestException,
        max_tries=4,
        interval=0,
        giveup=lambda error: not may_succeed_later(error),
    )
    tell_with_failures(story, again(get))


@pytest.mark.package("stamina")
def test_stamina(story, get):
    import stamina

    again = stamina.retry(on=may_succeed_later, attempts=4, wait_initial=0, wait_jitter=0)
    tell_with_failures(story, again(get))


@pytest.mark.package("pybreaker")
def test_pybreaker(story):
    from pybreaker import CircuitBreaker, CircuitBreakerError

    breaker = CircuitBreaker(fail_max=2)
    auth = story.auth(retries=0)

    def call(url: str) -> requests.Response:
        return breaker.call(requests.get, url, auth=auth)

    story.tell(call)
    story.let_expire()
    with story.server.outage():
        with pytest.raises(TokenConnectionError):
            call(story.url)
        with pytest.raises(CircuitBreakerError):
            call(story.url)
        asked = len(story.server.token_requests)
        with pytest.raises(CircuitBreakerError):
            call(story.url)
        assert len(story.server.token_requests) == asked
