"""What trackio itself holds of our runs, and what of trackio must not be felt outside the store."""

import itertools
import json
import os
import subprocess
import sys
import threading

import pytest

from sightline.config import Config
from sightline.tracking import open_tracker


def python(code, *args, **environment):
    """Run a script in a process of its own; what it printed last, from JSON."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *map(str, args)],
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


def walk(tracker):
    """Runs from raw data to a report, one of them done twice with the same outcome."""
    jobs = ["upload", "data_split", "training", "training", "evaluation", "report"]
    sources = [None, "upload", "data_split", "data_split", "training", "evaluation"]
    for job, source in zip(jobs, sources, strict=True):
        with tracker.run(job, config={"seed": 1}) as run:
            if source:
                run.use(tracker.get(f"cam_{source}"))
            (run.scratch / "a").write_text(job)
            run.save(f"cam_{job}", job, {"a": run.scratch / "a"})


def test_trackio_reads_back_what_was_logged(tmp_path):
    tracker = open_tracker(Config(store=str(tmp_path), project="roads"))
    with tracker.run("training", config={"train": {"lr": 0.002}, "size": [180, 320]}) as run:
        run.log({"loss": 1.5, "miou": 0.25}, step=1)
        run.log({"loss": float("nan")}, step=2)
        run.summary = {"final_miou": 0.5}
    read = """
import json, trackio
from trackio.sqlite_storage import SQLiteStorage
(run,) = trackio.Api().runs("roads")
logs = SQLiteStorage.get_logs("roads", run.name, run_id=run.id)
print(json.dumps([run.id, run.name, run.config, logs]))
"""
    run_id, name, config, logs = python(read, TRACKIO_DIR=str(tmp_path / "trackio"))
    assert (run_id, name) == (run.id, "training-1")
    assert (config["train"], config["size"], config["job_type"]) == ({"lr": 0.002}, [180, 320], "training")
    assert [row.pop("step") for row in logs] == [0, 1, 2, 2]
    stamps = [row.pop("timestamp") for row in logs]
    assert stamps == sorted(stamps)
    assert logs[:2] + logs[3:] == [{"started": 1}, {"loss": 1.5, "miou": 0.25}, {"final_miou": 0.5}]
    assert str(logs[2]["loss"]) == "nan"


def test_a_run_that_logs_nothing_keeps_its_settings(tmp_path):
    tracker = open_tracker(Config(store=str(tmp_path)))
    with tracker.run("upload", config={"limit": 3}) as run:
        pass
    with tracker.backend._storage() as storage:
        assert storage.get_run_config("sightline", run.name, run_id=run.id)["limit"] == 3


def test_trackio_finds_the_artifact_files_where_it_looks_for_them(tmp_path):
    tracker = open_tracker(Config(store=str(tmp_path)))
    walk(tracker)
    read = """
