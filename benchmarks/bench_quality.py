"""Is the default recipe at least as good as the W&B course's? Valid mIoU from scratch, on real driving scenes.

    python benchmarks/bench_quality.py                    quick form: synthetic scenes, and the results that are kept
    python benchmarks/bench_quality.py --data DIR         measures on CamVid what is not kept yet; hours
    python benchmarks/bench_quality.py --data DIR --only "5 epochs, course"

DIR is CamVid as docs/data-format.md describes the preset `camvid`, with `split.csv`, its published split. A training
that is broken off is gone on with; what is finished is kept in `benchmarks/results` with its machine and commit.
`--full` is there for `make bench FULL=1`; without --data it changes nothing.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import mean
from typing import Any

from record import WORK, kept, known
from timing import tell_circumstances

import sightline

FILE = "quality.json"
SEEDS = (42, 43, 44)
MINUTES = 15
COURSE = {"recipe": "course"}
ELEVEN = {
    "name": "camvid11",
    "mask": "labels_11/{stem}_mask.png",
    "classes": "classes_11.yaml",
    "stratify": ["bicyclist"],
    "image_size": [360, 480],
}
EPOCHS_11 = 36
TRAININGS: Mapping[str, Mapping[str, Any]] = {
    "5 epochs, course": {"epochs": 5, **COURSE},
    **{f"5 epochs, default, seed {seed}": {"epochs": 5, "seed": seed} for seed in SEEDS},
    "15 minutes, course": COURSE,
    "15 minutes, default": {},
    "11 classes at 480×360, default": {"epochs": EPOCHS_11, **ELEVEN},
}
"""What is measured on CamVid -> its settings; seed 42 where none is given. Where no number of epochs is given, as
many are taken as fit into `MINUTES`, for the course one more, so that no part of an epoch is taken from it."""


def measure(data: Path, label: str) -> dict[str, Any]:
    """One training on the published split, and what it scores on its valid frames at the masks' own size."""
    store = WORK / "".join(char if char.isalnum() else "-" for char in label)
    overrides = {
        "data": str(data),
        "name": "camvid",
        "from_csv": str(data / "split.csv"),
        "store": str(store),
        "pretrained": False,
        "device": "cpu",
        **TRAININGS[label],
    }
    if "epochs" not in overrides:
        overrides["epochs"] = max(1, int(MINUTES * 60 / seconds_an_epoch(overrides)) + (label.endswith("course")))
    return walk(overrides)


def dealt(overrides: Mapping[str, Any]) -> tuple[sightline.Config, sightline.Tracker, sightline.Artifact]:
    """The settings, their store, and the images in it, ingested and split."""
    config = sightline.load_config(overrides=dict(overrides))
    tracker = sightline.open_tracker(config)
    return config, tracker, sightline.split(config, tracker, raw=sightline.ingest(config, tracker))


def walk(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Ingest, split, train and evaluate, and what comes of it."""
    config, tracker, split = dealt(overrides)
    began = time.perf_counter()
    model = sightline.train(config, tracker, split=split, resume=True)
    seconds = time.perf_counter() - began
    summary = sightline.evaluate(config, tracker, model=model).json("summary.json")
    return {
        "miou": summary["final_miou"],
        "iou": summary["final_iou"],
        "best_epoch_miou": model.metadata["best_miou"],
        "epochs": config.train.epochs,
        "seed": config.seed,
        "training_seconds_of_the_last_process": round(seconds),
    }


def seconds_an_epoch(overrides: Mapping[str, Any]) -> float:
    """What one epoch with its validation takes here: that of a training of one epoch, on the same images."""
    config, tracker, split = dealt({**overrides, "epochs": 1, "store": f"{overrides['store']}-trial"})
    began = time.perf_counter()
    sightline.train(config, tracker, split=split, force=True)
    return time.perf_counter() - began


def tell() -> None:
    """What is kept, and the ratios that can be had from it."""
    results = known(FILE)
    print(f"On CamVid's 101 published valid frames, from scratch; kept in benchmarks/results/{FILE}:")
    for label in TRAININGS:
        one = results.get(label)
        if one is None:
            print(f"  {label}: not measured yet")
            continue
        print(f"  {label}: mIoU {one['miou']:.3f} after {one['epochs']} epochs ({one['date']}, commit {one['commit']})")
    defaults = [
        results[label]["miou"] for label in TRAININGS if label.startswith("5 epochs, default") if label in results
    ]
    _ratio("after 5 equal epochs", mean(defaults) if defaults else None, results.get("5 epochs, course"), 1.0)
    longer = results.get("15 minutes, default")
    _ratio(f"after {MINUTES} minutes", longer and longer["miou"], results.get("15 minutes, course"), 1.5)


def _ratio(what: str, ours: float | None, course: Mapping[str, Any] | None, goal: float) -> None:
    if ours is not None and course is not None:
        ratio = ours / course["miou"]
        met = "met" if ratio >= goal else "NOT met"
        print(f"RATIO default / course, mIoU {what}: {ratio:.2f} x; goal >= {goal:g} x: {met}")


def quick() -> None:
    """Both recipes for one epoch on a few synthetic scenes: whether they train at all, no result."""
    with tempfile.TemporaryDirectory() as folder:
        data = sightline.make_dataset(Path(folder) / "scenes", drives=8, frames=4, size=(180, 320))
        for name, settings in {"default": {}, "course": COURSE}.items():
            found = walk(
                {
                    "data": str(data), "store": str(Path(folder) / name), "pretrained": False, "epochs": 1, "folds": 4,
                    "stratify": [], "image_size": [64, 96], **settings,
                }
            )  # fmt: skip
            print(f"  {name}: mIoU {found['miou']:.3f} after one epoch on 16 synthetic scenes at 64×96")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of CamVid; the quick form when left out")
    parser.add_argument("--only", default="", help="measure only what begins with this")
    parser.add_argument("--full", action="store_true", help="no longer than without; --data makes it long")
    arguments = parser.parse_args()
    if arguments.data:
        for label in TRAININGS:
            if label.startswith(arguments.only):
                kept(FILE, label, lambda label=label: measure(arguments.data.resolve(), label))
    else:
        quick()
    tell()
    tell_circumstances()


if __name__ == "__main__":
    main()
