"""The tracker's backend that keeps nothing but this process's memory, for tests and scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from sightline.tracking.artifact import StoredFile, manifest_digest
from sightline.tracking.lineage import Link
from sightline.tracking.tracker import Version


class MemoryBackend:
    """Artifact versions and metrics in dictionaries; see `Backend` for what each method does."""

    def __init__(self, project: str) -> None:
        self.blob_folder = f"blobs/{project}"
        self.metrics: dict[str, list[tuple[int, Mapping[str, Any]]]] = {}
        self._links: dict[Link, None] = {}
        self._job_types: dict[str, str] = {}
        self._versions: dict[str, list[Version]] = {}
        self._aliases: dict[str, dict[str, int]] = {}

    def start(self, run_id: str, run_name: str, job_type: str, config: Mapping[str, Any]) -> None:
        self.metrics.setdefault(run_id, [])
        self._job_types[run_id] = job_type

    def log(self, run_id: str, run_name: str, rows: Sequence[tuple[int, Mapping[str, Any]]]) -> None:
        kept = self.metrics[run_id]
        for step, row in rows:
            if not any((step, row.keys()) == (known, before.keys()) for known, before in kept):
                kept.append((step, row))

    def last_step(self, run_id: str, run_name: str) -> int:
        return max((step for step, _ in self.metrics.get(run_id, [])), default=0)

    def rows(self, run_id: str, run_name: str) -> list[tuple[int, dict[str, Any]]]:
        rows: dict[int, dict[str, Any]] = {}
        for step, row in self.metrics.get(run_id, []):
            rows.setdefault(step, {}).update(row)
        return sorted(rows.items(), key=lambda row: row[0])

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
        number = next((version.version for version in known if version.digest == digest), len(known))
        if number == len(known):
            known.append(Version(name, kind, number, digest, dict(files), dict(metadata), ()))
        elif metadata:
            known[number] = known[number]._replace(metadata=dict(metadata))
        self.set_alias(name, number, "latest")
        self._link(run_id, run_name, "output", f"{name}:v{number}")
        return self._told(known[number])

    def set_alias(self, name: str, version: int, alias: str) -> None:
        self._aliases.setdefault(name, {})[alias] = version

    def link_input(self, run_id: str, run_name: str, name: str, version: int) -> None:
        self._link(run_id, run_name, "input", f"{name}:v{version}")

    def links(self) -> list[Link]:
        return list(self._links)

    def find(self, name: str, spec: str) -> Version | None:
        number = self._aliases.get(name, {}).get(spec)
        for version in self._versions.get(name, []):
            if spec == f"v{version.version}" or version.version == number:
                return self._told(version)
        return None

    def versions(self) -> list[Version]:
        return [self._told(version) for _, known in sorted(self._versions.items()) for version in known]

    def _told(self, version: Version) -> Version:
        """The version with the aliases that point at it now."""
        aliases = sorted(alias for alias, number in self._aliases[version.name].items() if number == version.version)
        return version._replace(aliases=tuple(aliases))

    def _link(self, run_id: str, run_name: str, direction: Literal["input", "output"], artifact: str) -> None:
        self._links[Link(run_id, run_name, self._job_types[run_id], direction, artifact)] = None
