"""Ready splits, made elsewhere and taken as they are: a CSV file, or the split that a dataset publishes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sightline.errors import SplitError
from sightline.layouts import SUBSETS
from sightline.table import KEY, read_csv
from sightline.wording import plural

if TYPE_CHECKING:
    import pandas as pd

EXAMPLES = 3
"""Names that an error shows of many."""


def read_split(path: Path) -> pd.DataFrame:
    """Read a split from CSV with the columns `File_Name` and `Stage`; other columns are left out.

    Returns:
        `File_Name` and `Stage` as text, as they stand in the file, but for `val`, which becomes `valid`.

    Raises:
        DataError: the file cannot be read.
        SplitError: a column is missing.
    """
    frame = read_csv(path)
    missing = [name for name in (KEY, "Stage") if name not in frame.columns]
    if missing:
        raise SplitError(
            f"The split {path} has no column {' and no column '.join(missing)}. Its columns are: "
            f"{', '.join(map(str, frame.columns))}. It needs {KEY} and Stage, separated by commas."
        )
    return frame[[KEY, "Stage"]].assign(Stage=frame["Stage"].replace("val", "valid"))


def match_split(ready: pd.DataFrame, names: Sequence[str], where: str) -> pd.DataFrame:
    """A ready split, checked row by row against the images it is for.

    Args:
        ready: as `read_split` gives it.
        names: file names of the images.
        where: what the split is called in errors.

    Returns:
        `File_Name` and `Stage` (train, valid or test), sorted by `File_Name`: one row for each name.

    Raises:
        SplitError: rows without image, images without row, file names twice, other values of Stage; all in one.
    """
    problems = [
        problem
        for problem in (
            _unknown_stages(ready),
            _examples(
                ready.loc[ready.duplicated(KEY), KEY].unique(),
                "file name stands in more than one row",
                "file names stand in more than one row",
                "Keep one row of each",
            ),
            _examples(
                ready.loc[~ready[KEY].isin(list(names)), KEY],
                "row names no image of the dataset",
                "rows name no image of the dataset",
                "Take them out; images that --limit or --on-error skip left out of ingest are not there either",
            ),
            _examples(
                sorted(set(names) - set(ready[KEY])),
                "image has no row",
                "images have no row",
                "Add a row for each: train, valid or test",
            ),
        )
        if problem
    ]
    if problems:
        lines = "\n".join(f"  - {problem}" for problem in problems)
        raise SplitError(
            f"{where} ({plural(len(ready), 'row')}) does not fit the {plural(len(names), 'image')}:\n{lines}"
        )
    return ready.sort_values(KEY, ignore_index=True)


def published_split(rows: pd.DataFrame) -> pd.DataFrame:
    """The split that the dataset publishes, from the column `Published` of the EDA table.

    Returns:
        `File_Name` and `Stage`, sorted by `File_Name`.

    Raises:
        SplitError: an image has no published subset.
    """
    without = rows.loc[~rows["Published"].isin(SUBSETS), KEY]
    if len(without):
        verb = "has" if len(without) == 1 else "have"
        raise SplitError(
            f"{len(without)} of {plural(len(rows), 'image')} {verb} no published subset (first: "
            f"{_first(without)}). Make a split with --no-published (`published: false` under `split:` in "
            "sightline.yaml), or give one with --from."
        )
    split = rows[[KEY, "Published"]].rename(columns={"Published": "Stage"})
    return split.sort_values(KEY, ignore_index=True)


def _unknown_stages(ready: pd.DataFrame) -> str:
    counts = ready.loc[~ready["Stage"].isin(SUBSETS), "Stage"].value_counts()
    listed = ", ".join(f"{value!r} in {plural(count, 'row')}" for value, count in sorted(counts.items())[:EXAMPLES])
    more = f" and {plural(len(counts) - EXAMPLES, 'other value')}" if len(counts) > EXAMPLES else ""
    return f"Stage is {listed}{more}. It may be train, valid (or val) or test." if listed else ""


def _examples(names: Iterable[str], one: str, many: str, remedy: str) -> str:
    names = list(names)
    return f"{plural(len(names), one, many)} (first: {_first(names)}). {remedy}." if names else ""


def _first(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)[:EXAMPLES])
