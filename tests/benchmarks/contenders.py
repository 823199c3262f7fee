"""Who is compared: ours, a fixed header, and what one would pick instead, behind one interface.

Each peer is used as its documentation says is best for a service with many threads: one object for
all of them, the client secret in the body where it can be, and renewal as early as it can be told.
"""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import cached_property
from types import SimpleNamespace
from typing import Any, ClassVar, NamedTuple, TypeVar

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

CONNECTIONS = 512


class Where(NamedTuple):
    """The token endpoint, and who asks there."""

    token_endpoint: str
    client_id: str
    client_secret: str
    fixed_token: str


@dataclass(frozen=True)
class Renewal:
    """When a token is given up. None: as the contender does by default.

    :param window: seconds before expiry from which a new token is wanted.
    :param leeway: seconds before expiry from which a contender that renews ahead does not use the
        token any more; the others know the window alone.
    """

    window: float | None = None
    leeway: float | None = None

    def options(self, window: str, leeway: str = "") -> dict[str, Any]:
        """The keyword arguments, under the names that the contender has for them."""
        named = {window: self.window, leeway: self.leeway}
        return {name: value for name, value in named.items() if name and value is not None}


class Contender:
    """One way to call an API with a token.

    :param where: the token endpoint.
    :param renewal: when a token is given up.
    :param scope: what is asked for; objects with different scopes share no token.
    """

    name: ClassVar[str]
    #: What is installed; None: nothing.
    distribution: ClassVar[str | None] = None
    #: What a program imports.
    imports: ClassVar[str] = "pass"
    #: What the attach benchmark calls for each request.
    call: ClassVar[str] = "auth(request)"
    #: Seconds before expiry from which it wants a new token, if it cannot be told.
    own_window: ClassVar[float | None] = None

    def __init__(
        self, where: Where, renewal: Renewal = Renewal(), scope: str = "benchmark"
    ) -> None:
        raise NotImplementedError

    #: Does to a prepared request what the contender does to each: see :attr:`call`.
    attach: Callable[[requests.PreparedRequest], Any]
    #: What a program keeps: the auth, or the session that is one.
    kept: Any

    def ready(self) -> None:
        """Get the first token."""
        self.attach(requests.Request("GET", "http://127.0.0.1/").prepare())

    def get(self, url: str) -> requests.Response:
        """Call the API."""
        raise NotImplementedError

    @classmethod
    def installed(cls) -> bool:
        """Can it be measured here?"""
        modules = [line.split()[1] for line in cls.imports.split("; ") if line != "pass"]
        try:
            return all(importlib.util.find_spec(module) for module in modules)
        except ModuleNotFoundError:
            return False


S = TypeVar("S", bound=requests.Session)


def pooled(session: S) -> S:
    """Let the session keep a connection for every thread."""
    session.mount("http://", HTTPAdapter(pool_maxsize=CONNECTIONS))
    return session


class ByAuth(Contender):
    """An auth object; all threads share it, and one plain session."""

    auth: AuthBase

    @cached_property
    def session(self) -> requests.Session:
        return pooled(requests.Session())

    @property
    def attach(self) -> AuthBase:  # type: ignore[override]
        return self.auth

    @property
    def kept(self) -> AuthBase:  # type: ignore[override]
        return self.auth

    def get(self, url: str) -> requests.Response:
        return self.session.get(url, auth=self.auth)


class HeaderAuth(AuthBase):
    """A header that never changes."""

    def __init__(self, value: str) -> None:
        self.value = value

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        r.headers["Authorization"] = self.value
        return r


class FixedHeader(ByAuth):
    """The physical limit: three lines, and a token that somebody else has got."""

    name = "fixed header"
    own_window = 0.0

    def __init__(
        self, where: Where, renewal: Renewal = Renewal(), scope: str = "benchmark"
    ) -> None:
        self.auth = HeaderAuth(f"Bearer {where.fixed_token}")


class Ours(ByAuth):
    name = "clientcreds-requests"
    distribution = "clientcreds-requests"
    imports = "import clientcreds_requests"

    def __init__(
        self, where: Where, renewal: Renewal = Renewal(), scope: str = "benchmark"
    ) -> None:
        from clientcreds_requests import ClientCredentialsAuth

        url, client_id, secret, _ = where
        options = renewal.options("renew_ahead", "leeway")
        self.auth = ClientCredentialsAuth(url, client_id, secret, scope=scope, **options)


class RequestsOAuthlib(Contender):
    """Its documentation: fetch the token first, and again upon ``TokenExpiredError``."""

    name = "requests-oauthlib"
    distribution = "requests-oauthlib"
    imports = "import requests_oauthlib; import oauthlib.oauth2"
    call = "client.add_token(url, method, body, headers)"
    own_window = 0.0

    def __init__(
        self, where: Where, renewal: Renewal = Renewal(), scope: str = "benchmark"
    ) -> None:
        from oauthlib.oauth2 import BackendApplicationClient, TokenExpiredError
        from requests_oauthlib import OAuth2Session

        os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"  # it knows no loopback
        self._where = where
        self._client = BackendApplicationClient(where.client_id, scope=scope)
        self._expired = TokenExpiredError
        self.kept = self._session = pooled(OAuth2Session(client=self._client, scope=scope))

    def ready(self) -> None:
        self._session.fetch_token(
            self._where.token_endpoint,
            client_secret=self._where.client_secret,
            include_client_id=True,
        )

    def attach(self, r: requests.PreparedRequest) -> None:
        r.url, r.headers, r.body = self._client.add_token(r.url, r.method, r.body, r.headers)

    def get(self, url: str) -> requests.Response:
        if not self._session.token:
            self.ready()
        try:
            return self._session.get(url)
        except self._expired:
            self.ready()
            return self._session.get(url)


