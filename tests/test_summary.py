"""Summaries of small tables made from real masks, against counts taken from those masks."""

import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.classes import ClassMap
from sightline.errors import DataError
from sightline.learning import metrics
from sightline.masks import pixel_counts
from sightline.summary import Summary, confusions, summarise
from sightline.table import Table

CLASSES = ClassMap(("road", "traffic light", "sign [/bold]"))
SIZES = [(4, 6), (4, 6), (9, 5), (2, 3)]


def scenes(seed=0, sizes=SIZES):
    """Masks of several sizes, each with classes of its own; class 1 never occurs."""
    draw = np.random.default_rng(seed)
    return [
        draw.choice([[0, 255], [0, 2], [2, 255], [0]][i % 4], size).astype(np.uint8) for i, size in enumerate(sizes)
    ]


def eda(masks, **more):
    """The EDA table as `ingest` writes it, without the columns that no summary reads."""
    rows = []
    for index, mask in enumerate(masks):
        counts = pixel_counts(mask, CLASSES)
        row = {"File_Name": f"{index}.jpg", "Group": f"g{index // 2}", "Drive": "d", "Frame": index}
        row |= {"Width": mask.shape[1], "Height": mask.shape[0], "Split": "None"}
        row |= {name: int(n > 0) for name, n in zip(CLASSES.names, counts, strict=False)}
        names = [*CLASSES.names, "ignored"]
        row |= {f"{name}_share": float(n / mask.size) for name, n in zip(names, counts, strict=True)}
        rows.append(row | {name: values[index] for name, values in more.items()})
    return Table(pa.Table.from_pylist(rows), CLASSES)


def predictions(pairs, losses):
    """A prediction table of (target, prediction) masks."""
    matrices = [metrics.confusion(target, guess, len(CLASSES), 255) for target, guess in pairs]
    columns = {
        "File_Name": [f"{index}.jpg" for index in range(len(pairs))],
        "loss": pa.array(losses, pa.float64()),
        "confusion": [matrix.ravel().tolist() for matrix in matrices],
    }
    return Table(pa.table(columns), CLASSES), matrices


def test_counts_and_shares_are_those_of_the_masks():
    masks = scenes()
    found = summarise(eda(masks))
    pixels = sum(pixel_counts(mask, CLASSES) for mask in masks)
    assert found.all.images == 4
    assert (found.all.groups, found.all.drives) == (2, 1)
    assert found.all.with_class == (3, 0, 2)
    assert found.all.share == pytest.approx(tuple(pixels[:3] / pixels.sum()), abs=1e-12)
    assert found.all.ignored_share == pytest.approx(pixels[3] / pixels.sum(), abs=1e-12)
    assert sum(found.all.share) + found.all.ignored_share == pytest.approx(1)
    assert found.sizes == ((6, 4, 2), (5, 9, 1), (3, 2, 1))
    assert found.subsets == {}
    assert found.quality is None


def test_the_share_weighs_images_by_their_pixels():
    masks = [np.zeros((10, 10), np.uint8), np.full((1, 1), 2, np.uint8)]
    assert summarise(eda(masks)).all.share == pytest.approx((100 / 101, 0, 1 / 101))


def test_what_occurs_together():
    masks = [np.array([values], np.uint8) for values in ([0, 2], [0, 0], [2, 0], [1, 0], [255, 255])]
    assert summarise(eda(masks)).together.tolist() == [[4, 1, 2], [1, 1, 0], [2, 0, 2]]


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 1), min_size=3, max_size=3), min_size=1, max_size=8))
def test_together_is_the_count_of_images_with_both(rows):
    data = pa.table({name: [row[i] for row in rows] for i, name in enumerate(CLASSES.names)})
    found = summarise(Table(data, CLASSES)).together
    for a in range(3):
        for b in range(3):
            assert found[a, b] == sum(row[a] and row[b] for row in rows)


def test_subsets_are_counted_each_on_its_own_and_in_order():
    masks = scenes()
    found = summarise(eda(masks, Stage=["valid", "train", "test", "train"]))
    assert list(found.subsets) == ["train", "valid", "test"]
    alone = summarise(eda([masks[1], masks[3]]))
    train = found.subsets["train"]
    assert train.images == 2
    assert train.groups == 2
    assert train.with_class == alone.all.with_class
    assert train.share == pytest.approx(alone.all.share)
    assert found.subsets["test"].with_class == (0, 0, 1)


def test_stage_goes_before_split_and_other_subsets_come_last():
    found = summarise(eda(scenes(), Stage=["None", "train", "extra", "train"], Split=["a", "b", "c", "d"]))
    assert [(name, counts.images) for name, counts in found.subsets.items()] == [
        ("train", 2),
        ("None", 1),
        ("extra", 1),
    ]
    assert list(summarise(eda(scenes(), Split=["valid"] * 4)).subsets) == ["valid"]


