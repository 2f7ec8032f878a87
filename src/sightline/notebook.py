"""How things show themselves in a notebook: `_repr_html_` of tables, class maps, samples, artifacts, comparisons.

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
from sightline.wording import plural

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sightline.choosing.compare import Compared
    from sightline.comparison import Metric
    from sightline.dataset import Dataset, Sample
    from sightline.summary import Counts, Summary
    from sightline.tracking import Artifact

ROWS = 10
"""Rows of a table that are shown; `PICTURED` of them with their image."""
PICTURED = 5
SIZE = 240
"""Width and height that no picture exceeds, in pixels."""
FILES = 8
WIDEST = 12
"""With more classes than this, no matrix tells which occur together."""
SMALL = "font-size:90%;opacity:.75"
BAR = "display:inline-block;height:.7em;margin-right:6px;background:#8a94a0"
CELL = "text-align:left;padding:2px 10px 2px 0;vertical-align:middle"


def of_classes(classes: ClassMap) -> str:
    """The classes as chips in their colours."""
    chips = (
        f'<span style="white-space:nowrap;margin-right:12px">{_chip(color)}{index} {escape(name)}</span>'
        for index, (name, color) in enumerate(zip(classes.names, classes.colors, strict=True))
    )
    return f'<div>{"".join(chips)}<span style="{SMALL}">ignored: {classes.ignore_index}</span></div>'


def of_table(table: Table) -> str:
    """The first rows; with images, their masks laid over them, where the table knows the artifact that holds them.

    Rows that name both a mask and a prediction, as a prediction table joined with the split's does, show the image with
    the one and with the other.
    """
    rows = table.data.slice(0, ROWS).to_pylist()
    pictures = [_pictures_of(row, table) for row in rows[:PICTURED]]
    heads = max((list(one) for one in pictures), key=len, default=[])
    hidden = {"Prediction"} if heads else set()
    shown = [name for name in table.columns if name not in hidden and not _wide(name, table.classes)]
    body = [[*(found.get(head, "") for head in heads), *_cells(row, shown)] for row, found in _padded(rows, pictures)]
    legend = of_classes(table.classes) if table.classes and heads else ""
    more = f"{len(rows):,} of {plural(len(table), 'row')}, {len(shown)} of {plural(len(table.columns), 'column')}"
    return legend + _grid([*heads, *shown] or [""], body) + f'<div style="{SMALL}">{more}</div>'


def of_sample(sample: Sample) -> str:
    """The image, with its mask laid over it where the class map is known: a sample that a dataset gave knows it."""
    picture = _overlay(sample.image, sample.mask, sample.classes)
    facts = ", ".join(filter(None, (f"group {sample.group}", sample.published and f"published in {sample.published}")))
    return f'<div>{picture}<div>{escape(sample.file_name)} <span style="{SMALL}">{escape(facts)}</span></div></div>'


def of_dataset(dataset: Dataset) -> str:
    """How many samples, the classes, and the first few."""
    first = (dataset[place] for place in range(min(PICTURED, len(dataset))))
    tiles = "".join(f'<div style="margin:0 8px 8px 0">{of_sample(sample)}</div>' for sample in first)
    head = f"<div>{plural(len(dataset), 'sample')} in <code>{escape(str(dataset.root))}</code></div>"
    return f'{head}{of_classes(dataset.classes)}<div style="display:flex;flex-wrap:wrap">{tiles}</div>'


def of_artifact(artifact: Artifact) -> str:
    """Its name and version, what it is, and its files by folder."""
    from rich.filesize import decimal

    aliases = f" ({escape(', '.join(artifact.aliases))})" if artifact.aliases else ""
    size = decimal(sum(file.size for file in artifact.files.values()))
    head = f"<div><b>{escape(artifact.spec)}</b>{aliases} <span>{escape(artifact.type)}</span></div>"
    about = f"digest {artifact.digest[:16]}, {plural(len(artifact.files), 'file')}, {size}"
    files = _grid(["File", "Bytes"], [[escape(name), text] for name, text in _listing(artifact)])
    told = f'<div style="{SMALL}">{about}</div>{_told(artifact)}'
    return head + told + f"<details><summary>Files</summary>{files}</details>"


def _told(artifact: Artifact) -> str:
    """What came of the work that made it: an evaluation's scores, a split's subsets, a model's best epoch."""
    tellers = {"evaluation": (_scores, "summary.json"), "split_data": (_subsets, "split.json")}
    tell, needed = tellers.get(artifact.type, (_best_epoch, ""))
    try:
        return tell(artifact) if not needed or needed in artifact else ""
    except SightlineError as error:
        return _wrong(str(error))


