"""The mirror in W&B: every run, its metrics, artifacts, tables and summary, through the SDK."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from wandb.errors import CommError

from sightline.config import Wandb
from sightline.console import say, track
from sightline.tracking.artifact import Artifact
from sightline.tracking.records import RunRecord
from sightline.tracking.tracker import Backend
from sightline.tracking.wandb_run import Heard, Identity, heard, open_run, staged
from sightline.tracking.wandb_state import NEVER, Mirrored, read_state, write_state
from sightline.tracking.wandb_tables import Upload, digest_alias, predictions, upload


class WandbMirror:
    """See `Mirror` for what each method does. What goes wrong is raised.

    Args:
        store: the store's folder; the SDK's files and the states lie in `wandb/` below it.
        project: the tracker's project.
        backend: asked which run made an artifact.
        settings: of the section `wandb`.
    """

    def __init__(self, store: Path, project: str, backend: Backend, settings: Wandb) -> None:
        self._store = store
        self._project = project
        self._backend = backend
        self._settings = settings
        self._run: Any = None
        self._quiet = ExitStack()
        self._heard = Heard()
        self._artifacts: dict[str, Artifact] = {}  # type -> what the run read or saved
        self._uploads: list[Any] = []
        self._floor = self._last = NEVER

    def started(self, record: RunRecord) -> None:
        self._artifacts = {}
        group = self._settings.group or str(record.config.get("sweep", ""))
        self._open(Identity(record.id, record.name, record.job_type, group), record.config)

    def used(self, record: RunRecord, artifact: Artifact) -> None:
        self._artifacts[artifact.type] = artifact
        if self._run.offline:
            return  # the SDK cannot name an input without W&B
        try:
            self._run.use_artifact(f"{artifact.name}:{digest_alias(artifact)}")
        except (ValueError, CommError) as error:
            if "not found" not in str(error):
                raise
            # made without the mirror: bring it along, so that the lineage is whole
            self._run.use_artifact(self._upload(artifact).made, aliases=_aliases(artifact))

    def logged(self, record: RunRecord, step: int, metrics: Mapping[str, Any]) -> None:
        numbers = {_name(key): value for key, value in metrics.items() if key not in record.summary}
        if step <= self._floor or not numbers:
            return
        self._run.log(numbers, step=step, commit=True)
        self._last = step

    def saved(self, record: RunRecord, artifact: Artifact) -> None:
        self._artifacts[artifact.type] = artifact
        made = self._upload(artifact)
        self._log(made.made, _aliases(artifact))
        for name, table in made.tables.items():
            self._show(name, table)

    def ended(self, record: RunRecord) -> None:
        error = {"error": record.error} if record.error or self._run.resumed else {}  # that of the last time goes
        self._run.summary.update({_name(key): value for key, value in record.summary.items()} | error)
        self._close(0 if record.status in ("finished", "stopped") else 1)
        last = self._last
        if on_valid(record):
            self.tell_training(record, self._artifacts)
        self._note(record.id, done=True, step=last)

    def tell_training(self, record: RunRecord, artifacts: Mapping[str, Artifact]) -> None:
        """What an evaluation on valid found, in the run that trained the model too, if W&B has that one.

        Args:
            record: of the evaluation.
            artifacts: type -> what it read and saved.
        """
        model, split, evaluation = (artifacts[kind] for kind in ("model", "split_data", "evaluation"))
        made = [link for link in self._backend.links() if (link.artifact, link.direction) == (model.spec, "output")]
        if not made or not read_state(self._store, made[-1].run_id).done:
            return
        training = Identity(made[-1].run_id, made[-1].run_name, made[-1].job_type, self._settings.group)
        self._open(training, {})
        with staged(self._store):
            holder, table = predictions(training.id, evaluation, split, self._settings.references)
        self._log(holder, None)
        self._show("pred_table", table)
        final = {key: value for key, value in record.summary.items() if key.startswith("final_")}
        known = self._backend.rows(training.id, training.name)[-1:]  # a second offline folder would forget it
        self._run.summary.update({_name(key): value for _, row in [*known, (0, final)] for key, value in row.items()})
        self._close(0)
        self._note(training.id, done=True, step=self._last)

    def dropped(self) -> None:
        run, self._run = self._run, None
        with self._quiet:
            if run:
                run.finish(exit_code=1)

    def _open(self, run: Identity, config: Mapping[str, Any]) -> None:
        self._heard = self._quiet.enter_context(heard())
        self._run = open_run(self._store, self._project, self._settings, run, config)
        self._uploads = []
        state = read_state(self._store, run.id)
        self._clear(state)
        self._floor = self._last = state.step if self._run.offline else self._run.starting_step - 1  # which W&B tells
        say(f"W&B: {self._where()}" + (" (offline: `wandb sync` uploads it)" if self._run.offline else ""))
        self._note(run.id, done=False, offline=self._run.offline, where=self._where())

    def _clear(self, state: Mirrored) -> None:
        """Remove the offline folder of a run whose process was killed: the SDK's file lacks its end, or all of it.

        What it should hold is told again, and `wandb sync` would upload both.
        """
        if state.offline and not state.done and state.where.endswith(state.run):
            shutil.rmtree(self._store / "wandb" / Path(state.where).name, ignore_errors=True)

    def _close(self, exit_code: int) -> None:
        """Wait until W&B has everything, or the time for it is over, and end the run there."""
        until = time.monotonic() + self._settings.timeout
        for made in track(self._uploads, "uploading to W&B", len(self._uploads)):
            made.wait(timeout=max(1, int(until - time.monotonic())))
        self._run.finish(exit_code=exit_code)
        self._heard.check()
        self._quiet.close()
        self._run = None

    def _upload(self, artifact: Artifact) -> Upload:
        with staged(self._store):
            return upload(artifact, self._artifacts, self._settings.references)

    def _log(self, made: Any, aliases: list[str] | None) -> None:
        self._run.log_artifact(made, aliases=aliases)
        if not self._run.offline:
            self._uploads.append(made)

    def _show(self, name: str, table: Any) -> None:
        """Log a table that an artifact holds, as `run.log(table)` does, which imports pandas first (35 MB)."""
        step = self._last = max(self._run.step, self._floor + 1)
        if hasattr(table, "columns"):  # a joined table has no file of its own
            table.bind_to_run(self._run, name, step)
        self._run.log({name: table.to_json(self._run)}, step=step)

    def _where(self) -> str:
        return str(self._run.settings.sync_dir) if self._run.offline else str(self._run.url)

    def _note(self, run_id: str, **facts: Any) -> None:
        write_state(self._store, replace(read_state(self._store, run_id), **facts))


def on_valid(record: RunRecord) -> bool:
    """Whether a run is an evaluation on valid that ended well: the course has what it found in the training's run."""
    return (record.job_type, record.status, record.summary.get("subset")) == ("evaluation", "finished", "valid")


def _name(name: str) -> str:
    """A metric's name as the course writes it: `traffic_light_iou`."""
    return name.replace(" ", "_")


def _aliases(artifact: Artifact) -> list[str]:
    return [*artifact.aliases, digest_alias(artifact)]
