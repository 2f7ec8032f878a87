"""What all charts have in common: how they become JSON, how they look, how names get into them.

A chart is written down as plotly's own JSON (data and layout), which is many times faster than building it from
`plotly.graph_objects`; a test has those check every chart. Text in a plotly figure is read as a small part of HTML, so
names of classes are escaped on their way in. Text, grid and background are left to the page's style sheet, which knows
about light and dark.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sightline.wording import short

EDGE = "#8a94a0"
"""Edges of chips and what else stands back; it shows on light and dark."""
GRID = "#dfe3e8"
HOVER = "#20262d"
CLEAR = "rgba(0,0,0,0)"
ROW, FRAME = 26, 70
"""Height of a row of a bar chart, and of what stands round the rows, in pixels."""

Json = dict[str, Any]


@dataclass(frozen=True)
class Figure:
    """A chart in the page.

    Args:
        id: of its element, the same every time.
        spec: JSON of plotly's data and layout.
        alt: what it shows, for those who do not see it.
        height: in pixels.
        title: a heading for it.
    """

    id: str
    spec: str
    alt: str
    height: int
    title: str


def escape(text: str) -> str:
    """Text for a plotly figure, which would take `<b>` and `&lt;` for markup, and `$x$` for mathematics."""
    return html.escape(text, quote=False).replace("$", "&#36;")


def class_axis(names: Sequence[str], colors: Sequence[str]) -> Json:
    """Layout of one row per class from the top, each with a square in its colour; an empty colour gets none.

    Rows go by number, since a name such as `1` or `2020-01-01` would be taken for one.
    """
    axis = {
        "tickmode": "array",
        "tickvals": list(range(len(names))),
        "ticktext": [escape(short(name, 22)) for name in names],
        "range": [len(names) - 0.5, -0.5],
        "showgrid": False,
        "zeroline": False,
        "ticks": "outside",
        "ticklen": 20,
        "tickcolor": CLEAR,
    }
    return {"yaxis": axis, "shapes": [_chip(row, color) for row, color in enumerate(colors) if color]}


def _chip(row: int, color: str) -> Json:
    """A square before a row, its size and its distance from the axis in pixels."""
    return {
        "type": "rect",
        "xref": "paper",
        "yref": "y",
        "xsizemode": "pixel",
        "ysizemode": "pixel",
        "xanchor": 0,
        "yanchor": row,
        "x0": -17,
        "x1": -6,
        "y0": -5.5,
        "y1": 5.5,
        "fillcolor": color,
        "line": {"color": EDGE, "width": 1},
    }


def rows_height(rows: int) -> int:
    """Height of a chart of so many rows, in pixels."""
    return ROW * rows + FRAME


def titled(text: str) -> Json:
    """The title of an axis."""
    return {"text": text, "font": {"size": 12}, "standoff": 8}


def finish(name: str, title: str, alt: str, height: int, data: Sequence[Json], layout: Mapping[str, Any]) -> Figure:
    """The chart, ready for the page: no template, no random id, keys sorted; it takes the width that it is given."""
    legend = sum(trace.get("showlegend", True) for trace in data) > 1
    axis = {"automargin": True, "fixedrange": True, "gridcolor": GRID}
    common = {
        "height": height,
        "autosize": True,
        "margin": {"l": 8, "r": 12, "t": 30 if legend else 8, "b": 8},
        "showlegend": legend,
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": "#5b6570"},
        "paper_bgcolor": CLEAR,
        "plot_bgcolor": CLEAR,
        "legend": {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"},
        "hoverlabel": {"bgcolor": HOVER, "bordercolor": HOVER, "font": {"color": "#ffffff"}},
        "dragmode": False,
    }
    axes = {key: axis | layout.get(key, {}) for key in ("xaxis", "yaxis")}
    spec = {"data": list(data), "layout": common | dict(layout) | axes}
    text = json.dumps(spec, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return Figure(name, text, alt, height, title)
