"""Which versions of the software did the work."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from sightline import __version__


def versions(names: Iterable[str]) -> dict[str, str]:
    """Python's version, Sightline's own, and those of some packages, as they are installed here; none is imported.

    Args:
        names: packages as pip calls them, e.g. `torch` or `scikit-learn`.

    Returns:
        `Python`, `sightline` and the names, in this order -> version; `not installed` for a package that is not there.
    """
    return {"Python": platform.python_version(), "sightline": __version__} | {name: _installed(name) for name in names}


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
