"""A sweep, from the images to the report: the stages before the trials, the trials, and the best model's evaluation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock

from sightline.config import Config
from sightline.console import say
from sightline.errors import ConfigError, TrainingError
from sightline.learning.ranks import alone
from sightline.stages.evaluate import evaluate
from sightline.stages.ingest import ingest
from sightline.stages.report import report
from sightline.stages.split import split
from sightline.stages.stage import JOINED, dataset_name
from sightline.stages.train import train
from sightline.sweeps.outcome import save_outcome
from sightline.sweeps.plan import check_classes, check_networks, read_plan
from sightline.sweeps.study import Study, need_optuna, storing
from sightline.sweeps.trials import run_trials, settings_text, study_of
from sightline.sweeps.workers import run_workers
from sightline.tracking import Artifact, Tracker, open_tracker


@dataclass(frozen=True)
class Swept:
    """What came of a sweep.

    Args:
        sweep: the artifact `NAME_sweep`: one row a trial.
        model: of the best trial, which `NAME_model:latest` is from now on.
        evaluation: of that model on valid.
        report: with the sweep in it.
    """

    sweep: Artifact
    model: Artifact
    evaluation: Artifact
    report: Artifact


def sweep(
    config: Config, file: str | Path, tracker: Tracker | None = None, *, trials: int | None = None, parallel: int = 1
) -> Swept:
    """Search the settings of training for the best ones; what was broken off is gone on with, and nothing done twice.

    Args:
        config: the settings that the sweep does not vary.
        file: the sweep file, in W&B's words: `method`, `metric`, `parameters`, `early_terminate`, `run_cap`.
        tracker: where the runs are kept; opened from `config` when left out.
        trials: how many, in place of the file's `run_cap`. More than before: the sweep goes on.
        parallel: processes that work on trials side by side on this machine. The same call in another process, or on
            another machine that shares the store, joins in.

    Returns:
        The artifacts `NAME_sweep`, `NAME_model`, `NAME_eval` and `NAME_report`.

    Raises:
        ConfigError: the file or a value in it does not fit; Optuna is not installed; `tracker: none`.
        TrainingError: no trial came to an end.
        SightlineError: what the stages raise.
    """
    alone("A sweep")
    need_optuna()
    _check(config)
    plan = read_plan(Path(file), config, trials)
    check_networks(plan, config, Path(file))
    tracker = tracker or open_tracker(config)
    with _alone_on_the_walk(tracker):
        raw = ingest(config, tracker)
        dealt = split(config, tracker, raw=raw)
    check_classes(plan, *_classes(dealt))
    study = study_of(plan, config, tracker, dealt)
    with storing(study.path):
        _announce(study)
        if parallel > 1 and not study.is_complete():
            run_workers(config, Path(file), plan.trials, dealt.spec, parallel)
        run_trials(config, study, tracker, dealt)
        with _alone_on_the_walk(tracker):
            return _finish(config, study, tracker, dealt)


def _alone_on_the_walk(tracker: Tracker) -> FileLock:
    """Held round the stages before and after the trials: another process of the sweep then finds them done."""
    folder = tracker.store / "sweeps"
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / "walk.lock")


def _check(config: Config) -> None:
    if config.tracker == "none":
        raise ConfigError("A sweep goes on from what the store keeps, which --tracker none does not.")
    if config.evaluate.subset != "valid":
        raise ConfigError(
            "A sweep chooses by the valid subset. Leave out --subset, and measure the chosen model on test when all is "
            "chosen: sightline evaluate --subset test."
        )


def _classes(dealt: Artifact) -> tuple[tuple[str, ...], dict[str, int]]:
    """The classes, and how many images of valid show each."""
    table = dealt.table(JOINED)
    names = table.classes.names if table.classes else ()
    rows = [row for row in table.rows() if row["Stage"] == "valid"]
    return names, {name: sum(bool(row[name]) for row in rows) for name in names}


def _announce(study: Study) -> None:
    plan, trials = study.plan, study.trials()
    for hint in plan.hints:
        say(f"sweep: {hint}")
    say(f"sweep {plan.name}: {plan.told()}")
    if not trials and study.known:
        say(
            f"sweep {plan.name}: the file, the settings or the data are not those of the {len(study.known)} studies "
            f"before; this is a new one ({study.name}). The others are kept."
        )
    ended = sum(one.state != "running" for one in trials)
    if study.is_complete() and ended == len(trials):
        say(f"sweep {plan.name}: up to date, {ended} trials are ended (--trials asks for more)")
    elif trials:
        say(f"sweep {plan.name}: going on, {ended} of {plan.trials} trials are ended")


def _finish(config: Config, study: Study, tracker: Tracker, dealt: Artifact) -> Swept:
    best = study.best()
    if best is None:
        raise TrainingError(_none_finished(study))
    say(f"sweep {study.plan.name}: the best is trial {best.number}, {settings_text(best.settings)}")
    changes = {one.target.setting: best.settings[one.name] for one in study.plan.parameters}
    model = train(study.plan.config(config, changes), tracker, split=dealt, resume=True)
    outcome = save_outcome(study, replace(best, model=model.spec), tracker, dealt, dataset_name(config, tracker))
    evaluation = evaluate(config, tracker, model=model)
    return Swept(outcome, model, evaluation, report(config, tracker, evaluation=evaluation))


def _none_finished(study: Study) -> str:
    trials = study.trials()
    failed = [one for one in trials if one.state == "failed"]
    why = f" The last one: {failed[-1].error}" if failed else ""
    return (
        f"None of {len(trials)} trials came to an end: {len(failed)} failed, {len(trials) - len(failed)} were stopped "
        f"early.{why} `--trials {len(trials) + study.plan.trials}` tries more."
    )
