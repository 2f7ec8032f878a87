"""Masks as arrays, against naive versions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sightline import masks
from sightline.classes import ROAD_SCENE, ClassMap, parse_color
from sightline.classmaps import CAMVID, CITYSCAPES_LABEL_IDS
from sightline.errors import DataError

SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, max_side=9)
VALID = st.sampled_from([*range(7), 255])
MASKS = hnp.arrays(np.uint8, SHAPES, elements=VALID)
RAW = hnp.arrays(np.uint8, SHAPES, elements=st.integers(0, 255))


def tables(count):
    return st.dictionaries(st.integers(0, 255), st.sampled_from([*range(count), 255]), max_size=12)


@given(RAW, tables(7))
def test_recode_is_the_table_pixel_by_pixel(raw, table):
    classes = ClassMap(ROAD_SCENE.names, raw_values=table)
    mask, unknown = masks.recode(raw, classes)
    recoding = classes.recoding()
    assert mask.dtype == np.uint8
    for place, value in np.ndenumerate(raw):
        if value in recoding:
            assert mask[place] == recoding[value]
    outside = [int(value) for value in raw.ravel() if int(value) not in recoding]
    assert unknown == {value: outside.count(value) for value in outside}


def test_recode_hands_back_what_needs_no_change():
    raw = np.array([[0, 6], [255, 1]], np.uint8)
    assert masks.recode(raw, ROAD_SCENE)[0] is raw


def test_recode_of_cityscapes():
    raw = np.array([[7, 33], [0, 255]], np.uint8)
    assert masks.recode(raw, CITYSCAPES_LABEL_IDS)[0].tolist() == [[0, 18], [255, 255]]


@given(st.data(), SHAPES)
def test_colors_are_looked_up_pixel_by_pixel(data, shape):
    known = [parse_color(color) for color in CAMVID.raw_colors]
    color = st.one_of(st.sampled_from(known), st.tuples(*[st.integers(0, 255)] * 3))
    pixels = data.draw(st.lists(color, min_size=shape[0] * shape[1], max_size=shape[0] * shape[1]))
    rgb = np.array(pixels, np.uint8).reshape(*shape, 3)
    mask, unknown = masks.from_colors(rgb, CAMVID)
    texts = ["#{:02x}{:02x}{:02x}".format(*pixel) for pixel in pixels]
    assert mask.ravel().tolist() == [CAMVID.raw_colors.get(text, 255) for text in texts]
    outside = [text for text in texts if text not in CAMVID.raw_colors]
    assert unknown == {text: outside.count(text) for text in outside}


@given(MASKS)
def test_pixel_counts_and_presence(mask):
    counts = masks.pixel_counts(mask, ROAD_SCENE)
    assert counts.dtype == np.int64
    assert counts.tolist() == [int((mask == value).sum()) for value in (*range(7), 255)]
    assert masks.presence(mask, ROAD_SCENE).tolist() == [bool((mask == index).any()) for index in range(7)]


@given(MASKS, st.integers(7, 254))
def test_a_value_outside_the_map_is_named(mask, value):
    mask = mask.copy()
    mask[0, 0] = value
    with pytest.raises(DataError, match=f"holds {value};"):
        masks.pixel_counts(mask, ROAD_SCENE)


@pytest.mark.parametrize("wrong", [np.zeros((2, 2)), np.zeros(4, np.uint8), np.zeros((2, 2, 3), np.uint8)])
def test_an_array_that_is_no_mask_is_refused(wrong):
    with pytest.raises(DataError, match="H×W uint8"):
        masks.pixel_counts(wrong, ROAD_SCENE)


@given(MASKS)
def test_colorize_paints_each_pixel(mask):
    painted = masks.colorize(mask, ROAD_SCENE)
    for place, value in np.ndenumerate(mask):
        expected = masks.IGNORED_RGB if value == 255 else ROAD_SCENE.rgb()[value]
        assert tuple(painted[place]) == expected


@given(MASKS, st.floats(0, 1), st.randoms(use_true_random=False))
def test_overlay_blends_classes_and_leaves_ignored_pixels(mask, alpha, random):
    image = np.array([random.randrange(256) for _ in range(mask.size * 3)], np.uint8).reshape(*mask.shape, 3)
    before = image.copy()
    shown = masks.overlay(image, mask, ROAD_SCENE, alpha)
    assert shown.dtype == np.uint8
    assert (image == before).all()
    assert (shown[mask == 255] == image[mask == 255]).all()
    colors = np.array([*ROAD_SCENE.rgb(), *[(0, 0, 0)] * 248, (0, 0, 0)])[mask]
    exact = image * (1 - alpha) + colors * alpha
    assert (np.abs(shown - exact)[mask != 255] <= 0.501).all()


def test_overlay_at_the_ends_is_image_and_color():
    image = np.full((2, 2, 3), 77, np.uint8)
    mask = np.ones((2, 2), np.uint8)
    assert (masks.overlay(image, mask, ROAD_SCENE, 0) == image).all()
    assert (masks.overlay(image, mask, ROAD_SCENE, 1) == ROAD_SCENE.rgb()[1]).all()


def test_overlay_refuses_other_shapes_and_shares():
    mask = np.zeros((2, 3), np.uint8)
    with pytest.raises(DataError, match="shapes differ"):
        masks.overlay(np.zeros((3, 2, 3), np.uint8), mask, ROAD_SCENE)
    with pytest.raises(DataError, match="alpha is 2"):
        masks.overlay(np.zeros((2, 3, 3), np.uint8), mask, ROAD_SCENE, 2)


@given(MASKS, st.data())
def test_error_map_shows_right_wrong_and_ignored(truth, data):
    prediction = data.draw(hnp.arrays(np.uint8, truth.shape, elements=st.integers(0, 6)))
    shown = masks.error_map(truth, prediction, ROAD_SCENE)
    for place, true in np.ndenumerate(truth):
        pixel = tuple(int(value) for value in shown[place])
        if true == 255:
            assert pixel == masks.ERROR_IGNORED_RGB
        elif true == prediction[place]:
            assert min(pixel) >= 200
        else:
            assert pixel in {masks.ERROR_RGB, ROAD_SCENE.rgb()[prediction[place]]}


def test_wrong_pixels_are_striped_along_the_diagonal():
    shown = masks.error_map(np.zeros((40, 40), np.uint8), np.ones((40, 40), np.uint8), ROAD_SCENE)
    red = (shown == masks.ERROR_RGB).all(axis=2)
    assert red.mean() == 0.5
    assert (red[1:, :-1] == red[:-1, 1:]).all()
    assert not (red[:, 1:] == red[:, :-1]).all()


def test_error_map_refuses_other_shapes():
    with pytest.raises(DataError, match="shapes differ"):
        masks.error_map(np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8), ROAD_SCENE)
