"""The command `sync`: mirror in W&B what was not mirrored while it ran."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from sightline.config import Config, Wandb
from sightline.console import say
from sightline.errors import ConfigError, MirrorError, SightlineError
from sightline.flags import STORE, with_settings
from sightline.wording import plural

if TYPE_CHECKING:
    from sightline.tracking import RunRecord, Tracker
    from sightline.tracking.wandb_state import Mirrored


@with_settings(Wandb, names=STORE)
def sync(
    config: Config,
    runs: Annotated[
        list[str] | None, typer.Argument(metavar="RUN", help="Runs by name or id.", show_default=False)
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All runs that are not mirrored yet, oldest first.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Mirror again what is mirrored.")] = False,
) -> None:
    """Mirror runs in W&B that were not mirrored while they ran: W&B was down, had no key, or was not asked for."""
    from sightline.tracking import open_tracker

    tracker = open_tracker(config)
    records = _chosen(tracker, runs or [], everything)
    for state in sync_runs(config, tracker, records, force=force):
        typer.echo(state.where)


def sync_runs(config: Config, tracker: Tracker, records: Sequence[RunRecord], *, force: bool = False) -> list[Mirrored]:
    """Mirror runs in W&B, in this order; those that are mirrored are left alone unless `force`.

    Returns:
        What is known of each run's mirror then.

    Raises:
        ConfigError: the extra is missing.
        MirrorError: W&B has no key, does not answer or refuses. The runs before are mirrored.
        StoreError: an artifact is missing or damaged.
    """
    from sightline.tracking.mirror import check_wandb
    from sightline.tracking.wandb_state import read_state

    check_wandb()
    for done, record in enumerate(records):
        state = read_state(tracker.store, record.id)
        if state.done and not force:
            say(f"sync: {record.name} is mirrored already (--force does it again)")
            continue
        say(f"sync: run {record.name}")
        _mirror(config, tracker, record, f"{done} of {plural(len(records), 'run')} mirrored")
    return [read_state(tracker.store, record.id) for record in records]


def _mirror(config: Config, tracker: Tracker, record: RunRecord, so_far: str) -> None:
    from sightline.tracking.mirror import told
    from sightline.tracking.replay import known_as, replay
    from sightline.tracking.wandb import WandbMirror

    mirror = WandbMirror(tracker.store, tracker.project, tracker.backend, config.wandb)
    try:
        replay(tracker, record, mirror)
        for evaluation in _told_before(tracker, record):
            known = (known_as(tracker, evaluation, spec) for spec in (*evaluation.inputs, *evaluation.outputs))
            mirror.tell_training(evaluation, {artifact.type: artifact for artifact in known})
    except SightlineError:
        mirror.dropped()
        raise
    except Exception as error:
        mirror.dropped()
        raise MirrorError(f"W&B: {told(error)} {so_far}; the same command goes on from there.") from error


def _told_before(tracker: Tracker, training: RunRecord) -> list[RunRecord]:
    """The newest evaluation on valid of what a training made, if it was mirrored when the training was not."""
    from sightline.tracking.wandb import on_valid
    from sightline.tracking.wandb_state import read_state

    made = set(training.outputs) if training.job_type == "training" else set()
    own = [one for one in tracker.runs() if on_valid(one) and made & set(one.inputs)]
    return [one for one in own[-1:] if read_state(tracker.store, one.id).done]


def _chosen(tracker: Tracker, names: Sequence[str], everything: bool) -> list[RunRecord]:
    """The runs that are meant, each once, oldest first; ConfigError where that is not clear."""
    if bool(names) == everything:
        raise ConfigError("Which runs? Name some (`sightline runs` lists them), or give --all: one of the two.")
    known = tracker.runs()
    unknown = [name for name in names if not any(name in (one.name, one.id) for one in known)]
    if unknown:
        raise ConfigError(f"There is no run {unknown[0]} in {tracker.store}. `sightline runs` lists those there are.")
    chosen = [one for one in known if everything or one.name in names or one.id in names]
    busy = [one.name for one in chosen if one.status == "running"]
    if busy and not everything:
        raise ConfigError(f"The run {busy[0]} is under way. Wait for it, or stop it.")
    return [one for one in chosen if one.status != "running"]
