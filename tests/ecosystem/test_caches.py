"""Caches of answers: the token request passes them by, and what they keep tells no secret."""

from __future__ import annotations

from email.utils import formatdate

import pytest
import requests

from clientcreds_requests import ClientCredentialsSession
from clientcreds_requests.testing import Answer, RecordedRequest

requests_cache = pytest.mark.package("requests-cache")
cachecontrol = pytest.mark.package("CacheControl")


def without_refused_tokens(response: requests.Response) -> bool:
    """A filter for requests-cache, which hides the token of an answer, but not those before it."""
    for refused in response.history:
        refused.request.headers.pop("Authorization", None)
    return True


def cacheable(_: RecordedRequest) -> Answer:
    """An answer that says for how long it is good."""
    return Answer(200, {"a": 1}, {"Cache-Control": "max-age=3600", "Date": formatdate(usegmt=True)})


def is_kept(story, get, folder) -> None:
    """The cache answers where it should, and its files hold no secret."""
    url = story.url
    assert get(url).json() == get(url).json()
    assert sum(r.path == url[url.index("/api") :] for r in story.server.api_requests) == 1
    assert story.search_files(folder), "nothing was written"


@requests_cache
@pytest.mark.parametrize("backend", ["sqlite", "filesystem"])
def test_an_auth_in_a_cached_session(story, tmp_path, backend):
    from requests_cache import CachedSession

    with CachedSession("cache", backend, filter_fn=without_refused_tokens) as session:
        session.auth = story.auth()
        story.tell(session.get)
        is_kept(story, session.get, tmp_path)


@requests_cache
def test_the_token_request_by_a_cached_session(story, tmp_path):
    from requests_cache import CachedSession

    with CachedSession("cache", filter_fn=without_refused_tokens) as session:
        session.auth = story.auth(session=session)
        story.tell(session.get)
        is_kept(story, session.get, tmp_path)


@requests_cache
def test_a_session_that_is_wrapped(story, tmp_path):
    from requests_cache import CachedSession

    settings = {"cache_name": "cache", "filter_fn": without_refused_tokens}
    plain = requests.Session()
    plain.auth = story.auth()
    with CachedSession.wrap(plain, **settings) as session:
        story.tell(session.get)
        is_kept(story, session.get, tmp_path)


@requests_cache
def test_the_mixin_of_requests_cache(story, tmp_path):
    from requests_cache import CacheMixin

    class Cached(CacheMixin, ClientCredentialsSession):
        pass

    elsewhere = story.server.api_url.replace("127.0.0.1", "localhost")
    with Cached(
        cache_name="cache",
        filter_fn=without_refused_tokens,
        token_endpoint=story.server.token_endpoint,
        client_id=story.server.client_id,
        client_secret=story.server.client_secret,
        base_url=story.server.api_url,
    ) as session:
        story.tell(session.get)
        is_kept(story, session.get, tmp_path)
        assert session.get("by/path").json()["path"] == "/api/by/path"
        assert session.get(elsewhere).status_code == 401
    assert story.server.api_requests[-1].token_state == "none"


@requests_cache
def test_a_cache_installed_for_all_of_requests(story, tmp_path):
    from requests_cache import enabled

    auth = story.auth()
    with enabled("cache", filter_fn=without_refused_tokens):
        story.tell(lambda url: requests.get(url, auth=auth))
        is_kept(story, lambda url: requests.get(url, auth=auth), tmp_path)
        with story.session() as session:  # whose class is not replaced
            assert not hasattr(session, "cache")
            assert session.get(story.url).ok
    assert not hasattr(requests.Session(), "cache")


@requests_cache
def test_a_cache_installed_before_everything_else(alone):
    install = "install_cache('cache', 'memory', allowable_methods=('GET', 'POST'))"
    alone("with_installed_cache.py", f"from requests_cache import install_cache; {install}")


@cachecontrol
def test_a_session_under_cachecontrol(story, tmp_path):
    from cachecontrol import CacheControl
    from cachecontrol.caches import FileCache

    story.server.answer = cacheable
    with story.session() as session:
        CacheControl(session, FileCache("cache"))
        story.tell(session.get)
        is_kept(story, session.get, tmp_path)


@cachecontrol
def test_an_auth_above_the_adapter_of_cachecontrol(story, tmp_path):
    from cachecontrol import CacheControlAdapter
    from cachecontrol.caches import SeparateBodyFileCache

    story.server.answer = cacheable
    with requests.Session() as session:
        session.mount("http://", CacheControlAdapter(SeparateBodyFileCache("cache")))
        session.auth = story.auth(session=session)
        story.tell(session.get)
        is_kept(story, session.get, tmp_path)
