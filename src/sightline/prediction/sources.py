"""Which images and videos are meant, and what their predictions are called."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from sightline.errors import DataError
from sightline.pairs import look
from sightline.problems import PairError, Problem, ProblemKind, printable

IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
VIDEOS = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts")
NOTE = "predictions.jsonl"
"""In a folder of predictions; such a folder is no input."""


@dataclass(frozen=True)
class Source:
    """An image or a video to predict.

    Args:
        path: the file, absolute.
        name: its path below what all inputs share, with `/`; the key of the table.
        stem: where its predictions go, in each of the output's folders, without suffix.
    """

    path: Path
    name: str
    stem: str

    @property
    def is_video(self) -> bool:
        """Whether it is a video, by its suffix."""
        return self.path.suffix.lower() in VIDEOS

    @property
    def root(self) -> Path:
        """What `name` is relative to."""
        return self.path.parents[len(PurePosixPath(self.name).parts) - 1]

    def state(self) -> list[int]:
        """What changes with the file's content: its size in bytes and its time of change in nanoseconds."""
        stat = self.path.stat()
        return [stat.st_size, stat.st_mtime_ns]


def find(inputs: Sequence[Path]) -> list[Source]:
    """The images and videos that are meant, each once, sorted by name.

    A folder stands for the images in it and in its folders, but not for what begins with a dot, for linked folders
    and for predictions. A video is given itself.

    Args:
        inputs: images, videos, folders.

    Raises:
        DataError: an input that is not there, or a folder without images.
    """
    if not inputs:
        raise DataError("Nothing to predict. Give an image, a folder of images, or a video.")
    given = [Path(os.path.normpath(path.absolute())) for path in inputs]
    missing = [str(path) for path, full in zip(inputs, given, strict=True) if not full.exists()]
    if missing:
        raise DataError(f"{len(missing)} of {len(given)} inputs are not there (first: {printable(missing[0])}).")
    root = Path(os.path.commonpath([path if path.is_dir() else path.parent for path in given]))
    files = sorted({file for path in given for file in (_images(path) if path.is_dir() else [path])})
    names = {file: file.relative_to(root).as_posix() for file in files}
    stems = _stems(list(names.values()))
    return sorted((Source(file, name, stems[name]) for file, name in names.items()), key=lambda source: source.name)


def _images(folder: Path) -> list[Path]:
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name[0] != "." and not (Path(place) / name / NOTE).exists()]
        files = [Path(place) / name for name in names if name[0] != "."]
        found += [file for file in files if file.suffix.lower() in IMAGES]
    if not found:
        raise DataError(
            f"There is no image in {printable(str(folder))}: none of its files ends in {', '.join(IMAGES)}. A video is "
            "given itself, not by its folder."
        )
    return found


def _stems(names: Sequence[str]) -> dict[str, str]:
    """Name -> the name without suffix, or the whole of it where two would otherwise lie in one place."""
    short = {name: str(PurePosixPath(name).with_suffix("")) for name in names}
    taken = Counter(stem.casefold() for stem in short.values())
    taken.update({str(folder).casefold() for name in names for folder in PurePosixPath(name).parents})
    stems = {name: stem if taken[stem.casefold()] == 1 else name for name, stem in short.items()}
    twice = [name for name, count in Counter(stem.casefold() for stem in stems.values()).items() if count > 1]
    if twice:
        raise DataError(
            f"{len(twice)} names stand for two inputs each (first: {printable(twice[0])}). Rename one of them."
        )
    return stems


def check(sources: Sequence[Source]) -> list[Problem]:
    """What is wrong with images, as far as their names and headers tell. Videos are opened when it is their turn."""
    problems = []
    for source in sources:
        if "\\" in source.name or printable(source.name) != source.name:
            detail = "its name holds a backslash, a control character, or is not UTF-8"
            problems.append(Problem(ProblemKind.BAD_NAME, source.name, detail))
        elif not source.is_video:
            try:
                look(source.path, source.root)
            except PairError as error:
                problems += error.problems
    return problems
