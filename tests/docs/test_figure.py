"""The pictures: drawn by their scripts, legible everywhere, and true to the code."""

from __future__ import annotations

import inspect
import re
from xml.etree import ElementTree

import demo
import pytest
import token_life
from pages import ROOT, text_of

from clientcreds_requests import ClientCredentialsAuth
from clientcreds_requests._cli.demo import _ACTS, _COUNTED
from tests.benchmarks import plots

SVG = "{http://www.w3.org/2000/svg}"
LIFE, DEMO = token_life.FIGURE, demo.PICTURE
OVERVIEW, RENEWAL = (plots.RESULTS / name for name in ("overview.svg", "renewal.svg"))

every_picture = pytest.mark.parametrize(
    "picture", [LIFE, DEMO, OVERVIEW, RENEWAL], ids=lambda path: path.name
)


def root_of(picture):
    return ElementTree.fromstring(text_of(picture))


def texts_of(picture):
    return [element.text for element in root_of(picture).iter(f"{SVG}text")]


@pytest.mark.parametrize("picture", [LIFE, DEMO], ids=lambda path: path.name)
def test_it_is_told_to_those_who_cannot_see_it(picture):
    root = root_of(picture)
    named = [element.get("id") for element in root if element.tag in (f"{SVG}title", f"{SVG}desc")]
    assert " ".join(named) == root.get("aria-labelledby")
    assert root.get("role") == "img"


@every_picture
def test_it_is_drawn_for_light_and_dark_pages(picture):
    assert "@media (prefers-color-scheme: dark)" in root_of(picture).findtext(f"{SVG}style")


@every_picture
def test_it_can_be_read_on_a_screen_of_400_pixels(picture):
    root = root_of(picture)
    width = float(root.get("viewBox").split()[2])
    sizes = re.findall(r"([\d.]+)px", root.findtext(f"{SVG}style"))
    assert sizes
    assert min(map(float, sizes)) * min(1, 400 / width) >= 9.5
    for element in root.iter(f"{SVG}text"):
        if element.get("class", "").rpartition(" ")[2] not in ("mid", "end"):
            assert float(element.get("x")) + 6.2 * len(element.text or "") <= width, element.text


@every_picture
def test_it_is_shown_somewhere(picture):
    pages = [*ROOT.glob("*.md"), *ROOT.glob(".github/**/*.md"), *ROOT.glob("tests/*/*.md")]
    assert [page for page in pages if f'{picture.name}"' in text_of(page)]


def test_the_life_of_a_token_is_up_to_date():
    assert text_of(LIFE) == token_life.figure(), "python -m tests.docs.token_life draws it anew"


def test_it_names_the_arguments_and_their_defaults():
    options = inspect.signature(ClientCredentialsAuth).parameters
    assert {"leeway", f"{options['leeway'].default:.0f} s", "renew_ahead"} <= set(texts_of(LIFE))


def test_the_plots_are_those_of_the_results_that_are_kept():
    drawn = plots.drawn(plots.kept(plots.RESULTS))
    kept = {picture.name: text_of(picture) for picture in (OVERVIEW, RENEWAL)}
    assert drawn == kept, "python -m tests.benchmarks.plots draws them anew"


def test_the_demo_is_recorded_from_one_that_says_the_same_as_now():
    shown = " ".join(" ".join(texts_of(DEMO)).split())
    for _, promise in _ACTS.values():
        assert promise in shown
    for label in re.findall(r"^ *([^{\n]+?) *(?:\{|$)", _COUNTED, re.MULTILINE):
        assert label in shown
    assert shown.startswith(demo.COMMAND)
    assert shown.endswith("All promises were kept.")


def test_the_picture_of_the_demo_is_made_of_lines_alone():
    drawn = {float(text.get("y")): text.text for text in root_of(DEMO).iter(f"{SVG}text")}
    number = round((max(drawn) - 24) / demo.LINE) + 1
    lines = [drawn.get(24 + demo.LINE * line, "") for line in range(number)]
    assert text_of(DEMO) == demo.picture(lines), "python -m tests.docs.demo records it anew"


def test_a_recording_is_what_the_demo_prints():
    lines = demo.record(0.3)
    assert lines[0] == demo.COMMAND
    assert max(map(len, lines)) <= demo.COLUMNS
    assert "What was promised, and what happened" in lines
