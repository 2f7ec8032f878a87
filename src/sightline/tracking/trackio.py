"""The tracker's backend that is kept by trackio, embedded in the project's own folder.

trackio's storage layer is called directly, in place of `trackio.init` and `trackio.log`: those write from a
background thread, print, drop metrics with a warning when the disk is full, and copy every file of an artifact that
is stored already. The version is pinned for that reason.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from sightline.tracking.artifact import StoredFile
from sightline.tracking.records import now
from sightline.tracking.tracker import Version


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

    def start(self, run_id: str, run_name: str, job_type: str, config: Mapping[str, Any]) -> None:
        if self.last_step(run_id, run_name) == 0:
            described = {**config, "job_type": job_type, "_Created": now(), "_Group": job_type, "_Username": None}
            with self._storage() as storage:
                storage.bulk_log(self.project, run_name, [{"started": 1}], steps=[0], config=described, run_id=run_id)

    def log(self, run_id: str, run_name: str, rows: Sequence[tuple[int, Mapping[str, Any]]]) -> None:
        steps, metrics = [step for step, _ in rows], [dict(row) for _, row in rows]
        with self._storage() as storage:
            storage.bulk_log(self.project, run_name, metrics, steps=steps, run_id=run_id)

    def last_step(self, run_id: str, run_name: str) -> int:
        with self._storage() as storage:
            return storage.get_max_step_for_run(self.project, run_name, run_id=run_id) or 0

    def commit(
        self,
        run_id: str,
        run_name: str,
        name: str,
        kind: str,
        files: Mapping[str, StoredFile],
        metadata: Mapping[str, Any],
    ) -> Version:
        manifest = [{"path": path, "digest": file.digest, "size": file.size} for path, file in files.items()]
        with self._storage() as storage:
            record = storage.commit_artifact_version(
                project=self.project,
                name=name,
                type=kind,
                description=None,
                manifest=manifest,
                metadata=dict(metadata),
                aliases=[],
                run_name=run_name,
                run_id=run_id,
            )
            storage.reassign_alias(self.project, record["artifact_id"], "latest", record["version_id"])
            return _version(storage.get_artifact_manifest(self.project, name, f"v{record['version']}"))

    def link_input(self, run_id: str, run_name: str, name: str, version: int) -> None:
        with self._storage() as storage:
            record = storage.get_artifact_manifest(self.project, name, f"v{version}")
            storage.insert_run_artifact_link(self.project, run_name, run_id, record["version_id"], "input")

    def find(self, name: str, spec: str) -> Version | None:
        with self._storage() as storage:
            record = storage.get_artifact_manifest(self.project, name, spec)
            return _version(record) if record else None

    def versions(self) -> list[Version]:
        with self._storage() as storage:
            names = [
                (artifact["name"], version["version"])
                for artifact in storage.list_artifacts(self.project)
                for version in reversed(artifact["versions"])
            ]
            return [_version(storage.get_artifact_manifest(self.project, name, f"v{n}")) for name, n in names]

    def lineage(self, name: str, version: int) -> dict[str, Any]:
        """trackio's graph of runs and artifact versions around one version: `nodes` and `edges`."""
        with self._storage() as storage:
            record = storage.get_artifact_manifest(self.project, name, f"v{version}")
            return storage.get_artifact_lineage(self.project, record["version_id"])  # type: ignore[no-any-return]

    @contextmanager
    def _storage(self) -> Iterator[Any]:
        """trackio's storage layer, pointed at this folder for the length of the block."""
        modules = _modules()
        before = [
            {name: getattr(module, name) for name in _paths(self.folder) if hasattr(module, name)} for module in modules
        ]
        try:
            _point(modules, [_paths(self.folder)] * len(modules))
            yield modules[1].SQLiteStorage
        finally:
            _point(modules, before)


def _modules() -> tuple[ModuleType, ModuleType]:
    """trackio's modules that hold its folder. Importing them does not touch the settings of the hub library."""
    from trackio import sqlite_storage, utils

    return utils, sqlite_storage


def _paths(folder: Path) -> dict[str, Path]:
    return {"TRACKIO_DIR": folder, "MEDIA_DIR": folder / "media", "ARTIFACTS_DIR": folder / "artifacts"}


def _point(modules: Sequence[ModuleType], paths: Sequence[Mapping[str, Path]]) -> None:
    for module, values in zip(modules, paths, strict=True):
        for name, value in values.items():
            if hasattr(module, name):
                setattr(module, name, value)


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


def serve(folder: Path, project: str, host: str, port: int | None) -> None:
    """trackio's dashboard on this folder, until interrupted."""
    os.environ["TRACKIO_DIR"] = str(folder)
    import trackio

    trackio.show(project=project, host=host, server_port=port, open_browser=False)
