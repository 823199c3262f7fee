"""Record the demo as a picture, .github/demo.svg: ``python -m tests.docs.demo``.

It is a real run, written to a screen that is narrow enough for 400 pixels.
"""

from __future__ import annotations

import functools
import io
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from clientcreds_requests._cli.demo import Demo, show
from clientcreds_requests._cli.screen import Screen
from clientcreds_requests.testing import LocalAuthorizationServer

PICTURE = Path(__file__).parent.parent.parent / ".github" / "demo.svg"
COMMAND = "$ python -m clientcreds_requests demo"
COLUMNS = 66
#: Of one character, in the units of the picture.
ADVANCE, LINE = 7.9, 17
DESCRIPTION = (
    "What one run of the demo prints: when its acts began, a timeline of API calls, tokens and "
    "failed token requests, what the server and the callers counted, and that all promises were "
    "kept."
)
STYLE = """
text {
  font: 13px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  fill: #1f2328; white-space: pre
}
.page { fill: #f6f8fa; stroke: #d1d9e0 } .command, .kept { font-weight: 600 }
.kept { fill: #1a7f37 } .bad { fill: #d1242f }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc } .page { fill: #151b23; stroke: #3d444d }
  .kept { fill: #3fb950 } .bad { fill: #f85149 }
}
"""


def record(pace: float = 1.0) -> list[str]:
    """Run the demo and return its lines."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="\n")
    screen = Screen(stream, COLUMNS)
    show(Demo(LocalAuthorizationServer(), screen, pace).run(), screen)
    stream.seek(0)
    lines = [COMMAND, *stream.read().splitlines()]
    wrapped = functools.partial(textwrap.wrap, width=COLUMNS, subsequent_indent=" " * 10)
    return [part for line in lines for part in (wrapped(line) if len(line) > COLUMNS else [line])]


def picture(lines: Sequence[str]) -> str:
    """The lines as they look on a terminal."""
    width, height = COLUMNS * ADVANCE + 20, LINE * len(lines) + 20
    page = f'width="{width - 1:.0f}" height="{height - 1}" rx="6"'
    parts = [
        f'<text class="{_kind(line)}" x="10" y="{24 + LINE * number}">{escape(line)}</text>'
        for number, line in enumerate(lines)
        if line
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" '
        f'width="{width:.0f}" height="{height}" role="img" aria-labelledby="title desc">\n'
        f'<title id="title">The demo</title>\n<desc id="desc">{DESCRIPTION}</desc>\n'
        f"<style>{STYLE}</style>\n"
        f'<rect class="page" x="0.5" y="0.5" {page}/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _kind(line: str) -> str:
    if line == COMMAND:
        return "command"
    if line.startswith("All promises"):
        return "kept"
    return "bad" if re.match(r"Broken|  answered with 401 +!|token requests reset", line) else "out"


if __name__ == "__main__":
    PICTURE.write_text(picture(record()), encoding="utf-8")
