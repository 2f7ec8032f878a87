"""What can be wrong with images and masks, and one summary of it all."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sightline.errors import DataError
from sightline.wording import plural

LIST_ALL = 20
"""Up to so many files of one kind are all named in the summary."""


class ProblemKind(StrEnum):
    """Kinds of damage; the value is the text for people."""

    NO_MASK = "image without mask"
    NO_IMAGE = "mask without image"
    SAME_NAME = "same name twice"
    NO_GROUP = "group not readable from the name"
    ALMOST = "name that the layout almost matches"
    BAD_NAME = "name that cannot be stored"
    LINK = "link that is broken or leaves the folder"
    NOT_A_FILE = "not a regular file"
    EMPTY = "empty file"
    UNREADABLE = "not readable as an image"
    TRUNCATED = "truncated file"
    TOO_LARGE = "too large to open"
    ROTATED = "image rotated by EXIF"
    IMAGE_MODE = "image of an unfit kind"
    MASK_MODE = "mask that is not 8-bit single-channel or palette"
    LOSSY_MASK = "mask in a lossy format"
    SIZE = "sizes differ"
    VALUES = "values outside the class map"
    DUPLICATE = "identical images"
    ALL_IGNORED = "mask wholly ignored"

    @property
    def is_warning(self) -> bool:
        """True for what is told but leaves the pair usable."""
        return self is ProblemKind.ALL_IGNORED


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with one file.

    Args:
        kind: what is wrong.
        file: path relative to the data's folder.
        detail: particulars, for people.
        values: the mask values or colours that the class map does not name (kind VALUES only).
    """

    kind: ProblemKind
    file: str
    detail: str = ""
    values: tuple[str, ...] = ()

    def __str__(self) -> str:
        return printable(f"{self.file}: {self.detail or self.kind}")


def printable(text: str) -> str:
    """The text with control characters and undecodable bytes written out as escapes."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", lambda match: ascii(match[0])[1:-1], text)


class PairError(DataError):
    """An image and its mask cannot be used; `problems` says why, at least one."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems

    @property
    def problem(self) -> Problem:
        """The first problem."""
        return self.problems[0]

    def __reduce__(self) -> tuple[type[PairError], tuple[Problem, ...]]:
        """Pickle the problems: worker processes hand this error back."""
        return type(self), self.problems


def duplicates(digests: Mapping[str, str]) -> list[Problem]:
    """Identical images under two names.

    Args:
        digests: file -> digest of its bytes.

    Returns:
        One problem for each file but the first (by name) of those that share a digest; the detail names the first.
    """
    files = defaultdict(list)
    for file in sorted(digests):
        files[digests[file]].append(file)
    return [
        Problem(ProblemKind.DUPLICATE, file, f"the same bytes as {same[0]}")
        for same in sorted(files.values())
        for file in same[1:]
    ]


def summarize(problems: Sequence[Problem], total: int, examples: int = 3) -> str:
    """All problems as one text: counts per kind, the files, and what mends each kind.

    Args:
        problems: in any order.
        total: number of images that were looked at.
        examples: files named of a kind that more than 20 files have; up to 20 are all named.
    """
    if not problems:
        return f"No problem in {plural(total, 'image')}."
    kinds = Counter(problem.kind for problem in problems)
    parts = [f"{_heading(kinds)} in {plural(total, 'image')}:"]
    for kind in ProblemKind:
        if kind in kinds:
            parts.append(_of_kind([problem for problem in problems if problem.kind is kind], total, examples))
    return "\n\n".join(parts)


def _heading(kinds: Mapping[ProblemKind, int]) -> str:
    """`50 problems of 19 kinds and 1 warning`, without the part of which there is none."""
    damage = [count for kind, count in kinds.items() if not kind.is_warning]
    of_kinds = f" of {len(damage)} kinds" if len(damage) > 1 else ""
    warnings = sum(count for kind, count in kinds.items() if kind.is_warning)
    parts = [plural(sum(damage), "problem") + of_kinds] if damage else []
    return " and ".join([*parts, plural(warnings, "warning")] if warnings else parts)


