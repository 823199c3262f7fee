"""Clocks that stand still, or run elsewhere: the user's own code is what they are for."""

from __future__ import annotations

import threading
import time

import pytest
import requests


class Frozen:
    """The clock of a story, as freezegun and time-machine have it."""

    def __init__(self, move) -> None:
        self.advance = move


@pytest.fixture
def clock() -> None:
    """No clock of the story's own: these packages bring theirs."""


@pytest.mark.package("freezegun")
@pytest.mark.parametrize("ticks", [False, True])
def test_freezegun(story, ticks):
    from freezegun import freeze_time

    with freeze_time("2030-01-01", tick=ticks) as frozen:
        story.clock = Frozen(frozen.tick)
        auth = story.auth()
        story.tell(lambda url: requests.get(url, auth=auth))


@pytest.mark.package("freezegun")
def test_a_token_from_before_freezegun(story):
    from freezegun import freeze_time

    auth = story.auth()
    assert requests.get(story.url, auth=auth).ok
    with freeze_time("2030-01-01"):  # years later: it has expired
        assert requests.get(story.url, auth=auth).ok
    assert [call for call in story.calls() if call[1] == 200] == [(1, 200), (2, 200)]
    story.server.revoke_all()
    assert requests.get(story.url, auth=auth).ok
    story.check()


@pytest.mark.package("time-machine")
@pytest.mark.parametrize("ticks", [False, True])
def test_time_machine(story, ticks):
    import time_machine

    with time_machine.travel("2030-01-01T00:00Z", tick=ticks) as traveller:

        def move(seconds: float) -> None:
            traveller.shift(seconds)
            time.sleep(1.1)  # it moves the wall clock alone, which is looked at once a second

        story.clock = Frozen(move)
        auth = story.auth()
        story.tell(lambda url: requests.get(url, auth=auth))


@pytest.mark.package("freezegun", "time-machine")
@pytest.mark.parametrize("package", ["freezegun", "time-machine"])
def test_waiting_for_another_thread_under_a_frozen_clock(story, package):
    if package == "freezegun":
        from freezegun import freeze_time as travel
    else:
        from time_machine import travel
    meet = threading.Barrier(4)

    def call() -> None:
        meet.wait(20)
        answers.append(requests.get(story.url, auth=auth))

    answers, auth = [], story.auth()
    with travel("2030-01-01", tick=False):
        threads = [threading.Thread(target=call) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert [answer.status_code for answer in answers] == [200] * 4
    assert len(story.server.token_requests) == 1
    story.told = True
