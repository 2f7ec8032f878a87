"""Runs whose process is killed: what the next process makes of them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sightline.config import Config
from sightline.errors import StoreError
from sightline.tracking import open_tracker
from sightline.tracking.records import KILLED

SCRIPT = """
import os, sys, time
from pathlib import Path
from sightline.config import Config
from sightline.tracking import blobs, open_tracker

store, point, extra = sys.argv[1:]

def stop(*_args):
    print(point, flush=True)
    time.sleep(600)

tracker = open_tracker(Config(store=store))
resume = extra == "resume"
with tracker.run("training", config={"lr": 0.1}, fingerprint="f", resume=resume) as run:
    if extra == "fork" and os.fork() == 0:  # as a data loader's workers are
        print("child", os.getpid(), flush=True)
        time.sleep(600)
    run.log({"loss": 1.0}, step=1)
    run.log({"loss": 0.5}, step=2)
    half = run.scratch / "deep" / "half.bin"
    half.parent.mkdir()
    half.write_bytes(b"x" * 1000)
    if point == "logged":
        stop()
    if point == "copying":
        chunks = blobs.CHUNK
        blobs.CHUNK = 10
        blobs.shutil.copymode = stop
        run.store(Path(__file__) if "__file__" in globals() else Path(sys.executable).resolve())
    artifact = run.save("model", "model", {"w": half})
    if point == "saved":
        stop()
    run.summary = {"final_miou": 0.5}
    if point == "ending":
        tracker._book.end = stop
"""


def start(store, point, extra=""):
    """A process that has come to a point in its run and waits there."""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", SCRIPT, str(store), point, extra], stdout=subprocess.PIPE, text=True
    )
    lines = []
    while (line := process.stdout.readline().strip()) != point:
        assert line, f"it ended before {point}"
        lines.append(line)
    return process, lines


def kill(process, with_signal=signal.SIGKILL):
    process.send_signal(with_signal)
    process.wait(timeout=30)
    process.stdout.close()


def leftovers(store):
    """Files but for those that a finished store holds."""
    kept = {"book.lock", "checked.json"}
    return [
        path
        for path in store.rglob("*")
        if path.is_file()
        and path.name not in kept
        and not (path.parent == store / "trackio" and path.name.startswith("sightline."))
        and not (path.parent == store / "runs" and path.suffix == ".json")
        and not (len(path.name) == 64 and path.parent.parent.name == "sha256")
    ]


@pytest.mark.parametrize("point", ["logged", "copying", "saved", "ending"])
def test_a_killed_run_is_closed_cleared_and_resumed(tmp_path, point):
    process, _ = start(tmp_path, point)
    tracker = open_tracker(Config(store=str(tmp_path)))
    (alive,) = tracker.runs()
    assert alive.status == "running"
    assert (tmp_path / "tmp" / alive.id).is_dir(), "looking at a live run leaves it alone"
    with (
        pytest.raises(StoreError, match="training-1 is doing just this"),
        tracker.run("training", config={}, fingerprint="f"),
    ):
        pytest.fail("it ran")

    kill(process)
    (dead,) = tracker.runs()
    assert (dead.id, dead.status, dead.error, dead.resumable) == (alive.id, "failed", KILLED, True)
    assert dead.finished > dead.started
    assert leftovers(tmp_path) == []
    assert list((tmp_path / "tmp").iterdir()) == []
    assert tracker.up_to_date("training", "f") is None

    with tracker.run("training", config={"lr": 0.1}, fingerprint="f", resume=True) as run:
        assert (run.id, run.name, run.last_step) == (alive.id, "training-1", 2)
        assert tracker.runs()[0].status == "running"
        (run.scratch / "w").write_bytes(b"x" * 1000)
        artifact = run.save("model", "model", {"w": run.scratch / "w"})
    (done,) = tracker.runs()
    assert (done.id, done.status, done.error, done.outputs) == (alive.id, "finished", "", ("model:v0",))
    assert tracker.up_to_date("training", "f") == artifact
    assert [link.run_id for link in tracker.lineage("model")] == [alive.id], "one link, however often it was saved"
    assert leftovers(tmp_path) == []


def test_the_resumed_run_can_be_killed_again(tmp_path):
    for extra in ("", "resume", "resume"):
        process, _ = start(tmp_path, "saved", extra)
        kill(process)
    (record,) = open_tracker(Config(store=str(tmp_path))).runs()
    assert (record.name, record.status, record.error) == ("training-1", "failed", KILLED)


def test_a_new_run_clears_what_a_killed_one_left(tmp_path):
    kill(start(tmp_path, "logged")[0])
    tracker = open_tracker(Config(store=str(tmp_path)))
    with tracker.run("upload", config={}):
        pass
    assert [record.status for record in tracker.runs()] == ["failed", "finished"]
    assert leftovers(tmp_path) == []


def test_a_run_is_not_alive_for_the_sake_of_a_forked_child(tmp_path):
    process, lines = start(tmp_path, "logged", "fork")
    child = int(lines[0].split()[1])
    try:
        kill(process)
        os.kill(child, 0)  # it lives on
        (record,) = open_tracker(Config(store=str(tmp_path))).runs()
        assert (record.status, record.error) == ("failed", KILLED)
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_run_that_is_asked_to_terminate(tmp_path):
    process, _ = start(tmp_path, "logged")
    kill(process, signal.SIGTERM)
    (record,) = open_tracker(Config(store=str(tmp_path))).runs()
    assert (record.status, record.resumable) == ("failed", True)


def test_ctrl_c_in_another_process(tmp_path):
    process, _ = start(tmp_path, "logged")
    kill(process, signal.SIGINT)
    tracker = open_tracker(Config(store=str(tmp_path)))
    (record,) = tracker.runs()
    assert (record.status, record.error, record.resumable) == ("failed", "interrupted", True)
    assert leftovers(tmp_path) == []


def test_leftovers_that_belong_to_no_run_are_cleared(tmp_path):
    tracker = open_tracker(Config(store=str(tmp_path)))
    with tracker.run("upload", config={}):
        pass
    (tmp_path / "tmp" / "0123abcd").mkdir()
    (tmp_path / "tmp" / "0123abcd" / "half").write_text("…")
    (tmp_path / "tmp" / "checked-1.json").write_text("{")
    (tmp_path / "runs" / "89abcdef.lock").touch()
    tracker.runs()
    assert leftovers(tmp_path) == []
    assert list((tmp_path / "tmp").iterdir()) == []


WATCHER = """
import sys, time
from pathlib import Path
from sightline.config import Config
from sightline.tracking import open_tracker

