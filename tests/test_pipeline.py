"""The whole walk, undisturbed and killed at every stage (`kill -9`), in processes of their own as a user's are."""

import csv
import io
import json
import os
import subprocess
import sys

import pytest

import sightline
from sightline.config import load_config
from sightline.sample import make_dataset
from sightline.stages.train import deciding
from sightline.tracking import open_tracker

SETTINGS = {"pretrained": False, "epochs": 3, "image_size": [64, 96], "batch_size": 4, "folds": 4, "resamples": 100,
            "examples": 1, "workers": 1, "stratify": []}  # fmt: skip

KILLED_AT = {
    "ingest, half of the files stored": ("sightline.tracking.blobs:BlobStore.put", 20, "before"),
    "ingest, before the artifact is saved": ("sightline.tracking.trackio:TrackioBackend.commit", 1, "before"),
    "ingest, after it, the run still open": ("sightline.tracking.trackio:TrackioBackend.commit", 1, "after"),
    "split, before its tables are stored": ("sightline.table:write_csv", 1, "before"),
    "split, after the artifact is saved": ("sightline.tracking.trackio:TrackioBackend.commit", 1, "after"),
    "train, in the first epoch": ("sightline.learning.checkpoint:KeepBest.after_batch", 4, "before"),
    "train, between the best weights and the checkpoint": ("sightline.learning.checkpoint:keep", 1, "before"),
    "train, between the checkpoint and the tracker": ("sightline.learning.checkpoint:keep", 1, "after"),
    "train, in the last epoch": ("sightline.learning.checkpoint:KeepBest.after_batch", 8, "before"),
    "train, trained and not yet saved": ("sightline.tracking.tracker:Run.save", 1, "before"),
    "train, after the artifact is saved": ("sightline.tracking.trackio:TrackioBackend.commit", 1, "after"),
    "evaluate, some images predicted": ("sightline.tracking.blobs:BlobStore.put", 3, "after"),
    "report, before the artifact is saved": ("sightline.tracking.trackio:TrackioBackend.commit", 2, "before"),
    "report, after it": ("sightline.tracking.trackio:TrackioBackend.commit", 1, "after"),
}

DRIVER = """
import functools, importlib, json, os, signal, sys
import sightline
from sightline.config import load_config

settings, point = json.loads(sys.argv[1]), json.loads(sys.argv[2])

def killing(function, nth, when):
    calls = 0
    @functools.wraps(function)
    def called(*args, **kwargs):
        nonlocal calls
        calls += 1
        if calls == nth and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*args, **kwargs)
        if calls == nth:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return called

if point:
    place, nth, when = point
    module, _, path = place.partition(":")
    owner = importlib.import_module(module)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    setattr(owner, name, killing(getattr(owner, name), nth, when))
    if name == "write_csv":
        importlib.import_module("sightline.stages.split").write_csv = owner.write_csv

sightline.run(load_config(None, settings))
"""


def walk(settings, point=None):
    """`sightline.run` in a process of its own; what it said."""
    command = [sys.executable, "-c", DRIVER, json.dumps(settings), json.dumps(point)]
    calm = {**os.environ, "OMP_NUM_THREADS": "1"}  # images this small are no work for two threads
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=calm)
    assert done.returncode == (-9 if point else 0), done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return make_dataset(
        tmp_path_factory.mktemp("data") / "scenes", drives=8, frames=3, size=(64, 96), seed=3, workers=1
    )


@pytest.fixture(scope="module")
def undisturbed(images, tmp_path_factory):
    settings = {**SETTINGS, "data": str(images), "store": str(tmp_path_factory.mktemp("undisturbed") / "store")}
    walk(settings)
    return settings


def digests(tracker):
    return {artifact.spec: artifact.digest for artifact in tracker.artifacts()}


def leftovers(store):
    """Files that a finished walk does not leave behind; the two locks stay, they belong to no run."""
    locks = {store / "runs" / "book.lock", store / "trackio" / "sightline.lock"}
    half = [path for path in store.rglob("*") if path.suffix in (".tmp", ".partial", ".lock") and path not in locks]
    return half + [path for folder in ("tmp", "checkpoints") for path in (store / folder).glob("*")]


def test_killed_anywhere_it_ends_in_the_state_of_the_undisturbed_walk(images, undisturbed, tmp_path):
    settings = {**undisturbed, "store": str(tmp_path / "store")}
    said = {name: walk(settings, point) for name, point in KILLED_AT.items()}
    said["the end"] = walk(settings)
    tracker, calm = open_tracker(load_config(None, settings)), open_tracker(load_config(None, undisturbed))
    assert digests(tracker) == digests(calm)
    assert len(digests(tracker)) == 5
    assert {record.status for record in tracker.runs()} == {"finished", "failed"}
    assert not leftovers(tmp_path / "store")
    trainings = [record for record in tracker.runs() if record.job_type == "training"]
    assert [record.status for record in trainings] == ["finished"]  # resumed each time, never begun again
    order = list(said)
    after_the_checkpoint = said[order[order.index("train, between the checkpoint and the tracker") + 1]]
    assert "epoch 1/3" in after_the_checkpoint and "(before)" in after_the_checkpoint
    assert "epoch 3/3" not in after_the_checkpoint
    assert trainings[0].summary == next(r for r in calm.runs() if r.job_type == "training").summary
    assert [row["step"] for row in metrics(tracker, trainings[0])] == [
        0,
        1,
        2,
        3,
        3,
    ]  # each epoch once; then the summary


