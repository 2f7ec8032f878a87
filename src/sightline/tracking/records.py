"""The run records: one small JSON file a run, and a lock that says whether the run is still alive."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from sightline.errors import StoreError
from sightline.tracking.disk import writing

KILLED = "the process ended without a word (killed, or the machine went down)"
INTERRUPTED = "interrupted"
DISK_FULL = "the disk is full"


@dataclass(frozen=True)
class RunRecord:
    """What is known of one run.

    Args:
        id: eight hexadecimal digits.
        name: job type and number, such as `training-2`.
        job_type: upload, data_split, training, evaluation or report.
        status: running, finished, failed, or stopped: ended early on purpose, so that nothing came of it.
        fingerprint: sha256 over what decides its outcome (inputs by digest, settings); equal, then nothing to redo.
        config: the settings it ran with.
        inputs, outputs: artifacts as `name:vN`.
        digests: artifact as `name:vN` -> digest, of all inputs and outputs.
        summary: final numbers.
        started, finished: ISO 8601, UTC.
        error: why it failed.
        place: folder of its artifacts' blobs, relative to the store; tells projects and backends of one store apart.
    """

    id: str
    name: str
    job_type: str
    status: str = "running"
    fingerprint: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    digests: Mapping[str, str] = field(default_factory=dict)
    summary: Mapping[str, Any] = field(default_factory=dict)
    started: str = ""
    finished: str = ""
    error: str = ""
    place: str = ""

    @property
    def resumable(self) -> bool:
        """Whether it was broken off from outside, so that going on with it makes sense."""
        return self.status == "failed" and self.error in (KILLED, INTERRUPTED, DISK_FULL)


class RunBook:
    """The records of all runs of a store, in `runs/`; each run's own scratch folder, in `tmp/`.

    What opens, closes or mends runs happens under one lock, `runs/book.lock`, held for a moment. A run is alive as
    long as its process holds the run's own lock, which the system frees when the process is gone, however it went.

    Args:
        store: the store's folder.
        place: whose runs these are; see `RunRecord`.
    """

    def __init__(self, store: Path, place: str = "") -> None:
        self.folder = store / "runs"
        self._store = store
        self._place = place
        self._scratch = store / "tmp"
        self._locks: dict[str, FileLock] = {}

    def all(self) -> list[RunRecord]:
        """Every record of this place, oldest first. A run whose process is gone is marked failed on the way.

        Where that cannot be written (a full disk, a store that may only be read) it stays as it is for now.
        """
        if self._looks_unfinished():
            with contextlib.suppress(OSError), self._alone():
                self._mend()
        return self._own()

    def begin(self, job_type: str, fingerprint: str, config: Mapping[str, Any], *, resume: bool = False) -> RunRecord:
        """Open the record of a new run; it counts as alive until `end` or until this process is gone.

        Args:
            job_type: what it does.
            fingerprint: what decides its outcome.
            config: its settings, as plain data.
            resume: go on with the last run of this fingerprint instead, if that one was broken off.

        Raises:
            StoreError: a run of this fingerprint is under way.
        """
        with writing(self._store):
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._alone():
                self._mend()
                return self._begin(job_type, fingerprint, config, resume)

    def update(self, record: RunRecord) -> RunRecord:
        """Write a record, whole or not at all."""
        data = json.dumps(dataclasses.asdict(record), indent=1, allow_nan=False) + "\n"
        temporary = self.scratch(record.id) / "record.json"
        temporary.write_text(data, encoding="utf-8")
        temporary.replace(self.folder / f"{record.id}.json")
        return record

    def end(self, record: RunRecord, status: str, error: str = "") -> RunRecord:
        """Close a record as finished, stopped or failed, and clear the run's scratch folder."""
        with self._alone():
            return self._end(record, status, error)

    def scratch(self, run_id: str) -> Path:
        """The run's own folder for files that are not whole yet; it goes with the run."""
        folder = self._scratch / run_id
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _alone(self) -> FileLock:
        return FileLock(self.folder / "book.lock")

    def _begin(self, job_type: str, fingerprint: str, config: Mapping[str, Any], resume: bool) -> RunRecord:
        records = self._own()
        same = [one for one in records if fingerprint and one.fingerprint == fingerprint]
        busy = [one.name for one in same if one.status == "running"]
        if busy:
            raise StoreError(f"The run {busy[0]} is doing just this at the moment. Wait for it, or stop it.")
        if resume and same and same[-1].resumable:
            return self._open(_again(same[-1]))
        name = f"{job_type}-{_next_number(records, job_type)}"
        return self._open(
            RunRecord(
                id=uuid.uuid4().hex[:8],
                name=name,
                job_type=job_type,
                fingerprint=fingerprint,
                config=config,
                started=now(),
                place=self._place,
            )
        )

    def _open(self, record: RunRecord) -> RunRecord:
        lock = self._lock(record.id)
        lock.acquire(timeout=0)
        self._locks[record.id] = lock
        try:
            return self.update(record)
        except BaseException:
            self._close(record.id)
            raise

    def _end(self, record: RunRecord, status: str, error: str) -> RunRecord:
        self._clear(record.id)  # first, so that there is room for the record on a disk that is full
        try:
            return self.update(dataclasses.replace(record, status=status, error=error, finished=now()))
        finally:
            self._close(record.id)

    def _close(self, run_id: str) -> None:
        """Let go of a run: clear its scratch folder, then free and remove its lock."""
        self._clear(run_id)
        lock = self._locks.pop(run_id, None)
        if lock is not None:
            lock.release()
        self._lock_path(run_id).unlink(missing_ok=True)

    def _clear(self, run_id: str) -> None:
        leftover = self._scratch / run_id
        if leftover.is_file():
            leftover.unlink(missing_ok=True)
        else:
            shutil.rmtree(leftover, ignore_errors=True)

    def _read_all(self) -> list[RunRecord]:
        records = [record for path in self.folder.glob("*.json") if (record := _read(path))]
        return sorted(records, key=lambda record: (record.started, record.id))

    def _own(self) -> list[RunRecord]:
        return [record for record in self._read_all() if record.place == self._place]

    def _looks_unfinished(self) -> bool:
        """Whether there are traces of runs other than this process's own: alive elsewhere, or killed."""
        running = {record.id for record in self._read_all() if record.status == "running"}
        return self.folder.is_dir() and bool((running | set(self._traces())) - set(self._locks))

    def _traces(self) -> Iterator[str]:
        """Ids of runs that have a scratch folder or a lock; names of other leftovers."""
        yield from (path.name for path in self._scratch.glob("*"))
        yield from (path.stem for path in self.folder.glob("*.lock") if path.stem != "book")

    def _mend(self) -> None:
        """Close the records of runs whose process is gone, and clear what they left."""
        for record in self._read_all():
            if record.status == "running" and not self._is_alive(record.id):
                self._end(record, "failed", KILLED)
        for trace in set(self._traces()):
            if not self._is_alive(trace):
                self._close(trace)

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
        return FileLock(self._lock_path(run_id), thread_local=False)  # a run may end in another thread

    def _lock_path(self, run_id: str) -> Path:
        return self.folder / f"{run_id}.lock"


def now() -> str:
    """This moment, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _again(record: RunRecord) -> RunRecord:
    """The record of a run that goes on: as it was begun."""
    return dataclasses.replace(
        record, status="running", finished="", error="", inputs=(), outputs=(), digests={}, summary={}
    )


def _next_number(records: Sequence[RunRecord], job_type: str) -> int:
    """One more than the highest number among the names; records may have been deleted, so it is not their count."""
    numbers = [record.name.rpartition("-")[2] for record in records if record.job_type == job_type]
    return 1 + max((int(number) for number in numbers if number.isdecimal()), default=0)


def _read(path: Path) -> RunRecord | None:
    """The record in a file; None where another process has just deleted it."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return RunRecord(**{**data, "inputs": tuple(data["inputs"]), "outputs": tuple(data["outputs"])})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise StoreError(
            f"The run record {path} cannot be read ({error}). Delete it to go on without that run."
        ) from None
