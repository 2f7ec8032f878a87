"""Overview: the walk as a pipeline, what the data holds, what ingest warned of, what changed in this version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sightline.changes import changes_since, version_before
from sightline.stages.stage import STAGES
from sightline.tracking import Artifact, RunRecord, Tracker
from sightline.viewer.answer import answer
from sightline.viewer.walk import SOURCES, walk
from sightline.wording import score

if TYPE_CHECKING:
    import pyarrow as pa
    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from sightline.viewer.viewer import Viewer

Json = dict[str, Any]

LISTED = 500
"""Names of a list that are sent; the counts are whole."""
TYPES = dict(zip(STAGES.values(), ("raw_data", "split_data", "model", "evaluation", "report"), strict=True))
"""Stage -> type of the artifact that it makes."""
FLAGS = {"split": "--raw", "train": "--split", "evaluate": "--model", "report": "--evaluation"}
"""Stage -> the flag that names what it is made from."""


def routes(viewer: Viewer) -> list[BaseRoute]:
    """What the page Overview asks for."""
    from starlette.routing import Route

    def overview(request: Request) -> Json:
        given = request.query_params
        raw = viewer.raw(given.get("data", ""))
        evaluation = viewer.evaluation(given["a"]) if given.get("a") else None
        return overview_of(viewer.tracker, raw, evaluation)

    return [Route("/api/overview", answer(overview))]


def overview_of(tracker: Tracker, raw: Artifact, evaluation: Artifact | None = None) -> Json:
    """What the page shows of one version of a dataset, and of the evaluation that is looked at, if any.

    Raises:
        StoreError: a file of the dataset is missing or damaged.
    """
    record = raw.json("ingest.json")
    return {
        "stages": stages(tracker, raw, evaluation),
        "counts": counts(raw.table("eda_table.parquet", ["Group", "Drive", "Width", "Height"]).data),
        "warnings": [_told(problem) for problem in record["warnings"]],
        "skipped": [_told(problem) for problem in record["skipped"]],
        "beyond_limit": record.get("beyond_limit", 0),
        "changes": _changes(tracker, raw),
    }


def stages(tracker: Tracker, raw: Artifact, evaluation: Artifact | None = None) -> list[Json]:
    """The five stages in order, each with its artifact and its run, or the command that makes what is missing.

    The artifacts are those that `evaluation` came from and what came of it; else the latest made from this dataset.
    """
    line = walk(tracker, raw, evaluation)
    runs = tracker.runs()
    made, boxes = raw, []
    for job_type, stage in STAGES.items():
        artifact = line.get(TYPES[stage])
        boxes.append(_box(job_type, stage, artifact, _run(runs, job_type, artifact, made), made))
        made = artifact or made
    return boxes


def counts(rows: pa.Table) -> Json:
    """Images, groups, drives, and how often each size occurs, the most frequent first."""
    import pyarrow.compute as pc

    sizes = rows.group_by(["Width", "Height"]).aggregate([([], "count_all")]).to_pylist()
    listed = sorted(((one["Width"], one["Height"], one["count_all"]) for one in sizes), key=lambda one: (-one[2], one))
    groups, drives = (pc.count_distinct(rows[name]).as_py() for name in ("Group", "Drive"))
    return {"images": rows.num_rows, "groups": groups, "drives": drives, "sizes": [list(one) for one in listed]}


def seconds(run: RunRecord) -> float | None:
    """How long a run took; None while it runs."""
    if not run.started or not run.finished:
        return None
    return (datetime.fromisoformat(run.finished) - datetime.fromisoformat(run.started)).total_seconds()


def _run(runs: Sequence[RunRecord], job_type: str, artifact: Artifact | None, source: Artifact) -> RunRecord | None:
    """The run of a stage: one at work on the source now, else the one that made the artifact, else the last try."""
    own = [run for run in runs if run.job_type == job_type]
    tries = [run for run in own if source.spec in run.inputs or job_type == "upload"]
    makers = [run for run in own if artifact and artifact.spec in run.outputs]
    working = [run for run in tries if run.status == "running"]
    last = working[-1:] or makers[-1:] or ([] if artifact else tries[-1:])
    return last[0] if last else None


def _box(job_type: str, stage: str, artifact: Artifact | None, run: RunRecord | None, source: Artifact) -> Json:
    missing = "finished" if artifact else "missing"
    return {
        "stage": stage,
        "job_type": job_type,
        "run": run.name if run else None,
        "status": run.status if run else missing,
        "error": run.error if run else "",
        "spec": artifact.spec if artifact else None,
        "digest": artifact.digest if artifact else None,
        "files": len(artifact.files) if artifact else 0,
        "created": run.started if run else None,
        "seconds": seconds(run) if run else None,
        "facts": _facts(artifact, run) if artifact else "",
        "command": _command(stage, source),
    }


def _command(stage: str, source: Artifact) -> str:
    """What makes the artifact of a stage; it names what it is made from, where that is there."""
    fits = SOURCES.get(TYPES[stage], ("", ""))[1] == source.type
    return f"sightline {stage} {FLAGS[stage]} {source.spec}" if fits else f"sightline {stage}"


def _facts(artifact: Artifact, run: RunRecord | None) -> str:
    """The artifact in a line."""
    told = {**(run.summary if run else {}), **artifact.metadata}
    if artifact.type == "raw_data":
        return f"{told.get('images', '–')} images of {told.get('groups', '–')} groups"
    if artifact.type == "split_data":
        return " · ".join(
            f"{told[f'{name}_images']} {name}" for name in ("train", "valid", "test") if told.get(f"{name}_images")
        )
    if artifact.type == "model":
        return f"best mIoU {score(told.get('best_miou'))} on valid, epoch {told.get('best_epoch', '–')}"
    if artifact.type == "evaluation":
        return f"mIoU {score(told.get('final_miou'))} on {told.get('images', '–')} images of {told.get('subset', '–')}"
    return f"{told['targets_met']} of {told['targets']} targets met" if told.get("targets") else "no targets set"


def _told(problem: Mapping[str, str]) -> Json:
    detail = f": {problem['detail']}" if problem["detail"] else ""
    return {"file": problem["file"], "reason": f"{problem['kind']}{detail}"}


def _changes(tracker: Tracker, raw: Artifact) -> Json | None:
    before = version_before(tracker, raw)
    if before is None:
        return None
    found = changes_since(tracker, before, raw).to_dict()
    lists = {key: value for key, value in found.items() if isinstance(value, list)}
    return {
        **found,
        **{key: value[:LISTED] for key, value in lists.items()},
        "counts": {key: len(value) for key, value in lists.items()},
    }
