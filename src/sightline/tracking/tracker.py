"""The tracker that stages talk to: open a run, read artifacts, save one, log numbers."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from sightline import __version__
from sightline.errors import StoreError
from sightline.tracking.aliases import LATEST, check_alias, listed
from sightline.tracking.artifact import Artifact, StoredFile, check_name, check_paths
from sightline.tracking.best import BEST, with_best
from sightline.tracking.blobs import BlobStore
from sightline.tracking.disk import full_disk, is_full_disk
from sightline.tracking.lineage import Link, connected
from sightline.tracking.mirror import Mirror, NoMirror
from sightline.tracking.plain import plain, scalar
from sightline.tracking.records import DISK_FULL, INTERRUPTED, RunBook, RunRecord


class RunStopped(BaseException):
    """Raised in a run's block to end it early on purpose: its status becomes `stopped`, and nothing comes of it.

    Like `KeyboardInterrupt` it is no `Exception`: no library on its way takes it for a failure.
    """


LISTED = 20
"""At most so many artifacts are listed in an error."""


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
        """Keep metrics, each row with its step; a row of a step and of names that the run has already is left out."""

    def last_step(self, run_id: str, run_name: str) -> int:
        """The highest step that was kept for the run; 0 before the first."""

    def rows(self, run_id: str, run_name: str) -> list[tuple[int, dict[str, Any]]]:
        """The metrics that were kept for the run, one row a step, in their order."""

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

    def set_alias(self, name: str, version: int, alias: str) -> None:
        """Let the alias point at this version, and at no other of the artifact any more."""

    def link_input(self, run_id: str, run_name: str, name: str, version: int) -> None:
        """Note that the run reads this version."""

    def links(self) -> list[Link]:
        """Every link between a run and a version, oldest first."""

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
        mirror: who else is told of every run.
    """

    def __init__(self, store: Path, project: str, backend: Backend, mirror: Mirror | None = None) -> None:
        self.store = store
        self.project = project
        self.backend = backend
        self.mirror = mirror or NoMirror()
        self.blobs = BlobStore(store / backend.blob_folder, store / "checked.json")
        self._book = RunBook(store, backend.blob_folder)

    def runs(self) -> list[RunRecord]:
        """Every run, oldest first."""
        return self._book.all()

    def artifacts(self) -> list[Artifact]:
        """Every version of every artifact, by name and number."""
        return with_best([self._artifact(version) for version in self.backend.versions()])

    def get(self, spec: str) -> Artifact:
        """The artifact called `name`, `name:latest`, `name:v3`, by an alias of `set_alias` or, of a model, `name:best`.

        `best` is the version with the highest mIoU on valid, of those trained on the same split as the latest one and
        measured alike (see `sightline.tracking.best`).

        Raises:
            StoreError: there is none; the text lists those there are.
        """
        name, _, version = spec.partition(":")
        found = self._best(name) if version == BEST else self._version(name, version or LATEST)
        if found is None:
            raise StoreError(self._missing(spec, name))
        return found

    def set_alias(self, artifact: Artifact, alias: str) -> Artifact:
        """Let an alias such as `staging` point at this version; one that had it loses it.

        Returns:
            The artifact, with the alias.

        Raises:
            ConfigError: `latest`, `best` or `v3`, or characters that an alias cannot have.
            StoreError: the artifact is none of this tracker's.
        """
        check_alias(alias)
        self._check_own(artifact)
        self.backend.set_alias(artifact.name, artifact.version, alias)
        return self.get(artifact.spec)

    def lineage(self, spec: str) -> list[Link]:
        """What the artifact came from and what came of it: every link to a run that can be reached from it.

        Args:
            spec: as for `get`.

        Returns:
            Links of runs and artifact versions, in the order in which they were made. From a report they lead back,
            output by input, to the raw data; runs beside the way (another training on the same split) are among them.

        Raises:
            StoreError: there is no such artifact.
        """
        return connected(self.backend.links(), self.get(spec).spec)

    def up_to_date(self, job_type: str, fingerprint: str) -> Artifact | None:
        """The artifact of a finished run with this fingerprint, where all its files are still there and intact.

        `latest` points at it afterwards, as if the run had been done again.
        """
        for record in reversed(self.runs()):
            if (record.job_type, record.fingerprint, record.status) == (job_type, fingerprint, "finished"):
                with contextlib.suppress(StoreError):
                    if artifact := self._answer(record):
                        return artifact
        return None

    @contextlib.contextmanager
    def run(
        self, job_type: str, *, config: Mapping[str, Any], fingerprint: str = "", resume: bool = False
    ) -> Iterator[Run]:
        """A tracked run: finished when the block ends well, stopped by `RunStopped`, failed by anything else.

        Args:
            job_type: upload, data_split, training, evaluation or report.
            config: its settings, as plain data.
            fingerprint: of `fingerprint`, to find it again.
            resume: go on with the last run of the same fingerprint, if that one was broken off.

        Raises:
            StoreError: a run of the same fingerprint is under way, or the disk is full. What the block raises passes
                through.
        """
        run = Run(self, self._book.begin(job_type, fingerprint, plain(config), resume=resume))
        stopped: RunStopped | None = None
        try:
            self.backend.start(run.id, run.name, job_type, run.record.config)
            self._mirror_start(run)
            try:
                yield run
            except RunStopped as early:
                stopped = early
            run._keep_summary()
            run.record = self._book.end(run.record, "stopped" if stopped else "finished")
        except BaseException as error:
            self._fail(run, error)
            raise
        finally:
            self.blobs.remember()
            self.mirror.ended(run.record)
        if stopped:
            raise stopped

    def _mirror_start(self, run: Run) -> None:
        """Tell the mirror of the run; of one that goes on, what it logged before too."""
        self.mirror.started(run.record)
        for step, metrics in self.backend.rows(run.id, run.name):
            self.mirror.logged(run.record, step, metrics)

    def _fail(self, run: Run, error: BaseException) -> None:
        full = is_full_disk(error)
        with contextlib.suppress(OSError):  # no room even for the record: the next process closes it as killed
            run.record = self._book.end(run.record, "failed", DISK_FULL if full else _reason(error))
        if full:
            raise full_disk(self.store) from error

    def _answer(self, record: RunRecord) -> Artifact | None:
        """The last artifact of a finished run, its files checked; None where another has taken its name."""
        if not record.outputs:
            return None
        artifact = self.get(record.outputs[-1])
        if artifact.digest != record.digests.get(artifact.spec):
            return None
        artifact.check()
        self.blobs.remember()
        if "latest" not in artifact.aliases:
            self.backend.set_alias(artifact.name, artifact.version, LATEST)
        return self.get(artifact.spec)

    def _version(self, name: str, spec: str) -> Artifact | None:
        found = self.backend.find(name, spec)
        return self._artifact(found) if found else None

    def _missing(self, spec: str, name: str) -> str:
        """That there is no such artifact, and which there are: the aliases, where it is a name that has versions."""
        artifacts = self.artifacts()
        known = [one.spec for one in artifacts]
        more = f" and {len(known) - LISTED} more" if len(known) > LISTED else ""
        aliases = listed([one for one in artifacts if one.name == name])
        return (
            f"There is no artifact {spec} in {self.store}. "
            f"There are: {', '.join(known[:LISTED]) or 'none yet'}{more}. "
            + (f"The aliases of {name} are {aliases}." if aliases else "`sightline run` makes them all, in order.")
        )

    def _check_own(self, artifact: Artifact) -> None:
        if self.get(artifact.spec).digest != artifact.digest:
            raise StoreError(f"The artifact {artifact.spec} comes from another store than {self.store}.")

    def labelled(self, artifact: Artifact) -> Artifact:
        """The artifact with all of its aliases: that it is the best model, too."""
        best = self._best(artifact.name) if artifact.type == "model" else None
        return best if best and best.version == artifact.version else artifact

    def _best(self, name: str) -> Artifact | None:
        return next((one for one in self.artifacts() if one.name == name and BEST in one.aliases), None)

    def _artifact(self, version: Version) -> Artifact:
        return Artifact(*version, blobs=self.blobs)


