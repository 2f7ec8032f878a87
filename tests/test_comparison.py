"""Two evaluations compared, against an implementation of its own in plain Python that counts pixel by pixel."""

import json
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline.classes import ClassMap
from sightline.comparison import Setting, changes, compare, compare_evaluations, differences, flat
from sightline.config import Config
from sightline.errors import ConfigError, DataError
from sightline.learning import metrics
from sightline.table import Table
from sightline.tracking import open_tracker

CLASSES = ClassMap(("road", "car", "bus"))


def table(rows, classes=CLASSES):
    """rows: {File_Name: (group, matrix)}"""
    return Table(
        pa.table(
            {
                "File_Name": pa.array(list(rows), pa.string()),
                "Group": pa.array([group for group, _ in rows.values()], pa.string()),
                "confusion": pa.array([np.ravel(matrix).tolist() for _, matrix in rows.values()], pa.list_(pa.int64())),
            }
        ),
        classes,
    )


# the independent implementation: dictionaries, sets of pixels, loops


def pixels(matrix):
    """A confusion matrix as the pixels it counts: (target, prediction) of each."""
    return [(t, p) for t, row in enumerate(matrix) for p, count in enumerate(row) for _ in range(count)]


def slow_ious(pairs, count=3):
    """{class: IoU}, those that occur."""
    found = {}
    for one in range(count):
        truth = {place for place, (t, _) in enumerate(pairs) if t == one}
        guess = {place for place, (_, p) in enumerate(pairs) if p == one}
        if truth | guess:
            found[one] = len(truth & guess) / len(truth | guess)
    return found


def slow_mean(found):
    return sum(found.values()) / len(found) if found else None


def slow_compare(a, b, resamples, seed):
    """(metrics as (a, b, low, high) with the mean first, changes, names)"""
    names = sorted(name for name in a if name in b and truth(a[name][1]) == truth(b[name][1]))
    sides = [{name: pixels(side[name][1]) for name in names} for side in (a, b)]
    whole = [slow_ious([pair for name in names for pair in side[name]]) for side in sides]
    groups = sorted({a[name][0] for name in names if sides[0][name]})
    drawn = (
        slow_draws(sides, {name: a[name][0] for name in names}, groups, resamples, seed) if len(groups) >= 10 else []
    )
    told = []
    for key in ("mean", 0, 1, 2):
        values = [slow_mean(side) if key == "mean" else side.get(key) for side in whole]
        told.append((*values, *slow_bounds([one[key] for one in drawn if key in one], resamples)))
    moved = {}
    for name in names:
        one, other = (slow_mean(slow_ious(side[name])) for side in sides)
        if one is not None and other is not None:
            moved[name] = (one, other)
    return told, moved, names


def truth(matrix):
    return [sum(row) for row in matrix]


def slow_draws(sides, group_of, groups, resamples, seed):
    """For each resample the differences that are defined: {class or "mean": B - A}."""
    members = [[name for name in group_of if group_of[name] == group] for group in groups]
    draw = np.random.default_rng(seed)
    found = []
    for _ in range(resamples):
        chosen = [name for place in draw.integers(len(groups), size=len(groups)) for name in members[place]]
        one, other = (slow_ious([pair for name in chosen for pair in side[name]]) for side in sides)
        moved = {key: other[key] - one[key] for key in one.keys() & other.keys()}
        if one and other:
            moved["mean"] = slow_mean(other) - slow_mean(one)
        found.append(moved)
    return found


def slow_bounds(values, resamples):
    if not values or len(values) < 0.95 * resamples:
        return None, None
    ranked = sorted(values)
    bounds = []
    for share in (0.025, 0.975):
        place = share * (len(ranked) - 1)
        low = math.floor(place)
        high = min(low + 1, len(ranked) - 1)
        bounds.append(ranked[low] + (place - low) * (ranked[high] - ranked[low]))
    return tuple(bounds)


def near(value):
    return None if value is None else pytest.approx(value, abs=1e-9)


matrices = st.lists(st.lists(st.integers(0, 2), min_size=3, max_size=3), min_size=3, max_size=3)


