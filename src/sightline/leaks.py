"""Leaks: what two subsets have in common (groups, near-duplicate images, touching frames), and the gap that parts them.

Every function takes one row per image: `File_Name`, `Group`, `Drive` (text), `Frame` (int64), `PHash` (16 hexadecimal
digits) and `Stage` (train, valid, test; missing where the image is left out).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sightline.console import track
from sightline.layouts import SUBSETS
from sightline.table import KEY
from sightline.wording import plural

if TYPE_CHECKING:
    import pandas as pd

KEPT_PAIRS = 200
"""Pairs that a list holds at most; counts are whole."""

BLOCK = 1 << 20
"""Comparisons made at once: 8 MB, which stays in the processor's cache."""

SLOW = 500 * BLOCK
"""Comparisons that take longer than a second: from here on there is a progress bar."""

Indices = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


def leave_gaps(rows: pd.DataFrame, gap: int) -> pd.DataFrame:
    """The images to leave out so that at least `gap` frames of a drive lie between those of two subsets.

    At a border with valid or test it is train that gives way, as the largest. Between valid and test it is valid:
    test is what the final figures are measured on, and valid only chooses among epochs.

    Args:
        rows: with `Stage` of every row.
        gap: number of labelled frames; 0 leaves none out.

    Returns:
        `File_Name`, `Group` and `reason` of each, sorted by `File_Name`.
    """
    rows = rows.sort_values(KEY, ignore_index=True)
    stages, places = rows["Stage"].to_numpy(object), _places(rows, gap)
    reasons = np.full(len(rows), "", object)
    movable = ~rows["Drive"].isin(unnumbered_drives(rows)).to_numpy() & (gap > 0)
    # valid before train: a train frame need not give way to a valid frame that is left out itself
    for side, others in (("valid", ("test",)), ("train", ("valid", "test"))):
        near = _within(places, np.unique(places[np.isin(stages, others) & (reasons == "")]), gap)
        out = movable & near & (stages == side)
        reasons[out] = (
            f"{side}, at most {plural(gap, 'frame')} from {' or '.join(others)} in drive " + rows.loc[out, "Drive"]
        )
    left_out: pd.DataFrame = rows.loc[reasons != "", [KEY, "Group"]].assign(reason=reasons[reasons != ""])
    return left_out.reset_index(drop=True)


def unnumbered_drives(rows: pd.DataFrame) -> list[str]:
    """Drives that stand in several subsets and whose frames have no number of their own: no gap can be left there."""
    numbers = _shared_drives(rows).groupby("Drive")["Frame"].nunique()
    return sorted(map(str, numbers[numbers == 1].index))


def find_leaks(rows: pd.DataFrame, bits: int) -> dict[str, Any]:
    """What subsets have in common, as `split.json` holds it under `leaks`.

    Args:
        rows: all images, those left out with `Stage` missing.
        bits: perceptual hashes that differ in at most so many bits are near-duplicates.

    Returns:
        `groups`, `near_duplicates`, `near_duplicate_count`, `near_duplicate_bits`, `touching`, `touching_count`; see
        docs/data-format.md. Lists of pairs hold the 200 nearest; counts are whole.
    """
    rows = rows.sort_values(KEY, ignore_index=True)
    pairs, count = near_duplicates(rows, bits)
    touching = touching_frames(rows)
    return {
        "groups": shared_groups(rows),
        "near_duplicates": pairs,
        "near_duplicate_count": count,
        "near_duplicate_bits": bits,
        "touching": touching[:KEPT_PAIRS],
        "touching_count": len(touching),
    }


