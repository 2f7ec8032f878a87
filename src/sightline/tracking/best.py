"""The alias `best`: of the models that can be compared, the one with the highest mIoU on the valid subset.

It is worked out from what the versions tell whenever it is asked for, so that no version has to be re-labelled when a
better one comes, another one becomes the latest, or a store is copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from sightline.errors import StoreError
from sightline.tracking.artifact import Artifact

BEST = "best"


def with_best(artifacts: Sequence[Artifact]) -> list[Artifact]:
    """The artifacts, sorted by name, with the alias `best` added to the best version of each model."""
    found: list[Artifact] = []
    for _, group in groupby(artifacts, key=lambda artifact: artifact.name):
        versions = list(group)
        best = best_of(versions)
        found += [replace(one, aliases=(BEST, *one.aliases)) if one is best else one for one in versions]
    return found


def best_of(versions: Sequence[Artifact]) -> Artifact | None:
    """The version with the highest `best_miou` in its metadata, of those that were measured as the latest one was.

    As the latest one: on the same split (by digest), at the same size, by the same recipe; an mIoU of other images or
    other pixels says nothing of which is better. The earlier one of equals.

    Args:
        versions: all versions of one artifact.

    Returns:
        None where the artifact is no model, or none of its versions tells its mIoU.
    """
    latest = next((one for one in versions if "latest" in one.aliases), None)
    measured = [one for one in versions if one.type == "model" and one.metadata.get("best_miou") is not None]
    protocol = _protocol(latest) if latest and measured else None
    rivals = [one for one in measured if protocol and _protocol(one) == protocol]
    return max(rivals, key=lambda one: float(one.metadata["best_miou"]), default=None)


def _protocol(model: Artifact) -> tuple[Any, ...] | None:
    """On what and how the model's epochs were compared; None where it does not tell, or can no longer be read."""
    try:
        config = model.json("config.json")
        return config["split"]["digest"], config["canvas"], config["train"]["recipe"]
    except (StoreError, ValueError, KeyError, TypeError):
        return None
