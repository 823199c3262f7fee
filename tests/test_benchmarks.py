"""The benchmarks run, and keep what they find; how fast anything is, is not tested here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parent.parent
TABLES = [
    "attach",
    "end_to_end",
    "herd",
    "renewal",
    "outage",
    "revocation",
    "footprint",
    "growth",
]
OURS = "clientcreds-requests"


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What a tiny round of everything leaves in its folder."""
    pytest.importorskip("packaging")
    folder = tmp_path_factory.mktemp("results")
    command = [sys.executable, "-m", "tests.benchmarks", "--size", "smoke", "--python="]
    command += ["--contenders", f"fixed header,{OURS}", "--output", str(folder)]
    subprocess.run(command, check=True, cwd=ROOT, timeout=120)
    return folder


@pytest.fixture(scope="module")
def tables(results):
    return json.loads((results / "results.json").read_text())["tables"]


def test_every_measurement_leaves_a_table(tables):
    assert list(tables) == TABLES


@pytest.mark.parametrize("name", TABLES)
def test_every_row_has_figures_under_the_headings_of_its_table(name, tables):
    table = tables[name]
    for row in table["rows"]:
        assert "failed" not in row
        assert row["contender"]
        assert set(row) & set(table["columns"])
    assert OURS in [row["contender"] for row in table["rows"]]


def test_spreads_are_in_order(tables):
    for row in tables["attach"]["rows"]:
        assert 0 < row["ns"]["low"] <= row["ns"]["median"] <= row["ns"]["high"]


def test_requests_and_refusals_are_counted(tables):
    herd, revocation = ([r for r in tables[n]["rows"] if r["ours"]] for n in ("herd", "revocation"))
    assert [row["token_requests"] for row in herd] == [1]
    assert [(row["token_requests"], row["refused"]) for row in revocation] == [(1, 0)]
    assert all(row["refused"] == row["failed_calls"] == 0 for row in tables["renewal"]["rows"])


def test_the_machine_and_the_versions_are_told(results):
    about = json.loads((results / "results.json").read_text())["about"]
    assert about["cores"]
    assert {"requests", "urllib3"} <= set(about["versions"])


def test_the_tables_are_there_to_be_read(results):
    text = (results / "tables.md").read_text(encoding="utf-8")
    assert text.count("### ") == len(TABLES)
    assert f"| **{OURS}** " in text


@pytest.mark.parametrize("name", ["overview", "renewal"])
def test_plots_are_drawn_for_light_and_dark_pages(name, results):
    text = (results / f"{name}.svg").read_text(encoding="utf-8")
    root = ElementTree.fromstring(text)
    words = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert OURS in words
    assert "prefers-color-scheme: dark" in text
