"""Synthetic road scenes: the same bytes again, masks that fit, classes as rare as they should be, tidy folders."""

import json
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sightline import synth
from sightline.classes import ROAD_SCENE, ClassMap
from sightline.dataset import pair, read_pair
from sightline.errors import ConfigError, DataError
from sightline.layouts import detect
from sightline.sample import MANIFEST, _Plan, make_dataset
from sightline.synth import draw_scene

TINY = {"drives": 2, "frames": 2, "size": (64, 96), "seed": 7, "workers": 1}


def contents(root):
    """Every file of a folder with its bytes."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def counts():
    """Pixels of each class and ignored ones, in the default number of drives and frames, small: int[24, 8, 8]."""
    values = [*range(7), 255]
    masks = [[draw_scene(42, drive, frame, (90, 160))[1] for frame in range(8)] for drive in range(24)]
    return np.array([[np.bincount(mask.ravel(), minlength=256)[values] for mask in drive] for drive in masks])


# ---- one scene ------------------------------------------------------------------------------------------------------


def test_a_scene_is_a_picture_and_its_mask():
    picture, mask = draw_scene(1, 2, 3, (90, 160))
    assert picture.shape == (90, 160, 3)
    assert mask.shape == (90, 160)
    assert picture.dtype == mask.dtype == np.uint8
    assert set(np.unique(mask)) <= {*range(len(ROAD_SCENE)), ROAD_SCENE.ignore_index}


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**40), st.integers(0, 10**5), st.integers(0, 10**4), st.integers(64, 200), st.integers(64, 200))
def test_any_scene_can_be_drawn_and_drawn_again(seed, drive, frame, height, width):
    first, again = (draw_scene(seed, drive, frame, (height, width)) for _ in range(2))
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])
    assert first[0].std() > 1
    assert (first[1] == ROAD_SCENE.index("road")).mean() > 0.02


@pytest.mark.parametrize("size", [(64, 2000), (1200, 64)])
def test_extreme_shapes_can_be_drawn(size):
    assert draw_scene(0, 0, 0, size)[1].shape == size


@pytest.mark.parametrize("other", [(6, 2, 3), (5, 4, 3), (5, 2, 4)])
def test_seed_drive_and_frame_all_matter(other):
    one, two = draw_scene(5, 2, 3, (90, 160)), draw_scene(*other, (90, 160))
    assert not np.array_equal(one[0], two[0])
    assert not np.array_equal(one[1], two[1])


corner = st.tuples(st.floats(-6, 6), st.floats(0, 6))


@given(st.lists(corner, min_size=3, max_size=8), st.floats(2, 60), st.integers(1, 6))
def test_a_shape_covers_the_same_pixels_in_picture_and_mask(points, far, label):
    view = synth._View(synth._Drive(3, 4), 0, (80, 120))
    view.image.paste((255, 0, 255), (0, 0, 120, 80))
    view.flat((0.5, far), points, (10, 200, 10), label)
    painted = (np.asarray(view.image) != (255, 0, 255)).any(axis=-1)
    assert np.array_equal(painted, np.asarray(view.mask) == label)


def test_masks_fit_the_finished_pictures():
    """Across the upper edge of vehicles and signs the picture changes more than it does a few pixels beside it."""
    here, beside = [], []
    for drive in range(12):
        picture, mask = draw_scene(42, drive, 0, (360, 640))
        grey = picture.astype(float).mean(axis=2)
        thing = np.isin(mask, [ROAD_SCENE.index("vehicle"), ROAD_SCENE.index("traffic sign")])
        change = np.abs(np.diff(grey, axis=0))
        edge = np.diff(thing.astype(int), axis=0) == 1
        here.append(change[edge])
        beside.append(np.roll(change, 4, axis=0)[edge])
    assert np.concatenate(here).mean() > 2 * np.concatenate(beside).mean()


# ---- drives ---------------------------------------------------------------------------------------------------------


def test_frames_of_a_drive_look_alike_and_drives_differ():
    frames = {
        (drive, frame): np.asarray(Image.fromarray(draw_scene(42, drive, frame, (90, 160))[0]).resize((16, 9)), float)
        for drive in range(8)
        for frame in range(3)
    }
    distance = {(a, b): np.abs(frames[a] - frames[b]).mean() for a, b in combinations(frames, 2)}
    within = [value for ((one, _), (other, _)), value in distance.items() if one == other]
    between = [value for ((one, _), (other, _)), value in distance.items() if one != other]
    assert np.mean(within) < np.mean(between) / 2.5
    assert np.quantile(within, 0.9) < np.quantile(between, 0.1)


def test_a_dozen_drives_see_every_weather():
    for dozen in range(3):
        seen = [synth._Drive(9, number).weather for number in range(dozen * 12, dozen * 12 + 12)]
        assert {id(weather) for weather in seen} == {id(weather) for weather in synth._WEATHERS}


def test_every_class_occurs_in_enough_drives(counts):
    drives = (counts[..., :7] > 0).any(axis=1)
    assert drives.sum(axis=0).min() >= 10
    assert drives[:12].sum(axis=0).min() >= 6


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [("background", 58, 70), ("road", 20, 30), ("traffic light", 0.1, 0.5), ("traffic sign", 0.2, 0.7),
     ("person", 0.3, 1.0), ("vehicle", 4, 9), ("bicycle", 0.1, 0.5)],
)  # fmt: skip
def test_classes_are_as_rare_as_in_traffic(counts, name, least, most):
    share = 100 * counts[..., ROAD_SCENE.index(name)].sum() / counts.sum()
    assert least <= share <= most


@pytest.mark.parametrize(
    ("name", "least", "most"), [("person", 40, 65), ("bicycle", 15, 30), ("traffic light", 50, 85)]
)
def test_rare_classes_are_missing_from_many_images(counts, name, least, most):
    present = 100 * (counts[..., ROAD_SCENE.index(name)] > 0).mean()
    assert least <= present <= most


def test_the_bonnet_of_some_drives_is_ignored(counts):
    ignored = counts[..., 7] > 0
    assert 0 < ignored.any(axis=1).mean() < 0.7
    assert (ignored.any(axis=1) == ignored.all(axis=1)).all()
    assert counts[..., 7].max() / counts[0, 0].sum() < 0.08


# ---- the dataset ----------------------------------------------------------------------------------------------------


def test_a_sample_is_a_sound_dataset(tmp_path):
    root = make_dataset(tmp_path / "new" / "sample", **TINY)
    name, layout = detect(root)
    dataset, problems = pair(root, layout)
    assert name == "bdd-simple"
    assert not problems
    assert len(dataset) == 4
    assert len({sample.group for sample in dataset}) == 2
    for sample in dataset:
        assert len(sample.group) == 8
        assert int(sample.group, 16) >= 0
        assert read_pair(sample, dataset.classes).mask.shape == (64, 96)
        with Image.open(sample.mask) as mask, Image.open(sample.image) as image:
            assert (mask.mode, image.format) == ("L", "JPEG")
    assert ClassMap.read(root / "classes.json") == ROAD_SCENE
    assert "CC0" in (root / "LICENSE.txt").read_text()
    assert json.loads((root / MANIFEST).read_text())["complete"] is True


def test_the_stored_mask_is_the_drawn_one(tmp_path):
    root = make_dataset(tmp_path, **TINY)
    stored = sorted(Image.open(path).tobytes() for path in root.glob("labels/*.png"))
    assert stored == sorted(draw_scene(7, d, f, (64, 96))[1].tobytes() for d in range(2) for f in range(2))


def test_bytes_do_not_depend_on_the_number_of_workers(tmp_path):
    many = TINY | {"drives": 5, "frames": 6}
    one = contents(make_dataset(tmp_path / "one", **many))
    two = contents(make_dataset(tmp_path / "two", **many | {"workers": 2}))
    assert len(one) == 2 * 30 + 3
    assert one == two
    other = contents(make_dataset(tmp_path / "other", **TINY | {"seed": 8}))
    assert set(other) & set(one) == {"classes.json", "LICENSE.txt", MANIFEST}


def test_drive_names_are_all_different():
    plan = _Plan(drives=20_000, frames=1, height=64, width=64, seed=3)
    assert len(plan.names()) == 2 * 20_000


def test_progress_counts_every_image(tmp_path):
    seen = []
    make_dataset(tmp_path, **TINY, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_complete_sample_is_kept(tmp_path):
    root = make_dataset(tmp_path, **TINY)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    seen = []
    make_dataset(root, **TINY | {"workers": 2}, progress=lambda *done: seen.append(done))
    assert not seen
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


@pytest.mark.parametrize("lost", ["images", "labels", "classes.json"])
def test_a_sample_that_lost_a_file_is_mended(tmp_path, lost):
    root = make_dataset(tmp_path, **TINY)
    before = contents(root)
    victim = root / lost if (root / lost).is_file() else next((root / lost).iterdir())
    victim.unlink()
    make_dataset(root, **TINY)
    assert contents(root) == before


def test_an_interrupted_sample_is_finished(tmp_path):
    def stop(done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_dataset(tmp_path / "cut", **TINY, progress=stop)
    assert json.loads((tmp_path / "cut" / MANIFEST).read_text())["complete"] is False
    drawn = []
    make_dataset(tmp_path / "cut", **TINY, progress=lambda done, _: drawn.append(done))
    assert drawn == [3, 4]
    assert contents(tmp_path / "cut") == contents(make_dataset(tmp_path / "whole", **TINY))


def test_another_sample_is_replaced_only_by_force(tmp_path):
    root = make_dataset(tmp_path / "sample", **TINY)
    before = contents(root)
    smaller = TINY | {"drives": 1, "seed": 8}
    with pytest.raises(DataError, match=r"holds another sample \(2 drives of 2 frames, 96×64, seed 7\).*--force"):
        make_dataset(root, **smaller)
    assert contents(root) == before
    make_dataset(root, **smaller, force=True)
    assert contents(root) == contents(make_dataset(tmp_path / "fresh", **smaller))


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("name", ["images/mine.jpg", "notes.txt", MANIFEST])
def test_foreign_folders_are_left_alone(tmp_path, name, force):
    (tmp_path / "images").mkdir()
    (tmp_path / name).write_text('{"made_by": "hand", "complete": true}')
    with pytest.raises(DataError, match="no sample of Sightline's"):
        make_dataset(tmp_path, **TINY, force=force)
    assert set(contents(tmp_path)) == {name}


@pytest.mark.parametrize("force", [False, True])
def test_strange_files_among_the_samples_are_refused(tmp_path, force):
    root = make_dataset(tmp_path, **TINY)
    (root / "images" / "mine.jpg").write_bytes(b"x")
    before = contents(root)
    with pytest.raises(DataError, match=r"1 file.*images.mine\.jpg"):
        make_dataset(root, **TINY, force=force)
    assert contents(root) == before


def test_a_file_in_the_folders_place_is_refused(tmp_path):
    (tmp_path / "taken").write_text("x")
    with pytest.raises(DataError, match="no sample of Sightline's"):
        make_dataset(tmp_path / "taken", **TINY)
    with pytest.raises(DataError, match="cannot be written"):
        make_dataset(tmp_path / "taken" / "below", **TINY)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [({"drives": 0}, "drives=0"), ({"frames": 0}, "frames=0"), ({"frames": 1.5}, "frames=1.5"),
     ({"size": (63, 96)}, "height=63"), ({"size": (64, 63)}, "width=63"), ({"size": (64, 9000)}, "width=9000"),
     ({"seed": -1}, "seed=-1"), ({"workers": 0}, "workers=0")],
)  # fmt: skip
def test_arguments_that_do_not_fit_are_refused(tmp_path, wrong, text):
    with pytest.raises(ConfigError, match=text):
        make_dataset(tmp_path / "x", **TINY | wrong)
    assert not (tmp_path / "x").exists()
