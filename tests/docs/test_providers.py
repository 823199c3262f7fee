"""The table of providers in README.md: what it says to pass is accepted by the constructors."""

from __future__ import annotations

import os
import re
import uuid
from pathlib import Path

import pytest
import trustme

from clientcreds_requests import ClientAssertion, ClientCredentialsAuth
from clientcreds_requests.jwt import DPoPKey, PrivateKeyJWT

README = (Path(__file__).parent.parent.parent / "README.md").read_text(encoding="utf-8")
SECTION = README.partition("## Providers")[2].partition("\n## ")[0]
ROWS = [
    [cell.strip() for cell in row.split("|")[1:-1]] for row in re.findall(r"^\|.*", SECTION, re.M)
]


@pytest.fixture(scope="module")
def pem():
    authority = trustme.CA()
    certificate = authority.issue_cert("client.example.com", key_type=trustme.KeyType.RSA)
    return certificate.private_key_and_cert_chain_pem.bytes()


@pytest.mark.parametrize(("provider", "where", "arguments", "mind"), ROWS[2:], ids=lambda c: c[:25])
def test_what_is_to_be_passed_is_accepted(provider, where, arguments, mind, pem):
    url = re.search(r"https://[^`\"]*", where)
    assert url or where == "the same"
    make = ClientCredentialsAuth
    if url is None or "from_issuer" in where:
        make = ClientCredentialsAuth.from_issuer
    names = {
        "ClientAssertion": ClientAssertion,
        "DPoPKey": DPoPKey,
        "PrivateKeyJWT": PrivateKeyJWT,
        "Path": Path,
        "os": os,
        "uuid": uuid,
        "pem": pem,
    }
    options = eval(f"dict({arguments.strip('`')})", names)
    secret = "a-secret" if isinstance(options.get("client_auth", ""), str) else None
    auth = make(url[0] if url else "https://auth.example.com", "my-service", secret, **options)
    assert not auth.authorized


def test_the_table_was_found():
    assert len(ROWS) > 20
    assert ROWS[0] == ["provider", "token endpoint or issuer", "what to pass", "mind"]
