"""Which artifacts of a store belong to one walk: the dataset, its split, a model, an evaluation and its report."""

from __future__ import annotations

from collections.abc import Sequence

from sightline.tracking import Artifact, Tracker

SOURCES = {
    "split_data": ("raw", "raw_data"),
    "model": ("split", "split_data"),
    "evaluation": ("model", "model"),
    "report": ("evaluation", "evaluation"),
}
"""Type of an artifact -> the key of its metadata that names what it was made from, and the type of that."""


def walk(tracker: Tracker, raw: Artifact, evaluation: Artifact | None = None) -> dict[str, Artifact]:
    """Type -> artifact, of one walk over this dataset: through `evaluation` where that is given, else the latest."""
    known = tracker.artifacts()
    line = {one.type: one for one in _origins(known, evaluation)}
    if line.get("raw_data") != raw:
        line = {"raw_data": raw}
    for kind, (key, above) in SOURCES.items():
        source = line.get(above)
        made = [one for one in known if source and one.type == kind and one.metadata.get(key) == source.spec]
        if kind not in line and made:
            line[kind] = max(made, key=lambda one: ("latest" in one.aliases, one.version))
    return line


def latest_split(tracker: Tracker, raw: Artifact) -> Artifact | None:
    """The latest split of a dataset."""
    return walk(tracker, raw).get("split_data")


def reports_of(tracker: Tracker, evaluation: Artifact) -> list[Artifact]:
    """All reports of an evaluation."""
    spec = evaluation.spec
    return [one for one in tracker.artifacts() if one.type == "report" and one.metadata.get("evaluation") == spec]


def _origins(known: Sequence[Artifact], evaluation: Artifact | None) -> list[Artifact]:
    """The evaluation, its model, its split and its data."""
    specs, found, one = {each.spec: each for each in known}, list[Artifact](), evaluation
    while one is not None:
        found.append(one)
        key, _ = SOURCES.get(one.type, ("", ""))
        one = specs.get(str(one.metadata.get(key)))
    return found
