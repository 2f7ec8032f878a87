"""How much faster does an exported model predict than fastai? From image files of 1280×720 to masks.

    python benchmarks/bench_inference.py           3 turns, two minutes on 2 cores
    python benchmarks/bench_inference.py --full    10 turns

Ours reads files as `sightline predict` does and computes with onnxruntime. fastai reads them through the W&B course's
DataBlock and calls `Learner.get_preds`, once with the course's network and once with the very network that was
exported. All end with masks at 180×320 in memory, as fastai's do; the whole command, which writes masks at the images'
own size, is told besides. The network is hardly trained: what it costs does not depend on what it knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from PIL import Image
from scenes import SEED, draw, workplace
from timing import Seconds, Work, alternate, ratios, tell_circumstances, tell_ratio, tell_seconds, turns_wanted

import sightline
from sightline.classes import ROAD_SCENE
from sightline.config import Config, Train
from sightline.learning.learner import make_learner
from sightline.learning.libraries import vision
from sightline.learning.model import rebuild
from sightline.learning.pixels import Item, Pixels
from sightline.learning.runtime import OnnxNetwork
from sightline.learning.trained import view
from sightline.tracking import Artifact

BATCH, IMAGES = 8, 16
GOAL_COURSE, GOAL_SAME = 15.0, 1.5
OURS, WHOLE = "ours, onnxruntime", "ours, sightline predict"
COURSE, SAME = "get_preds, course's network", "get_preds, same network"
Masks = Any
"""B×180×320, an array or a tensor of class indices."""


def trained(root: Path, store: Path) -> tuple[Config, Artifact]:
    """A model of one short epoch, made as users make one."""
    overrides = {"data": str(root), "store": str(store), "pretrained": False, "epochs": 1, "device": "cpu"}
    config = sightline.load_config(overrides=overrides)
    split = sightline.split(config, raw=sightline.ingest(config))
    return config, sightline.train(config, split=split)


def course_learner(items: Sequence[Item]) -> Any:
    """The course's Learner and DataBlock; its weights are random."""
    settings = Train(recipe="course", pretrained=False, device="cpu", batch_size=BATCH)
    learner, _ = make_learner(items[:BATCH], items[BATCH:], ROAD_SCENE, settings, SEED)
    return learner


def same_learner(course: Any, model: Artifact) -> Any:
    """A Learner of our network that reads files as the course's does; in memory channels come last, which is faster."""
    network = rebuild(Train(pretrained=False), len(ROAD_SCENE), model.path("weights.safetensors"))
    network = network.to(memory_format=torch.channels_last)
    learner = vision.Learner(course.dls, network, loss_func=vision.CrossEntropyLossFlat(axis=1))
    learner.remove_cb(vision.ProgressCallback)
    return learner


def by_fastai(learner: Any, items: Sequence[Item]) -> Masks:
    """As the course predicts: a loader of the files, then `get_preds`, decoded."""
    *_, decoded = learner.get_preds(dl=learner.dls.test_dl(items), with_decoded=True)
    return decoded


def seen_by(network: OnnxNetwork, items: Sequence[Item]) -> Pixels:
    """What the network sees of some files, B×180×320×3."""
    found = []
    for item in items:
        with Image.open(item.image) as image:
            found.append(view(image, network)[1])
    return np.stack(found)


def by_onnx(network: OnnxNetwork, items: Sequence[Item]) -> Masks:
    """Files read one after another, as `sightline predict` does, and predicted in batches."""
    found = []
    for start in range(0, len(items), BATCH):
        pixels = seen_by(network, items[start : start + BATCH])
        found.append(network.predict(pixels, pixels.shape[1:3], sure=False).labels)
    return np.concatenate(found)


def by_command(config: Config, path: Path, items: Sequence[Item], out: Path) -> None:
    """All that `sightline predict --no-overlays` does: masks at 720×1280 as PNG, and the table."""
    files = [item.image for item in items]
    sightline.predict(config, files, model=path, out=out, overlays=False, batch_size=BATCH, force=True)


def tell(spent: Seconds) -> None:
    tell_seconds(spent, "image")
    tell_ratio(f"{COURSE} / {OURS}", ratios(spent[COURSE], spent[OURS]), at_least=GOAL_COURSE)
    tell_ratio(f"{SAME} / {OURS}", ratios(spent[SAME], spent[OURS]), at_least=GOAL_SAME)
    tell_ratio(f"{COURSE} / {WHOLE}, which does more", ratios(spent[COURSE], spent[WHOLE]))


def compare(network: OnnxNetwork, same: Any, items: Sequence[Item]) -> None:
    """ONNX and PyTorch find the same in the same pixels; say how far their ways of reading files lead apart."""
    pixels = seen_by(network, items)
    batch = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        expected = same.model.eval()(batch).max(1).indices.numpy()
    labels = network.predict(pixels, pixels.shape[1:3], sure=False).labels
    equal = float((labels == expected).mean())
    print(f"The same network on the same pixels: {equal:.3%} of ONNX's and PyTorch's masks are equal.")
    assert equal > 0.999, "the exported network is another one"
    read = float((by_onnx(network, items) == by_fastai(same, items).numpy()).mean())
    print(f"From the same files: {read:.2%}, for ours decodes JPEG at a fraction of its size; {len(np.unique(labels))} "
          "classes are found.")  # fmt: skip


def main() -> None:
    turns = turns_wanted(__doc__, quick=3, full=10)
    with workplace() as folder:
        items = draw(folder / "scenes", drives=12, frames=2)[:IMAGES]
        config, model = trained(folder / "scenes", folder / "store")
        path = sightline.export_onnx(config, folder / "model.onnx", model=model).path
        network, course = OnnxNetwork(path, "cpu"), course_learner(items)
        same = same_learner(course, model)
        works = [
            Work(OURS, partial(by_onnx, network, items), IMAGES),
            Work(SAME, partial(by_fastai, same, items), IMAGES),
            Work(WHOLE, partial(by_command, config, path, items, folder / "out"), IMAGES),
            Work(COURSE, partial(by_fastai, course, items), IMAGES),
        ]
        spent = alternate(works, turns)
        print(f"Inference, {IMAGES} files of 1280x720 -> masks at 180x320, batches of {BATCH}, fp32, on the CPU")
        tell(spent)
        compare(network, same, items)
    tell_circumstances(onnxruntime=onnxruntime.__version__)


if __name__ == "__main__":
    main()
