"""The charts: plotly figures, to be drawn by the plotly.js that the page carries; their colours fit light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence

from sightline.reporting.data import ClassShare, DataFacts
from sightline.reporting.division import SUBSETS, SplitFacts
from sightline.reporting.plotting import EDGE, Figure, Json, class_axis, escape, finish, rows_height, titled
from sightline.reporting.results import Results, Score, row_shares
from sightline.reporting.training import Curve, TrainingFacts
from sightline.wording import MISSING, count, interval, number, percent, score, short

MODEL, SECOND, THIRD, TARGET = "#4a7fd6", "#d1782a", "#3f9c78", "#d6336c"
"""The model and the first series; the second and the third; a target."""
MARKERS = {"train": ("circle", MODEL), "valid": ("diamond", SECOND), "test": ("square", THIRD)}
SHADES = [[0.0, "#f4f7fb"], [0.15, "#c9dbf2"], [0.5, "#6b9bd8"], [1.0, "#163f7d"]]
"""From none to all of a row of the confusion matrix."""
SMALL = 105
"""Height of the chart of one class's curve, in pixels."""
ROOM = 1.45
"""Length of an axis over its longest bar: room for the number behind it."""


def presence(data: DataFacts) -> Figure:
    """In how many images each class stands."""
    return _class_bars("presence", "Images that show the class", data.classes, [one.of_images for one in data.classes])


def pixel_shares(data: DataFacts) -> Figure:
    """How many of the pixels each class has."""
    return _class_bars("pixel-shares", "Share of all pixels", data.classes, [one.pixels for one in data.classes])


def subset_shares(split: SplitFacts) -> Figure:
    """Each class's pixel share in train, valid and test, on a logarithmic axis: rare classes are what differs."""
    layout = class_axis([one.name for one in split.classes], [one.color for one in split.classes])
    shares = [share for one in split.classes for subset in SUBSETS if (share := one.subsets[subset].pixels)]
    layout["xaxis"] = _decades(shares)
    alt = f"Pixel share of {len(split.classes)} classes in train, valid and test; the table below holds the numbers."
    traces = [_subset_dots(split, subset) for subset in SUBSETS]
    return finish("subset-shares", "Pixel share per subset", alt, rows_height(len(split.classes)) + 30, traces, layout)


def losses(training: TrainingFacts) -> Figure:
    """Train and valid loss over the epochs."""
    traces = [curve(training, "train", training.train_loss, MODEL, "dot")]
    traces += [curve(training, "valid", training.valid_loss, SECOND)]
    return over_epochs("losses", "Loss", training, traces)


def miou_curve(training: TrainingFacts) -> Figure:
    """mIoU on the valid subset over the epochs."""
    return over_epochs("miou-curve", "mIoU on valid", training, [curve(training, "mIoU", training.miou, MODEL)], top=1)


def lr_curve(training: TrainingFacts) -> Figure:
    """Learning rate over the epochs."""
    return over_epochs("lr-curve", "Learning rate", training, [curve(training, "lr", training.lr, THIRD)])


def iou_curves(training: TrainingFacts) -> tuple[Figure, ...]:
    """A small chart for each class that was ever measured: its IoU on the valid subset over the epochs."""
    return tuple(
        over_epochs(f"iou-curve-{place}", name, training, [curve(training, "IoU", values, MODEL)], top=1, height=SMALL)
        for place, (name, _, values) in enumerate(training.measured)
    )


def iou_bars(results: Results) -> Figure:
    """IoU of the model with its interval, the majority baseline and the target, for the mean and each class."""
    scores = results.scores
    traces = [_model_bars(scores), _whiskers(scores), _baseline_marks(scores), _target_marks(scores)]
    traces += [_undefined(scores)]
    layout = class_axis([one.name for one in scores], [one.color for one in scores])
    layout |= {"xaxis": {"range": [-0.02, 1.02], "dtick": 0.2, "title": titled("IoU")}, "bargap": 0.35}
    alt = f"IoU of {len(scores) - 1} classes and their mean against the majority baseline; the table holds the numbers."
    shown = [trace for trace in traces if trace["y"]]
    return finish("iou-bars", "IoU per class", alt, rows_height(len(scores)) + 40, shown, layout)


