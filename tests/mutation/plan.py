"""Which tests belong to which module. Modules are listed in the order of their worth."""

from __future__ import annotations

_MANAGER = (
    "manager",
    "manager_callers",
    "manager_states",
    "entries",
    "interrupts",
    "concurrency",
    "observability",
)
_ENDPOINT = ("token_endpoint", "responses", "client_auth", "exceptions", "original", "tls")

#: For every module, by its path in the package, the test files without ``test_``.
TESTS: dict[str, tuple[str, ...]] = {
    "manager": (*_MANAGER, "copies"),
    "_state": ("state", *_MANAGER),
    "tokens": (
        *("tokens", "arguments", "responses", "copies", "dpop", "stores", "stats", "federated"),
    ),
    "_responses": ("dialects", "tokens", *_ENDPOINT),
    "_dialects": ("dialects", "responses", "token_endpoint", "adapters", "federated"),
    "_replay": ("replay", "challenges", "auth", "origins", "sessions", "dpop"),
    "auth": (
        *("auth", "arguments", "copies", "origins", "original", "stores", "observability", "dpop"),
    ),
    "_urls": ("origins", "arguments", "sessions", "auth"),
    "adapters": ("adapters", "responses", "observability", "sessions", "copies"),
    "_transport": ("transport", "responses", "token_endpoint", "exceptions", "tls", "adapters"),
    "token_endpoint": (
        *(*_ENDPOINT, "dialects", "federated", "dpop"),
        *("arguments", "copies", "forks", "stores", "observability"),
    ),
    "_redaction": ("redaction", *_ENDPOINT, "observability", "dpop"),
    "client_auth": (
        *("client_auth", "dialects", "federated", "arguments", "copies", "tls", "token_endpoint"),
    ),
    "discovery": ("discovery", "environment", "copies", "observability"),
    "_env": ("environment", "discovery", "arguments"),
    "stores": ("stores", "arguments", "copies", "observability", "concurrency"),
    "_logs": ("observability", "manager", "exceptions"),
    "_fork": ("forks", "copies", "stores"),
    "_checks": ("arguments", "dialects", "private", "client_auth", "exceptions", "tls"),
    "sessions": ("sessions", "origins", "arguments", "copies", "environment", "dpop"),
    "identity/__init__": ("identity", "federated"),
    "identity/_asking": ("identity", "federated"),
    "testing/recorders": ("recorders",),
}

#: Tests that take too long for what they add here.
SKIPPED = ("a_thousand_children",)
