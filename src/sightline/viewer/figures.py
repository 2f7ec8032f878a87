"""Figures: every chart of the viewer as plotly JSON, its points leading to the images behind them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sightline.comparison import Comparison, Metric
from sightline.errors import ConfigError, StoreError
from sightline.reporting import figures
from sightline.reporting.division import SplitFacts, split_facts
from sightline.reporting.material import open_divided
from sightline.reporting.plotting import EDGE, Figure, class_axis, escape, finish, rows_height, titled
from sightline.reporting.results import Results, results
from sightline.reporting.training import TrainingFacts, training_facts
from sightline.thumbnails import POSITIONS
from sightline.viewer import classes as of_classes
from sightline.viewer.answer import answer
from sightline.viewer.compare import compared
from sightline.viewer.division import split_for
from sightline.viewer.links import Link, images, joined
from sightline.viewer.runs import measured, wanted
from sightline.wording import percent, score

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from sightline.viewer.viewer import Viewer

Json = dict[str, Any]


def routes(viewer: Viewer) -> list[BaseRoute]:
    """`/api/figures/NAME`."""
    from starlette.routing import Route

    def figure(request: Request) -> Json:
        name = request.path_params["name"]
        if name not in FIGURES:
            raise ConfigError(f"There is no chart {name!r}. The charts are: {', '.join(FIGURES)}.")
        return FIGURES[name](viewer, request)

    return [Route("/api/figures/{name}", answer(figure))]


def told(figure: Figure, *links: Sequence[Any]) -> Json:
    """The chart as the page draws it; `links` are the `customdata` of its first, second … trace."""
    spec: Json = json.loads(figure.spec)
    for trace, custom in zip(spec["data"], links, strict=False):
        trace["customdata"] = custom
    return {**spec, "alt": figure.alt, "height": figure.height, "title": figure.title}


def cooccurrence(viewer: Viewer, request: Request) -> Json:
    """Which classes occur together in the images of the dataset."""
    raw = viewer.raw(request.query_params.get("data", ""))
    classes = viewer.classes(raw.spec)
    rows = raw.table("eda_table.parquet", classes.names).data
    return told(of_classes.cooccurrence(of_classes.together(rows, classes), classes))


def heat(viewer: Viewer, request: Request) -> Json:
    """Where in the images one class lies, as ingest stored it."""
    raw, index = viewer.raw(request.query_params.get("data", "")), _class(viewer, request)
    classes = viewer.classes(raw.spec)
    if POSITIONS not in raw:
        raise StoreError(
            f"{raw.spec} was ingested by an older version, which did not note where each class lies. "
            "Ingest the folder again: `sightline ingest --force`."
        )
    return told(
        of_classes.heat(positions(raw.table(POSITIONS).rows(), index), classes.names[index], classes.colors[index])
    )


def shares(viewer: Viewer, request: Request) -> Json:
    """How much of an image one class covers."""
    raw, index = viewer.raw(request.query_params.get("data", "")), _class(viewer, request)
    classes = viewer.classes(raw.spec)
    column = f"{classes.names[index]}_share"
    values = raw.table("eda_table.parquet", [column]).data[column].to_numpy()
    return told(of_classes.shares(values, classes.names[index], classes.colors[index]))


def subsets(viewer: Viewer, request: Request) -> Json:
    """The classes' pixel shares in train, valid and test."""
    split = split_for(viewer, request)
    if split is None:
        raise StoreError("The dataset has not been split yet: `sightline split`.")
    divided = open_divided(split)
    facts, names = split_facts(divided), divided.classes.names
    links = [[images(has=joined([name]), split=subset) for name in names] for subset in figures.MARKERS]
    told_ = told(figures.subset_shares(facts), *links)
    told_["data"].insert(0, whole(facts))
    return told_


def iou(viewer: Viewer, request: Request) -> Json:
    """IoU of each class with interval and baseline; a bar leads to the images, the worst first."""
    found = _results(viewer, request)
    links = [images(sort="miou"), *(images(sort=f"{one.name}_iou") for one in found.classes)]
    return told(figures.iou_bars(found), links, links)  # the bars and the baseline: a bar of 0 cannot be hit


def confusion(viewer: Viewer, request: Request) -> Json:
    """The confusion matrix; a cell leads to the images with most of its pixels."""
    found = _results(viewer, request)
    places = range(len(found.classes))
    cells = [[images(cell=f"{row},{column}", sort="cell", desc="1") for column in places] for row in places]
    return told(figures.confusion(found), cells)


def losses(viewer: Viewer, request: Request) -> Json:
    """Train and valid loss over the epochs."""
    return told(figures.losses(training_facts(_measured(viewer, request))))


def lr(viewer: Viewer, request: Request) -> Json:
    """Learning rate over the epochs."""
    return told(figures.lr_curve(training_facts(_measured(viewer, request))))


def curves(viewer: Viewer, request: Request) -> Json:
    """mIoU and each class's IoU over the epochs, in the classes' colours."""
    return told(iou_curves(training_facts(_measured(viewer, request))))


