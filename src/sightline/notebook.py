"""How things show themselves in a notebook: `_repr_html_` of tables, class maps, samples and artifacts.

Names are data and are escaped; pictures are small and stand in the HTML itself, so that a saved notebook keeps them.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sightline.classes import ClassMap
from sightline.errors import SightlineError
from sightline.table import Files, Table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sightline.choosing.compare import Compared
    from sightline.comparison import Metric
    from sightline.dataset import Dataset, Sample
    from sightline.tracking import Artifact

ROWS = 10
"""Rows of a table that are shown; `PICTURED` of them with their image."""
PICTURED = 5
SIZE = 240
"""Width and height that no picture exceeds, in pixels."""
FILES = 8
SMALL = "font-size:90%;opacity:.75"
CELL = "text-align:left;padding:2px 10px 2px 0;vertical-align:middle"


def of_classes(classes: ClassMap) -> str:
    """The classes as chips in their colours."""
    chips = (
        f'<span style="white-space:nowrap;margin-right:12px">{_chip(color)}{index} {escape(name)}</span>'
        for index, (name, color) in enumerate(zip(classes.names, classes.colors, strict=True))
    )
    return f'<div>{"".join(chips)}<span style="{SMALL}">ignored: {classes.ignore_index}</span></div>'


def of_table(table: Table) -> str:
    """The first rows; with images, their masks laid over them, where the table knows the artifact that holds them."""
    rows = table.data.slice(0, ROWS).to_pylist()
    shown = [name for name in table.columns if not _wide(name, table.classes)]
    pictures = [_picture_of(row, table) for row in rows[:PICTURED]]
    heads = (["", *shown] if any(pictures) else shown) or [""]
    body = [_cells(row, shown, [picture] if any(pictures) else []) for row, picture in _padded(rows, pictures)]
    legend = of_classes(table.classes) if table.classes and any(pictures) else ""
    more = (
        f'<div style="{SMALL}">{len(rows):,} of {len(table):,} rows, {len(shown)} of {len(table.columns)} columns</div>'
    )
    return legend + _grid(heads, body) + more


def of_sample(sample: Sample) -> str:
    """The image, with its mask laid over it where the class map is known: a sample that a dataset gave knows it."""
    picture = _overlay(sample.image, sample.mask, sample.classes)
    facts = ", ".join(filter(None, (f"group {sample.group}", sample.published and f"published in {sample.published}")))
    return f'<div>{picture}<div>{escape(sample.file_name)} <span style="{SMALL}">{escape(facts)}</span></div></div>'


def of_dataset(dataset: Dataset) -> str:
    """How many samples, the classes, and the first few."""
    first = (dataset[place] for place in range(min(PICTURED, len(dataset))))
    tiles = "".join(f'<div style="margin:0 8px 8px 0">{of_sample(sample)}</div>' for sample in first)
    head = f"<div>{len(dataset):,} samples in <code>{escape(str(dataset.root))}</code></div>"
    return f'{head}{of_classes(dataset.classes)}<div style="display:flex;flex-wrap:wrap">{tiles}</div>'


def of_artifact(artifact: Artifact) -> str:
    """Its name and version, what it is, and its files by folder."""
    aliases = f" ({escape(', '.join(artifact.aliases))})" if artifact.aliases else ""
    size = sum(file.size for file in artifact.files.values())
    head = f"<div><b>{escape(artifact.spec)}</b>{aliases} <span>{escape(artifact.type)}</span></div>"
    about = (
        f'<div style="{SMALL}">digest {artifact.digest[:16]}, {len(artifact.files):,} files, {size / 1e6:,.1f} MB</div>'
    )
    return head + about + _grid(["File", "Bytes"], [[escape(name), text] for name, text in _listing(artifact)])


def of_compared(found: Compared) -> str:
    """The settings that differ, and the scores with their differences from the first run; what is sure is bold."""
    names, first = found.names, found.others[0]
    settings = [[escape(one.key), *(escape(_text(value)) for value in one.values)] for one in found.settings]
    heads = [name for run in names[1:] for name in (run, f"less {names[0]}")]
    rows = [[_class(found.classes, row[0]), _score(row[0].a), *_differences(row)] for row in found.rows]
    sure = f"{100 * first.level:.0f} % interval of the difference in brackets, bold where it leaves out 0"
    about = f"{found.images:,} images of {first.groups:,} groups; {first.reason or sure}"
    tables = _grid(["Setting", *names], settings) + _grid(["", names[0], *heads], rows)
    return f'{tables}<div style="{SMALL}">{escape(about)}</div>'


def _class(classes: ClassMap, one: Metric) -> str:
    return (_chip(classes.colors[one.index]) if one.index is not None else "") + escape(one.name)


def _differences(row: Sequence[Metric]) -> list[str]:
    """Of each run but the first its score, and what that has more than the first's."""
    return [cell for one in row for cell in (_score(one.b), _difference(one))]


