"""Files stored once, under their sha256, and checked against it when read."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from pathlib import Path

from sightline.errors import StoreError

CHUNK = 1 << 20


class BlobStore:
    """A content-addressed folder: `sha256/ab/abcd…` holds the bytes whose digest that is.

    A file once checked is not hashed again, in this process or the next, until its size or time of change differ.

    Args:
        folder: where the blobs lie; the layout is trackio's, so its dashboard finds them.
        notes: the file that remembers which blobs were checked.
    """

    def __init__(self, folder: Path, notes: Path) -> None:
        self.folder = folder
        self._notes = notes
        self._checked: dict[str, list[int]] | None = None

    def path(self, digest: str) -> Path:
        """Where the blob of this digest lies, whether it is there or not."""
        return self.folder / "sha256" / digest[:2] / digest

    def has(self, digest: str) -> bool:
        """Whether a blob of this digest is there (not whether it is intact)."""
        return self.path(digest).is_file()

    def put(self, source: Path, scratch: Path, *, move: bool = False) -> tuple[str, int]:
        """Store a file: copied once, in the same pass as it is hashed, or moved when `move`.

        Args:
            source: the file.
            scratch: folder on the same disk for the copy until it is whole.
            move: take the file itself; for files that a stage made in its scratch folder.

        Returns:
            digest and size in bytes.
        """
        copy = source if move else scratch / "incoming"
        digest, size = hash_file(source) if move else _copy(source, copy)
        target = self.path(digest)
        if not target.is_file() or target.stat().st_size != size:
            target.parent.mkdir(parents=True, exist_ok=True)
            copy.replace(target)
        else:
            copy.unlink()
        self._note(digest, target)
        return digest, size

    def checked(self, digest: str, what: str) -> Path:
        """The path of an intact blob; StoreError, naming `what`, where it is missing or its content has changed."""
        path = self.path(digest)
        try:
            stat = path.stat()
        except FileNotFoundError:
            raise StoreError(f"{what} is missing from the store ({path}). {MEND}") from None
        if self._notes_of().get(digest) == [stat.st_size, stat.st_mtime_ns]:
            return path
        if hash_file(path)[0] != digest:
            raise StoreError(f"{what} is damaged: its content does not match its digest ({path}). {MEND}")
        self._note(digest, path)
        return path

    def remember(self, scratch: Path) -> None:
        """Write down which blobs were checked, for the next process."""
        if self._checked is not None:
            temporary = scratch / "checked.json"
            temporary.write_text(json.dumps(self._checked), encoding="utf-8")
            temporary.replace(self._notes)

    def _note(self, digest: str, path: Path) -> None:
        stat = path.stat()
        self._notes_of()[digest] = [stat.st_size, stat.st_mtime_ns]

    def _notes_of(self) -> dict[str, list[int]]:
        if self._checked is None:
            self._checked = {}
            with contextlib.suppress(OSError, ValueError):
                self._checked = json.loads(self._notes.read_text(encoding="utf-8"))
        return self._checked


MEND = "Delete the damaged file and run the stage that made it again with --force."


def hash_file(path: Path) -> tuple[str, int]:
    """sha256 in hexadecimal and size in bytes of a file."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256")
        return digest.hexdigest(), stream.tell()


def _copy(source: Path, target: Path) -> tuple[str, int]:
    """Copy a file and hash it on the way."""
    digest, size = hashlib.sha256(), 0
    with source.open("rb") as incoming, target.open("wb") as outgoing:
        while chunk := incoming.read(CHUNK):
            digest.update(chunk)
            size += outgoing.write(chunk)
    shutil.copymode(source, target)
    return digest.hexdigest(), size
