"""What the data holds: images, sizes, classes, what was left out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sightline.reporting.material import Material

if TYPE_CHECKING:
    import pandas as pd

LICENCE_CHARACTERS = 20_000


@dataclass(frozen=True)
class ClassShare:
    """How often one class occurs.

    Args:
        name, color: of the class.
        images: number of images that show it; `of_images` their share.
        pixels: share of all pixels, ignored ones included.
    """

    name: str
    color: str
    images: int
    of_images: float
    pixels: float


@dataclass(frozen=True)
class Damage:
    """Files of one kind of damage, each with particulars."""

    kind: str
    files: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class DataFacts:
    """The data as ingested.

    Args:
        images, groups, drives: how many.
        sizes: (width, height, images), the most frequent first.
        classes: in the order of the class map.
        ignored: share of pixels that no class is given to; `void_images` how many hold some.
        layout: name of the layout; `about` what its group is; `patterns` its templates with their names.
        skipped: damaged pairs that were left out; `warned` those that were kept.
        beyond_limit: images that the setting `limit` left out.
        licence: the data's licence; `licence_cut` says that it is longer.
    """

    images: int
    groups: int
    drives: int
    sizes: tuple[tuple[int, int, int], ...]
    classes: tuple[ClassShare, ...]
    ignored: float
    void_images: int
    layout: str
    about: str
    patterns: tuple[tuple[str, str], ...]
    skipped: tuple[Damage, ...]
    warned: tuple[Damage, ...]
    beyond_limit: int
    licence: str
    licence_cut: bool


def data_facts(material: Material) -> DataFacts:
    """Read them off the EDA table and the record of the ingest."""
    eda, layout = material.eda, material.ingest["layout"]
    return DataFacts(
        images=len(eda),
        groups=int(eda["Group"].nunique()),
        drives=int(eda["Drive"].nunique()),
        sizes=_sizes(eda),
        classes=_class_shares(material),
        ignored=pixel_share(eda, "ignored_share"),
        void_images=int((eda["ignored_share"] > 0).sum()),
        layout=layout["name"],
        about=layout["about"],
        patterns=_patterns(layout),
        skipped=_damages(material.ingest["skipped"]),
        warned=_damages(material.ingest["warnings"]),
        beyond_limit=int(material.ingest.get("beyond_limit", 0)),
        licence=material.licence[:LICENCE_CHARACTERS],
        licence_cut=len(material.licence) > LICENCE_CHARACTERS,
    )


def pixel_share(eda: pd.DataFrame, column: str) -> float:
    """Share of all pixels of all images, from the images' shares and sizes."""
    pixels = eda["Width"].astype("int64") * eda["Height"].astype("int64")
    return float((eda[column] * pixels).sum() / pixels.sum()) if len(eda) else 0.0


def _class_shares(material: Material) -> tuple[ClassShare, ...]:
    eda, classes = material.eda, material.classes
    images = {name: int(eda[name].sum()) for name in classes.names}
    return tuple(
        ClassShare(name, color, images[name], images[name] / max(len(eda), 1), pixel_share(eda, f"{name}_share"))
        for name, color in zip(classes.names, classes.colors, strict=True)
    )


def _sizes(eda: pd.DataFrame) -> tuple[tuple[int, int, int], ...]:
    counts = Counter(zip(eda["Width"].tolist(), eda["Height"].tolist(), strict=True))
    return tuple((width, height, images) for (width, height), images in sorted(counts.items(), key=_most_first))


def _most_first(item: tuple[tuple[int, int], int]) -> tuple[int, tuple[int, int]]:
    return -item[1], item[0]


def _patterns(layout: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    images = layout["images"]
    shown = ", ".join(images) if isinstance(images, list) else str(images)
    return ("Images", shown), ("Masks", str(layout["mask"])), ("Group", str(layout["group"]))


def _damages(problems: Sequence[Mapping[str, str]]) -> tuple[Damage, ...]:
    kinds = defaultdict(list)
    for problem in problems:
        kinds[problem["kind"]].append((problem["file"], problem["detail"]))
    return tuple(Damage(kind, tuple(sorted(kinds[kind]))) for kind in sorted(kinds))
