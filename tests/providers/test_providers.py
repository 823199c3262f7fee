"""Every provider's dialect, by its file: see README.md.

A double answers as the file says; a client is made with URL, id, secret and the file's arguments.
"""

from __future__ import annotations

import base64
import contextlib
import time
import uuid
from collections.abc import Generator
from pathlib import Path
from typing import Any, cast

import jwt
import pytest
import requests
import trustme
from command_line import Result

import clientcreds_requests
from clientcreds_requests import ClientCredentialsAuth, TokenError
from clientcreds_requests._cli.main import main
from clientcreds_requests.dpop import DPoPKey
from clientcreds_requests.identity import FileToken
from clientcreds_requests.jwt import PrivateKeyJWT

from .double import Credentials, Double
from .files import FILES, mistakes

CLIENT_ID = "my-service"
SECRET = "s:e cr+e/t%&=42"
OTHER = "n:o t+i/t%&=4242"

# Words of a message that lead away from the argument that is wrong.
ASTRAY = {
    "wrong_secret": ("scope", "audience", "resources", "URL", "dpop", "token_endpoint"),
    "wrong_scope": ("client_id", "client_secret", "client_auth", "URL", "dpop", "token_endpoint"),
}


def having(answer: str) -> list[str]:
    return [name for name, file in FILES.items() if answer in file]


@pytest.fixture(scope="module")
def pems() -> dict[str, bytes]:
    """For each secret a private key and its certificate, which stand for it."""
    kind, authority = trustme.KeyType.RSA, trustme.CA()
    return {
        secret: authority.issue_cert(
            "client.example.com", key_type=kind
        ).private_key_and_cert_chain_pem.bytes()
        for secret in (SECRET, OTHER)
    }


class Client:
    """A provider's file: its client, and its double."""

    def __init__(
        self,
        name: str,
        pems: dict[str, bytes],
        tmp_path: Path,
    ) -> None:
        self.file = FILES[name]
        self._pems = pems
        self._federation_token = tmp_path / "token"

    def arguments(self, secret: str = SECRET) -> dict[str, Any]:
        """Return the file's arguments, as they are with that secret."""
        names = {
            **{name: getattr(clientcreds_requests, name) for name in clientcreds_requests.__all__},
            **{"PrivateKeyJWT": PrivateKeyJWT, "DPoPKey": DPoPKey, "FileToken": FileToken},
            **{"uuid": uuid, "pem": self._pems[secret], "path": str(self._federation_token)},
            "SECRET": secret,
        }

        def evaluated(part: Any) -> Any:
            if isinstance(part, dict):
                members = cast("dict[str, Any]", part)
                return {name: evaluated(value) for name, value in members.items()}
            if isinstance(part, str) and part.startswith("$"):
                return eval(part[1:], names)
            return part

        return evaluated(self.file["arguments"])

    def auth(self, double: Double, secret: str = SECRET, **changes: Any) -> ClientCredentialsAuth:
        """Return the client, with that secret."""
        arguments = {**self.arguments(secret), **changes}
        self._federation_token.write_text(f"{federation_token(secret)}\n")
        method = arguments.get("client_auth", "client_secret_post")
        own_id = None if method == "none" else CLIENT_ID
        own_secret = secret if isinstance(method, str) and method != "none" else None
        return ClientCredentialsAuth(f"{double.url}/token", own_id, own_secret, **arguments)

    @contextlib.contextmanager
    def double(self, **options: Any) -> Generator[Double, None, None]:
        """Run the double; what no provider should see is an error."""
        arguments = self.arguments()
        method = arguments.get("client_auth", "client_secret_post")
        asked: dict[str, Any] = {"grant_type": "client_credentials"}
        if "resources" in arguments:
            asked["resource"] = list(arguments["resources"])
        for name in ("scope", "audience"):
            if name in arguments:
                asked[name] = arguments[name]
        asked.update(arguments.get("extra_params", {}))
        headers = {
            name: None if callable(value) else value
            for name, value in arguments.get("extra_headers", {}).items()
        }
        if "dpop" in arguments:
            headers["DPoP"] = None

        def is_client(credentials: Credentials) -> bool:
            if credentials.way is None or method == "none":  # it is in a parameter of its own
                return SECRET in credentials.params.values()
            if isinstance(method, str):
                way = {"client_secret_post": "client_secret", "client_secret_basic": "Basic"}
                known = (way[method], CLIENT_ID, SECRET)
                return (credentials.way, credentials.id, credentials.secret) == known
            if credentials.way != "client_assertion" or credentials.id != CLIENT_ID:
                return False
            if isinstance(method, PrivateKeyJWT):
                return is_signed(credentials.assertion, method.audience, self._pems[SECRET])
            return credentials.assertion == federation_token(SECRET)

        with Double(self.file, asked, headers, is_client, **options) as double:
            yield double
        assert double.faults == []

    def failure(self, double: Double, secret: str = SECRET, **changes: Any) -> TokenError:
        """Return the error of a token request."""
        with pytest.raises(TokenError) as caught:
            self.auth(double, secret, **changes).get_token()
        return caught.value


