"""The artifact `NAME_sweep`, as those read it who only look: no library of sweeps is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sightline.tracking import Artifact

TRIALS, ABOUT, FILE = "trials.parquet", "sweep.json", "sweep.yaml"


@dataclass(frozen=True)
class Outcome:
    """A sweep's artifact, opened.

    Args:
        spec: the artifact, as `name:vN`.
        about: `sweep.json`: method, metric, parameters, importances, the number of the best trial.
        rows: `trials.parquet`, one a trial.
    """

    spec: str
    about: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]

    @property
    def metric(self) -> str:
        """What the trials are compared by."""
        return str(self.about["metric"]["name"])

    @property
    def best(self) -> int:
        """Number of the best trial."""
        return int(self.about["best"])


def read_outcome(sweep: Artifact) -> Outcome:
    """Read the artifact of a sweep; StoreError where a file is missing or damaged."""
    return Outcome(sweep.spec, sweep.json(ABOUT), sweep.table(TRIALS).rows())


def shown(value: Any) -> str:
    """A setting's value in as few digits as tell it from others; a list as `90×160`."""
    if isinstance(value, list | tuple):
        return "×".join(map(shown, value))
    return f"{value:.3g}" if isinstance(value, float) else str(value)
