"""The charts of a sweep: how the best value rose, which settings mattered, and which values went together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from sightline.reporting.figures import MODEL, ROOM, SECOND, TARGET, share_bars
from sightline.reporting.plotting import CLEAR, EDGE, Figure, Json, class_axis, escape, finish, rows_height, titled
from sightline.reporting.sweep import SweepFacts, Tried, tried_text
from sightline.sweeps.artifact import shown
from sightline.wording import plural, short

STATES = (("finished", "circle", MODEL), ("stopped", "diamond-open", SECOND))
WORST, BEST = (154, 165, 177), (74, 127, 214)
"""Colours of the worst and the best line, red, green and blue; those between are mixed."""
MANY = 5
"""An axis of parallel coordinates with more values than this tells five of them."""


def sweep_figures(facts: SweepFacts) -> dict[str, Figure | None]:
    """The three charts; None for what there is too little for."""
    return {
        "history": history(facts),
        "importances": importances(facts) if facts.importances else None,
        "parallel": parallel(facts) if len(facts.ended("finished")) > 1 else None,
    }


def history(facts: SweepFacts) -> Figure:
    """The value of each trial, and the best one so far."""
    traces = [_dots(facts, *state) for state in STATES if facts.ended(state[0])]
    layout = {
        "xaxis": {"title": titled("trial"), "dtick": -(-len(facts.trials) // 10), "zeroline": False},
        "yaxis": {"title": titled(escape(facts.metric)), "nticks": 6, "zeroline": False},
    }
    alt = (
        f"{facts.metric} of {plural(len(facts.trials), 'trial')} and the best one so far; the table holds the numbers."
    )
    return finish("sweep-history", "Value of each trial", alt, 280, [_best_line(facts), *traces], layout)


def importances(facts: SweepFacts) -> Figure:
    """How much of the differences between the trials each parameter explains."""
    shares = [share for _, share in facts.importances]
    names = [name for name, _ in facts.importances]
    bars = share_bars(names, shares)
    layout = class_axis(names, [""] * len(names))
    layout["yaxis"] |= {"ticklen": 6}
    layout |= {"xaxis": {"range": [0, ROOM * max(shares)], "showticklabels": False, "showgrid": False}, "bargap": 0.35}
    alt = f"Share of the differences in {facts.metric} that {len(names)} settings explain."
    height = rows_height(len(names)) - 30
    return finish("sweep-importances", "Which settings mattered", alt, height, [bars], layout)


def parallel(facts: SweepFacts) -> Figure:
    """Parallel coordinates: a line a finished trial, over an axis a parameter and one of the value; the best on top.

    Lines as a scatter, not plotly's `parcoords`: that compiles code while it draws, which the page's policy forbids.
    """
    trials = facts.ended("finished")
    columns: list[list[Any]] = [[one.values[place] for one in trials] for place in range(len(facts.parameters))]
    kinds = zip(columns, facts.parameters, facts.options, strict=True)
    axes = [_Axis(values, log, options) for values, (_, _, log), options in kinds]
    axes.append(_Axis([one.value for one in trials]))
    ranked = sorted(range(len(trials)), key=lambda place: trials[place].number == facts.best)
    traces = [_line(facts, trials, axes, place) for place in ranked]
    names = [*(name for name, _, _ in facts.parameters), facts.metric]
    layout = {
        "xaxis": {
            "tickmode": "array",
            "tickvals": list(range(len(axes))),
            "ticktext": [escape(short(name, 14)) for name in names],
            "range": [-0.55, len(axes) - 0.75],
            "side": "top",
            "showgrid": False,
            "zeroline": False,
        },
        "yaxis": {"range": [-0.08, 1.08], "visible": False},
        "shapes": [_pole(place) for place in range(len(axes))],
        "showlegend": False,
        "hovermode": "closest",
    }
    alt = (
        f"Settings and {facts.metric} of {plural(len(trials), 'finished trial')} as lines; the table holds the numbers."
    )
    data = [*traces, _ticks(axes)]
    return finish("sweep-parallel", "Settings and value of the finished trials", alt, 320, data, layout)


class _Axis:
    """One axis of parallel coordinates.

    Args:
        values: of the trials; numbers, or texts.
        log: on a logarithmic scale.
        options: the order of texts.
    """

    def __init__(self, values: Sequence[Any], log: bool = False, options: Sequence[Any] = ()) -> None:
        self.numbers = all(isinstance(value, int | float) for value in values)
        self.log = log and self.numbers
        order = list(map(str, options))
        self.known = sorted(set(values), key=None if self.numbers else order.index)
        places = [self._at(value) for value in self.known]
        self.low, self.high = min(places), max(places)

    def place(self, value: Any) -> float:
        """Where a value stands, 0 to 1."""
        return 0.5 if self.high == self.low else (self._at(value) - self.low) / (self.high - self.low)

    def ticks(self) -> list[tuple[float, str]]:
        """(place, text) of what is written at the axis."""
        if len(self.known) <= MANY or not self.numbers:
            return [(self.place(value), shown(value)) for value in self.known]
        steps = [self.low + (self.high - self.low) * step / 4 for step in range(5)]
        return [(step / 4, f"{10**at if self.log else at:.2g}") for step, at in enumerate(steps)]

    def _at(self, value: Any) -> float:
        if not self.numbers:
            return float(self.known.index(value))
        return math.log10(value) if self.log else float(value)


def _best_line(facts: SweepFacts) -> Json:
    done = [one for one in facts.ended("finished") if one.value is not None]
    choose = max if facts.goal == "maximize" else min
    best = list(accumulate((one.value or 0.0 for one in done), choose))
    numbers = [one.number for one in done]
    if numbers and numbers[-1] < len(facts.trials):
        numbers, best = [*numbers, len(facts.trials)], [*best, best[-1]]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "best so far",
        "x": numbers,
        "y": best,
        "line": {"color": TARGET, "width": 2, "shape": "hv"},
        "hoverinfo": "skip",
    }


def _dots(facts: SweepFacts, state: str, symbol: str, color: str) -> Json:
    shown_ones = [one for one in facts.ended(state) if one.value is not None]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": state if state == "finished" else "stopped early",
        "x": [one.number for one in shown_ones],
        "y": [one.value for one in shown_ones],
        "marker": {"symbol": symbol, "size": 10, "color": color, "line": {"width": 2, "color": color}},
        "hovertext": [escape(tried_text(one, facts)) for one in shown_ones],
        "hoverinfo": "text",
    }


def _line(facts: SweepFacts, trials: Sequence[Tried], axes: Sequence[_Axis], place: int) -> Json:
    one = trials[place]
    best = one.number == facts.best
    values = (*one.values, one.value)
    share = axes[-1].place(one.value)
    share = share if facts.goal == "maximize" else 1 - share
    color = TARGET if best else _mixed(share)
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "x": list(range(len(axes))),
        "y": [axis.place(value) for axis, value in zip(axes, values, strict=True)],
        "line": {"color": color, "width": 3.5 if best else 1.5},
        "marker": {"size": 7 if best else 5, "color": color},
        "hovertext": [escape(tried_text(one, facts))] * len(axes),
        "hoverinfo": "text",
    }


def _mixed(share: float) -> str:
    red, green, blue = (round(low + (high - low) * share) for low, high in zip(WORST, BEST, strict=True))
    return f"#{red:02x}{green:02x}{blue:02x}"


def _pole(place: int) -> Json:
    line = {"color": EDGE, "width": 1}
    return {"type": "line", "x0": place, "x1": place, "y0": 0, "y1": 1, "line": line, "layer": "below"}


def _ticks(axes: Sequence[_Axis]) -> Json:
    """What is written at the axes."""
    told = [(number, at, text) for number, axis in enumerate(axes) for at, text in axis.ticks()]
    return {
        "type": "scatter",
        "mode": "text",
        "x": [number - 0.04 for number, _, _ in told],
        "y": [at for _, at, _ in told],
        "text": [escape(short(text, 18)) for _, _, text in told],
        "textposition": "middle left",
        "textfont": {"size": 11},
        "hoverinfo": "skip",
        "marker": {"color": CLEAR},
    }