class RequestsOAuth2Client(ByAuth):
    name = "requests_oauth2client"
    distribution = "requests_oauth2client"
    imports = "import requests_oauth2client"

    def __init__(
        self, where: Where, renewal: Renewal = Renewal(), scope: str = "benchmark"
    ) -> None:
        from requests_oauth2client import OAuth2Client, OAuth2ClientCredentialsAuth

        url, client_id, secret, _ = where
        client = OAuth2Client(url, client_id=client_id, client_secret=secret, testing=True)
        self.auth = OAuth2ClientCredentialsAuth(client, scope=scope, **renewal.options("leeway"))


class Authlib(Contender):
    name = "Authlib"
    distribution = "Authlib"
    imports = "import authlib.integrations.requests_client"
    call = "session.token_auth(request)"

    def __init__(
        self, where: Where, renewal: Renewal = Renewal(), scope: str = "benchmark"
    ) -> None:
        from authlib.integrations.requests_client import OAuth2Session

        url, client_id, secret, _ = where
        self.kept = self._session = pooled(
            OAuth2Session(
                client_id,
                secret,
                token_endpoint_auth_method="client_secret_post",
                token_endpoint=url,
                grant_type="client_credentials",
                scope=scope,
                **renewal.options("leeway"),
            )
        )
        self.attach = self._session.token_auth

    def ready(self) -> None:
        self._session.fetch_token()

    def get(self, url: str) -> requests.Response:
        if not self._session.token:
            self.ready()
        return self._session.get(url)


class RequestsAuth(ByAuth):
    name = "requests_auth"
    distribution = "requests_auth"
    imports = "import requests_auth"

    def __init__(
        self, where: Where, renewal: Renewal = Renewal(), scope: str = "benchmark"
    ) -> None:
        from requests_auth import OAuth2ClientCredentials

        url, client_id, secret, _ = where
        options = renewal.options("early_expiry")
        self.auth = OAuth2ClientCredentials(url, client_id, secret, scope=scope, **options)


class GoogleAuth(Contender):
    """It has no such grant; its base class takes a method that gets a token, written here."""

    name = "google-auth"
    distribution = "google-auth"
    imports = "import google.auth.transport.requests; import google.auth.credentials"
    call = "credentials.before_request(...)"
    own_window = 225.0

    def __init__(
        self, where: Where, renewal: Renewal = Renewal(), scope: str = "benchmark"
    ) -> None:
        from google.auth.credentials import Credentials
        from google.auth.transport.requests import AuthorizedSession, Request

        class ClientCredentials(Credentials):
            def refresh(self, request: Any) -> None:
                content = {
                    "grant_type": "client_credentials",
                    "client_id": where.client_id,
                    "client_secret": where.client_secret,
                    "scope": scope,
                }
                answer = request(
                    where.token_endpoint,
                    method="POST",
                    body=json.dumps(content).encode(),
                    headers={"Content-Type": "application/json"},
                )
                members = json.loads(answer.data)
                now = datetime.now(timezone.utc).replace(tzinfo=None)
                self.token = members["access_token"]
                self.expiry = now + timedelta(seconds=members["expires_in"])

        self._credentials = ClientCredentials()
        if renewal.window is not None:
            self._credentials.with_non_blocking_refresh()
        transport = Request(pooled(requests.Session()))
        self.kept = self._session = pooled(
            AuthorizedSession(self._credentials, auth_request=transport)
        )
        self._transport = transport

    def attach(self, r: requests.PreparedRequest) -> None:
        self._credentials.before_request(self._transport, r.method, r.url, r.headers)

    def get(self, url: str) -> requests.Response:
        return self._session.get(url)


class MSALHTTP:
    """What MSAL takes as ``http_client``: leads what is for Microsoft to the local endpoint."""

    def __init__(self, where: Where) -> None:
        self._where = where
        self._session = pooled(requests.Session())
        self._session.mount("http://", HTTPAdapter(pool_maxsize=CONNECTIONS, max_retries=1))

    def get(self, url: str, **_options: Any) -> Any:
        metadata = {
            "issuer": MSAL.authority,
            "authorization_endpoint": f"{MSAL.authority}/oauth2/v2.0/authorize",
            "token_endpoint": f"{MSAL.authority}/oauth2/v2.0/token",
        }
        return SimpleNamespace(status_code=200, text=json.dumps(metadata), headers={})

    def post(self, url: str, **options: Any) -> requests.Response:
        return self._session.post(self._where.token_endpoint, **options)

    def close(self) -> None:
        self._session.close()


class MSALAuth(AuthBase):
    """What a program writes around MSAL, which gets tokens and leaves the rest to others."""

    def __init__(self, application: Any, scope: str) -> None:
        self._application, self._scopes = application, [scope]

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        result = self._application.acquire_token_for_client(self._scopes)
        r.headers["Authorization"] = f"Bearer {result['access_token']}"
        return r


class MSAL(ByAuth):
    name = "msal"
    distribution = "msal"
    imports = "import msal"
    own_window = 300.0
    authority = "https://login.microsoftonline.com/common"

    def __init__(
        self, where: Where, renewal: Renewal = Renewal(), scope: str = "benchmark"
    ) -> None:
        import msal

        application = msal.ConfidentialClientApplication(
            where.client_id,
            where.client_secret,
            authority=self.authority,
            instance_discovery=False,
            http_client=MSALHTTP(where),
        )
        self.auth = MSALAuth(application, scope)


ALL: tuple[type[Contender], ...] = (
    FixedHeader,
    Ours,
    Authlib,
    RequestsOAuthlib,
    RequestsOAuth2Client,
    RequestsAuth,
    GoogleAuth,
    MSAL,
)
BY_NAME = {contender.name: contender for contender in ALL}
