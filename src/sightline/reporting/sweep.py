"""The sweep that the model was chosen from: its trials, and which settings mattered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sightline.sweeps.artifact import Outcome, shown
from sightline.wording import MISSING, listed, number, plural, score

METHODS = {
    "grid": "every combination of the values, in a shuffled order",
    "random": "values drawn at random",
    "bayes": "values drawn where earlier trials did well (Optuna's TPE)",
}


@dataclass(frozen=True)
class Tried:
    """One trial.

    Args:
        number: from 1.
        state: finished, stopped early, failed.
        value: the metric in the epoch whose weights were kept, `best_epoch` of `epochs`.
        took: how long; `run` its training.
        values: of the parameters, as the trial had them; `texts` the same in words.
        error: why it failed.
    """

    number: int
    state: str
    value: float | None
    best_epoch: int | None
    epochs: int
    took: str
    run: str
    values: tuple[Any, ...]
    texts: tuple[str, ...]
    error: str


@dataclass(frozen=True)
class SweepFacts:
    """A sweep as it went.

    Args:
        spec: the artifact; `method`, `metric` and `goal` how it searched, `stopping` how bad trials were ended.
        parameters: (name, how its values are spread, whether on a logarithmic scale).
        options: of each parameter its values in the file's order; empty where it is a range.
        fixed: (setting, value) that the file gave one value.
        trials: by number; `best` is the number of the best one, `own` that of the reported model, 0 for none.
        importances: (parameter, share of the differences that it explains); `no_importances` why there are none.
    """

    spec: str
    method: str
    metric: str
    goal: str
    stopping: str
    parameters: tuple[tuple[str, str, bool], ...]
    options: tuple[tuple[Any, ...], ...]
    fixed: tuple[tuple[str, str], ...]
    trials: tuple[Tried, ...]
    best: int
    own: int
    importances: tuple[tuple[str, float], ...]
    no_importances: str

    def ended(self, state: str) -> tuple[Tried, ...]:
        """The trials that ended so."""
        return tuple(one for one in self.trials if one.state == state)

    @property
    def counted(self) -> str:
        """How many trials there were, and how they ended."""
        kinds = (("finished", "finished"), ("stopped", "stopped early"), ("failed", "failed"))
        told = [f"{len(self.ended(state))} {word}" for state, word in kinds if self.ended(state)]
        return f"{plural(len(self.trials), 'trial')}: {listed(told)}"

    @property
    def optimism(self) -> str:
        """What choosing by the validation images does to their figures."""
        which = "the best" if self.own == self.best else "one"
        return (
            f"The model is {which} of {plural(len(self.trials), 'trial')} that were compared on these validation "
            "images, so its figures here are a little too kind: with many tries, some of the best one's lead is luck. "
            "Measure it once on the test subset: `sightline evaluate --subset test`."
        )


def sweep_facts(outcome: Outcome, model: str) -> SweepFacts:
    """Read them off the artifact of a sweep.

    Args:
        outcome: the artifact, opened.
        model: the reported model, as `name:vN`.
    """
    about = outcome.about
    columns = [one["column"] for one in about["parameters"]]
    return SweepFacts(
        spec=outcome.spec,
        method=METHODS[about["method"]],
        metric=outcome.metric,
        goal=about["metric"]["goal"],
        stopping=_stopping(about["early_terminate"]),
        parameters=tuple((one["name"], one["values"], bool(one["log"])) for one in about["parameters"]),
        options=tuple(tuple(one["options"]) for one in about["parameters"]),
        fixed=tuple((name, shown(value)) for name, value in about["fixed"].items()),
        trials=tuple(_tried(row, columns) for row in outcome.rows),
        best=outcome.best,
        own=_own(outcome, model),
        importances=tuple(sorted(about["importances"].items(), key=lambda one: -one[1])),
        no_importances=about["no_importances"],
    )


def _own(outcome: Outcome, model: str) -> int:
    """The trial that gave the model: the best one, where several gave the same."""
    numbers = [int(row["number"]) for row in outcome.rows if row["model"] == model]
    return outcome.best if outcome.best in numbers else next(iter(numbers), 0)


def _tried(row: Mapping[str, Any], columns: list[str]) -> Tried:
    values = tuple(row[column] for column in columns)
    return Tried(
        number=int(row["number"]),
        state=row["state"],
        value=number(row["value"]),
        best_epoch=row["best_epoch"],
        epochs=int(row["epochs"]),
        took=str(timedelta(seconds=round(row["seconds"]))),
        run=row["run"],
        values=values,
        texts=tuple(MISSING if value is None else shown(value) for value in values),
        error=row["error"],
    )


def _stopping(told: Mapping[str, Any] | None) -> str:
    if told is None:
        return "No trial was ended early."
    if told["kind"] == "hyperband":
        return (
            f"Trials that did badly were ended early (Hyperband: from epoch {told['min_iter']} on, about one of "
            f"{told['eta']} goes on)."
        )
    return f"Trials worse than half of the others at the same epoch were ended early, from epoch {told['min_iter']} on."


def tried_text(one: Tried, facts: SweepFacts) -> str:
    """A trial in a line: its number, its value, its settings."""
    settings = ", ".join(f"{name} {text}" for (name, _, _), text in zip(facts.parameters, one.texts, strict=True))
    return f"trial {one.number}: {facts.metric} {score(one.value)}; {settings}"
