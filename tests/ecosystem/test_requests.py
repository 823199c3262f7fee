"""Without any other package: what all other tests are compared with."""

from __future__ import annotations

import pytest
import requests


@pytest.mark.package("requests")
def test_an_auth(story):
    with requests.Session() as session:
        session.auth = story.auth()
        story.tell(session.get)


@pytest.mark.package("requests")
def test_a_session(story):
    with story.session() as session:
        story.tell(session.get)


@pytest.mark.package("requests")
def test_a_search_finds_what_it_should(story, tmp_path):
    with story.session() as session:
        story.tell(session.get)
    for name, form in story.secrets():
        with pytest.raises(AssertionError, match=name):
            story.search("a text", f"...{form}...")
