"""The walk: every stage in order, each skipped while it is up to date."""

from __future__ import annotations

from dataclasses import dataclass

from sightline.config import Config
from sightline.console import say
from sightline.learning.ranks import alone
from sightline.stages.evaluate import evaluate
from sightline.stages.ingest import ingest
from sightline.stages.report import report
from sightline.stages.split import split
from sightline.stages.train import train
from sightline.tracking import Artifact, Tracker, open_tracker


@dataclass(frozen=True)
class Walk:
    """What the stages of one walk made, or found up to date."""

    raw: Artifact
    split: Artifact
    model: Artifact
    evaluation: Artifact
    report: Artifact


def run(config: Config, tracker: Tracker | None = None, *, force: bool = False) -> Walk:
    """Walk from a folder of images to a report; what was broken off is gone on with.

    Args:
        config: the settings of all stages.
        tracker: where the runs are kept; opened from `config` when left out.
        force: redo every stage, whether or not it is up to date.

    Raises:
        SightlineError: what the stages raise.
    """
    alone("The whole walk")
    tracker = tracker or open_tracker(config)
    before = len(tracker.runs())
    raw = ingest(config, tracker, force=force)
    dealt = split(config, tracker, raw=raw, force=force)
    model = train(config, tracker, split=dealt, force=force, resume=not force)
    evaluation = evaluate(config, tracker, model=model, force=force)
    page = report(config, tracker, evaluation=evaluation, force=force)
    if len(tracker.runs()) == before:
        say("Nothing to do: every stage is up to date.")
    return Walk(raw, dealt, model, evaluation, page)
