"""Draw the life of a token, .github/token-life.svg: ``python -m tests.docs.token_life``.

It is narrow, so that it can be read on a screen of 400 pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

FIGURE = Path(__file__).parent.parent.parent / ".github" / "token-life.svg"

WIDTH = 440
#: Where the phases begin on the time axis, and where it ends.
ASKED, USABLE, DUE, RESERVE, EXPIRED, END = 72, 122, 222, 322, 376, 430
#: Between two calls.
STEP = 13

DESCRIPTION = (
    "A time axis from the request for a token to its expiry. The first call makes one token "
    "request, and all threads wait for it. Then the token is usable and costs no request. From "
    "renew_ahead on, 300 seconds but at most a quarter of its life before expiry, the next call "
    "has it renewed in the background, and nobody waits. Inside the leeway, the last 20 seconds, "
    "it is used only if no other can be had. Expired, it is never used. Three lanes show calls, "
    "token and token requests: on an ordinary day no call waits but the first; during an outage "
    "the token is used until it expires, then calls fail with the cause, until the endpoint is "
    "back; when the API refuses a revoked token with 401, one new token is fetched and each "
    "refused call is sent again, once."
)
STYLE = """
text {
  font: 12.5px -apple-system, "Segoe UI", Helvetica, Arial, "DejaVu Sans", sans-serif;
  fill: #1f2328
}
.title { font-size: 14px; font-weight: 600 } .muted { fill: #59636e }
.code { font: 11.5px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace }
.in { fill: #ffffff } .mid { text-anchor: middle } .end { text-anchor: end }
.ask { fill: #0969da } .use { fill: #1f883d } .due { fill: #9a6700 } .lee { fill: #bc4c00 }
.line { stroke: #d1d9e0; stroke-dasharray: 2 3 }
.none { fill: none; stroke: #818b98; stroke-dasharray: 4 3 }
.ok { fill: #1f883d } .wait { fill: #ffffff; stroke: #0969da; stroke-width: 1.6 }
.waits { stroke: #0969da; stroke-width: 1.6 }
.bad { stroke: #d1242f; stroke-width: 2; fill: none } .down { fill: #d1242f; opacity: .14 }
text.bad { fill: #d1242f; stroke: none }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc } .muted { fill: #9198a1 } .in { fill: #ffffff }
  .ask { fill: #1f6feb } .use { fill: #238636 } .due { fill: #9e6a03 } .lee { fill: #bd561d }
  .line { stroke: #3d444d } .none { stroke: #656c76 }
  .ok { fill: #3fb950 } .wait { fill: #0d1117; stroke: #4493f8 } .waits { stroke: #4493f8 }
  .bad { stroke: #f85149 } .down { fill: #f85149; opacity: .22 }
  text.bad { fill: #f85149; stroke: none }
}
"""


def figure() -> str:
    """The whole picture."""
    lanes = [*_phases(), *_ordinary(196), *_outage(312), *_revocation(448), *_legend(566)]
    body = "\n".join(lanes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} 580" width="{WIDTH}" '
        f'height="580" role="img" aria-labelledby="title desc">\n'
        f'<title id="title">The life of a token</title>\n<desc id="desc">{DESCRIPTION}</desc>\n'
        f"<style>{STYLE}</style>\n{body}\n</svg>\n"
    )


def _phases() -> Iterator[str]:
    yield _text(10, 20, "The life of a token", "title")
    yield _text(END, 20, "not to scale", "muted end")
    for x, name, value in (
        (DUE, "renew_ahead", "300 s or ¼ life"),
        (RESERVE, "leeway", "20 s"),
        (EXPIRED, "expiry", ""),
    ):
        yield _text(x + 4, 46, name, "code")
        yield _text(x + 4, 61, value, "muted")
        yield _line(x, 36, 68)
    for kind, start, end, name in (
        ("ask", ASKED, USABLE, "asked"),
        ("use", USABLE, DUE, "usable"),
        ("due", DUE, RESERVE, "usable, due"),
        ("lee", RESERVE, EXPIRED, "reserve"),
    ):
        yield _bar(kind, start, end, 68, 24)
        yield _text((start + end) / 2, 84, name, "in mid")
    yield _bar("none", EXPIRED, END, 68.5, 23)
    yield _text((EXPIRED + END) / 2, 84, "expired", "muted mid")
    for number, (kind, text) in enumerate(
        (
            ("ask", "one token request, and all threads wait for it"),
            ("use", "every call uses it: no request, no lock"),
            ("due", "the next call has it renewed; nobody waits"),
            ("lee", "used only if no other can be had"),
        )
    ):
        y = 112 + 17 * number
        yield _bar(kind, ASKED, ASKED + 12, y - 10, 12)
        yield _text(ASKED + 20, y, text)


def _lane(y: float, title: str, caption: str, marks: Sequence[float]) -> Iterator[str]:
    yield _text(10, y, title, "title")
    yield _text(10, y + 17, caption, "muted")
    for x in marks:
        yield _line(x, y + 24, y + 86)
    for number, name in enumerate(("calls", "token", "requests")):
        yield _text(10, y + 38 + 21 * number, name, "muted")


def _ordinary(y: float) -> Iterator[str]:
    caption = "Renewed before anyone needs it; calls go on with the next token."
    yield from _lane(y, "Day by day", caption, (USABLE, DUE, RESERVE, EXPIRED))
    yield from _waiting(y, ASKED + 4, USABLE)
    yield from _calls(y, USABLE + 5, END)
    yield _bar("use", USABLE, DUE, y + 44, 19)
    yield _bar("due", DUE, DUE + 44, y + 44, 19)
    yield _text((USABLE + DUE) / 2, y + 58, "first token", "in mid")
    yield _bar("use", DUE + 46, END, y + 44, 19)
    yield _text((DUE + 46 + END) / 2, y + 58, "second token", "in mid")
    yield _bar("ask", ASKED, USABLE, y + 70, 12)
    yield _bar("ask", DUE + 12, DUE + 44, y + 70, 12)
    yield _text(DUE + 52, y + 80, "in the background", "muted")


def _outage(y: float) -> Iterator[str]:
    caption = "No call fails while the token lives; then with the cause."
    yield from _lane(y, "The token endpoint is down", caption, (USABLE, DUE, RESERVE, EXPIRED))
    yield from _calls(y, USABLE + 5, EXPIRED)
    for x in (EXPIRED + 6, EXPIRED + 18):
        yield _cross(x, y + 34)
    yield from _calls(y, EXPIRED + 38, END + 8)
    for kind, start, end, name in (
        ("use", USABLE, DUE, "first token"),
        ("due", DUE, RESERVE, "still used"),
        ("lee", RESERVE, EXPIRED, "still"),
        ("use", EXPIRED + 34, END, ""),
    ):
        yield _bar(kind, start, end, y + 44, 19)
        yield _text((start + end) / 2, y + 58, name, "in mid")
    yield _bar("down", USABLE + 50, EXPIRED + 26, y + 66, 20)
    yield _text(USABLE + 56, y + 80, "down", "bad")
    for x in (DUE + 12, DUE + 24, DUE + 48, DUE + 88, RESERVE + 36, EXPIRED + 14):
        yield _cross(x, y + 76)
    yield _bar("ask", EXPIRED + 28, EXPIRED + 34, y + 70, 12)
    yield _text(USABLE + 50, y + 102, "asked again after pauses up to 30 s", "muted")


def _revocation(y: float) -> Iterator[str]:
    caption = "One new token for all refused calls; each is sent again, once."
    yield from _lane(y, "The token is revoked", caption, (USABLE,))
    yield from _calls(y, USABLE + 5, USABLE + 66)
    yield from _waiting(y, USABLE + 74, USABLE + 126)
    yield from _calls(y, USABLE + 135, END)
    yield _bar("use", USABLE, USABLE + 74, y + 44, 19)
    yield _text(USABLE + 36, y + 58, "first token", "in mid")
    yield f'<path class="bad" d="M{USABLE + 70} {y + 41}v25"/>'
    yield _text(USABLE + 68, y + 80, "revoked", "bad end")
    yield _text(USABLE + 100, y + 58, "401", "bad mid")
    yield _bar("use", USABLE + 128, END, y + 44, 19)
    yield _text((USABLE + 128 + END) / 2, y + 58, "second token", "in mid")
    yield _bar("ask", USABLE + 76, USABLE + 126, y + 70, 12)


def _legend(y: float) -> Iterator[str]:
    yield _dot(16, y - 4)
    yield _text(24, y, "answered", "muted")
    yield from _waiting(y - 38, 102, 116)
    yield _text(121, y, "waits, then answered", "muted")
    yield _cross(272, y - 4)
    yield _text(280, y, "fails", "muted")
    yield _bar("ask", 326, 344, y - 10, 12)
    yield _text(349, y, "request", "muted")


def _calls(y: float, start: float, end: float) -> Iterator[str]:
    while start < end - 3:
        yield _dot(start, y + 34)
        start += STEP


def _waiting(y: float, start: float, end: float) -> Iterator[str]:
    yield f'<path class="waits" d="M{start:g} {y + 34:g}H{end:g}"/>'
    while start < end - 6:
        yield f'<circle class="wait" cx="{start:g}" cy="{y + 34:g}" r="3.4"/>'
        start += STEP


def _dot(x: float, y: float) -> str:
    return f'<circle class="ok" cx="{x:g}" cy="{y:g}" r="3.4"/>'


def _cross(x: float, y: float) -> str:
    return f'<path class="bad" d="M{x - 3.4:g} {y - 3.4:g}l6.8 6.8m0-6.8l-6.8 6.8"/>'


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    kind = f' class="{kind}"' if kind else ""
    return f'<text x="{x:g}" y="{y:g}"{kind}>{text}</text>'


def _bar(kind: str, start: float, end: float, y: float, height: float) -> str:
    width = end - start - (0 if kind in ("due", "down") else 1)
    size = f'width="{width:g}" height="{height:g}" rx="2"'
    return f'<rect class="{kind}" x="{start:g}" y="{y:g}" {size}/>'


def _line(x: float, top: float, bottom: float) -> str:
    return f'<path class="line" d="M{x:g} {top:g}V{bottom:g}"/>'


if __name__ == "__main__":
    FIGURE.write_text(figure(), encoding="utf-8")
