"""The class map: what it accepts, what it refuses and with which words, how it is stored."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline.classes import IGNORE, ROAD_SCENE, ClassMap, default_palette, parse_color
from sightline.classmaps import CAMVID, CITYSCAPES, CITYSCAPES_LABEL_IDS
from sightline.errors import DataError


def test_default_is_the_road_scene():
    assert ROAD_SCENE.names == ("background", "road", "traffic light", "traffic sign", "person", "vehicle", "bicycle")
    assert len(ROAD_SCENE) == 7
    assert ROAD_SCENE.ignore_index == IGNORE == 255
    assert ROAD_SCENE.index("bicycle") == 6


def test_unknown_class_lists_the_classes():
    with pytest.raises(DataError, match=r"no class 'tram'.*background, road"):
        ROAD_SCENE.index("tram")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"names": []}, "names no class"),
        ({"names": ["a", "a"]}, "a more than once"),
        ({"names": ["a", True]}, "True, which is no text"),
        ({"names": ["a", " "]}, "' ', which is no text"),
        ({"names": "road"}, "must be a list"),
        ({"names": {0: "road"}}, "must be a list"),
        ({"names": ["a"], "colors": ["#00000g"]}, "#00000g"),
        ({"names": ["a"], "colors": [None]}, "None"),
        ({"names": ["a"], "colors": ["#000000", "#ffffff"]}, "1 names but 2 colors"),
        ({"names": ["a"], "ignore_index": 0}, "ignore_index 0"),
        ({"names": ["a"], "ignore_index": 256}, "ignore_index 256"),
        ({"names": ["a"], "ignore_index": "void"}, "ignore_index 'void'"),
        ({"names": ["a"], "raw_values": {7: 3}}, "raw value 7 to 3"),
        ({"names": ["a"], "raw_values": {-1: 0}}, "raw value -1"),
        ({"names": ["a"], "raw_values": {"x": 0}}, "'x'"),
        ({"names": ["a"], "raw_values": [1, 2]}, "raw_values"),
        ({"names": ["a"], "raw_colors": {"#ffffff": 9}}, "#ffffff to 9"),
        ({"names": ["a"], "raw_colors": {"#FFFFFF": 0, "#ffffff": 255}}, "one colour twice"),
        ({"names": ["a"], "clases": []}, "unknown key clases"),
        ({"colors": ["#000000"]}, "no `names:`"),
    ],
)
def test_a_wrong_map_is_refused_with_the_reason(data, text):
    with pytest.raises(DataError, match=text):
        ClassMap.from_dict(data, where="classes.yaml")


@pytest.mark.parametrize("text", ["", "- a\n- b", "names: [a", "\x00"])
def test_a_file_that_is_no_map_is_refused(tmp_path, text):
    path = tmp_path / "classes.yaml"
    path.write_text(text)
    with pytest.raises(DataError, match=r"classes\.yaml"):
        ClassMap.read(path)


def test_a_value_that_is_mapped_twice_is_told(tmp_path):
    path = tmp_path / "classes.yaml"
    path.write_text("names: [a, b]\nraw_values:\n  7: 0\n  8: 1\n  7: 1\n")
    with pytest.raises(DataError, match=r"classes\.yaml: the key '7' stands twice, in lines 3 and 5\. Keep one"):
        ClassMap.read(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"classes\.yaml cannot be read: No such file or directory$"):
        ClassMap.read(tmp_path / "classes.yaml")


def test_reads_yaml_and_what_it_wrote_as_json(tmp_path):
    (tmp_path / "classes.yaml").write_text(
        "names: [road, car]\ncolors: ['#010203', '#ffffff']\nignore_index: 9\nraw_values: {7: 0, 19: 9}\n"
        "raw_colors: {'#000000': 9}\n"
    )
    classes = ClassMap.read(tmp_path / "classes.yaml")
    assert classes.raw_values == {7: 0, 19: 9}
    assert classes.rgb() == [(1, 2, 3), (255, 255, 255)]
    (tmp_path / "classes.json").write_text(classes.to_json())
    again = ClassMap.read(tmp_path / "classes.json")
    assert again.to_dict() == classes.to_dict() == json.loads(classes.to_json())
    assert not again.raw_values


@given(st.binary(min_size=3, max_size=3))
def test_colors_are_read_as_written(value):
    assert parse_color(f"#{value.hex()}") == tuple(value)


def test_a_missing_palette_is_filled_in():
    assert ClassMap(("a", "b", "c")).colors == default_palette(3)


def test_recoding_without_raw_values_is_the_identity():
    assert ROAD_SCENE.recoding() == {**{index: index for index in range(7)}, 255: 255}


def test_recoding_of_one_extra_value_keeps_the_others():
    assert ClassMap(("a", "b"), raw_values={19: 255}).recoding() == {0: 0, 1: 1, 19: 255, 255: 255}


def test_recoding_by_a_full_table_leaves_no_value_to_be_taken_for_an_index():
    assert ClassMap(("a", "b"), raw_values={7: 0, 8: 1}).recoding() == {7: 0, 8: 1, 255: 255}


def test_cityscapes_sends_every_label_id_somewhere():
    recoding = CITYSCAPES_LABEL_IDS.recoding()
    assert set(recoding) == {*range(34), 255}
    assert sorted(set(recoding.values())) == [*range(19), 255]
    picked = {name: recoding[raw] for name, raw in (("road", 7), ("train", 31), ("bicycle", 33))}
    assert picked == {name: CITYSCAPES.index(name) for name in picked}
    assert [recoding[raw] for raw in (0, 9, 14, 16, 18, 29, 30)] == [255] * 7


def test_camvid_names_all_32_colours():
    counts = {name: list(CAMVID.raw_colors.values()).count(index) for index, name in enumerate(CAMVID.names)}
    assert len(CAMVID.raw_colors) == 32
    assert counts == {
        "sky": 1, "building": 5, "pole": 2, "road": 3, "pavement": 3, "tree": 2, "sign symbol": 3, "fence": 1,
        "car": 5, "pedestrian": 4, "bicyclist": 2,
    }  # fmt: skip
    assert CAMVID.raw_colors["#000000"] == 255
    assert all(CAMVID.raw_colors[color] == index for index, color in enumerate(CAMVID.colors))