def difference(viewer: Viewer, request: Request) -> Json:
    """IoU of B less that of A, with its interval; a point leads to the images that changed most."""
    given = request.query_params
    comparison, _ = compared(viewer, given.get("a", ""), given.get("b", ""))
    colors = viewer.classes(viewer.evaluation(given.get("a", "")).spec).colors
    return told(differences(comparison, colors), [_changed(one) for one in comparison.metrics])


FIGURES: Mapping[str, Callable[[Viewer, Request], Json]] = {
    each.__name__: each
    for each in (cooccurrence, heat, shares, subsets, iou, confusion, losses, lr, curves, difference)
}
"""Name in the address -> what draws it."""


def iou_curves(training: TrainingFacts) -> Figure:
    """The mIoU, and the IoU of each class that was ever measured, over the epochs."""
    traces = [figures.curve(training, escape(name), values, color) for name, color, values in training.measured]
    mean = figures.curve(training, "mIoU", training.miou, figures.MODEL) | {
        "line": {"color": figures.MODEL, "width": 4}
    }
    return figures.over_epochs("curves", "IoU on valid", training, [mean, *traces], top=1, height=300)


def differences(comparison: Comparison, colors: Sequence[str]) -> Figure:
    """A point with its interval for the mIoU and each class, on a line at no difference."""
    metrics = comparison.metrics
    layout = class_axis([one.name for one in metrics], ["", *colors])
    nothing = {"type": "line", "xref": "x", "yref": "paper", "x0": 0, "x1": 0, "y0": 0, "y1": 1}
    layout["shapes"] += [nothing | {"line": {"width": 1, "color": EDGE}}]
    layout["xaxis"] = {"title": titled("IoU of B less that of A"), "zeroline": False}
    points = {
        "type": "scatter",
        "mode": "markers",
        "x": [one.difference for one in metrics],
        "y": list(range(len(metrics))),
        "marker": {"size": 10, "color": [figures.MODEL, *colors], "line": {"color": EDGE, "width": 1}},
        "error_x": _whiskers(metrics),
        "hovertext": [_hover(one) for one in metrics],
        "hoverinfo": "text",
    }
    alt = f"Difference of the IoU between two evaluations on {len(comparison.images)} images, with intervals."
    return finish("difference", "Difference of the IoU", alt, rows_height(len(metrics)), [points], layout)


def whole(split: SplitFacts) -> Json:
    """Each class's share of the pixels of all subsets together, as an upright line behind the dots of the subsets."""
    shares = [one.subsets["all"].pixels for one in split.classes]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "all",
        "x": [share or None for share in shares],
        "y": list(range(len(shares))),
        "marker": {"symbol": "line-ns", "size": 20, "line": {"color": EDGE, "width": 3}},
        "hovertext": [
            f"{escape(one.name)}, all: {percent(share)}" for one, share in zip(split.classes, shares, strict=True)
        ],
        "hoverinfo": "text",
        "customdata": [images(has=joined([one.name])) for one in split.classes],
    }


def positions(rows: Sequence[Mapping[str, Any]], index: int) -> list[list[float]]:
    """The grid of one class, rows from the top, of the table that ingest stores: `Index`, `Row`, `Column`, `share`."""
    cells = {(row["Row"], row["Column"]): row["share"] for row in rows if row["Index"] == index}
    tall, wide = (1 + max((cell[axis] for cell in cells), default=-1) for axis in (0, 1))
    return [[cells.get((row, column), 0.0) for column in range(wide)] for row in range(tall)]


def _measured(viewer: Viewer, request: Request) -> Any:
    return measured(viewer.tracker, viewer.evaluation(request.query_params.get("a", "")))


def _results(viewer: Viewer, request: Request) -> Results:
    evaluation = viewer.evaluation(request.query_params.get("a", ""))
    return results(measured(viewer.tracker, evaluation), wanted(viewer, evaluation).problem)


def _class(viewer: Viewer, request: Request) -> int:
    """The class that is asked for, by its index; ConfigError where there is none."""
    text, count = request.query_params.get("class", ""), len(viewer.classes(request.query_params.get("data", "")))
    if not text.isdecimal() or int(text) >= count:
        raise ConfigError(f"`class` must be the index of a class, 0 to {count - 1}, not {text!r}.")
    return int(text)


def _changed(one: Metric) -> Link:
    has = {} if one.index is None else {"has": joined([one.name])}
    return images(**has, sort="change")


def _whiskers(metrics: Sequence[Metric]) -> Json:
    """The intervals as plotly has them: how far up and down from the point; None where there is none."""
    ends = [_reach(one) for one in metrics]
    up, down = [high for _, high in ends], [low for low, _ in ends]
    return {"type": "data", "array": up, "arrayminus": down, "thickness": 1.5, "width": 4}


def _reach(one: Metric) -> tuple[float | None, float | None]:
    if one.difference is None or one.interval is None:
        return None, None
    return max(0.0, one.difference - one.interval[0]), max(0.0, one.interval[1] - one.difference)


def _hover(one: Metric) -> str:
    name = escape(one.name)
    if one.difference is None:
        return f"{name}: not defined in both<br>A {score(one.a)}, B {score(one.b)}"
    sure = f"<br>interval {one.interval[0]:+.3f} to {one.interval[1]:+.3f}" if one.interval else ""
    return f"{name}: {one.difference:+.3f}{sure}<br>A {score(one.a)}, B {score(one.b)}"
