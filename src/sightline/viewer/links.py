"""Where a point of a chart leads: parameters of the query string, written as the page writes them."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

Link = dict[str, str]


def joined(names: Sequence[str]) -> str:
    """Names in one parameter: each percent-encoded, then joined by commas, since a name may hold one."""
    return ",".join(quote(name, safe="") for name in names)


def images(**parameters: str) -> Link:
    """The page Images with these filters and this order."""
    return {"page": "images", **parameters}


def bounded(name: str, low: float | None, high: float | None) -> str:
    """A filter by range, `NAME:LOW:HIGH`; a bound that is None is left open."""
    ends = ("" if end is None else f"{end:g}" for end in (low, high))
    return ":".join((quote(name, safe=""), *ends))