_PHRASES: Mapping[ProblemKind, tuple[str, str, str]] = {
    ProblemKind.NO_MASK: ("image", "has no mask|have no mask", "Add the mask, or take the image away."),
    ProblemKind.NO_IMAGE: ("mask", "has no image|have no image", "Add the image, or take the mask away."),
    ProblemKind.SAME_NAME: (
        "image",
        "shares its name with another|share their name with another",
        "A name is the key of every table; folder, suffix and case do not tell names apart. Rename all but one.",
    ),
    ProblemKind.NO_GROUP: (
        "image",
        "has a name that the group cannot be read from|have a name that the group cannot be read from",
        "Rename, or describe the group with --group.",
    ),
    ProblemKind.ALMOST: (
        "file",
        "has a name that only nearly fits the layout|have names that only nearly fit the layout",
        "Suffix and case count: rename, or describe the layout with --images and --mask.",
    ),
    ProblemKind.BAD_NAME: (
        "file",
        "has a name that cannot be stored|have a name that cannot be stored",
        "Names are UTF-8 without backslash, control characters or line breaks. Rename.",
    ),
    ProblemKind.LINK: (
        "file",
        "is a link that is broken or leaves the folder|are links that are broken or leave the folder",
        "Put the file itself in its place.",
    ),
    ProblemKind.NOT_A_FILE: ("path", "is no regular file|are no regular files", "Put a file in its place."),
    ProblemKind.EMPTY: ("file", "is empty|are empty", "Copy or download again."),
    ProblemKind.UNREADABLE: (
        "file",
        "cannot be read as an image|cannot be read as images",
        "Copy or download again, or save as JPEG or PNG (masks as PNG).",
    ),
    ProblemKind.TRUNCATED: ("file", "is cut off|are cut off", "Copy or download again."),
    ProblemKind.TOO_LARGE: ("file", "is too large to open safely|are too large to open safely", "Scale down."),
    ProblemKind.ROTATED: (
        "image",
        "is turned by its EXIF orientation|are turned by their EXIF orientation",
        "Viewers turn such an image and training does not. Save it with its pixels turned as the mask's are.",
    ),
    ProblemKind.IMAGE_MODE: (
        "image",
        "is not plain 8-bit RGB or grey|are not plain 8-bit RGB or grey",
        "Save as 8-bit RGB, opaque, one picture a file.",
    ),
    ProblemKind.MASK_MODE: (
        "mask",
        "is not 8-bit single-channel or palette|are not 8-bit single-channel or palette",
        "Save as 8-bit index PNG; for masks of colours, list the colours under `raw_colors:` in the class map.",
    ),
    ProblemKind.LOSSY_MASK: (
        "mask",
        "is in a lossy format|are in a lossy format",
        "That changes class indices. Export as PNG from the source.",
    ),
    ProblemKind.SIZE: (
        "mask",
        "differs in size from its image|differ in size from their images",
        "Image and mask need the same width and height.",
    ),
    ProblemKind.VALUES: ("mask", "holds|hold", "Add it, or map it to ignore."),
    ProblemKind.ALL_IGNORED: (
        "mask",
        "has no pixel of any class|have no pixel of any class",
        "Nothing is wrong with the file, and the image is kept, but nothing can be learnt from it or measured on it.",
    ),
    ProblemKind.DUPLICATE: (
        "image",
        "is identical with another|are identical with another",
        "Keep one of each: a copy in another subset would leak.",
    ),
}
_OF_ALL = ("image", "mask")
"""What each image looked at has one of, so that `3 of 120 masks` means something."""


def _of_kind(problems: list[Problem], total: int, examples: int) -> str:
    kind, count = problems[0].kind, len(problems)
    noun, verbs, remedy = _PHRASES[kind]
    one, many = verbs.split("|")
    values = f" {_values(problems)}" if kind is ProblemKind.VALUES else ""
    if kind is ProblemKind.VALUES:
        remedy = _values_remedy(problems)
    whole = noun in _OF_ALL and kind is not ProblemKind.NO_IMAGE
    counted = f"{count} of {plural(total, noun)}" if whole else plural(count, noun)
    warning = "Warning: " if kind.is_warning else ""
    shown = problems if count <= LIST_ALL else problems[:examples]
    lines = [f"{warning}{counted} {one if count == 1 else many}{values}. {remedy}"]
    lines += [f"  - {problem}" for problem in shown]
    if len(shown) < count:
        lines.append(f"  - and {count - len(shown)} more")
    return "\n".join(lines)


def _distinct(problems: list[Problem]) -> list[str]:
    values = {value for problem in problems for value in problem.values}
    return sorted(values, key=lambda value: (len(value), value))


def _values(problems: list[Problem]) -> str:
    values = _distinct(problems)
    listed = ", ".join(values[:8]) + (f" and {len(values) - 8} more" if len(values) > 8 else "")
    word = "colour" if values and values[0].startswith("#") else "value"
    return f"the {word}{'s' if len(values) > 1 else ''} {listed}, which the class map does not name"


def _values_remedy(problems: list[Problem]) -> str:
    values = _distinct(problems)
    colors = bool(values) and values[0].startswith("#")
    key, example = ("raw_colors", f'"{values[0]}"') if colors else ("raw_values", values[0] if values else "19")
    them = "them" if len(values) > 1 else "it"
    return f"Add {them}, or map {them} to ignore (`{key}: {{{example}: 255}}` in classes.yaml)."
