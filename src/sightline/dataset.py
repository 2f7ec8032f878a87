"""Sample, Dataset: pair images with masks by a layout; validate every pair."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from sightline.classes import ClassMap
from sightline.errors import ConfigError, DataError
from sightline.layouts import Layout
from sightline.pairs import Pair, read_files
from sightline.problems import PairError, Problem, ProblemKind, duplicates, printable, summarize
from sightline.templates import Found

__all__ = [
    "Dataset",
    "Pair",
    "PairError",
    "Problem",
    "ProblemKind",
    "Sample",
    "duplicates",
    "pair",
    "read_pair",
    "summarize",
]


@dataclass(frozen=True)
class Sample:
    """An image with its mask and its group.

    Args:
        file_name: the image's file name, the key of every table.
        image: the image file.
        mask: the mask file.
        group: images of one group go to one subset.
        drive: the drive that the group is a stretch of; the group itself where the layout names none.
        frame: the frame's number in the drive; 0 where the layout names none.
        published: the published subset (train, valid or test); None where there is none.
        root: the data's folder; paths in problems are relative to it.
        classes: the class map of the mask, so that a notebook can show it; `dataset[0]` gives a sample that has it.
    """

    file_name: str
    image: Path
    mask: Path
    group: str
    drive: str
    frame: int = 0
    published: str | None = None
    root: Path | None = None
    classes: ClassMap | None = field(default=None, repr=False, compare=False)

    def _repr_html_(self) -> str:
        from sightline.notebook import of_sample

        return of_sample(self)


@dataclass(frozen=True)
class Dataset:
    """Samples sorted by `file_name`, with their class map.

    Args:
        samples: the samples.
        classes: the class map of the masks.
        root: the data's folder.
        layout: how the folder is laid out.
        left_out: number of images that are not among the samples for what their names or their files' names show.
        beyond_limit: number of images that are not among them for the limit alone.
    """

    samples: tuple[Sample, ...]
    classes: ClassMap
    root: Path
    layout: Layout
    left_out: int = 0
    beyond_limit: int = 0

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)

    def __getitem__(self, index: int) -> Sample:
        return replace(self.samples[index], classes=self.classes)

    def _repr_html_(self) -> str:
        from sightline.notebook import of_dataset

        return of_dataset(self)


def pair(root: Path, layout: Layout, limit: int | None = None) -> tuple[Dataset, list[Problem]]:
    """Pair images with masks by their names; no file is opened.

    Problems found here: an image without mask, a mask without image, a name twice (in two folders, under two suffixes,
    or differing only in case: none of them is kept), a group that cannot be read, a link that is broken or leaves the
    folder, an empty file, a directory in a file's place, a name that the layout almost matches (`a.JPG`), a name
    that cannot be stored.

    Args:
        root: the data's folder.
        layout: how it is laid out.
        limit: at most so many samples, taken at even steps through the sorted ones, so that many groups are in.

    Returns:
        The samples without a problem, sorted by file name, and the problems, sorted by kind and file.

    Raises:
        DataError: no such folder, or no image matches the layout.
        ConfigError: `limit` is less than 1.
    """
    if limit is not None and limit < 1:
        raise ConfigError(f"The limit is {limit}; it must be at least 1.")
    found = layout.find_images(root)
    images = [image for image in found if image.exact]
    problems = [_almost(image.path, layout.images) for image in found if not image.exact]
    if not images:
        raise DataError(_no_images(root, layout, problems))
    problems += _same_names(images) + _orphans(root, layout, found)
    paired = []
    for image in images:
        sample, wrong = _sample(root, layout, image)
        problems += wrong
        paired.append(sample)
    damaged = {problem.file for problem in problems}
    sound = [sample for sample in paired if sample and sample.image.relative_to(root).as_posix() not in damaged]
    sound.sort(key=lambda sample: sample.file_name)
    order = list(ProblemKind)
    problems.sort(key=lambda problem: (order.index(problem.kind), problem.file))
    samples = tuple(_strided(sound, limit))
    left_out, beyond_limit = len(found) - len(sound), len(sound) - len(samples)
    return Dataset(samples, layout.classes, root, layout, left_out, beyond_limit), problems


def read_pair(sample: Sample, classes: ClassMap) -> Pair:
    """Read and check a sample's image and mask; see `sightline.pairs.read_files`.

    Raises:
        PairError: with every problem of the two files.
    """
    return read_files(sample.image, sample.mask, classes, sample.root)


def _sample(root: Path, layout: Layout, image: Found) -> tuple[Sample | None, list[Problem]]:
    """The sample of an image, or None with what is wrong."""
    mask = layout.mask_of(image)
    group = layout.group_of(image.path)
    problems = [problem for path in (image.path, mask) if (problem := _file_problem(root, path, mask, image.path))]
    if group is None:
        detail = f"the group '{layout.group}' finds nothing in it"
        problems.append(Problem(ProblemKind.NO_GROUP, image.path, detail))
    if problems or group is None:
        return None, problems
    published = layout.published.get(image.fields.get("split", ""))
    name = PurePosixPath(image.path).name
    return Sample(name, root / image.path, root / mask, *group, published, root), []


def _file_problem(root: Path, path: str, mask: str, image: str) -> Problem | None:
    """What is wrong with a file that should be there, as far as can be told without opening it."""
    if not os.path.lexists(root / path):
        return Problem(ProblemKind.NO_MASK, image, f"there is no {mask}")
    try:
        real = Path(os.path.realpath(root / path, strict=True))
        inside = real.is_relative_to(os.path.realpath(root))
        size = real.stat().st_size
    except OSError:
        return Problem(ProblemKind.LINK, path, "is a link to nowhere, or cannot be followed")
    if not inside:
        return Problem(ProblemKind.LINK, path, "is a link that leaves the folder")
    return _content_problem(real, size, path)


def _content_problem(real: Path, size: int, path: str) -> Problem | None:
    if not real.is_file():
        return Problem(ProblemKind.NOT_A_FILE, path, "is a folder" if real.is_dir() else "is no regular file")
    if not size:
        return Problem(ProblemKind.EMPTY, path, "has 0 bytes")
    if "\\" in path or printable(path) != path:
        return Problem(ProblemKind.BAD_NAME, path, _bad_name(path))
    return None


def _bad_name(path: str) -> str:
    if "\\" in path:
        return "its name holds a backslash"
    if any("\ud800" <= letter <= "\udfff" for letter in path):
        return "its name is not UTF-8"
    return "its name holds a control character or a line break"


def _almost(path: str, templates: Sequence[str]) -> Problem:
    return Problem(ProblemKind.ALMOST, path, f"the layout asks for {' or '.join(templates)}")


def _orphans(root: Path, layout: Layout, found: list[Found]) -> list[Problem]:
    """Masks without image, and masks whose name almost fits."""
    used = {layout.mask_of(image) for image in found} | {image.path for image in found}
    masks = [mask for mask in layout.find_masks(root, found) if mask.path not in used]
    lonely = [Problem(ProblemKind.NO_IMAGE, mask.path, "no image has it as its mask") for mask in masks if mask.exact]
    return lonely + [_almost(mask.path, [layout.mask]) for mask in masks if not mask.exact]


def _same_names(images: list[Found]) -> list[Problem]:
    stems = {image.path: PurePosixPath(image.path).stem.casefold() for image in images}
    first: dict[str, list[str]] = {}
    for path, stem in stems.items():
        first.setdefault(stem, []).append(path)
    others = {path: next((other for other in first[stem] if other != path), "") for path, stem in stems.items()}
    return [
        Problem(ProblemKind.SAME_NAME, path, f"the same name as {other}") for path, other in others.items() if other
    ]


def _strided(samples: list[Sample], limit: int | None) -> list[Sample]:
    if limit is None or limit >= len(samples):
        return samples
    return [samples[step * len(samples) // limit] for step in range(limit)]


def _no_images(root: Path, layout: Layout, almost: list[Problem]) -> str:
    hint = f" {len(almost)} almost do (first: {almost[0].file}): suffix and case count." if almost else ""
    return f"No image in {root} matches {', '.join(layout.images)}.{hint} Describe the layout with --images and --mask."
