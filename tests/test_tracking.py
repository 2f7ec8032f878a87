"""Runs and artifacts as a stage uses them, with both backends."""

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sightline.config import Config
from sightline.errors import ConfigError, DataError, StoreError
from sightline.tracking import Link, Tracker, fingerprint, open_tracker
from sightline.tracking.none import MemoryBackend
from sightline.tracking.trackio import TrackioBackend


@pytest.fixture(params=["trackio", "none"])
def kind(request):
    return request.param


@pytest.fixture
def tracker(kind, tmp_path):
    return open_tracker(Config(store=str(tmp_path / "store"), tracker=kind))


def write(path, text):
    path.write_text(text)
    return path


def save(tracker, text="one", name="data", kind="raw_data", **settings):
    """A finished run that saves an artifact of one file."""
    with tracker.run("upload", config=settings, fingerprint=settings.get("mark", "")) as run:
        return run.save(name, kind, {"a.txt": write(run.scratch / "a.txt", text)})


def leftovers(store):
    """What a run must not leave behind: scratch files, locks of runs, half-written files."""
    scratch = list((store / "tmp").glob("*"))
    return scratch + [
        path
        for path in store.rglob("*")
        if path.name.endswith((".tmp", ".partial"))
        or (path.suffix == ".lock" and path.stem not in ("book", "sightline"))
    ]


def nothing_left(store):
    assert leftovers(store) == []


# runs


def test_the_settings_choose_the_backend(tmp_path):
    assert isinstance(open_tracker(Config(store=str(tmp_path), tracker="none")).backend, MemoryBackend)
    assert isinstance(open_tracker(Config(store=str(tmp_path))).backend, TrackioBackend)


def test_opening_and_asking_writes_nothing(tracker):
    assert tracker.runs() == []
    assert tracker.artifacts() == []
    assert tracker.up_to_date("upload", "f") is None
    assert not tracker.store.exists()


def test_record_of_a_finished_run(tracker):
    with tracker.run("training", config={"lr": 0.1, "size": (180, 320)}, fingerprint="f") as run:
        assert tracker.runs()[0].status == "running"
        run.log({"loss": 2.0}, step=1)
        run.log({"loss": 1.0}, step=2)
        run.summary = {"final_miou": 0.5, "best_epoch": 2, "note": "good", "empty": None}
    (record,) = tracker.runs()
    assert record == run.record
    assert (record.name, record.job_type, record.status, record.error) == ("training-1", "training", "finished", "")
    assert record.config == {"lr": 0.1, "size": [180, 320]}
    assert record.summary == {"final_miou": 0.5, "best_epoch": 2, "note": "good", "empty": None}
    assert record.started < record.finished
    assert record.fingerprint == "f"
    nothing_left(tracker.store)


def test_the_record_outlives_the_process_and_is_strict_json(tracker):
    with tracker.run("evaluation", config={"folder": Path("a") / "b"}) as run:
        run.summary = {"miou": np.float32(0.5), "absent": math.nan, "count": np.int64(3), "far": math.inf}
    (path,) = (tracker.store / "runs").glob("*.json")
    data = json.loads(path.read_text(), parse_constant=lambda text: pytest.fail(f"{text} is no JSON"))
    assert data["summary"] == {"miou": 0.5, "absent": None, "count": 3, "far": None}
    assert data["config"] == {"folder": str(Path("a") / "b")}
    again = Tracker(tracker.store, "sightline", tracker.backend)
    assert again.runs() == [run.record]


def test_runs_are_listed_oldest_first_and_numbered_by_job(tracker):
    for job in ("upload", "training", "upload"):
        with tracker.run(job, config={}):
            pass
    assert [record.name for record in tracker.runs()] == ["upload-1", "training-1", "upload-2"]


def test_a_number_is_not_given_twice_when_a_record_was_deleted(tracker):
    for _ in range(3):
        with tracker.run("upload", config={}):
            pass
    first = tracker.runs()[0]
    (tracker.store / "runs" / f"{first.id}.json").unlink()
    with tracker.run("upload", config={}) as run:
        assert run.name == "upload-4"


