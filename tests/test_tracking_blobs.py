"""Files stored once: copied or moved, checked when read, put right when damaged."""

import errno
import hashlib
import json
import os
import shutil
import sqlite3
from types import SimpleNamespace

import pytest

from sightline.config import Config
from sightline.errors import StoreError
from sightline.tracking import blobs, open_tracker


@pytest.fixture(params=["trackio", "none"])
def tracker(request, tmp_path):
    return open_tracker(Config(store=str(tmp_path / "store"), tracker=request.param))


@pytest.fixture
def hashed(monkeypatch):
    """The paths that were hashed to be checked."""
    seen = []
    whole = blobs.hash_file

    def watch(path):
        seen.append(path)
        return whole(path)

    monkeypatch.setattr(blobs, "hash_file", watch)
    return seen


def again(tracker):
    """The same store in a new process, as far as the blobs are concerned."""
    fresh = type(tracker)(tracker.store, tracker.project, tracker.backend)
    assert fresh.blobs is not tracker.blobs
    return fresh


def stored_files(tracker):
    return [path for path in tracker.blobs.folder.rglob("*") if path.is_file()]


def save(tracker, text="content"):
    with tracker.run("upload", config={}) as run:
        path = run.scratch / "a"
        path.write_text(text)
        return run.save("data", "raw_data", {"a.txt": path})


def nothing_left(tracker):
    assert list((tracker.store / "tmp").glob("*")) == []
    assert [path for path in tracker.blobs.folder.rglob("*") if path.is_file() and len(path.name) != 64] == []


def test_a_file_from_outside_is_copied(tracker, tmp_path):
    mine = tmp_path / "mine.jpg"
    mine.write_bytes(b"x" * 3_000_000)
    with tracker.run("upload", config={}) as run:
        stored = run.store(mine)
        assert list(run.scratch.iterdir()) == []
    assert mine.read_bytes() == b"x" * 3_000_000
    assert (stored.digest, stored.size) == (hashlib.sha256(mine.read_bytes()).hexdigest(), 3_000_000)
    blob = tracker.blobs.path(stored.digest)
    assert blob.parent.name == stored.digest[:2]
    assert (blob.read_bytes(), blob.stat().st_ino) != (b"", mine.stat().st_ino)
    nothing_left(tracker)


def test_a_file_in_scratch_is_moved(tracker):
    with tracker.run("upload", config={}) as run:
        path = run.scratch / "sub" / "made.bin"
        path.parent.mkdir()
        path.write_bytes(b"made")
        inode = path.stat().st_ino
        stored = run.store(path)
        assert not path.exists()
        assert tracker.blobs.path(stored.digest).stat().st_ino == inode
        path.write_bytes(b"made")
        assert run.store(path) == stored
        assert not path.exists(), "taken even where its content is stored already"
        assert tracker.blobs.path(stored.digest).stat().st_ino == inode
    nothing_left(tracker)


def test_equal_files_are_stored_once_over_artifacts_and_runs(tracker, tmp_path):
    mine = tmp_path / "mine"
    mine.write_text("the same")
    twin = tmp_path / "twin"
    twin.write_text("the same")
    with tracker.run("upload", config={}) as run:
        first = run.save("data", "raw_data", {"a": mine, "b": twin})
    inode = first.path("a").stat().st_ino
    with tracker.run("data_split", config={}) as run:
        second = run.save("data_split", "split_data", {"deep/c": first.files["a"], "d": mine})
    assert [path.name for path in stored_files(tracker)] == [first.files["a"].digest]
    assert {second.path(name).stat().st_ino for name in ("deep/c", "d")} == {inode}


@pytest.mark.parametrize("way", ["up", "link"])
def test_a_file_of_the_users_is_not_taken_for_one_in_scratch(tracker, tmp_path, way):
    mine = tmp_path / "store" / "mine"
    with tracker.run("upload", config={}) as run:
        mine.write_text("mine")
        path = run.scratch / ".." / ".." / "mine"
        if way == "link":
            path = run.scratch / "link"
            path.symlink_to(mine)
        stored = run.store(path)
    assert mine.read_text() == "mine"
    blob = tracker.blobs.path(stored.digest)
    assert blob.read_text() == "mine"
    assert not blob.is_symlink()


def test_a_link_inside_scratch_is_stored_as_what_it_points_at(tracker):
    with tracker.run("upload", config={}) as run:
        (run.scratch / "made").write_text("made")
        (run.scratch / "link").symlink_to(run.scratch / "made")
        stored = run.store(run.scratch / "link")
        assert (run.scratch / "made").read_text() == "made"
    blob = tracker.blobs.path(stored.digest)
    assert (blob.read_text(), blob.is_symlink()) == ("made", False)


