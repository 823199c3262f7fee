"""What is in the wheel and in the sdist, file by file: ``check_dist.py SOURCE DIST``."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from email.message import Message
from email.parser import BytesParser
from pathlib import Path

PYTHONS = ("3.10", "3.11", "3.12", "3.13")
LINKS = {"Homepage", "Documentation", "Source", "Issues", "Changelog"}
DIST_INFO = {
    "METADATA",
    "RECORD",
    "WHEEL",
    "entry_points.txt",
    "licenses/LICENSE",
    "top_level.txt",
}
NEEDED = {
    "clientcreds_requests/py.typed",
    "clientcreds_requests/_cli/main.py",
    "clientcreds_requests/testing/__init__.py",
}
MADE_BY_SETUPTOOLS = ("PKG-INFO", "clientcreds_requests.egg-info/")


def differences(what: str, found: set[str], wanted: set[str]) -> Iterator[str]:
    """Every file too many or too few."""
    yield from (f"{what}: {name} is missing" for name in sorted(wanted - found))
    yield from (f"{what}: {name} has no business there" for name in sorted(found - wanted))


def check_wheel(wheel: Path, files: set[str]) -> Iterator[str]:
    """The package and its metadata, and nothing else."""
    with zipfile.ZipFile(wheel) as archive:
        found = set(archive.namelist())
        info = next(name.partition("/")[0] for name in found if ".dist-info/" in name)
        metadata = BytesParser().parsebytes(archive.read(f"{info}/METADATA"))
    wanted = {name for name in files if name.startswith("clientcreds_requests/")} | NEEDED
    yield from differences("wheel", found, wanted | {f"{info}/{name}" for name in DIST_INFO})
    yield from check_metadata(metadata)


def check_metadata(metadata: Message) -> Iterator[str]:
    """What an index shows."""
    classifiers = metadata.get_all("Classifier", [])
    links = {link.partition(",")[0] for link in metadata.get_all("Project-URL", [])}
    version = "Programming Language :: Python ::"
    facts = {
        "License-Expression: MIT": metadata["License-Expression"] == "MIT",
        "no licence among the classifiers": not any(c.startswith("License") for c in classifiers),
        "Requires-Python: >=3.10": metadata["Requires-Python"] == ">=3.10",
        "a classifier for every Python": {f"{version} {p}" for p in PYTHONS} <= set(classifiers),
        "Typing :: Typed": "Typing :: Typed" in classifiers,
        "a link to everything": links == LINKS,
        "the README as Markdown": metadata["Description-Content-Type"] == "text/markdown",
    }
    yield from (f"metadata: not {fact}" for fact, holds in facts.items() if not holds)


def check_sdist(sdist: Path, files: set[str]) -> Iterator[str]:
    """All that the repository holds."""
    with tarfile.open(sdist) as archive:
        members = [member.name.partition("/")[2] for member in archive if member.isfile()]
    found = {name for name in members if not name.startswith(MADE_BY_SETUPTOOLS)}
    yield from differences("sdist", found, files)


def main(source: Path, dist: Path) -> int:
    """Print what is wrong; return how much."""
    listed = subprocess.run(["git", "-C", source, "ls-files"], stdout=subprocess.PIPE, check=True)
    files = set(listed.stdout.decode().split("\n")) - {""}
    (wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    wrong = [*check_wheel(wheel, files), *check_sdist(sdist, files)]
    print("\n".join(wrong) or f"{wheel.name} and {sdist.name} hold what they should.")
    return len(wrong)


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
