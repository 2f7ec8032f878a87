"""The W&B mirror online, against a stand-in for W&B's server on this machine (`wandb_server.py`): it is not W&B.

It shows which calls the mirror makes through the real SDK, and what comes of answers that are errors.
"""

import hashlib
import shutil
import subprocess
import sys

import pytest
from typer.testing import CliRunner
from wandb_broken import broken_off, gone_on_with
from wandb_server import WandbServer

from sightline.cli import app
from sightline.config import Config
from sightline.sample import make_dataset
from sightline.tracking import open_tracker

wandb = pytest.importorskip("wandb")
from sightline.tracking import wandb_run  # noqa: E402

SETTINGS = """
data: {data: scenes}
split: {folds: 3, stratify: []}
train: {pretrained: false, epochs: 1, image_size: [64, 96], batch_size: 4}
evaluate: {resamples: 100}
report: {examples: 1}
workers: 0
wandb: {project: mirrored, timeout: 20}
"""


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A stand-in that the SDK talks to."""
    wandb.teardown()  # its service of another test, with that one's settings
    with WandbServer() as running:
        (tmp_path / "sdk").mkdir()
        for name, value in running.environment(tmp_path / "sdk").items():
            monkeypatch.setenv(name, value)
        monkeypatch.setitem(wandb_run.LIMITS, "x_graphql_retry_max", 1)
        yield running
        wandb.teardown()
    assert running.unknown == []


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with a small sample of scenes, as the working directory."""
    folder = tmp_path / "project"
    make_dataset(folder / "scenes", drives=6, frames=2, size=(96, 160), workers=1)
    (folder / "sightline.yaml").write_text(SETTINGS)
    monkeypatch.chdir(folder)
    return folder


def sightline(*arguments):
    """The command; what it said, in one line each."""
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == 0, done.output
    return done.output


def warnings(said):
    return " ".join(said.split()).count("Warning:")


def tracker(project):
    return open_tracker(Config(store=str(project / ".sightline")))


def arrived(server, project, spec):
    """Assert that an artifact's files are on the server, each as it is in the store; return it."""
    local, online = tracker(project).get(spec), server.artifact(spec)
    for path, file in local.files.items():
        assert hashlib.sha256(server.content(online, path)).hexdigest() == file.digest, path
    assert (online.type, online.metadata["local_digest"]) == (local.type, local.digest)
    return online


def test_the_stand_in_keeps_what_the_plain_sdk_sends(server, tmp_path):
    (tmp_path / "a.txt").write_text("hello")
    quiet = wandb.Settings(console="off", disable_git=True)
    with wandb.init(project="p", id="00000001", job_type="upload", config={"lr": 1}, settings=quiet) as run:
        artifact = wandb.Artifact("data", "raw_data", metadata={"version": 3})
        artifact.add_file(str(tmp_path / "a.txt"))
        run.log_artifact(artifact, aliases=["latest", "best"])
        run.log({"loss": 1.0})
    with wandb.init(project="p", id="00000002", job_type="training", settings=quiet) as run:
        run.use_artifact("data:best")
        run.finish(exit_code=1)
    assert server.lineage() == [("training", ["data:v0"], []), ("upload", [], ["data:v0"])]
    upload, training = server.runs["00000001"], server.runs["00000002"]
    assert (upload.exit_code, training.exit_code) == (0, 1)
    assert upload.config == {"lr": 1}
    assert [row["loss"] for row in upload.history] == [1.0]
    data = server.artifact("data:latest")
    assert (data.metadata, server.content(data, "a.txt")) == ({"version": 3}, b"hello")


def whole(server, project):
    """Assert that a walk is on the server: lineage, files, aliases, and what the training's own run shows."""
    chain = {job: (inputs, [spec for spec in outputs if not spec.startswith("run-")])
             for job, inputs, outputs in server.lineage()}  # fmt: skip
    assert chain["upload"] == ([], ["scenes:v0"])
    assert chain["data_split"] == (["scenes:v0"], ["scenes_split:v0"])
    assert chain["training"] == (["scenes_split:v0"], ["scenes_model:v0"])
    assert chain["evaluation"] == (["scenes_model:v0", "scenes_split:v0"], ["scenes_eval:v0"])
    for spec in ("scenes:v0", "scenes_split:v0", "scenes_model:v0", "scenes_eval:v0"):
        arrived(server, project, spec)
    assert server.artifact("scenes_model:best").spec == server.artifact("scenes_model:latest").spec == "scenes_model:v0"
    assert {run.exit_code for run in server.runs.values()} == {0}
    (training,) = [run for run in server.runs.values() if run.said["jobType"] == "training"]
    assert training.project == "mirrored"
    assert [row["_step"] for row in training.history if "train_loss" in row] == [1]
    assert {"final_miou", "final_loss", "pred_table"} <= set(training.summary)


def test_the_lineage_from_upload_to_evaluation_is_whole_at_once_and_by_sync(server, project, monkeypatch):
    assert warnings(sightline("run", "--wandb")) == 0
    whole(server, project)
    wandb.teardown()
    shutil.rmtree(project / ".sightline" / "wandb")  # all that tells the store of a walk without W&B from this one's
    with WandbServer() as other:
        monkeypatch.setenv("WANDB_BASE_URL", other.url)
        sightline("sync", "--all")
        whole(other, project)
        wandb.teardown()
        calls = len(other.calls)
        sightline("sync", "--all")
        assert len(other.calls) == calls


