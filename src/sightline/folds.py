"""Folds: whole groups of images dealt to train, valid and test, classes spread evenly, and errors that say why not."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sightline.config import Split
from sightline.console import progress
from sightline.errors import ConfigError, SplitError
from sightline.layouts import SUBSETS
from sightline.table import KEY
from sightline.wording import plural

if TYPE_CHECKING:
    import pandas as pd

SLOW = 10_000
"""Groups times folds from which on dealing takes longer than a second."""

LISTED = 8
"""Names that an error lists before it says how many more there are."""


def deal(rows: pd.DataFrame, classes: Sequence[str], settings: Split, seed: int) -> pd.DataFrame:
    """Deal whole groups to subsets with scikit-learn's `StratifiedGroupKFold`; the same whatever the order of the rows.

    A stratum is one combination of the classes in `settings.stratify` that stand in an image.

    Args:
        rows: one row per image: `File_Name`, `Group` (text), and a 0/1 column for each class to stratify by.
        classes: names of all classes.
        settings: folds, test_folds, valid_folds, stratify.
        seed: of the shuffling.

    Returns:
        `File_Name` and `Stage` (train, valid or test) of every row, sorted by `File_Name`.

    Raises:
        ConfigError: folds for test or valid that do not exist, overlap, or leave none to train on.
        SplitError: too few groups, a class that is unknown or cannot be spread, a subset that comes out empty.
    """
    import pandas as pd

    check_folds(settings)
    rows = rows.sort_values(KEY, ignore_index=True)
    _check_groups(rows, settings)
    _check_classes(rows, classes, settings)
    fold = _fold_of_each(rows, settings, seed)
    stage = np.where(np.isin(fold, settings.valid_folds), "valid", "train")
    stage = np.where(np.isin(fold, settings.test_folds), "test", stage)
    _check_subsets(stage, settings)
    return pd.DataFrame({KEY: rows[KEY], "Stage": stage.astype(object)})


def subsets_of(settings: Split) -> tuple[str, ...]:
    """The subsets that the folds make: train, valid and, where it has a fold, test."""
    return SUBSETS if settings.test_folds else SUBSETS[:2]


def check_folds(settings: Split) -> None:
    """ConfigError unless the folds of test and valid exist, do not overlap, and leave some to train on."""
    test, valid = set(settings.test_folds), set(settings.valid_folds)
    beyond = sorted(fold for fold in test | valid if not 0 <= fold < settings.folds)
    if beyond:
        raise ConfigError(
            f"There is no fold {_listed(beyond)}: {settings.folds} folds are numbered 0 to {settings.folds - 1}. "
            "Change --test-folds or --valid-folds, or choose more --folds."
        )
    if test & valid:
        raise ConfigError(
            f"Fold {_listed(sorted(test & valid))} is both test and valid. Each fold goes to one subset: change "
            "--test-folds or --valid-folds."
        )
    if not valid:
        raise ConfigError("valid_folds names no fold, but the best epoch is chosen on valid. Give --valid-folds one.")
    if len(test | valid) == settings.folds:
        raise ConfigError(
            f"Test and valid take all {settings.folds} folds, which leaves none to train on. Name fewer in "
            "--test-folds or --valid-folds, or choose more --folds."
        )


def groups_with(rows: pd.DataFrame, classes: Sequence[str]) -> dict[str, int]:
    """Class -> number of groups that it occurs in."""
    present = rows.groupby("Group")[list(classes)].max() if classes else rows[[]]
    return {name: int(present[name].sum()) for name in classes}


def _check_groups(rows: pd.DataFrame, settings: Split) -> None:
    groups = rows["Group"].nunique()
    if groups >= settings.folds:
        return
    raise SplitError(
        f"{plural(len(rows), 'image')} in {plural(groups, 'group')} cannot be dealt to {settings.folds} "
        f"folds: a group stays whole, so each fold needs one of its own. The groups are "
        f"{_listed(sorted(rows['Group'].unique()))}. {_fewer_folds(groups, settings)} smaller groups, such as "
        "stretches of a drive, with --group."
    )


def _fewer_folds(most: int, settings: Split) -> str:
    """What to choose where there can be at most so many folds."""
    if most > max(*settings.test_folds, *settings.valid_folds, len({*settings.test_folds, *settings.valid_folds})):
        return f"Choose --folds {most} or fewer, or"
    return "That is too few for the folds of test and valid, too (--test-folds, --valid-folds). Choose"


def _check_classes(rows: pd.DataFrame, classes: Sequence[str], settings: Split) -> None:
    unknown = [name for name in settings.stratify if name not in classes]
    if unknown:
        raise SplitError(
            f"There is no class {_listed(unknown)} to stratify by. The classes are: {', '.join(classes)}. Choose some "
            "of them with --stratify (`stratify:` in sightline.yaml; an empty list for none)."
        )
    counts, needed = groups_with(rows, classes), len(subsets_of(settings))
    rare = [name for name in settings.stratify if counts[name] < needed]
    if rare:
        groups = rows["Group"].nunique()
        few = "; ".join(f"{name} occurs in {counts[name]} of {groups} groups" for name in rare)
        raise SplitError(
            f"Not every class to stratify by can be spread over {', '.join(subsets_of(settings))}, which takes "
            f"{needed} groups: {few}. {_spreadable(counts, needed)}"
        )


def _spreadable(counts: dict[str, int], needed: int) -> str:
    could = [f"{name} ({count} groups)" for name, count in counts.items() if count >= needed]
    if not could:
        return "No class can be: stratify by none (`stratify: []` in sightline.yaml), or make smaller groups (--group)."
    return (
        f"These can be, with --stratify: {', '.join(could)}. "
        "An empty list (`stratify: []` in sightline.yaml) stratifies by none."
    )


def _fold_of_each(rows: pd.DataFrame, settings: Split, seed: int) -> npt.NDArray[np.int64]:
    """The fold of each row, int64.

    scikit-learn before 1.8 shuffles the groups' counts apart from the groups, and so does not stratify
    (https://github.com/scikit-learn/scikit-learn/pull/32540).
    """
    from sklearn.model_selection import StratifiedGroupKFold

    strata = _strata(rows, settings.stratify)
    _check_strata(strata, settings)
    folds = StratifiedGroupKFold(n_splits=settings.folds, shuffle=True, random_state=seed)
    result = np.zeros(len(rows), np.int64)
    with warnings.catch_warnings(), _progress(rows["Group"].nunique(), settings.folds):
        # a combination of classes rarer than there are folds is no fault: what matters is checked per class
        warnings.simplefilter("ignore", UserWarning)
        for number, (_, members) in enumerate(folds.split(strata, strata, rows["Group"].to_numpy(object))):
            result[members] = number
    return result


def _progress(groups: int, folds: int) -> AbstractContextManager[object]:
    """A progress bar where it takes longer than a second; scikit-learn does not say how far it is."""
    return progress(f"dealing {groups} groups to {folds} folds", None) if groups * folds > SLOW else nullcontext()


def _strata(rows: pd.DataFrame, names: Sequence[str]) -> npt.NDArray[np.int64]:
    """The number of each row's combination of classes, int64."""
    if not names:
        return np.zeros(len(rows), np.int64)
    presence = rows[list(names)].to_numpy(np.int8)
    return np.unique(presence, axis=0, return_inverse=True)[1].ravel().astype(np.int64)


def _check_strata(strata: npt.NDArray[np.int64], settings: Split) -> None:
    """SplitError where scikit-learn would refuse: each combination stands in fewer images than there are folds."""
    counts = np.bincount(strata)
    if counts.max() >= settings.folds:
        return
    raise SplitError(
        f"{len(strata)} images fall into {len(counts)} combinations of {', '.join(settings.stratify)}, the most common "
        f"of {plural(int(counts.max()), 'image')}: too rare to be spread over {settings.folds} folds. "
        f"{_fewer_folds(int(counts.max()), settings)} fewer classes with --stratify."
    )


def _check_subsets(stage: npt.NDArray[np.str_], settings: Split) -> None:
    empty = [subset for subset in subsets_of(settings) if not (stage == subset).any()]
    if empty:
        raise SplitError(
            f"No image came to {' and '.join(empty)}: the groups could not be spread so that each of {settings.folds} "
            "folds holds one. Choose fewer --folds, another --seed, or smaller groups with --group."
        )


def _listed(items: Sequence[object]) -> str:
    more = f" and {len(items) - LISTED} more" if len(items) > LISTED else ""
    return ", ".join(map(str, items[:LISTED])) + more
