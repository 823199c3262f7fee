"""The figure of a token's life: it can be read by all, and says what the code does."""

from __future__ import annotations

import inspect
from pathlib import Path
from xml.etree import ElementTree

from clientcreds_requests import ClientCredentialsAuth

FIGURE = Path(__file__).parent.parent.parent / ".github" / "token-life.svg"
SVG = "{http://www.w3.org/2000/svg}"
ROOT = ElementTree.fromstring(FIGURE.read_text(encoding="utf-8"))
WORDS = {element.text for element in ROOT.iter(f"{SVG}text")}


def test_it_is_told_to_those_who_cannot_see_it():
    named = [element.get("id") for element in ROOT if element.tag in (f"{SVG}title", f"{SVG}desc")]
    assert " ".join(named) == ROOT.get("aria-labelledby")
    assert ROOT.get("role") == "img"


def test_it_is_drawn_for_light_and_dark_pages():
    assert "@media (prefers-color-scheme: dark)" in ROOT.findtext(f"{SVG}style")


def test_it_names_the_arguments_and_their_defaults():
    options = inspect.signature(ClientCredentialsAuth).parameters
    assert {"leeway", f"{options['leeway'].default:.0f} s", "renew_ahead"} <= WORDS
