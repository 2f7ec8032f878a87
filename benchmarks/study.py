"""What was tried on CamVid before the defaults were chosen: one change each, six epochs from scratch, one seed.

    python benchmarks/study.py --data DIR              measures what is not kept yet (three minutes each on one core)
    python benchmarks/study.py --data DIR --only loss  only what begins with this
    python benchmarks/study.py --data DIR --speed      what a step of each takes, in turns, on one core
    python benchmarks/study.py                         the table of what is kept, and docs/quality-speed.svg

DIR is CamVid with `split.csv`, as for bench_quality.py. Results lie in `benchmarks/results/study.json`, speeds
in `study-speed.json`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench_quality import walk
from record import HERE, WORK, kept, known
from timing import tell_circumstances

import sightline

FILE, SPEEDS, PLOT = "study.json", "study-speed.json", HERE.parent / "docs" / "quality-speed.svg"
EPOCHS, STEPS, TURNS = 6, 4, 3
IMAGES = 367
"""Images to train on, in the published split."""
ASIDE = {
    "default": ("right", 5), "augment none": ("right", -5), "weights none": ("left", -5), "augment full": ("left", 5),
    "arch fpn": ("right", 0), "arch deeplabv3plus": ("left", 0), "batch 4": ("left", -4), "augment scale": ("right", 4),
    "epochs 3": ("left", -5), "size 120×214": ("left", 5),
}  # fmt: skip
"""Where the plot has the label of a point that lies among others: aligned so, and so many points higher."""
DEFAULT = "default"
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    DEFAULT: {},
    "weights none": {"class_weights": "none"},
    "loss ce": {"loss": "ce"},
    "loss ce, weights none": {"loss": "ce", "class_weights": "none"},
    "loss ce+lovasz": {"loss": "ce+lovasz"},
    "loss focal": {"loss": "focal"},
    "augment none": {"augment": "none"},
    "augment scale": {"augment": "scale"},
    "augment full": {"augment": "full"},
    "arch linknet": {"arch": "linknet"},
    "arch unet": {"arch": "unet"},
    "arch fpn": {"arch": "fpn"},
    "arch deeplabv3plus": {"arch": "deeplabv3plus"},
    "arch segformer": {"arch": "segformer"},
    "encoder mobilenet_v2": {"encoder": "mobilenet_v2"},
    "encoder resnet34": {"encoder": "resnet34"},
    "lr 1e-3": {"lr": 1e-3},
    "lr 4e-3": {"lr": 4e-3},
    "batch 4": {"batch_size": 4},
    "precision fp32": {"precision": "fp32"},
    "size 120×214": {"image_size": [120, 214]},
    "size 240×427": {"image_size": [240, 427]},
    "epochs 3": {"epochs": 3},
    "epochs 12": {"epochs": 12},
}
"""What was tried -> the settings that differ from the default."""


def settings(data: Path, label: str) -> dict[str, Any]:
    """The settings of a variant, by their names."""
    return {
        "data": str(data), "name": "camvid", "from_csv": str(data / "split.csv"), "pretrained": False, "device": "cpu",
        "store": str(WORK / "study"), "epochs": EPOCHS, **VARIANTS[label],
    }  # fmt: skip


def measure(data: Path, label: str) -> dict[str, Any]:
    """A training on the published split, and what it scores."""
    found = walk(settings(data, label))
    found.pop("training_seconds_of_the_last_process")
    return found


def measure_speeds(data: Path) -> None:
    """Training images a second of every variant that was trained: the quickest of some steps, in turns, on one core."""
    import torch

    torch.set_num_threads(1)
    labels = [label for label in VARIANTS if label in known(FILE)]
    found: dict[str, list[float]] = {}
    for _ in range(TURNS):
        for label in labels:
            found.setdefault(label, []).append(quickest_step(data, label))
    for label, seconds in found.items():
        size = int(VARIANTS[label].get("batch_size", 8))
        kept(SPEEDS, label, lambda s=seconds, n=size: {"images_a_second": round(n / min(s), 2)}, again=True)


def quickest_step(data: Path, label: str) -> float:
    """Seconds of a training step, the quickest of a few of a Learner made anew, loading included."""
    from sightline.learning.learner import make_learner
    from sightline.learning.pixels import Item

    config = sightline.load_config(overrides=settings(data, label))
    split = sightline.open_tracker(config).get("camvid_split")
    classes = sightline.ClassMap.from_dict(split.json("classes.json"))
    rows = split.table("eda_table_data_split.parquet").rows()[: STEPS * config.train.batch_size + 1]
    items = [Item(split.path(row["Image"]), split.path(row["Mask"]), (row["Height"], row["Width"])) for row in rows]
    learner, _ = make_learner(items[:-1], items[-1:], classes, config.train, config.seed)
    spent: list[float] = []
    learner.add_cb(stopwatch(spent))
    learner.fit(1)
    return min(spent)


def stopwatch(spent: list[float]) -> Any:
    """A fastai callback that notes what each training step takes, loading included."""
    from fastai.callback.core import Callback

    class Stopwatch(Callback):  # type: ignore[misc]
        def before_train(self) -> None:
            self.began = time.perf_counter()

        def after_batch(self) -> None:
            if self.training:
                spent.append(time.perf_counter() - self.began)
                self.began = time.perf_counter()

    return Stopwatch()


def command(label: str) -> str:
    """How to do it with the command line."""
    flags = {"epochs": EPOCHS, **VARIANTS[label]}
    text = " ".join(
        f"--{name.replace('_', '-')} {' '.join(map(str, v)) if isinstance(v, list) else v}" for name, v in flags.items()
    )
    return f"sightline run --data DIR --from DIR/split.csv --no-pretrained {text}"


def tell() -> None:
    """The table in Markdown, best first."""
    results, speeds = known(FILE), known(SPEEDS)
    there = sorted((label for label in VARIANTS if label in results), key=lambda label: -results[label]["miou"])
    names = list(results[there[0]]["iou"]) if there else []
    print(f"| tried | mIoU | {' | '.join(names)} | images/s |\n| --- |{' --- |' * (len(names) + 2)}")
    for label in there:
        one = results[label]
        cells = ["–" if one["iou"][name] is None else f"{one['iou'][name]:.3f}" for name in names]
        bold = "**" if label == DEFAULT else ""
        speed = f"{speeds[label]['images_a_second']:.1f}" if label in speeds else "–"
        print(f"| {bold}{label}{bold} | {one['miou']:.3f} | {' | '.join(cells)} | {speed} |")


def draw() -> None:
    """Quality against speed: docs/quality-speed.svg."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams["svg.hashsalt"] = "sightline"
    results, speeds = known(FILE), known(SPEEDS)
    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.subplots()
    for label in VARIANTS:
        if label in results and label in speeds:
            x, y = minutes(label, speeds[label]["images_a_second"]), results[label]["miou"]
            weight, color = ("bold", "#0072b2") if label == DEFAULT else ("normal", "#777777")
            side, up = ASIDE.get(label, ("left", 0))
            place = {"xytext": (6 if side == "left" else -6, up), "textcoords": "offset points"}
            axes.plot(x, y, "o", color=color)
            axes.annotate(label, (x, y), **place, ha=side, va="center", fontsize=8, fontweight=weight)
    axes.set(xlabel="minutes of training on one core", ylabel="valid mIoU")
    axes.set_xlim(0, axes.get_xlim()[1] * 1.1)
    axes.grid(alpha=0.3)
    figure.savefig(PLOT, metadata={"Date": None})
    print(f"Drawn: {PLOT.relative_to(HERE.parent)}")


def minutes(label: str, images_a_second: float) -> float:
    """What the epochs of a variant take."""
    return IMAGES * int(VARIANTS[label].get("epochs", EPOCHS)) / images_a_second / 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of CamVid; without it nothing is measured")
    parser.add_argument("--only", default="", help="measure only what begins with this")
    parser.add_argument("--speed", action="store_true", help="time the steps of what was trained")
    arguments = parser.parse_args()
    if arguments.data and arguments.speed:
        measure_speeds(arguments.data.resolve())
    for label in VARIANTS if arguments.data and not arguments.speed else ():
        if label.startswith(arguments.only):
            kept(FILE, label, lambda label=label: measure(arguments.data.resolve(), label))
            print(f"{label}: {command(label)}", flush=True)
    tell()
    if known(SPEEDS):
        draw()
    tell_circumstances()


if __name__ == "__main__":
    main()
