"""What goes wrong with the disk below the store, as errors that say what to do."""

from __future__ import annotations

import contextlib
import errno
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sightline.errors import StoreError

FULL = (errno.ENOSPC, errno.EDQUOT)

ROOM = 1 << 18
"""Bytes below which SQLite cannot go on; its log grows by less at a time."""


class DiskFullError(StoreError):
    """There is no space left."""


@contextmanager
def writing(store: Path) -> Iterator[None]:
    """StoreError in place of an `OSError` in the block."""
    try:
        yield
    except OSError as error:
        if is_full_disk(error):
            raise full_disk(store) from error
        said = f"{error.strerror} ({error.filename})" if error.strerror and error.filename else error
        raise StoreError(f"The store {store} cannot be used: {said}. Check that it can be read and written.") from error


def full_disk(store: Path) -> DiskFullError:
    """The error to raise when `is_full_disk`."""
    return DiskFullError(f"The disk of {store} is full. Free some space and run the same command again.")


def is_full_disk(error: BaseException) -> bool:
    """Whether an error, or one that it came from, says that there is no space left.

    Libraries wrap what the system said: SQLite has words for it, Arrow and safetensors quote the system's.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, DiskFullError) or (isinstance(cause, OSError) and cause.errno in FULL):
            return True
        if isinstance(cause, sqlite3.Error) and "is full" in str(cause):
            return True
        if "No space left on device" in str(cause):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def has_no_room(folder: Path) -> bool:
    """Whether the disk of a folder is as good as full: SQLite says only `disk I/O error` where its log cannot grow."""
    with contextlib.suppress(OSError):
        return shutil.disk_usage(folder).free < ROOM
    return False
