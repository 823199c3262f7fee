"""What is found with nothing but the issuer identifier (RFC 8414, OpenID Connect Discovery)."""

from __future__ import annotations

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from clientcreds_requests import (
    ClientCredentialsAuth,
    ClientCredentialsSession,
    TLSClientAuth,
    TokenError,
)
from clientcreds_requests.jwt import DPoPKey, PrivateKeyJWT

from .certificates import Certificates
from .frameworks import that_can
from .server import Server


@that_can("metadata")
def test_issuer_id_and_secret_are_enough(server: Server) -> None:
    auth = ClientCredentialsAuth.from_issuer(server.issuer, "post-client", server.secret)
    before = server.stats()
    for _ in range(2):
        assert requests.get(server.api, auth=auth).status_code == 200
        auth.signout()
    seen = server.stats() - before
    assert seen["POST /token 200"] == 2
    assert sum(count for line, count in seen.items() if "/.well-known/" in line) <= 2


@that_can("metadata")
def test_issuer_id_and_secret_are_enough_for_a_session(server: Server) -> None:
    with ClientCredentialsSession.from_issuer(
        server.issuer, "post-client", server.secret, base_url=server.url, scope="api:read"
    ) as session:
        assert session.get("api").status_code == 200
        assert session.auth.get_token().scope == "api:read"


@that_can("metadata of an issuer with a path")
def test_issuer_with_a_path_is_looked_up_where_rfc_8414_says(server: Server) -> None:
    before = server.stats()
    auth = ClientCredentialsAuth.from_issuer(
        f"{server.issuer}/tenant", "post-client", server.secret
    )
    assert requests.get(server.api, auth=auth).status_code == 200
    place = "/.well-known/oauth-authorization-server/tenant"
    assert (server.stats() - before)[f"GET {place} 200"] == 1


@that_can("OpenID metadata")
def test_issuer_with_a_path_is_looked_up_where_openid_says(server: Server) -> None:
    assert server.issuer != server.url
    before = server.stats()
    ClientCredentialsAuth.from_issuer(server.issuer, "post-client", server.secret).authorize()
    place = "/.well-known/openid-configuration"  # below the issuer
    assert (server.stats() - before)[f"GET {place} 200"] == 1


@that_can("OpenID metadata")
def test_private_key_needs_the_issuer_alone(
    server: Server, keys: dict[str, PrivateKeyTypes]
) -> None:
    auth = ClientCredentialsAuth.from_issuer(
        server.issuer,
        "private-key-client",
        client_auth=PrivateKeyJWT(keys["ES256"], server.issuer, kid="ES256"),
        dpop=DPoPKey.generate(),
    )
    assert requests.get(server.api, auth=auth).status_code == 200


@that_can("tls_client_auth")
def test_client_with_a_certificate_is_sent_to_where_it_is_asked_for(
    server: Server, certificates: Certificates
) -> None:
    with ClientCredentialsSession.from_issuer(
        server.issuer,
        "tls-client",
        client_auth=TLSClientAuth(str(certificates.client)),
        base_url=server.over_tls().url,
    ) as session:
        session.verify = str(certificates.authority)
        assert session.get("api").status_code == 200


@that_can("OpenID metadata")
@pytest.mark.parametrize("wrong", ["", "/no-such-path"])
def test_issuer_without_metadata_is_an_error_that_names_it(server: Server, wrong: str) -> None:
    auth = ClientCredentialsAuth.from_issuer(server.url + wrong, "post-client", server.secret)
    with pytest.raises(TokenError, match=f"no metadata of issuer {server.url}"):
        auth.authorize()
