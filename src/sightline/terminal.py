"""Tables and summaries as rich renderables, for a terminal. Names are text and never markup: they may hold brackets.

A class is shown by a chip, its index on its colour, and so is told by more than colour, in a pipe too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

from sightline.classes import ClassMap, parse_color
from sightline.errors import ConfigError
from sightline.summary import Counts, Quality, Summary, is_number
from sightline.table import KEY, Table
from sightline.wording import MISSING, plural

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table as RichTable
    from rich.text import Text

    from sightline.choosing.compare import Compared
    from sightline.comparison import Metric
    from sightline.marks import Flag
    from sightline.stages.train import FoundRate
    from sightline.sweeps.artifact import Outcome
    from sightline.tracking import Artifact, RunRecord

WIDEST_MATRIX = 12
"""With more classes than this, what occurs together is listed: a matrix would not fit a terminal."""
HIDDEN = {
    "Image", "Mask", "Drive", "PHash", "Published", "Prediction", "Overlay", "Confidence", "confusion", "ignored_share",
}  # fmt: skip
"""Columns that `render_rows` leaves out unless they are asked for; those per class are left out too."""
TOLD = ("final_miou", "best_miou", "best_epoch", "train_images", "valid_images", "test_images", "images", "groups")
"""Numbers of a run's summary that the list of runs shows, the first three of those that there are."""
CONTROLS = dict.fromkeys((*range(32), *range(127, 160)), "�")
"""Control characters in a name would drive the terminal."""

Justify = Literal["left", "right", "center"]


def render(summary: Summary) -> RenderableType:
    """The summary as rich renderables: a headline, the classes, what occurs together, the subsets, the worst images."""
    from rich.console import Group

    return Group(*_parts(summary))


def render_rows(table: Table, columns: Sequence[str] | None = None, limit: int | None = 20) -> RichTable:
    """Rows of a table as a rich table, numbers aligned at the right, missing values as "–".

    Args:
        table: the rows, already filtered and sorted.
        columns: which to show, in this order. When left out, all but the wide ones, and one column of chips that
            tells which classes occur.
        limit: at most this many rows; None shows all. The caption says how many there are.

    Raises:
        ConfigError: there is no such column; the text lists those there are.
    """
    unknown = [name for name in columns or () if name not in table.columns]
    if unknown:
        raise ConfigError(f"There is no column {', '.join(unknown)}. The columns are: {', '.join(table.columns)}.")
    shown = table.data if limit is None else table.data.slice(0, limit)
    grid = _grid()
    cells = []
    for name in columns if columns is not None else _narrow(table):
        number = is_number(shown.schema.field(name).type)
        grid.add_column(_text(name), justify="right" if number else "left", **_wrapping(name))
        cells.append(_cells(shown[name]))
    if columns is None and (classes := _classes_of(table)):
        grid.add_column(_text("Classes"), overflow="fold")
        cells.append(_strips(shown, classes))
    for row in zip(*cells, strict=True):
        grid.add_row(*row)
    if len(shown) < len(table):
        grid.caption = _text(f"{len(shown)} of {plural(len(table), 'row')}")
    return grid


def render_evaluation(summary: Mapping[str, Any], classes: ClassMap) -> RenderableType:
    """`summary.json` of an evaluation: IoU per class with its interval, beside the majority-class baseline."""
    bounds, baseline = summary["interval"], summary["baseline"]
    grid = _grid(
        f"IoU on {summary['subset']} ({plural(summary['images'], 'image')}, {plural(summary['groups'], 'group')})"
    )
    _add_class_columns(grid)
    for title in ("IoU", f"{100 * bounds['level']:.0f} % interval", f"always {baseline['class']}"):
        grid.add_column(_text(title), justify="right")
    for index, name in enumerate(classes.names):
        values = summary["final_iou"][name], bounds["iou"][name], baseline["iou"][name]
        grid.add_row(*_class_cells(classes, index), *_scores(*values), end_section=index == len(classes) - 1)
    grid.add_row("", "mIoU", *_scores(summary["final_miou"], bounds["miou"], baseline["miou"]), style="bold")
    if bounds["reason"]:
        grid.caption = _text(f"No interval: {bounds['reason']}.")
    return grid


