"""What there is to look at: datasets, evaluations, classes, rows, one image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sightline.errors import ConfigError, StoreError
from sightline.marks import KINDS
from sightline.tracking import Artifact, RunRecord
from sightline.viewer.answer import answer
from sightline.viewer.palette import smallest_differences

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from sightline.viewer.rows import Rows
    from sightline.viewer.viewer import Viewer

Json = dict[str, Any]


def routes(viewer: Viewer) -> list[BaseRoute]:
    """What the frame and the pages Images and Image ask for."""
    from starlette.routing import Route

    def catalog(_: Request) -> Json:
        return catalog_of(viewer)

    def classes(request: Request) -> Json:
        return classes_of(viewer, request.query_params.get("data", ""))

    def images(request: Request) -> Json:
        given = request.query_params
        return page_of(_rows(viewer, request), given)

    def options(request: Request) -> Json:
        return _rows(viewer, request).options()

    def image(request: Request) -> Json:
        return image_of(viewer, request)

    found = {"catalog": catalog, "classes": classes, "images": images, "options": options, "image": image}
    return [Route(f"/api/{name}", answer(function)) for name, function in found.items()]


def catalog_of(viewer: Viewer) -> Json:
    """The datasets and the evaluations of the store, the newest evaluation first."""
    artifacts = viewer.tracker.artifacts()
    datasets = [one for one in artifacts if one.type == "raw_data"]
    evaluations = [one for one in artifacts if one.type == "evaluation"]
    records = viewer.tracker.runs()
    reported = {str(one.metadata.get("evaluation")): one.spec for one in artifacts if one.type == "report"}
    told = [entry for one in evaluations if (entry := _evaluation(viewer, one, records, reported))]
    return {
        "project": viewer.config.project,
        "dashboard": f"/trackio/?project={viewer.config.project}",
        "datasets": [_dataset(one) for one in reversed(datasets)],
        "evaluations": sorted(told, key=lambda one: one["order"], reverse=True),
        "flag_kinds": list(KINDS),
    }


def _dataset(raw: Artifact) -> Json:
    facts = {key: raw.metadata.get(key, 0) for key in ("images", "groups")}
    named = {"spec": raw.spec, "name": raw.name, "version": f"v{raw.version}", "digest": raw.digest}
    return named | facts | {"latest": "latest" in raw.aliases}


def _evaluation(
    viewer: Viewer, one: Artifact, records: Sequence[RunRecord], reported: Mapping[str, str]
) -> Json | None:
    """An evaluation, None where what it was made from is gone; `reported`: evaluation -> its report."""
    try:
        raw, split, model, _ = viewer.lineage(one)
    except StoreError:
        return None
    outputs = [record for record in records if one.spec in record.outputs]
    return {
        "spec": one.spec, "name": one.name, "version": f"v{one.version}", "model": model.spec, "split": split.spec,
        "raw": raw.spec, "subset": one.metadata.get("subset"), "images": one.metadata.get("images"),
        "miou": one.metadata.get("final_miou"), "evaluation_run": outputs[-1].name if outputs else None,
        "training_run": next((record.name for record in records if model.spec in record.outputs), None),
        "report": reported.get(one.spec), "order": (str(outputs[-1].started) if outputs else "", one.version),
    }  # fmt: skip


def classes_of(viewer: Viewer, data: str) -> Json:
    """The class map with how much of the dataset each class covers."""
    classes = viewer.classes(data)
    *totals, ignored = viewer.places(data).class_totals()
    told = zip(range(len(classes)), classes.names, classes.colors, totals, strict=True)
    return {
        "classes": [{"index": index, "name": name, "color": color, **total} for index, name, color, total in told],
        "ignore_index": classes.ignore_index,
        "ignored_share": ignored["share"],
        "palette": smallest_differences(classes.colors),
    }


def page_of(rows: Rows, given: Any) -> Json:
    """A page of rows, and where nothing passes the filters, which of them is to blame."""
    offset, limit = (_whole(given, key, default) for key, default in (("offset", 0), ("limit", 200)))
    matched = rows.count(given)
    found = rows.select(given, offset, limit) if matched else []
    return {"total": rows.total, "matched": matched, "offset": offset, "rows": found,
            "empty": None if matched else rows.blame(given)}  # fmt: skip


def image_of(viewer: Viewer, request: Request) -> Json:
    """One image: its row, its neighbours in the drive, what each run made of it."""
    name = request.query_params.get("name", "")
    rows = _rows(viewer, request)
    row = rows.named(name)
    if row is None:
        raise StoreError(f"There is no image {name!r} in {request.query_params.get('data', '')}.")
    other = {"iou": row.pop("iou_b"), "miou": row["miou_b"], "loss": row.pop("loss_b")}
    own = {fact: row[fact] for fact in ("iou", "miou", "loss")}
    runs = {
        key: {"spec": request.query_params.get(key, ""), **found} if found["loss"] is not None else None
        for key, found in (("a", own), ("b", other))
    }
    return row | rows.around(name) | runs


def _rows(viewer: Viewer, request: Request) -> Rows:
    given = request.query_params
    return viewer.rows(given.get("data", ""), given.get("a", ""), given.get("b", ""))


def _whole(given: Any, key: str, default: int) -> int:
    text = given.get(key, "") or str(default)
    if not text.isdecimal():
        raise ConfigError(f"`{key}` must be a whole number from 0, not {text!r}.")
    return int(text)
