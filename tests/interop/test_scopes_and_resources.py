"""What is asked for, and what is granted."""

from __future__ import annotations

import pytest
import requests

from clientcreds_requests import ClientCredentialsAuth, TokenError

from .frameworks import that_can
from .server import Server

OTHER = "https://other.example/"


def test_known_scope_is_granted_as_asked(server: Server) -> None:
    auth = ClientCredentialsAuth(*server.credentials, scope=["api:read"])
    assert auth.get_token().scope == "api:read"
    assert requests.get(server.api, auth=auth).status_code == 200


@that_can("invalid_scope")
def test_unknown_scope_is_invalid_scope(server: Server) -> None:
    auth = ClientCredentialsAuth(*server.credentials, scope="api:read no:such:scope")
    with pytest.raises(TokenError) as caught:
        requests.get(server.api, auth=auth)
    assert (caught.value.error, caught.value.status_code) == ("invalid_scope", 400)


@that_can("scopes of a client")
def test_unknown_scope_that_is_left_out_is_no_error(server: Server) -> None:
    auth = ClientCredentialsAuth(*server.credentials, scope="api:read no:such:scope")
    assert auth.get_token().scope == "api:read"
    assert requests.get(server.api, auth=auth).status_code == 200


@that_can("scopes of a client")
def test_scope_that_the_client_may_not_have_is_invalid_scope(server: Server) -> None:
    auth = ClientCredentialsAuth(*server.credentials, scope="api:read api:admin")
    with pytest.raises(TokenError) as caught:
        requests.get(server.api, auth=auth)
    assert (caught.value.error, caught.value.status_code) == ("invalid_scope", 400)


@that_can("introspection")
def test_server_tells_of_the_token_what_was_asked_for(server: Server) -> None:
    auth = ClientCredentialsAuth(*server.credentials, scope="api:read", resources=[server.api])
    told = server.introspect(auth.get_token().access_token)
    assert {name: told.get(name) for name in ("active", "client_id", "scope", "aud")} == {
        "active": True,
        "client_id": "post-client",
        "scope": "api:read",
        "aud": server.api,
    }


# Resource indicators


@that_can("resources")
def test_token_for_the_right_resource_is_accepted(server: Server) -> None:
    auth = ClientCredentialsAuth(*server.credentials, resources=[server.api])
    response = requests.get(server.api, auth=auth)
    assert (response.status_code, response.history) == (200, [])


@that_can("resources")
def test_token_for_another_resource_is_refused_after_one_replay(server: Server) -> None:
    auth = ClientCredentialsAuth(*server.credentials, resources=[OTHER])
    response = requests.get(server.api, auth=auth)
    assert response.status_code == 401
    assert [answer.status_code for answer in response.history] == [401]


@that_can("resources")
def test_resource_that_the_server_cannot_use_is_invalid_target(server: Server) -> None:
    auth = ClientCredentialsAuth(*server.credentials, resources=["urn:example:api"])
    with pytest.raises(TokenError) as caught:
        requests.get(server.api, auth=auth)
    assert (caught.value.error, caught.value.status_code) == ("invalid_target", 400)


@that_can("several resources")
def test_token_for_several_resources_is_accepted(server: Server) -> None:
    auth = ClientCredentialsAuth(*server.credentials, resources=[server.api, OTHER])
    response = requests.get(server.api, auth=auth)
    assert (response.status_code, response.history) == (200, [])


@that_can("one resource a token")
def test_each_resource_has_a_token_of_its_own(server: Server) -> None:
    auth = ClientCredentialsAuth(*server.credentials, resources=[server.api, OTHER])
    with pytest.raises(TokenError) as caught:
        requests.get(server.api, auth=auth)
    assert (caught.value.error, caught.value.status_code) == ("invalid_target", 400)

    other = auth.replace(resources=[OTHER])
    here = auth.replace(resources=[server.api])
    assert server.introspect(other.get_token().access_token)["aud"] == OTHER
    assert requests.get(server.api, auth=here).status_code == 200
