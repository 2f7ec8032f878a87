"""Settings and numbers as plain JSON data, whatever they were made with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any


def plain(value: Any) -> Any:
    """The value in dictionaries, lists, strings and numbers; NaN and infinities, which JSON lacks, become None.

    Scalars of numpy and torch become Python's, paths become strings, tuples become lists. What is none of that is
    left as it is, for the JSON writer to refuse.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, PurePath):
        return str(value)
    value = scalar(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def scalar(value: Any) -> Any:
    """A number of numpy or torch as Python's; anything else as it is."""
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        return value.item()
    return float(value) if isinstance(value, float) else value
