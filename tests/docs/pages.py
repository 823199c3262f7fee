"""The pages of the documentation: their sections, their Python blocks and their links."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
GUIDES = ROOT / ".github" / "docs"
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / ".github").rglob("*.md")), ROOT / "tests/benchmarks/README.md"]


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def section(page: Path, heading: str) -> str:
    """What stands below a heading, up to the next one of its level or a higher one."""
    level = heading.index(" ")
    below = f"\n{text_of(page)}".partition(f"\n{heading}\n")[2]
    assert below, f"{page.name} has no {heading!r}"
    return re.split(rf"^#{{1,{level}}} ", below, maxsplit=1, flags=re.MULTILINE)[0]


def blocks(text: str) -> list[str]:
    """The Python blocks of a text; those in a list are indented."""
    found = re.findall(r"^( *)```python\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE)
    return [re.sub(f"^{indent}", "", block, flags=re.MULTILINE) for indent, block in found]


def anchor(heading: str) -> str:
    """As GitHub makes it of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def without_code(text: str) -> str:
    return re.sub(r"^( *)```.*?^ *```$", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    return {anchor(found) for found in re.findall(r"^#+ (.*)$", without_code(text_of(page)), re.M)}


def links(page: Path) -> list[str]:
    """Where links and pictures of a page lead."""
    text = re.sub(r"`[^`\n]*`", "", without_code(text_of(page)))
    return re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)
