"""The tracker that stages talk to: open a run, read artifacts, save one, log numbers."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from sightline import __version__
from sightline.errors import StoreError
from sightline.tracking.artifact import Artifact, StoredFile
from sightline.tracking.blobs import BlobStore
from sightline.tracking.records import INTERRUPTED, RunBook, RunRecord


class Version(NamedTuple):
    """One artifact version as a backend knows it."""

    name: str
    type: str
    version: int
    digest: str
    files: Mapping[str, StoredFile]
    metadata: Mapping[str, Any]
    aliases: tuple[str, ...]


class Backend(Protocol):
    """Where metrics, artifact versions and lineage are kept. Blobs and run records are the tracker's own."""

    blob_folder: str
    """Folder of the blobs, relative to the store."""

    def start(self, run_id: str, run_name: str, job_type: str, config: Mapping[str, Any]) -> None:
        """Make the run known, with its settings."""

    def log(self, run_id: str, run_name: str, rows: Sequence[tuple[int, Mapping[str, Any]]]) -> None:
        """Keep metrics, each row with its step."""

    def last_step(self, run_id: str, run_name: str) -> int:
        """The highest step that was kept for the run; 0 before the first."""

    def commit(
        self,
        run_id: str,
        run_name: str,
        name: str,
        kind: str,
        files: Mapping[str, StoredFile],
        metadata: Mapping[str, Any],
    ) -> Version:
        """Keep a version as this run's output; equal content gives the version there is. `latest` points at it."""

    def link_input(self, run_id: str, run_name: str, name: str, version: int) -> None:
        """Note that the run reads this version."""

    def find(self, name: str, spec: str) -> Version | None:
        """The version called `v3`, `latest` or by another alias."""

    def versions(self) -> list[Version]:
        """Every version of every artifact, by name and number."""


class Tracker:
    """Runs and artifacts of one store.

    Args:
        store: the folder (`.sightline/`).
        project: the project's name in the backend.
        backend: who keeps metrics, versions and lineage.
    """

    def __init__(self, store: Path, project: str, backend: Backend) -> None:
        self.store = store
        self.project = project
        self.backend = backend
        self.blobs = BlobStore(store / backend.blob_folder, store / "checked.json")
        self._book = RunBook(store)

    def runs(self) -> list[RunRecord]:
        """Every run, oldest first."""
        return self._book.all()

    def artifacts(self) -> list[Artifact]:
        """Every version of every artifact."""
        return [self._artifact(version) for version in self.backend.versions()]

    def get(self, spec: str) -> Artifact:
        """The artifact called `name`, `name:latest` or `name:v3`.

        Raises:
            StoreError: there is none; the text lists those there are.
        """
        name, _, version = spec.partition(":")
        found = self.backend.find(name, version or "latest")
        if found is None:
            known = sorted({f"{v.name}:v{v.version}" for v in self.backend.versions()})
            raise StoreError(
                f"There is no artifact {spec} in {self.store}. There are: {', '.join(known) or 'none yet'}. "
                "`sightline run` makes them all, in order."
            )
        return self._artifact(found)

    def up_to_date(self, job_type: str, fingerprint: str) -> Artifact | None:
        """The artifact of a finished run with this fingerprint, where all its files are still there."""
        for record in reversed(self.runs()):
            if (record.job_type, record.fingerprint, record.status) == (job_type, fingerprint, "finished"):
                with contextlib.suppress(StoreError):
                    artifact = self.get(record.outputs[-1])
                    artifact.check()
                    return artifact
        return None

    @contextlib.contextmanager
    def run(
        self, job_type: str, *, config: Mapping[str, Any], fingerprint: str = "", resume: bool = False
    ) -> Iterator[Run]:
        """A tracked run: finished when the block ends well, failed when it does not.

        Args:
            job_type: upload, data_split, training, evaluation or report.
            config: its settings, as plain data.
            fingerprint: of `fingerprint`, to find it again.
            resume: go on with the last run of the same fingerprint, if that one was broken off.
        """
        run = Run(self, self._begin(job_type, config, fingerprint, resume))
        try:
            self.backend.start(run.id, run.name, job_type, config)
            yield run
            run._keep_summary()
        except BaseException as error:
            self._book.end(run.record, "failed", _reason(error))
            if _is_full_disk(error):
                raise StoreError(
                    f"The disk of {self.store} is full. Free some space and run the same command again."
                ) from error
            raise
        self.blobs.remember(run.scratch)
        run.record = self._book.end(run.record, "finished")

    def _begin(self, job_type: str, config: Mapping[str, Any], fingerprint: str, resume: bool) -> RunRecord:
        same = [record for record in self.runs() if fingerprint and record.fingerprint == fingerprint]
        busy = [record.name for record in same if record.status == "running"]
        if busy:
            raise StoreError(f"The run {busy[0]} is doing just this at the moment. Wait for it, or stop it.")
        broken_off = [record for record in same if record.job_type == job_type and record.resumable]
        if resume and broken_off:
            return self._book.resume(broken_off[-1])
        return self._book.begin(job_type, fingerprint, config)

    def _artifact(self, version: Version) -> Artifact:
        return Artifact(*version, blobs=self.blobs)


