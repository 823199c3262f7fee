"""Every Python block of README.md runs, against a real server.

Those on coming from another library, which need that library, are run by test_migrations.py.
"""

from __future__ import annotations

import inspect
import os
import re
from pathlib import Path

import pytest
import redis
import requests
import trustme
from helpers import token_answer
from requests.adapters import HTTPAdapter

import clientcreds_requests
from clientcreds_requests.redis import RedisTokenStore
from clientcreds_requests.testing import Answer, LocalAuthorizationServer

README = (Path(__file__).parent.parent.parent / "README.md").read_text(encoding="utf-8")
MIGRATIONS = README.partition("## Coming from another library\n")[2].partition("\n## ")[0]
BLOCKS = re.findall(r"```python\n(.*?)```", README.replace(MIGRATIONS, ""), re.DOTALL)

# README speaks of the hosts a reader would have; here they all are the local server.
HOSTS = {
    "redis://cache.example.com": "redis://127.0.0.1:1",  # where nobody answers
    'from_issuer("https://auth.example.com"': 'from_issuer("{issuer}"',
    '"/run/secrets/client.': '"{secrets}/client.',
    "https://auth.example.com/token": "{token_endpoint}",
    "https://api.example.com/v1": "{api_url}",
    "https://api.example.com/data": "{api_url}/data",
    "https://orders.example.com/orders": "{api_url}/orders",
    '"https://api.example.com", "https://files': '"{api_origin}", "https://files',
}


def localised(block: str, server: LocalAuthorizationServer, secrets: Path) -> str:
    where = {
        "issuer": server.issuer,
        "secrets": secrets,
        "token_endpoint": server.token_endpoint,
        "api_url": server.api_url,
        "api_origin": server.api_url.removesuffix("/api"),
    }
    for host, here in HOSTS.items():
        block = block.replace(host, here.format(**where))
    return block


@pytest.fixture
def namespace(server, monkeypatch, tmp_path):
    """What a reader has at hand: the imports, and the names that the text speaks of."""
    monkeypatch.setenv("CLIENT_SECRET", server.client_secret)
    monkeypatch.setenv("STORE_KEY", "32 bytes at least, and at random")
    for prefix in ("CLIENTCREDS_", "BILLING_"):
        monkeypatch.setenv(f"{prefix}TOKEN_ENDPOINT", server.token_endpoint)
        monkeypatch.setenv(f"{prefix}CLIENT_ID", server.client_id)
        monkeypatch.setenv(f"{prefix}CLIENT_SECRET", server.client_secret)
    (tmp_path / "client_secret").write_text(f"{server.client_secret}\n")
    certificate = trustme.CA(key_type=trustme.KeyType.ECDSA).issue_cert("client.example.com")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "client.pem")
    for name in ("client.key", "client_key.pem"):
        certificate.private_key_pem.write_to_path(tmp_path / name)
    names = {name: getattr(clientcreds_requests, name) for name in clientcreds_requests.__all__}
    url, client_id, secret = server.token_endpoint, server.client_id, server.client_secret
    return {
        **names,
        "os": os,
        "redis": redis,
        "RedisTokenStore": RedisTokenStore,
        "requests": requests,
        "Path": lambda path: tmp_path / Path(path).name,
        "url": url,
        "client_id": client_id,
        "secret": secret,
        "sign": lambda _: "signed",
        "auth": clientcreds_requests.ClientCredentialsAuth(url, client_id, secret),
    }


@pytest.mark.parametrize(
    "block", BLOCKS, ids=lambda block: re.sub(r"\W+", " ", block.split("\n")[0])[:60]
)
def test_a_block_of_the_readme_runs(block, server, namespace, tmp_path, request):
    if "PrivateKeyJWT" in block or "dpop=" in block:  # which the local server does not know
        kind = "DPoP" if "dpop=" in block else "Bearer"
        server.answer_next(Answer(200, token_answer("t", token_type=kind)))
    exec(compile(localised(block, server, tmp_path), "README.md", "exec"), namespace)
    for test in [value for name, value in namespace.items() if name.startswith("test_")]:
        test(*map(request.getfixturevalue, inspect.signature(test).parameters))
    made = namespace.get("auth")
    if made is not None and made.endpoint.url == server.token_endpoint:
        assert made.authorize().authorized
    session = namespace.get("session")
    if session is not None and session.base_url and session.auth.endpoint.url == url_of(server):
        assert session.get("data").ok
        session.close()


def url_of(server: LocalAuthorizationServer) -> str:
    return server.token_endpoint


def test_the_readme_gives_exactly_two_commands():
    commands = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    assert len(commands) == 2
    assert all(command.count("\n") == 1 for command in commands)


def test_the_readme_names_every_public_name_of_the_error_family():
    for name in ("TokenError", "TokenConnectionError", "TokenTimeout", "InsecureTransportError"):
        assert f"`{name}`" in README


def test_blocks_were_found():
    assert len(BLOCKS) > 8
    assert isinstance(requests.Session().get_adapter("https://x"), HTTPAdapter)
