"""The split: how images were dealt, how alike the subsets are, and whether anything leaks between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sightline.reporting.material import Divided
from sightline.wording import listed, number

SUBSETS = ("train", "valid", "test")


@dataclass(frozen=True)
class Subset:
    """One subset's size."""

    name: str
    images: int
    of_images: float
    groups: int
    drives: int


@dataclass(frozen=True)
class SubsetShare:
    """One class in one subset: images that show it, and its share of the pixels (None in an empty subset)."""

    images: int
    pixels: float | None


@dataclass(frozen=True)
class ClassSpread:
    """One class over the subsets (and `all`)."""

    name: str
    color: str
    subsets: Mapping[str, SubsetShare]


@dataclass(frozen=True)
class Leaks:
    """What stands in two subsets, or nearly so.

    Args:
        groups: (group, its subsets).
        near_duplicates: (image, subset, image, subset, bits that their perceptual hashes differ in), the first ones.
        near_duplicate_count: of all; `near_duplicate_bits` up to so many bits count as near.
        touching: (image, subset, image, subset, drive, frames apart): neighbours across a subset's border, the first
            ones; `touching_count` of all.
    """

    groups: tuple[tuple[str, str], ...]
    near_duplicates: tuple[tuple[str, str, str, str, int], ...]
    near_duplicate_count: int
    near_duplicate_bits: int
    touching: tuple[tuple[str, str, str, str, str, int], ...]
    touching_count: int

    @property
    def none(self) -> bool:
        """Whether no group and no near-duplicate stands in two subsets."""
        return not self.groups and not self.near_duplicate_count

    @property
    def into_training(self) -> bool:
        """Whether something of train stands in another subset, as far as the listed pairs tell."""
        listed_all = self.near_duplicate_count == len(self.near_duplicates)
        return bool(self.groups) or not listed_all or any("train" in pair for pair in self.near_duplicates)


@dataclass(frozen=True)
class SplitFacts:
    """The split as made.

    Args:
        method: how, in a sentence or two.
        subsets: train, valid, test.
        classes: each class over the subsets.
        leaks: the leak check's outcome.
        dropped: (image, group, reason) of images that stand in no subset.
        warnings: what the stage warned of.
    """

    method: str
    subsets: tuple[Subset, ...]
    classes: tuple[ClassSpread, ...]
    leaks: Leaks
    dropped: tuple[tuple[str, str, str], ...]
    warnings: tuple[str, ...]


def split_facts(material: Divided) -> SplitFacts:
    """Read them off `split.json` and the comparison of class shares."""
    division = material.division
    dropped = sorted((one["File_Name"], one["Group"], one["reason"]) for one in division["dropped"])
    return SplitFacts(
        method=method_text(division),
        subsets=_subsets(division["subsets"]),
        classes=_spreads(material),
        leaks=_leaks(division["leaks"]),
        dropped=tuple(dropped),
        warnings=tuple(division["warnings"]),
    )


def method_text(division: Mapping[str, Any]) -> str:
    """How the split was made, in words."""
    if division["method"] == "published":
        return "The split that the dataset was published with is used as it is."
    if division["method"] == "csv":
        return "A ready split, given as a CSV file, is used as it is."
    stratify = [str(name) for name in division.get("stratify") or ()]
    spread = f", the presence of {listed(stratify)} spread evenly" if stratify else ""
    return (
        f"Groups were dealt whole to {division['folds']} folds{spread} (scikit-learn's StratifiedGroupKFold, "
        f"seed {division['seed']}): {_folds(division['test_folds'])} became test, {_folds(division['valid_folds'])} "
        "became valid, the rest train."
    )


def _folds(numbers: list[int]) -> str:
    return f"fold{'s' if len(numbers) > 1 else ''} {listed([str(one) for one in numbers])}" if numbers else "no fold"


def _subsets(subsets: Mapping[str, Mapping[str, int]]) -> tuple[Subset, ...]:
    total = max(sum(int(subset["images"]) for subset in subsets.values()), 1)
    return tuple(
        Subset(name, one["images"], one["images"] / total, one["groups"], one["drives"])
        for name in SUBSETS
        if (one := subsets.get(name))
    )


def _spreads(material: Divided) -> tuple[ClassSpread, ...]:
    rows = {row["Class"]: row for row in material.shares.to_dict("records")}
    return tuple(
        ClassSpread(name, color, {subset: _share(rows.get(name, {}), subset) for subset in ("all", *SUBSETS)})
        for name, color in zip(material.classes.names, material.classes.colors, strict=True)
    )


def _share(row: Mapping[Any, Any], subset: str) -> SubsetShare:
    return SubsetShare(int(row.get(f"{subset}_images", 0)), number(row.get(f"{subset}_share")))


def _leaks(leaks: Mapping[str, Any]) -> Leaks:
    return Leaks(
        groups=tuple((str(one["group"]), listed(one["subsets"])) for one in leaks["groups"]),
        near_duplicates=tuple(
            (one["a"], one["a_subset"], one["b"], one["b_subset"], one["distance"]) for one in leaks["near_duplicates"]
        ),
        near_duplicate_count=int(leaks["near_duplicate_count"]),
        near_duplicate_bits=int(leaks["near_duplicate_bits"]),
        touching=tuple(
            (one["a"], one["a_subset"], one["b"], one["b_subset"], one["drive"], one["frames_apart"])
            for one in leaks["touching"]
        ),
        touching_count=int(leaks.get("touching_count", len(leaks["touching"]))),
    )
