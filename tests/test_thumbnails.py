"""Thumbnails: small pictures in one file, masks with no value that they did not have; and where classes lie."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

import sightline
from sightline.classes import ROAD_SCENE, ClassMap
from sightline.config import load_config
from sightline.errors import StoreError
from sightline.pairs import read_files
from sightline.sample import make_dataset
from sightline.thumbnails import (
    GRID,
    PACK,
    POSITIONS,
    Pack,
    Thumbnails,
    fitted,
    has_thumbnails,
    png,
    positions,
    positions_table,
    shrunk,
    small_image,
)
from sightline.tracking import open_tracker

CLASSES = ClassMap(("road", "car", "bus"))


@pytest.mark.parametrize(
    ("size", "small"),
    [
        ((720, 1280), (135, 240)),
        ((1280, 720), (240, 135)),
        ((96, 160), (96, 160)),
        ((1, 5000), (1, 240)),
        ((1, 1), (1, 1)),
    ],
)
def test_the_longer_side_is_240_at_most(size, small):
    assert fitted(*size) == small
    image = Image.open(io.BytesIO(small_image(Image.fromarray(np.full((*size, 3), 99, np.uint8)))))
    assert (image.format, image.mode, image.size[::-1]) == ("JPEG", "RGB", small)
    assert np.array(image)[0, 0] == pytest.approx([99] * 3, abs=2)
    mask = Image.open(io.BytesIO(png(shrunk(np.full(size, 255, np.uint8)))))
    assert (mask.format, mask.mode, mask.size[::-1]) == ("PNG", "L", small)
    assert set(np.array(mask).ravel()) == {255}


@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 300), st.integers(1, 300)), elements=st.integers(0, 255)))
def test_a_small_mask_holds_no_value_that_the_mask_does_not(mask):
    small = shrunk(mask)
    assert set(small.ravel()) <= set(mask.ravel())
    assert (np.array(Image.open(io.BytesIO(png(small)))) == small).all()


def slow_positions(mask, count):
    """Cell by cell, on a mask whose sides are whole multiples of the grid's."""
    rows, columns = GRID
    height, width = mask.shape[0] // rows, mask.shape[1] // columns
    found = np.zeros((count, rows, columns))
    for row in range(rows):
        for column in range(columns):
            cell = mask[row * height : (row + 1) * height, column * width : (column + 1) * width]
            for index in range(count):
                found[index, row, column] = (cell == index).mean()
    return found


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_positions_are_shares_of_each_cell(tall, wide, seed):
    mask = np.random.default_rng(seed).choice(np.array([0, 1, 2, 255], np.uint8), (GRID[0] * tall, GRID[1] * wide))
    np.testing.assert_allclose(positions(mask, CLASSES), slow_positions(mask, 3))


@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 60), st.integers(1, 60)), elements=st.integers(0, 2)))
def test_positions_of_any_size_add_up_to_one_in_each_cell(mask):
    np.testing.assert_allclose(positions(mask, CLASSES).sum(axis=0), np.ones(GRID))


def test_the_table_of_positions_is_their_mean():
    top = np.zeros((36, 64), np.uint8)
    top[:18] = 1
    total = positions(top, CLASSES) + positions(np.full((36, 64), 255, np.uint8), CLASSES)
    table = positions_table(total, 2, CLASSES)
    assert len(table) == 3 * 18 * 32
    assert table.columns == ["Class", "Index", "Row", "Column", "share"]
    cell = {(row["Class"], row["Row"], row["Column"]): row["share"] for row in table.rows()}
    assert (cell["car", 0, 0], cell["car", 17, 31], cell["road", 17, 31], cell["bus", 3, 3]) == (0.5, 0.0, 0.5, 0.0)


def test_a_pack_gives_back_what_was_put_in():
    stream = io.BytesIO()
    pack = Pack(stream)
    for name, content in (("a", b"one"), ("b", b""), ("c", b"three")):
        pack.add(name, {"image": content, "mask": content * 2})
    index = pack.index(["a", "c"])
    rows = {row["File_Name"]: row for row in index.rows()}
    assert list(rows) == ["a", "c"]
    for name, content in (("a", b"one"), ("c", b"three")):
        for kind, expected in (("image", content), ("mask", content * 2)):
            begin = rows[name][f"{kind}_offset"]
            assert stream.getvalue()[begin : begin + rows[name][f"{kind}_length"]] == expected
    assert Pack(io.BytesIO()).index([]).columns == ["File_Name"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("thumbnails")
    make_dataset(folder / "cam", drives=3, frames=3, size=(180, 320), workers=1)
    config = load_config(None, {"data": str(folder / "cam"), "store": str(folder / "store"), "workers": 1})
    return config, sightline.ingest(config)


def test_ingest_keeps_thumbnails_of_every_image(made):
    _, raw = made
    rows = raw.table("eda_table.parquet").rows()
    thumbnails = Thumbnails(raw)
    for row, found in zip(rows, thumbnails.get([row["File_Name"] for row in rows]), strict=True):
        pair = read_files(raw.path(row["Image"]), raw.path(row["Mask"]), ROAD_SCENE)
        image, mask = (np.array(Image.open(io.BytesIO(found[kind]))) for kind in ("image", "mask"))
        assert image.shape == (135, 240, 3)
        assert (mask == shrunk(pair.mask)).all()
        assert image.mean() == pytest.approx(pair.image.mean(), abs=3)
    assert rows[0]["File_Name"] in thumbnails
    assert thumbnails.get(["no such.jpg"]) == [{}]
    assert "no such.jpg" not in thumbnails


def test_ingest_keeps_where_the_classes_lie(made):
    _, raw = made
    rows = raw.table("eda_table.parquet").rows()
    table = raw.table(POSITIONS).rows()
    for name in ROAD_SCENE.names:
        mean = np.mean([row["share"] for row in table if row["Class"] == name])
        assert mean == pytest.approx(np.mean([row[f"{name}_share"] for row in rows]), abs=0.01)
    road = [row for row in table if row["Class"] == "road" and row["share"] > 0.5]
    assert min(row["Row"] for row in road) > 5


def test_the_same_images_give_the_same_digest_in_several_processes(made, tmp_path):
    config, raw = made
    again = load_config(None, {"data": config.data.data, "store": str(tmp_path / "store"), "workers": 2})
    assert sightline.ingest(again).digest == raw.digest


def test_evaluate_keeps_thumbnails_of_the_predictions(evaluated):
    _, evaluation = evaluated
    rows = evaluation.table("pred_table.parquet").rows()
    for row, found in zip(rows, Thumbnails(evaluation).get([row["File_Name"] for row in rows]), strict=True):
        whole = np.array(Image.open(evaluation.path(row["Prediction"])))
        assert (np.array(Image.open(io.BytesIO(found["prediction"]))) == shrunk(whole)).all()
        assert set(found) == {"prediction"}


def test_an_older_artifact_has_none_and_a_damaged_pack_says_so(made, tmp_path):
    config, raw = made
    tracker = open_tracker(config)
    with tracker.run("upload", config={}) as run:
        old = run.save("old", "raw_data", {path: file for path, file in raw.files.items() if path != PACK})
    assert not has_thumbnails(old)
    assert has_thumbnails(raw)
    with pytest.raises(StoreError, match="holds no thumbnails: it was made by an older version"):
        Thumbnails(old)
    path = raw.path(PACK)
    whole = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(whole[:-1])
    with pytest.raises(StoreError, match=r"thumbnails.bin of cam:v0 is damaged"):
        Thumbnails(tracker.get("cam:v0"))
    path.write_bytes(whole)