import json
from trackio import cas
from trackio.sqlite_storage import SQLiteStorage
record = SQLiteStorage.get_artifact_manifest("sightline", "cam_report", "latest")
print(json.dumps([cas.blob_path("sightline", entry["digest"]).read_text() for entry in record["manifest"]]))
"""
    assert python(read, TRACKIO_DIR=str(tmp_path / "trackio")) == ["report"]


def test_the_lineage_in_trackio_is_whole(tmp_path):
    tracker = open_tracker(Config(store=str(tmp_path)))
    walk(tracker)
    graph = tracker.backend.lineage("cam_report", 0)
    names = {
        node["id"]: node["run_name"] if node["kind"] == "run" else f"{node['artifact_name']}:v{node['version']}"
        for node in graph["nodes"]
    }
    edges = {(names[edge["source"]], names[edge["target"]]) for edge in graph["edges"]}
    chain = ["upload-1", "cam_upload:v0", "data_split-1", "cam_data_split:v0", "training-1", "cam_training:v0",
             "evaluation-1", "cam_evaluation:v0", "report-1", "cam_report:v0"]  # fmt: skip
    twice = {("cam_data_split:v0", "training-2"), ("training-2", "cam_training:v0")}
    assert edges == set(itertools.pairwise(chain)) | twice
    assert not graph["truncated"]
    ours = {
        (link.artifact, link.run_name) if link.direction == "input" else (link.run_name, link.artifact)
        for link in tracker.lineage("cam_report")
    }
    assert ours == edges


def test_a_long_lineage_is_read_page_by_page(tmp_path, monkeypatch):
    from sightline.tracking import trackio

    monkeypatch.setattr(trackio, "PAGE", 3)
    tracker = open_tracker(Config(store=str(tmp_path)))
    walk(tracker)
    assert len(tracker.lineage("cam_report")) == 11


def test_several_stores_in_one_process_do_not_mix(tmp_path):
    import trackio

    def folders():
        return [trackio.utils.TRACKIO_DIR, trackio.utils.MEDIA_DIR, trackio.sqlite_storage.TRACKIO_DIR]

    before = folders()
    trackers = {name: open_tracker(Config(store=str(tmp_path / name))) for name in ("one", "two")}
    failures = []

    def work(name):
        try:
            for number in range(5):
                with trackers[name].run("training", config={"name": name}) as run:
                    run.log({"number": number}, step=1)
                    (run.scratch / "a").write_text(f"{name} {number}")
                    run.save(name, "model", {"a": run.scratch / "a"})
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in trackers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    for name, tracker in trackers.items():
        assert [artifact.spec for artifact in tracker.artifacts()] == [f"{name}:v{n}" for n in range(5)]
        assert tracker.get(name).path("a").read_text() == f"{name} 4"
        assert len(tracker.runs()) == 5
        assert (tmp_path / name / "trackio" / "sightline.db").is_file()
    assert folders() == before


def test_one_thread_does_not_turn_trackio_away_from_another(tmp_path):
    from trackio import utils

    one, two = (open_tracker(Config(store=str(tmp_path / name))).backend for name in ("one", "two"))
    thread = threading.Thread(target=two.last_step, args=("0123abcd", "training-1"))
    with one._storage():
        thread.start()
        thread.join(timeout=0.3)
        assert thread.is_alive(), "it waits for its turn"
        assert utils.TRACKIO_DIR.parent == tmp_path / "one"
    thread.join(timeout=10)
    assert not thread.is_alive()


def test_trackio_is_left_as_it_was_after_an_error(tmp_path):
    from trackio import sqlite_storage, utils

    def state():
        return [utils.TRACKIO_DIR, sqlite_storage.TRACKIO_DIR, sqlite_storage.SQLiteStorage._dataset_import_attempted]

    before = state()
    folder = tmp_path / "trackio"
    with pytest.raises(KeyError), open_tracker(Config(store=str(tmp_path))).backend._storage():
        assert state() == [folder, folder, True]
        raise KeyError("inside")
    assert state() == before


WATCHED = """
import json, os, sys
store = sys.argv[1]
scratch = os.environ["TMPDIR"]  # Python itself tries whether it can write there; it must be empty in the end
before = dict(os.environ)
touched, calls = set(), []

def watch(event, args):
    if event == "open" and isinstance(args[0], (str, bytes)) and args[2] & (os.O_WRONLY | os.O_RDWR):
        touched.add(os.path.realpath(os.fsdecode(args[0])))
    elif event in ("os.mkdir", "os.rename", "os.remove", "sqlite3.connect"):
        touched.add(os.path.realpath(os.fsdecode(args[0])))
    elif event in ("socket.connect", "socket.getaddrinfo", "socket.bind"):
        calls.append(event)

sys.addaudithook(watch)
from sightline.config import Config
from sightline.tracking import open_tracker
tracker = open_tracker(Config(store=store))
for number in range(2):
    with tracker.run("training", config={"lr": 0.1}) as run:
        run.log({"loss": 1.0}, step=1)
        (run.scratch / "a").write_text("one")
        run.use(run.save("model", "model", {"a": run.scratch / "a"}))
tracker.lineage("model"), tracker.artifacts(), tracker.runs(), tracker.get("model").check()
import huggingface_hub
assert huggingface_hub.constants.HF_HUB_OFFLINE is False
print(json.dumps({
    "environment": {key: value for key, value in os.environ.items() if before.get(key) != value},
    "gone": [key for key in before if key not in os.environ],
    "outside": [path for path in touched if not path.startswith((os.path.realpath(store), scratch, os.devnull))],
    "inside": len(touched),
    "calls": calls,
}))
"""


@pytest.mark.parametrize("bucket", ["", "someone/bucket"])
def test_nothing_is_felt_outside_the_store(tmp_path, bucket):
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir()
    elsewhere.mkdir()
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "XDG_", "TRACKIO_"))}
    if bucket:
        kept["TRACKIO_BUCKET_ID"] = bucket
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", WATCHED, str(tmp_path / "store")],
        env={**kept, "HOME": str(home), "TMPDIR": str(elsewhere), "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=elsewhere,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    seen = json.loads(done.stdout)
    assert seen.pop("inside") > 10, "the watch sees something"
    assert seen == {"environment": {}, "gone": [], "outside": [], "calls": []}
    assert list(home.rglob("*")) == []
    assert list(elsewhere.rglob("*")) == []


def test_importing_the_tracker_does_not_import_trackio_or_torch(tmp_path):
    code = """
import json, sys
from sightline.config import Config
from sightline.tracking import open_tracker
open_tracker(Config(store=sys.argv[1])).runs()
print(json.dumps([name for name in ("trackio", "huggingface_hub", "torch", "fastai", "pandas") if name in sys.modules]))
"""
    assert python(code, tmp_path / "store") == []
