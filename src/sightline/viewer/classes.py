"""The charts of classes: which occur together, where each one lies, how much of an image it covers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sightline.classes import ClassMap
from sightline.reporting.plotting import EDGE, Figure, escape, finish, titled
from sightline.viewer.links import Link, bounded, images, joined
from sightline.wording import percent, plural, short

Json = dict[str, Any]

STEPS = (0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Borders of the bars of `shares`; small shares are what differs between rare classes."""


def together(rows: pa.Table, classes: ClassMap) -> NDArray[np.int64]:
    """Images in which both classes occur, int64[C, C]; on the diagonal those with the class.

    Args:
        rows: the presence columns of the EDA table, one a class.
        classes: the class map.
    """
    present = np.stack([_column(rows, name) > 0 for name in classes.names], axis=1).astype(np.float64)
    counts: NDArray[np.int64] = (present.T @ present).astype(np.int64)  # exact up to 2**53, and many times faster
    return counts


def cooccurrence(counts: NDArray[np.int64], classes: ClassMap) -> Figure:
    """Each pair of classes as a cell: the share of the row's images that show the column's class too."""
    names = [escape(short(name, 18)) for name in classes.names]
    own = np.diag(counts)
    shares = [[_share(counts[row, column], own[row]) for column in range(len(names))] for row in range(len(names))]
    heat = {
        "type": "heatmap",
        "z": shares,
        "text": [["" if share is None else f"{100 * share:.0f}" for share in row] for row in shares],
        "texttemplate": "%{text}",
        "hovertext": [
            [_pair_text(counts, names, row, column) for column in range(len(names))] for row in range(len(names))
        ],
        "hoverinfo": "text",
        "customdata": [[_pair_link(classes, row, column) for column in range(len(names))] for row in range(len(names))],
        "zmin": 0,
        "zmax": 1,
        "xgap": 1,
        "ygap": 1,
        "showscale": False,
    }
    axis = _class_ticks(names)
    layout = {
        "xaxis": axis | {"side": "top", "tickangle": -45, "title": titled("also show")},
        "yaxis": axis | {"autorange": "reversed", "title": titled("images that show")},
        "margin": {"l": 8, "r": 64, "t": 8, "b": 8},
    }
    alt = f"How often each two of {len(names)} classes occur in one image, in percent of the images of the row's class."
    return finish("cooccurrence", "Classes that occur together", alt, _square(len(names)), [heat], layout)


def heat(positions: Sequence[Sequence[float]], name: str, color: str) -> Figure:
    """Where in the images a class lies: float[H][W], rows from the top; its share of the pixels of each cell."""
    rows, columns = len(positions), len(positions[0]) if positions else 0
    text = [[f"{percent(float(value))} of the pixels here" for value in row] for row in positions]
    chart = {
        "type": "heatmap",
        "z": [[float(value) for value in row] for row in positions],
        "hovertext": text,
        "hoverinfo": "text",
        "customdata": [[images(has=joined([name]))] * columns] * rows,
        "zmin": 0,
        "colorscale": [[0.0, "#f4f7fb"], [1.0, color]],
        "colorbar": {"tickformat": ".0%"},
    }
    plain = {"visible": False, "showgrid": False, "zeroline": False}
    layout = {"xaxis": plain, "yaxis": plain | {"autorange": "reversed", "scaleanchor": "x"}}
    alt = f"Where {name} lies in the images, on a grid of {columns} by {rows}."
    return finish("heat", f"Where {name} lies", alt, 300, [chart], layout)


def shares(values: NDArray[np.float64], name: str, color: str) -> Figure:
    """In how many images a class covers how much: a bar for each step of the share, and one for the images without.

    Args:
        values: float64[N], the share of each image's pixels.
        name, color: of the class.
    """
    shown = values[values > 0]
    edges = np.array(STEPS)
    counts = np.histogram(np.clip(shown, edges[0], edges[-1]), bins=edges)[0]
    amounts = [int((values == 0).sum()), *counts.tolist()]
    labels = ["none", *(_step(low, high) for low, high in pairwise(STEPS))]
    bars = {
        "type": "bar",
        "x": labels,
        "y": amounts,
        "hovertext": [f"{label}: {plural(count, 'image')}" for label, count in zip(labels, amounts, strict=True)],
        "hoverinfo": "text",
        "customdata": [
            images(lacks=joined([name])),
            *(_step_link(name, low, high) for low, high in pairwise(STEPS)),
        ],
        "marker": {"color": [EDGE, *[color] * len(counts)], "line": {"color": EDGE, "width": 1}},
    }
    layout = {
        "xaxis": {"type": "category", "title": titled("share of the image's pixels"), "showgrid": False},
        "yaxis": {"title": titled("images"), "rangemode": "tozero"},
        "bargap": 0.08,
    }
    alt = f"In how many of {len(values)} images {name} covers which share of the pixels; {amounts[0]} do not show it."
    return finish("shares", f"Share of {name} in an image", alt, 300, [bars], layout)


def _column(rows: pa.Table, name: str) -> NDArray[np.float64]:
    column: NDArray[np.float64] = rows[name].to_numpy().astype(np.float64)
    return column


def _share(both: int, own: int) -> float | None:
    return float(both / own) if own else None


def _pair_text(counts: NDArray[np.int64], names: Sequence[str], row: int, column: int) -> str:
    both, own = int(counts[row, column]), int(counts[row, row])
    if row == column:
        return f"{names[row]}: {plural(own, 'image')}"
    part = f"<br>{percent(both / own)} of those with {names[row]}" if own else ""
    return f"{names[row]} and {names[column]}: {plural(both, 'image')}{part}"


def _pair_link(classes: ClassMap, row: int, column: int) -> Link:
    return images(has=joined([classes.names[place] for place in dict.fromkeys((row, column))]))


def _class_ticks(names: Sequence[str]) -> Json:
    ticks: Json = {"tickmode": "array", "tickvals": list(range(len(names))), "ticktext": list(names)}
    return ticks | {"showgrid": False, "zeroline": False}


def _square(classes: int) -> int:
    return min(52, 620 // classes) * classes + 120


def _step(low: float, high: float) -> str:
    return f"{100 * low:g}–{100 * high:g}\u202f%"


def _step_link(name: str, low: float, high: float) -> Link:
    """The first step begins above none at all, which a bound of 0 would take in."""
    return images(has=joined([name]), share=bounded(name, low or None, high))