@pytest.mark.parametrize("name", ["missing", "folder"])
def test_what_is_no_file_cannot_be_stored(tracker, tmp_path, name):
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreError, match=f"{name} cannot be stored"), tracker.run("upload", config={}) as run:
        run.save("data", "raw_data", {"a": tmp_path / name})
    assert tracker.runs()[0].status == "failed"
    nothing_left(tracker)


def test_an_empty_file(tracker, tmp_path):
    (tmp_path / "empty").touch()
    with tracker.run("upload", config={}) as run:
        artifact = run.save("data", "raw_data", {"a": tmp_path / "empty"})
    assert artifact.path("a").read_bytes() == b""


# reading


def test_a_damaged_file_is_named(tracker):
    artifact = save(tracker)
    path = artifact.path("a.txt")
    path.write_text("CONTENT")
    for read in (lambda: artifact.path("a.txt"), artifact.check, lambda: artifact.json("a.txt")):
        with pytest.raises(StoreError) as caught:
            read()
        assert "a.txt of data:v0 is damaged" in str(caught.value)
        assert str(path) in str(caught.value)
        assert "Run the stage that made it again" in str(caught.value)


def test_a_missing_file_is_named(tracker):
    artifact = save(tracker)
    artifact.path("a.txt").unlink()
    with pytest.raises(StoreError, match=r"a\.txt of data:v0 is missing"):
        artifact.path("a.txt")


def test_storing_good_content_mends_a_damaged_blob(tracker):
    path = save(tracker, "content").path("a.txt")
    path.write_text("CONTENT")  # of the same size
    artifact = save(tracker, "content")
    assert artifact.path("a.txt").read_text() == "content"
    assert again(tracker).get("data").path("a.txt").read_text() == "content"


def test_a_second_read_does_not_hash_again(tracker, hashed):
    artifact = save(tracker)
    hashed.clear()
    for _ in range(3):
        artifact.path("a.txt")
    assert hashed == []
    again(tracker).get("data").path("a.txt")
    assert hashed == [], "noted for the next process too"
    notes = json.loads((tracker.store / "checked.json").read_text())
    assert list(notes) == [artifact.files["a.txt"].digest]


def test_a_changed_time_is_hashed_again_once(tracker, hashed):
    artifact = save(tracker)
    path = artifact.path("a.txt")
    os.utime(path, (1, 1))
    hashed.clear()
    artifact.path("a.txt")
    artifact.path("a.txt")
    assert hashed == [path]


def test_checking_for_up_to_date_is_remembered(tracker, hashed):
    with tracker.run("upload", config={}, fingerprint="f") as run:
        (run.scratch / "a").write_text("content")
        artifact = run.save("data", "raw_data", {"a.txt": run.scratch / "a"})
    os.utime(artifact.path("a.txt"), (1, 1))  # as after copying the store to another disk
    hashed.clear()
    assert again(tracker).up_to_date("upload", "f") == artifact
    assert len(hashed) == 1
    assert again(tracker).up_to_date("upload", "f") == artifact
    assert len(hashed) == 1


@pytest.mark.parametrize("notes", ["", "[]", '{"a": ', '"text"', "{}"])
def test_broken_notes_only_cost_time(tracker, hashed, notes):
    artifact = save(tracker)
    (tracker.store / "checked.json").write_text(notes)
    hashed.clear()
    assert again(tracker).get("data").path("a.txt").read_text() == "content"
    assert hashed == [artifact.path("a.txt")]


def test_the_notes_of_two_trackers_add_up(tracker):
    twin = again(tracker)
    save(tracker, "one")
    save(twin, "two")
    save(tracker, "three")
    assert len(json.loads((tracker.store / "checked.json").read_text())) == 3


def test_notes_do_not_vouch_for_a_changed_file(tracker):
    artifact = save(tracker)
    path = artifact.path("a.txt")
    path.write_text("longer than it was")
    os.utime(path, ns=(path.stat().st_atime_ns, json.loads((tracker.store / "checked.json").read_text())[path.name][1]))
    with pytest.raises(StoreError, match="damaged"):
        again(tracker).get("data").path("a.txt")


# a full disk