def test_a_failed_run_says_why_and_its_error_passes_through(tracker):
    error = DataError("3 of 120 masks are damaged")
    with pytest.raises(DataError) as caught, tracker.run("upload", config={}) as run:
        write(run.scratch / "half.bin", "…")
        raise error
    assert caught.value is error
    (record,) = tracker.runs()
    assert (record.status, record.error) == ("failed", "DataError: 3 of 120 masks are damaged")
    assert record.finished
    assert not record.resumable
    nothing_left(tracker.store)


def test_ctrl_c_is_interrupted_and_can_be_resumed(tracker):
    with pytest.raises(KeyboardInterrupt), tracker.run("training", config={}, fingerprint="f") as run:
        run.log({"loss": 1.0}, step=3)
        raise KeyboardInterrupt
    (record,) = tracker.runs()
    assert (record.status, record.error, record.resumable) == ("failed", "interrupted", True)
    nothing_left(tracker.store)
    with tracker.run("training", config={}, fingerprint="f", resume=True) as again:
        assert (again.id, again.name, again.last_step) == (run.id, run.name, 3)
    assert [one.status for one in tracker.runs()] == ["finished"]


def test_resume_takes_only_the_last_run_and_only_if_it_was_broken_off(tracker):
    with pytest.raises(KeyboardInterrupt), tracker.run("training", config={}, fingerprint="f"):
        raise KeyboardInterrupt
    with pytest.raises(DataError), tracker.run("training", config={}, fingerprint="f"):
        raise DataError("no")
    with tracker.run("training", config={}, fingerprint="f", resume=True) as run:
        assert (run.name, run.last_step) == ("training-3", 0)
    with tracker.run("training", config={}, fingerprint="f", resume=True) as run:
        assert run.name == "training-4"


def test_resume_of_another_fingerprint_or_without_asking_begins_anew(tracker):
    with pytest.raises(KeyboardInterrupt), tracker.run("training", config={}, fingerprint="f"):
        raise KeyboardInterrupt
    with tracker.run("training", config={}, fingerprint="g", resume=True) as run:
        assert run.name == "training-2"
    with tracker.run("training", config={}, fingerprint="") as run:
        assert run.name == "training-3"
    with tracker.run("training", config={}, fingerprint="f") as run:
        assert run.name == "training-4"


def test_a_resumed_run_forgets_what_the_broken_one_had_noted(tracker):
    data = save(tracker)
    with pytest.raises(KeyboardInterrupt), tracker.run("training", config={}, fingerprint="f") as run:
        run.use(data)
        run.save("model", "model", {"w": write(run.scratch / "w", "1")})
        raise KeyboardInterrupt
    with tracker.run("training", config={}, fingerprint="f", resume=True) as run:
        assert (run.record.inputs, run.record.outputs) == ((), ())
        run.use(data)
        run.use(data)
    assert tracker.runs()[-1].inputs == ("data:v0",)


def test_a_step_logged_again_by_a_resumed_run_is_kept_once(tracker):
    with pytest.raises(KeyboardInterrupt), tracker.run("training", config={}, fingerprint="f") as run:
        run.log({"loss": 1.0}, step=1)
        raise KeyboardInterrupt
    with tracker.run("training", config={}, fingerprint="f", resume=True) as run:
        run.log({"loss": 1.0}, step=1)
        run.log({"other": 1.0}, step=1)
        run.log({"loss": 0.5}, step=2)
    rows = logs(tracker, run)
    assert [(step, row) for step, row in rows if "loss" in row] == [(1, {"loss": 1.0}), (2, {"loss": 0.5})]
    assert (1, {"other": 1.0}) in rows


def logs(tracker, run):
    if isinstance(tracker.backend, MemoryBackend):
        return tracker.backend.metrics[run.id]
    with tracker.backend._storage() as storage:
        rows = storage.get_logs("sightline", run.name, run_id=run.id)
    return [(row.pop("step"), {k: v for k, v in row.items() if k != "timestamp"}) for row in rows]


def test_the_summary_is_logged_at_the_last_step(tracker):
    with tracker.run("training", config={}) as run:
        run.log({"loss": 1.0}, step=7)
        run.summary = {"final_miou": 0.25, "text": "not a number"}
    assert run.last_step == 7
    assert logs(tracker, run)[-1] == (7, {"final_miou": 0.25})