def render_compared(found: Compared) -> tuple[RenderableType, ...]:
    """Runs beside the first of them: the settings that differ, then mIoU and IoU with the differences' intervals."""
    return _settings_table(found), _metrics_table(found)


def _settings_table(found: Compared) -> RichTable:
    grid = _grid("Settings that differ")
    grid.add_column("Setting", overflow="fold")
    for name in found.names:
        grid.add_column(_text(name), overflow="fold")
    grid.add_row("evaluation", *(_text(one.spec) for one in found.evaluations))
    for one in found.settings:
        grid.add_row(_text(one.key), *(_text(_setting(value)) for value in one.values))
    return grid


def _metrics_table(found: Compared) -> RichTable:
    first, level = found.names[0], 100 * found.others[0].level
    grid = _grid(f"IoU on {plural(found.images, 'image')} of {plural(found.others[0].groups, 'group')}")
    _add_class_columns(grid)
    grid.add_column(_text(first), justify="right")
    for name in found.names[1:]:
        for title in (name, f"less {first}", f"{level:.0f} % interval"):
            grid.add_column(_text(title), justify="right")
    for row in sorted(found.rows, key=lambda row: row[0].index is None):  # the mean last
        index = row[0].index
        head = ("", "mIoU") if index is None else _class_cells(found.classes, index)
        last = index == len(found.classes) - 1
        grid.add_row(*head, _number(row[0].a), *(cell for one in row for cell in _against(one)), end_section=last)
    for name, values in found.figures.items():
        cells = (cell for value in values[1:] for cell in (_number(value), _signed(_less(value, values[0])), ""))
        grid.add_row("", name, _number(values[0]), *cells)
    grid.caption = _text("\n".join(_cautions(found)))
    return grid


def _against(one: Metric) -> tuple[Text, Text, Text]:
    """A run's value, what it has more than the first, and the interval of that; bold where it leaves out 0."""
    sure = one.interval is not None and not one.interval[0] <= 0 <= one.interval[1]
    between = f"{_signed(one.interval[0])} to {_signed(one.interval[1])}" if one.interval else MISSING
    style = "bold" if sure else ""
    return _text(_number(one.b)), _text(_signed(one.difference), style), _text(between, style)


def _cautions(found: Compared) -> list[str]:
    reason, left = found.others[0].reason, found.left_out
    told = [f"No interval: {reason}."] if reason else []
    told += [f"{plural(left, 'image')} left out: not in all runs, or with another mask."] if left else []
    return told


