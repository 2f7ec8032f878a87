"""What is written: whole files, and a note of each that lets a rerun go on where the last one ended."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from PIL import Image

from sightline import __version__
from sightline.classes import ClassMap
from sightline.errors import ConfigError
from sightline.prediction.models import Model
from sightline.prediction.sources import NOTE, Source
from sightline.table import KEY, Table

Row = dict[str, Any]
FOLDERS = ("masks", "overlays", "confidence")
TABLE = "predictions.parquet"
COLUMNS = (
    (KEY, pa.string()), ("Image", pa.string()), ("Prediction", pa.string()), ("Overlay", pa.string()),
    ("Confidence", pa.string()), ("Frame", pa.int64()), ("Seconds", pa.float64()), ("Width", pa.int32()),
    ("Height", pa.int32()), ("mean_confidence", pa.float64()),
)  # fmt: skip


def schema(classes: ClassMap) -> pa.Schema:
    """The columns of `predictions.parquet`.

    Raises:
        ConfigError: a class is called as another column is (upper and lower case count as the same, as in SQL).
    """
    fields = [*COLUMNS, *((name, pa.int8()) for name in classes.names)]
    fields += [(f"{name}_share", pa.float64()) for name in classes.names]
    known = {name.casefold() for name, _ in COLUMNS}
    if twice := [name for name in classes.names if name.casefold() in known]:
        raise ConfigError(f"The class {twice[0]!r} is called like a column of {TABLE}. Rename it in the class map.")
    return pa.schema(fields)


@dataclass(frozen=True)
class Wanted:
    """What to write of each image besides its mask.

    Args:
        overlay: share of the classes' colours in the overlay, 0 to 1; None for no overlays.
        confidence: whether to write the confidence of each pixel.
    """

    overlay: float | None
    confidence: bool


class Folder:
    """A folder of predictions of one model.

    Args:
        path: the folder; made by `begin`, nothing is written before.
        model: whose predictions they are.
        force: predictions of another model are replaced.

    Raises:
        ConfigError: it holds predictions of another model, or files that are no predictions.
    """

    def __init__(self, path: Path, model: Model, force: bool) -> None:
        self.path, self.model, self.force = path, model, force
        self.schema = schema(model.network.classes)
        self._note = path / NOTE
        self._stale: list[Row] = []
        self._rows: dict[str, tuple[Row, Any]] = {}
        head, entries = _read(self._note)
        if not head:
            self._check_free()
        elif head.get("digest") == model.digest:
            self._rows = {row[KEY]: (row, mark) for row, mark in entries if self._whole(row)}
        elif force:
            self._stale = [row for row, _ in entries]
        else:
            raise ConfigError(
                f"{path} holds predictions of another model ({head.get('model')}, not {model.name}). Choose another "
                "--out, or replace them with --force."
            )

    def check_names(self, sources: Sequence[Source]) -> None:
        """ConfigError where predictions of other images of the same names are there already."""
        held: dict[str, str] = {}
        for row, _ in self._rows.values():
            name = row[KEY] if row["Frame"] is None else row[KEY].rpartition("/")[0]
            held[name] = row["Image"]
        others = [source.name for source in sources if held.get(source.name, here := self.place(source)) != here]
        if others and not self.force:
            raise ConfigError(
                f"{self.path} holds predictions of other images under {len(others)} of these {len(sources)} names "
                f"(first: {others[0]}). Choose another --out, or replace them with --force."
            )

    def begin(self) -> None:
        """Make the folder, with its class map and the note of whose predictions it holds."""
        for row in self._stale:
            for file in filter(None, (row["Prediction"], row["Overlay"], row["Confidence"])):
                (self.path / file).unlink(missing_ok=True)
        self.path.mkdir(parents=True, exist_ok=True)
        self._write_note()
        _write_text(self.path / "classes.json", self.model.network.classes.to_json())

    def place(self, source: Source) -> str:
        """Where an input lies, seen from the folder."""
        return Path(os.path.relpath(source.path, self.path)).as_posix()

    def done(self, name: str, state: Sequence[int], wanted: Wanted) -> bool:
        """Whether all that is wanted of an input is there, made from the file as it is now."""
        if self.force or name not in self._rows:
            return False
        row, (seen, opacity) = self._rows[name]
        overlay = wanted.overlay is None or (row["Overlay"] is not None and opacity == wanted.overlay)
        return list(seen) == list(state) and overlay and (not wanted.confidence or row["Confidence"] is not None)

    def write(self, image: Image.Image, file: str, **options: Any) -> str:
        """Write an image under another name and rename it; gives `file` back."""
        path = self.path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            image.save(temporary, **options)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        return file

    def keep(self, row: Row, state: Sequence[int], wanted: Wanted) -> None:
        """Note that an input is done, once its files are there."""
        self._rows[row[KEY]] = row, (list(state), wanted.overlay)
        with self._note.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(self._rows[row[KEY]]) + "\n")

    def finish(self) -> Table:
        """Write the table of all that is there, and the note without repetitions."""
        rows = [self._rows[name][0] for name in sorted(self._rows)]
        table = Table(pa.Table.from_pylist(rows, self.schema), self.model.network.classes)
        table.write(self.path / TABLE)
        self._write_note()
        return table

    def _write_note(self) -> None:
        head = {"sightline": __version__, "model": self.model.name, "digest": self.model.digest}
        lines = [head, *(self._rows[name] for name in sorted(self._rows))]
        _write_text(self._note, "".join(json.dumps(line) + "\n" for line in lines))

    def _whole(self, row: Row) -> bool:
        files = filter(None, (row["Prediction"], row["Overlay"], row["Confidence"]))
        return all((self.path / file).is_file() for file in files)

    def _check_free(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise ConfigError(f"{self.path} is a file, but --out names a folder. Choose another.")
        taken = [name for name in (*FOLDERS, TABLE) if (self.path / name).exists()]
        if taken:
            raise ConfigError(
                f"{self.path} holds {', '.join(taken)} that `sightline predict` did not write. Choose another --out."
            )


def _read(note: Path) -> tuple[Mapping[str, Any], list[tuple[Row, Any]]]:
    """The first line of a note, and its entries; a line that a killed run left half-written counts for nothing."""
    if not note.is_file():
        return {}, []
    lines = []
    for line in note.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:
            continue
    head = lines[0] if lines and isinstance(lines[0], dict) else {}
    return head, [(line[0], line[1]) for line in lines[1:] if isinstance(line, list) and len(line) == 2]


def _write_text(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8", newline="\n")
    temporary.replace(path)