def test_numbers_of_numpy_and_nan_can_be_logged(tracker):
    with tracker.run("training", config={"lr": np.float32(0.5)}) as run:
        run.log({"loss": np.float32(0.5), "absent": float("nan"), "n": np.int64(2)}, step=1)
    _, row = next((step, row) for step, row in logs(tracker, run) if "loss" in row)
    assert (row["loss"], row["n"], math.isnan(row["absent"])) == (0.5, 2, True)


def test_two_live_runs_of_one_fingerprint(tracker):
    with tracker.run("training", config={}, fingerprint="f") as run:
        twin = Tracker(tracker.store, "sightline", tracker.backend)
        for one in (tracker, twin):
            with (
                pytest.raises(StoreError, match="training-1 is doing just this"),
                one.run("training", config={}, fingerprint="f", resume=True),
            ):
                pytest.fail("it ran")
        with twin.run("training", config={}, fingerprint="g"), twin.run("training", config={}):
            pass  # others may go on beside it
        assert run.scratch.is_dir()
    assert [record.status for record in tracker.runs()] == ["finished"] * 3
    nothing_left(tracker.store)


def test_a_live_run_of_another_tracker_is_left_alone(tracker):
    with tracker.run("training", config={}) as run:
        path = write(run.scratch / "half.bin", "…")
        other = Tracker(tracker.store, "sightline", tracker.backend)
        assert other.runs()[0].status == "running"
        with other.run("upload", config={}):
            pass
        assert path.exists()


def test_a_broken_record_is_an_error_with_advice(tracker):
    save(tracker)
    path = write(tracker.store / "runs" / "12345678.json", '{"id": "1234')
    for ask in (tracker.runs, lambda: save(tracker)):
        with pytest.raises(StoreError) as caught:
            ask()
        assert str(path) in str(caught.value)
        assert "Delete it to go on" in str(caught.value)
    path.write_text("[1, 2]")
    with pytest.raises(StoreError, match="cannot be read"):
        tracker.runs()
    path.unlink()
    assert len(tracker.runs()) == 1


def test_a_store_that_cannot_be_written_is_an_error(tracker):
    tracker.store.write_text("a file where the folder should be")
    with pytest.raises(StoreError, match=r"cannot be used: [^\[]*\(.*\)\. Check"), tracker.run("upload", config={}):
        pytest.fail("it ran")


def test_a_project_name_that_trackio_keeps_for_itself(tmp_path):
    tracker = open_tracker(Config(store=str(tmp_path), project="registry-mine"))
    with pytest.raises(ConfigError, match=r"project.*registry-"), tracker.run("upload", config={}):
        pytest.fail("it ran")


def test_runs_of_one_project_do_not_answer_for_another(kind, tmp_path):
    first, second = (open_tracker(Config(store=str(tmp_path), project=name, tracker=kind)) for name in ("one", "two"))
    save(first, "first", mark="f")
    save(second, "second", mark="g")
    assert second.up_to_date("upload", "f") is None
    assert [record.fingerprint for record in second.runs()] == ["g"]
    assert second.get("data").path("a.txt").read_text() == "second"


# artifacts


def test_artifact_of_a_run(tracker):
    with tracker.run("upload", config={}) as run:
        files = {"a.txt": write(run.scratch / "a.txt", "one"), "sub/b.json": write(run.scratch / "b", "[1, 2]")}
        saved = run.save("data", "raw_data", files, {"images": np.int64(2)})
    assert saved == tracker.get("data")
    assert (saved.spec, saved.type, saved.aliases) == ("data:v0", "raw_data", ("latest",))
    assert saved.metadata == {"images": 2}
    assert saved.path("a.txt").read_text() == "one"
    assert saved.json("sub/b.json") == [1, 2]
    assert "sub/b.json" in saved
    assert "b.json" not in saved
    assert tracker.runs()[0].outputs == ("data:v0",)
    assert tracker.runs()[0].digests == {"data:v0": saved.digest}
    with pytest.raises(StoreError, match=r"data:v0 holds no file c\.txt"):
        saved.path("c.txt")


