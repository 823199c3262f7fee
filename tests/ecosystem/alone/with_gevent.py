"""Twenty greenlets at once, in a process that gevent has patched."""

from __future__ import annotations

import requests


def test_greenlets(story):
    from gevent import monkey
    from gevent.pool import Pool

    assert monkey.is_module_patched("socket")
    pool, auth = Pool(20), story.auth()

    def call(url: str) -> None:
        urls = [f"{url}/{n}" for n in range(20)]
        answers = pool.map(lambda url: requests.get(url, auth=auth), urls)
        assert [answer.status_code for answer in answers] == [200] * 20

    story.tell(call, at_once=True)


def test_a_session(story):
    with story.session() as session:
        story.tell(session.get)
