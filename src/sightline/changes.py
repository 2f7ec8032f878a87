"""What changed between two versions of a dataset, worked out from the digests of their files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sightline.marks import Flags
from sightline.table import KEY
from sightline.tracking import Artifact, Tracker
from sightline.wording import plural

NAMED = 5
"""Images that a line names before it says how many more there are."""


@dataclass(frozen=True)
class Changes:
    """Images by what happened to them between two versions; each list is sorted.

    Args:
        against: the version before, `NAME:vN`.
        added, removed: images that one version alone has.
        image_changed, mask_changed: of those that both have, the ones whose file differs; an image can be in both.
        flagged_changed: images that were flagged in the version before and were changed or removed since.
        flagged_unchanged: those that were flagged and are as they were.
    """

    against: str
    added: tuple[str, ...]
    removed: tuple[str, ...]
    image_changed: tuple[str, ...]
    mask_changed: tuple[str, ...]
    flagged_changed: tuple[str, ...]
    flagged_unchanged: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able data."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in vars(self).items()}


def changes(before: Artifact, after: Artifact, flagged: Sequence[str] = ()) -> Changes:
    """Compare two versions of a dataset.

    Args:
        before, after: raw_data artifacts.
        flagged: `File_Name` of images that were flagged in `before`.

    Raises:
        StoreError: a table is missing or damaged.
    """
    old, new = _digests(before), _digests(after)
    both = sorted(old.keys() & new.keys())
    image, mask = ([name for name in both if old[name][side] != new[name][side]] for side in (0, 1))
    removed = sorted(old.keys() - new.keys())
    touched = {*image, *mask, *removed}
    known = sorted(set(flagged) & old.keys())
    return Changes(
        against=before.spec,
        added=tuple(sorted(new.keys() - old.keys())),
        removed=tuple(removed),
        image_changed=tuple(image),
        mask_changed=tuple(mask),
        flagged_changed=tuple(name for name in known if name in touched),
        flagged_unchanged=tuple(name for name in known if name not in touched),
    )


def changes_since(tracker: Tracker, before: Artifact, after: Artifact) -> Changes:
    """`changes` with the images that are flagged in the version before."""
    return changes(before, after, [one.file_name for one in Flags(tracker.store, before).all()])


def version_before(tracker: Tracker, raw: Artifact) -> Artifact | None:
    """The version of the dataset that was made before this one; None for the first."""
    older = [one for one in tracker.artifacts() if one.name == raw.name and one.version < raw.version]
    return max(older, key=lambda one: one.version, default=None)


def describe(found: Changes) -> list[str]:
    """The changes in words, a line each; one line where there are none."""
    kinds = {
        "added": found.added,
        "removed": found.removed,
        "with another image": found.image_changed,
        "with another mask": found.mask_changed,
    }
    lines = [f"{plural(len(names), 'image')} {what} ({_named(names)})" for what, names in kinds.items() if names]
    lines = lines or ["the same images with the same masks"]
    flagged = len(found.flagged_changed) + len(found.flagged_unchanged)
    if flagged:
        left = f"; as they were: {_named(found.flagged_unchanged)}" if found.flagged_unchanged else ""
        verb = "was" if len(found.flagged_changed) == 1 else "were"
        touched = f"{len(found.flagged_changed)} {verb} changed or removed"
        lines.append(f"of {plural(flagged, 'flagged image')} {touched}{left}")
    return [f"against {found.against}: {line}" for line in lines]


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _digests(raw: Artifact) -> dict[str, tuple[str, str]]:
    """`File_Name` -> sha256 of the image and of the mask."""
    rows = raw.table("eda_table.parquet").data.select([KEY, "Image", "Mask"]).to_pylist()
    return {row[KEY]: (raw.files[row["Image"]].digest, raw.files[row["Mask"]].digest) for row in rows}
