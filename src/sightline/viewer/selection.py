"""Report: the one of a run, and one written for the images that are selected."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sightline.config import Evaluate
from sightline.errors import ConfigError, StoreError
from sightline.reporting.material import Material, open_material
from sightline.stages.evaluate import baseline_of, summary_of
from sightline.stages.report import REPORT, looks_at_test
from sightline.table import KEY
from sightline.tracking import Artifact, Tracker
from sightline.viewer.answer import answer
from sightline.viewer.runs import wanted
from sightline.viewer.walk import reports_of
from sightline.wording import SUBSETS, plural

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from sightline.config import Config
    from sightline.viewer.viewer import Viewer

Json = dict[str, Any]

POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'; sandbox allow-scripts allow-popups"
)
"""For pages that carry everything in themselves: they load nothing, and count as of no origin, so that a report of
someone else's cannot speak to the viewer. Which scripts may run the page's own policy says, by their digests."""


def routes(viewer: Viewer) -> list[BaseRoute]:
    """The report of a run, one for a selection, and the files in `reports/` of the store."""
    from starlette.routing import Route

    def report(request: Request) -> Response:
        evaluation = viewer.evaluation(request.query_params.get("a", ""))
        return page(report_of(viewer.tracker, evaluation).path(REPORT))

    def written(request: Request) -> Response:
        return page(published(viewer.store, request.path_params["file"]))

    def write(_: Request, body: Json) -> Json:
        filters = str(body.get("filters", ""))
        evaluation = viewer.evaluation(str(body.get("a", "")))
        names = selected(viewer, evaluation, filters)
        path, images = write_report(viewer.tracker, wanted(viewer, evaluation), evaluation, names, filters)
        return {"url": f"/reports/{path.name}", "images": images}

    return [
        Route("/report", answer(report), methods=["GET"]),
        Route("/api/report", answer(write), methods=["POST"]),
        Route("/reports/{file}", answer(written), methods=["GET"]),
    ]


def report_of(tracker: Tracker, evaluation: Artifact) -> Artifact:
    """The latest report of an evaluation.

    Raises:
        StoreError: there is none yet.
    """
    reports = reports_of(tracker, evaluation)
    if not reports:
        raise StoreError(
            f"There is no report of {evaluation.spec} yet: `sightline report --evaluation {evaluation.spec}`."
        )
    return max(reports, key=lambda one: one.version)


def published(store: Path, name: str) -> Path:
    """An HTML file in `reports/` of the store; the name is looked up among those that lie there, and joined to nothing.

    Raises:
        StoreError: there is no such file.
    """
    folder = store / "reports"
    files = {path.name: path for path in folder.glob("*.html") if path.is_file() and not path.is_symlink()}
    if name not in files or name.startswith("."):
        raise StoreError(f"There is no report {name!r} in the store. It may have been deleted: write it again.")
    return files[name]


def page(path: Path) -> Response:
    """A page that carries everything in itself, under a policy of its own."""
    from starlette.responses import FileResponse

    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}
    return FileResponse(path, media_type="text/html; charset=utf-8", headers=headers)


def write_report(
    tracker: Tracker, config: Config, evaluation: Artifact, names: Collection[str], filters: str
) -> tuple[Path, int]:
    """Write the report of an evaluation, narrowed to some images, to `reports/selection-….html` of the store.

    It is no artifact: it can be had again from the evaluation and the query string, which stands in its head.

    Returns:
        Its path, and on how many images it measures.

    Raises:
        ConfigError: none of the images was measured.
        StoreError: an artifact is missing or damaged.
    """
    from sightline.reporting.facts import gather
    from sightline.reporting.page import render
    from sightline.stages.report import lineage

    inputs = lineage(tracker, evaluation)
    material = narrowed(open_material(*inputs), names, filters)
    facts = gather(material, config, inputs[0].name, looks_at_test(tracker.runs(), inputs[0].name))
    mark = hashlib.sha256(f"{evaluation.spec}\n{evaluation.digest}\n{filters}\n{sorted(names)}".encode()).hexdigest()[
        :12
    ]
    path = tracker.store / "reports" / f"selection-{evaluation.name}-v{evaluation.version}-{mark}.html"
    return put(path, render(facts, material)), len(material.predictions)


def narrowed(material: Material, names: Collection[str], filters: str) -> Material:
    """The material of a report as if there were no other images than these.

    The tables are filtered, the confusion matrix is added up anew from the images' own, and every figure of the
    summary is worked out from that, as `evaluate` does; split and training stay what they were.

    Args:
        material: of the whole evaluation.
        names: `File_Name` of the images.
        filters: how they were selected, as a query string; it is told in the report.

    Raises:
        ConfigError: none of the images was measured.
    """
    kept = material.predictions[material.predictions[KEY].isin(list(names))].reset_index(drop=True)
    if not len(kept):
        raise ConfigError(
            f"None of the {plural(len(names), 'selected image')} was measured by {material.evaluation.spec}, which "
            f"is about the {SUBSETS[material.subset]} subset. Select some of that subset (split={material.subset})."
        )
    size = len(material.classes)
    matrices = np.array(kept["confusion"].tolist(), np.int64).reshape(-1, size, size)
    return dataclasses.replace(
        material,
        eda=_only(material.eda, names),
        rows=_only(material.rows, names),
        predictions=kept,
        confusion=matrices.sum(axis=0),
        summary=_summary(material, kept, matrices),
        selection=_told(material, len(names), len(kept), filters),
    )


def selected(viewer: Viewer, evaluation: Artifact, filters: str) -> list[str]:
    """`File_Name` of the images that a query string selects, of the dataset that the evaluation comes from."""
    from starlette.datastructures import QueryParams

    raw = viewer.lineage(evaluation)[0]
    return viewer.rows(raw.spec, evaluation.spec, "").names(QueryParams(filters))


def put(path: Path, content: bytes) -> Path:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _only(rows: Any, names: Collection[str]) -> Any:
    return rows[rows[KEY].isin(list(names))].reset_index(drop=True)


def _summary(material: Material, kept: Any, matrices: Any) -> Json:
    spread, classes = material.summary["interval"], material.classes
    told = material.evaluation.metadata.get("settings", {})
    settings = Evaluate(subset="test" if material.subset == "test" else "valid", resamples=int(spread["resamples"]))
    rows = kept[["Group", "loss"]].to_dict("records")
    summary = summary_of(rows, matrices, classes, settings, int(told.get("seed", 42)))
    majority = classes.names.index(material.summary["baseline"]["class"])
    return {**summary, "baseline": baseline_of(matrices, majority, classes)}


def _told(material: Material, chosen: int, measured: int, filters: str) -> str:
    whole = int(material.summary["images"])
    how = f"selected in the viewer by {filters}" if filters else "selected in the viewer without a filter"
    return (
        f"This report is about {plural(chosen, 'image')} of {len(material.eda):,}, {how}. The results are those of the "
        f"{measured:,} of them that were measured, out of {whole:,} of {material.evaluation.spec}."
    )