def _setting(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " ".join(map(_setting, value))
    return MISSING if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _less(value: float | None, first: float | None) -> float | None:
    return None if value is None or first is None else value - first


def _signed(value: float | None) -> str:
    return MISSING if value is None else f"{value:+.3f}"


def _scores(iou: float | None, bounds: Sequence[float] | None, baseline: float | None) -> tuple[str, str, str]:
    between = f"{_number(bounds[0])} to {_number(bounds[1])}" if bounds else MISSING
    return _number(iou), between, _number(baseline)


def render_rates(found: FoundRate) -> RenderableType:
    """The learning-rate finder's steps, every eighth of them, and the rate that it suggests."""
    from rich.console import Group

    grid = _grid()
    _add_column(grid, "lr", whole=True, number=True)
    _add_column(grid, "smoothed loss", whole=True, number=True)
    for rate, loss in found.steps[::8]:
        grid.add_row(f"{rate:.1e}", f"{loss:.3f}")
    return Group(grid, _text(f"Suggested: --lr {found.suggested:.1e} (the valley of the curve)"))


def render_flags(flags: Sequence[Flag]) -> RichTable:
    """The flags of a dataset's images as a rich table."""
    grid = _grid()
    for title in ("Image", "Flag", "Note", "Since"):
        grid.add_column(title, overflow="fold")
    for one in flags:
        grid.add_row(*map(_text, (one.file_name, one.flag, one.note, one.when[:16].replace("T", " "))))
    return grid


def render_sweep(outcome: Outcome) -> RichTable:
    """The trials of a sweep, the best one marked; columns are its number, how it ended, its value and its settings."""
    metric, names = outcome.metric, [(one["name"], one["column"]) for one in outcome.about["parameters"]]
    grid = _grid(f"{outcome.spec}: {outcome.about['method']}, {metric} ({outcome.about['metric']['goal']})")
    for title in ("Trial", "Ended", metric, "Epoch", "Took", *(name for name, _ in names)):
        _add_column(grid, title, whole=title in ("Trial", "Ended"), number=title not in ("Ended",))
    for row in outcome.rows:
        best = row["number"] == outcome.best
        told = f"{row['best_epoch']} of {row['epochs']}" if row["best_epoch"] else MISSING
        took = str(timedelta(seconds=round(row["seconds"])))
        cells = [f"{'* ' if best else ''}{row['number']}", row["state"], _number(row["value"]), told, took]
        cells += [_short(row[column]) for _, column in names]
        grid.add_row(*map(_text, cells), style="bold" if best else "")
    grid.caption = _text("* the best; the epoch is the one whose weights were kept")
    return grid


def _short(value: Any) -> str:
    return MISSING if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


def render_runs(runs: Sequence[RunRecord]) -> RichTable:
    """The runs, in the order given; of several inputs or numbers, one a line. The year is told where there are two."""
    grid, year = _grid(), len({run.started[:4] for run in runs}) > 1
    for title in ("Run", "Status", "Began (UTC)", "Took", "Inputs", "Outputs", "Result"):
        _add_column(grid, title, whole=title in ("Run", "Status", "Took"), number=title == "Took")
    for run in runs:
        several = ([_text(each) for each in part] for part in (run.inputs, run.outputs, _results(run)))
        grid.add_row(*map(_text, (run.name, run.status, _began(run, year), _took(run))), *map(_lines, several))
    return grid


def _results(run: RunRecord) -> list[str]:
    told = [name for name in TOLD if run.summary.get(name) is not None] or list(run.summary)
    if run.error:
        return run.error.splitlines()[:1]
    return [f"{name.replace('_', ' ')} {_plain(run.summary[name])}" for name in told[:3]]


def _began(run: RunRecord, year: bool) -> str:
    """`25 Nov 12:26`, which a narrow column breaks between its words alone."""
    if not run.started:
        return MISSING
    when = datetime.fromisoformat(run.started)
    return f"{when.day} {when:%b %Y %H:%M}" if year else f"{when.day} {when:%b %H:%M}"


def _took(run: RunRecord) -> str:
    if not run.finished:
        return MISSING
    seconds = (datetime.fromisoformat(run.finished) - datetime.fromisoformat(run.started)).total_seconds()
    return str(timedelta(seconds=round(seconds)))


def _plain(value: Any) -> str:
    return _number(value) if isinstance(value, float) else str(value)


def render_artifacts(artifacts: Sequence[Artifact]) -> RichTable:
    """The artifacts, in the order given: size is what the files of a version come to, shared ones counted too."""
    from rich.filesize import decimal

    grid = _grid()
    for title in ("Artifact", "Type", "Aliases", "Files", "Size", "Digest"):
        _add_column(grid, title, whole=title not in ("Aliases", "Digest"), number=title in ("Files", "Size"))
    for each in artifacts:
        size = decimal(sum(file.size for file in each.files.values()))
        cells = each.spec, each.type, ", ".join(each.aliases), str(len(each.files)), size, each.digest[:12]
        grid.add_row(*map(_text, cells))
    return grid


def render_artifact(artifact: Artifact) -> RichTable:
    """The files of one artifact."""
    grid = _grid(f"{artifact.spec} ({artifact.type}), digest {artifact.digest}")
    for title in ("File", "Bytes", "sha256"):
        _add_column(grid, title, whole=title == "Bytes", number=title == "Bytes")
    for path, file in sorted(artifact.files.items()):
        grid.add_row(*map(_text, (path, str(file.size), file.digest)))
    return grid


def _parts(summary: Summary) -> Iterator[RenderableType]:
    yield _headline(summary)
    if summary.classes and (rows := _class_table(summary, summary.classes)):
        yield rows
    if summary.classes and summary.together is not None:
        yield _together(summary, summary.classes)
    if summary.subsets:
        yield _subset_table(summary)
    if summary.quality:
        yield from _quality(summary.quality)


def _headline(summary: Summary) -> Text:
    counts = summary.all
    rows = plural(counts.images, "image" if KEY in summary.columns else "row")
    parts = [rows, *(plural(n, word) for n, word in ((counts.groups, "group"), (counts.drives, "drive")) if n)]
    sizes = [f"{width}×{height}" for width, height, _ in summary.sizes]
    if len(sizes) > 1:
        sizes = [f"{size} ({images})" for size, (_, _, images) in zip(sizes, summary.sizes, strict=True)]
    parts += [", ".join(sizes[:3]) + (f" and {len(sizes) - 3} sizes more" if len(sizes) > 3 else "")] if sizes else []
    return _text(" · ".join(parts), "bold")


def _class_table(summary: Summary, classes: ClassMap) -> RichTable | None:
    """One row a class; columns that say nothing are left out."""
    counts, quality = summary.all, summary.quality
    columns = [
        ("Images", [_count(n) for n in counts.with_class]),
        (
            "of all",
            [_percent(n / counts.images if n is not None and counts.images else None) for n in counts.with_class],
        ),
        ("Pixels", [_percent(share) for share in counts.share]),
        ("IoU", [_number(value) for value in quality.iou] if quality else []),
    ]
    told = [(name, values) for name, values in columns if set(values) - {MISSING}]
    if not told:
        return None
    grid = _grid("Classes")
    _add_class_columns(grid)
    for name, _ in told:
        grid.add_column(name, justify="right")
    for index in range(len(classes)):
        grid.add_row(*_class_cells(classes, index), *(values[index] for _, values in told))
    if counts.ignored_share is not None:
        ignored = [_percent(counts.ignored_share) if name == "Pixels" else "" for name, _ in told]
        grid.add_row("", _text("ignored", "italic"), *ignored)
    return grid


def _together(summary: Summary, classes: ClassMap) -> RichTable:
    assert summary.together is not None
    counts = summary.together.tolist()
    grid = _grid("Images in which classes occur together")
    _add_class_columns(grid)
    if len(classes) > WIDEST_MATRIX:
        grid.add_column("occurs with (images)")
        for index, row in enumerate(counts):
            grid.add_row(*_class_cells(classes, index), _text(_companions(classes, index, row)))
        return grid
    for index in range(len(classes)):
        grid.add_column(_chip(classes, index), justify="right")
    for index, row in enumerate(counts):
        grid.add_row(*_class_cells(classes, index), *(str(n) for n in row))
    return grid


def _companions(classes: ClassMap, index: int, row: list[int]) -> str:
    """The other classes and in how many images each occurs with class `index`, the most frequent first."""
    others = sorted((-n, classes.names[other]) for other, n in enumerate(row) if other != index and n)
    return ", ".join(f"{name} {-n}" for n, name in others) or MISSING


def _subset_table(summary: Summary) -> RichTable:
    """Columns are subsets; of each class the images that show it, and its share of the pixels."""
    grid = _grid("Subsets")
    _add_class_columns(grid)
    for name in summary.subsets:
        grid.add_column(_text(name), justify="right")
    for word in ("images", "groups", "drives"):
        values = [getattr(counts, word) for counts in summary.subsets.values()]
        if set(values) != {None}:
            grid.add_row("", word, *map(_count, values), end_section=word == "drives")
    for index in range(len(summary.classes or ())):
        cells = [_presence(counts, index) for counts in summary.subsets.values()]
        if summary.classes and set(cells) != {MISSING}:
            grid.add_row(*_class_cells(summary.classes, index), *cells)
    return grid


def _presence(counts: Counts, index: int) -> str:
    told = [_count(counts.with_class[index]), _percent(counts.share[index])]
    return MISSING if set(told) == {MISSING} else f"{told[0]}  {told[1]:>8}"


def _quality(quality: Quality) -> Iterator[RenderableType]:
    yield _text(
        f"mIoU {_number(quality.miou)} · mean image IoU {_number(quality.mean_image_iou)} · "
        f"pixel accuracy {_number(quality.pixel_accuracy)}",
        "bold",
    )
    if quality.worst:
        grid = _grid("Worst images")
        grid.add_column(KEY, overflow="fold")
        grid.add_column("mIoU", justify="right")
        grid.add_column("loss", justify="right")
        for name, miou, loss in quality.worst:
            grid.add_row(_text(name), _number(miou), _number(loss))
        yield grid


def _grid(title: str | None = None) -> RichTable:
    from rich import box
    from rich.table import Table as RichTable

    return RichTable(
        title=title, title_justify="left", caption_justify="left", box=box.SIMPLE, collapse_padding=True, pad_edge=False
    )


def _add_column(grid: RichTable, title: str, *, whole: bool, number: bool) -> None:
    """A column whose cells stay on one line, cut short with an ellipsis where they must be, or go on in the next."""
    overflow: Literal["fold", "ellipsis"] = "ellipsis" if whole else "fold"
    grid.add_column(title, overflow=overflow, no_wrap=whole, justify="right" if number else "left")


def _add_class_columns(grid: RichTable) -> None:
    grid.add_column("", no_wrap=True)
    grid.add_column("Class", overflow="fold")


def _class_cells(classes: ClassMap, index: int) -> tuple[Text, Text]:
    return _chip(classes, index), _text(classes.names[index])


def _chip(classes: ClassMap, index: int) -> Text:
    """The index on the class's colour, in black or white, whichever is easier to read."""
    return _text(f"{index:>2}", _chip_style(classes.colors[index]))


def _chip_style(color: str) -> str:
    red, green, blue = parse_color(color)
    return f"{'#000000' if 0.299 * red + 0.587 * green + 0.114 * blue > 128 else '#ffffff'} on {color}"


def _classes_of(table: Table) -> ClassMap | None:
    """The class map, where the table has a presence column for every class."""
    known = table.classes and set(table.classes.names) <= set(table.columns)
    return table.classes if known else None


def _strips(data: pa.Table, classes: ClassMap) -> list[Text]:
    """A cell a row: one place a class, the last digit of its index where it occurs and a dot where it does not."""
    from rich.text import Text

    styles = [_chip_style(color) for color in classes.colors]
    present = [data[name].to_pylist() for name in classes.names]
    return [
        Text.assemble(*((str(i % 10), styles[i]) if value else ("·", "dim") for i, value in enumerate(row)))
        for row in zip(*present, strict=True)
    ]


def _narrow(table: Table) -> list[str]:
    """The columns shown when none are asked for."""
    names = table.classes.names if table.classes else ()
    hidden = HIDDEN | {f"{name}{end}" for name in names for end in ("", "_share", "_iou")}
    hidden |= {"Split"} if "Stage" in table.columns else set()
    return [name for name in table.columns if name not in hidden - {KEY}]


def _wrapping(name: str) -> dict[str, Any]:
    """File names go on in the next line where there is no room; a number cut short ends in an ellipsis."""
    return {"overflow": "fold" if name == KEY else "ellipsis"}


def _cells(column: pa.ChunkedArray) -> list[Text]:
    values = column.to_pylist()
    if pa.types.is_floating(column.type):
        decimals = _decimals(values)
        return [_text(_number(value, decimals)) for value in values]
    return [_text(_cell(value)) for value in values]


def _cell(value: Any) -> str:
    if value is None:
        return MISSING
    return plural(len(value), "value") if isinstance(value, list) else str(value)


def _decimals(values: list[float | None]) -> int:
    """As many for all of a column, so that its points stand below one another: four digits of the largest value."""
    largest = max((abs(value) for value in values if value is not None and math.isfinite(value)), default=0)
    return min(max(3 - math.floor(math.log10(largest)), 1), 8) if largest else 1


def _number(value: float | None, decimals: int = 3) -> str:
    return MISSING if value is None or math.isnan(value) else f"{value:.{decimals}f}"


def _count(value: int | None) -> str:
    return MISSING if value is None else str(value)


def _percent(share: float | None) -> str:
    if share is None:
        return MISSING
    return "<0.01 %" if 0 < share < 5e-5 else f"{share:.2%}".replace("%", " %")


def _lines(texts: Sequence[Text]) -> Text:
    from rich.text import Text

    return Text("\n").join(texts)


def _text(text: str, style: str = "") -> Text:
    from rich.text import Text

    return Text(text.translate(CONTROLS), style=style)
