"""Every block of .github/docs/NO-SECRET.md runs, against servers that compare each byte.

What is demanded of a request stands here as the provider's documentation has it.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from urllib.parse import quote_plus

import pytest
from helpers import token_answer
from platform_double import PlatformDouble, http_answer

GUIDE = Path(__file__).parent.parent.parent / ".github" / "docs" / "NO-SECRET.md"
TEXT = GUIDE.read_text(encoding="utf-8")
IMPORTS, *BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)

FILE = "eyJhbGciOiJSUzI1NiJ9.eyJmcm9tIjoiZmlsZSJ9.c2ln"
PLATFORM = "eyJhbGciOiJSUzI1NiJ9.eyJmcm9tIjoicGxhdGZvcm0ifQ.c2ln"
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
JWT_SPIFFE = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"
GRANT = "urn:ietf:params:oauth:grant-type:"
TYPE = "urn:ietf:params:oauth:token-type:"
ZEROS = "00000000-0000-0000-0000-000000000000"
PROVIDER = (
    "//iam.googleapis.com/projects/123/locations/global/workloadIdentityPools/ci/providers/github"
)
ISSUED = "the-issued-access-token"


def section(block):
    """The heading over a block."""
    return re.findall(r"^#+ (.*)$", TEXT[: TEXT.index(block)], re.MULTILINE)[-1]


def form(**params):
    return "form", {}, params


# What each section's token endpoint demands: path, body, header fields.
TOKEN_REQUESTS = {
    "Entra ID, from Kubernetes": (
        "/a-tenant/oauth2/v2.0/token",
        *form(
            grant_type="client_credentials",
            scope="https://graph.microsoft.com/.default",
            client_id="an-app",
            client_assertion_type=JWT_BEARER,
            client_assertion=FILE,
        ),
    ),
    "Entra ID, with a managed identity of Azure": (
        "/a-tenant/oauth2/v2.0/token",
        *form(
            grant_type="client_credentials",
            scope="https://graph.microsoft.com/.default",
            client_id=ZEROS,
            client_assertion_type=JWT_BEARER,
            client_assertion=PLATFORM,
        ),
    ),
    "Keycloak, from GitHub Actions": (
        "/realms/prod/protocol/openid-connect/token",
        *form(
            grant_type="client_credentials",
            client_id="deployment",
            client_assertion_type=JWT_BEARER,
            client_assertion=PLATFORM,
        ),
    ),
    "Keycloak, with SPIFFE": (
        "/realms/prod/protocol/openid-connect/token",
        *form(
            grant_type="client_credentials",
            client_id="billing",
            client_assertion_type=JWT_SPIFFE,
            client_assertion=FILE,
        ),
    ),
    "Anthropic": (
        "/v1/oauth/token",
        "json",
        {"anthropic-beta": "oauth-2025-04-20,oidc-federation-2026-04-01"},
        {
            "grant_type": f"{GRANT}jwt-bearer",
            "assertion": FILE,
            "federation_rule_id": "fdrl_...",
            "organization_id": ZEROS,
            "service_account_id": "svac_...",
        },
    ),
    "OpenAI": (
        "/oauth/token",
        "json",
        {},
        {
            "grant_type": f"{GRANT}token-exchange",
            "identity_provider_id": "idp_...",
            "service_account_id": "user-...",
            "subject_token": PLATFORM,
            "subject_token_type": f"{TYPE}jwt",
        },
    ),
    "Databricks": (
        "/oidc/v1/token",
        *form(
            grant_type=f"{GRANT}token-exchange",
            scope="all-apis",
            subject_token=FILE,
            subject_token_type=f"{TYPE}jwt",
            client_id=ZEROS,
        ),
    ),
    "Google Cloud": (
        "/v1/token",
        *form(
            grant_type=f"{GRANT}token-exchange",
            scope="https://www.googleapis.com/auth/cloud-platform",
            audience=PROVIDER,
            requested_token_type=f"{TYPE}access_token",
            subject_token=PLATFORM,
            subject_token_type=f"{TYPE}jwt",
        ),
    ),
    "Zoom": (
        "/oauth/token",
        "form",
        {"authorization": "Basic em9vbS1pZDp6b29tLXNlY3JldA=="},  # zoom-id:zoom-secret
        {"grant_type": "account_credentials", "account_id": "an-account"},
    ),
    "Two steps": (
        "/token",
        *form(
            grant_type=f"{GRANT}token-exchange",
            subject_token="the-first-access-token",
            subject_token_type=f"{TYPE}access_token",
            client_id="billing-at-partner",
        ),
    ),
}
# What the platform of a section is asked: the request line, and the header fields it demands.
PLATFORMS = {
    "Entra ID, with a managed identity of Azure": (
        "GET /msi/token?resource=api%3A%2F%2FAzureADTokenExchange&api-version=2019-08-01 HTTP/1.1",
        {"x-identity-header": "an-identity-header"},
    ),
    "Keycloak, from GitHub Actions": (
        "GET /idtoken?api-version=2.0&audience={realm} HTTP/1.1",
        {"authorization": "bearer a-request-token"},
    ),
    "OpenAI": (
        "GET /computeMetadata/v1/instance/service-accounts/default/identity"
        "?audience=https%3A%2F%2Fapi.openai.com%2Fv1&format=full HTTP/1.1",
        {"metadata-flavor": "Google"},
    ),
    "Google Cloud": (
        f"GET /idtoken?api-version=2.0&audience={quote_plus(f'https:{PROVIDER}')} HTTP/1.1",
        {"authorization": "bearer a-request-token"},
    ),
}
SENT_WITH_EVERY_REQUEST = {
    "accept": "application/json",
    "accept-encoding": "identity",
    "connection": "close",
    "user-agent": "clientcreds-requests",
}


@pytest.fixture
def platform(monkeypatch, tmp_path):
    """All platforms at once: each is asked as it wants to be, or gives nothing."""
    (tmp_path / "token").write_text(f"{FILE}\n")
    with PlatformDouble() as double:
        answer = {"value": PLATFORM, "access_token": PLATFORM}
        double.reply = lambda request: http_answer(
            PLATFORM if b"computeMetadata" in request else answer, Metadata_Flavor="Google"
        )
        settings = {
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{double.url}/idtoken?api-version=2.0",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "a-request-token",
            "AZURE_CLIENT_ID": "an-app",
            "AZURE_FEDERATED_TOKEN_FILE": str(tmp_path / "token"),
            "AZURE_TENANT_ID": "a-tenant",
            "DATABRICKS_OIDC_TOKEN": FILE,
            "GCE_METADATA_HOST": double.host,
            "IDENTITY_ENDPOINT": f"{double.url}/msi/token",
            "IDENTITY_HEADER": "an-identity-header",
            "ZOOM_ACCOUNT_ID": "an-account",
            "ZOOM_CLIENT_ID": "zoom-id",
            "ZOOM_CLIENT_SECRET": "zoom-secret",
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        yield double


def localised(block, url, tmp_path):
    """The block, with its token endpoints here, and its files in the folder of the test."""
    block = re.sub(r'(?<=")/(?:var/)?run/[^"]*', str(tmp_path / "token"), block)
    first, *rest = re.split(r"(?=\nauth = )", block)
    hosts = r"https://(?!graph\.|www\.|api\.openai)[a-z0-9.-]+(?=/)(?=[^\n]*(?:token|realms))"
    return re.sub(hosts, url, first) + "".join(re.sub(hosts, url, part) for part in rest)


@pytest.mark.parametrize("block", BLOCKS, ids=section)
def test_a_block_of_the_guide_sends_what_the_provider_demands(block, platform, tmp_path):
    heading = section(block)
    path, body, fields, params = TOKEN_REQUESTS[heading]
    issued = iter(["the-first-access-token", ISSUED] if heading == "Two steps" else [ISSUED])
    with PlatformDouble(lambda _: http_answer(token_answer(next(issued)))) as issuer:
        names = {"os": os}
        exec(compile(IMPORTS, GUIDE.name, "exec"), names)
        exec(compile(localised(block, issuer.url, tmp_path), GUIDE.name, "exec"), names)
        assert issuer.requests == []
        token = names["auth"].get_token()
        assert token.access_token == ISSUED
        assert names["auth"].get_token() is token

    if heading == "Two steps":
        assert issuer.body(0) == encoded(
            "form",
            {
                "grant_type": "client_credentials",
                "client_id": "billing",
                "client_assertion_type": JWT_BEARER,
                "client_assertion": FILE,
            },
        )
    assert issuer.lines[-1][0] == f"POST {path} HTTP/1.1"
    sent = encoded(body, params)
    assert issuer.body() == sent
    media = {"form": "application/x-www-form-urlencoded", "json": "application/json"}[body]
    assert issuer.fields() == {
        **SENT_WITH_EVERY_REQUEST,
        **fields,
        "host": issuer.host,
        "content-type": media,
        "content-length": str(len(sent)),
    }

    if heading not in PLATFORMS:
        assert platform.requests == []
        return
    line, fields = PLATFORMS[heading]
    realm = quote_plus(f"{issuer.url}/realms/prod")
    assert [lines[0] for lines in platform.lines] == [line.format(realm=realm)]
    assert platform.fields() == {**SENT_WITH_EVERY_REQUEST, **fields, "host": platform.host}


def encoded(body, params):
    if body == "json":
        return json.dumps(params)
    return "&".join(f"{name}={quote_plus(value)}" for name, value in params.items())


def test_every_section_is_there_and_names_its_source():
    assert [section(block) for block in BLOCKS] == list(TOKEN_REQUESTS)
    for block in BLOCKS:
        after = TEXT[TEXT.index(block) + len(block) :].removeprefix("```\n\n")
        assert after.startswith("Source: [")
        assert "](https://" in after.partition("\n\n")[0]


def test_the_table_names_every_source():
    from clientcreds_requests import identity

    kinds = identity.IdentityToken.__subclasses__()
    sources = {kind.__name__ for kind in kinds if kind.__module__ == identity.__name__}
    assert sources == set(re.findall(r"^\| `(\w+)\(", TEXT, re.MULTILINE))