@st.composite
def pairs_of_tables(draw):
    """Tables over overlapping names, most with the same ground truth in both: B moves pixels within rows of A."""
    names = [f"n{number}" for number in range(draw(st.integers(1, 16)))]
    a, b = {}, {}
    for name in names:
        group, matrix = f"g{draw(st.integers(0, 13))}", draw(matrices)
        where = draw(st.sampled_from(["both", "both", "both", "both", "a", "b", "changed"]))
        if where != "b":
            a[name] = (group, matrix)
        if where == "changed":
            b[name] = (group, draw(matrices))
        elif where != "a":
            b[name] = (group, [draw(st.permutations(row)) for row in matrix])
    return a, b


@given(pairs_of_tables(), st.integers(0, 3))
def test_it_is_what_counting_pixel_by_pixel_gives(tables, seed):
    a, b = tables
    told, moved, names = slow_compare(a, b, 20, seed)
    if not names:
        with pytest.raises(ConfigError, match="nothing can be compared"):
            compare(table(a), table(b), 20, seed)
        return
    found = compare(table(a), table(b), 20, seed)
    assert found.images == tuple(names)
    assert set(found.only_a) == set(a) - set(b)
    assert set(found.only_b) == set(b) - set(a)
    assert set(found.other_truth) == (set(a) & set(b)) - set(names)
    for metric, (before, after, low, high) in zip(found.metrics, told, strict=True):
        assert (metric.a, metric.b) == (near(before), near(after))
        assert (metric.interval or (None, None)) == (near(low), near(high))
    assert {one.file_name: (near(one.a), near(one.b)) for one in found.changes} == moved
    ranked = [one.change for one in found.changes]
    assert ranked == sorted(ranked)


def drives(count, seed, gain=0):
    """Images of as many groups, two each; a better model moves pixels to the diagonal."""
    random = np.random.default_rng(seed)
    rows = {}
    for number in range(2 * count):
        matrix = random.integers(0, 20, (3, 3)) + np.diag([60, 30, 10])
        moved = np.minimum(matrix, gain) * (1 - np.eye(3, dtype=int))
        rows[f"i{number:03}"] = (f"g{number // 2}", matrix - moved + np.diag(moved.sum(axis=1)))
    return rows


def test_a_gain_on_every_image_is_told_surely_though_the_figures_alone_overlap():
    rows = [drives(15, 1, gain) for gain in (0, 1)]
    a, b = map(table, rows)
    found = compare(a, b, 500)
    mean = found.metrics[0]
    assert mean.name == "mIoU"
    assert mean.index is None
    assert mean.interval[0] > 0
    assert mean.interval[0] < mean.difference < mean.interval[1]
    assert len(found.better()) == 30
    assert found.worse() == ()
    assert [one.change for one in found.better(5)] == sorted((one.change for one in found.changes), reverse=True)[:5]
    groups = [group for group, _ in rows[0].values()]
    alone = [metrics.interval(np.stack([one for _, one in side.values()]), groups, 500, 42) for side in rows]
    assert alone[0].miou[1] > alone[1].miou[0]


def test_the_other_way_round_is_the_same_with_the_sign_turned():
    a, b = (table(drives(12, seed)) for seed in (1, 1))
    b = table({name: (group, np.asarray(matrix)[:, ::-1]) for name, (group, matrix) in drives(12, 1).items()})
    there, back = compare(a, b, 200), compare(b, a, 200)
    for one, other in zip(there.metrics, back.metrics, strict=True):
        assert one.difference == pytest.approx(-other.difference)
        assert one.interval == pytest.approx((-other.interval[1], -other.interval[0]))
    assert [one.file_name for one in there.worse()] == [one.file_name for one in back.better()]


def test_fewer_than_ten_groups_have_no_interval_and_a_reason():
    found = compare(table(drives(9, 0)), table(drives(9, 0)))
    assert found.reason.startswith("9 groups with labelled pixels")
    assert {one.interval for one in found.metrics} == {None}
    assert compare(table(drives(10, 0)), table(drives(10, 0))).reason == ""


