"""Ingest: a folder of labelled images -> the raw_data artifact and its EDA table."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from sightline.changes import changes_since, describe
from sightline.classes import ClassMap
from sightline.config import Config, to_dict
from sightline.console import progress, say, track
from sightline.dataset import Dataset, PairError, Problem, Sample, duplicates, pair, read_pair, summarize
from sightline.errors import ConfigError, DataError, StoreError
from sightline.layouts import Layout, choose
from sightline.masks import Mask, pixel_counts
from sightline.pool import spread
from sightline.sources import SOURCES, fetch
from sightline.stages.stage import dataset_name, tracked, write_text
from sightline.table import KEY, Table
from sightline.thumbnails import (
    GRID,
    INDEX,
    PACK,
    POSITIONS,
    Pack,
    png,
    positions,
    positions_table,
    shrunk,
    small_image,
)
from sightline.tracking import Artifact, Run, StoredFile, Tracker, open_tracker
from sightline.versions import versions

PACKAGES = ("numpy", "pillow", "imagehash", "pyarrow")
"""What the images are read, measured and kept with."""
LICENSES = ("LICENSE.txt", "LICENSE", "LICENSE.md", "license.txt", "LICENCE.txt")

HASHED = (32, 32)
"""Width and height from which ImageHash makes its perceptual hash. Brought there in two steps, as Pillow does with
`reducing_gap`, an image takes a tenth of the time; of 64 bits two differed, in one of forty images of 1280×720."""
NOWHERE = np.zeros((0, *GRID))
"""In place of positions that were added up."""

COLUMNS = pa.schema(
    [
        (KEY, pa.string()),
        ("Image", pa.string()),
        ("Mask", pa.string()),
        ("Group", pa.string()),
        ("Drive", pa.string()),
        ("Frame", pa.int64()),
        ("Width", pa.int32()),
        ("Height", pa.int32()),
        ("Split", pa.string()),
        ("Published", pa.string()),
        ("PHash", pa.string()),
        ("Brightness", pa.float64()),
    ]
)
"""Columns of the EDA table before those of the classes; see docs/data-format.md."""


def ingest(config: Config, tracker: Tracker | None = None, *, force: bool = False) -> Artifact:
    """Check every pair of image and mask, and keep them with one table row per image.

    Args:
        config: `data` says where the images are and how they are laid out.
        tracker: where the run is kept; opened from `config` when left out.
        force: do it even when it is up to date.

    Returns:
        The artifact `NAME` (raw_data): `images/`, `labels/{stem}_mask.png`, `classes.json`, `eda_table.parquet`,
        `ingest.json`, the thumbnails, `class_positions.parquet` and, where there is one, `LICENSE.txt`.

    Raises:
        DataError: no such folder, no layout fits, or damaged pairs (all in one summary) and `on_error` is `fail`.
        ConfigError: a setting of the layout does not fit, or a class is named as a column of the table is.
        SourceError: a named dataset that cannot be fetched.
    """
    tracker = tracker or open_tracker(config)
    root = _folder(config)
    name = dataset_name(config, tracker)
    layout_name, layout = _layout(root, config)
    eda_schema(layout.classes)
    dataset, problems = pair(root, layout, config.data.limit)
    settings = {
        "data": to_dict(config.data),
        "layout": _described(layout_name, layout),
        "classes": dataclasses.asdict(layout.classes),
        "listing": _listing(dataset, problems),
    }
    work = partial(_ingest, name=name, dataset=dataset, problems=problems, settings=settings, workers=config.workers)
    before = _latest(tracker, name)
    artifact = tracked(tracker, "upload", [], settings, work, force=force)
    _tell_changes(tracker, before, artifact)
    return artifact


def _latest(tracker: Tracker, name: str) -> Artifact | None:
    """The dataset as it was ingested last; None before the first time."""
    with contextlib.suppress(StoreError):
        return tracker.get(name)
    return None


def _tell_changes(tracker: Tracker, before: Artifact | None, after: Artifact) -> None:
    """Say what a repaired folder changed. It is kept nowhere: the artifact is the same whatever came before it."""
    if before and before.type == after.type and before.digest != after.digest:
        for line in describe(changes_since(tracker, before, after)):
            say(f"  {line}")


def eda_schema(classes: ClassMap) -> pa.Schema:
    """The columns of the EDA table for a class map.

    Raises:
        ConfigError: two columns would have one name (upper and lower case count as the same, as in SQL).
    """
    fields = list(COLUMNS)
    fields += [pa.field(name, pa.int8()) for name in classes.names]
    fields += [pa.field(f"{name}_share", pa.float64()) for name in (*classes.names, "ignored")]
    seen: dict[str, str] = {}
    for field in fields:
        if field.name.casefold() in seen:
            raise ConfigError(
                f"The class map makes two columns called {field.name!r} ({seen[field.name.casefold()]!r} is there "
                "already). Rename that class in the class map."
            )
        seen[field.name.casefold()] = field.name
    return pa.schema(fields)


@dataclass(frozen=True)
class Measured:
    """What one pair gave.

    Args:
        row: its row of the EDA table.
        image_sha256, mask_sha256: of the files as they were read.
        recoded: the mask's values changed on the way, and it was written anew.
        warnings: what is told of it though it can be used.
        thumbnails: the small `image` and `mask`; empty once they are packed.
        positions: where each class lies, float64[C, 18, 32]; see `sightline.thumbnails.positions`.
    """

    row: Mapping[str, Any]
    image_sha256: str
    mask_sha256: str
    recoded: bool
    warnings: tuple[Problem, ...]
    thumbnails: Mapping[str, bytes]
    positions: NDArray[np.float64]


def measure(scratch: Path, classes: ClassMap, sample: Sample) -> Measured | PairError:
    """Check and measure one pair; a mask whose values change is written to `scratch`, as 8-bit PNG.

    Returns:
        What it gave, or the error that says what is wrong with it.
    """
    try:
        found = read_pair(sample, classes)
    except PairError as error:
        return error
    if found.recoded:
        Image.fromarray(found.mask).save(_redrawn(scratch, sample), format="PNG")
    image = Image.fromarray(found.image)
    row = _of_sample(sample) | _of_image(image) | _of_mask(found.mask, classes)
    small = shrunk(found.mask)
    thumbnails = {"image": small_image(image), "mask": png(small)}
    told = (found.image_sha256, found.mask_sha256, found.recoded, found.warnings)
    return Measured(row, *told, thumbnails, positions(small, classes))


def mask_name(sample: Sample) -> str:
    """`{stem}_mask.png`, the name of a mask in the artifact whatever it was called before."""
    return f"{Path(sample.file_name).stem}_mask.png"


def _redrawn(scratch: Path, sample: Sample) -> Path:
    """Where a mask that is written anew waits to be stored; by digest, since a long name with `_mask` may not fit."""
    return scratch / f"{hashlib.sha256(sample.file_name.encode()).hexdigest()}.png"


def _of_sample(sample: Sample) -> dict[str, Any]:
    return {
        KEY: sample.file_name,
        "Image": f"images/{sample.file_name}",
        "Mask": f"labels/{mask_name(sample)}",
        "Group": sample.group,
        "Drive": sample.drive,
        "Frame": sample.frame,
        "Split": "None",
        "Published": sample.published,
    }


def _of_image(image: Image.Image) -> dict[str, Any]:
    import imagehash

    grey = image.convert("L")
    brightness = sum(level * count for level, count in enumerate(grey.histogram())) / (image.width * image.height)
    phash = str(imagehash.phash(grey.resize(HASHED, Image.Resampling.LANCZOS, reducing_gap=3.0)))
    return {"Width": image.width, "Height": image.height, "PHash": phash, "Brightness": brightness}


def _of_mask(mask: Mask, classes: ClassMap) -> dict[str, Any]:
    counts = pixel_counts(mask, classes)
    shares = zip((*classes.names, "ignored"), (counts / mask.size).tolist(), strict=True)
    present = zip(classes.names, (counts[:-1] > 0).astype(int).tolist(), strict=True)
    return {**dict(present), **{f"{name}_share": share for name, share in shares}}


def _folder(config: Config) -> Path:
    """The folder of the images; a dataset known by name is fetched first."""
    data = config.data.data
    if not data:
        raise ConfigError(
            f"Which images? Give --data DIR, or a dataset by name ({', '.join(SOURCES)}). "
            "`sightline sample DIR` draws synthetic ones."
        )
    try:
        folder = Path(data).expanduser()
        if folder.is_dir():
            return folder.resolve()
        if len(folder.parts) > 1 or folder.exists():
            raise DataError(f"{data} is no folder. Name the folder that holds the images and the masks.")
    except (OSError, RuntimeError) as error:  # a folder that may not be entered, a name too long, no such home
        raise DataError(f"The folder {data} cannot be opened: {getattr(error, 'strerror', error)}.") from None
    with progress(f"fetching {data}", None, unit="bytes") as step:
        return fetch(data, Path(config.store).resolve() / "datasets", step)


def _layout(root: Path, config: Config) -> tuple[str, Layout]:
    data = config.data
    source = None if Path(data.data).is_dir() or data.images else SOURCES.get(data.data)
    preset = data.preset or (source.preset if source else "")
    return choose(root, preset=preset, images=data.images, mask=data.mask, group=data.group, classes=data.classes)


def _described(name: str, layout: Layout) -> dict[str, Any]:
    return {
        "name": name,
        "about": layout.about,
        "images": list(layout.images),
        "mask": layout.mask,
        "group": layout.group,
        "published": bool(layout.published),
        "use_published": layout.use_published,
    }


def _listing(dataset: Dataset, problems: Sequence[Problem]) -> str:
    """sha256 over name, size and time of change of every file: while it is the same, nothing has to be read."""
    files = [file for sample in dataset for file in (sample.image, sample.mask)]
    entries = [[file.relative_to(dataset.root).as_posix(), *_stat(file)] for file in files + _license(dataset.root)]
    return hashlib.sha256(json.dumps([entries, list(map(str, problems))]).encode()).hexdigest()


def _stat(file: Path) -> tuple[int, int]:
    """Size in bytes and time of change in nanoseconds; zeros where it has just gone, which reading it will tell."""
    try:
        stat = file.stat()
    except OSError:
        return 0, 0
    return stat.st_size, stat.st_mtime_ns


def _license(root: Path) -> list[Path]:
    return [root / name for name in LICENSES if (root / name).is_file()][:1]


def _ingest(
    run: Run,
    name: str,
    dataset: Dataset,
    problems: Sequence[Problem],
    settings: Mapping[str, Any],
    workers: int | None,
) -> Artifact:
    good, found, files = _measure_all(dataset, run.scratch, workers)
    _judge([*problems, *found], len(dataset) + dataset.left_out, len(good), settings["data"]["on_error"])
    files["eda_table.parquet"] = _table(good, dataset.classes, run.scratch)
    for stored in track((_stored(run, sample, one) for sample, one in good), "storing", len(good)):
        files |= stored
    record = {"layout": settings["layout"], "images": len(good), "beyond_limit": dataset.beyond_limit}
    record |= _told([*problems, *found])
    files["ingest.json"] = write_text(run.scratch / "ingest.json", json.dumps(record, indent=1) + "\n")
    files["classes.json"] = write_text(run.scratch / "classes.json", dataset.classes.to_json())
    files |= dict(zip(["LICENSE.txt"], _license(dataset.root), strict=False))
    run.summary = {"images": len(good), "groups": len({sample.group for sample, _ in good})}
    made = {"settings": {"data": settings["data"]}, "versions": versions(PACKAGES)}
    return run.save(name, "raw_data", files, {"data": settings["data"]["data"], **run.summary, **made})


def _measure_all(
    dataset: Dataset, scratch: Path, workers: int | None
) -> tuple[list[tuple[Sample, Measured]], list[Problem], dict[str, StoredFile | Path]]:
    """What every sound pair gave, each image once; all that is wrong or told of the others; the thumbnails' files."""
    results = spread(partial(measure, scratch, dataset.classes), dataset.samples, workers)
    good: list[tuple[Sample, Measured]] = []
    problems: list[Problem] = []
    with (scratch / PACK).open("wb") as stream:
        pack, total = Pack(stream), np.zeros((len(dataset.classes), *GRID))
        for sample, one in zip(dataset, track(results, "checking and measuring", len(dataset)), strict=True):
            if isinstance(one, Measured):
                pack.add(sample.file_name, one.thumbnails)
                total += one.positions
                good.append((sample, dataclasses.replace(one, thumbnails={}, positions=NOWHERE)))
            problems += one.warnings if isinstance(one, Measured) else one.problems
    names = {sample: sample.image.relative_to(dataset.root).as_posix() for sample, _ in good}
    copies = duplicates({names[sample]: one.image_sha256 for sample, one in good})
    copied = {problem.file for problem in copies}
    kept = [each for each in good if names[each[0]] not in copied]
    files: dict[str, StoredFile | Path] = {
        PACK: scratch / PACK,
        INDEX: pack.index([sample.file_name for sample, _ in kept]).write(scratch / INDEX),
        POSITIONS: positions_table(total, len(good), dataset.classes).write(scratch / POSITIONS),
    }
    return kept, problems + copies, files