def confusion(results: Results) -> Figure:
    """The confusion matrix: each row over its sum as colour and text, counts in the hover."""
    names = [escape(short(one.name, 18)) for one in results.classes]
    shares = [[number(value) for value in row] for row in row_shares(results.confusion)]
    heat = {
        "type": "heatmap",
        "z": shares,
        "text": [[_cell(value) for value in row] for row in shares],
        "texttemplate": "%{text}",
        "textfont": {"size": 12 if len(names) <= 12 else 9},
        "hovertext": _confusion_hovers(results, shares),
        "hoverinfo": "text",
        "colorscale": SHADES,
        "zmin": 0,
        "zmax": 1,
        "xgap": 1,
        "ygap": 1,
        "showscale": False,
    }
    axis: Json = {"tickmode": "array", "tickvals": list(range(len(names))), "ticktext": names}
    axis |= {"showgrid": False, "zeroline": False}
    layout = {
        "xaxis": axis | {"side": "top", "tickangle": -45, "title": titled("predicted as")},
        "yaxis": axis | {"autorange": "reversed", "title": titled("ground truth")},
        "margin": {"l": 8, "r": 64, "t": 8, "b": 8},  # room to the right for slanting labels
    }
    alt = f"Confusion matrix of {len(names)} classes, in percent of each ground-truth class; a table below has counts."
    height = min(52, 620 // len(names)) * len(names) + 120
    return finish("confusion", "Confusion matrix", alt, height, [heat], layout)


def share_bars(names: Sequence[str], shares: Sequence[float]) -> Json:
    """The trace of horizontal bars, one a name, with its share written behind it."""
    labels = [percent(share) for share in shares]
    return {
        "type": "bar",
        "orientation": "h",
        "x": list(shares),
        "y": list(range(len(shares))),
        "text": labels,
        "textposition": "outside",
        "cliponaxis": False,
        "hovertext": [f"{escape(name)}: {label}" for name, label in zip(names, labels, strict=True)],
        "hoverinfo": "text",
        "marker": {"color": MODEL},
    }


def _class_bars(name: str, title: str, classes: Sequence[ClassShare], shares: Sequence[float]) -> Figure:
    bars = share_bars([one.name for one in classes], shares)
    layout = class_axis([one.name for one in classes], [one.color for one in classes])
    room = [0, ROOM * max([*shares, 1e-9])]
    layout |= {"xaxis": {"range": room, "showticklabels": False, "showgrid": False}, "bargap": 0.35}
    alt = f"{title}, for {len(shares)} classes; the table below holds the numbers."
    return finish(name, title, alt, rows_height(len(shares)) - 30, [bars], layout)


def _decades(shares: Sequence[float]) -> Json:
    """A logarithmic axis over the shares, with a tick at each power of ten."""
    logs = [math.log10(share) for share in shares] or [-1.0]
    low, high = min(logs) - 0.15, max(logs) + 0.15
    ticks = range(math.floor(low), math.ceil(high) + 1)
    return {
        "type": "log",
        "title": titled("share of the pixels"),
        "range": [low, 0.1 if high > -0.5 else high],
        "tickmode": "array",
        "tickvals": [10.0**tick for tick in ticks],
        "ticktext": [f"{100 * 10.0**tick:.10g}\u202f%" for tick in ticks],
    }


def _subset_dots(split: SplitFacts, subset: str) -> Json:
    symbol, color = MARKERS[subset]
    shares = [one.subsets[subset].pixels for one in split.classes]
    names = [escape(one.name) for one in split.classes]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": subset,
        "x": [share or None for share in shares],
        "y": list(range(len(shares))),
        "marker": {"symbol": symbol, "size": 10, "color": color, "opacity": 0.85},
        "hovertext": [f"{name}, {subset}: {percent(share)}" for name, share in zip(names, shares, strict=True)],
        "hoverinfo": "text",
    }


def curve(training: TrainingFacts, label: str, values: Curve, color: str, dash: str = "solid") -> Json:
    """A trace of one value an epoch."""
    shown = [MISSING if value is None else f"{value:.4g}" for value in values]
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(values) <= 40 else "lines",
        "name": label,
        "x": list(training.epochs),
        "y": list(values),
        "line": {"color": color, "dash": dash, "width": 2},
        "marker": {"size": 5},
        "hovertext": [f"epoch {epoch}, {label}: {text}" for epoch, text in zip(training.epochs, shown, strict=True)],
        "hoverinfo": "text",
    }


