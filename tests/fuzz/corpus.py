"""Answers worth keeping, one a file: ``corpus/<target>-<what it is>.<ending>``."""

from __future__ import annotations

from pathlib import Path

from .cases import Case

FOLDER = Path(__file__).parent / "corpus"


def load(path: Path) -> Case:
    """The case that a file holds."""
    return Case(path.name.partition("-")[0], path.suffix[1:], path.read_bytes())


def save(case: Case, name: str) -> Path:
    """Keep a case; return its file."""
    path = FOLDER / f"{case.target}-{name}.{case.ending}"
    path.write_bytes(case.data)
    return path
