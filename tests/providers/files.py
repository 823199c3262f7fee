"""The providers' files: read, and checked against what README.md says of them."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clientcreds_requests import ClientCredentialsAuth

HERE = Path(__file__).parent
FILES: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(HERE.glob("*.json"))
}

_ANSWERS = ("not_read", "success", "wrong_secret", "wrong_scope", "throttled")
_REQUIRED = {
    "provider",
    "sources",
    "arguments",
    "reads",
    "authenticates_first",
    "success",
    "wrong_secret",
}
_OPTIONAL = {"endpoint", "issuer", "because", "not_read", "wrong_scope", "throttled"}
_REFUSAL = {"error", "words", "argument"}
_EXPECTED = {
    "not_read": set[str](),
    "success": {"lifetime"},
    "wrong_secret": _REFUSAL,
    "wrong_scope": _REFUSAL,
    "throttled": {"retryable", "retry_after"},
}
_ARGUMENTS = inspect.signature(ClientCredentialsAuth).parameters.keys()
# A run that nobody writes by hand: of mixed letters and digits, longer than an identifier.
_SECRET_LIKE = re.compile(r"\b(?=\w*[0-9])(?=\w*[a-z])(?=\w*[A-Z])[\w-]{24,}")


def mistakes(file: dict[str, Any]) -> Iterator[str]:
    """What in a file is not as README.md says."""
    if missing := _REQUIRED - file.keys():
        yield f"missing: {sorted(missing)}"
        return
    if unknown := file.keys() - _REQUIRED - _OPTIONAL:
        yield f"unknown: {sorted(unknown)}"
    if not any(re.match(r"https://[^ ]+\.[^ ]+/", source) for source in file["sources"]):
        yield "no source has an https address"
    if others := [source for source in file["sources"] if not source.startswith("https://")]:
        yield f"sources without an address: {others}"
    if file["reads"] not in ("form", "json", "both"):
        yield "reads is none of form, json, both"
    if not isinstance(file["authenticates_first"], bool):
        yield "authenticates_first is no boolean"
    if wrong := file["arguments"].keys() - _ARGUMENTS | file["arguments"].keys() & {"body"}:
        yield f"not to be passed: {sorted(wrong)}"
    if ("client_auth" in file["arguments"]) != ("because" in file):
        yield "client_auth and because belong together"
    if file["success"].get("generic") and file["wrong_secret"].get("generic"):
        yield "no answer has a source"
    if found := _SECRET_LIKE.search(json.dumps({**file, "sources": []})):
        yield f"this looks like a secret: {found[0]}"
    for name in _ANSWERS:
        if name in file:
            yield from (f"{name}: {text}" for text in _wrong_in(name, file[name]))


def _wrong_in(name: str, answer: dict[str, Any]) -> Iterator[str]:
    if unknown := answer.keys() - {"status", "headers", "body", "generic", "expect"}:
        yield f"unknown: {sorted(unknown)}"
    if "body" not in answer or (name != "success" and "status" not in answer):
        yield "status or body is missing"
    if answer.get("generic", True) is not True:
        yield "generic is true, or left out"
    if answer.get("expect", {}).keys() != _EXPECTED[name]:
        yield f"expect must have {sorted(_EXPECTED[name])}"
