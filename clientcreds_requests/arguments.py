"""Checks of constructor arguments: each error names the argument and says what to pass."""

from __future__ import annotations

import math
from collections.abc import Iterable


def text(name: str, value: object) -> str:
    """A non-empty string.

    :raises TypeError, ValueError: when it is none.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    if not value:
        raise ValueError(f"{name} must not be empty")
    return value


def strings(name: str, values: Iterable[str] | None) -> list[str]:
    """The strings of an iterable; none for None.

    :raises TypeError: for anything else, one bare string among it.
    """
    if isinstance(values, (str, bytes)):
        raise TypeError(f"{name} must be a list of str, not one {type(values).__name__}")
    try:
        found = list(values or ())
    except TypeError:
        raise TypeError(f"{name} must be a list of str, not {type(values).__name__}") from None
    for value in found:
        if not isinstance(value, str):
            raise TypeError(f"{name} must be a list of str; one is {type(value).__name__}")
    return found


def seconds(name: str, value: object, *, zero: bool = False) -> float:
    """A finite number of seconds, more than zero unless zero is allowed.

    :raises TypeError, ValueError: when it is none.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of seconds, not {type(value).__name__}")
    if not math.isfinite(value) or value < 0 or (value == 0 and not zero):
        raise ValueError(f"{name} must be a finite number of seconds, {'>=' if zero else '>'} 0")
    return float(value)
