"""`sightline train` as a command: broken off, gone on with by `--resume`; what the tracker keeps of each epoch."""

import csv
import os
import shutil
import signal
import subprocess
import sys

import pytest

from sightline.classes import ROAD_SCENE
from sightline.config import Config
from sightline.sample import make_dataset
from sightline.tracking import open_tracker

FLAGS = ("--no-pretrained", "--epochs", "3", "--image-size", "64", "96", "--batch-size", "4")

BROKEN_OFF = """
import os, signal, sys
from sightline import cli
from sightline.learning import checkpoint

keep, sign = checkpoint.keep, int(sys.argv.pop(1))

def kept(learner, history, folder):
    keep(learner, history, folder)
    if len(history.rows) == 2:
        os.kill(os.getpid(), sign)

checkpoint.keep = kept
cli.main()
"""
"""The command, sent a signal (the first argument) as soon as the second epoch is kept."""


def command(folder, *arguments, script=("-m", "sightline")):
    """A command in a process of its own: its exit code and what it said."""
    calm = {**os.environ, "OMP_NUM_THREADS": "1"}
    line = [sys.executable, *script, *map(str, arguments)]
    done = subprocess.run(line, cwd=folder, env=calm, capture_output=True, text=True, timeout=300, check=False)
    return done.returncode, done.stderr


def opened(folder):
    return open_tracker(Config(store=str(folder / ".sightline")))


@pytest.fixture(scope="module")
def dealt(tmp_path_factory):
    """A project whose images are split."""
    folder = tmp_path_factory.mktemp("dealt")
    make_dataset(folder / "d", drives=8, frames=2, size=(64, 96), workers=1)
    for line in (("ingest", "--data", "d"), ("split", "--folds", "4", "--stratify", "")):
        code, said = command(folder, *line)
        assert code == 0, said
    return folder


@pytest.fixture(scope="module")
def undisturbed(dealt, tmp_path_factory):
    """The same project after `sightline train`."""
    folder = tmp_path_factory.mktemp("undisturbed") / "p"
    shutil.copytree(dealt, folder)
    code, said = command(folder, "train", *FLAGS)
    assert code == 0, said
    return folder


def logged(folder):
    """Step -> the numbers that the tracker kept of the last training, those of its summary left out."""
    tracker = opened(folder)
    record = [one for one in tracker.runs() if one.job_type == "training"][-1]
    with tracker.backend._storage() as storage:
        rows = storage.get_logs(tracker.project, record.name, run_id=record.id)
    epochs = [row for row in rows if "train_loss" in row]
    assert [row["step"] for row in epochs] == sorted({row["step"] for row in epochs}), "each epoch once"
    return {row["step"]: row for row in epochs}


def history(folder):
    with opened(folder).get("d_model").path("history.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_resume_goes_on_after_the_last_epoch_and_ends_with_the_same_model(dealt, undisturbed, tmp_path, how):
    folder = shutil.copytree(dealt, tmp_path / "p")
    code, said = command(folder, int(how), "train", *FLAGS, script=("-c", BROKEN_OFF))
    assert code == (-9 if how == signal.SIGKILL else 130), said
    code, said = command(folder, "train", *FLAGS, "--resume")
    assert code == 0, said
    assert "train: going on with run training-1" in said
    told = [line for line in said.splitlines() if line.startswith("epoch ")]
    assert [line.split()[1] for line in told] == ["1/3", "2/3", "3/3"]
    assert [line.endswith("(before)") for line in told] == [True, True, False]
    assert opened(folder).get("d_model").digest == opened(undisturbed).get("d_model").digest
    assert [run.status for run in opened(folder).runs() if run.job_type == "training"] == ["finished"]
    assert set(logged(folder)) == {1, 2, 3}


def test_without_resume_it_begins_anew(dealt, undisturbed, tmp_path):
    folder = shutil.copytree(dealt, tmp_path / "p")
    assert command(folder, int(signal.SIGKILL), "train", *FLAGS, script=("-c", BROKEN_OFF))[0] == -9
    code, said = command(folder, "train", *FLAGS)
    assert code == 0 and "(before)" not in said
    assert [run.status for run in opened(folder).runs() if run.job_type == "training"] == ["failed", "finished"]
    assert opened(folder).get("d_model").digest == opened(undisturbed).get("d_model").digest


def test_resume_of_a_training_that_is_finished_does_nothing(undisturbed):
    code, said = command(undisturbed, "train", *FLAGS, "--resume")
    assert code == 0 and "train: up to date, d_model:v0 answers for it" in said


def test_the_tracker_keeps_the_numbers_of_every_epoch(undisturbed):
    rows, kept = history(undisturbed), logged(undisturbed)
    assert set(kept) == {1, 2, 3}
    for row in rows:
        numbers = {name: float(value) for name, value in row.items() if value}
        assert {"train_loss", "valid_loss", "lr", "miou"} <= set(numbers)
        assert {name for name in numbers if name.endswith("_iou")} <= {f"{name}_iou" for name in ROAD_SCENE.names}
        assert len([name for name in numbers if name.endswith("_iou")]) >= 3
        at = kept[int(row["epoch"])]
        assert {name: at[name] for name in numbers} == numbers
        assert at["images_per_second"] > 0
        undefined = {name for name, value in row.items() if not value}
        assert not undefined & set(at), "what is undefined is left out, not 0"
