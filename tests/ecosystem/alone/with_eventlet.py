"""Twenty green threads at once, in a process that eventlet has patched."""

from __future__ import annotations

import requests


def test_green_threads(story):
    from eventlet import GreenPool
    from eventlet.patcher import is_monkey_patched

    assert is_monkey_patched("socket")
    pool, auth = GreenPool(20), story.auth()

    def call(url: str) -> None:
        urls = [f"{url}/{n}" for n in range(20)]
        answers = list(pool.imap(lambda url: requests.get(url, auth=auth), urls))
        assert [answer.status_code for answer in answers] == [200] * 20

    story.tell(call, at_once=True)


def test_a_session(story):
    with story.session() as session:
        story.tell(session.get)