def test_versions_and_latest(tracker):
    first, second = save(tracker, "one"), save(tracker, "two")
    assert (first.version, second.version) == (0, 1)
    assert tracker.get("data") == tracker.get("data:latest") == tracker.get("data:v1")
    assert tracker.get("data:v0").path("a.txt").read_text() == "one"
    again = save(tracker, "one")
    assert (again.version, again.digest) == (0, first.digest)
    assert tracker.get("data").version == 0
    assert tracker.get("data:v1").aliases == ()
    save(tracker, "three")
    assert tracker.get("data").version == 2
    assert [artifact.spec for artifact in tracker.artifacts()] == ["data:v0", "data:v1", "data:v2"]


def test_equal_content_is_equal_whatever_the_order_and_metadata(tracker):
    with tracker.run("upload", config={}) as run:
        a, b = (run.store(write(run.scratch / name, name)) for name in "ab")
        first = run.save("data", "raw_data", {"a": a, "b": b}, {"note": 1})
        second = run.save("data", "raw_data", {"b": b, "a": a}, {"note": 2})
        moved = run.save("data", "raw_data", {"a": b, "b": a})
    assert (second.digest, second.version, second.metadata) == (first.digest, 0, {"note": 2})
    assert (moved.version, moved.digest == first.digest) == (1, False)


def test_artifacts_come_by_name_and_number(tracker):
    for name, text in (("b", "1"), ("a", "1"), ("b", "2")):
        save(tracker, text, name=name)
    assert [artifact.spec for artifact in tracker.artifacts()] == ["a:v0", "b:v0", "b:v1"]


@pytest.mark.parametrize("spec", ["no", "data:v7", "data:best", "data:v99999999999999999999", "a:b:c", ""])
def test_an_unknown_artifact_lists_those_there_are(tracker, spec):
    save(tracker, "one")
    save(tracker, "two", name="other")
    with pytest.raises(StoreError) as caught:
        tracker.get(spec)
    assert f"no artifact {spec} in" in str(caught.value)
    assert "data:v0, other:v0" in str(caught.value)


def test_an_unknown_artifact_of_an_empty_store(tracker):
    with pytest.raises(StoreError, match="none yet"):
        tracker.get("data")


def test_a_name_has_one_type(tracker):
    save(tracker, "one")
    with pytest.raises(StoreError, match="raw_data, not model"):
        save(tracker, "two", kind="model")
    assert [artifact.type for artifact in tracker.artifacts()] == ["raw_data"]


@pytest.mark.parametrize("name", ["a:b", "a b", "", "../a", "ä", "a\n"])
def test_names_that_no_artifact_can_have(tracker, name):
    with pytest.raises(StoreError, match="cannot be called"):
        save(tracker, name=name)


ODD = ["with space.jpg", "quote'\".png", "<img src=x onerror=alert(1)>.png", "übung/каска/图.png", "%2e%2e", "[b]x[/b]",
       "aa:b", "-rf", "x" * 200, "tab\there", "line\nbreak", "$(id)", "e\u0301.png"]  # fmt: skip


def test_odd_names_survive(tracker):
    with tracker.run("upload", config={}) as run:
        files = {name: write(run.scratch / str(number), name) for number, name in enumerate(ODD)}
        run.save("data", "raw_data", files)
    artifact = tracker.get("data")
    assert sorted(artifact.files) == sorted(ODD)
    assert all(artifact.path(name).read_text() == name for name in ODD)


@pytest.mark.parametrize(
    "path",
    ["../a", "a/../../b", "a/..", "/etc/passwd", "a//b", "", "./a", "a/", "a\\b", "C:/a", "nul\0byte", "\udce4.jpg"],
)
def test_paths_that_leave_their_folder_are_refused(tracker, path):
    with pytest.raises(StoreError, match="cannot hold a file at"), tracker.run("upload", config={}) as run:
        kept = write(run.scratch / "a", "1")
        try:
            run.save("data", "raw_data", {"fine.txt": kept, path: kept})
        finally:
            assert kept.exists(), "refused before anything is stored"
    assert tracker.artifacts() == []


