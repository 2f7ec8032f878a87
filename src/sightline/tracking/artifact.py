"""An artifact's version: its name, its digest and its files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sightline.errors import StoreError
from sightline.table import Table
from sightline.tracking.blobs import BlobStore


@dataclass(frozen=True)
class StoredFile:
    """A file by its content: sha256 in hexadecimal, and size in bytes."""

    digest: str
    size: int


@dataclass(frozen=True)
class Artifact:
    """One version of an artifact.

    Args:
        name: its name, the same over all versions.
        type: raw_data, split_data, model, evaluation or report.
        version: 0, 1, 2, … in the order in which new content came.
        digest: sha256 over the sorted (path, digest, size) of its files: equal digest, equal content.
        files: path inside the artifact -> stored file.
        metadata: small facts about it; not part of the digest.
        aliases: names that point at this version, such as `latest`.
    """

    name: str
    type: str
    version: int
    digest: str
    files: Mapping[str, StoredFile]
    metadata: Mapping[str, Any]
    aliases: tuple[str, ...]
    blobs: BlobStore = field(repr=False, compare=False)

    @property
    def spec(self) -> str:
        """`name:vN`, which `Tracker.get` takes."""
        return f"{self.name}:v{self.version}"

    def __contains__(self, path: str) -> bool:
        return path in self.files

    def path(self, path: str) -> Path:
        """Where the file lies on disk, its content checked against its digest (once, until the file changes).

        Raises:
            StoreError: the artifact has no such file, or it is missing or damaged on disk.
        """
        if path not in self.files:
            raise StoreError(f"The artifact {self.spec} holds no file {path}. It holds {len(self.files)} files.")
        return self.blobs.checked(self.files[path].digest, f"{path} of {self.spec}")

    def table(self, path: str) -> Table:
        """The Parquet table at `path`."""
        return Table.read(self.path(path))

    def json(self, path: str) -> Any:
        """The JSON document at `path`."""
        return json.loads(self.path(path).read_text(encoding="utf-8"))

    def check(self) -> None:
        """Check every file; StoreError at the first that is missing or damaged."""
        for path in self.files:
            self.path(path)


def manifest_digest(files: Mapping[str, StoredFile]) -> str:
    """sha256 over the sorted (path, digest, size) of the files."""
    entries = [[path, files[path].digest, files[path].size] for path in sorted(files)]
    return hashlib.sha256(json.dumps(entries).encode()).hexdigest()