def full(*_args, **_kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def is_closed_as_full(tracker):
    (record,) = tracker.runs()
    assert (record.status, record.error, record.resumable) == ("failed", "the disk is full", True)
    nothing_left(tracker)
    assert tracker.artifacts() == []


def test_a_disk_that_fills_up_while_a_file_is_copied(tracker, tmp_path, monkeypatch):
    mine = tmp_path / "mine"
    mine.write_bytes(b"x" * 10)

    def half(_source, target):
        target.write_bytes(b"x" * 5)
        full()

    with (
        pytest.raises(StoreError, match=r"disk of .* is full\. Free some space"),
        tracker.run("upload", config={}) as run,
    ):
        monkeypatch.setattr(blobs, "_copy", half)
        run.store(mine)
    is_closed_as_full(tracker)


def test_a_disk_that_is_full_when_a_stage_writes(tracker):
    def stage(run):
        (run.scratch / "half").write_text("…")
        try:
            full()
        except OSError as error:
            raise RuntimeError("as a library wraps it") from error

    with pytest.raises(StoreError, match="is full"), tracker.run("upload", config={}) as run:
        stage(run)
    is_closed_as_full(tracker)


@pytest.mark.parametrize("text", ["No space left on device (os error 28)"])
def test_a_library_that_only_quotes_the_system(tracker, text):
    with pytest.raises(StoreError, match="is full"), tracker.run("upload", config={}):
        raise ValueError(text)
    is_closed_as_full(tracker)


def test_a_disk_with_no_room_even_for_the_record(tracker, monkeypatch):
    with pytest.raises(StoreError, match="is full"), monkeypatch.context() as patch, tracker.run("upload", config={}):
        patch.setattr(type(tracker._book), "update", full)
        full()
    (record,) = again(tracker).runs()
    assert (record.status, record.resumable) == ("failed", True)
    nothing_left(tracker)


def test_the_files_of_a_run_make_room_for_its_record(tracker, monkeypatch):
    update = type(tracker._book).update

    def tight(book, record):
        if (book.scratch(record.id) / "big").exists():
            full()
        return update(book, record)

    monkeypatch.setattr(type(tracker._book), "update", tight)
    with pytest.raises(StoreError, match="is full"), tracker.run("upload", config={}) as run:
        (run.scratch / "big").write_text("all there was")
        full()
    is_closed_as_full(tracker)


def test_a_disk_that_is_full_before_the_run(tracker, monkeypatch):
    monkeypatch.setattr(type(tracker._book), "update", full)
    with pytest.raises(StoreError, match="is full"), tracker.run("upload", config={}):
        pytest.fail("it ran")
    assert tracker.runs() == []
    nothing_left(tracker)


def test_sqlite_on_a_full_disk(tmp_path, monkeypatch):
    from trackio.sqlite_storage import SQLiteStorage

    def no_room(*_args, **_kwargs):
        raise sqlite3.OperationalError("database or disk is full")

    tracker = open_tracker(Config(store=str(tmp_path)))
    with pytest.raises(StoreError, match=r"disk of .* is full\. Free"), tracker.run("training", config={}) as run:
        monkeypatch.setattr(SQLiteStorage, "bulk_log", no_room)
        run.log({"loss": 1.0}, step=1)
    is_closed_as_full(tracker)


def test_sqlite_that_only_says_io_error_on_a_full_disk(tmp_path, monkeypatch):
    """What it says in fact where its write-ahead log cannot grow (tried on a small tmpfs)."""
    from trackio.sqlite_storage import SQLiteStorage

    def no_room(*_args, **_kwargs):
        monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=4096))
        raise sqlite3.OperationalError("disk I/O error")

    tracker = open_tracker(Config(store=str(tmp_path)))
    with pytest.raises(StoreError, match=r"disk of .* is full\. Free"), tracker.run("training", config={}) as run:
        monkeypatch.setattr(SQLiteStorage, "bulk_log", no_room)
        run.log({"loss": 1.0}, step=1)
    monkeypatch.undo()
    is_closed_as_full(tracker)


def test_a_store_that_may_only_be_read(tmp_path, monkeypatch):
    from trackio.sqlite_storage import SQLiteStorage

    def readonly(*_):
        raise sqlite3.OperationalError("attempt to write a readonly database")

    tracker = open_tracker(Config(store=str(tmp_path)))
    save(tracker)
    monkeypatch.setattr(SQLiteStorage, "list_artifacts", readonly)
    with pytest.raises(StoreError, match=r"may only be read.* Make it writable, or give a copy of it as --store"):
        tracker.artifacts()


def test_sqlite_in_trouble(tmp_path):
    tracker = open_tracker(Config(store=str(tmp_path)))
    save(tracker)
    database = tracker.backend.database
    for name in (database.name, database.name + "-wal", database.name + "-shm"):
        (database.parent / name).unlink(missing_ok=True)
    database.write_bytes(b"not a database at all" * 100)
    for ask in (tracker.artifacts, lambda: tracker.get("data"), lambda: save(tracker)):
        with pytest.raises(StoreError, match=r"trackio's database .*sightline\.db cannot be used"):
            ask()
    assert [record.status for record in tracker.runs()] == ["finished", "failed"]