def test_a_path_cannot_be_file_and_folder(tracker):
    with pytest.raises(StoreError, match="both a file 'a/b' and"), tracker.run("upload", config={}) as run:
        stored = run.store(write(run.scratch / "a", "1"))
        run.save("data", "raw_data", {"a/b": stored, "a/b/c": stored, "a/d": stored})


def test_inputs_are_noted(tracker):
    first, second = save(tracker, "one"), save(tracker, "two", name="other")
    with tracker.run("training", config={}) as run:
        assert run.use(first) is first
        run.use(second)
    record = tracker.runs()[-1]
    assert record.inputs == ("data:v0", "other:v0")
    assert record.digests == {"data:v0": first.digest, "other:v0": second.digest}


def test_an_artifact_of_another_store_is_no_input(tracker, kind, tmp_path):
    other = open_tracker(Config(store=str(tmp_path / "other"), tracker=kind))
    foreign = save(other, "foreign")
    with pytest.raises(StoreError, match="no artifact data:v0"), tracker.run("training", config={}) as run:
        run.use(foreign)
    save(tracker, "own")
    with pytest.raises(StoreError, match="comes from another store"), tracker.run("training", config={}) as run:
        run.use(foreign)


# up to date


def test_fingerprints():
    tracker = Tracker(Path("nowhere"), "p", MemoryBackend("p"))
    base = fingerprint("training", [], {"lr": 0.1, "size": (1, 2)})
    assert base == fingerprint("training", [], {"size": [1, 2], "lr": 0.1})
    others = {
        fingerprint("evaluation", [], {"lr": 0.1, "size": (1, 2)}),
        fingerprint("training", [], {"lr": 0.2, "size": (1, 2)}),
        fingerprint("training", [], {"lr": 0.1, "size": (2, 1)}),
    }
    assert len(others - {base}) == 3
    assert tracker.runs() == []


def test_the_fingerprint_follows_the_content_of_inputs(tracker):
    one, two, again = save(tracker, "one"), save(tracker, "two"), save(tracker, "one")
    marks = [fingerprint("training", [artifact], {}) for artifact in (one, two, again)]
    assert marks[0] == marks[2] != marks[1]


def test_up_to_date_needs_the_fingerprint_and_the_job(tracker):
    saved = save(tracker, mark="f")
    assert tracker.up_to_date("upload", "f") == saved
    assert tracker.up_to_date("upload", "g") is None
    assert tracker.up_to_date("training", "f") is None


def test_up_to_date_survives_the_process(tmp_path):
    config = Config(store=str(tmp_path))
    saved = save(open_tracker(config), mark="f")
    assert open_tracker(config).up_to_date("upload", "f") == saved


def test_only_finished_runs_with_an_output_are_up_to_date(tracker):
    with tracker.run("upload", config={}, fingerprint="f"):
        pass
    assert tracker.up_to_date("upload", "f") is None
    with pytest.raises(DataError), tracker.run("upload", config={}, fingerprint="f") as run:
        run.save("data", "raw_data", {"a": write(run.scratch / "a", "1")})
        raise DataError("late")
    assert tracker.up_to_date("upload", "f") is None


@pytest.mark.parametrize("harm", ["missing", "changed", "truncated"])
def test_not_up_to_date_when_a_blob_is_harmed(tracker, harm):
    saved = save(tracker, "content", mark="f")
    damage(saved.path("a.txt"), harm)
    assert tracker.up_to_date("upload", "f") is None
    healed = save(tracker, "content", mark="f")
    assert healed.path("a.txt").read_text() == "content"
    assert tracker.up_to_date("upload", "f") == healed == saved


def damage(path, harm):
    if harm == "missing":
        path.unlink()
    elif harm == "changed":
        path.write_text("CONTENT")
    else:
        path.write_text("cont")


def test_an_older_answer_becomes_latest_again(tracker):
    save(tracker, "slow", mark="f")
    save(tracker, "fast", mark="g")
    assert tracker.get("data").version == 1
    answer = tracker.up_to_date("upload", "f")
    assert (answer.version, answer.aliases) == (0, ("latest",))
    assert tracker.get("data").version == 0


