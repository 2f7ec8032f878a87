"""Path templates: `images/{stem}.jpg`, `leftImg8bit/{split:train|val}/{city}/{x}_leftImg8bit.png`.

`{field}` matches one or more characters other than `/`, `{field:a|b}` one of the alternatives, `*` anything within a
name without keeping it. A field that stands twice matches the same text twice.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from sightline.errors import ConfigError, DataError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
_TOKEN = re.compile(r"\{(?P<field>[A-Za-z_]\w*)(?::(?P<options>[^{}/]+))?\}|(?P<star>\*)|(?P<text>[^{}*]+)")


@dataclass(frozen=True)
class Found:
    """A path that a template matches.

    Args:
        path: relative to the root, with `/` between its parts.
        fields: field name -> the text that it matched.
        exact: False where only another suffix or the other case fits (`a.JPG` under `{stem}.jpg`).
    """

    path: str
    fields: Mapping[str, str]
    exact: bool = True


def check_template(text: str) -> None:
    """ConfigError where `text` is no template, is absolute, or leaves the folder with `..`."""
    if not text or "\\" in text or any(part in ("", ".", "..") for part in text.split("/")):
        raise ConfigError(
            f"The template {text!r} must be a path inside the data's folder, such as 'images/{{stem}}.jpg'."
        )
    for part in text.split("/"):
        tokens(part)


def fields_of(text: str) -> dict[str, tuple[str, ...]]:
    """Field name -> its alternatives (empty where it takes any text), in the order of the template."""
    fields: dict[str, tuple[str, ...]] = {}
    for part in text.split("/"):
        for token in tokens(part):
            if token["field"]:
                fields[token["field"]] = tuple(token["options"].split("|")) if token["options"] else ()
    return fields


def fill(text: str, fields: Mapping[str, str]) -> str:
    """Put the fields' values into a template.

    Raises:
        ConfigError: the template asks for a field that there is not, or holds `*`.
    """
    filled = []
    for part in text.split("/"):
        filled.append("".join(_value(token, text, fields) for token in tokens(part)))
    return "/".join(filled)


def constrain(text: str, options: Mapping[str, tuple[str, ...]]) -> str:
    """Give the template's free fields the alternatives in `options`."""
    for name, alternatives in options.items():
        if alternatives:
            text = text.replace(f"{{{name}}}", f"{{{name}:{'|'.join(alternatives)}}}")
    return text


def find(root: Path, text: str) -> list[Found]:
    """Every path under `root` that the template matches, sorted; only folders that can match are read.

    Names that begin with a dot are left out (`._a.jpg` is no image, whatever its suffix says). A file that would match
    but for its suffix or its case is given with `exact=False`.

    Raises:
        DataError: a folder cannot be read.
    """
    return sorted(_walk(root, "", text.split("/"), {}), key=lambda found: found.path)


def _walk(root: Path, folder: str, parts: list[str], known: dict[str, str]) -> Iterator[Found]:
    last = len(parts) == 1
    exact = compile_part(parts[0], tuple(known.items()))
    loose = compile_part(parts[0], tuple(known.items()), loose=True)
    for name in _names(root / folder, folders_only=not last):
        path = f"{folder}/{name}" if folder else name
        if match := exact.fullmatch(name):
            fields = known | match.groupdict()
            yield from [Found(path, fields)] if last else _walk(root, path, parts[1:], fields)
        elif last and (match := loose.fullmatch(name)):
            yield Found(path, known | match.groupdict(), exact=False)


def _names(folder: Path, folders_only: bool) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            shown = [entry for entry in entries if not entry.name.startswith(".")]
            return sorted(entry.name for entry in shown if not folders_only or _is_folder(entry))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise DataError(f"The folder {folder} cannot be read: {error.strerror}.") from None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


@lru_cache(maxsize=4096)
def compile_part(part: str, known: tuple[tuple[str, str], ...] = (), loose: bool = False) -> re.Pattern[str]:
    """One part of a template (no `/`) as a regular expression; `loose` takes any image suffix in any case."""
    values, seen, pattern = dict(known), set[str](), ""
    stem, dot, suffix = part.rpartition(".")
    ends = loose and bool(stem) and (dot + suffix).lower() in IMAGE_SUFFIXES
    for token in tokens(stem if ends else part):
        pattern += _pattern(token, values, seen)
        seen.add(token["field"])
    if ends:
        pattern += "(?:" + "|".join(re.escape(known_suffix) for known_suffix in IMAGE_SUFFIXES) + ")"
    return re.compile(pattern, re.DOTALL | (re.IGNORECASE if loose else 0))


def tokens(part: str) -> list[re.Match[str]]:
    """The fields, stars and plain texts that one part of a template is made of."""
    found = list(_TOKEN.finditer(part))
    if "".join(token[0] for token in found) != part:
        raise ConfigError(f"The template part {part!r} has a brace that does not fit. Write fields as {{stem}}.")
    return found


def _pattern(token: re.Match[str], values: Mapping[str, str], seen: set[str]) -> str:
    name = token["field"]
    if name is None:
        return "[^/]*" if token["star"] else re.escape(token["text"])
    if name in values:
        return re.escape(values[name])
    if name in seen:
        return f"(?P={name})"
    options = "|".join(map(re.escape, token["options"].split("|"))) if token["options"] else "[^/]+"
    return f"(?P<{name}>{options})"


def _value(token: re.Match[str], text: str, fields: Mapping[str, str]) -> str:
    if token["star"]:
        raise ConfigError(f"The mask template {text!r} holds '*', which names no single mask. Use a {{field}}.")
    name = token["field"]
    if name is None:
        return token["text"]
    if name not in fields:
        raise ConfigError(
            f"The mask template {text!r} asks for {{{name}}}, which the image's template does not give. "
            f"There are: {', '.join(f'{{{known}}}' for known in sorted(fields))}."
        )
    return fields[name]
