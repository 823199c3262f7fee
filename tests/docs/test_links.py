"""Links and pictures of the documentation lead to what is in the repository."""

from __future__ import annotations

from configparser import ConfigParser

import pytest
from pages import PAGES, README, ROOT, anchors, links

SETUP = ConfigParser()
SETUP.read(ROOT / "setup.cfg")
URLS = dict(line.split(" = ") for line in SETUP["metadata"]["project_urls"].strip().splitlines())
SOURCE = URLS["Source"]
RAW = SOURCE.replace("github.com", "raw.githubusercontent.com")


def is_broken(page, link):
    """What is wrong with a link, or nothing."""
    path, _, anchor = link.partition("#")
    for prefix in (f"{SOURCE}/blob/main/", f"{RAW}/main/"):
        if path.startswith(prefix):
            target = ROOT / path.removeprefix(prefix)
            break
    else:
        if "://" in path:
            return SOURCE.rpartition("/")[2] in path  # only what is above is of the repository
        target = page.parent / path if path else page
    if not target.exists():
        return "there is no such file"
    if anchor and target.suffix == ".md" and anchor not in anchors(target):
        return "there is no such heading"
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_within_the_repository_lead_somewhere(page):
    wrong = {link: why for link in links(page) if (why := is_broken(page, link))}
    assert wrong == {}


def test_those_of_the_readme_are_absolute_since_pypi_shows_it_too():
    assert len(links(README)) > 10
    assert [link for link in links(README) if not link.startswith("https://")] == []


@pytest.mark.parametrize(
    "link",
    [
        "docs/NOWHERE.md",
        "#no-such-heading",
        f"{SOURCE}/blob/main/.github/docs/NOWHERE.md",
        f"{SOURCE}/blob/main/README.md#no-such-heading",
        f"{RAW}/main/.github/no-such-picture.svg",
        f"{SOURCE}/tree/main/tests",
    ],
)
def test_a_link_that_leads_nowhere_is_found(link):
    assert is_broken(README, link)


def test_every_guide_can_be_reached_from_the_readme():
    reached, pending = set(), [README]
    while pending:
        page = pending.pop()
        reached.add(page)
        for link in links(page):
            path = link.partition("#")[0]
            prefix = f"{SOURCE}/blob/main/"
            inside = path.startswith(prefix)
            target = ROOT / path.removeprefix(prefix) if inside else (page.parent / path).resolve()
            if target in PAGES and target not in reached:
                pending.append(target)
    assert [page.name for page in PAGES if page not in reached] == []
