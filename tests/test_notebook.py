"""What things show of themselves in a notebook: pictures in the classes' colours, names as text."""

import base64
import dataclasses
import io
import re

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

import sightline
from sightline.bars import Bar
from sightline.classes import ROAD_SCENE, ClassMap
from sightline.config import load_config
from sightline.dataset import pair
from sightline.layouts import PRESETS
from sightline.masks import overlay
from sightline.notebook import CELL
from sightline.pairs import read_files
from sightline.sample import make_dataset
from sightline.table import Table
from sightline.tracking import StoredFile, open_tracker

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(folder of the images, tracker, raw data)."""
    folder = tmp_path_factory.mktemp("notebook")
    make_dataset(folder / "cam", drives=3, frames=3, size=(96, 160), workers=1)
    config = load_config(None, {"data": str(folder / "cam"), "store": str(folder / "store"), "workers": 1})
    return folder / "cam", open_tracker(config), sightline.ingest(config)


def pictures(html):
    found = re.findall(r'<img src="data:image/(\w+);base64,([^"]+)"', html)
    return [np.array(Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB")) for _, text in found]


def test_a_class_map_shows_its_colours():
    html = ROAD_SCENE._repr_html_()
    for index, (name, color) in enumerate(zip(ROAD_SCENE.names, ROAD_SCENE.colors, strict=True)):
        assert f"{index} {name}" in html
        assert f"background:{color}" in html
    assert HOSTILE not in ClassMap((HOSTILE, "b"))._repr_html_()
    assert "&lt;img src=x" in ClassMap((HOSTILE, "b"))._repr_html_()


def test_a_table_of_an_artifact_shows_its_images_with_their_masks(made):
    _, _, raw = made
    table = raw.table("eda_table.parquet")
    html = table._repr_html_()
    shown = pictures(html)
    assert len(shown) == 5
    row = table.rows()[0]
    found = read_files(raw.path(row["Image"]), raw.path(row["Mask"]), ROAD_SCENE)
    expected = overlay(found.image, found.mask, ROAD_SCENE)
    assert np.abs(shown[0].astype(int) - expected).mean() < 6  # JPEG
    assert row["File_Name"] in html
    assert "9 of 9 rows" in html
    assert "background:#9a90ff" in html
    chosen = table.query("road_share > 0.2", "Brightness")
    assert len(pictures(chosen._repr_html_())) == min(5, len(chosen))


def test_a_prediction_table_shows_the_predictions(evaluated):
    _, evaluation = evaluated
    html = evaluation.table("pred_table.parquet")._repr_html_()
    colors = {tuple(pixel) for picture in pictures(html) for pixel in picture.reshape(-1, 3)}
    assert colors
    assert colors <= set(ROAD_SCENE.rgb())
    assert "confusion" not in html


def test_any_other_table_is_a_plain_one_and_its_text_is_text():
    html = Table(pa.table({"File_Name": [HOSTILE], "a<b>": [0.123456], "list": [[1, 2]], "none": [None]}))._repr_html_()
    assert HOSTILE not in html
    assert "<b>" not in html
    assert pictures(html) == []
    for text in ("&lt;img src=x", "0.1235", "2 values", "–", "1 of 1 row, 4 of 4 columns"):
        assert text in html
    assert "0 of 0 rows" in Table(pa.table({"File_Name": pa.array([], pa.string())}))._repr_html_()


def test_a_damaged_image_says_so_in_its_place(made):
    _, tracker, raw = made
    row = raw.table("eda_table.parquet").rows()[1]
    path = raw.path(row["Image"])
    whole = path.read_bytes()
    path.chmod(0o644)
    try:
        path.write_bytes(whole[:100])
        html = tracker.get(raw.spec).table("eda_table.parquet")._repr_html_()
        assert len(pictures(html)) == 4
        assert "is damaged: its content does not match its digest" in html
    finally:
        path.write_bytes(whole)


def test_samples_show_themselves(made):
    folder, _, _ = made
    dataset, _ = pair(folder, PRESETS["bdd-simple"])
    html = dataset._repr_html_()
    assert len(pictures(html)) == 5
    assert "9 samples in" in html
    sample = dataset[0]
    assert sample == dataset.samples[0]
    assert len(pictures(sample._repr_html_())) == 1
    assert "data:image/jpeg" in dataset.samples[0]._repr_html_()
    assert "&lt;b&gt;" in dataclasses.replace(sample, file_name="<b>")._repr_html_()
    lost = dataclasses.replace(sample, image=folder / "no such.jpg")
    assert pictures(lost._repr_html_()) == []


def test_an_artifact_lists_its_files(made):
    _, _, raw = made
    html = raw._repr_html_()
    for text in ("cam:v0", "latest", "raw_data", raw.digest[:16], "images/ (9 files)", "eda_table.parquet"):
        assert text in html
    small = dataclasses.replace(raw, files={"a/b.json": StoredFile("ab" * 32, 2_345)})
    assert ", 1 file, 2.3 kB</div>" in small._repr_html_() and "a/ (1 file)" in small._repr_html_()


def test_an_evaluation_shows_its_scores_beside_the_baseline(evaluated):
    config, evaluation = evaluated
    tracker = open_tracker(config)
    summary, html = evaluation.json("summary.json"), evaluation._repr_html_()
    for name in ROAD_SCENE.names:
        value = summary["final_iou"][name]
        assert re.search(rf"{name}</span></td><td[^>]*>.*?{'–' if value is None else f'{value:.3f}'}</span>", html)
    assert f"{summary['final_miou']:.3f}" in html and f"{summary['baseline']['miou']:.3f}" in html
    assert "always background" in html and "needs at least 10" in html
    model = tracker.get("scenes_model:v0")
    assert f"mIoU {model.metadata['best_miou']:.3f} on valid, after epoch 1" in model._repr_html_()


def test_a_split_shows_its_subsets_and_what_leaks(trained):
    config, _, _ = trained
    split = open_tracker(config).get("scenes_split")
    html = split._repr_html_()
    assert re.findall(r"<td[^>]*>(train|valid|test)</td><td[^>]*>(\d+)</td>", html) == [
        (name, str(counts["images"])) for name, counts in split.json("split.json")["subsets"].items()
    ]
    assert "<li>✓ no group stands in two subsets</li>" in html
    damaged = dataclasses.replace(split, files={**split.files, "split.json": StoredFile("0" * 64, 1)})
    assert "split.json of scenes_split:v0 is missing" in damaged._repr_html_()


def test_predictions_joined_with_the_split_show_the_truth_beside_them(evaluated):
    config, evaluation = evaluated
    tracker = open_tracker(config)
    split = tracker.get("scenes_split")
    joined = evaluation.table("pred_table.parquet").join(split.table("eda_table_data_split.parquet"))
    html = joined.query(order_by="miou", limit=1)._repr_html_()
    row = joined.query(order_by="miou", limit=1).rows()[0]
    masks = split.path(row["Mask"]), evaluation.path(row["Prediction"])
    pairs = [read_files(split.path(row["Image"]), mask, ROAD_SCENE) for mask in masks]
    expected = [overlay(pair.image, pair.mask, ROAD_SCENE).astype(int) for pair in pairs]
    far = [[np.abs(shown - one).mean() for one in expected] for shown in pictures(html)]
    assert max(far[0][0], far[1][1]) < 10 < min(far[0][1], far[1][0])  # JPEG
    assert html.index("Ground truth") < html.index("Predicted") < html.index("File_Name")
    assert "predictions/" not in html


def test_a_summary_shows_the_classes_of_each_subset(trained):
    config, _, _ = trained
    table = open_tracker(config).get("scenes_split").table("eda_table_data_split.parquet")
    found = sightline.summarise(table)
    html = found._repr_html_()
    assert f"<b>{len(table)} images · 6 drives · 160×96</b>" in html
    for name in ("train", "valid", "test"):
        assert f"{name} images" in html and f"{name} pixels" in html
    road = ROAD_SCENE.names.index("road")
    assert f"{found.subsets['valid'].share[road]:.2%}" in html
    assert "".join(f'<td style="{CELL}">{number}</td>' for number in found.together[road].tolist()) in html
    assert HOSTILE not in sightline.summarise(dataclasses.replace(table, classes=hostile()))._repr_html_()


def hostile():
    return ClassMap((HOSTILE, *ROAD_SCENE.names[1:]))


def test_a_bar_tells_how_far_it_is_and_its_title_is_text():
    bar = Bar(HOSTILE, 200, "items")
    bar.step(50, 200)
    html = bar.html(30.0)
    assert HOSTILE not in html and "&lt;img" in html
    assert '<progress value="50" max="200">' in html and "50 of 200, 30 s, 90 s to go" in html
    unknown = Bar("fetching", None, "bytes")
    unknown.step(2_500_000, None)
    assert "<progress></progress> fetching 2.5 MB, 4 s" in unknown.html(4.2)
