"""`sightline compare`: runs beside the first, on four small trainings; figures worked out anew from the tables."""

import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import sightline
from sightline import cli
from sightline.config import load_config
from sightline.errors import ConfigError, StoreError
from sightline.learning.metrics import iou, miou, paired_interval
from sightline.sample import make_dataset
from sightline.summary import confusions

SMALL = {"pretrained": False, "epochs": 1, "image_size": [32, 48], "folds": 4, "resamples": 100, "workers": 1,
         "stratify": []}  # fmt: skip


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    """(settings, tracker) of four trainings: 1, 2 and 3 on one split, 4 on another; 3 was not evaluated on valid."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("compare")
    data = make_dataset(folder / "scenes", drives=40, frames=1, size=(64, 96), workers=1)
    settings = {**SMALL, "data": str(data), "store": str(folder / "store")}
    config = load_config(None, settings)
    tracker = sightline.open_tracker(config)
    sightline.ingest(config, tracker)
    dealt = sightline.split(config, tracker)
    for change in ({}, {"lr": 0.01, "epochs": 2}, {"lr": 0.02}):
        sightline.train(load_config(None, {**settings, **change}), tracker, split=dealt)
    other = load_config(None, {**settings, "test_folds": [1], "valid_folds": [2]})
    sightline.train(other, tracker, split=sightline.split(other, tracker))
    for version in (0, 1, 3):
        sightline.evaluate(config, tracker, model=f"scenes_model:v{version}")
    sightline.evaluate(load_config(None, {**settings, "subset": "test"}), tracker, model="scenes_model:v2")
    return settings, tracker


@pytest.fixture(scope="module")
def config(walked):
    return load_config(None, walked[0])


@pytest.fixture(scope="module")
def tracker(walked):
    return walked[1]


def command(walked, *arguments):
    store = ["--store", walked[0]["store"]]
    return CliRunner().invoke(cli.app, [*arguments, *store], env={"COLUMNS": "200"})


def matrices(artifact):
    return confusions(artifact.table("pred_table.parquet"))


def test_scores_differences_and_intervals_are_those_of_the_tables(config, tracker):
    found = sightline.compare(config, ["training-1", "training-2"], tracker)
    before, after = (tracker.get(f"scenes_eval:v{number}") for number in (0, 1))
    counts = [matrices(one) for one in (before, after)]
    groups = [row["Group"] for row in before.table("pred_table.parquet").rows()]
    expected = paired_interval(*counts, groups, 2000, 42)
    assert expected.miou is not None and found.others[0].groups == 10
    assert len(found.rows) == 8
    for row, bounds, value in zip(
        found.rows,
        [expected.miou, *expected.iou],
        np.stack([np.append(miou(one.sum(axis=0)), iou(one.sum(axis=0))) for one in counts], axis=1),
        strict=True,
    ):
        assert (row[0].a, row[0].b) == tuple(None if np.isnan(one) else one for one in value)
        assert row[0].interval == bounds
    assert found.figures["pixel accuracy"] == tuple(one.metadata["pixel_accuracy"] for one in (before, after))
    assert found.images == 10 and found.left_out == 0


def test_only_settings_that_differ_are_told(config, tracker):
    found = sightline.compare(config, ["training-1", "training-2", "training-1"], tracker)
    assert {one.key: one.values for one in found.settings} == {
        "model": ("scenes_model:v0", "scenes_model:v1", "scenes_model:v0"),
        "train.epochs": (1, 2, 1),
        "train.lr": (0.002, 0.01, 0.002),
    }


def test_a_run_goes_by_many_names(config, tracker):
    wanted = ("scenes_eval:v0", "scenes_eval:v1")
    run = next(one for one in tracker.runs() if one.name == "training-1")
    for names in (
        ("training-1", "training-2"),
        ("scenes_model:v0", "scenes_eval:v1"),
        ("evaluation-1", tracker.get("scenes_eval:v1")),
        (run.id, tracker.get("scenes_model:v1")),
    ):
        assert tuple(one.spec for one in sightline.compare(config, names, tracker).evaluations) == wanted
    assert sightline.compare(config, ["training-1", tracker.get("scenes_eval:v1")], tracker).names == (
        "training-1", "scenes_eval:v1",
    )  # fmt: skip


def test_a_model_stands_for_its_newest_evaluation(config, walked, tracker):
    again = load_config(None, {**walked[0], "resamples": 200})
    newer = sightline.evaluate(again, tracker, model="scenes_model:v0")
    found = sightline.compare(config, ["scenes_model:v0", "scenes_eval:v1"], tracker)
    assert newer.version > 1 and found.evaluations[0].spec == newer.spec
    assert found.settings[-1].values == (200, 100) and found.settings[-1].key == "evaluate.resamples"


def test_models_that_predict_alike_share_an_evaluation_and_each_has_it(config, walked, tracker):
    change = {"lr": 0.01, "epochs": 2, "encoder_lr": 0.5}  # there are no weights to begin with: the last does nothing
    model = sightline.train(load_config(None, {**walked[0], **change}), tracker, split="scenes_split:v0")
    known = tracker.get("scenes_model:v1")
    assert model.spec != known.spec
    assert model.files["weights.safetensors"] == known.files["weights.safetensors"]
    shared = sightline.evaluate(config, tracker, model=model)
    assert (shared.spec, shared.metadata["model"]) == ("scenes_eval:v1", model.spec)
    found = sightline.compare(config, ["training-2", model], tracker)
    assert [one.spec for one in found.evaluations] == ["scenes_eval:v1"] * 2


def test_the_table_names_runs_settings_and_differences(walked, config, tracker):
    done = command(walked, "compare", "evaluation-1", "training-2", "scenes_eval:v0")
    assert done.exit_code == 0, done.output
    found = sightline.compare(config, ["evaluation-1", "training-2"], tracker)
    mean = found.rows[0][0]
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["Setting", "evaluation-1", "training-2", "scenes_eval:v0"] in lines
    assert ["train.lr", "0.002", "0.01", "0.002"] in lines
    told = next(line for line in lines if line[:1] == ["mIoU"])
    low, high = (f"{value:+.3f}" for value in mean.interval)
    assert told[1:7] == [f"{mean.a:.3f}", f"{mean.b:.3f}", f"{mean.difference:+.3f}", low, "to", high]
    assert told[7:] == [f"{mean.a:.3f}", "+0.000", "+0.000", "to", "+0.000"]
    assert "IoU on 10 images of 10 groups" in done.stdout


def test_json_is_what_python_gives(walked, config, tracker):
    done = command(walked, "compare", "training-1", "training-2", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == json.loads(
        json.dumps(sightline.compare(config, ["training-1", "training-2"], tracker).to_dict())
    )


def test_in_a_notebook_it_shows_itself(config, tracker):
    found = sightline.compare(config, ["training-1", "training-2"], tracker)
    html = found._repr_html_()
    mean = found.rows[0][0]
    for text in ("train.lr", "less training-1", "vehicle", f"{mean.b:.3f}", f"{mean.difference:+.3f} [", "10 images"):
        assert text in html


def test_a_training_without_an_evaluation_says_how_to_make_one(walked, config, tracker):
    with pytest.raises(StoreError) as caught:
        sightline.compare(config, ["training-1", "training-3"], tracker)
    assert str(caught.value) == (
        "training-3 (scenes_model:v2) has no evaluation on valid. "
        "`sightline evaluate --model scenes_model:v2` makes one."
    )
    done = command(walked, "compare", "scenes_model:v2", "scenes_model:v1", "--subset", "test")
    assert done.exit_code == StoreError.exit_code
    assert "scenes_model:v1 has no evaluation on test." in done.output
    assert "`sightline evaluate --model scenes_model:v1 --subset test` makes one" in done.output


def test_different_images_are_refused(config, tracker):
    with pytest.raises(ConfigError, match=r"^training-1 and training-4 cannot be compared. Of 10 and 10 images none"):
        sightline.compare(config, ["training-1", "training-4"], tracker)


def test_all_are_compared_on_the_same_images(config, tracker):
    whole = tracker.get("scenes_eval:v1")
    with tracker.run("evaluation", config={}) as run:
        part = whole.table("pred_table.parquet").query("miou > 0.0", limit=6)
        path = part.write(run.scratch / "pred_table.parquet")
        files = {**whole.files, "pred_table.parquet": path}
        part = run.save("scenes_part", "evaluation", files, whole.metadata)
    found = sightline.compare(config, ["scenes_eval:v0", part], tracker)
    assert (found.images, found.left_out, found.figures) == (6, 4, {})
    with pytest.raises(ConfigError, match="scenes_eval:v0 and scenes_part:v0 6, and not the same ones"):
        sightline.compare(config, ["scenes_eval:v0", "scenes_eval:v1", part], tracker)


def test_what_is_not_there_is_told_with_what_is(walked, config, tracker):
    done = command(walked, "compare", "training-1", "training-9")
    assert done.exit_code == StoreError.exit_code and "Traceback" not in done.output
    assert "No run and no artifact is called training-9" in done.output
    assert "training-1, training-2, training-3" in done.output
    with pytest.raises(ConfigError, match=r"Two runs at least.*`sightline runs`"):
        sightline.compare(config, ["training-1"], tracker)
    with pytest.raises(ConfigError, match=r"There is no model behind upload-1 \(upload\)"):
        sightline.compare(config, ["training-1", "upload-1"], tracker)
    assert command(walked, "compare").exit_code == 2
