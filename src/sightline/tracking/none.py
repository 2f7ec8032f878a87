"""The tracker's backend that keeps nothing but this process's memory, for tests and scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sightline.tracking.artifact import StoredFile, manifest_digest
from sightline.tracking.tracker import Version


class MemoryBackend:
    """Artifact versions and metrics in dictionaries; see `Backend` for what each method does."""

    def __init__(self, project: str) -> None:
        self.blob_folder = f"blobs/{project}"
        self.metrics: dict[str, list[tuple[int, Mapping[str, Any]]]] = {}
        self.links: list[tuple[str, str, str]] = []
        self._versions: dict[str, list[Version]] = {}
        self._latest: dict[str, int] = {}

    def start(self, run_id: str, run_name: str, job_type: str, config: Mapping[str, Any]) -> None:
        self.metrics.setdefault(run_id, [])

    def log(self, run_id: str, run_name: str, rows: Sequence[tuple[int, Mapping[str, Any]]]) -> None:
        self.metrics[run_id].extend(rows)

    def last_step(self, run_id: str, run_name: str) -> int:
        return max((step for step, _ in self.metrics.get(run_id, [])), default=0)

    def commit(
        self,
        run_id: str,
        run_name: str,
        name: str,
        kind: str,
        files: Mapping[str, StoredFile],
        metadata: Mapping[str, Any],
    ) -> Version:
        digest = manifest_digest(files)
        known = self._versions.setdefault(name, [])
        same = next((version for version in known if version.digest == digest), None)
        if same is None:
            same = Version(name, kind, len(known), digest, dict(files), dict(metadata), ())
            known.append(same)
        self._latest[name] = same.version
        self.links.append((run_id, "output", f"{name}:v{same.version}"))
        return self.find(name, f"v{same.version}") or same

    def link_input(self, run_id: str, run_name: str, name: str, version: int) -> None:
        self.links.append((run_id, "input", f"{name}:v{version}"))

    def find(self, name: str, spec: str) -> Version | None:
        for version in self._versions.get(name, []):
            latest = version.version == self._latest[name]
            if spec == f"v{version.version}" or (spec == "latest" and latest):
                return version._replace(aliases=("latest",) if latest else ())
        return None

    def versions(self) -> list[Version]:
        return [
            found
            for name, known in sorted(self._versions.items())
            for version in known
            if (found := self.find(name, f"v{version.version}")) is not None
        ]
