"""Which tests belong to which module. Modules are listed in the order of their worth."""

from __future__ import annotations

_MANAGER = ("manager", "manager_states", "concurrency", "observability", "copies")
_ENDPOINT = ("token_endpoint", "token_response", "client_auth", "exceptions", "original", "tls")

#: For every module the test files, without ``test_``.
TESTS: dict[str, tuple[str, ...]] = {
    "manager": _MANAGER,
    "entries": _MANAGER,
    "flights": ("flights", *_MANAGER),
    "renewal": ("renewal", "manager"),
    "tokens": ("tokens", "values", "arguments", "token_response", "copies", "dpop", "stores"),
    "challenges": ("challenges", "replay", "auth"),
    "token_response": _ENDPOINT,
    "replay": ("replay", "auth", "origins", "sessions", "dpop"),
    "auth": (
        "auth",
        "arguments",
        "copies",
        "origins",
        "original",
        "stores",
        "observability",
        "dpop",
    ),
    "origins": ("origins", "arguments", "sessions", "auth"),
    "adapters": ("adapters", "token_response", "observability", "sessions", "copies"),
    "deadline": ("deadline", "token_response", "tls"),
    "transport": ("token_endpoint", "exceptions", "tls", "adapters", "sessions"),
    "exchange": (*_ENDPOINT, "redaction", "adapters", "dpop", "observability", "stores"),
    "token_endpoint": (*_ENDPOINT, "arguments", "copies", "forks", "stores", "observability"),
    "failures": (*_ENDPOINT, "observability"),
    "redaction": ("redaction", *_ENDPOINT, "observability", "dpop"),
    "client_auth": ("client_auth", "arguments", "copies", "tls", "token_endpoint"),
    "discovery": ("discovery", "environment"),
    "issuer_endpoint": ("discovery", "environment", "copies", "observability"),
    "environment": ("environment", "arguments"),
    "proofs": ("dpop", "replay", "copies"),
    "stores": ("stores", "arguments", "copies", "observability", "concurrency"),
    "stats": ("observability",),
    "events": ("observability", "manager", "exceptions"),
    "values": ("values", "tokens", "copies"),
    "forks": ("forks", "copies", "stores"),
    "bodies": ("flights", "replay", "adapters", "token_response", "token_endpoint"),
    "arguments": ("arguments", "client_auth", "exceptions", "tls"),
    "sessions": ("sessions", "origins", "arguments", "copies", "environment", "dpop"),
    "views": ("auth", "original", "observability", "discovery"),
}

#: Tests that take too long for what they add here.
SKIPPED = ("a_thousand_children",)