def _best_epoch(artifact: Artifact) -> str:
    told = artifact.metadata.get("best_miou"), artifact.metadata.get("best_epoch")
    return f"<div>mIoU {told[0]:.3f} on valid, after epoch {told[1]}</div>" if all(told) else ""


def _scores(artifact: Artifact) -> str:
    """IoU of each class with its interval, beside the baseline, and what was measured."""
    classes, summary = ClassMap.from_dict(artifact.json("classes.json")), artifact.json("summary.json")
    bounds, baseline = summary["interval"], summary["baseline"]
    heads = ["", "IoU", f"{100 * bounds['level']:.0f} % interval", f"always {baseline['class']}"]
    rows = [
        [_named(classes, index), *_score_cells(summary["final_iou"][name], bounds["iou"][name], baseline["iou"][name])]
        for index, name in enumerate(classes.names)
    ]
    rows += [["<b>mIoU</b>", *_score_cells(summary["final_miou"], bounds["miou"], baseline["miou"])]]
    images, groups = plural(summary["images"], f"{summary['subset']} image"), plural(summary["groups"], "group")
    about = escape(f"{images} of {groups}. {bounds['reason']}")
    return _grid(heads, rows) + f'<div style="{SMALL}">{about}</div>'


def _score_cells(value: float | None, bounds: Sequence[float] | None, baseline: float | None) -> list[str]:
    between = f"{bounds[0]:.3f} to {bounds[1]:.3f}" if bounds else "–"
    return [_bar(value), between, _score(baseline)]


def _subsets(artifact: Artifact) -> str:
    """Images, groups and drives of each subset, and what the leak check found."""
    from sightline.leaks import describe

    found = artifact.json("split.json")
    rows = [[escape(name), *(f"{number:,}" for number in counts.values())] for name, counts in found["subsets"].items()]
    leaks = [f"<li>{'✓' if well else '✗'} {escape(line)}</li>" for well, line in describe(found["leaks"])]
    leaks += [f"<li>✗ {escape(warning)}</li>" for warning in found["warnings"]]
    return _grid(["Subset", "Images", "Groups", "Drives"], rows) + f"<ul>{''.join(leaks)}</ul>"


def of_summary(summary: Summary) -> str:
    """What a table holds: how often each class occurs, in which subsets, and which classes occur together."""
    counts = summary.all
    parts = [plural(counts.images, "image"), *([plural(counts.drives, "drive")] if counts.drives else [])]
    parts += [f"{width}×{height}" for width, height, _ in summary.sizes[:3]]
    tables = [_class_rows(summary, summary.classes), _together(summary, summary.classes)] if summary.classes else []
    return f"<div><b>{escape(' · '.join(parts))}</b></div>" + "".join(tables)


def _class_rows(summary: Summary, classes: ClassMap) -> str:
    """A class a row: the images that show it and its share of the pixels, of all and of each subset."""
    sides = {"": summary.all, **summary.subsets}
    heads = [f"{name} {what}".strip() for name in sides for what in ("images", "pixels")]
    rows = [
        [_named(classes, index), *(cell for one in sides.values() for cell in _presence(one, index))]
        for index in range(len(classes))
    ]
    return _grid(["", *heads], rows)


def _presence(counts: Counts, index: int) -> list[str]:
    images, share = counts.with_class[index], counts.share[index]
    return ["–" if images is None else f"{images:,}", _bar(share, f"{share:.2%}" if share is not None else "–")]


