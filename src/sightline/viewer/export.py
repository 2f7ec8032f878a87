"""A selection of images as one HTML file that opens anywhere: thumbnails, masks in the classes' colours, a table."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus, urlsplit

from sightline.classes import ClassMap
from sightline.errors import ConfigError, SightlineError
from sightline.reporting.page import environment, inline, policy
from sightline.table import KEY
from sightline.viewer.answer import answer
from sightline.wording import MISSING, percent, plural, reason, score

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from sightline.viewer.viewer import Viewer

Json = dict[str, Any]

LIMIT = 500
"""Images in a file unless told otherwise."""
MOST = 20_000
"""Images in a file at most: more would no browser open with pleasure."""
TRIED = 16
"""Images that the size of the file is told from before it is written."""
ASK_ABOVE = 50_000_000
"""Bytes from which on the command asks before it writes."""
TOLD = ("has", "lacks", "split", "group", "share", "bright", "iou", "name", "flag", "where", "cell", "sort", "desc")
"""Parameters of the address that select and order images; the file tells them."""
PAGE = 1000
"""Rows that are asked for at a time."""


def routes(viewer: Viewer) -> list[BaseRoute]:
    """How large the file of a selection would be; with `write` it is written to `reports/` of the store."""
    from starlette.routing import Route

    def export(_: Request, body: Json) -> Json:
        query, data, run = (str(body.get(key) or "") for key in ("query", "data", "a"))
        view, source = view_of(viewer, query, data, run)
        told = {"images": len(view.tiles), "matched": view.matched}
        if not body.get("write"):
            return told | {"bytes": estimate(view, source)}
        path = viewer.store / "reports" / f"view-{mark_of(view.data, view.run, query)}.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        return told | {"bytes": write(view, source, path), "url": f"/reports/{path.name}"}

    return [Route("/api/export", answer(export), methods=["POST"])]


@dataclass(frozen=True)
class Thumbs:
    """The small pictures of one image: JPEG, and 8-bit class-index PNGs; `error` says why there are none."""

    image: bytes = b""
    mask: bytes | None = None
    prediction: bytes | None = None
    error: str = ""


@dataclass(frozen=True)
class View:
    """What a file shows.

    Args:
        title: its heading.
        data, run: the dataset, and the evaluation (empty without one), as `name:vN`.
        query: how the images were selected.
        classes: the class map.
        tiles: one row an image, as `/api/images` has them, with `texts`: one for each class.
        matched, total: how many images the query selects, and the dataset holds.
    """

    title: str
    data: str
    run: str
    query: str
    classes: ClassMap
    tiles: Sequence[Json]
    matched: int
    total: int

    @property
    def layers(self) -> tuple[str, ...]:
        """What can be laid over the images, the first one to begin with."""
        return ("ground truth", "prediction", "errors", "none") if self.run else ("ground truth", "none")


Source = Callable[[Mapping[str, Any]], Thumbs]
"""A row -> its small pictures."""


def view_of(
    viewer: Viewer, query: str, data: str = "", run: str = "", limit: int = LIMIT, *, newest: bool = False
) -> tuple[View, Source]:
    """The view of a selection, and where its small pictures come from.

    Args:
        viewer: the store.
        query: the query string of an address of the viewer, or the address itself.
        data, run: the dataset and the evaluation; those of the query when left out.
        limit: at most so many images, the first ones in the order that is asked for.
        newest: where no evaluation is named, take the newest one of the dataset, if it has any.

    Raises:
        ConfigError: a filter that does not fit, no image that it selects, or a limit beyond 20,000.
        StoreError: no such dataset or evaluation.
    """
    from starlette.datastructures import QueryParams

    text = urlsplit(query).query if "://" in query else query.lstrip("?")
    given = QueryParams(text)
    raw, run = _sources(viewer, data or given.get("data", ""), run or given.get("a", ""))
    run = run or (_newest(viewer, raw) if newest else "")
    rows = viewer.rows(raw, run, given.get("b", ""))
    if not 1 <= limit <= MOST:
        raise ConfigError(f"The limit is {limit}; it must lie between 1 and {MOST:,}.")
    starts = range(0, limit, PAGE)
    found = [row for start in starts for row in rows.select(given, start, min(PAGE, limit - start))]
    if not found:
        raise ConfigError(f"No image of {raw} is selected by {text or 'nothing'}. Leave a filter out.")
    shown = "&".join(part for part in text.split("&") if part.partition("=")[0] in TOLD)
    tiles = [with_texts(row, bool(run)) for row in found]
    title = f"{plural(len(found), 'image')} of {raw}"
    view = View(title, raw, run, unquote_plus(shown), viewer.classes(raw), tiles, rows.count(given), rows.total)
    return view, _pictures(viewer, raw, run, [row["id"] for row in found])


def _sources(viewer: Viewer, data: str, run: str) -> tuple[str, str]:
    """The dataset and the evaluation as `name:vN`; a dataset that is left out is the evaluation's, else the latest."""
    evaluation = viewer.evaluation(run) if run else None
    raw = viewer.lineage(evaluation)[0] if evaluation and not data else viewer.raw(data)
    return raw.spec, evaluation.spec if evaluation else ""