def metrics(tracker, record):
    with tracker.backend._storage() as storage:
        return sorted(storage.get_logs(tracker.project, record.name, run_id=record.id), key=lambda row: row["step"])


def test_an_undisturbed_walk_leaves_nothing_half_done(undisturbed):
    tracker = open_tracker(load_config(None, undisturbed))
    assert [record.status for record in tracker.runs()] == ["finished"] * 5
    assert not leftovers(tracker.store)


def test_every_stage_is_a_run_with_what_decided_it(undisturbed):
    config = load_config(None, undisturbed)
    runs = {record.job_type: record for record in open_tracker(config).runs()}
    assert list(runs) == ["upload", "data_split", "training", "evaluation", "report"]
    assert runs["training"].config["train"] == deciding(config.train)
    assert runs["training"].inputs == ("scenes_split:v0",)
    assert runs["training"].outputs == ("scenes_model:v0",)
    assert runs["evaluation"].summary["images"] > 0
    assert "final_miou" in runs["evaluation"].summary


def test_lineage_is_whole_from_raw_data_to_report(undisturbed):
    links = open_tracker(load_config(None, undisturbed)).lineage("scenes_report")
    edges = {(link.job_type, link.direction, link.artifact) for link in links}
    assert edges >= {
        ("upload", "output", "scenes:v0"),
        ("data_split", "input", "scenes:v0"),
        ("data_split", "output", "scenes_split:v0"),
        ("training", "input", "scenes_split:v0"),
        ("training", "output", "scenes_model:v0"),
        ("evaluation", "input", "scenes_model:v0"),
        ("evaluation", "input", "scenes_split:v0"),
        ("evaluation", "output", "scenes_eval:v0"),
        ("report", "input", "scenes_eval:v0"),
        ("report", "input", "scenes:v0"),
        ("report", "output", "scenes_report:v0"),
    }


def test_again_with_nothing_changed_does_nothing_and_says_so(undisturbed, capsys):
    tracker = open_tracker(load_config(None, undisturbed))
    before = tracker.runs()
    sightline.run(load_config(None, undisturbed), tracker)
    assert tracker.runs() == before
    assert "Nothing to do" in capsys.readouterr().err


def test_another_learning_rate_redoes_train_evaluate_and_report_only(images, undisturbed, tmp_path):
    import shutil

    store = shutil.copytree(undisturbed["store"], tmp_path / "store")
    settings = {**undisturbed, "store": str(store)}
    walk({**settings, "lr": 1e-4})
    new = open_tracker(load_config(None, settings)).runs()[5:]
    assert [record.job_type for record in new] == ["training", "evaluation", "report"]
    walk({**settings, "lr": 1e-4, "title": "Another title"})
    assert [record.job_type for record in open_tracker(load_config(None, settings)).runs()[8:]] == ["report"]
    walk(settings)  # back to the first settings: its artifacts still answer for them
    tracker = open_tracker(load_config(None, settings))
    assert len(tracker.runs()) == 9


def test_two_walks_in_two_places_give_equal_artifacts(images, undisturbed, tmp_path):
    """Nothing of a time, a run or a folder gets into an artifact; the order of a listing and workers do not matter."""
    import shutil

    copy = shutil.copytree(images, tmp_path / "scenes", copy_function=shutil.copyfile)
    settings = {**undisturbed, "data": str(copy), "store": str(tmp_path / "store"), "workers": 2}
    sightline.ingest(load_config(None, settings))
    dealt = sightline.split(load_config(None, settings))
    calm = digests(open_tracker(load_config(None, undisturbed)))
    assert (dealt.digest, dealt.metadata["raw"]) == (calm["scenes_split:v0"], "scenes:v0")


def test_the_model_keeps_all_that_it_was_trained_with(undisturbed):
    config = load_config(None, undisturbed)
    model = open_tracker(config).get("scenes_model")
    kept = model.json("config.json")
    assert kept["train"] == deciding(config.train)
    assert (kept["seed"], kept["sightline"], kept["weights_sha256"]) == (42, sightline.__version__, "")
    rows = list(csv.DictReader(io.StringIO(model.path("history.csv").read_text())))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    best = max(rows, key=lambda row: float(row["miou"]))
    assert (int(best["epoch"]), float(best["miou"])) == (kept["best_epoch"], kept["best_miou"])
