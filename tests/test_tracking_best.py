"""`NAME_model:best`: which version it is, with both backends, and that a stage takes it."""

import json

import pytest

from sightline.config import Config
from sightline.errors import StoreError
from sightline.tracking import open_tracker


@pytest.fixture(params=["trackio", "none"])
def tracker(request, tmp_path):
    return open_tracker(Config(store=str(tmp_path / "store"), tracker=request.param))


def trained(tracker, miou, digest="s0", canvas=(180, 320), recipe="default", name="d_model", lr=1e-3):
    """A model as `train` saves it, but for its weights."""
    config = {"split": {"name": "d_split", "digest": digest}, "canvas": canvas, "train": {"recipe": recipe, "lr": lr}}
    with tracker.run("training", config={}) as run:
        path = run.scratch / "config.json"
        path.write_text(json.dumps({**config, "best_miou": miou}))
        return run.save(name, "model", {"config.json": path}, {"split": "d_split:v0", "best_miou": miou})


def test_the_best_is_the_one_with_the_highest_miou(tracker):
    for miou in (0.4, 0.6, 0.5):
        trained(tracker, miou)
    assert tracker.get("d_model:best").spec == "d_model:v1"
    assert tracker.get("d_model").spec == "d_model:v2"
    assert tracker.get("d_model:best").aliases == ("best",)
    trained(tracker, 0.7)
    assert tracker.get("d_model:best").spec == "d_model:v3"
    assert tracker.get("d_model:best").aliases == ("best", "latest")


@pytest.mark.parametrize("other", [{"digest": "s1"}, {"canvas": (90, 160)}, {"recipe": "course"}])
def test_only_models_measured_alike_are_compared(tracker, other):
    trained(tracker, 0.9, **other)
    trained(tracker, 0.3)
    trained(tracker, 0.2)
    assert tracker.get("d_model:best").spec == "d_model:v1"
    trained(tracker, 0.1, **other)
    assert tracker.get("d_model:best").spec == "d_model:v0", "measured as the latest one is"


def test_each_model_has_a_best_of_its_own_and_nothing_else_has_one(tracker):
    trained(tracker, 0.9)
    trained(tracker, 0.8, name="e_model")
    with tracker.run("upload", config={}) as run:
        (run.scratch / "a").write_text("a")
        run.save("d", "raw_data", {"a": run.scratch / "a"}, {"best_miou": 1.0})
    assert {one.spec: one.aliases for one in tracker.artifacts()} == {
        "d:v0": ("latest",), "d_model:v0": ("best", "latest"), "e_model:v0": ("best", "latest"),
    }  # fmt: skip
    with pytest.raises(StoreError, match="no artifact d:best"):
        tracker.get("d:best")


def test_of_equals_the_earlier_and_what_was_not_measured_is_not_best(tracker):
    trained(tracker, 0.5)
    trained(tracker, 0.5, lr=2e-3)
    assert tracker.get("d_model").spec == "d_model:v1"
    trained(tracker, None)
    assert tracker.get("d_model:best").spec == "d_model:v0"


def test_a_model_that_cannot_be_read_is_not_best_and_listing_goes_on(tracker):
    trained(tracker, 0.9).path("config.json").unlink()
    trained(tracker, 0.3)
    assert [one.aliases for one in tracker.artifacts()] == [(), ("best", "latest")]
    assert tracker.get("d_model:best").spec == "d_model:v1"


def test_a_run_pins_the_version_that_was_the_best(tracker):
    trained(tracker, 0.9)
    trained(tracker, 0.3)
    with tracker.run("evaluation", config={}) as run:
        run.use(tracker.get("d_model:best"))
    trained(tracker, 0.95)
    assert tracker.runs()[-2].inputs == ("d_model:v0",)


def test_it_is_the_same_in_another_process_and_after_the_store_was_moved(tmp_path):
    tracker = open_tracker(Config(store=str(tmp_path / "a")))
    for miou in (0.6, 0.5):
        trained(tracker, miou)
    (tmp_path / "a").rename(tmp_path / "b")
    assert open_tracker(Config(store=str(tmp_path / "b"))).get("d_model:best").spec == "d_model:v0"
