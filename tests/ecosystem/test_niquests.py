"""niquests, a fork of requests: its sessions take an auth, and all but the asynchronous replay."""

from __future__ import annotations

import asyncio

import pytest

pytestmark = pytest.mark.package("niquests")


def test_a_session_of_niquests(story):
    import niquests

    with niquests.Session() as session:
        session.auth = story.auth()
        story.tell(session.get)


def test_the_functions_of_niquests(story):
    import niquests

    auth = story.auth()
    story.tell(lambda url: niquests.get(url, auth=auth))


def test_an_asynchronous_session_of_niquests_gets_the_401(story):
    import niquests

    async def tell() -> None:
        async with niquests.AsyncSession() as session:
            for _ in range(2):
                assert (await session.get(story.url, auth=auth)).status_code == 200
            story.let_expire()
            assert (await session.get(story.url, auth=auth)).status_code == 200
            story.server.revoke_all()
            # It is not sent again, but the next call has another token.
            assert (await session.get(story.url, auth=auth)).status_code == 401
            assert (await session.get(story.url, auth=auth)).status_code == 200

    auth = story.auth()
    asyncio.run(tell())
    story.check()
