"""The tracker's backend that is kept by trackio, embedded in the project's own folder.

trackio's storage layer is called directly, in place of `trackio.init` and `trackio.log`: those write from a
background thread, print, drop metrics with a warning when the disk is full, and copy every file of an artifact that
is stored already. The version is pinned for that reason.
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sightline.errors import ConfigError, StoreError
from sightline.tracking.artifact import StoredFile
from sightline.tracking.disk import full_disk, has_no_room, is_full_disk, writing
from sightline.tracking.library import pointed_at
from sightline.tracking.lineage import Link
from sightline.tracking.records import now
from sightline.tracking.tracker import Version

PAGE = 5000
"""Links read at a time; trackio gives at most 10 000 rows of a query."""

LINKS = """
SELECT l.id, l.run_id, l.run_name, l.direction, a.name, v.version
FROM run_artifact_links l
JOIN artifact_versions v ON v.id = l.artifact_version_id JOIN artifacts a ON a.id = v.artifact_id
WHERE l.id > {after} ORDER BY l.id LIMIT {page}
"""

_turn = threading.RLock()


class TrackioBackend:
    """See `Backend` for what each method does.

    Args:
        folder: trackio's own folder; its database, and the blobs of artifacts.
        project: the project's name.
    """

    def __init__(self, folder: Path, project: str) -> None:
        self.folder = folder
        self.project = project
        self.blob_folder = f"{folder.name}/artifacts/{project}/blobs"

    @property
    def database(self) -> Path:
        """trackio's database of this project, whether it is there or not."""
        return self.folder / f"{self.project}.db"

    def start(self, run_id: str, run_name: str, job_type: str, config: Mapping[str, Any]) -> None:
        described = {**config, "job_type": job_type, "_Created": now(), "_Group": job_type, "_Username": None}
        with self._storage() as storage:
            _check_project(storage, self.project)
            if storage.get_max_step_for_run(self.project, run_name, run_id=run_id) is None:
                storage.bulk_log(self.project, run_name, [{"started": 1}], steps=[0], config=described, run_id=run_id)

    def log(self, run_id: str, run_name: str, rows: Sequence[tuple[int, Mapping[str, Any]]]) -> None:
        with self._storage() as storage:
            storage.bulk_log(
                self.project,
                run_name,
                [dict(row) for _, row in rows],
                steps=[step for step, _ in rows],
                log_ids=[_log_id(run_id, step, row) for step, row in rows],
                run_id=run_id,
            )

    def last_step(self, run_id: str, run_name: str) -> int:
        with self._storage() as storage:
            return storage.get_max_step_for_run(self.project, run_name, run_id=run_id) or 0

    def rows(self, run_id: str, run_name: str) -> list[tuple[int, dict[str, Any]]]:
        with self._storage() as storage:
            logs = storage.get_logs(self.project, run_name, run_id=run_id)
        rows: dict[int, dict[str, Any]] = {}
        for log in logs:
            kept = {name: value for name, value in log.items() if name not in ("step", "timestamp", "started")}
            rows.setdefault(log["step"], {}).update(kept)
        return [(step, row) for step, row in sorted(rows.items()) if row]

    def commit(
        self,
        run_id: str,
        run_name: str,
        name: str,
        kind: str,
        files: Mapping[str, StoredFile],
        metadata: Mapping[str, Any],
    ) -> Version:
        with self._storage() as storage:
            record = storage.commit_artifact_version(
                project=self.project,
                name=name,
                type=kind,
                description=None,
                manifest=[{"path": path, "digest": file.digest, "size": file.size} for path, file in files.items()],
                metadata=dict(metadata),
                aliases=[],
                run_name=run_name,
                run_id=run_id,
            )
            storage.reassign_alias(self.project, record["artifact_id"], "latest", record["version_id"])
            return _version(storage.get_artifact_manifest(self.project, name, f"v{record['version']}"))

    def set_alias(self, name: str, version: int, alias: str) -> None:
        with self._storage() as storage:
            record = storage.get_artifact_manifest(self.project, name, f"v{version}")
            storage.reassign_alias(self.project, record["artifact_id"], alias, record["version_id"])

    def link_input(self, run_id: str, run_name: str, name: str, version: int) -> None:
        with self._storage() as storage:
            record = storage.get_artifact_manifest(self.project, name, f"v{version}")
            storage.insert_run_artifact_link(self.project, run_name, run_id, record["version_id"], "input")

    def links(self) -> list[Link]:
        links: list[Link] = []
        with self._storage() as storage:
            rows = _pages(storage, self.project) if self.database.exists() else iter(())
            job_types: dict[str, str] = {}
            for row in rows:
                run_id, run_name = row["run_id"], row["run_name"]
                if run_id not in job_types:
                    config = storage.get_run_config(self.project, run_name, run_id=run_id) or {}
                    job_types[run_id] = config.get("job_type", "")
                artifact = f"{row['name']}:v{row['version']}"
                links.append(Link(run_id, run_name, job_types[run_id], row["direction"], artifact))
        return links

    def find(self, name: str, spec: str) -> Version | None:
        with self._storage() as storage:
            try:
                record = storage.get_artifact_manifest(self.project, name, spec)
            except OverflowError:  # a version beyond SQLite's integers
                return None
            return _version(record) if record else None

    def versions(self) -> list[Version]:
        with self._storage() as storage:
            names = sorted(
                (artifact["name"], version["version"])
                for artifact in storage.list_artifacts(self.project)
                for version in artifact["versions"]
            )
            return [_version(storage.get_artifact_manifest(self.project, name, f"v{n}")) for name, n in names]

    def lineage(self, name: str, version: int) -> dict[str, Any]:
        """trackio's graph of runs and artifact versions around one version: `nodes` and `edges`."""
        with self._storage() as storage:
            record = storage.get_artifact_manifest(self.project, name, f"v{version}")
            return storage.get_artifact_lineage(self.project, record["version_id"])  # type: ignore[no-any-return]

    @contextmanager
    def _storage(self) -> Iterator[Any]:
        """trackio's storage layer, pointed at this folder for the length of the block; its errors as StoreError."""
        with _turn, writing(self.folder), pointed_at(self.folder) as storage:
            try:
                yield storage
            except sqlite3.Error as error:
                if is_full_disk(error) or has_no_room(self.folder):
                    raise full_disk(self.folder) from error
                if "readonly" in str(error):
                    raise StoreError(
                        f"The store {self.folder.parent} may only be read, but trackio's database has to be written "
                        "to, even to be read. Make it writable, or give a copy of it as --store."
                    ) from error
                raise StoreError(
                    f"trackio's database {self.database} cannot be used: {error}. If it is locked, wait for the "
                    "program that holds it. If it is damaged, put a copy in its place, or move it away: runs and "
                    "artifacts then begin anew."
                ) from error


def _check_project(storage: Any, project: str) -> None:
    try:
        storage.validate_project_name(project)
    except ValueError as error:
        raise ConfigError(f"The setting `project`: {error}") from None


def _log_id(run_id: str, step: int, row: Mapping[str, Any]) -> str:
    """The row's own name in trackio's database, which keeps the first of a name."""
    names = hashlib.sha256("\n".join(sorted(row)).encode()).hexdigest()[:16]
    return f"{run_id}-{step}-{names}"


def _pages(storage: Any, project: str) -> Iterator[dict[str, Any]]:
    after = 0
    while rows := storage.query_project(project, LINKS.format(after=after, page=PAGE))["rows"]:
        yield from rows
        after = rows[-1]["id"]


def _version(record: Mapping[str, Any]) -> Version:
    return Version(
        record["name"],
        record["type"],
        record["version"],
        record["manifest_digest"],
        {entry["path"]: StoredFile(entry["digest"], entry["size"]) for entry in record["manifest"]},
        record["metadata"] or {},
        tuple(sorted(record["aliases"])),
    )
