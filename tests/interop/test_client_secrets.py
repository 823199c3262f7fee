"""Who the client is, by its secret: in the body, in a header, or as the key of an assertion."""

from __future__ import annotations

import traceback
from base64 import b64encode
from collections import Counter
from collections.abc import Callable

import pytest
import requests

from clientcreds_requests import (
    ClientCredentialsAuth,
    ClientSecretBasic,
    ClientSecretJWT,
    TokenError,
)

from .frameworks import that_can
from .server import Server

# RFC 6749 allows secrets of visible ASCII characters and spaces: here is all of it that some
# encoding of Basic, of a form or of JSON treats in its own way.
SPECIAL = 's:e c+r/e%t&="\\<a-secret-of-more-than-32-characters>'
BEYOND_ASCII = f"{SPECIAL}é€"
WRONG = "w:r o+n/g%s&="

both_secret_methods = pytest.mark.parametrize(
    ("client_id", "client_auth"),
    [("post-client", "client_secret_post"), ("basic-client", "client_secret_basic")],
)


@both_secret_methods
def test_secret_gets_through_and_a_refused_json_body_costs_one_request(
    server: Server, client_id: str, client_auth: str
) -> None:
    auth = ClientCredentialsAuth(
        server.token_endpoint, client_id, server.secret, client_auth=client_auth
    )
    before = server.stats()
    assert requests.get(server.api, auth=auth).status_code == 200
    seen = server.stats() - before
    assert (seen["POST /token 200"], seen["GET /api 200"], seen.total()) == (1, 1, 3)


def test_secret_full_of_special_characters_gets_through_in_the_body(
    start: Callable[..., Server],
) -> None:
    server = start(secret=SPECIAL)
    auth = ClientCredentialsAuth(*server.credentials)
    assert requests.get(server.api, auth=auth).status_code == 200


@that_can("percent-decoded Basic")
def test_secret_full_of_special_characters_gets_through_by_basic(
    start: Callable[..., Server],
) -> None:
    server = start(secret=SPECIAL)
    auth = ClientCredentialsAuth(
        server.token_endpoint, "basic-client", SPECIAL, client_auth="client_secret_basic"
    )
    assert requests.get(server.api, auth=auth).status_code == 200


@that_can("raw Basic")
def test_secret_full_of_special_characters_gets_through_by_basic_as_it_is(
    start: Callable[..., Server],
) -> None:
    # Such servers split the pair at every colon.
    server = start(secret=SPECIAL.replace(":", ""))

    def auth(encode: bool) -> ClientCredentialsAuth:
        method = ClientSecretBasic(server.secret, encode=encode)
        return ClientCredentialsAuth(server.token_endpoint, "basic-client", client_auth=method)

    assert requests.get(server.api, auth=auth(encode=False)).status_code == 200
    with pytest.raises(TokenError) as caught:
        auth(encode=True).authorize()
    assert (caught.value.status_code, caught.value.error) == server.to_wrong_secret


@that_can("secrets beyond ASCII")
@both_secret_methods
def test_secret_beyond_ascii_gets_through(
    start: Callable[..., Server], client_id: str, client_auth: str
) -> None:
    server = start(secret=BEYOND_ASCII)
    auth = ClientCredentialsAuth(
        server.token_endpoint, client_id, BEYOND_ASCII, client_auth=client_auth
    )
    assert requests.get(server.api, auth=auth).status_code == 200


@both_secret_methods
def test_wrong_secret_is_an_error_about_the_client_and_told_to_nobody(
    server: Server, client_id: str, client_auth: str
) -> None:
    auth = ClientCredentialsAuth(server.token_endpoint, client_id, WRONG, client_auth=client_auth)
    before = server.stats()
    with pytest.raises(TokenError) as caught:
        requests.get(server.api, auth=auth)
    error = caught.value
    assert (error.status_code, error.error) == server.to_wrong_secret
    assert (auth.error, auth.authorized) == (server.to_wrong_secret.error, False)
    assert server.stats() - before == Counter(  # JSON, form
        [f"POST /token {server.to_json.status}", f"POST /token {server.to_wrong_secret.status}"]
    )

    assert "client_id, client_secret and client_auth" in str(error)
    for misleading in ("audience", "resources", "scope", "dpop", "the URL"):
        assert misleading not in str(error)

    told = repr(error) + "".join(traceback.format_exception(error))
    assert WRONG not in told
    assert b64encode(f"{client_id}:{WRONG}".encode()).decode() not in told


# client_secret_jwt


def auth_by_assertion(server: Server, secret: str, audience: str) -> ClientCredentialsAuth:
    return ClientCredentialsAuth(
        server.token_endpoint,
        "secret-jwt-client",
        client_auth=ClientSecretJWT(secret, audience),
        body="form",
    )


@that_can("client_secret_jwt")
@pytest.mark.parametrize("settings", [{}, {"secret": SPECIAL}], ids=["plain", "special"])
def test_every_token_request_has_an_assertion_that_is_new(
    start: Callable[..., Server], settings: dict[str, str]
) -> None:
    server = start(**settings)
    auth = auth_by_assertion(server, server.secret, server.issuer)
    before = server.stats()
    for _ in range(2):
        assert requests.get(server.api, auth=auth).status_code == 200
        auth.signout()
    assert server.stats() - before == {"POST /token 200": 2, "GET /api 200": 2}


@that_can("client_secret_jwt")
def test_assertion_with_a_wrong_secret_is_invalid_client(server: Server) -> None:
    wrong = f"not-{server.secret}"
    with pytest.raises(TokenError) as caught:
        auth_by_assertion(server, wrong, server.issuer).authorize()
    assert caught.value.error == "invalid_client"
    assert wrong not in repr(caught.value)


@that_can("client_secret_jwt")
def test_assertion_meant_for_another_server_is_invalid_client(server: Server) -> None:
    with pytest.raises(TokenError) as caught:
        auth_by_assertion(server, server.secret, "https://other.example").authorize()
    assert caught.value.error == "invalid_client"