def test_quality_is_recomputed_from_the_counts():
    masks = scenes(1)
    pairs = [(mask, np.where(mask == 255, 0, mask[::-1, ::-1]) % 3) for mask in masks]
    pairs = [(target, guess.astype(np.uint8)) for target, guess in pairs]
    table, matrices = predictions(pairs, [0.5, None, 0.25, 1.5])
    found = summarise(table, worst=2).quality
    total = sum(matrices)
    assert np.array_equal(found.confusion, total)
    assert found.iou[1] is None
    assert found.iou[0] == metrics.iou(total)[0]
    assert found.miou == metrics.miou(total)
    assert found.pixel_accuracy == metrics.pixel_accuracy(total)
    assert found.mean_image_iou == metrics.mean_image_iou(np.array(matrices))
    own = sorted((metrics.miou(matrix), f"{index}.jpg") for index, matrix in enumerate(matrices))
    assert [(miou, name) for name, miou, _ in found.worst] == own[:2]
    losses = dict(zip(table.data["File_Name"].to_pylist(), table.data["loss"].to_pylist(), strict=True))
    assert [loss for _, _, loss in found.worst] == [losses[name] for _, name in own[:2]]


def test_an_image_without_a_labelled_pixel_is_none_of_the_worst():
    void = np.full((2, 2), 255, np.uint8)
    right = np.zeros((2, 2), np.uint8)
    found = summarise(predictions([(void, right), (right, right)], [1, 1])[0]).quality
    assert found.worst == (("1.jpg", 1.0, 1.0),)
    assert found.mean_image_iou == 1
    nothing = summarise(predictions([(void, right)], [1])[0]).quality
    assert (nothing.miou, nothing.mean_image_iou, nothing.pixel_accuracy, nothing.worst) == (None, None, None, ())


def test_a_joined_table_tells_both():
    masks = scenes()
    table, _ = predictions([(mask, np.zeros_like(mask)) for mask in masks], [1.0] * 4)
    found = summarise(eda(masks).join(table))
    assert found.all.with_class == (3, 0, 2)
    assert found.quality.iou[2] == 0


def test_a_table_of_something_else_is_counted():
    found = summarise(Table(pa.table({"Class": ["road"], "x": [1]})))
    assert found == Summary(None, ("Class", "x"), found.all)
    assert (found.all.images, found.all.groups) == (1, None)
    only_some = summarise(Table(pa.table({"File_Name": ["a"], "road": [1], "road_share": [0.5]}), CLASSES))
    assert only_some.all.with_class == (1, None, None)
    assert only_some.all.share == (None, None, None)  # no sizes to weigh by
    assert only_some.together is None


def test_missing_values_and_no_rows():
    table = eda(scenes())
    data = table.data.set_column(table.columns.index("road_share"), "road_share", pa.array([None, None, 1.0, None]))
    data = data.set_column(table.columns.index("Group"), "Group", pa.array([None, "a", "a", None]))
    found = summarise(Table(data, CLASSES)).all
    assert (found.share[0], found.groups) == (1.0, 1)
    empty = summarise(Table(table.data.slice(0, 0), CLASSES))
    assert (empty.all.images, empty.all.share, empty.all.with_class) == (0, (None,) * 3, (0, 0, 0))


def test_confusions_are_row_major_and_checked():
    data = pa.table({"confusion": [list(range(9))]})
    assert confusions(Table(data, CLASSES)).tolist() == [[[0, 1, 2], [3, 4, 5], [6, 7, 8]]]
    for bad in ([[1] * 9, [1] * 4], [[1] * 9, None]):
        with pytest.raises(DataError, match=r"1 of 2 rows do not hold 3×3 counts.*first: row 1"):
            summarise(Table(pa.table({"confusion": bad}), CLASSES))
    with pytest.raises(DataError, match="No prediction table"):
        confusions(Table(pa.table({"x": [1]}), CLASSES))
    assert confusions(Table(data.slice(0, 0), CLASSES)).shape == (0, 3, 3)


def test_the_summary_is_plain_json():
    masks = scenes()
    table, _ = predictions([(mask, np.zeros_like(mask)) for mask in masks], [1.0, 2.0, None, 3.0])
    joined = eda(masks, Stage=["train", "train", "valid", "valid"]).join(table)
    stored = json.loads(json.dumps(summarise(joined, worst=1).to_dict(), allow_nan=False))
    assert stored["images"] == 4
    assert stored["classes"]["sign [/bold]"]["images"] == 2
    assert stored["together"]["road"]["sign [/bold]"] == 1
    assert stored["subsets"]["valid"]["classes"]["road"]["images"] == 1
    assert stored["sizes"][0] == {"width": 6, "height": 4, "images": 2}
    assert stored["quality"]["iou"]["traffic light"] is None
    assert set(stored["quality"]["worst"][0]) == {"File_Name", "miou", "loss"}
    plain = summarise(Table(pa.table({"x": [1]}))).to_dict()
    assert (plain["together"], plain["quality"], plain["classes"]) == (None, None, {})


def test_neither_torch_nor_pandas_nor_rich_is_imported():
    code = "import sys, sightline.summary, sightline.terminal; print({'torch', 'pandas', 'rich'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"
