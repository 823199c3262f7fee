"""The guide to combining: it names every package, and its Python runs."""

from __future__ import annotations

import re
from importlib.metadata import requires
from pathlib import Path
from textwrap import dedent

import pytest
import requests
from packaging.requirements import Requirement

from clientcreds_requests import ClientCredentialsAuth, ClientCredentialsSession

HERE = Path(__file__).parent
GUIDE = (HERE.parents[1] / ".github" / "docs" / "COMBINING.md").read_text(encoding="utf-8")
SECTIONS = GUIDE.partition("\n## Recorders\n")[0]  # whose code test_recorders.py runs
BLOCKS = [dedent(block) for block in re.findall(r"```python\n(.*?)```", SECTIONS, re.DOTALL)]


def listed() -> set[str]:
    """The packages of the extra."""
    lines = [line for line in requires("clientcreds-requests") or () if "ecosystem" in line]
    return {Requirement(line).name for line in lines}


def test_every_package_has_a_test_and_is_named_in_the_guide():
    tests = "\n".join(path.read_text(encoding="utf-8") for path in HERE.glob("test_*.py"))
    tested = {
        name
        for names in re.findall(r"\bpackage\(([^)]*)\)", tests)
        for name in re.findall(r'"([^"]+)"', names)
    }
    table = re.findall(r"^\|.*\|$", GUIDE, re.MULTILINE)[2:]
    named = {name for row in table for name in row.strip("| ").split(" | ")[1].split(", ")}
    assert len(named) >= 45
    assert named == listed() | {"niquests"}
    assert tested - {"requests", "urllib3"} == named


@pytest.mark.package("requests-cache", "requests-ratelimiter", "tenacity")
def test_the_python_of_the_guide_runs(story, monkeypatch):
    monkeypatch.setenv("CLIENT_SECRET", story.server.client_secret)
    limited, mixed, filtered, calling_again = BLOCKS
    client = (story.server.token_endpoint, story.server.client_id, story.server.client_secret)
    names = {
        "ClientCredentialsAuth": ClientCredentialsAuth,
        "ClientCredentialsSession": ClientCredentialsSession,
        "auth": story.auth(),
        "client": client,
        "os": __import__("os"),
        "requests": requests,
    }
    exec(filtered, names)
    mixed = mixed.replace("https://auth.example.com/token", story.server.token_endpoint)
    mixed = mixed.replace("https://api.example.com/v1", story.server.api_url)
    exec(mixed.replace('"https://"', '"http://"'), names)
    with names["session"] as session:
        story.tell(session.get)
        assert session.get("a").json() == session.get("a").json()
    exec(limited, names)
    with names["session"] as session:
        assert session.get(story.url).ok
    exec(calling_again, names)
    assert names["fetch"](story.url).ok
