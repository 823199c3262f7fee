"""The table of providers in PROVIDERS.md: what a row says is what the provider's file says.

The files, in tests/providers, are run against doubles of the providers.
"""

from __future__ import annotations

import ast
import json
import re
import uuid

import pytest
import trustme
from pages import GUIDES, ROOT, section

from clientcreds_requests import ClientCredentialsAuth, FederatedAssertion
from clientcreds_requests.identity import FileToken
from clientcreds_requests.jwt import DPoPKey, PrivateKeyJWT

SECTION = section(GUIDES / "PROVIDERS.md", "## Providers")
ROWS = [
    [cell.strip() for cell in row.split("|")[1:-1]] for row in re.findall(r"^\|.*", SECTION, re.M)
]
FILES = {
    file["provider"]: file
    for file in (
        json.loads(path.read_text(encoding="utf-8"))
        for path in (ROOT / "tests/providers").glob("*.json")
    )
}


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
        "FederatedAssertion": FederatedAssertion,
        "FileToken": FileToken,
        "DPoPKey": DPoPKey,
        "PrivateKeyJWT": PrivateKeyJWT,
        "uuid": uuid,
        "pem": pem,
        "path": "/var/run/secrets/token",
    }
    options = eval(f"dict({arguments.strip('`')})", names)
    secret = "a-secret" if isinstance(options.get("client_auth", ""), str) else None
    auth = make(url[0] if url else "https://auth.example.com", "my-service", secret, **options)
    assert not auth.authorized


@pytest.mark.parametrize("row", range(2, len(ROWS)), ids=lambda row: ROWS[row][0])
def test_row_says_what_the_providers_file_says(row):
    provider, where, arguments, _ = ROWS[row]
    file = FILES[provider]
    while where == "the same":
        row -= 1
        where = ROWS[row][1]
    key = "issuer" if "from_issuer" in where else "endpoint"
    assert re.search(r"https://[^`\"]*", where)[0] == file[key]
    call = ast.parse(f"dict({arguments.strip('`')})", mode="eval").body
    row_passes = {argument.arg: plain(argument.value) for argument in call.keywords}
    assert row_passes == normal(file["arguments"])


def plain(node: ast.expr):
    """Return the value of an expression; its text, after a $, if it is more than a literal."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Dict):
        return {key.value: plain(value) for key, value in zip(node.keys, node.values, strict=True)}
    if isinstance(node, ast.List):
        return [plain(item) for item in node.elts]
    return f"${ast.unparse(node)}"


def normal(value):
    """Return what a file passes, its expressions spelled as `plain` does."""
    if isinstance(value, dict):
        return {name: normal(part) for name, part in value.items()}
    if isinstance(value, str) and value.startswith("$"):
        return plain(ast.parse(value[1:], mode="eval").body)
    return value


def test_the_table_was_found():
    assert len(ROWS) > 20
    assert ROWS[0] == ["provider", "token endpoint or issuer", "what to pass", "mind"]