def _judge(problems: list[Problem], total: int, left: int, on_error: str) -> None:
    """Tell all problems in one summary; DataError where they may not, or cannot, be gone on from."""
    summary = summarize(problems, total)
    if not left:
        raise DataError(f"{summary}\n\nNo sound pair of image and mask is left. Repair these files.")
    if all(problem.kind.is_warning for problem in problems):
        if problems:
            say(summary)
        return
    if on_error == "fail":
        raise DataError(
            f"{summary}\n\nRepair these files, or go on with {left} of {total} images: "
            "`--on-error skip` leaves these files out and records which."
        )
    say(f"{summary}\n\nGoing on with {left} of {total} images; ingest.json in the artifact names the others.")


def _table(good: Sequence[tuple[Sample, Measured]], classes: ClassMap, scratch: Path) -> Path:
    rows = [dict(one.row) for _, one in good]
    return Table(pa.Table.from_pylist(rows, eda_schema(classes)), classes).write(scratch / "eda_table.parquet")


def _stored(run: Run, sample: Sample, one: Measured) -> dict[str, StoredFile]:
    """Keep a pair's two files, under their paths in the artifact."""
    image = _unchanged(run, sample.image, one.image_sha256)
    redrawn = run.store(_redrawn(run.scratch, sample)) if one.recoded else None
    return {one.row["Image"]: image, one.row["Mask"]: redrawn or _unchanged(run, sample.mask, one.mask_sha256)}


def _unchanged(run: Run, path: Path, digest: str) -> StoredFile:
    """Keep a file; DataError where it is no longer the one that was checked."""
    stored = run.store(path) if path.is_file() else None
    if stored is None or stored.digest != digest:
        raise DataError(f"{path} changed while it was read. Run the same command again once nothing writes to it.")
    return stored


def _told(problems: Sequence[Problem]) -> dict[str, Any]:
    told = [
        (problem.kind.is_warning, {"kind": str(problem.kind), "file": problem.file, "detail": problem.detail})
        for problem in problems
    ]
    return {
        "skipped": [one for warning, one in told if not warning],
        "warnings": [one for warning, one in told if warning],
    }
