"""Evaluate: every image once, at its own size, and numbers that can be had again from the table."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import confusion_matrix

import sightline
from sightline.classes import ROAD_SCENE
from sightline.config import Train, load_config, to_dict
from sightline.errors import DataError, StoreError
from sightline.learning.metrics import interval, iou, mean_image_iou, miou, pixel_accuracy
from sightline.learning.pixels import read_mask
from sightline.sample import make_dataset
from sightline.tracking import open_tracker

SETTINGS = {"pretrained": False, "epochs": 1, "image_size": [64, 96], "batch_size": 4, "folds": 3, "resamples": 100,
            "workers": 1, "stratify": []}  # fmt: skip


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """A walk up to the model, on images of three sizes and shapes."""
    torch.set_num_threads(1)
    root = make_dataset(tmp_path_factory.mktemp("data") / "scenes", drives=6, frames=2, size=(96, 160), workers=1)
    for number, path in enumerate(sorted(root.glob("images/*.jpg"))):
        size = [(160, 96), (96, 128), (121, 77)][number % 3]
        mask = root / "labels" / f"{path.stem}_mask.png"
        Image.open(path).resize(size).save(path)
        Image.open(mask).resize(size, Image.Resampling.NEAREST).save(mask)
    config = load_config(None, {**SETTINGS, "data": str(root), "store": str(tmp_path_factory.mktemp("walk") / "store")})
    sightline.ingest(config)
    sightline.split(config)
    sightline.train(config)
    return config


@pytest.fixture(scope="module")
def tracker(config):
    return open_tracker(config)


@pytest.fixture(scope="module")
def evaluation(config, tracker):
    return sightline.evaluate(config, tracker)


@pytest.fixture(scope="module")
def pairs(tracker, evaluation):
    """(row of the prediction table, target, prediction) of every image."""
    split = tracker.get("scenes_split")
    masks = {row["File_Name"]: row["Mask"] for row in split.table("eda_table_data_split.parquet").rows()}
    rows = evaluation.table("pred_table.parquet").rows()
    files = [(row, split.path(masks[row["File_Name"]]), evaluation.path(row["Prediction"])) for row in rows]
    return [(row, read_mask(target), read_mask(prediction)) for row, target, prediction in files]


def test_each_image_of_the_subset_appears_once_and_no_other(tracker, pairs):
    rows = tracker.get("scenes_split").table("eda_table_data_split.parquet").rows()
    valid = [row["File_Name"] for row in rows if row["Stage"] == "valid"]
    assert [row["File_Name"] for row, _, _ in pairs] == sorted(valid)
    assert len(valid) == 4


def test_predictions_are_8_bit_masks_of_the_masks_own_size(evaluation, pairs):
    assert len({target.shape for _, target, _ in pairs}) > 1
    for row, target, prediction in pairs:
        assert prediction.shape == target.shape
        assert prediction.dtype == np.uint8 and prediction.max() < len(ROAD_SCENE)
        with Image.open(evaluation.path(row["Prediction"])) as stored:
            assert (stored.format, stored.mode) == ("PNG", "L")


def test_the_counts_are_those_of_the_stored_masks(pairs):
    for row, target, prediction in pairs:
        seen = target != 255
        expected = confusion_matrix(target[seen], prediction[seen], labels=range(7))
        assert np.array_equal(np.array(row["confusion"]).reshape(7, 7), expected)


def test_every_number_can_be_had_again_from_the_table(evaluation, pairs):
    summary = evaluation.json("summary.json")
    counts = np.array([row["confusion"] for row, _, _ in pairs]).reshape(-1, 7, 7)
    assert summary["final_miou"] == miou(counts.sum(0))
    assert summary["mean_image_iou"] == mean_image_iou(counts)
    assert summary["pixel_accuracy"] == pixel_accuracy(counts.sum(0))
    assert summary["final_loss"] == pytest.approx(np.mean([row["loss"] for row, _, _ in pairs]))
    for name, value in zip(ROAD_SCENE.names, iou(counts.sum(0)), strict=True):
        assert summary["final_iou"][name] == (None if np.isnan(value) else value)
    for (row, _, _), one in zip(pairs, counts, strict=True):
        assert row["miou"] == miou(one)
        for name, value in zip(ROAD_SCENE.names, iou(one), strict=True):
            assert row[f"{name}_iou"] == (None if np.isnan(value) else value)
    stored = evaluation.path("confusion.csv").read_text().splitlines()
    assert stored[0] == "Target," + ",".join(ROAD_SCENE.names)
    assert [[int(n) for n in line.split(",")[1:]] for line in stored[1:]] == counts.sum(0).tolist()


def test_the_run_keeps_the_summary_under_its_known_names(tracker, evaluation):
    record = next(record for record in tracker.runs() if record.job_type == "evaluation")
    summary = evaluation.json("summary.json")
    assert record.summary["final_miou"] == summary["final_miou"]
    assert record.summary["final_loss"] == summary["final_loss"]
    assert record.summary["final_road_iou"] == summary["final_iou"]["road"]
    assert record.inputs == ("scenes_model:v0", "scenes_split:v0")


def test_the_baseline_always_answers_the_most_frequent_class_of_train(tracker, evaluation, pairs):
    baseline = evaluation.json("summary.json")["baseline"]
    rows = tracker.get("scenes_split").table("eda_table_data_split.parquet").rows()
    split = tracker.get("scenes_split")
    train = np.concatenate([read_mask(split.path(r["Mask"])).ravel() for r in rows if r["Stage"] == "train"])
    best = np.bincount(train[train != 255]).argmax()
    assert baseline["class"] == ROAD_SCENE.names[best]
    target = np.concatenate([target[target != 255] for _, target, _ in pairs])
    assert baseline["iou"][baseline["class"]] == pytest.approx((target == best).mean())
    assert baseline["pixel_accuracy"] == pytest.approx((target == best).mean())


def test_fewer_than_ten_groups_give_no_interval_but_the_reason(evaluation):
    told = evaluation.json("summary.json")["interval"]
    assert told["miou"] is None
    assert told["reason"].startswith("2 groups")
    assert "final_miou_low" not in evaluation.metadata


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A walk up to the model whose valid subset has twelve groups."""
    torch.set_num_threads(1)
    root = make_dataset(tmp_path_factory.mktemp("many") / "scenes", drives=24, frames=1, size=(64, 96), workers=1)
    given = {**SETTINGS, "data": str(root), "store": str(tmp_path_factory.mktemp("walk") / "store"), "folds": 2}
    config = load_config(None, {**given, "test_folds": [], "valid_folds": [1]})
    sightline.ingest(config)
    sightline.split(config)
    sightline.train(config)
    return config


