"""Certificates are those that the system trusts, also for the token request."""

from __future__ import annotations

import pytest
import requests
import trustme
from helpers import TLSAuthorizationServer

from clientcreds_requests import TokenConnectionError

from ..story import Story


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def story(authority, clock):
    with TLSAuthorizationServer(authority) as server:
        yield Story(server, clock)


def test_truststore(story, authority, tmp_path, monkeypatch):
    authority.cert_pem.write_to_path(str(tmp_path / "system.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "system.pem"))  # the system, to OpenSSL
    auth = story.auth()
    story.tell(lambda url: requests.get(url, auth=auth))
    assert len(story.server.handshakes) >= 7


def test_what_the_system_does_not_trust(story):
    with pytest.raises(TokenConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
        story.auth().authorize()
    assert not story.server.token_requests