store, gate = sys.argv[1:]
tracker = open_tracker(Config(store=store))
print("ready", flush=True)
while not Path(gate).exists():
    bad = [record for record in tracker.runs() if record.status == "failed"]
    assert not bad, bad
"""


def test_a_process_that_looks_on_never_takes_a_live_run_for_a_dead_one(tmp_path):
    gate = tmp_path / "gate"
    store = tmp_path / "store"
    watcher = subprocess.Popen(
        [sys.executable, "-c", WATCHER, str(store), str(gate)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watcher.stdout.readline() == "ready\n"
    tracker = open_tracker(Config(store=str(store), tracker="none"))
    tracker._book._place = open_tracker(Config(store=str(store)))._book._place  # that the watcher sees them
    until = time.monotonic() + 3
    while time.monotonic() < until and watcher.poll() is None:
        with tracker.run("upload", config={}):
            pass
        for path in (store / "runs").glob("*.json"):
            path.unlink()
    gate.touch()
    _, errors = watcher.communicate(timeout=30)
    assert watcher.returncode == 0, errors


def test_the_script_ends_well_when_nobody_kills_it(tmp_path):
    subprocess.run([sys.executable, "-W", "error", "-c", SCRIPT, str(tmp_path), "never", ""], check=True, timeout=60)
    (record,) = open_tracker(Config(store=str(tmp_path))).runs()
    assert (record.status, record.summary) == ("finished", {"final_miou": 0.5})
    assert leftovers(Path(tmp_path)) == []
