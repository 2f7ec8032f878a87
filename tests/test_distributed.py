"""Training in several processes: real ones, started by torchrun, against one process that does the same.

What is equal up to rounding is measured in fp32, without augmentation and with batch norm standing still. How far the
rest may be apart is said by CURVES: on CPUs each process has its own batch statistics.
"""

import csv
import os
import re
import shutil
import subprocess
import sys

import pytest
import torch

from sightline.config import Config
from sightline.learning.ranks import lost_peers
from sightline.sample import make_dataset
from sightline.tracking import open_tracker

pytest.importorskip("accelerate")

LAUNCH = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
TRAIN = (
    *("-m", "sightline", "train", "--no-pretrained", "--epochs", "2", "--image-size", "64", "96"),
    *("--batch-size", "4", "--precision", "fp32", "--augment", "none"),
)
ROUNDING = 1e-4
"""Of the largest gradient: sums of the same numbers in another order, in fp32."""
CURVES = 0.2
"""Of a loss in the first two epochs, where batch norm sees two images in each of two processes, against four in one."""

SCRIPT = """
import sys
from pathlib import Path

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from sightline.classes import ROAD_SCENE
from sightline.config import Train
from sightline.learning.learner import fit, make_learner
from sightline.learning.libraries import vision
from sightline.learning.pixels import Item
from sightline.learning.ranks import together, world

CASES = {
    "ce": (None, {"loss": "ce"}),
    "ce+dice": ([1, 2, 3, 4, 5, 6, 7], {"loss": "ce+dice"}),
    "course": (None, {"recipe": "course"}),
}
root, out = map(Path, sys.argv[1:])
items = [Item(p, root / "labels" / f"{p.stem}_mask.png", (64, 96)) for p in sorted(root.glob("images/*.jpg"))]


class Frozen(vision.Callback):
    def before_train(self):
        for part in self.learn.model.modules():
            if isinstance(part, _BatchNorm):
                part.eval()

    def before_step(self):
        self.gradients = torch.cat([part.grad.flatten() for part in self.learn.opt.all_params().itemgot(0)])


def case(name, weights, changes):
    settings = Train(pretrained=False, epochs=1, lr=1e-12, image_size=(64, 96), batch_size=4, precision="fp32",
                     augment="none", **changes)
    learner, metric = make_learner(items[:7], items[7:], ROAD_SCENE, settings, 1, weights=weights)
    kept = Frozen()
    learner.add_cb(kept)
    history = fit(learner, metric, settings, 1, out / name, lambda row, speed: None)
    return {"gradients": kept.gradients, "row": history.rows[0], "matrix": torch.from_numpy(metric.matrix)}


with together(Train(batch_size=4)):
    told = {name: case(name, *changes) for name, changes in CASES.items()}
    if world().first:
        torch.save(told, out / "told.pt")
"""
"""One step on 4 of 7 images, so small that the weights stay; 5 to validate, so that the last batch has one image."""

KILLED = """
import os, signal
from sightline import cli
from sightline.learning import checkpoint

row = checkpoint.KeepBest._row

def end(self):
    if os.environ["RANK"] == "1" and self.epoch == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return row(self)

checkpoint.KeepBest._row = end
cli.main()
"""
"""The command, whose second process is killed in the second epoch."""

SLOW_FIRST = """
import os, time
from sightline import cli

time.sleep(2 if os.environ["RANK"] == "0" else 0)
cli.main()
"""
"""The command, whose first process comes last."""


