"""One trial after the other: an ordinary training with changed settings, ended early where it does badly."""

from __future__ import annotations

import csv
import gc
import math
import time
from collections.abc import Mapping
from typing import Any

from sightline.config import Config
from sightline.console import say
from sightline.errors import ConfigError, TrainingError
from sightline.stages.train import deciding_all, train
from sightline.sweeps.artifact import shown
from sightline.sweeps.plan import Plan, longest
from sightline.sweeps.study import Claim, Study, Trial
from sightline.tracking import Artifact, RunStopped, Tracker

GIVEN_UP = 3
"""So many failed trials in a row, before any other ended well, end the sweep: what is wrong is wrong for all."""
WAIT = 1.0
"""Seconds between two looks at the trials of other processes."""


def study_of(plan: Plan, config: Config, tracker: Tracker, split: Artifact) -> Study:
    """The study of a plan in the tracker's store, begun or gone on with."""
    digest = plan.digest({**deciding_all(config), "project": tracker.project}, split.digest)
    return Study(plan, tracker.store / "sweeps", digest, config.seed, longest(plan, config))


def run_trials(config: Config, study: Study, tracker: Tracker, split: Artifact) -> None:
    """Work on the trials of a study until all are ended, those that other processes work on too.

    A trial that was broken off goes on where it was. What a trial's settings make impossible (a loss that diverges, a
    network that does not fit into memory) fails that trial alone.

    Args:
        config: the settings that are not varied.
        study: whose trials.
        tracker: where the trainings are kept.
        split: what they train on.

    Raises:
        TrainingError: the first trials all failed.
        SightlineError: what is no fault of the settings, such as a full disk. The trial is gone on with later.
    """
    failed: list[str] = []
    told = False
    while study.running() or not study.is_complete():
        with study.claim() as claim:
            if claim:
                error = _run(config, claim, tracker, split)
                failed = [*failed, error] if error else failed
                _give_up(study, failed)
        if claim is None:
            if not told:
                say(f"sweep: waiting for {_trials(study.running())} that another process works on")
            told = True
            time.sleep(WAIT)


def settings_text(settings: Mapping[str, Any]) -> str:
    """`lr=0.0012 batch_size=8 encoder=resnet18`."""
    return " ".join(f"{name}={shown(value)}" for name, value in settings.items())


def _run(config: Config, claim: Claim, tracker: Tracker, split: Artifact) -> str:
    """Train one trial to its end, whatever that is; why it failed, or nothing."""
    study = claim.study
    head = f"trial {claim.number}/{study.plan.trials}"
    say(f"{head}: {'going on with ' if claim.again else ''}{settings_text(claim.settings)}")
    study.wait_for_twin(claim)
    error = ""
    try:
        changed = study.plan.config(
            config, {one.target.setting: claim.settings[one.name] for one in study.plan.parameters}
        )
        _train(changed, claim, tracker, split)
    except RunStopped:
        _note_run(claim, tracker)
        claim.end("stopped")
    except (TrainingError, ConfigError, MemoryError, RuntimeError) as caught:
        error = _reason(caught)
        claim.note(error=error, value=None)
        _note_run(claim, tracker)
        claim.end("failed")
    if error:
        _free_memory()
    say(f"{head} {settings_text(claim.settings)} {_outcome(study.trial(claim.number), study)}")
    return error


def _train(config: Config, claim: Claim, tracker: Tracker, split: Artifact) -> None:
    mark = {"sweep": claim.study.name, "trial": claim.number}
    watch = _Watch(claim, config.train.epochs)
    model = train(config, tracker, split=split, resume=True, watch=watch, told=mark)
    rows, kept = _history(model), int(model.metadata["best_epoch"])
    watch.catch_up(rows)  # an earlier training of the same settings may have answered, without a word
    value = rows[kept - 1].get(claim.study.plan.metric.name, "")
    _note_run(claim, tracker, model)
    if not value:
        raise TrainingError(f"{claim.study.plan.metric.name} is not defined in epoch {kept}, whose weights were kept.")
    claim.note(model=model.spec, value=float(value), best_epoch=kept, epochs=len(rows))
    claim.end("finished", float(value))


class _Watch:
    """Called after every epoch: tells the study, and ends the training where the study has no hope for it.

    Args:
        claim: the trial.
        epochs: that it has. After the last one nothing is saved by ending it.
    """

    def __init__(self, claim: Claim, epochs: int) -> None:
        self.claim, self.epochs = claim, epochs
        self.metric = claim.study.plan.metric.name
        self.known, trial = set(claim.curve), claim.study.trial(claim.number)
        self.began, self.before = time.monotonic(), trial.seconds
        self.best_miou = -math.inf

    def __call__(self, row: Mapping[str, float]) -> None:
        epoch, value = int(row["epoch"]), row[self.metric]
        facts: dict[str, Any] = {"epochs": epoch, "seconds": self.before + time.monotonic() - self.began}
        if epoch == 1 or row["miou"] > self.best_miou:  # the epoch whose weights training keeps
            self.best_miou = row["miou"]
            facts |= {"best_epoch": epoch, "value": None if math.isnan(value) else value}
        self.claim.note(**facts)
        if epoch not in self.known and not math.isnan(value):
            self.claim.report(epoch, value)
            if epoch < self.epochs and self.claim.is_hopeless():
                raise RunStopped

    def catch_up(self, rows: list[dict[str, str]]) -> None:
        """Tell the study of epochs that it was not told of."""
        for row in rows:
            epoch, value = int(row["epoch"]), row.get(self.metric)
            if value and epoch not in self.claim.curve:
                self.claim.report(epoch, float(value))


def _history(model: Artifact) -> list[dict[str, str]]:
    with model.path("history.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def _note_run(claim: Claim, tracker: Tracker, model: Artifact | None = None) -> None:
    """Keep the name of the trial's run: the one that made the model, or the one that names the trial."""
    mark = {"sweep": claim.study.name, "trial": claim.number}
    own = [
        one.name
        for one in tracker.runs()
        if one.job_type == "training" and (model.spec in one.outputs if model else mark.items() <= one.config.items())
    ]
    claim.note(run=own[-1] if own else "")


def _reason(error: BaseException) -> str:
    """Why a trial failed, in words; what is no fault of its settings is raised again."""
    if isinstance(error, TrainingError | ConfigError):
        return str(error)
    text = str(error)
    if isinstance(error, MemoryError) or "out of memory" in text or "allocate memory" in text:
        return f"out of memory: {text.splitlines()[0] if text else 'smaller images or batches may fit'}"
    raise error


def _free_memory() -> None:
    """What a failed training held; its traceback, gone by now, held it too."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _give_up(study: Study, failed: list[str]) -> None:
    hopeful = study.is_complete() or any(one.state in ("finished", "stopped") for one in study.trials())
    if len(failed) >= GIVEN_UP and not hopeful:
        raise TrainingError(
            f"The sweep is given up: its first {len(failed)} trials failed, the last one so: {failed[-1]} "
            f"`sightline runs` lists them. The same command tries the next ones."
        )


def _outcome(trial: Trial, study: Study) -> str:
    metric, best = study.plan.metric.name, study.best()
    so_far = f", best {_score(best.value)} (trial {best.number})" if best else ""
    if trial.state == "failed":
        return f"failed: {trial.error}{so_far}"
    told = f"{metric} {_score(trial.value)}"
    return (
        f"{told}, stopped early after epoch {trial.epochs}{so_far}" if trial.state == "stopped" else f"{told}{so_far}"
    )


def _score(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _trials(count: int) -> str:
    return f"{count} trial{'' if count == 1 else 's'}"
