"""A sample on disk: synthetic road scenes as a dataset in the `bdd-simple` layout, finished when interrupted."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PIL import Image

from sightline.classes import ROAD_SCENE
from sightline.errors import ConfigError, DataError
from sightline.pool import spread
from sightline.synth import GENERATOR, draw_scene, stream
from sightline.wording import plural, reason

MANIFEST = "sample.json"
_LICENSE = """Synthetic road scenes, made by `sightline sample`. They show no real place, person or vehicle.

To the extent possible under law, whoever generated them has waived all copyright and related or neighbouring rights to
these images and masks, under CC0 1.0 Universal: https://creativecommons.org/publicdomain/zero/1.0/
"""


@dataclass(frozen=True)
class _Plan:
    """What a sample consists of, as `sample.json` keeps it."""

    drives: int
    frames: int
    height: int
    width: int
    seed: int
    generator: int = GENERATOR

    def __str__(self) -> str:
        scenes = f"{plural(self.drives, 'drive')} of {plural(self.frames, 'frame')}"
        drawn = f"{scenes}, {self.width}×{self.height}, seed {self.seed}"
        return drawn if self.generator == GENERATOR else f"{drawn}, drawn by another version of Sightline"

    def stem(self, drive: int, frame: int) -> str:
        """`0a1b2c3d-00001`: eight hex digits that no other drive of the sample has, and the frame, from 1."""
        first = int(stream(self.seed, 13).integers(2**32))
        return f"{(first + drive * 2654435761) % 2**32:08x}-{frame + 1:05d}"  # an odd factor: a bijection

    def files(self, drive: int, frame: int) -> tuple[str, str]:
        stem = self.stem(drive, frame)
        return f"images/{stem}.jpg", f"labels/{stem}_mask.png"

    def frames_of_all(self) -> list[tuple[int, int]]:
        return [(drive, frame) for drive in range(self.drives) for frame in range(self.frames)]

    def names(self) -> set[str]:
        return {name for each in self.frames_of_all() for name in self.files(*each)}


def make_dataset(
    root: Path,
    *,
    drives: int = 24,
    frames: int = 8,
    size: tuple[int, int] = (720, 1280),
    seed: int = 42,
    workers: int | None = None,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write a sample of synthetic road scenes in the `bdd-simple` layout; the same seed gives the same bytes.

    `images/{drive}-{frame}.jpg`, `labels/{stem}_mask.png` (8-bit indices of `ROAD_SCENE`, 255 ignored), `classes.json`,
    `LICENSE.txt`, and `sample.json` with the parameters, complete when all is there. A sample that is already there
    with these parameters is kept; one that was interrupted is finished.

    Args:
        root: the folder; made when missing.
        drives: number of drives. Every dozen of them meets every class and all weathers.
        frames: images per drive.
        size: (height, width) in pixels, 64 to 8192.
        seed: 0 or more.
        workers: processes; all cores when left out, none but this one for few images.
        force: replace a sample that was made with other parameters (or the same), removing its files.
        progress: called with (images done, images in all) after each.

    Returns:
        `root`.

    Raises:
        ConfigError: an argument does not fit.
        DataError: `root` holds other things, or another sample and `force` is not set, or cannot be written.
    """
    plan = _planned(drives, frames, size, seed, workers)
    try:
        if _claim(root, plan, force):
            _draw_all(root, plan, workers, progress)
            _write(root / MANIFEST, _manifest_text(plan, complete=True))
    except OSError as error:
        raise DataError(
            f"The sample cannot be written to {root}: {reason(error)}. Free space, or choose another folder."
        ) from error
    return root


def _planned(drives: int, frames: int, size: tuple[int, int], seed: int, workers: int | None) -> _Plan:
    height, width = size
    for name, value, low, high in (("drives", drives, 1, 2**20), ("frames", frames, 1, 99_999),
                                   ("height", height, 64, 8192), ("width", width, 64, 8192), ("seed", seed, 0, 2**63),
                                   ("workers", 1 if workers is None else workers, 1, 1024)):  # fmt: skip
        if not isinstance(value, int) or not low <= value <= high:
            raise ConfigError(
                f"A sample cannot be made with {name}={value!r}. Choose a whole number from {low} to {high}."
            )
    return _Plan(drives, frames, height, width, seed)


