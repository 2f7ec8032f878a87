"""The class map: index -> name and colour, and how raw mask values become indices."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from sightline import strict_yaml
from sightline.errors import DataError
from sightline.wording import reason

IGNORE = 255
"""The mask value of a pixel that no class is given to (void, unlabelled)."""

PALETTE = (
    "#202428", "#9a90ff", "#7efffa", "#f6f10c", "#fa6885", "#043dd2", "#686a00",
    "#d3edbb", "#749b01", "#8279a4", "#7dbeaf", "#896d56", "#126e6e", "#166fe5",
    "#614d2c", "#c73481", "#c7bd1e", "#c5bdff", "#843552", "#b6c67b", "#08a37b",
    "#aa9cc1", "#e4f28f", "#b4e8d4",
)  # fmt: skip
"""Colours that people with protanopia, deuteranopia and tritanopia, and all others, can tell apart.

The smallest CIEDE2000 difference between any two of the first 7 is 24.7, of the first 11 it is 15.1, of the first 19
it is 11.8, of all 24 it is 9.7: the least over normal vision and the three deficiencies at full severity, as Machado,
Oliveira and Fernandes simulate them in linear RGB ("A Physiologically-based Model for Simulation of Color Vision
Deficiency", 2009). Found by a seeded annealing that kept the first colour dark and left out glaring ones.
"""


@dataclass(frozen=True)
class ClassMap:
    """Index -> name and colour.

    Args:
        names: class names; the position is the index in a mask.
        colors: `#rrggbb`, one per class; the default palette when left out.
        ignore_index: mask value that no class is given to; 255 unless told.
        raw_values: raw mask value (0 to 255) -> class index (or `ignore_index`), for masks that hold other values.
        raw_colors: `#rrggbb` -> class index (or `ignore_index`), for RGB masks.

    Raises:
        DataError: no name, a name twice, an index out of range, a colour that is not `#rrggbb` or stands twice.
    """

    names: tuple[str, ...]
    colors: tuple[str, ...] = ()
    ignore_index: int = IGNORE
    raw_values: Mapping[int, int] = field(default_factory=dict)
    raw_colors: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        object.__setattr__(self, "colors", tuple(self.colors) or default_palette(len(self.names)))
        self._check_names()
        self._check_colors()
        self._check_indices()

    def _check_names(self) -> None:
        if not self.names:
            raise DataError("The class map names no class. Give at least one under `names:`.")
        for name in self.names:
            if not isinstance(name, str) or not name.strip():
                raise DataError(f"The class map holds the name {name!r}, which is no text. Put it in quotes.")
        twice = sorted({name for name in self.names if self.names.count(name) > 1})
        if twice:
            raise DataError(
                f"The class map names {', '.join(twice)} more than once. Each class needs a name of its own."
            )
        if len(self.colors) != len(self.names):
            raise DataError(f"The class map has {len(self.names)} names but {len(self.colors)} colors. Give one each.")

    def _check_colors(self) -> None:
        for color in self.colors:
            parse_color(color)
        raw = [parse_color(color) for color in self.raw_colors]
        if len(set(raw)) < len(raw):
            raise DataError("The class map gives one colour twice in `raw_colors`. Give each raw colour one class.")

    def _check_indices(self) -> None:
        count = len(self.names)
        if not isinstance(self.ignore_index, int) or not count <= self.ignore_index <= 255:
            raise DataError(
                f"ignore_index {self.ignore_index!r} must lie between the number of classes ({count}) and 255."
            )
        allowed = {*range(count), self.ignore_index}
        beyond = [raw for raw in self.raw_values if not 0 <= raw <= 255]
        if beyond:
            raise DataError(f"The class map names the raw value {beyond[0]}, but an 8-bit mask holds 0 to 255.")
        for raw, index in (*self.raw_values.items(), *self.raw_colors.items()):
            if index not in allowed:
                raise DataError(
                    f"The class map sends the raw value {raw} to {index}, but the classes are 0 to {count - 1} "
                    f"and ignore_index is {self.ignore_index}."
                )

    def __len__(self) -> int:
        return len(self.names)

    def _repr_html_(self) -> str:
        from sightline.notebook import of_classes

        return of_classes(self)

    def index(self, name: str) -> int:
        """Index of the class called `name`.

        Raises:
            DataError: there is none; the text lists those there are.
        """
        if name not in self.names:
            raise DataError(f"There is no class {name!r}. The classes are: {', '.join(self.names)}.")
        return self.names.index(name)

    def recoding(self) -> dict[int, int]:
        """Raw mask value -> class index (or `ignore_index`), for every value that a single-channel mask may hold.

        What `raw_values` says holds. A class that no raw value is sent to keeps its own index, and so does
        `ignore_index`: `{19: 255}` only adds the value 19, while a full table such as that of Cityscapes leaves
        no value that could be taken for an index by mistake.
        """
        reached = set(self.raw_values.values())
        own = {index: index for index in range(len(self.names)) if index not in reached}
        return own | {self.ignore_index: self.ignore_index} | dict(self.raw_values)

    def rgb(self) -> list[tuple[int, int, int]]:
        """The colours as (red, green, blue), 0 to 255, in the order of the indices."""
        return [parse_color(color) for color in self.colors]

    def to_dict(self) -> dict[str, Any]:
        """What `classes.json` holds: names, colors, ignore_index. No raw values: stored masks hold indices."""
        return {"names": list(self.names), "colors": list(self.colors), "ignore_index": self.ignore_index}

    def to_json(self) -> str:
        """`to_dict` as JSON text, the same bytes for the same class map."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str = "the class map") -> ClassMap:
        """Build a class map from what a YAML or JSON file holds; `where` names it in errors."""
        known = {"names", "colors", "ignore_index", "raw_values", "raw_colors"}
        unknown = sorted(set(data) - known)
        if unknown or "names" not in data:
            problem = f"has the unknown key {', '.join(unknown)}" if unknown else "has no `names:`"
            raise DataError(f"{where} {problem}. It may hold: {', '.join(sorted(known))}.")
        try:
            return cls(
                names=tuple(_listed(data, "names")),
                colors=tuple(_listed(data, "colors")),
                ignore_index=data.get("ignore_index", IGNORE),
                raw_values={int(raw): int(index) for raw, index in (data.get("raw_values") or {}).items()},
                raw_colors={str(raw): int(index) for raw, index in (data.get("raw_colors") or {}).items()},
            )
        except (TypeError, ValueError, AttributeError) as error:
            raise DataError(f"{where} does not fit: {error}. `raw_values` and `raw_colors` map to indices.") from None

    @classmethod
    def read(cls, path: Path) -> ClassMap:
        """Read `classes.yaml` or `classes.json`.

        Raises:
            DataError: the file is missing, is not YAML, gives a key twice, or is no class map.
        """
        try:
            data = strict_yaml.load(path.read_text(encoding="utf-8"))
        except strict_yaml.TwiceError as error:
            raise DataError(f"The class map {path}: {error}") from None
        except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
            raise DataError(f"The class map {path} cannot be read: {reason(error)}") from error
        if not isinstance(data, dict):
            raise DataError(f"The class map {path} holds no mapping. It needs at least `names: [...]`.")
        return cls.from_dict(data, where=f"The class map {path}")


def _listed(data: Mapping[str, Any], key: str) -> list[Any]:
    value = data.get(key) or []
    if not isinstance(value, list | tuple):
        raise ValueError(f"`{key}:` must be a list, such as [background, road]")
    return list(value)


def parse_color(color: str) -> tuple[int, int, int]:
    """`#rrggbb` -> (red, green, blue), 0 to 255; DataError where it is anything else."""
    digits = color.removeprefix("#") if isinstance(color, str) else ""
    if len(digits) != 6 or not color.startswith("#"):
        raise DataError(f"The colour {color!r} is not of the form '#rrggbb' (in quotes: '#' begins a comment).")
    try:
        value = bytes.fromhex(digits)
    except ValueError:
        raise DataError(f"The colour {color!r} is not of the form '#rrggbb'.") from None
    return value[0], value[1], value[2]


def default_palette(count: int) -> tuple[str, ...]:
    """The first `count` colours of the palette; past its end it begins again."""
    return tuple(PALETTE[i % len(PALETTE)] for i in range(count))


ROAD_SCENE = ClassMap(("background", "road", "traffic light", "traffic sign", "person", "vehicle", "bicycle"))
"""The seven classes of BDD-simple, Sightline's default."""
