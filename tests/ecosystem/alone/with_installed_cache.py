"""A cache for all of requests, also of what is posted, from before the package was imported."""

from __future__ import annotations

import requests


def test_an_auth(story):
    cache = requests.Session().cache
    auth = story.auth()
    story.tell(lambda url: requests.get(url, auth=auth))
    assert {urls for urls in cache.urls() if urls.startswith(story.server.api_url)}
    assert story.server.token_endpoint not in cache.urls()


def test_a_session(story):
    with story.session() as session:
        story.tell(session.get)
    assert story.server.token_endpoint not in requests.Session().cache.urls()