def _claim(root: Path, plan: _Plan, force: bool) -> bool:
    """Make `root` ready for the sample; whether there is anything to draw."""
    found, complete = _found(root)
    if found is None and root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise DataError(f"{root} is there already and is no sample of Sightline's. Choose a new or an empty folder.")
    if found is not None:
        _refuse_strangers(root, found)
        if force:
            _remove(root, found)
        elif found != plan:
            raise DataError(
                f"{root} holds another sample ({found}). Choose another folder, or replace it with force (--force)."
            )
        elif complete and all((root / name).is_file() for name in plan.names() | {"classes.json", "LICENSE.txt"}):
            return False
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    _write(root / MANIFEST, _manifest_text(plan, complete=False))
    _write(root / "classes.json", ROAD_SCENE.to_json())
    _write(root / "LICENSE.txt", _LICENSE)
    return True


def _manifest_text(plan: _Plan, complete: bool) -> str:
    return json.dumps({"made_by": "sightline sample", **vars(plan), "complete": complete}, indent=2) + "\n"


def _found(root: Path) -> tuple[_Plan | None, bool]:
    """The plan of the sample in `root` and whether it is complete; None where there is no (readable) manifest."""
    try:
        kept = json.loads((root / MANIFEST).read_text(encoding="utf-8"))
        complete, made_by = kept.pop("complete"), kept.pop("made_by")
        plan = _planned(kept["drives"], kept["frames"], (kept["height"], kept["width"]), kept["seed"], None)
        return (_Plan(**kept), bool(complete)) if made_by == "sightline sample" and plan else (None, False)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ConfigError):
        return None, False


def _refuse_strangers(root: Path, plan: _Plan) -> None:
    """A file among the images or masks that the sample did not write would end up in the data."""
    known = plan.names()
    there = (path for folder in ("images", "labels") for path in sorted((root / folder).glob("[!.]*")))
    strange = [path for path in there if path.relative_to(root).as_posix() not in known]
    if strange:
        verb = "was" if len(strange) == 1 else "were"
        raise DataError(f"{plural(len(strange), 'file')} under {root} {verb} not written by the sample (first: "
                        f"{strange[0].relative_to(root)}). Move them away, or choose another folder.")  # fmt: skip


def _remove(root: Path, plan: _Plan) -> None:
    """Remove the files of a sample, the manifest last, and what an interrupted run left half-written."""
    for name in (*sorted(plan.names()), "classes.json", "LICENSE.txt", MANIFEST):
        path = root / name
        path.unlink(missing_ok=True)
        _temporary(path).unlink(missing_ok=True)


def _draw_all(root: Path, plan: _Plan, workers: int | None, progress: Callable[[int, int], None] | None) -> None:
    todo = [each for each in plan.frames_of_all() if not all((root / name).is_file() for name in plan.files(*each))]
    done = plan.drives * plan.frames - len(todo)
    for number, _ in enumerate(spread(partial(_draw_files, root, plan), todo, workers), done + 1):
        if progress is not None:
            progress(number, plan.drives * plan.frames)


def _draw_files(root: Path, plan: _Plan, frame: tuple[int, int]) -> None:
    picture, mask = (Image.fromarray(pixels) for pixels in draw_scene(plan.seed, *frame, (plan.height, plan.width)))
    picture_name, mask_name = plan.files(*frame)
    for image, name, options in (
        (picture, picture_name, {"format": "JPEG", "quality": 90}),
        (mask, mask_name, {"format": "PNG"}),
    ):
        temporary = _temporary(root / name)
        image.save(temporary, **options)
        temporary.replace(root / name)


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")


def _write(path: Path, text: str) -> None:
    _temporary(path).write_text(text, encoding="utf-8", newline="\n")
    _temporary(path).replace(path)