def _difference(one: Metric) -> str:
    text = "–" if one.difference is None else f"{one.difference:+.3f}"
    if one.interval is None:
        return text
    told = f"{text} [{one.interval[0]:+.3f}, {one.interval[1]:+.3f}]"
    return told if one.interval[0] <= 0 <= one.interval[1] else f"<b>{told}</b>"


def _score(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _listing(artifact: Artifact) -> list[tuple[str, str]]:
    """The files at the top, and each folder as one line."""
    lone = sorted(path for path in artifact.files if "/" not in path)
    folders: dict[str, list[int]] = {}
    for path, file in artifact.files.items():
        if "/" in path:
            folders.setdefault(path.split("/")[0], []).append(file.size)
    listed = [(path, f"{artifact.files[path].size:,}") for path in lone[:FILES]]
    listed += [(f"and {len(lone) - FILES} more", "")] if len(lone) > FILES else []
    return [(f"{name}/ ({len(sizes):,} files)", f"{sum(sizes):,}") for name, sizes in sorted(folders.items())] + listed


def _wide(name: str, classes: ClassMap | None) -> bool:
    """Whether a column is left out: paths and hashes, and what there is once for each class."""
    names = classes.names if classes else ()
    per_class = {f"{one}{end}" for one in (*names, "ignored") for end in ("", "_share", "_iou")}
    return name in {"Image", "Mask", "PHash", "Published", "confusion"} | per_class


def _picture_of(row: Mapping[str, Any], table: Table) -> str:
    """The row's image with its mask, or its prediction in the classes' colours; nothing where there is neither."""
    files = table.files
    if files is None or table.classes is None:
        return ""
    image, mask, prediction = (str(row.get(name)) for name in ("Image", "Mask", "Prediction"))
    if image in files and mask in files:
        found = _paths(files, image, mask)
        return _overlay(found[0], found[1], table.classes)
    if prediction in files:
        return _colored(files, prediction, table.classes)
    return ""


def _paths(files: Files, *names: str) -> tuple[Path, Path] | tuple[str, str]:
    try:
        image, mask = (files.path(name) for name in names)
    except SightlineError as error:
        return str(error), ""
    return image, mask


def _overlay(image: Path | str, mask: Path | str, classes: ClassMap | None) -> str:
    """An `<img>` of the image with its mask, or the image alone; in words what is wrong with it where it is damaged."""
    from sightline.masks import overlay
    from sightline.pairs import read_files

    if isinstance(image, str) or isinstance(mask, str):
        return _wrong(str(image))
    try:
        if classes is None:
            return _plain(image)
        pair = read_files(image, mask, classes)
        return _img(overlay(pair.image, pair.mask, classes), "JPEG")
    except (SightlineError, OSError) as error:
        return _wrong(str(error))


def _plain(path: Path) -> str:
    import numpy as np
    from PIL import Image

    with Image.open(path) as image:
        return _img(np.array(image.convert("RGB")), "JPEG")


def _colored(files: Files, path: str, classes: ClassMap) -> str:
    import numpy as np
    from PIL import Image

    from sightline.masks import colorize

    try:
        with Image.open(files.path(path)) as image:
            return _img(colorize(np.array(image), classes), "PNG")
    except (SightlineError, OSError) as error:
        return _wrong(str(error))


def _img(pixels: NDArray[np.uint8], kind: str) -> str:
    """H×W×3 uint8 as an `<img>` that carries its bytes."""
    from PIL import Image

    image = Image.fromarray(pixels)
    image.thumbnail((SIZE, SIZE), Image.Resampling.LANCZOS if kind == "JPEG" else Image.Resampling.NEAREST)
    stream = io.BytesIO()
    image.save(stream, format=kind, quality=80)
    text = base64.b64encode(stream.getvalue()).decode("ascii")
    return f'<img src="data:image/{kind.lower()};base64,{text}" width="{image.width}" height="{image.height}" alt="">'


def _padded(rows: Sequence[Mapping[str, Any]], pictures: Sequence[str]) -> Iterable[tuple[Mapping[str, Any], str]]:
    return zip(rows, [*pictures, *[""] * (len(rows) - len(pictures))], strict=True)


def _cells(row: Mapping[str, Any], names: Sequence[str], pictures: Sequence[str]) -> list[str]:
    return [*pictures, *(escape(_text(row[name])) for name in names)]


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, list):
        return f"{len(value)} values"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _grid(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; the heads are escaped here, the cells are HTML already."""
    head = "".join(f'<th style="{CELL}">{escape(name)}</th>' for name in heads)
    body = "".join(
        f"<tr>{''.join(f'<td style={chr(34)}{CELL}{chr(34)}>{cell}</td>' for cell in row)}</tr>" for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _chip(color: str) -> str:
    square = "display:inline-block;width:.8em;height:.8em;margin-right:4px;border:1px solid #8a94a0"
    return f'<span style="{square};background:{escape(color)}"></span>'


def _wrong(text: str) -> str:
    return f'<div style="color:#b3142f;max-width:{SIZE}px">{escape(text)}</div>'
