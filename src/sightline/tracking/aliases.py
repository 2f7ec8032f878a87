"""Aliases: names such as `staging` that people let point at a version, and move on to another one."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sightline.errors import ConfigError
from sightline.tracking.artifact import Artifact
from sightline.tracking.best import BEST

LATEST = "latest"
VERSION = re.compile(r"v[0-9]+")
ALIAS = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


def check_alias(alias: str) -> None:
    """ConfigError unless people may call a version so: a letter first, then letters, digits, `_` and `-`.

    `latest` and `best` are moved by Sightline itself, and `v3` is a version's own name.
    """
    if alias in (LATEST, BEST):
        raise ConfigError(f"The alias {alias} moves by itself: it is worked out. Choose another, such as staging.")
    if VERSION.fullmatch(alias):
        raise ConfigError(f"{alias} is what a version is called. Choose another alias, such as staging.")
    if not ALIAS.fullmatch(alias):
        raise ConfigError(
            f"A version cannot have the alias {alias!r}: a letter comes first, then letters, digits, '_' and '-'."
        )


def listed(versions: Sequence[Artifact]) -> str:
    """The aliases of an artifact's versions, by name, each with the version it points at: `latest (v3), staging (v1)`.

    Args:
        versions: all versions of one artifact.
    """
    found = sorted((alias, one.version) for one in versions for alias in one.aliases)
    return ", ".join(f"{alias} (v{version})" for alias, version in found)