def test_ten_groups_and_more_give_an_interval(many):
    tracker = open_tracker(many)
    evaluation = sightline.evaluate(many, tracker)
    summary, rows = evaluation.json("summary.json"), evaluation.table("pred_table.parquet").rows()
    assert summary["groups"] == len({row["Group"] for row in rows}) == 12
    assert summary["interval"]["reason"] == "" and summary["interval"]["resamples"] == 100
    low, high = summary["interval"]["miou"]
    assert 0 < low < summary["final_miou"] < high < 1

    matrices, groups = np.array([row["confusion"] for row in rows]), [row["Group"] for row in rows]
    again = interval(matrices.reshape(-1, 7, 7), groups, 100, many.seed)
    assert (low, high) == again.miou
    kept = next(record for record in reversed(tracker.runs()) if record.job_type == "evaluation").summary
    assert (kept["final_miou_low"], kept["final_miou_high"]) == (low, high)
    assert (evaluation.metadata["final_miou_low"], evaluation.metadata["final_miou_high"]) == (low, high)
    for name, bounds in summary["interval"]["iou"].items():
        if bounds:
            assert bounds[0] <= summary["final_iou"][name] <= bounds[1]


def test_another_seed_draws_other_groups(many):
    first = sightline.evaluate(many)
    other = sightline.evaluate(dataclasses.replace(many, seed=7), model="scenes_model:best")
    bounds = [one.json("summary.json")["interval"]["miou"] for one in (first, other)]
    assert bounds[0] != bounds[1]
    assert first.json("summary.json")["final_miou"] == other.json("summary.json")["final_miou"]
    assert other.metadata["settings"] == {"evaluate": to_dict(many.evaluate), "seed": 7}
    assert other.metadata["versions"]["numpy"] == np.__version__


def test_again_gives_the_same_bytes(config, tracker, evaluation):
    assert sightline.evaluate(config, tracker, force=True).digest == evaluation.digest


def test_test_is_measured_only_when_asked_for(config, tracker, evaluation):
    assert [artifact.name for artifact in tracker.artifacts() if artifact.type == "evaluation"] == ["scenes_eval"]
    asked = load_config(
        None, {**json.loads(json.dumps(SETTINGS)), "data": config.data.data, "store": config.store, "subset": "test"}
    )
    tested = sightline.evaluate(asked, tracker)
    assert tested.name == "scenes_eval_test"
    assert tested.json("summary.json")["subset"] == "test"
    rows = tracker.get("scenes_split").table("eda_table_data_split.parquet").rows()
    names = sorted(row["File_Name"] for row in rows if row["Stage"] == "test")
    assert [row["File_Name"] for row in tested.table("pred_table.parquet").rows()] == names


def test_a_split_without_a_test_subset_says_so(config, tracker, tmp_path):
    asked = {**SETTINGS, "data": config.data.data, "store": str(tmp_path / "store"), "test_folds": [], "subset": "test"}
    other = load_config(None, asked)
    sightline.ingest(other)
    sightline.split(other)
    sightline.train(other)
    with pytest.raises(DataError, match="no test subset"):
        sightline.evaluate(other)


def test_a_model_that_is_not_there_is_told_with_those_that_are(config, tracker):
    with pytest.raises(StoreError, match="scenes_model:v0"):
        sightline.evaluate(config, tracker, model="nothing:v3")


def test_a_network_of_the_course_is_measured_with_its_own_loss(tmp_path):
    from sightline.learning.inference import Predictor
    from sightline.learning.libraries import vision
    from sightline.learning.model import save_weights
    from sightline.learning.pixels import Item

    settings = Train(recipe="course", pretrained=False, image_size=(64, 96))
    network = vision.create_unet_model(vision.resnet18, len(ROAD_SCENE), settings.image_size, pretrained=False)
    save_weights(network, tmp_path / "w.safetensors")
    image, mask = sightline.draw_scene(seed=1, drive=0, frame=0, size=(90, 120))
    Image.fromarray(image).save(tmp_path / "a.png")
    Image.fromarray(mask).save(tmp_path / "m.png")
    told = {"train": to_dict(settings), "class_weights": None}
    predictor = Predictor(tmp_path / "w.safetensors", told, ROAD_SCENE, "cpu")
    target, prediction, loss = predictor.measure(Item(tmp_path / "a.png", tmp_path / "m.png", (90, 120)))
    assert target.shape == prediction.shape == (90, 120) and 0 < loss < 100
    assert predictor.seen((90, 120)) == (72, 96)  # the scale it was trained at: what covers 64×96
    Image.fromarray(np.full((90, 120), ROAD_SCENE.ignore_index, np.uint8)).save(tmp_path / "m.png")
    assert predictor.measure(Item(tmp_path / "a.png", tmp_path / "m.png", (90, 120)))[2] == 0