def test_a_class_that_one_of_them_lacks_has_no_difference():
    a = {"x": ("g", [[5, 0, 0], [0, 0, 0], [0, 0, 0]])}
    b = {"x": ("g", [[4, 1, 0], [0, 0, 0], [0, 0, 0]])}
    road, car, bus = compare(table(a), table(b)).metrics[1:]
    assert (road.a, road.b, road.difference) == (1.0, 0.8, pytest.approx(-0.2))
    assert (car.a, car.b, car.difference) == (None, 0.0, None)
    assert (bus.a, bus.b, bus.difference) == (None, None, None)


def test_an_image_without_a_pixel_that_counts_neither_gains_nor_loses():
    assert changes(["x"], np.zeros((1, 3, 3), np.int64), np.zeros((1, 3, 3), np.int64)) == ()


def test_what_cannot_be_compared_is_refused():
    one = table(drives(3, 0))
    with pytest.raises(ConfigError, match=r"class maps differ: road, car, bus; and road, bus, car"):
        compare(one, Table(one.data, ClassMap(("road", "bus", "car"))))
    with pytest.raises(ConfigError, match="class maps differ"):
        compare(Table(one.data), one)
    with pytest.raises(DataError, match="no column confusion"):
        compare(one, Table(one.data.drop_columns(["confusion"]), CLASSES))
    with pytest.raises(DataError, match="more than one row"):
        compare(one, Table(pa.concat_tables([one.data, one.data]), CLASSES))
    other = table({f"other-{name}": row for name, row in drives(3, 0).items()})
    with pytest.raises(ConfigError, match=r"Of 6 and 6 images none is in both"):
        compare(one, other)
    moved = table({name: (group, matrix + 1) for name, (group, matrix) in drives(3, 0).items()})
    with pytest.raises(ConfigError, match=r"Both have 6 images, but with other masks"):
        compare(one, moved)
    with pytest.raises(DataError, match="differ in shape"):
        metrics.paired_interval(np.zeros((2, 3, 3), int), np.zeros((1, 3, 3), int), ["a"], 10, 0)


def test_flat_keys_and_what_differs():
    a = flat({"train": {"lr": 0.001, "image_size": [64, 96]}, "seed": 1, "empty": {}})
    assert a == {"train.lr": 0.001, "train.image_size": [64, 96], "seed": 1, "empty": {}}
    b = flat({"train": {"lr": 0.002, "image_size": [64, 96], "loss": None}, "seed": 1, "empty": {}})
    assert differences(a, b) == (Setting("train.lr", 0.001, 0.002), Setting("train.loss", None, None))
    assert differences(a, a) == ()


def test_two_artifacts_with_the_settings_of_their_models(tmp_path):
    tracker = open_tracker(Config(store=str(tmp_path / "store"), tracker="none"))
    found = [saved(tracker, number, lr) for number, lr in enumerate((0.001, 0.002))]
    comparison, settings = compare_evaluations(tracker, *found)
    assert len(comparison.images) == 6
    assert settings == (Setting("model", "d_model:v0", "d_model:v1"), Setting("train.lr", 0.001, 0.002))
    with pytest.raises(ConfigError, match="d_model:v0 is of type model"):
        compare_evaluations(tracker, found[0], tracker.get("d_model:v0"))


def saved(tracker, number, lr):
    with tracker.run("training", config={}) as run:
        path = run.scratch / "config.json"
        path.write_text(json.dumps({"train": {"lr": lr}, "seed": 1, "versions": {"torch": str(number)}}))
        model = run.save("d_model", "model", {"config.json": path})
    with tracker.run("evaluation", config={}) as run:
        metadata = {"model": model.spec, "settings": {"evaluate": {"subset": "valid"}, "seed": 1}}
        rows = table({name: (g, np.diag(np.sum(m, axis=1)) if number else m) for name, (g, m) in drives(3, 0).items()})
        path = rows.write(run.scratch / "pred_table.parquet")
        return run.save("d_eval", "evaluation", {"pred_table.parquet": path}, metadata)
