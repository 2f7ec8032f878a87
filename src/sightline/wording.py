"""How numbers and lists read: the same in the text, the tables and the charts."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

MISSING = "–"
"""Stands for what is not defined or was not measured; never 0."""
SUBSETS = {"train": "training", "valid": "validation", "test": "test"}
"""The subset's name in the tables -> the word for it in a sentence."""


def number(value: Any) -> float | None:
    """The value as a float; None for None, NaN and infinities, which JSON and CSV files may hold."""
    return float(value) if value is not None and math.isfinite(value) else None


def score(value: float | None, digits: int = 3) -> str:
    """An IoU, a loss: `0.612`."""
    return MISSING if value is None else f"{value:.{digits}f}"


def interval(bounds: Sequence[float] | None) -> str:
    """`0.55 to 0.66`."""
    return MISSING if bounds is None else f"{bounds[0]:.2f} to {bounds[1]:.2f}"


def percent(share: float | None) -> str:
    """A share as a percentage with about three digits: `38.2 %`, `0.041 %`; 0 is exactly none."""
    if share is None:
        return MISSING
    value = 100 * share
    if 0 < value < 0.001:
        return "<0.001\u202f%"
    digits = 0 if value in (0, 100) else 1 if value >= 10 else 2 if value >= 0.1 else 3
    return f"{value:.{digits}f}\u202f%"


def count(value: int | None) -> str:
    """`12,345`."""
    return MISSING if value is None else f"{value:,}"


def plural(value: int, noun: str, many: str = "") -> str:
    """`1 image`, `1,200 images`; `many` for a plural of its own."""
    return f"{count(value)} {noun if value == 1 else many or noun + 's'}"


def listed(items: Sequence[str], most: int = 12) -> str:
    """`a, b and c`; past `most` items their number."""
    shown = list(items) if len(items) <= most else [*items[:most], f"{len(items) - most} more"]
    return shown[0] if len(shown) == 1 else " and ".join([", ".join(shown[:-1]), shown[-1]]) if shown else "none"


def one_line(error: BaseException) -> str:
    """What an error says, in one line of 200 characters at most; empty where it says nothing."""
    return " ".join(str(error).split())[:200]


def reason(error: Exception) -> str:
    """What an error says, without the system's number and without the path, where it is one of the disk's."""
    return str(getattr(error, "strerror", None) or error)


def short(text: str, most: int = 28) -> str:
    """The text for a place with little room: without control characters, its middle cut where it is too long."""
    clean = re.sub(r"[\x00-\x1f\x7f\ud800-\udfff\u202a-\u202e\u2066-\u2069]", "\N{REPLACEMENT CHARACTER}", text)
    return clean if len(clean) <= most else f"{clean[: most // 2]}…{clean[-((most - 1) // 2) :]}"
