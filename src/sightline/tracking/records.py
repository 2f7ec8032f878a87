"""The run records: one small JSON file a run, and a lock that says whether the run is still alive."""

from __future__ import annotations

import dataclasses
import json
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from sightline.errors import StoreError

KILLED = "the process ended without a word (killed, or the machine went down)"
INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class RunRecord:
    """What is known of one run.

    Args:
        id: eight hexadecimal digits.
        name: job type and number, such as `training-2`.
        job_type: upload, data_split, training, evaluation or report.
        status: running, finished or failed.
        fingerprint: sha256 over what decides its outcome (inputs by digest, settings); equal, then nothing to redo.
        config: the settings it ran with.
        inputs, outputs: artifacts as `name:vN`.
        summary: final numbers.
        started, finished: ISO 8601, UTC.
        error: why it failed.
    """

    id: str
    name: str
    job_type: str
    status: str = "running"
    fingerprint: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    summary: Mapping[str, Any] = field(default_factory=dict)
    started: str = ""
    finished: str = ""
    error: str = ""

    @property
    def resumable(self) -> bool:
        """Whether it was broken off from outside, so that going on with it makes sense."""
        return self.status == "failed" and self.error in (KILLED, INTERRUPTED)


class RunBook:
    """The records of all runs of a store, in `runs/`; each run's own scratch folder, in `tmp/`."""

    def __init__(self, store: Path) -> None:
        self.folder = store / "runs"
        self._scratch = store / "tmp"
        self._locks: dict[str, FileLock] = {}

    def all(self) -> list[RunRecord]:
        """Every record, oldest first. A run whose process is gone is marked failed on the way."""
        self._mend()
        return self._read_all()

    def begin(self, job_type: str, fingerprint: str, config: Mapping[str, Any]) -> RunRecord:
        """Open the record of a new run; it counts as alive until `end` or until this process is gone."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / "book.lock"):
            number = 1 + sum(record.job_type == job_type for record in self.all())
            record = RunRecord(
                uuid.uuid4().hex[:8], f"{job_type}-{number}", job_type, "running", fingerprint, config, started=now()
            )
            return self._open(record)

    def resume(self, record: RunRecord) -> RunRecord:
        """Open the record of a run that was broken off, to go on with it."""
        with FileLock(self.folder / "book.lock"):
            return self._open(
                dataclasses.replace(record, status="running", finished="", error="", inputs=(), outputs=())
            )

    def update(self, record: RunRecord) -> RunRecord:
        """Write a record, whole or not at all."""
        data = json.dumps(dataclasses.asdict(record), indent=1) + "\n"
        temporary = self.scratch(record.id) / "record.json"
        temporary.write_text(data, encoding="utf-8")
        temporary.replace(self.folder / f"{record.id}.json")
        return record

    def end(self, record: RunRecord, status: str, error: str = "") -> RunRecord:
        """Close a record as finished or failed, and clear the run's scratch folder."""
        closed = self.update(dataclasses.replace(record, status=status, error=error, finished=now()))
        shutil.rmtree(self._scratch / record.id, ignore_errors=True)
        self._unlock(record.id)
        return closed

    def scratch(self, run_id: str) -> Path:
        """The run's own folder for files that are not whole yet; it goes with the run."""
        folder = self._scratch / run_id
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _open(self, record: RunRecord) -> RunRecord:
        lock = self._lock(record.id)
        lock.acquire(timeout=0)
        self._locks[record.id] = lock
        return self.update(record)

    def _read_all(self) -> list[RunRecord]:
        records = [_read(path) for path in self.folder.glob("*.json")]
        return sorted(records, key=lambda record: (record.started, record.id))

    def _mend(self) -> None:
        """Close the records of runs whose process is gone, and clear what they left."""
        alive = set()
        for record in self._read_all():
            if record.status == "running":
                if self._is_alive(record.id):
                    alive.add(record.id)
                else:
                    self.end(record, "failed", KILLED)
        for leftover in self._scratch.glob("*"):
            if leftover.name not in alive and not self._is_alive(leftover.name):
                shutil.rmtree(leftover, ignore_errors=True)
                self._unlock(leftover.name)

    def _is_alive(self, run_id: str) -> bool:
        if run_id in self._locks:
            return True
        if not self._lock_path(run_id).exists():
            return False
        try:
            with self._lock(run_id).acquire(timeout=0):
                return False
        except Timeout:
            return True

    def _lock(self, run_id: str) -> FileLock:
        return FileLock(self._lock_path(run_id))

    def _lock_path(self, run_id: str) -> Path:
        return self.folder / f"{run_id}.lock"

    def _unlock(self, run_id: str) -> None:
        lock = self._locks.pop(run_id, None)
        if lock is not None:
            lock.release()
        self._lock_path(run_id).unlink(missing_ok=True)


def now() -> str:
    """This moment, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _read(path: Path) -> RunRecord:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return RunRecord(**{**data, "inputs": tuple(data["inputs"]), "outputs": tuple(data["outputs"])})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise StoreError(
            f"The run record {path} cannot be read ({error}). Delete it to go on without that run."
        ) from None
