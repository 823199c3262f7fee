"""What people do with the package, done in the page; each function reports what happened."""

from __future__ import annotations

import linecache
import os
import time
import warnings
from typing import Any

import requests

from clientcreds_requests import ClientCredentialsAuth, ClientCredentialsSession, TokenError

from .clocks import time_machine

kept: dict[str, Any] = {}
"""From one call of the test to the next."""


def seen_on(auth: ClientCredentialsAuth) -> dict[str, Any]:
    """Return the attributes of the JavaScript original."""
    names = ("authorized", "access_token", "headers", "expires", "user_info")
    errors = ("error", "error_description", "error_uri")
    return {name: getattr(auth, name) for name in (*names, *errors)}


def failure_of(error: Exception) -> dict[str, Any]:
    """Return what an exception says."""
    names = ("error", "error_description", "error_uri", "status_code", "retryable", "retry_after")
    return {
        "kinds": [kind.__name__ for kind in type(error).__mro__],
        "text": str(error),
        **{name: getattr(error, name, None) for name in names},
    }


def outcome_of(response: requests.Response) -> dict[str, Any]:
    return {
        "status": response.status_code,
        "before": [earlier.status_code for earlier in response.history],
        "body": response.json() if response.content else None,
    }


def whole_object(client: list[str]) -> dict[str, Any]:
    """Use each method and attribute of the JavaScript original."""
    url, client_id, secret = client
    during: list[bool] = []

    def secret_when_asked() -> str:
        future = auth.authorizing
        during.append(future is not None and not future.done())
        return secret

    auth = ClientCredentialsAuth(url, client_id, secret_when_asked, scope="api:read")
    report: dict[str, Any] = {"new": seen_on(auth)}
    report["initialized"] = [
        auth.initialize().result() is auth,
        auth.initialized is auth.initialize(),
    ]
    report["authorize"] = [auth.authorize() is auth, auth.authorize() is auth]
    report["authorizing"] = {"during": during, "after": auth.authorizing}
    report["now"] = int(time.time() * 1000)
    report["authorized"] = seen_on(auth)
    try:
        auth.get_user_info()
    except NotImplementedError as error:
        report["get_user_info"] = str(error)
    auth.signout()
    report["signed out"] = seen_on(auth)
    return report


def error_fields(client: list[str]) -> dict[str, Any]:
    """Be told an error, then get a token."""
    auth = ClientCredentialsAuth(*client, body="json")
    try:
        auth.authorize()
    except TokenError as error:
        report = {"raised": failure_of(error), "failed": seen_on(auth)}
    return {**report, "then": seen_on(auth.authorize())}


def call(url: str, client: list[str], options: dict[str, Any]) -> dict[str, Any]:
    """Call an API once; what comes of it, or the error."""
    try:
        return outcome_of(requests.get(url, auth=ClientCredentialsAuth(*client, **options)))
    except requests.RequestException as error:
        return failure_of(error)


def call_and_keep(url: str, client: list[str]) -> dict[str, Any]:
    """Call an API with the same auth as in the call before."""
    if kept.get("client") != client:
        kept.update(client=client, auth=ClientCredentialsAuth(*client))
    return outcome_of(requests.post(url, data=b"body", auth=kept["auth"]))


def warned_at(url: str) -> list[list[str]]:
    """Return what each way to make an auth warns of, and the line that it points at."""
    variables = {"TOKEN_ENDPOINT": url, "CLIENT_ID": "id", "CLIENT_SECRET": "secret"}
    os.environ.update({f"CLIENTCREDS_{name}": value for name, value in variables.items()})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ClientCredentialsAuth(url, "id", "secret")
        ClientCredentialsAuth.from_issuer(url, "id", "secret")
        ClientCredentialsAuth.from_env()
        ClientCredentialsSession(url, "id", "secret")
        ClientCredentialsSession.from_issuer(url, "id", "secret")
        ClientCredentialsSession.from_env()
    return [
        [str(w.message), w.category.__name__, linecache.getline(w.filename, w.lineno).strip()]
        for w in caught
    ]


def life_of_a_token(client: list[str], lifetime: float) -> dict[str, Any]:
    """Ask for the token when it is new, when it is due, when less than the leeway is left."""
    auth = ClientCredentialsAuth(*client, leeway=20, renew_ahead=lifetime / 2)
    with time_machine() as let_pass:
        new = auth.get_token().access_token
        let_pass(lifetime * 0.75)
        due = auth.get_token().access_token
        let_pass(lifetime * 0.25 - 10)
        return {"new": new, "due": due, "later": auth.get_token().access_token}


def session_with_base_url(
    client: list[str], base_url: str, elsewhere: str, proxies: dict[str, str]
) -> list[dict[str, Any]]:
    """Call an API by relative URLs, then another origin."""
    with ClientCredentialsSession(*client, base_url=base_url) as session:
        session.proxies.update(proxies)
        answers = [session.get("things"), session.put("things/1", json={"a": 1})]
        return [outcome_of(answer) for answer in [*answers, session.get(elsewhere)]]


def token(client: list[str], options: dict[str, Any]) -> dict[str, Any]:
    """Ask for a token; how long that took, and its outcome."""
    began = time.monotonic()
    try:
        report = {"token": ClientCredentialsAuth(*client, **options).get_token().access_token}
    except TokenError as error:
        report = failure_of(error)
    return {**report, "seconds": time.monotonic() - began}


def shared_token(client: list[str]) -> dict[str, Any]:
    """Ask for a token of the one auth that all calls for this client share."""
    if kept.get("shared with") != client:
        kept.update({"shared with": client, "shared": ClientCredentialsAuth(*client)})
    try:
        return {"token": kept["shared"].get_token().access_token}
    except TokenError as error:
        return failure_of(error)


def token_by_issuer(issuer: str, client_id: str, secret: str) -> str:
    return ClientCredentialsAuth.from_issuer(issuer, client_id, secret).get_token().access_token


def token_without_verification(client: list[str]) -> dict[str, Any]:
    """Ask for a token by a session that is told to trust any certificate."""
    with ClientCredentialsSession(*client, retries=0) as session:
        session.verify = False
        try:
            return {"token": session.auth.get_token().access_token}
        except TokenError as error:
            return failure_of(error)
