"""The trackio library, pointed at a store's folder while it is used."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple


class Setting(NamedTuple):
    """An attribute of trackio's that says where or how it works."""

    owner: Any
    name: str
    value: Any


@contextmanager
def pointed_at(folder: Path) -> Iterator[Any]:
    """trackio's storage layer with this folder as its own, for the length of the block; as before after it."""
    settings = _settings(folder)
    with applied(settings):
        yield settings[0].owner


@contextmanager
def applied(settings: Sequence[Setting]) -> Iterator[None]:
    """The attributes set for the length of the block; as before after it."""
    before = [Setting(owner, name, getattr(owner, name)) for owner, name, _ in settings]
    try:
        _apply(settings)
        yield
    finally:
        _apply(before)


def _settings(folder: Path) -> list[Setting]:
    """Where trackio works, and that it looks for nothing on the hub even where `TRACKIO_BUCKET_ID` is set.

    Importing trackio does not touch the settings of the hub library.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tqdm's, of notebooks without widgets: no bar of its is ever shown
        from trackio import sqlite_storage, utils

    return [
        Setting(sqlite_storage.SQLiteStorage, "_dataset_import_attempted", True),
        Setting(sqlite_storage, "TRACKIO_DIR", folder),
        Setting(utils, "TRACKIO_DIR", folder),
        Setting(utils, "MEDIA_DIR", folder / "media"),
        Setting(utils, "ARTIFACTS_DIR", folder / "artifacts"),
    ]


def _apply(settings: Sequence[Setting]) -> None:
    for owner, name, value in settings:
        setattr(owner, name, value)
