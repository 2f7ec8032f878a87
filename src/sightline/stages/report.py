"""Report: everything the stages before it found, as one HTML file that opens offline."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from sightline.config import Config
from sightline.console import say
from sightline.errors import ConfigError, StoreError
from sightline.stages.stage import dataset_name, resolve, tracked
from sightline.tracking import Artifact, Run, RunRecord, Tracker, open_tracker

REPORT = "report.html"


def report(
    config: Config,
    tracker: Tracker | None = None,
    *,
    evaluation: Artifact | str | None = None,
    force: bool = False,
) -> Artifact:
    """Write the report of an evaluation, and of the model, split and data that it comes from.

    A copy is put at `{store}/reports/{NAME}_report.html`, where people find it. The report of an evaluation on the
    test subset is an artifact of its own, `NAME_report_test`.

    Args:
        config: context, targets, title and number of example images; all of it stands in the report.
        tracker: where the run is kept; opened from `config` when left out.
        evaluation: the evaluation to report, or its name; the latest one on `config.evaluate.subset` when left out.
        force: do it even when it is up to date.

    Returns:
        The artifact `NAME_report` (report) with the file `report.html`.

    Raises:
        ConfigError: no dataset is named, or the artifact is no evaluation.
        StoreError: an artifact is missing or damaged.
    """
    from sightline.reporting.recipe import seeds_of, settings_of, versions_of

    tracker = tracker or open_tracker(config)
    name = dataset_name(config, tracker)
    wanted = f"{name}_eval_test" if config.evaluate.subset == "test" else f"{name}_eval"
    inputs = lineage(tracker, resolve(tracker, evaluation, wanted))
    looks = looks_at_test(tracker.runs(), name)
    settings = {**settings_of(config, *inputs), "seeds": seeds_of(config, *inputs), "test_looks": looks}
    settings["versions"] = versions_of(*inputs)
    settings |= {key: value for key, value in inputs[-1].metadata.items() if key == "alias"}
    sweep = sweep_of(tracker, inputs[2])
    work = partial(_write, inputs=inputs, sweep=sweep, config=config, name=name, looks=looks)
    artifact = tracked(tracker, "report", [*inputs, *([sweep] if sweep else [])], settings, work, force=force)
    say(f"report: open {publish(artifact, tracker.store)}")
    return artifact


def lineage(tracker: Tracker, evaluation: Artifact) -> tuple[Artifact, Artifact, Artifact, Artifact]:
    """Raw data, split, model and evaluation: the versions that the evaluation comes from.

    Raises:
        ConfigError: the artifact is no evaluation.
        StoreError: an artifact is missing, or does not say where it comes from.
    """
    if evaluation.type != "evaluation":
        raise ConfigError(f"{evaluation.spec} is of type {evaluation.type}. A report needs an evaluation: NAME_eval.")
    model, split = (tracker.get(_source(evaluation, key)) for key in ("model", "split"))
    return tracker.get(_source(split, "raw")), split, model, evaluation


def sweep_of(tracker: Tracker, model: Artifact) -> Artifact | None:
    """The newest sweep that the model was a trial of: what a run read that model for; None where there is none."""
    links = [link for link in tracker.backend.links() if link.job_type == "sweep"]
    readers = {link.run_id for link in links if link.direction == "input" and link.artifact == model.spec}
    made = [link.artifact for link in links if link.direction == "output" and link.run_id in readers]
    return tracker.get(made[-1]) if made else None


def looks_at_test(runs: list[RunRecord], name: str) -> int:
    """How many finished runs evaluated a model on the test subset of the dataset."""
    return sum(
        run.job_type == "evaluation" and run.status == "finished" and _subset(run) == "test" and _concerns(run, name)
        for run in runs
    )


def publish(artifact: Artifact, store: Path) -> Path:
    """Copy the report to where people find it, whole or not at all; a copy that is there already is left alone."""
    source, target = artifact.path(REPORT), store / "reports" / f"{artifact.name}.html"
    target.parent.mkdir(parents=True, exist_ok=True)
    content = source.read_bytes()
    if not target.is_file() or target.read_bytes() != content:
        temporary = target.with_name(f".{target.name}.tmp")
        temporary.write_bytes(content)
        temporary.replace(target)
    return target


def _write(
    run: Run,
    inputs: tuple[Artifact, Artifact, Artifact, Artifact],
    sweep: Artifact | None,
    config: Config,
    name: str,
    looks: int,
) -> Artifact:
    from sightline.reporting.facts import gather
    from sightline.reporting.material import open_material
    from sightline.reporting.page import render

    material = open_material(*inputs)
    facts = gather(material, config, name, looks, sweep)
    path = run.scratch / REPORT
    path.write_bytes(render(facts, material))
    run.summary = _summary(facts.results)
    keys = ("raw", "split", "model", "evaluation")
    metadata = {key: artifact.spec for key, artifact in zip(keys, inputs, strict=True)}
    metadata |= {"sweep": sweep.spec} if sweep else {}
    suffix = "_report" if material.subset == "valid" else "_report_test"
    return run.save(name + suffix, "report", {REPORT: path}, metadata)


def _summary(results: Any) -> dict[str, Any]:
    held = [score for score in results.scores if score.status]
    return {
        "final_miou": results.mean.value,
        "targets": len(held),
        "targets_met": sum(score.status == "met" for score in held),
    }


def _source(artifact: Artifact, key: str) -> str:
    spec = artifact.metadata.get(key)
    if not isinstance(spec, str) or not spec:
        raise StoreError(
            f"{artifact.spec} does not say which {key} it comes from, so there is nothing to report on. "
            "Run the stage that made it again with --force."
        )
    return spec


def _subset(run: RunRecord) -> str:
    nested = run.config.get("evaluate")
    return str(run.config.get("subset") or (nested.get("subset") if isinstance(nested, dict) else ""))


def _concerns(run: RunRecord, name: str) -> bool:
    names = {spec.partition(":")[0] for spec in (*run.inputs, *run.outputs)}
    return bool(names & {f"{name}_split", f"{name}_eval_test"})
