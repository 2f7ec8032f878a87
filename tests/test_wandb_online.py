"""The W&B mirror online, against a stand-in for W&B's server on this machine (`wandb_server.py`): it is not W&B.

It shows which calls the mirror makes through the real SDK, and what comes of answers that are errors.
"""

import pytest
from wandb_server import WandbServer

wandb = pytest.importorskip("wandb")


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A stand-in that the SDK talks to."""
    wandb.teardown()  # its service of another test, with that one's settings
    with WandbServer() as running:
        for name, value in running.environment(tmp_path / "sdk").items():
            monkeypatch.setenv(name, value)
        (tmp_path / "sdk").mkdir()
        yield running
        wandb.teardown()
    assert running.unknown == []


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
