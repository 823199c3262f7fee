"""Where a URL really leads, and whether a secret may travel there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clientcreds_requests import InsecureTransportError
from clientcreds_requests._urls import (
    AllowedOrigins,
    is_secure,
    origin,
    prepare_url,
    require_secure,
    without_query,
)

API = "https://api.example.com"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://api.example.com", API),
        ("https://api.example.com/", API),
        ("https://api.example.com:443/x?y#z", API),
        ("https://API.example.COM/x", API),
        ("https://user:pw@api.example.com/", API),
        ("https://api.example.com:8443/", "https://api.example.com:8443"),
        ("http://api.example.com/", "http://api.example.com"),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000"),
        ("https://[::1]:8443/x", "https://[::1]:8443"),
        ("https://[2001:DB8::1]/", "https://[2001:db8::1]"),
        ("https://xn--mnchen-3ya.example/", "https://xn--mnchen-3ya.example"),
    ],
)
def test_r5_an_origin_is_scheme_host_and_port(url, expected):
    assert origin(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.com.evil.test/",
        "https://api.example.com@evil.test/",
        "https://sub.api.example.com/",
        "https://api.example.com./",
        "https://api%2eexample.com/",
        "https://apixexample.com/",
        "http://api.example.com:443/",
        r"https://evil.test\.api.example.com/",
        r"https://api.example.com\@evil.test/",
        r"https://api.example.com\.evil.test/",
    ],
)
def test_r5_what_only_looks_like_an_origin_is_another_or_none(url):
    assert origin(url) != API


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/path",
        "api.example.com",
        "//api.example.com",
        "ftp://api.example.com",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "https://",
        "https://:443",
        "https://api.example.com:99999",
        "https://api.example.com:x",
        "https://[",
        "https://[::1",
        r"https://api.example.com\@evil.test/",
    ],
)
def test_r5_what_nobody_can_tell_has_no_origin(url):
    assert origin(url) is None


@given(st.text() | st.text("htps:/@\\[]?#.%a1"))
def test_r5_any_text_has_an_origin_or_none(text):
    for url in (text, f"https://{text}"):
        found = origin(url)
        assert found is None or found.startswith(("https://", "http://"))


# W7

SECURE = [
    "https://as.example/",
    "http://127.0.0.1/",
    "http://127.8.9.10:80/",
    "http://localhost:8000/",
    "http://[::1]/x",
]
INSECURE = [
    "http://as.example/",
    "http://localhost.evil.test/",
    "http://127.0.0.1.evil.test/",
    "http://evil.test/localhost",
    "http://localhost@evil.test/",
    "http://10.0.0.1/",
    "http://0.0.0.0/",
    "ftp://as.example/",
    "",
]


@pytest.mark.parametrize("url", SECURE)
def test_w7_https_and_loopback_are_secure(url):
    assert is_secure(url)
    require_secure("the API", url, allow_http=False)


@pytest.mark.parametrize("url", INSECURE)
def test_w7_all_else_is_not_unless_it_is_allowed(url):
    assert not is_secure(url)
    with pytest.raises(InsecureTransportError, match=r"the API .* is not https.*allow_http=True"):
        require_secure("the API", url, allow_http=False)
    require_secure("the API", url, allow_http=True)


def test_w7_the_error_shows_no_query():
    with pytest.raises(InsecureTransportError) as caught:
        require_secure("token_endpoint", "http://as.example/token?key=k", allow_http=False)
    assert "key" not in str(caught.value)
    assert without_query("https://a/b?c?d") == "https://a/b"


# W8


@pytest.mark.parametrize(
    ("url", "prepared"),
    [
        ("https://AS.example/Token", "https://as.example/Token"),
        ("HTTPS://as.example", "https://as.example/"),
        ("https://as.example/a b?c=d e", "https://as.example/a%20b?c=d%20e"),
        ("https://münchen.example/", "https://xn--mnchen-3ya.example/"),
        ("https://as.example:8443/?a=1", "https://as.example:8443/?a=1"),
        (r"https://as.example\@evil.test/", "https://as.example/%5C@evil.test/"),
    ],
)
def test_w8_a_url_is_prepared_as_requests_would_connect_to_it(url, prepared):
    assert prepare_url("token_endpoint", url) == prepared


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("", "empty"),
        ("as.example/token", "absolute"),
        ("/token", "absolute"),
        ("ftp://as.example/", "absolute"),
        ("https://", "absolute"),
        ("https://*.example/", "absolute"),
        ("https://as.example:99999/", "absolute"),
        ("https://[/", "absolute"),
        ("https://" + "é" * 300, "absolute"),
        ("https://as.example/#x", "fragment"),
        ("https://as.example/#", "fragment"),
        ("https://me:secret@as.example/", "credentials"),
        ("https://me@as.example/", "credentials"),
    ],
)
def test_w8_any_other_url_is_a_value_error_that_names_the_argument(url, problem):
    with pytest.raises(ValueError, match=f"token_endpoint .*{problem}") as caught:
        prepare_url("token_endpoint", url)
    assert "secret@" not in str(caught.value)


@pytest.mark.parametrize("url", [None, 5, b"https://as.example", ["https://as.example"]], ids=repr)
def test_w8_a_url_is_a_string(url):
    with pytest.raises(TypeError, match="token_endpoint must be a str"):
        prepare_url("token_endpoint", url)


@pytest.mark.parametrize("url", ["https://a.example/x", "https://a.example?b"])
def test_w8_an_origin_has_neither_path_nor_query(url):
    with pytest.raises(ValueError, match="allowed_origins must be origins"):
        AllowedOrigins([url], allow_http=False)
    assert AllowedOrigins(["https://a.example"], allow_http=False).admit("https://a.example/x")


@pytest.mark.parametrize("allowed", [None, [API]], ids=["everywhere", "some"])
def test_r5_an_origin_that_was_admitted_is_admitted_at_a_glance(allowed):
    origins = AllowedOrigins(allowed, allow_http=False)
    assert origins.admit("https://api.example.com/data?x")
    assert not origins.trusted
    assert origins.admit("https://api.example.com/data?x", trust=True)
    assert "https://api.example.com/other".startswith(origins.trusted)


@pytest.mark.parametrize("allowed", ["https://a.example", "https://a.example:443"])
@pytest.mark.parametrize("url", ["https://a.example/x", "https://a.example:443/x"])
def test_r5_a_default_port_that_is_written_is_admitted_at_a_glance_too(allowed, url):
    origins = AllowedOrigins([allowed], allow_http=False)
    assert origins.admit(url, trust=True)
    assert url.startswith(origins.trusted)


def test_r5_the_last_eight_origins_are_admitted_at_a_glance():
    urls = [f"https://{name}.example.com/" for name in "abcdefghi"]
    origins = AllowedOrigins(urls, allow_http=False)
    assert all(origins.admit(url, trust=True) for url in urls)
    assert origins.trusted == tuple(urls[1:])
