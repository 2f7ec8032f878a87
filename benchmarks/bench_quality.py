"""Is the default recipe at least as good as the W&B course's? Valid mIoU from scratch, on real driving scenes.

    python benchmarks/bench_quality.py --data DIR               what is kept, and what is missing is measured (hours)
    python benchmarks/bench_quality.py --data DIR --only course one question's peer at a time

DIR is CamVid as `docs/data-format.md` describes the preset `camvid`, with `split.csv`, its published split.
Every training is kept in `benchmarks/.work` and gone on with after an interruption; results in `benchmarks/results`.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from record import WORK, kept

import sightline

EPOCHS = 5
SEEDS = (42, 43, 44)


def train(data: Path, label: str, **settings: Any) -> dict[str, Any]:
    """One training on the published split, and what it scores on its valid frames at the masks' own size."""
    overrides = {
        "data": str(data),
        "name": "camvid",
        "from_csv": str(data / "split.csv"),
        "store": str(WORK / f"quality-{label}"),
        "pretrained": False,
        "device": "cpu",
        **settings,
    }
    config = sightline.load_config(overrides=overrides)
    tracker = sightline.open_tracker(config)
    raw = sightline.ingest(config, tracker)
    split = sightline.split(config, tracker, raw=raw)
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
        "seconds": round(seconds),
    }


def equal_epochs(data: Path, only: str) -> None:
    """The same five epochs for both."""
    peers = {"course": {"recipe": "course", "seed": SEEDS[0]}}
    peers |= {f"default {seed}": {"seed": seed} for seed in SEEDS}
    for label, settings in peers.items():
        if only in label:
            name = f"{EPOCHS} epochs, {label}"
            found = kept(
                "quality.json",
                name,
                lambda s=settings, n=name: train(data, n.replace(", ", "-").replace(" ", "-"), epochs=EPOCHS, **s),
            )
            print(f"{name}: mIoU {found['miou']:.3f} ({found['seconds']} s)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of CamVid")
    parser.add_argument("--only", default="", help="only peers whose name holds this")
    arguments = parser.parse_args()
    equal_epochs(arguments.data.resolve(), arguments.only)


if __name__ == "__main__":
    main()
