"""Split: how the images were dealt, class by class, and the pairs that the leak check found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sightline.leaks import describe
from sightline.stages.stage import JOINED
from sightline.table import KEY
from sightline.tracking import Artifact
from sightline.tracking.plain import plain
from sightline.viewer.answer import answer
from sightline.viewer.walk import latest_split

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from sightline.viewer.viewer import Viewer

Json = dict[str, Any]


def routes(viewer: Viewer) -> list[BaseRoute]:
    """What the page Split asks for."""
    from starlette.routing import Route

    def split(request: Request) -> Json:
        found = split_for(viewer, request)
        if found is None:
            return {
                "spec": None,
                "command": f"sightline split --raw {viewer.raw(request.query_params.get('data', '')).spec}",
            }
        told = split_of(found)
        ids = viewer.rows(request.query_params.get("data", ""), "", "").ids(_names(told["pairs"]))
        for pair in told["pairs"]:
            for side in ("left", "right"):
                pair[side]["id"] = ids.get(pair[side][KEY])
        return told

    return [Route("/api/split", answer(split))]


def split_for(viewer: Viewer, request: Request) -> Artifact | None:
    """The split of the run that is looked at, else the latest one of the dataset; None where it has none."""
    given = request.query_params
    if given.get("a"):
        return viewer.lineage(viewer.evaluation(given["a"]))[1]
    return latest_split(viewer.tracker, viewer.raw(given.get("data", "")))


def split_of(split: Artifact) -> Json:
    """What the page shows of a split, but for the rows' numbers.

    Raises:
        StoreError: a file of it is missing or damaged.
    """
    document = split.json("split.json")
    return {
        "spec": split.spec,
        **document,
        "checks": [{"well": well, "text": text} for well, text in describe(document["leaks"])],
        "class_shares": plain(split.table("class_shares.parquet").rows()),
        "groups": groups(split),
        "pairs": pairs(document["leaks"]),
    }


def groups(split: Artifact) -> list[Json]:
    """Each group with its drive, its subset and its number of images, sorted; a group in two subsets stands twice."""
    rows = split.table(JOINED, ["Group", "Drive", "Stage"]).data
    found = rows.group_by(["Drive", "Group", "Stage"]).aggregate([([], "count_all")]).to_pylist()
    listed = [
        {"group": one["Group"], "drive": one["Drive"], "subset": one["Stage"], "images": one["count_all"]}
        for one in found
    ]
    return sorted(listed, key=lambda one: (one["drive"], one["group"], one["subset"]))


def pairs(leaks: Mapping[str, Any]) -> list[Json]:
    """The pairs that the leak check listed, near-duplicates first, each with its two images."""
    alike = [{**_pair("near-duplicate", one), "bits": one["distance"]} for one in leaks["near_duplicates"]]
    return alike + [{**_pair("touching", one), "frames": one["frames_apart"]} for one in leaks["touching"]]


def _pair(kind: str, pair: Mapping[str, Any]) -> Json:
    left, right = ({KEY: pair[side], "Stage": pair[f"{side}_subset"]} for side in ("a", "b"))
    return {"kind": kind, "left": left, "right": right}


def _names(found: list[Json]) -> list[str]:
    return list(dict.fromkeys(pair[side][KEY] for pair in found for side in ("left", "right")))
