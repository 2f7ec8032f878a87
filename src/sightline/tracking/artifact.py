"""An artifact's version: its name, its digest and its files."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sightline.errors import StoreError
from sightline.table import Table
from sightline.tracking.blobs import BlobStore
from sightline.wording import plural

NAME = re.compile(r"[A-Za-z0-9._-]+")


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

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able data, without where it lies on disk."""
        facts = ("name", "type", "version", "digest", "metadata", "aliases")
        files = {path: {"digest": file.digest, "size": file.size} for path, file in sorted(self.files.items())}
        return {**{fact: getattr(self, fact) for fact in facts}, "files": files}

    def _repr_html_(self) -> str:
        from sightline.notebook import of_artifact

        return of_artifact(self)

    def __contains__(self, path: str) -> bool:
        return path in self.files

    def path(self, path: str) -> Path:
        """Where the file lies on disk, its content checked against its digest (once, until the file changes).

        Raises:
            StoreError: the artifact has no such file, or it is missing or damaged on disk.
        """
        if path not in self.files:
            raise StoreError(
                f"The artifact {self.spec} holds no file {path}. It holds {plural(len(self.files), 'file')}."
            )
        return self.blobs.checked(self.files[path].digest, f"{path} of {self.spec}")

    def table(self, path: str, columns: Sequence[str] | None = None) -> Table:
        """The Parquet table at `path`; all of its columns, or those named that it has."""
        return replace(Table.read(self.path(path), columns), files=self)

    def json(self, path: str) -> Any:
        """The JSON document at `path`."""
        return json.loads(self.path(path).read_text(encoding="utf-8"))

    def check(self) -> None:
        """Check every file; StoreError at the first that is missing or damaged."""
        for path in self.files:
            self.path(path)


def check_name(name: str) -> None:
    """StoreError unless an artifact may be called so: letters, digits, `.`, `_` and `-`, as trackio has it."""
    if not NAME.fullmatch(name):
        raise StoreError(f"An artifact cannot be called {name!r}: use letters, digits, dots, hyphens and underscores.")


def check_paths(paths: Iterable[str]) -> None:
    """StoreError unless each path is a plain relative one, with `/` between folders, and none is a folder of another.

    The rules are trackio's, which would drop or refuse such files; whoever lays an artifact's files out in a folder
    can rely on it that none leaves that folder.
    """
    known = set(paths)
    for path in sorted(known):
        parts = path.split("/")
        if not set(parts).isdisjoint(("", ".", "..")) or re.search(r"\\|\0|^[A-Za-z]:|[\ud800-\udfff]", path):
            raise StoreError(
                f"An artifact cannot hold a file at {path!r}: a path inside it is relative, without '..', '.', "
                "backslashes, drive letters or characters that are not Unicode."
            )
        folders = ("/".join(parts[:end]) for end in range(1, len(parts)))
        if clash := next((folder for folder in folders if folder in known), None):
            raise StoreError(f"An artifact cannot hold both a file {clash!r} and files in a folder of that name.")


def manifest_digest(files: Mapping[str, StoredFile]) -> str:
    """sha256 over the sorted (path, digest, size) of the files."""
    entries = [[path, files[path].digest, files[path].size] for path in sorted(files)]
    return hashlib.sha256(json.dumps(entries).encode()).hexdigest()
