"""Files stored once, under their sha256, and checked against it when read."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import uuid
from pathlib import Path
from typing import Any

from sightline.errors import StoreError
from sightline.tracking.disk import FULL
from sightline.wording import reason

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
        self._fresh: dict[str, list[int]] = {}

    def path(self, digest: str) -> Path:
        """Where the blob of this digest lies, whether it is there or not."""
        return self.folder / "sha256" / digest[:2] / digest

    def has(self, digest: str) -> bool:
        """Whether a blob of this digest is there (not whether it is intact)."""
        return self.path(digest).is_file()

    def put(self, source: Path, scratch: Path, *, move: bool = False) -> tuple[str, int]:
        """Store a file: copied once, in the same pass as it is hashed, or moved when `move`.

        A blob that is there already stays, unless it is damaged: then this file takes its place.

        Args:
            source: the file.
            scratch: folder on the same disk for the copy until it is whole.
            move: take the file itself; for files that a stage made in its scratch folder.

        Returns:
            digest and size in bytes.

        Raises:
            StoreError: the file cannot be read.
        """
        copy = source if move else scratch / f"incoming-{uuid.uuid4().hex}"
        digest, size = _read(source, None if move else copy)
        target = self.path(digest)
        if self._intact(digest):
            copy.unlink()
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            copy.replace(target)
            self._note(digest, target)
        return digest, size

    def checked(self, digest: str, what: str) -> Path:
        """The path of an intact blob; StoreError, naming `what`, where it is missing, unreadable or changed."""
        path = self.path(digest)
        if not path.is_file():
            raise StoreError(f"{what} is missing from the store ({path}). {MEND}")
        try:
            intact = self._intact(digest)
        except OSError as error:
            raise StoreError(f"{what} cannot be read: {reason(error)} ({path}). {MEND}") from error
        if not intact:
            raise StoreError(f"{what} is damaged: its content does not match its digest ({path}). {MEND}")
        return path

    def remember(self) -> None:
        """Write down which blobs were checked, for the next process. It saves time only, so no error comes of it."""
        if not self._fresh:
            return
        temporary = self._notes.parent / "tmp" / f"checked-{uuid.uuid4().hex}.json"
        with contextlib.suppress(OSError):
            self._checked = {**_read_notes(self._notes), **self._fresh}
            temporary.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(self._checked), encoding="utf-8")
            temporary.replace(self._notes)
            self._fresh = {}
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)

    def _intact(self, digest: str) -> bool:
        """Whether the blob is there with the content that its name says; hashed where no note answers."""
        path = self.path(digest)
        if not path.is_file():
            return False
        if self._noted(digest) != _state(path):
            if hash_file(path)[0] != digest:
                return False
            self._note(digest, path)
        return True

    def _note(self, digest: str, path: Path) -> None:
        self._fresh[digest] = _state(path)

    def _noted(self, digest: str) -> list[int] | None:
        if self._checked is None:
            self._checked = _read_notes(self._notes)
        return self._fresh.get(digest) or self._checked.get(digest)


MEND = "Run the stage that made it again: it puts a good copy in its place."


def hash_file(path: Path) -> tuple[str, int]:
    """sha256 in hexadecimal and size in bytes of a file."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256")
        return digest.hexdigest(), stream.tell()


def _read(source: Path, copy: Path | None) -> tuple[str, int]:
    """Digest and size of a file, which is copied on the way where a copy is asked for."""
    try:
        return _copy(source, copy) if copy else hash_file(source)
    except OSError as error:
        if error.errno in FULL:
            raise
        raise StoreError(f"The file {source} cannot be stored: {reason(error)}.") from error


def _copy(source: Path, target: Path) -> tuple[str, int]:
    """Copy a file and hash it on the way."""
    digest, size = hashlib.sha256(), 0
    with source.open("rb") as incoming, target.open("wb") as outgoing:
        while chunk := incoming.read(CHUNK):
            digest.update(chunk)
            size += outgoing.write(chunk)
    shutil.copymode(source, target)
    return digest.hexdigest(), size


def _state(path: Path) -> list[int]:
    """What changes with a file's content: its size in bytes and its time of change in nanoseconds."""
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns]


def _read_notes(path: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        notes = json.loads(path.read_text(encoding="utf-8"))
        return notes if isinstance(notes, dict) else {}
    return {}
