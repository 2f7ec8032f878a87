"""Run: an evaluation and the training behind it, in numbers."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from sightline.comparison import configuration
from sightline.config import Config, Problem
from sightline.reporting.material import Measured, open_measured
from sightline.reporting.results import Score, results
from sightline.tracking import Artifact, Tracker
from sightline.tracking.plain import plain
from sightline.viewer.answer import answer
from sightline.viewer.walk import reports_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from sightline.viewer.viewer import Viewer

Json = dict[str, Any]


def routes(viewer: Viewer) -> list[BaseRoute]:
    """What the page Run asks for."""
    from starlette.routing import Route

    def run(request: Request) -> Json:
        evaluation = viewer.evaluation(request.query_params.get("a", ""))
        return run_of(viewer.tracker, evaluation, wanted(viewer, evaluation).problem)

    return [Route("/api/run", answer(run))]


def wanted(viewer: Viewer, evaluation: Artifact) -> Config:
    """The viewer's settings; context, targets and title are those of the evaluation's latest report where the viewer
    was started without any of its own: they may have been given as flags to `sightline report` alone."""
    reports = {one.spec for one in reports_of(viewer.tracker, evaluation)}
    found = viewer.config
    for run in [each for each in viewer.tracker.runs() if not reports.isdisjoint(each.outputs)][-1:]:
        for name in ("context", "problem", "report"):
            own = getattr(found, name)
            if own == type(own)():
                found = dataclasses.replace(found, **{name: _section(own, run.config.get(name))})
    return found


def measured(tracker: Tracker, evaluation: Artifact) -> Measured:
    """An evaluation and its model, opened; StoreError where one is missing or damaged."""
    return open_measured(tracker.get(str(evaluation.metadata["model"])), evaluation)


def run_of(tracker: Tracker, evaluation: Artifact, problem: Problem) -> Json:
    """What the page shows of an evaluation.

    Raises:
        StoreError: a file of it or of its model is missing or damaged.
    """
    opened = measured(tracker, evaluation)
    found = results(opened, problem)
    return {
        "spec": evaluation.spec,
        "model": opened.model.spec,
        "subset": found.subset,
        "images": found.images,
        "groups": found.groups,
        "config": plain(configuration(tracker, evaluation)),
        "summary": _flat(opened),
        "miou": _score(found.mean),
        "classes": [{"index": index, **_score(one)} for index, one in enumerate(found.classes)],
        "no_interval": found.no_interval,
        "confusions": [vars(one) for one in found.confusions],
        "history": plain(opened.history.to_dict("records")),
        "versions": {**opened.recipe.get("versions", {}), **evaluation.metadata.get("versions", {})},
        **_runs(tracker, opened),
        "command": f"sightline evaluate --model {opened.model.spec} --subset {found.subset}",
    }


def _section(own: Any, told: Any) -> Any:
    """A section of the settings as a run had it; `own` where the run tells of none that means something now."""
    known = {field.name for field in dataclasses.fields(own)}
    try:
        return type(own)(**{key: value for key, value in (told or {}).items() if key in known})
    except (ValueError, TypeError):
        return own


def _score(one: Score) -> Json:
    low, high = one.interval or (None, None)
    told = {"name": one.name, "color": one.color or None, "iou": one.value, "low": low, "high": high}
    return told | {"baseline": one.baseline, "target": one.target, "status": one.status, "note": one.note}


def _flat(opened: Measured) -> Json:
    """The figures of the whole subset, under the names that the tracker has them by."""
    summary = opened.summary
    keys = ("final_loss", "final_miou", "mean_image_iou", "pixel_accuracy")
    bounds = summary["interval"]["miou"] or (None, None)
    found = {key: summary[key] for key in keys} | {"final_miou_low": bounds[0], "final_miou_high": bounds[1]}
    found |= {"baseline_miou": summary["baseline"]["miou"], "best_epoch": opened.recipe["best_epoch"]}
    return plain(found)  # type: ignore[no-any-return]


def _runs(tracker: Tracker, opened: Measured) -> Json:
    """The names of the runs that made the two artifacts."""
    makers = {spec: run.name for run in tracker.runs() for spec in run.outputs}
    return {"training_run": makers.get(opened.model.spec), "evaluation_run": makers.get(opened.evaluation.spec)}