class Run:
    """A run that is under way; made by `Tracker.run`."""

    def __init__(self, tracker: Tracker, record: RunRecord) -> None:
        self.tracker = tracker
        self.record = record
        self.summary: dict[str, Any] = {}
        """Final numbers; they go into the record and, as metrics of the last step, to the backend."""

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
        """Keep numbers of one step. The same names at the same step are kept once: a run that goes on may repeat it."""
        row = {name: scalar(value) for name, value in metrics.items()}
        self._keep(row, step)
        self.tracker.mirror.logged(self.record, step, row)

    def use(self, artifact: Artifact) -> Artifact:
        """Note that this run reads the artifact; StoreError where it is none of this tracker's."""
        self.tracker._check_own(artifact)
        self.tracker.backend.link_input(self.id, self.name, artifact.name, artifact.version)
        self._note(artifact, inputs=_with(self.record.inputs, artifact.spec))
        self.tracker.mirror.used(self.record, self.tracker.labelled(artifact))
        return artifact

    def store(self, path: Path) -> StoredFile:
        """Keep a file's content: one inside `scratch` is moved, any other is copied.

        Raises:
            StoreError: the file cannot be read.
        """
        inside = path.resolve().is_relative_to(self.scratch.resolve()) and not path.is_symlink()
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

        Raises:
            StoreError: a name or a path that an artifact cannot have, a file that cannot be read, or artifacts of that
                name are of another type.
        """
        check_name(name)
        check_paths(files)
        known = self.tracker.backend.find(name, LATEST)
        if known and known.type != kind:
            raise StoreError(
                f"The artifact {name} is of the type {known.type}, not {kind}. Give this one another name."
            )
        stored = {path: file if isinstance(file, StoredFile) else self.store(file) for path, file in files.items()}
        version = self.tracker.backend.commit(self.id, self.name, name, kind, stored, plain(metadata or {}))
        artifact = self.tracker._artifact(version)
        self._note(artifact, outputs=_with(self.record.outputs, artifact.spec))
        self.tracker.mirror.saved(self.record, self.tracker.labelled(artifact))
        return artifact

    def _keep(self, row: Mapping[str, Any], step: int) -> None:
        self.tracker.backend.log(self.id, self.name, [(step, row)])

    def _note(self, artifact: Artifact, **sides: Any) -> None:
        """Write the inputs or the outputs into the record, and the digest of the new one."""
        digests = {**self.record.digests, artifact.spec: artifact.digest}
        self.record = self.tracker._book.update(dataclasses.replace(self.record, digests=digests, **sides))

    def _keep_summary(self) -> None:
        summary = plain(self.summary)
        numbers = {key: value for key, value in summary.items() if isinstance(value, int | float)}
        if numbers:
            self._keep(numbers, self.last_step)
        self.record = self.tracker._book.update(dataclasses.replace(self.record, summary=summary))


def fingerprint(job_type: str, inputs: Sequence[Artifact], config: Mapping[str, Any]) -> str:
    """sha256 over what decides a run's outcome: the job, its inputs by digest, its settings, Sightline's version."""
    parts = [__version__, job_type, [[artifact.name, artifact.digest] for artifact in inputs], plain(config)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _with(specs: tuple[str, ...], spec: str) -> tuple[str, ...]:
    """The specs with this one at the end, each once."""
    return (*(known for known in specs if known != spec), spec)


def _reason(error: BaseException) -> str:
    return INTERRUPTED if isinstance(error, KeyboardInterrupt) else f"{type(error).__name__}: {error}"