def test_a_version_number_that_now_means_something_else_is_no_answer(kind, tmp_path):
    """A database that was deleted or swapped must not lend its v0 to an old record."""
    config = Config(store=str(tmp_path), tracker=kind)
    tracker = open_tracker(config)
    save(tracker, "old", mark="f")
    for path in (tmp_path / "trackio").glob("*.db*"):
        path.unlink()
    tracker = open_tracker(config)
    save(tracker, "new", mark="g")
    assert tracker.up_to_date("upload", "f") is None
    assert tracker.up_to_date("upload", "g").spec == "data:v0"


# lineage


def walk(tracker):
    """Five runs from raw data to a report, and a second training beside them."""
    stages = (
        ("upload", "raw_data", None, "data"),
        ("data_split", "split_data", "data", "data_split"),
        ("training", "model", "data_split", "data_model"),
        ("evaluation", "evaluation", "data_model", "data_eval"),
        ("report", "report", "data_eval", "data_report"),
    )
    for job, kind, source, name in stages:
        with tracker.run(job, config={}) as run:
            if source:
                run.use(tracker.get(source))
            run.save(name, kind, {"file": write(run.scratch / "file", name)})
    with tracker.run("training", config={}) as run:
        run.use(tracker.get("data_split"))
        run.save("data_model", "model", {"file": write(run.scratch / "file", "second")})
    save(tracker, "elsewhere", name="unrelated")


def test_lineage_is_whole_from_report_to_raw_data(tracker):
    walk(tracker)
    links = tracker.lineage("data_report")
    ids = {record.name: record.id for record in tracker.runs()}
    assert links == [
        Link(ids["upload-1"], "upload-1", "upload", "output", "data:v0"),
        Link(ids["data_split-1"], "data_split-1", "data_split", "input", "data:v0"),
        Link(ids["data_split-1"], "data_split-1", "data_split", "output", "data_split:v0"),
        Link(ids["training-1"], "training-1", "training", "input", "data_split:v0"),
        Link(ids["training-1"], "training-1", "training", "output", "data_model:v0"),
        Link(ids["evaluation-1"], "evaluation-1", "evaluation", "input", "data_model:v0"),
        Link(ids["evaluation-1"], "evaluation-1", "evaluation", "output", "data_eval:v0"),
        Link(ids["report-1"], "report-1", "report", "input", "data_eval:v0"),
        Link(ids["report-1"], "report-1", "report", "output", "data_report:v0"),
        Link(ids["training-2"], "training-2", "training", "input", "data_split:v0"),
        Link(ids["training-2"], "training-2", "training", "output", "data_model:v1"),
    ]
    assert tracker.lineage("data:v0") == links
    assert [link.run_name for link in tracker.lineage("unrelated")] == ["upload-2"]
    with pytest.raises(StoreError, match="no artifact"):
        tracker.lineage("no")


def test_two_runs_that_wrote_the_same_content_are_both_in_the_lineage(tracker):
    save(tracker, "one")
    save(tracker, "one")
    assert [link.run_name for link in tracker.lineage("data")] == ["upload-1", "upload-2"]


# two processes at once

STARTER = """
import sys, time
from pathlib import Path
from sightline.config import Config
from sightline.tracking import open_tracker

store, gate = sys.argv[1:]
tracker = open_tracker(Config(store=store))
import trackio
print("ready", flush=True)
while not Path(gate).exists():
    time.sleep(0.001)
names = []
for number in range(4):
    with tracker.run("upload", config={}) as run:
        (run.scratch / "a").write_text(f"{run.name}")
        run.save("data", "raw_data", {"a": run.scratch / "a"})
        names.append(run.name)
print(*names)
"""


def test_processes_that_start_runs_at_once_get_different_names(tmp_path):
    gate = tmp_path / "gate"
    command = [sys.executable, "-W", "error", "-c", STARTER, str(tmp_path / "store"), str(gate)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        assert process.stdout.readline() == "ready\n"
    gate.touch()
    names = [process.communicate(timeout=60)[0].split() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sorted(names[0] + names[1]) == [f"upload-{number}" for number in range(1, 9)]
    tracker = open_tracker(Config(store=str(tmp_path / "store")))
    assert {record.status for record in tracker.runs()} == {"finished"}
    assert [artifact.version for artifact in tracker.artifacts()] == list(range(8))
    nothing_left(tracker.store)
