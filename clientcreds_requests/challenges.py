"""Reading ``WWW-Authenticate`` (RFC 9110 §11.6.1, RFC 6750 §3)."""

from __future__ import annotations

import re
from typing import TypeAlias

#: The most characters that are read: no honest server sends more, and each may be a challenge.
MAX_LENGTH = 64 * 1024

# One step through a field value: a parameter, a scheme, a token68, or whatever must be stepped
# over. A run of token characters is always taken whole, so the time is linear in the length.
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_STEP = (
    rf"""(?P<name>{_TOKEN})[ \t]*=[ \t]*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>{_TOKEN}))"""
    rf"""|(?P<scheme>{_TOKEN})(?=[ \t,]|$)"""
    r"""|[!#$%&'*+.^_`|~0-9A-Za-z/-]+=*"""
    r"""|"(?:[^"\\]|\\.)*"?"""
    r"""|[ \t]+"""
    r"""|."""
)


#: One challenge: its scheme, and its parameters by name, both names in lower case.
Challenge: TypeAlias = tuple[str, dict[str, str]]


def parse_challenges(value: str) -> list[Challenge]:
    """The challenges of a ``WWW-Authenticate`` field value, in order.

    Several fields joined by commas are one value. Whatever is malformed is stepped over, and what
    is beyond :data:`MAX_LENGTH` left out.
    """
    challenges: list[Challenge] = []
    # A scheme stands at the beginning or after a comma; elsewhere such a word is a token68.
    after_comma = True
    for step in re.finditer(_STEP, value[:MAX_LENGTH], re.DOTALL):
        if step["name"] is not None and challenges:
            quoted, plain = step["quoted"], step["plain"]
            text = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL)
            challenges[-1][1].setdefault(step["name"].lower(), text)
        elif step["scheme"] is not None and after_comma:
            challenges.append((step["scheme"].lower(), {}))
        if not step[0].isspace():
            after_comma = step[0] == ","
    return challenges