def _together(summary: Summary, classes: ClassMap) -> str:
    if summary.together is None or len(classes) > WIDEST:
        return ""
    heads = ["together in images", *classes.names]
    rows = [[_named(classes, index), *map(str, row)] for index, row in enumerate(summary.together.tolist())]
    return _grid(heads, rows)


def _named(classes: ClassMap, index: int) -> str:
    return f'<span style="white-space:nowrap">{_chip(classes.colors[index])}{escape(classes.names[index])}</span>'


def _bar(share: float | None, text: str = "") -> str:
    """A number with a bar as long as its share of 1."""
    bar = f'<span style="{BAR};width:{60 * (share or 0):.1f}px"></span>'
    return f'<span style="white-space:nowrap">{bar}{text or _score(share)}</span>'


def of_compared(found: Compared) -> str:
    """The settings that differ, and the scores with their differences from the first run; what is sure is bold."""
    names, first = found.names, found.others[0]
    settings = [[escape(one.key), *(escape(_text(value)) for value in one.values)] for one in found.settings]
    heads = [name for run in names[1:] for name in (run, f"less {names[0]}")]
    rows = [[_class(found.classes, row[0]), _score(row[0].a), *_differences(row)] for row in found.rows]
    sure = f"{100 * first.level:.0f} % interval of the difference in brackets, bold where it leaves out 0"
    about = f"{plural(found.images, 'image')} of {plural(first.groups, 'group')}; {first.reason or sure}"
    tables = _grid(["Setting", *names], settings) + _grid(["", names[0], *heads], rows)
    return f'{tables}<div style="{SMALL}">{escape(about)}</div>'


def _class(classes: ClassMap, one: Metric) -> str:
    return f"<b>{escape(one.name)}</b>" if one.index is None else _named(classes, one.index)


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
    return [
        (f"{name}/ ({plural(len(sizes), 'file')})", f"{sum(sizes):,}") for name, sizes in sorted(folders.items())
    ] + listed


def _wide(name: str, classes: ClassMap | None) -> bool:
    """Whether a column is left out: paths and hashes, and what there is once for each class."""
    names = classes.names if classes else ()
    per_class = {f"{one}{end}" for one in (*names, "ignored") for end in ("", "_share", "_iou")}
    return name in {"Image", "Mask", "PHash", "Published", "confusion"} | per_class


def _pictures_of(row: Mapping[str, Any], table: Table) -> dict[str, str]:
    """What is shown of a row, by the column's head: the image with its mask, and with its prediction; or that alone."""
    files, classes = table.files, table.classes
    if files is None or classes is None:
        return {}
    image, mask, prediction = (str(row.get(name)) for name in ("Image", "Mask", "Prediction"))
    if image in files and prediction in files:
        laid = {"Ground truth": mask, "Predicted": prediction}
        return {head: _laid(files, image, one, classes) for head, one in laid.items()}
    if image in files and mask in files:
        return {"Image": _laid(files, image, mask, classes)}
    return {"Predicted": _colored(files, prediction, classes)} if prediction in files else {}


def _laid(files: Files, image: str, mask: str, classes: ClassMap) -> str:
    """An image of an artifact with a mask of it."""
    try:
        return _overlay(files.path(image), files.path(mask), classes)
    except SightlineError as error:
        return _wrong(str(error))


def _overlay(image: Path, mask: Path, classes: ClassMap | None) -> str:
    """An `<img>` of the image with its mask, or the image alone; in words what is wrong with it where it is damaged."""
    from sightline.masks import overlay
    from sightline.pairs import read_files

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


def _padded(
    rows: Sequence[Mapping[str, Any]], pictures: Sequence[dict[str, str]]
) -> Iterable[tuple[Mapping[str, Any], dict[str, str]]]:
    return zip(rows, [*pictures, *({} for _ in rows[len(pictures) :])], strict=True)


def _cells(row: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    return [escape(_text(row[name])) for name in names]


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, list):
        return plural(len(value), "value")
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
