"""The plots, as SVG for light and dark pages, narrow enough for a screen of 400 pixels.

``python -m tests.benchmarks.plots`` draws them again from the results that are kept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

from .contenders import Ours
from .report import Row, Table

STYLE = """
text { font: 12px -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328 }
.muted { fill: #59636e } .title { font-weight: 600; font-size: 13px }
.ours { fill: #0969da } .other { fill: #afb8c1 } text.ours { font-weight: 600 }
.line { stroke: #d1d9e0; stroke-width: 1 } .gap { stroke: #ffffff; stroke-width: 3 }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc } .muted { fill: #9198a1 }
  .ours, text.ours { fill: #4493f8 } .other { fill: #656c76 }
  .line { stroke: #3d444d } .gap { stroke: #0d1117 }
}
"""

NAMES, BAR, LABEL, ROW, GAP = 150, 84, 42, 20, 16
#: How many panels stand beside one another.
ACROSS = 2


class Panel(NamedTuple):
    """A column of bars: from which table, what of its rows, under which heading."""

    table: str
    heading: tuple[str, str]
    value: Callable[[Row], float]
    form: str


def _percent(row: Row, key: str) -> float:
    return 100.0 * float(row[key]) / float(row["calls"])


HERD, INT = "Cold herd, {threads}", "{:.0f}"
PANELS = (
    Panel(
        "attach", ("Attach", "times a fixed header"), lambda row: row["ratio"]["median"], "{:.1f}"
    ),
    Panel("herd", (HERD, "token requests"), lambda row: row["token_requests"], INT),
    Panel("herd", (HERD, "last answer, s"), lambda row: row["last"]["median"], "{:.1f}"),
    Panel("renewal", ("Renewal", "slowest call, ms"), lambda row: row["slowest"], INT),
    Panel("outage", ("Outage", "failed calls, %"), lambda row: _percent(row, "failed_calls"), INT),
    Panel("revocation", ("Revocation", "401s seen, %"), lambda row: _percent(row, "refused"), INT),
)


def draw(folder: Path, tables: Sequence[Table]) -> None:
    """Draw what the tables allow."""
    for name, text in drawn({table.name: table.rows for table in tables}).items():
        (folder / name).write_text(text, encoding="utf-8")


def drawn(tables: Mapping[str, Sequence[Row]]) -> dict[str, str]:
    """The plots that the tables allow, by file name."""
    rows = {name: [row for row in rows if "failed" not in row] for name, rows in tables.items()}
    panels = [panel for panel in PANELS if rows.get(panel.table)]
    plots = dict[str, str]()
    if panels:
        plots["overview.svg"] = overview(panels, rows)
    if rows.get("renewal"):
        plots["renewal.svg"] = renewal(rows["renewal"])
    return plots


def kept(folder: Path) -> dict[str, list[Row]]:
    """The rows of the tables that are kept in a folder."""
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return {name: table["rows"] for name, table in results["tables"].items()}


def overview(panels: Sequence[Panel], tables: Mapping[str, Sequence[Row]]) -> str:
    """A row of bars for each contender in each of the panels, which stand in pairs."""
    chosen = [(panel, _chosen(tables[panel.table])) for panel in panels]
    names = list(dict.fromkeys(name for _, rows in chosen for name in rows))
    height = 56 + ROW * len(names)
    parts = list[str]()
    for number, (panel, rows) in enumerate(chosen):
        top, column = divmod(number, ACROSS)
        top *= height
        left = NAMES + column * (BAR + LABEL + GAP)
        if column == 0:
            parts += [_text(0, top + _y(n), name, _kind(name)) for n, name in enumerate(names)]
        first, second = (line.format(**next(iter(rows.values()))) for line in panel.heading)
        parts += [_text(left, top + 14, first, "title"), _text(left, top + 30, second, "muted")]
        parts.append(_line(left, top + 36, left, top + 38 + ROW * len(names)))
        values = {name: panel.value(row) for name, row in rows.items()}
        longest = _longest(list(values.values()))
        for name, value in values.items():
            y = top + _y(names.index(name))
            width = BAR * min(1.0, value / longest)
            parts.append(_bar(left, y - 11, width, 14, _kind(name)))
            if value > longest:  # the bar is cut
                parts.append(_line(left + BAR - 14, y + 5, left + BAR - 8, y - 13, "gap"))
            parts.append(_text(left + width + 5, y, panel.form.format(value), _kind(name)))
    pairs = -(-len(chosen) // ACROSS)
    return _svg(NAMES + ACROSS * (BAR + LABEL) + GAP, pairs * height - 12, parts)


def renewal(rows: Sequence[Row], width: int = 420, height: int = 26, top: float = 350.0) -> str:
    """A strip for each contender: its slowest calls over time."""
    parts = [
        _text(0, 14, "Renewal: the slowest call in each tenth of a second", "title"),
        _text(0, 30, f"full height: {top:.0f} ms and more", "muted"),
    ]
    tenths = max(len(row["timeline"]) for row in rows)
    step = width / tenths
    for number, row in enumerate(rows):
        name, kind = row["contender"], _kind(row["contender"])
        base = 36 + (number + 1) * (height + 22)
        parts.append(_text(0, base - height - 5, name, kind))
        slowest = f"up to {row['slowest']:,.0f} ms"
        parts.append(_text(NAMES, base - height - 5, slowest, kind))
        for tenth, value in enumerate(row["timeline"]):
            tall = max(0.6, height * min(1.0, value / top))
            parts.append(_bar(tenth * step, base - tall, step * 0.9, tall, kind))
        parts.append(_line(0, base + 0.5, width, base + 0.5))
    end = 54 + len(rows) * (height + 22)
    for second in range(0, tenths // 10 + 1, 3):
        parts.append(_text(second * 10 * step, end, f"{second} s", "muted"))
    return _svg(width + 16, end + 8, parts)


def _chosen(rows: Sequence[Row]) -> dict[str, Row]:
    """The row of each contender: on the first Python, with the most threads."""
    first = rows[0].get("python")
    found: dict[str, Row] = {}
    for row in rows:
        if row.get("python") == first:
            found[row["contender"]] = row
    return found


def _longest(values: Sequence[float]) -> float:
    """The value of a whole bar: the largest, unless that would hide the others."""
    *others, largest = sorted(values)
    second = others[-1] if others else largest
    return second * 1.5 if second and largest > 3 * second else largest or 1.0


def _y(number: int) -> float:
    return 52 + ROW * number


def _kind(name: str) -> str:
    return "ours" if name == Ours.name else "other"


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    kind = "" if kind == "other" else f' class="{kind}"'
    return f'<text x="{x:.1f}" y="{y:.1f}"{kind}>{escape(text)}</text>'


def _bar(x: float, y: float, width: float, height: float, kind: str) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" class="{kind}"/>'
    )


def _line(x1: float, y1: float, x2: float, y2: float, kind: str = "line") -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def _svg(width: float, height: float, parts: Sequence[str]) -> str:
    style = re.sub(r"\s+", " ", STYLE).strip()
    content = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}">\n<style>{style}</style>\n{content}\n</svg>\n'
    )


RESULTS = Path(__file__).parent / "results"

if __name__ == "__main__":
    for name, text in drawn(kept(RESULTS)).items():
        (RESULTS / name).write_text(text, encoding="utf-8")