def _newest(viewer: Viewer, raw: str) -> str:
    """The newest evaluation of a dataset; empty where it has none."""
    from sightline.viewer.catalog import catalog_of

    return next((str(one["spec"]) for one in catalog_of(viewer)["evaluations"] if one["raw"] == raw), "")


def _pictures(viewer: Viewer, data: str, run: str, ids: Sequence[int]) -> Source:
    """The small pictures of these rows, as the page Images has them."""
    from sightline.viewer.pictures import small

    paths = {
        each: row for start in range(0, len(ids), PAGE) for each, row in _files(viewer, data, ids[start : start + PAGE])
    }

    def source(row: Mapping[str, Any]) -> Thumbs:
        told = small(viewer, data, run, paths[row["id"]])
        return Thumbs(told["image"] or b"", told["mask"], told["prediction"], told["error"] or "")

    return source


def _files(viewer: Viewer, data: str, ids: Sequence[int]) -> list[tuple[int, Json]]:
    return list(viewer.rows(data, "", "").files(ids).items())


def estimate(view: View, source: Source) -> int:
    """About how many bytes the file will have, told from a few of its images."""
    count = len(view.tiles)
    tried = [view.tiles[place * count // min(TRIED, count)] for place in range(min(TRIED, count))]
    each = sum(_size(source(row)) for row in tried) / max(len(tried), 1)
    around = len("".join(_parts(view, iter(()))).encode("utf-8", "backslashreplace"))
    return around + round(count * each)


def write(view: View, source: Source, path: Path, step: Callable[[int, int | None], None] = lambda *_: None) -> int:
    """Write the file, whole or not at all, a picture at a time; returns its size in bytes.

    Args:
        view: what it shows.
        source: gives the small pictures.
        path: where to; the folder must be there.
        step: called with (images done, images in all).

    Raises:
        ConfigError: the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as stream:
            for part in _parts(view, _tiles(view, source, step)):
                stream.write(part.encode("utf-8", "backslashreplace"))
        temporary.replace(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {reason(error)}. Give another --out.") from error
    finally:
        temporary.unlink(missing_ok=True)
    return path.stat().st_size


def megabytes(size: int) -> str:
    """`12.3 MB`."""
    return f"{size / 1e6:,.1f} MB"


def with_texts(row: Mapping[str, Any], run: bool) -> Json:
    """The row with a text for each class: its IoU where there is a run, else its share of the pixels."""
    numbers = row.get("iou") if run else row["share"]
    texts = [score(one, 2) if run else percent(one) for one in numbers or []]
    return {"miou": None, "flags": [], **row, "texts": texts or [MISSING] * len(row["share"])}


def _parts(view: View, tiles: Iterator[Json]) -> Iterator[str]:
    """The page in pieces of some size; the tiles are asked for one by one as it goes."""
    page = environment("sightline.viewer").get_template("export.html.jinja")
    script, data = _text("export.js"), json.dumps({"colors": view.classes.colors, "ignore": view.classes.ignore_index})
    stream = page.stream(
        view=view, tiles=tiles, policy=policy([script]), style=inline(_text("export.css")), script=inline(script),
        class_data=inline(data.replace("<", "\\u003c")),
    )  # fmt: skip
    stream.enable_buffering(64)
    return iter(stream)


def _tiles(view: View, source: Source, step: Callable[[int, int | None], None]) -> Iterator[Json]:
    for done, row in enumerate(view.tiles, 1):
        thumbs = _thumbs(source, row)
        masks = {"ground truth": thumbs.mask, "prediction": thumbs.prediction}
        uris = {layer: uri("png", content) for layer, content in masks.items() if content}
        yield {"row": row, "image": uri("jpeg", thumbs.image), "masks": uris, "error": thumbs.error}
        step(done, len(view.tiles))


def _thumbs(source: Source, row: Mapping[str, Any]) -> Thumbs:
    """The small pictures, or in words why there are none: one damaged file does not spoil the rest."""
    try:
        return source(row)
    except (SightlineError, OSError) as error:
        return Thumbs(error=f"{row[KEY]} cannot be shown: {error}")


def uri(kind: str, content: bytes) -> str:
    """The picture as a `data:` URI."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _size(thumbs: Thumbs) -> int:
    """Bytes of a tile in the page: pictures grow by a third in base64; and the elements round them."""
    pictures = sum(len(one or b"") for one in (thumbs.image, thumbs.mask, thumbs.prediction))
    return 4 * pictures // 3 + 400


def _text(name: str) -> str:
    return files("sightline.viewer").joinpath(name).read_text(encoding="utf-8")


def mark_of(*parts: str) -> str:
    """Twelve hexadecimal digits that stand for these texts."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
