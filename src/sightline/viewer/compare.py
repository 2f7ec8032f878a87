"""Compare: two evaluations on the images that both have."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sightline.comparison import Change, Comparison, Metric, Setting, compare_evaluations
from sightline.table import KEY
from sightline.tracking.plain import plain
from sightline.viewer.answer import answer
from sightline.wording import plural

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from sightline.viewer.viewer import Viewer

Json = dict[str, Any]

SHOWN = 60
"""Images that got better, and worse, that are sent."""


def routes(viewer: Viewer) -> list[BaseRoute]:
    """What the page Compare asks for."""
    from starlette.routing import Route

    def compare(request: Request) -> Json:
        given = request.query_params
        comparison, settings = compared(viewer, given.get("a", ""), given.get("b", ""))
        shown = [one.file_name for one in (*comparison.better(SHOWN), *comparison.worse(SHOWN))]
        return told(comparison, settings, viewer.rows(given.get("data", ""), "", "").ids(shown))

    return [Route("/api/compare", answer(compare))]


def compared(viewer: Viewer, a: str, b: str) -> tuple[Comparison, tuple[Setting, ...]]:
    """The comparison of two evaluations by what they are called; remembered, since page and chart both ask for it."""
    one, other = viewer.evaluation(a), viewer.evaluation(b)
    return _compared(viewer, one.spec, other.spec)


@lru_cache(maxsize=16)
def _compared(viewer: Viewer, a: str, b: str) -> tuple[Comparison, tuple[Setting, ...]]:
    return compare_evaluations(viewer.tracker, viewer.tracker.get(a), viewer.tracker.get(b))


def told(comparison: Comparison, settings: tuple[Setting, ...], ids: dict[str, int]) -> Json:
    """The comparison as the page has it."""
    return {
        "images": len(comparison.images),
        "only_a": len(comparison.only_a),
        "only_b": len(comparison.only_b),
        "other_truth": len(comparison.other_truth),
        "config": [{"key": one.key, "a": plain(one.a), "b": plain(one.b)} for one in settings],
        "metrics": [_metric(one) for one in comparison.metrics],
        "reason": _reason(comparison),
        "level": comparison.level,
        "groups": comparison.groups,
        "better": [_change(one, ids) for one in comparison.better(SHOWN)],
        "worse": [_change(one, ids) for one in comparison.worse(SHOWN)],
        "unchanged": sum(one.change == 0 for one in comparison.changes),
    }


def _metric(one: Metric) -> Json:
    low, high = one.interval or (None, None)
    told_ = {"name": one.name, "class": one.index, "a": one.a, "b": one.b, "difference": one.difference}
    return told_ | {"low": low, "high": high}


def _change(one: Change, ids: dict[str, int]) -> Json:
    return {"id": ids.get(one.file_name), KEY: one.file_name, "a": one.a, "b": one.b, "change": one.change}


def _reason(comparison: Comparison) -> str:
    """Why there are no intervals, and what was left out."""
    parts = [f"No interval: {comparison.reason}."] if comparison.reason else []
    if comparison.other_truth:
        left = len(comparison.other_truth)
        parts.append(
            f"{plural(left, 'image is', 'images are')} left out: the masks of the two evaluations are not the same."
        )
    return " ".join(parts)
