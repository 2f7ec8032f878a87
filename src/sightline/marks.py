"""Flags on images: wrong label, duplicate, interesting, each with a note; kept with the version of the dataset."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import uuid
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from sightline.errors import ConfigError, DataError, StoreError
from sightline.table import KEY
from sightline.tracking import Artifact
from sightline.tracking.disk import writing
from sightline.tracking.records import now
from sightline.wording import plural, reason

KINDS = ("wrong label", "duplicate", "interesting")
LONGEST_NOTE = 2000
"""Characters of a note."""
CSV_COLUMNS = (KEY, "flag", "note", "when", "Image", "Mask")
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""A cell that begins so would be run by a spreadsheet; see https://owasp.org/www-community/attacks/CSV_Injection."""


@dataclass(frozen=True)
class Flag:
    """One flag of one image: which kind, a note (may be empty), and since when (ISO 8601, UTC)."""

    file_name: str
    flag: str
    note: str
    when: str

    def to_dict(self) -> dict[str, str]:
        """As the file and the viewer have it."""
        return {KEY: self.file_name, "flag": self.flag, "note": self.note, "when": self.when}


class Flags:
    """The flags of one version of a dataset, in `flags/NAME-DIGEST.json` of the store.

    The file belongs to the content: the same images ingested again have the same flags. It is written whole or not at
    all, under a lock, so that several people at several viewers lose nothing.

    Args:
        store: the store's folder.
        raw: the raw_data artifact.

    Raises:
        ConfigError: the artifact is no raw_data.
    """

    def __init__(self, store: Path, raw: Artifact) -> None:
        if raw.type != "raw_data":
            raise ConfigError(f"{raw.spec} is of type {raw.type}. Flags belong to a dataset: NAME or NAME:vN.")
        self._raw = raw
        self._store = store
        self.path = store / "flags" / f"{raw.name}-{raw.digest[:16]}.json"

    @property
    def stamp(self) -> tuple[int, int]:
        """What changes whenever the flags do: time of change in nanoseconds and size of the file; zeros without one."""
        try:
            stat = self.path.stat()
        except OSError:
            return 0, 0
        return stat.st_mtime_ns, stat.st_size

    def all(self) -> list[Flag]:
        """Every flag, sorted by file name and kind.

        Raises:
            StoreError: the file cannot be read.
        """
        try:
            told = json.loads(self.path.read_text(encoding="utf-8"))["flags"]
            found = [Flag(one[KEY], one["flag"], one["note"], one["when"]) for one in told]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"The flags in {self.path} cannot be read ({error}). Repair the file, or delete it to begin anew."
            ) from None
        return sorted(found, key=lambda one: (one.file_name, one.flag))

    def put(self, names: Collection[str], flag: str, note: str = "") -> list[Flag]:
        """Flag images; one that has this flag already gets the new note.

        Returns:
            All flags there are afterwards.

        Raises:
            ConfigError: no such kind of flag, no image named, or a note that is too long.
            DataError: an image that the dataset does not hold.
        """
        check_kind(flag)
        self._check_names(names)
        note = clean(note)
        when = now()
        return self._change(names, flag, (Flag(name, flag, note, when) for name in dict.fromkeys(names)))

    def remove(self, names: Collection[str], flag: str) -> list[Flag]:
        """Take a flag from images, those that have it; returns what is left."""
        check_kind(flag)
        return self._change(names, flag, ())

    def to_csv(self) -> str:
        """The flags as CSV for the people who relabel: which file, which flag, the note, and the mask to repair.

        A cell that a spreadsheet would take for a formula has an apostrophe before it.
        """
        masks = {row[KEY]: (row["Image"], row["Mask"]) for row in self._paths()}
        text = io.StringIO()
        lines = csv.writer(
            text, lineterminator="\r\n"
        )  # as RFC 4180 has it; with \n alone a lone \r would stand unquoted
        lines.writerow(CSV_COLUMNS)
        for one in self.all():
            lines.writerow([harmless(cell) for cell in (*one.to_dict().values(), *masks.get(one.file_name, ("", "")))])
        return text.getvalue()

    def write_csv(self, path: Path) -> Path:
        """Write `to_csv` to a file, whole or not at all; returns its path.

        Raises:
            ConfigError: it cannot be written there.
        """
        temporary = path.with_name(f".{path.name}.tmp")
        try:
            temporary.write_text(self.to_csv(), encoding="utf-8", newline="\n")
            temporary.replace(path)
        except OSError as error:
            raise ConfigError(f"{path} cannot be written: {reason(error)}.") from None
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        return path

    def _paths(self) -> list[dict[str, Any]]:
        data = self._raw.table("eda_table.parquet").data.select([KEY, "Image", "Mask"])
        return data.to_pylist()  # type: ignore[no-any-return]

    def _check_names(self, names: Collection[str]) -> None:
        if not names:
            raise ConfigError("No image is named, so there is nothing to flag.")
        unknown = sorted({name for name in names if f"images/{name}" not in self._raw})
        if unknown:
            verb = "is" if len(unknown) == 1 else "are"
            raise DataError(
                f"{len(unknown)} of {plural(len(names), 'image')} {verb} not in {self._raw.spec} (first: "
                f"{unknown[0]}). Nothing was flagged."
            )

    def _change(self, names: Collection[str], flag: str, fresh: Iterable[Flag]) -> list[Flag]:
        """Put `fresh` in the place of the flags of this kind that the images have."""
        with writing(self._store):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self.path.with_suffix(".lock")):
                gone = set(names)
                kept = [one for one in self.all() if one.flag != flag or one.file_name not in gone]
                found = sorted([*kept, *fresh], key=lambda one: (one.file_name, one.flag))
                self._write(found)
        return found

    def _write(self, flags: Sequence[Flag]) -> None:
        told = {"dataset": self._raw.name, "digest": self._raw.digest, "flags": [one.to_dict() for one in flags]}
        temporary = self.path.with_name(f".{self.path.stem}-{uuid.uuid4().hex}.tmp")
        try:
            temporary.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8", newline="\n")
            temporary.replace(self.path)
        finally:
            temporary.unlink(missing_ok=True)


def check_kind(flag: str) -> None:
    """ConfigError unless there is this kind of flag."""
    if flag not in KINDS:
        raise ConfigError(f"There is no flag {flag!r}. The flags are: {', '.join(KINDS)}.")


def clean(note: str) -> str:
    """The note without space round it, what is no Unicode replaced; ConfigError where it is too long."""
    text = note.encode("utf-8", "replace").decode().strip()
    if len(text) > LONGEST_NOTE:
        raise ConfigError(f"The note has {len(text)} characters; {LONGEST_NOTE} is the most. Nothing was flagged.")
    return text


def harmless(cell: str) -> str:
    """The cell, with an apostrophe before what a spreadsheet would take for a formula."""
    return f"'{cell}" if cell.startswith(FORMULA) else cell
