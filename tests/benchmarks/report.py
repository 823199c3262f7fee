"""Tables: what a measurement returns, how it is printed, and how it is kept."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .contenders import Contender, Ours

Row = dict[str, Any]

OURS = Ours.name


@dataclass
class Table:
    """The outcome of one measurement.

    :param name: by which it is asked for and kept.
    :param title: what it shows.
    :param how: how it was measured, and with what settings.
    :param columns: headings and formats, by the key of the rows: ``("calls", "{:.0f}")``.
    :param rows: values, or spreads, by key. A row with ``failed`` says why it has nothing else.
    """

    name: str
    title: str
    how: str
    columns: Mapping[str, tuple[str, str]]
    rows: Sequence[Row] = field(default_factory=list)

    def markdown(self) -> str:
        """The table as Markdown, aligned for the eye too."""
        headings = ["", *(heading for heading, _ in self.columns.values())]
        lines = [headings] + [self._cells(row) for row in self.rows]
        widths = [max(len(line[n]) for line in lines) for n in range(len(headings))]
        text = [self._line(line, widths) for line in lines]
        rules = ["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])]
        text.insert(1, f"|{'|'.join(rules)}|")
        return f"### {self.title}\n\n{self.how}\n\n" + "\n".join(text) + "\n"

    def _cells(self, row: Row) -> list[str]:
        name = f"**{row['contender']}**" if row.get("ours") else row["contender"]
        if "failed" in row:
            return [name, row["failed"].replace("|", "/"), *[""] * (len(self.columns) - 1)]
        return [name, *(shown(row.get(key), form) for key, (_, form) in self.columns.items())]

    @staticmethod
    def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
        first, *others = cells
        right = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        return f"| {' | '.join([first.ljust(widths[0]), *right])} |"


def shown(value: Any, form: str) -> str:
    """A value or a spread as the table shows it."""
    if value is None:
        return "-"
    if isinstance(value, dict):
        median, low, high = (form.format(value[key]) for key in ("median", "low", "high"))
        return median if low == high else f"{median} ({low} to {high})"
    return form.format(value)


#: What the page on them shows of the tables: headings, and the table, key and format for each;
#: several rows of a contender are shown beside one another.
SUMMARY = {
    "attach, times a fixed header": ("attach", "ratio", "{:.1f}"),
    "cold threads: token requests": ("herd", "token_requests", "{}"),
    "renewal: slowest call, ms": ("renewal", "slowest", "{:.0f}"),
    "renewal: 401s": ("renewal", "refused", "{}"),
    "outage: failed calls": ("outage", "failed_calls", "{}"),
    "revocation: 401s": ("revocation", "refused", "{}"),
    "import, ms": ("footprint", "import_ms", "{:.0f}"),
    "KB each": ("footprint", "bytes", "{:,.1f}"),
}


def summary(tables: Mapping[str, Mapping[str, Any]]) -> str:
    """A line for each contender, with what matters most, for the page on them.

    :param tables: by name, as they are kept.
    """
    names = [row["contender"] for row in tables["end_to_end"]["rows"]]
    lines = [f"| | {' | '.join(SUMMARY)} |", f"|---|{'---:|' * len(SUMMARY)}"]
    for name in names:
        cells = [name if name != OURS else f"**{name}**"]
        for table, key, form in SUMMARY.values():
            rows = [row for row in tables[table]["rows"] if row["contender"] == name]
            values = [row.get(key) for row in rows]
            medians = [value["median"] if isinstance(value, dict) else value for value in values]
            if key == "bytes":
                medians = [value / 1000 for value in medians]
            cells.append(", ".join(shown(value, form) for value in medians) or "-")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def about(contenders: Sequence[type[Contender]], size: str) -> dict[str, Any]:
    """The machine and the versions."""
    return {
        "size": size,
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "system": f"{platform.system()} {platform.release()}",
        "machine": f"{platform.machine()}, {_processor()}",
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "versions": versions(contenders),
    }


def versions(contenders: Sequence[type[Contender]]) -> dict[str, str]:
    """Of what is measured, and of what it stands on."""
    names = ["requests", "urllib3", "oauthlib", *(kind.distribution for kind in contenders)]
    return {name: version for name in names if name and (version := _version(name))}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(": ")[1] for line in lines if line.startswith("model name")), "")


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def header(described: Mapping[str, Any]) -> str:
    """The same in two lines."""
    installed = ", ".join(f"{name} {version}" for name, version in described["versions"].items())
    return (
        f"{described['implementation']} {described['python']}, {described['system']}, "
        f"{described['machine']}, {described['cores']} cores, load {described['load']} at the "
        f"start; size: {described['size']}.\n{installed}.\n"
    )


def write(folder: Path, described: Mapping[str, Any], tables: Sequence[Table]) -> None:
    """Keep the tables, as JSON and as Markdown."""
    folder.mkdir(parents=True, exist_ok=True)
    results = {"about": described, "tables": {table.name: asdict(table) for table in tables}}
    (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    text = "\n".join(table.markdown() for table in tables)
    complete = {table for table, _, _ in SUMMARY.values()} | {"end_to_end"}
    if complete <= results["tables"].keys():
        (folder / "summary.md").write_text(summary(results["tables"]), encoding="utf-8")
    (folder / "tables.md").write_text(f"{header(described)}\n{text}", encoding="utf-8")


def say(text: str) -> None:
    """Tell how far it is, on stderr."""
    print(text, file=sys.stderr, flush=True)