def python(folder, *arguments):
    """A command in a process of its own: its exit code, what it printed and what it said."""
    line = [sys.executable, *map(str, arguments)]
    calm = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(line, cwd=folder, env=calm, capture_output=True, text=True, timeout=600, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What SCRIPT told, of one process and of two."""
    folder = tmp_path_factory.mktemp("same")
    scenes = make_dataset(folder / "scenes", drives=4, frames=3, size=(64, 96), workers=1)
    (folder / "script.py").write_text(SCRIPT)
    found = []
    for name, launch in (("one", ()), ("two", LAUNCH)):
        (folder / name).mkdir()
        code, _, said = python(folder, *launch, "script.py", scenes, folder / name)
        assert code == 0, said
        found.append(torch.load(folder / name / "told.pt", weights_only=True))
    shutil.rmtree(folder)  # The checkpoints of all cases: two gigabytes.
    return found


CASES = pytest.mark.parametrize("case", ["ce", "ce+dice", "course"])


@CASES
def test_the_gradients_are_those_of_the_whole_batch(told, case):
    one, two = (each[case]["gradients"] for each in told)
    assert len(one) > 1e6 and one.abs().max() > 0
    assert (one - two).abs().max() < ROUNDING * one.abs().max()


@CASES
def test_metrics_and_losses_are_those_of_all_images_each_counted_once(told, case):
    one, two = (each[case] for each in told)
    assert torch.equal(one["matrix"], two["matrix"]) and one["matrix"].sum() > 0
    for loss in ("train_loss", "valid_loss"):
        assert two["row"][loss] == pytest.approx(one["row"][loss], rel=1e-5)


@pytest.fixture(scope="module")
def dealt(tmp_path_factory):
    """A project whose images are split."""
    folder = tmp_path_factory.mktemp("dealt")
    make_dataset(folder / "d", drives=8, frames=2, size=(64, 96), workers=1)
    for line in (("ingest", "--data", "d"), ("split", "--folds", "4", "--stratify", "")):
        code, _, said = python(folder, "-m", "sightline", *line)
        assert code == 0, said
    return folder


def copied(dealt, folder):
    return shutil.copytree(dealt, folder / "p")


def trainings(folder):
    tracker = open_tracker(Config(store=str(folder / ".sightline")))
    return tracker, [run for run in tracker.runs() if run.job_type == "training"]


def losses_of(model):
    with model.path("history.csv").open() as stream:
        return [float(row[name]) for row in csv.DictReader(stream) for name in ("train_loss", "valid_loss")]


def test_two_processes_make_one_model_in_one_run_near_that_of_one(dealt, tmp_path):
    code, printed, said = python(dealt, *TRAIN)
    assert code == 0, said
    folder = copied(dealt, tmp_path)
    code, printed, said = python(folder, *LAUNCH, *TRAIN, "--force")
    assert code == 0, said
    assert printed.split() == ["d_model:v1"]
    assert "in 2 processes" in said and len(re.findall(r"^epoch 2/2", said, re.M)) == 1 and "Warning" not in said
    tracker, (first, second) = trainings(folder)
    assert (first.status, second.status) == ("finished", "finished")
    alone, together = (tracker.get(f"d_model:v{version}") for version in (0, 1))
    assert [model.json("config.json")["processes"] for model in (alone, together)] == [1, 2]
    assert losses_of(together) == pytest.approx(losses_of(alone), rel=CURVES)
    code, printed, said = python(folder, *LAUNCH, *TRAIN)
    assert code == 0 and len(re.findall("up to date", said)) == 1 and printed.split() == ["d_model:v1"]


def test_a_process_that_is_killed_leaves_a_run_that_one_process_goes_on_with(dealt, tmp_path):
    folder = copied(dealt, tmp_path)
    (folder / "killed.py").write_text(KILLED)
    code, _, said = python(folder, *LAUNCH, "killed.py", *TRAIN[2:], "--force")
    assert code != 0 and len(re.findall(r"^Error: ", said, re.M)) == 1, said
    run = trainings(folder)[1][-1]
    assert run.status == "failed" and run.resumable
    code, _, said = python(folder, *TRAIN, "--force", "--resume")
    assert code == 0 and f"going on with run {run.name}" in said and "(before)" in said


def test_what_a_connection_that_broke_says_is_told(monkeypatch, capsys):
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "2"), ("LOCAL_RANK", "0")):
        monkeypatch.setenv(name, value)
    with pytest.raises(KeyboardInterrupt), lost_peers():
        raise RuntimeError("NCCL error: unhandled cuda error.\nMore of it.")
    assert capsys.readouterr().err == "The processes are no longer connected: NCCL error: unhandled cuda error.\n"


@pytest.mark.parametrize(
    ("arguments", "text", "runs"),
    [
        (("train", "--arch", "nonsense"), "no --arch nonsense. There are: light, unet,", 1),
        (("train", "--batch-size", "3"), "give a multiple of 2", 0),
        (("train", "--name", "other"), "There is no artifact other_split", 0),
        (("train", "--epochs", "many"), "Invalid value for '--epochs'", 0),
        (("run",), "Leave out torchrun", 0),
    ],
    ids=["network", "batch", "split", "flag", "run"],
)
def test_a_mistake_is_told_once(dealt, tmp_path, arguments, text, runs):
    folder = copied(dealt, tmp_path)
    (folder / "slow_first.py").write_text(SLOW_FIRST)
    before = len(trainings(folder)[1])
    code, printed, said = python(folder, *LAUNCH, "slow_first.py", *arguments)
    assert code != 0 and not printed
    assert said.count(text) == 1 and "sightline/cli.py" not in said, said
    assert [run.status for run in trainings(folder)[1]][before:] == ["failed"] * runs