def shared_groups(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Groups that stand in more than one subset: `group` and `subsets`, sorted by group."""
    pairs = rows.loc[rows["Stage"].notna(), ["Group", "Stage"]].drop_duplicates()
    shared = pairs[pairs.duplicated("Group", keep=False)]
    return [
        {"group": str(group), "subsets": [subset for subset in SUBSETS if subset in set(stages)]}
        for group, stages in shared.groupby("Group")["Stage"]
    ]


def touching_frames(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Frames that follow one another in a drive and stand in different subsets, the closest first.

    Returns:
        `a` and `b` (file names, in the drive's order), `a_subset`, `b_subset`, `drive` and `frames_apart`, the
        difference of their frame numbers. Drives without frame numbers are left out; see `unnumbered_drives`.
    """
    rows = rows[~rows["Drive"].isin(unnumbered_drives(rows))]
    rows = rows.sort_values(["Drive", "Frame", KEY], ignore_index=True)
    drives, stages = rows["Drive"].to_numpy(object), rows["Stage"].to_numpy(object)
    kept, frames = rows["Stage"].notna().to_numpy(), rows["Frame"].to_numpy(np.int64)
    border = kept[:-1] & kept[1:] & (drives[:-1] == drives[1:]) & (stages[:-1] != stages[1:])
    found = [
        _pair(rows, here, here + 1) | {"drive": drives[here], "frames_apart": int(frames[here + 1] - frames[here])}
        for here in np.flatnonzero(border).tolist()
    ]
    return sorted(found, key=lambda pair: (pair["frames_apart"], pair["a"], pair["b"]))


def near_duplicates(rows: pd.DataFrame, bits: int) -> tuple[list[dict[str, Any]], int]:
    """Images of different subsets whose perceptual hashes differ in at most `bits` of 64 bits.

    Returns:
        The 200 nearest pairs, by distance and name: `a`, `b` (file names), `a_subset`, `b_subset`, `distance` (bits);
        and how many there are in all.
    """
    rows = rows[rows["Stage"].notna()].sort_values(KEY, ignore_index=True)
    hashes = np.array([int(text, 16) for text in rows["PHash"]], np.uint64)
    stages = rows["Stage"].to_numpy(object)
    members = {subset: np.flatnonzero(stages == subset) for subset in SUBSETS}
    count, nearest = 0, np.empty(0, np.int64)
    for one, other in _with_progress(_blocks(members), _comparisons(members)):
        close = _close(hashes, one, other, bits)
        count += len(close)
        nearest = _nearest(np.concatenate([nearest, close]))
    return [
        _pair(rows, one, other) | {"distance": distance} for distance, one, other in _decode(nearest, len(rows))
    ], count


def describe(leaks: dict[str, Any]) -> list[tuple[bool, str]]:
    """The outcome of `find_leaks` in words: whether all is well, and a line, for each of its three checks."""
    groups, bits = leaks["groups"], leaks["near_duplicate_bits"]
    pairs, border = leaks["near_duplicates"], leaks["touching"]
    alike = f"near-duplicate images (perceptual hashes at most {bits} of 64 bits apart)"
    remedy = "widen --gap where they are of one drive, else give them one group with --group"
    return [
        _line(
            "no group stands in two subsets",
            len(groups),
            "group stands in more than one subset",
            "groups stand in more than one subset",
            groups and f"{groups[0]['group']} in {' and '.join(groups[0]['subsets'])}",
        ),
        _line(
            f"no near-duplicate images stand in two subsets (perceptual hashes at most {bits} of 64 bits apart)",
            leaks["near_duplicate_count"],
            f"pair of {alike} stands in two subsets: {remedy}",
            f"pairs of {alike} stand in two subsets: {remedy}",
            pairs and f"{_both(pairs[0])}, {plural(pairs[0]['distance'], 'bit')} apart",
        ),
        _line(
            "no neighbouring frames of a drive stand in two subsets",
            leaks["touching_count"],
            "pair of neighbouring frames of a drive stands in two subsets",
            "pairs of neighbouring frames of a drive stand in two subsets",
            border and f"{_both(border[0])}, {plural(border[0]['frames_apart'], 'frame')} apart",
        ),
    ]


def _line(well: str, count: int, one: str, many: str, first: str) -> tuple[bool, str]:
    return (False, f"{plural(count, one, many)} (first: {first})") if count else (True, well)


def _both(pair: dict[str, Any]) -> str:
    return f"{pair['a']} in {pair['a_subset']} and {pair['b']} in {pair['b_subset']}"


def _shared_drives(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of drives that stand in more than one subset."""
    subsets = rows.groupby("Drive")["Stage"].nunique()
    return rows[rows["Drive"].isin(subsets[subsets > 1].index)]


def _places(rows: pd.DataFrame, gap: int) -> Indices:
    """The place of each frame in its drive, int64; the places of two drives lie more than `gap` apart."""
    drives = np.unique(rows["Drive"].to_numpy(object), return_inverse=True)[1].astype(np.int64)
    pairs = np.column_stack([drives, rows["Frame"].to_numpy(np.int64)])
    places: Indices = np.unique(pairs, axis=0, return_inverse=True)[1].ravel() + drives * gap
    return places


def _within(places: Indices, others: Indices, gap: int) -> Flags:
    """Which places lie at most `gap` from one of `others` (sorted)."""
    if not len(others):
        return np.zeros(len(places), np.bool_)
    after = others[np.searchsorted(others, places).clip(max=len(others) - 1)]
    before = others[(np.searchsorted(others, places, side="right") - 1).clip(min=0)]
    near: Flags = np.minimum(np.abs(after - places), np.abs(places - before)) <= gap
    return near


def _blocks(members: dict[str, Indices]) -> Iterator[tuple[Indices, Indices]]:
    """Rows of one subset with rows of another, about `BLOCK` comparisons at a time, every pair once."""
    for one, other in combinations(SUBSETS, 2):
        few, many = sorted((members[one], members[other]), key=len)
        width = max(1, BLOCK // max(1, len(many)))
        for start in range(0, len(few), width):
            for begin in range(0, len(many), BLOCK):
                yield few[start : start + width], many[begin : begin + BLOCK]


def _comparisons(members: dict[str, Indices]) -> int:
    return sum(len(members[one]) * len(members[other]) for one, other in combinations(SUBSETS, 2))


def _with_progress(blocks: Iterable[tuple[Indices, Indices]], comparisons: int) -> Iterable[tuple[Indices, Indices]]:
    if comparisons < SLOW:
        return blocks
    listed = list(blocks)
    return track(listed, "looking for near-duplicates", len(listed))


def _close(hashes: npt.NDArray[np.uint64], one: Indices, other: Indices, bits: int) -> Indices:
    """Each pair at most `bits` apart as one number, int64, that sorts by distance, first row and second row."""
    distance = np.bitwise_count(hashes[one, None] ^ hashes[None, other])
    i, j = np.nonzero(distance <= bits)
    first, second = np.minimum(one[i], other[j]), np.maximum(one[i], other[j])
    pairs: Indices = (distance[i, j].astype(np.int64) * len(hashes) + first) * len(hashes) + second
    return pairs


def _nearest(pairs: Indices) -> Indices:
    """The `KEPT_PAIRS` lowest, sorted."""
    if len(pairs) > KEPT_PAIRS:
        pairs = np.partition(pairs, KEPT_PAIRS - 1)[:KEPT_PAIRS]
    return np.sort(pairs)


def _decode(pairs: Indices, rows: int) -> list[tuple[int, int, int]]:
    """(distance, first row, second row) of the numbers that `_close` made."""
    return [(number // rows**2, number // rows % rows, number % rows) for number in pairs.tolist()]


def _pair(rows: pd.DataFrame, one: int, other: int) -> dict[str, Any]:
    return {
        "a": rows[KEY][one],
        "b": rows[KEY][other],
        "a_subset": rows["Stage"][one],
        "b_subset": rows["Stage"][other],
    }
