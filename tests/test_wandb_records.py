"""The reader of `.wandb` files, on what the plain SDK writes offline, sound and damaged."""

import math
from pathlib import Path

import pytest

wandb = pytest.importorskip("wandb")
from wandb_records import BLOCK, CHUNK, HEADER, DamagedError, WandbRun, read_records, wandb_runs  # noqa: E402

LONG = "x" * (3 * BLOCK)
"""A setting whose record does not fit into one block."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder in which one run was logged offline."""
    wandb.teardown()  # its service of another test, with that one's settings
    folder = tmp_path_factory.mktemp("wandb")
    (folder / "a.txt").write_text("hello")
    with pytest.MonkeyPatch.context() as patched:
        for name, value in {"MODE": "offline", "SILENT": "true"}.items():
            patched.setenv(f"WANDB_{name}", value)
        for name in ("DATA_DIR", "CACHE_DIR", "CONFIG_DIR"):
            patched.setenv(f"WANDB_{name}", str(folder / name))
        about = {"id": "abcd1234", "name": "training-1", "job_type": "training", "group": "g", "tags": ["x", "y"]}
        settings = wandb.Settings(console="off", disable_git=True, x_disable_stats=True, x_disable_meta=True)
        run = wandb.init(project="p", entity="e", config={"lr": 0.1, "long": LONG, "deep": {"a": [1, 2]}},
                         dir=folder, settings=settings, **about)  # fmt: skip
        run.config.update({"lr": 0.2}, allow_val_change=True)
        run.log({"loss": 2.0}, step=1)
        run.log({"loss": 1.0, "miou": math.nan, "table": wandb.Table(columns=["a"], data=[[1], [2]])}, step=2)
        artifact = wandb.Artifact("data", "raw_data", metadata={"version": 3})
        artifact.add_file(str(folder / "a.txt"), "texts/a.txt")
        artifact.add_reference((folder / "a.txt").as_uri(), "b.txt")
        run.log_artifact(artifact, aliases=["latest", "best"])
        run.summary["final_miou"] = 0.5
        run.finish(exit_code=3)
        wandb.teardown()  # only now is all of it on the disk
    return folder


@pytest.fixture
def file(folder):
    (found,) = folder.glob("wandb/offline-run-*/run-abcd1234.wandb")
    return found


def test_all_that_the_sdk_was_told_is_read_back(folder):
    (run,) = wandb_runs(folder)
    told = run.run
    assert (told.run_id, told.project, told.entity) == ("abcd1234", "p", "e")
    assert (told.display_name, told.job_type, told.run_group, list(told.tags)) == (
        "training-1", "training", "g", ["x", "y"])  # fmt: skip
    assert run.config == {"lr": 0.2, "long": LONG, "deep": {"a": [1, 2]}}
    assert [(row["_step"], row["loss"]) for row in run.history] == [(1, 2.0), (2, 1.0)]
    assert math.isnan(run.history[1]["miou"])
    assert run.summary["final_miou"] == 0.5
    assert run.summary["loss"] == 1.0
    assert run.table("table") == {"columns": ["a"], "data": [[1], [2]]}
    assert run.summary["table"]["path"] in run.files
    assert run.exit_code == 3


def test_an_artifact_is_read_back_with_its_files(folder):
    (artifact,) = WandbRun(next(folder.glob("wandb/offline-run-*"))).artifacts
    assert (artifact.name, artifact.type, artifact.aliases) == ("data", "raw_data", ["best", "latest"])
    assert artifact.metadata == {"version": 3}
    assert set(artifact.manifest) == {"texts/a.txt", "b.txt"}
    assert artifact.bytes("texts/a.txt") == b"hello"
    assert artifact.manifest["b.txt"].ref == (folder / "a.txt").as_uri()


def test_a_record_longer_than_a_block_is_put_together(file):
    assert file.stat().st_size > len(LONG) > 2 * BLOCK
    kinds = [record.WhichOneof("record_type") for record in read_records(file)]
    assert kinds[0] == "header"
    assert kinds[-1] == "exit"


@pytest.mark.parametrize("place", [3, len(HEADER), len(HEADER) + CHUNK.size + 5, BLOCK + 100, -1])
def test_a_changed_byte_is_noticed(file, tmp_path, place):
    data = bytearray(file.read_bytes())
    data[place] ^= 0x10
    changed = tmp_path / "run-x.wandb"
    changed.write_bytes(data)
    with pytest.raises(DamagedError, match=r"checksum|begins with|bytes long"):
        read_records(changed)


@pytest.mark.parametrize("end", [2, len(HEADER) + 3, BLOCK, 2 * BLOCK + 9, -1])
def test_a_file_cut_off_is_noticed(file, tmp_path, end):
    cut = tmp_path / "run-x.wandb"
    cut.write_bytes(file.read_bytes()[:end])
    with pytest.raises(DamagedError, match=r"begins with|cut off|bytes long"):
        read_records(cut)


def test_a_file_changed_after_it_was_staged_is_noticed(folder):
    (run,) = wandb_runs(folder)
    entry = run.artifact("data").manifest["texts/a.txt"]
    sound = entry.bytes()
    staged = Path(entry.local)
    staged.chmod(0o644)
    try:
        staged.write_bytes(b"jello")
        with pytest.raises(AssertionError):
            entry.bytes()
    finally:
        staged.write_bytes(sound)
