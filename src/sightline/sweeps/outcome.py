"""What is left of a sweep: an artifact with one row a trial, the file, and which settings mattered."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pyarrow as pa

from sightline.stages.stage import tracked, write_text
from sightline.sweeps.artifact import ABOUT, FILE, TRIALS
from sightline.sweeps.draws import Choice, Range, Weighted, label_of
from sightline.sweeps.plan import Parameter, Plan, describe
from sightline.sweeps.study import Study, Trial
from sightline.table import Table
from sightline.tracking import Artifact, Run, Tracker
from sightline.versions import versions

FIELDS = (
    ("number", pa.int64()),
    ("state", pa.string()),
    ("value", pa.float64()),
    ("best_epoch", pa.int64()),
    ("epochs", pa.int64()),
    ("seconds", pa.float64()),
    ("run", pa.string()),
    ("model", pa.string()),
    ("error", pa.string()),
)
"""Columns of the trials' table, before one for each parameter."""


def save_outcome(study: Study, best: Trial, tracker: Tracker, split: Artifact, name: str) -> Artifact:
    """Keep what came of a sweep as the artifact `NAME_sweep`, unless it is kept already.

    Args:
        study: whose trials are ended.
        best: the best of them.
        tracker: where the run is kept.
        split: what they trained on.
        name: the dataset's.

    Returns:
        The artifact (sweep): `trials.parquet`, `sweep.yaml`, `sweep.json`.
    """
    trials = study.trials()
    models = {one.model: tracker.get(one.model) for one in trials if one.model}
    settings = {"sweep": study.name, "trials": [[one.number, one.state, one.value] for one in trials]}
    work = partial(_save, study=study, trials=trials, best=best, name=name)
    return tracked(tracker, "sweep", [split, *models.values()], settings, work)


def trials_table(trials: Sequence[Trial], plan: Plan) -> Table:
    """One row a trial; a parameter whose values are no numbers is text."""
    columns = {field: pa.array([getattr(one, field) for one in trials], kind) for field, kind in FIELDS}
    columns |= {_column(one): _values(one, trials) for one in plan.parameters}
    return Table(pa.table(columns))


def importances(study: Study) -> tuple[dict[str, float], str]:
    """How much of the differences each parameter explains, 0 to 1, by Optuna; or why that cannot be said."""
    from optuna.importance import get_param_importances

    done = [one for one in study.trials() if one.state == "finished"]
    if len(done) < 2:
        return {}, f"{len(done)} finished trial{'' if len(done) == 1 else 's'} cannot be compared"
    if len({one.value for one in done}) == 1:
        return {}, "all finished trials have the same value"
    try:
        found = get_param_importances(study.library)
    except (RuntimeError, ValueError) as error:
        return {}, str(error).rstrip(".")
    varied = {name: float(share) for name, share in found.items() if len({shown(one, name) for one in done}) > 1}
    return (varied, "") if varied else ({}, "no setting varied among the finished trials")


def shown(trial: Trial, parameter: str) -> Any:
    """A trial's value of a parameter, as the search keeps it."""
    return label_of(trial.settings.get(parameter))


def _column(parameter: Parameter) -> str:
    """A parameter that is called like another column gets its section before its name."""
    return parameter.name if parameter.name not in dict(FIELDS) else f"train.{parameter.name}"


def _values(parameter: Parameter, trials: Sequence[Trial]) -> pa.Array:
    """A parameter's value in each trial: numbers as they are, anything else as text."""
    values = [one.settings.get(parameter.name) for one in trials]
    if all(value is None or (isinstance(value, int | float) and not isinstance(value, bool)) for value in values):
        return pa.array(values, pa.float64() if any(isinstance(value, float) for value in values) else pa.int64())
    return pa.array([None if value is None else str(label_of(value)) for value in values], pa.string())


def _save(run: Run, study: Study, trials: list[Trial], best: Trial, name: str) -> Artifact:
    plan = study.plan
    found, reason = importances(study)
    counts = {state: sum(one.state == state for one in trials) for state in ("finished", "stopped", "failed")}
    run.summary = {"trials": len(trials), **counts, "best_trial": best.number, f"best_{plan.metric.name}": best.value}
    about = {
        "study": study.name,
        "name": plan.name,
        "method": plan.method,
        "metric": {"name": plan.metric.name, "goal": plan.metric.goal},
        "asked": plan.trials,
        "best": best.number,
        "parameters": [_about(one) for one in plan.parameters],
        "fixed": {key: label_of(value) for key, value in plan.fixed.items()},
        "early_terminate": vars(plan.stopping) if plan.stopping else None,
        "importances": found,
        "no_importances": reason,
        "versions": versions(("optuna",)),
    }
    files = {
        TRIALS: trials_table(trials, plan).write(run.scratch / TRIALS),
        ABOUT: write_text(run.scratch / ABOUT, json.dumps(about, indent=1) + "\n"),
        FILE: write_text(run.scratch / FILE, plan.text),
    }
    return run.save(f"{name}_sweep", "sweep", files, {**run.summary, "model": best.model})


def _about(parameter: Parameter) -> Mapping[str, Any]:
    draw = parameter.draw
    log = isinstance(draw, Range) and draw.log
    options = draw.options if isinstance(draw, Choice | Weighted) else ()
    return {
        "name": parameter.name,
        "column": _column(parameter),
        "setting": parameter.target.setting,
        "values": describe(parameter),
        "options": [label_of(parameter.target.convert(option)) for option in options],
        "log": log,
    }
