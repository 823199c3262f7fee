"""Each figure that the page on benchmarks gives is in the tables that they have left."""

from __future__ import annotations

import json
import re

import pytest
from pages import ROOT, anchor, section

BENCHMARKS = ROOT / "tests" / "benchmarks"
RESULTS = BENCHMARKS / "results"
SECTION = section(BENCHMARKS / "README.md", "## Measured")
CLAIMS = re.findall(r"^- (.*(?:\n  .*)*)", SECTION, re.MULTILINE)

TABLES = {
    anchor(table.partition("\n")[0]): table
    for table in (RESULTS / "tables.md").read_text(encoding="utf-8").split("\n### ")[1:]
}


@pytest.mark.parametrize("claim", CLAIMS)
def test_every_number_of_a_claim_is_in_a_table_that_it_points_to(claim):
    targets = re.findall(r"\]\(results/tables\.md#([^)]+)\)", claim)
    assert targets
    shown = "".join(TABLES[target] for target in targets)
    numbers = re.findall(r"\d[\d,.]*\d|\d", re.sub(r"\]\([^)]*\)|`[^`]*`", "", claim))
    assert numbers
    for number in numbers:
        assert re.search(rf"(?<![\d.,]){re.escape(number)}(?![\d,])", shown), number


def test_there_are_claims():
    assert len(CLAIMS) >= 5


def test_the_table_is_the_one_that_was_measured():
    assert f"\n{(RESULTS / 'summary.md').read_text(encoding='utf-8')}" in SECTION


def test_the_figures_are_of_a_whole_run():
    results = json.loads((RESULTS / "results.json").read_text(encoding="utf-8"))
    assert results["about"]["size"] == "full"
    assert not [
        row for table in results["tables"].values() for row in table["rows"] if "failed" in row
    ]


@pytest.mark.parametrize("name", ["overview.svg", "renewal.svg"])
def test_the_plots_are_kept(name):
    assert (RESULTS / name).read_text(encoding="utf-8").startswith("<svg")