def federation_token(secret: str) -> str:
    """Return the token of a platform that stands for a secret."""
    segments: list[str] = ['{"alg":"RS256"}', secret, "signature"]
    coded = [base64.urlsafe_b64encode(segment.encode()).decode() for segment in segments]
    return ".".join(segment.rstrip("=") for segment in coded)


def is_signed(assertion: str | None, audience: str, pem: bytes) -> bool:
    """Whether an assertion is the client's, and signed with that key."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key: Any = load_pem_private_key(pem[: pem.index(b"-----BEGIN CERTIFICATE")], None).public_key()
    try:
        claims = jwt.decode(
            assertion or "",
            key,
            ["RS256", "PS256"],
            {"require": ["exp", "iat", "jti"]},
            audience=audience,
            issuer=CLIENT_ID,
        )
    except jwt.InvalidSignatureError:
        return False
    return bool(claims["sub"] == CLIENT_ID)


@pytest.fixture
def client(name: str, pems: dict[str, bytes], tmp_path: Path) -> Client:
    return Client(name, pems, tmp_path)


@pytest.mark.parametrize("name", FILES)
def test_file_is_as_the_readme_says(name: str) -> None:
    assert list(mistakes(FILES[name])) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sources": []}, "no source has an https address"),
        ({"sources": ["code search: x", "https://example.com/x"]}, "sources without an address"),
        ({"arguments": {"body": "form"}}, "not to be passed: ['body']"),
        ({"arguments": {"scopes": "a"}}, "not to be passed: ['scopes']"),
        ({"arguments": {"client_auth": "client_secret_basic"}}, "belong together"),
        ({"reads": "xml"}, "reads is none of"),
        ({"authenticates_first": "no"}, "authenticates_first is no boolean"),
        ({"note": "x"}, "unknown: ['note']"),
        ({"arguments": {"scope": "0dA9bC8eF7gH6iJ5kL4mN3oP"}}, "looks like a secret"),
        ({"not_read": {"body": {}}}, "not_read: status or body is missing"),
        ({"not_read": {"status": 400, "body": {}, "text": ""}}, "not_read: unknown: ['text']"),
        ({"throttled": {"status": 429, "body": {}}}, "throttled: expect must have"),
    ],
)
def test_mistake_in_a_file_is_found(change: dict[str, Any], said: str) -> None:
    found = list(mistakes({**FILES["spotify"], **change}))
    assert len(found) == 1
    assert said in found[0]


def test_file_without_an_answer_that_has_a_source_is_found() -> None:
    file = FILES["spotify"]
    generic = {name: {**file[name], "generic": True} for name in ("success", "wrong_secret")}
    assert list(mistakes({**file, **generic})) == ["no answer has a source"]
    assert list(mistakes({name: file[name] for name in file if name != "reads"})) == [
        "missing: ['reads']"
    ]


def test_there_are_at_least_forty_and_no_provider_is_there_twice() -> None:
    assert len(FILES) >= 40
    assert len({file["provider"] for file in FILES.values()}) == len(FILES)


@pytest.mark.parametrize("name", FILES)
def test_token_is_got_with_two_requests_at_most_and_then_with_one(
    client: Client, name: str
) -> None:
    answer = client.file["success"]
    with client.double() as double:
        auth = client.auth(double)
        before = time.time()
        token = auth.get_token()
        after = time.time()
        assert double.requests == (2 if client.file["reads"] == "form" else 1)
        assert token.authorization == f"{double.scheme} {double.tokens[-1]}"
        assert requests.get(f"{double.url}/api", auth=auth).status_code == 200
        lifetime = answer["expect"]["lifetime"]
        if lifetime is None:
            assert token.expires_at is None
        else:
            assert token.expires_at is not None
            # Where the endpoint says the moment, it says it in whole seconds.
            assert before + lifetime - 1 <= token.expires_at <= after + lifetime
        before_second = double.requests
        auth.signout()
        assert auth.get_token().access_token == double.tokens[-1] != token.access_token
        assert double.requests == before_second + 1


@pytest.mark.parametrize("name", FILES)
def test_wrong_secret_is_told_by_the_message_alone(client: Client, name: str) -> None:
    with client.double() as double:
        error = client.failure(double, OTHER)
        assert double.requests <= 2
    check(error, client.file, "wrong_secret")


@pytest.mark.parametrize("name", having("wrong_scope"))
def test_wrong_scope_is_told_by_the_message_alone(client: Client, name: str) -> None:
    with client.double() as double:
        error = client.failure(double, scope="bogus")
        assert double.requests <= 2
    check(error, client.file, "wrong_scope")


def check(error: TokenError, file: dict[str, Any], name: str) -> None:
    """Check that an error says what the provider has said, and the argument to look at."""
    answer = file[name]
    expected = answer["expect"]
    assert error.status_code == answer["status"]
    assert error.error == expected["error"]
    assert (expected["words"] or "") in (error.error_description or "")
    assert error.retryable is False
    message = str(error)
    assert "\n" not in message
    for said in (expected["error"], expected["words"], expected["argument"]):
        assert (said or "") in message
    ours = message.replace(error.error_description or message, "").replace(error.error or "", "")
    astray = set(ASTRAY[name])
    if str(file["arguments"].get("client_auth")).startswith("$"):
        astray.discard("audience")  # that of the assertion
    assert [word for word in astray if word in ours] == []


@pytest.mark.parametrize("name", having("throttled"))
def test_throttling_is_retryable_and_says_when(client: Client, name: str) -> None:
    expected = client.file["throttled"]["expect"]
    with client.double(throttles=True) as double:
        error = client.failure(double, retries=0)
    assert error.status_code == client.file["throttled"]["status"]
    assert error.retryable is expected["retryable"]
    if expected["retry_after"] is None:
        assert error.retry_after is None
    else:
        assert error.retry_after == pytest.approx(expected["retry_after"], abs=2)


def simple() -> list[str]:
    """The providers whose arguments a command line can have."""
    return [
        name
        for name, file in FILES.items()
        if not any("$" in str(value) for value in file["arguments"].values())
        and not file["arguments"].keys() & {"extra_headers", "dpop"}
    ]


@pytest.mark.parametrize("name", simple())
def test_check_prints_arguments_that_bring_a_token(
    client: Client, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = client.arguments()
    arguments.pop("client_auth", None)  # it finds that out
    options = [f"--{name}={arguments[name]}" for name in ("scope", "audience") if name in arguments]
    options += [f"--resource={uri}" for uri in arguments.get("resources", ())]
    options += [f"--param={n}={value}" for n, value in arguments.get("extra_params", {}).items()]
    monkeypatch.setenv("CLIENTCREDS_CLIENT_SECRET", SECRET)
    with client.double() as double:
        where = ["--token-endpoint", f"{double.url}/token", "--client-id", CLIENT_ID]
        status = main(["check", *where, *options])
        printed = capsys.readouterr()
        result = Result(status, printed.out, printed.err)
        assert status == 0, result
        issued = len(double.tokens)
        token = result.auth(monkeypatch, SECRET).get_token()
        assert double.tokens[issued:] == [token.access_token]
        # It also tries without the scope, which providers may or may not grant.
        double.faults = [fault for fault in double.faults if "'scope'" not in fault]