class Run:
    """A run that is under way; made by `Tracker.run`."""

    def __init__(self, tracker: Tracker, record: RunRecord) -> None:
        self.tracker = tracker
        self.record = record
        self.summary: dict[str, Any] = {}
        """Final numbers; they go into the record and, as the last metrics, to the backend."""

    @property
    def id(self) -> str:
        """Its id, eight hexadecimal digits."""
        return self.record.id

    @property
    def name(self) -> str:
        """Its name, such as `training-2`."""
        return self.record.name

    @property
    def scratch(self) -> Path:
        """Folder for files that are not whole yet; it is cleared when the run ends, well or not."""
        return self.tracker._book.scratch(self.id)

    @property
    def last_step(self) -> int:
        """The highest step logged so far; above 0 at the start of a run that goes on."""
        return self.tracker.backend.last_step(self.id, self.name)

    def log(self, metrics: Mapping[str, Any], step: int) -> None:
        """Keep numbers of one step."""
        self.tracker.backend.log(self.id, self.name, [(step, metrics)])

    def use(self, artifact: Artifact) -> Artifact:
        """Note that this run reads the artifact."""
        self.tracker.backend.link_input(self.id, self.name, artifact.name, artifact.version)
        self._note(inputs=(*self.record.inputs, artifact.spec))
        return artifact

    def store(self, path: Path) -> StoredFile:
        """Keep a file's content: one inside `scratch` is moved, any other is copied."""
        inside = path.is_relative_to(self.scratch)
        return StoredFile(*self.tracker.blobs.put(path, self.scratch, move=inside))

    def save(
        self, name: str, kind: str, files: Mapping[str, StoredFile | Path], metadata: Mapping[str, Any] | None = None
    ) -> Artifact:
        """Save an artifact; content equal to a version's gives that version.

        Args:
            name: its name.
            kind: its type.
            files: path inside it -> a file, or one that is stored already (no second copy).
            metadata: small facts; not part of the digest.
        """
        stored = {path: file if isinstance(file, StoredFile) else self.store(file) for path, file in files.items()}
        version = self.tracker.backend.commit(self.id, self.name, name, kind, stored, metadata or {})
        artifact = self.tracker._artifact(version)
        self._note(outputs=(*self.record.outputs, artifact.spec))
        return artifact

    def _note(self, **changes: Any) -> None:
        self.record = self.tracker._book.update(dataclasses.replace(self.record, **changes))

    def _keep_summary(self) -> None:
        numbers = {key: value for key, value in self.summary.items() if isinstance(value, int | float)}
        if numbers:
            self.log(numbers, self.last_step + 1)
        self._note(summary=dict(self.summary))


def fingerprint(job_type: str, inputs: Sequence[Artifact], config: Mapping[str, Any]) -> str:
    """sha256 over what decides a run's outcome: the job, its inputs by digest, its settings, Sightline's version."""
    parts = [__version__, job_type, [[artifact.name, artifact.digest] for artifact in inputs], config]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _reason(error: BaseException) -> str:
    return INTERRUPTED if isinstance(error, KeyboardInterrupt) else f"{type(error).__name__}: {error}"


def _is_full_disk(error: BaseException) -> bool:
    return (isinstance(error, OSError) and error.errno == errno.ENOSPC) or (
        isinstance(error, sqlite3.OperationalError) and "full" in str(error)
    )