def test_a_training_that_comes_after_its_evaluation_has_what_that_found(server, project):
    for stage in ("ingest", "split", "train"):
        sightline(stage)
    sightline("evaluate", "--wandb")
    assert [run.said["jobType"] for run in server.runs.values()] == ["evaluation"]
    sightline("sync", "training-1")
    (training,) = [run for run in server.runs.values() if run.said["jobType"] == "training"]
    assert {"final_miou", "final_loss", "pred_table", "miou"} <= set(training.summary)
    calls = len(server.calls)
    assert "already" in sightline("sync", "training-1", "evaluation-1")
    assert len(server.calls) == calls


def test_what_was_written_offline_is_uploaded_by_the_sdks_own_command(server, project):
    assert warnings(sightline("run", "--wandb", "--wandb-mode", "offline")) == 0
    wandb.teardown()
    assert server.calls == []
    folders = sorted((project / ".sightline" / "wandb").glob("offline-run-*"))
    subprocess.run([sys.executable, "-m", "wandb", "sync", *folders], capture_output=True, check=True)
    for spec in ("scenes:v0", "scenes_split:v0", "scenes_model:v0", "scenes_eval:v0"):
        arrived(server, project, spec)
    assert len(server.runs) == len(folders) - 1 == 5, "the training has two folders"
    (training,) = [run for run in server.runs.values() if run.said["jobType"] == "training"]
    assert [row["_step"] for row in training.history] == [1, 2]
    assert {"final_miou", "pred_table", "miou", "best_miou"} <= set(training.summary)


@pytest.mark.parametrize("signals", [["SIGKILL"], ["SIGINT"], ["SIGINT", "SIGKILL"]])
def test_a_training_that_goes_on_has_every_epoch_once(server, tmp_path, signals):
    for name in signals:
        assert broken_off(tmp_path / "store", name) != 0
    _, last = gone_on_with(tmp_path / "store")
    wandb.teardown()
    (run,) = server.runs.values()
    assert [row["_step"] for row in run.history] == list(range(1, last + 1))
    assert (run.exit_code, run.summary["miou"], run.summary.get("error", "")) == (0, last / 8, "")


def test_a_failed_run_ends_online_with_an_exit_code(server, project):
    next((project / "scenes" / "labels").iterdir()).write_bytes(b"no mask")
    done = CliRunner().invoke(app, ["ingest", "--wandb"])
    assert done.exit_code not in (0, None)
    (run,) = server.runs.values()
    assert (run.exit_code, run.outputs) == (1, [])


def test_sync_mirrors_a_run_that_was_made_without_wandb_once_only(server, project):
    sightline("ingest")
    assert server.calls == []
    sightline("sync", "upload-1")
    arrived(server, project, "scenes:v0")
    (run,) = server.runs.values()
    assert (run.said["displayName"], run.exit_code) == ("upload-1", 0)
    calls = len(server.calls)
    assert "already" in sightline("sync", "upload-1")
    assert len(server.calls) == calls


def test_what_was_mirrored_at_once_is_not_synced_again(server, project):
    sightline("ingest", "--wandb")
    arrived(server, project, "scenes:v0")
    wandb.teardown()
    calls = len(server.calls)
    sightline("sync", "upload-1")
    assert len(server.calls) == calls


def test_with_the_server_down_the_stage_ends_well_and_is_synced_later(server, project, monkeypatch):
    with WandbServer() as gone:
        url = gone.url
    monkeypatch.setenv("WANDB_BASE_URL", url)
    assert warnings(sightline("ingest", "--wandb")) == 1
    tracker(project).get("scenes:v0").check()
    wandb.teardown()
    monkeypatch.setenv("WANDB_BASE_URL", server.url)
    sightline("sync", "upload-1")
    arrived(server, project, "scenes:v0")
    calls = len(server.calls)
    sightline("sync", "upload-1")
    assert len(server.calls) == calls


REFUSALS = {
    "broken": (500, "internal error", r"."),
    "a wrong key": (401, "user is not logged in", r"."),
    "a quota of calls": (429, "rate limit exceeded", r"."),
    "a quota of runs": (403, "run quota exceeded", r"UpsertBucket"),
    "a quota of artifacts": (403, "storage quota exceeded", r"CreateArtifact$"),
    "a full storage": (403, "storage quota exceeded", r"/storage/artifact"),
    "a quota of metrics": (403, "filestream quota exceeded", r"file_stream"),
}


@pytest.mark.parametrize("status, message, only", REFUSALS.values(), ids=REFUSALS)
def test_a_server_that_refuses_leads_to_one_warning_and_a_run_that_ends_well(server, project, status, message, only):
    server.refuse(status, message, only)
    said = sightline("ingest", "--wandb")
    assert server.refused
    assert warnings(said) == 1
    assert "sightline sync upload-1" in " ".join(said.split())
    (record,) = tracker(project).runs()
    assert record.status == "finished"
    tracker(project).get("scenes:v0").check()
    server.refuse(None)
    wandb.teardown()
    sightline("sync", "upload-1")
    arrived(server, project, "scenes:v0")


def test_without_a_key_there_is_one_warning(server, project, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY")
    said = sightline("ingest", "--wandb")
    assert warnings(said) == 1
    tracker(project).get("scenes:v0").check()
    assert server.runs == {}
