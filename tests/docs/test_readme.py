"""Every Python block of README.md and of the guides runs as it is pasted, on a real server."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from types import ModuleType

import prometheus_client
import pytest
import requests
import trustme
from helpers import token_answer
from pages import PAGES, README, ROOT, blocks, text_of
from requests.adapters import HTTPAdapter

from clientcreds_requests import ClientCredentialsAuth, ClientCredentialsSession
from clientcreds_requests.testing import Answer, LocalAuthorizationServer

# Their blocks need other packages: test_migrations.py, tests/ecosystem and tests/identity run them.
ELSEWHERE = {"MIGRATING.md", "COMBINING.md", "NO-SECRET.md", "REFERENCE.md"}
BLOCKS = [
    pytest.param(page, block, id=f"{page.stem}-{number}-{block.splitlines()[-1][:30]}")
    for page in PAGES
    if page.name not in ELSEWHERE
    for number, block in enumerate(blocks(text_of(page)))
]

# The pages speak of the hosts a reader would have; here they all are the local server.
HOSTS = {
    "redis://cache.example.com": "redis://127.0.0.1:1",  # where nobody answers
    'from_issuer("https://auth.example.com"': 'from_issuer("{issuer}"',
    '\n    "https://auth.example.com", "my-service"': '\n    "{issuer}", "my-service"',
    "https://HOST/realms/REALM": "{issuer}",
    "/run/secrets/": "{secrets}/",
    "https://auth.example.com/token": "{token_endpoint}",
    "https://api.example.com/v1": "{api_url}",
    "https://orders.example.com/orders": "{api_url}/orders",
    '"https://api.example.com", "https://files': '"{api_origin}", "https://files',
}

# What the local server does not authenticate: it is told to answer with a token.
NOT_KNOWN = ("PrivateKeyJWT", "TLSClientAuth", "ClientAssertion", "api_key", "dpop=")


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
def surroundings(server, monkeypatch, tmp_path):
    """What a reader has: the variables and the files that the blocks read."""
    monkeypatch.setenv("CLIENT_SECRET", server.client_secret)
    monkeypatch.setenv("STORE_KEY", "32 bytes at least, and at random")
    for prefix in ("CLIENTCREDS_", "BILLING_"):
        monkeypatch.setenv(f"{prefix}TOKEN_ENDPOINT", server.token_endpoint)
        monkeypatch.setenv(f"{prefix}CLIENT_ID", server.client_id)
        monkeypatch.setenv(f"{prefix}CLIENT_SECRET", server.client_secret)
    monkeypatch.setattr(prometheus_client, "REGISTRY", prometheus_client.CollectorRegistry())
    (tmp_path / "client_secret").write_text(f"{server.client_secret}\n")
    (tmp_path / "assertion").write_text("header.claims.signature\n")
    certificate = trustme.CA(key_type=trustme.KeyType.ECDSA).issue_cert("client.example.com")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "client.pem")
    for name in ("client.key", "client_key.pem"):
        certificate.private_key_pem.write_to_path(tmp_path / name)
    return tmp_path


@pytest.mark.parametrize(("page", "block"), BLOCKS)
def test_a_block_runs_as_it_is_pasted(page, block, server, surroundings, monkeypatch, request):
    code = localised(block, server, surroundings)
    if any(method in block for method in NOT_KNOWN) and "*client" not in block:
        kind = "DPoP" if "dpop=" in block else "Bearer"
        server.answer_next(Answer(200, token_answer(server.issue().access_token, token_type=kind)))
    pasted = ModuleType("pasted")  # pickles find its functions by this name
    monkeypatch.setitem(sys.modules, pasted.__name__, pasted)
    exec(compile(code, str(page.relative_to(ROOT)), "exec"), vars(pasted))
    for name, value in list(vars(pasted).items()):
        if name.startswith("test_"):
            value(*map(request.getfixturevalue, inspect.signature(value).parameters))
        elif isinstance(value, ClientCredentialsAuth) and is_local(value, server):
            assert value.authorize().authorized
        elif isinstance(value, ClientCredentialsSession) and is_local(value.auth, server):
            assert value.get("data").ok
            value.close()


def is_local(auth: ClientCredentialsAuth, server: LocalAuthorizationServer) -> bool:
    return auth.endpoint.url.startswith(server.url)


def test_blocks_were_found():
    assert len(BLOCKS) > 25
    assert isinstance(requests.Session().get_adapter("https://x"), HTTPAdapter)
    assert {param.values[0].name for param in BLOCKS} >= {
        "README.md",
        "PROVIDERS.md",
        "OPERATIONS.md",
        "TESTING.md",
    }


def test_the_readme_gives_exactly_two_commands():
    commands = re.findall(r"```console\n(.*?)```", text_of(README), re.DOTALL)
    assert len(commands) == 2
    assert all(command.count("\n") == 1 for command in commands)


def test_the_readme_names_every_public_name_of_the_error_family():
    for name in ("TokenError", "TokenConnectionError", "TokenTimeout", "InsecureTransportError"):
        assert f"`{name}`" in text_of(README)


def test_the_readme_is_read_in_three_minutes():
    assert len(text_of(README).splitlines()) <= 180
    assert len(text_of(README).split()) <= 1400


def test_the_first_thing_to_do_is_to_install_it():
    first, second = blocks(text_of(README))[:2]
    assert text_of(README).index("pip install") < text_of(README).index(first)
    assert all("import" in block.partition("\n")[0] for block in (first, second))