def over_epochs(
    name: str, title: str, training: TrainingFacts, traces: list[Json], top: float | None = None, height: int = 210
) -> Figure:
    """The traces over the epochs, with a line at the epoch whose weights were kept.

    Args:
        name, title: of the chart.
        training: the epochs.
        traces: as `curve` makes them.
        top: where the axis ends; left to plotly when None.
        height: in pixels.
    """
    best = {"type": "line", "yref": "paper", "y0": 0, "y1": 1, "x0": training.best_epoch, "x1": training.best_epoch}
    best |= {"line": {"color": TARGET, "width": 1, "dash": "dash"}}
    small = height == SMALL
    layout: Json = {
        "shapes": [best],
        "xaxis": {"tick0": 1, "dtick": -(-len(training.epochs) // 6), "zeroline": False}
        | ({} if small else {"title": titled("epoch")}),
        "yaxis": {"nticks": 3 if small else 5, "rangemode": "tozero", "zeroline": False},
    }
    if top is not None:
        layout["yaxis"]["range"] = [0, top]
    alt = f"{title} over {len(training.epochs)} epochs; epoch {training.best_epoch} was kept."
    return finish(name, title, alt, height, traces, layout)


def _model_bars(scores: Sequence[Score]) -> Json:
    return {
        "type": "bar",
        "orientation": "h",
        "name": "model",
        "x": [one.value for one in scores],
        "y": list(range(len(scores))),
        "marker": {"color": MODEL},
        "hovertext": [_score_hover(one) for one in scores],
        "hoverinfo": "text",
    }


def _score_hover(one: Score) -> str:
    sure = f"<br>interval {interval(one.interval)}" if one.interval else ""
    return f"{escape(one.name)}: {score(one.value)}{sure}<br>baseline {score(one.baseline)}"


def _whiskers(scores: Sequence[Score]) -> Json:
    """The intervals, on a trace of their own: a bar without one would get a stub of no length."""
    held = [(row, one.value, one.interval) for row, one in enumerate(scores) if one.value is not None and one.interval]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [value for _, value, _ in held],
        "y": [row for row, _, _ in held],
        "marker": {"size": 1, "color": EDGE},
        "error_x": {
            "type": "data",
            "array": [max(0.0, bounds[1] - value) for _, value, bounds in held],
            "arrayminus": [max(0.0, value - bounds[0]) for _, value, bounds in held],
            "thickness": 1.5,
            "width": 4,
            "color": EDGE,
        },
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _baseline_marks(scores: Sequence[Score]) -> Json:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "majority baseline",
        "x": [one.baseline for one in scores],
        "y": list(range(len(scores))),
        "marker": {"symbol": "diamond", "size": 9, "color": SECOND, "line": {"color": "#ffffff", "width": 1}},
        "hoverinfo": "skip",
        "cliponaxis": False,
    }


def _target_marks(scores: Sequence[Score]) -> Json:
    held = [(row, one.target) for row, one in enumerate(scores) if one.target is not None]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "target",
        "x": [target for _, target in held],
        "y": [row for row, _ in held],
        "marker": {"symbol": "line-ns", "size": 16, "line": {"color": TARGET, "width": 3}},
        "hoverinfo": "skip",
        "cliponaxis": False,
    }


def _undefined(scores: Sequence[Score]) -> Json:
    """Words in place of a bar where an IoU is not defined: an empty row would pass for 0."""
    rows = [row for row, one in enumerate(scores) if one.value is None]
    return {
        "type": "scatter",
        "mode": "text",
        "x": [0.01] * len(rows),
        "y": rows,
        "text": [f"{MISSING} not defined"] * len(rows),
        "textposition": "middle right",
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _cell(share: float | None) -> str:
    return "" if share is None or share < 0.005 else f"{100 * share:.0f}"


def _confusion_hovers(results: Results, shares: list[list[float | None]]) -> list[list[str]]:
    names = [escape(one.name) for one in results.classes]
    return [
        [
            f"{truth} → {guess}<br>{count(int(results.confusion[row, column]))} pixels, {percent(shares[row][column])}"
            for column, guess in enumerate(names)
        ]
        for row, truth in enumerate(names)
    ]
