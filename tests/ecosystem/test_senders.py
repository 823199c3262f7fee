"""What sends the requests: bodies of the toolbelt, pools of threads, limiters, sockets."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import requests

from clientcreds_requests import ClientCredentialsSession, InsecureTransportError

from .sockets import socks_server, unix_server

toolbelt = pytest.mark.package("requests-toolbelt")
futures = pytest.mark.package("requests-futures")
ratelimiter = pytest.mark.package("requests-ratelimiter")
unixsocket = pytest.mark.package("requests-unixsocket2")

# -- requests-toolbelt -----------------------------------------------------------------------------


def tell_by_upload(story, upload: Callable[[str], requests.Response]) -> None:
    """The story, when a body can be read but once: the 401 is what the caller gets."""
    assert upload(story.url).ok
    story.let_expire()
    assert upload(story.url).ok
    story.server.revoke_all()
    assert upload(story.url).status_code == 401
    assert upload(story.url).ok
    story.check()
    lengths = Counter(len(request.body) for request in story.server.api_requests)
    assert list(lengths.values()) == [4]


@toolbelt
def test_a_multipart_body_from_a_file(story):
    from requests_toolbelt import MultipartEncoder

    Path("upload.bin").write_bytes(bytes(range(256)) * 1024)

    def upload(url: str) -> requests.Response:
        with open("upload.bin", "rb") as file:
            body = MultipartEncoder({"a": "1", "file": ("upload.bin", file)})
            return session.post(url, data=body, headers={"Content-Type": body.content_type})

    with story.session() as session:
        tell_by_upload(story, upload)


@toolbelt
def test_a_multipart_body_that_is_monitored(story):
    from requests_toolbelt import MultipartEncoder, MultipartEncoderMonitor

    read = []

    def upload(url: str) -> requests.Response:
        encoder = MultipartEncoder({"a": "1", "file": ("upload.bin", b"x" * 100_000)})
        body = MultipartEncoderMonitor(encoder, lambda monitor: read.append(monitor.bytes_read))
        headers = {"Content-Type": body.content_type}
        return requests.post(url, data=body, headers=headers, auth=auth)

    auth = story.auth()
    tell_by_upload(story, upload)
    assert max(read) == len(story.server.api_requests[0].body)


@toolbelt
def test_files_given_to_requests_are_sent_again(story):
    Path("upload.bin").write_bytes(bytes(range(256)) * 1024)

    def upload(url: str) -> requests.Response:
        with open("upload.bin", "rb") as file:
            return requests.post(url, files={"file": file}, auth=auth)

    auth = story.auth()
    story.tell(upload)


@toolbelt
def test_an_auth_in_a_session_with_a_base_url(story):
    from requests_toolbelt.sessions import BaseUrlSession

    with BaseUrlSession(base_url=f"{story.server.api_url}/") as session:
        session.auth = story.auth()
        story.tell(lambda url: session.get(urlsplit(url).path.removeprefix("/api/")))


@toolbelt
def test_an_auth_in_a_pool_of_threads(story):
    from requests_toolbelt.threaded.pool import Pool

    # The pool starts a thread before the thread's own object is complete: an answer that comes
    # sooner than that is lost.
    complete = threading.Event()

    class Waiting(requests.Session):
        def request(self, *args: Any, **options: Any) -> requests.Response:
            assert complete.wait(20)
            return super().request(*args, **options)

    def call(url: str) -> None:
        urls = [f"{url}/{n}" for n in range(4)]
        complete.clear()
        pool = Pool.from_urls(urls, {"auth": auth}, num_processes=2, session=Waiting)
        complete.set()
        pool.join_all()
        assert [answer.status_code for answer in pool.responses()] == [200] * 4

    auth = story.auth()
    story.tell(call, at_once=True)


# -- requests-futures ------------------------------------------------------------------------------


@futures
def test_an_auth_in_a_futures_session(story):
    from requests_futures.sessions import FuturesSession

    with FuturesSession() as session:
        session.auth = story.auth()
        story.tell(lambda url: session.get(url).result())


@futures
def test_a_session_for_futures(story):
    from requests_futures.sessions import FuturesSession

    # With more workers than connections, it sets up the pools of all adapters anew.
    with story.session() as ours, FuturesSession(session=ours, max_workers=16) as session:
        story.tell(lambda url: session.get(url).result())


@futures
def test_the_class_of_requests_futures_as_a_mixin(story):
    from requests_futures.sessions import FuturesSession

    class Futures(FuturesSession, ClientCredentialsSession):
        pass

    with ThreadPoolExecutor(2) as pool:
        session = story.session(
            lambda *client, **options: Futures(pool, 2, None, None, *client, **options),
            base_url=story.server.api_url,
        )
        with session:
            story.tell(lambda url: session.get(url).result())


# -- requests-ratelimiter --------------------------------------------------------------------------


@ratelimiter
def test_an_auth_in_a_limited_session(story):
    from requests_ratelimiter import LimiterSession

    with LimiterSession(per_second=1000) as session:
        session.auth = story.auth(session=session)
        story.tell(session.get)


@ratelimiter
def test_a_session_above_the_adapter_of_requests_ratelimiter(story):
    from requests_ratelimiter import LimiterAdapter

    with story.session() as session:
        for scheme in ("http://", "https://"):
            session.mount(scheme, LimiterAdapter(per_second=1000))
        story.tell(session.get)


@ratelimiter
def test_the_mixin_of_requests_ratelimiter(story):
    from requests_ratelimiter import LimiterMixin

    class Limited(LimiterMixin, ClientCredentialsSession):
        pass

    elsewhere = story.server.api_url.replace("127.0.0.1", "localhost")
    with Limited(
        per_second=1000,
        token_endpoint=story.server.token_endpoint,
        client_id=story.server.client_id,
        client_secret=story.server.client_secret,
        scope="api:read",
        allowed_origins=[story.server.api_url.removesuffix("/api")],
        client_auth="client_secret_basic",
    ) as session:
        story.tell(session.get)
        assert session.get(elsewhere).status_code == 401
    assert story.server.api_requests[-1].token_state == "none"
    assert story.server.token_requests[0].params["scope"] == "api:read"
    assert story.server.token_requests[0].headers["Authorization"].startswith("Basic ")


@pytest.mark.package("requests-ratelimiter", "requests-cache")
def test_a_mixin_and_an_adapter_at_once(story):
    from requests_cache import CacheMixin
    from requests_ratelimiter import LimiterAdapter

    # Not two mixins: each passes on only what the next one has named.
    class Cached(CacheMixin, ClientCredentialsSession):
        pass

    with Cached(
        backend="memory",
        token_endpoint=story.server.token_endpoint,
        client_id=story.server.client_id,
        client_secret=story.server.client_secret,
        base_url=story.server.api_url,
    ) as session:
        session.mount("http://", LimiterAdapter(per_second=1000))
        story.tell(session.get)
        session.get("a")
        arrived = len(story.server.api_requests)
        assert session.get("a").ok
    assert len(story.server.api_requests) == arrived


# -- further adapters and schemes ------------------------------------------------------------------


@pytest.mark.package("requests-file")
def test_files_are_read_without_a_token(story):
    from requests_file import FileAdapter

    Path("local.txt").write_text("a")
    with story.session(allowed_origins=[story.server.url]) as session:
        session.mount("file://", FileAdapter())
        answer = session.get(f"file://{Path('local.txt').resolve()}")
        assert (answer.text, "Authorization" in answer.request.headers) == ("a", False)
    with story.session() as session:
        session.mount("file://", FileAdapter())
        with pytest.raises(InsecureTransportError):
            session.get(f"file://{Path('local.txt').resolve()}")
        assert session.get(f"file://{Path('local.txt').resolve()}", auth=no_auth).text == "a"
        story.server.reset_records()
        story.tell(session.get)


def no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


@unixsocket
def test_an_api_on_a_unix_socket(story):
    from requests_unixsocket import Session

    with unix_server(story.server.api_url) as path, Session() as session:
        session.auth = story.auth(allow_http=True)  # not https, though it stays on this machine
        story.tell(
            lambda url: session.get(f"http+unix://{quote(path, safe='')}{urlsplit(url).path}")
        )


@pytest.mark.package("PySocks")
def test_a_socks_proxy(story):
    with socks_server() as proxy, story.session() as session:
        session.trust_env = False
        session.proxies = {"http": proxy.url}
        story.tell(session.get)
    # Host names are resolved by the proxy: socks5h.
    ports = {urlsplit(story.server.url).port, urlsplit(story.server.api_url).port}
    assert {port for _, port in proxy.targets} == ports


@pytest.mark.package("requests-oauthlib")
def test_beside_the_auth_of_requests_oauthlib(story):
    from requests_oauthlib import OAuth1

    with requests.Session() as session:
        session.auth = story.auth()
        story.tell(session.get)
        signed = session.get(story.url, auth=OAuth1("key", "another-secret"))
    assert signed.request.headers["Authorization"].startswith(b"OAuth ")


@pytest.mark.package("requests-aws4auth")
def test_beside_the_auth_of_requests_aws4auth(story):
    from requests_aws4auth import AWS4Auth

    with requests.Session() as session:
        session.auth = story.auth()
        story.tell(session.get)
        aws = AWS4Auth("access-id", "another-secret", "eu-west-1", "s3")
        signed = session.get(story.url, auth=aws)
    assert signed.request.headers["Authorization"].startswith("AWS4-HMAC-SHA256 ")
