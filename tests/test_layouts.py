"""Layouts: templates, the presets on small trees of their shape, detection."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trees import GROUPS, PUBLISHED, STORED, TREES, make_tree, save

from sightline.classes import ROAD_SCENE
from sightline.dataset import pair, read_pair
from sightline.errors import ConfigError, DataError
from sightline.layouts import PRESETS, Group, Layout, choose, detect, with_class_file
from sightline.templates import check_template, fields_of, fill, find


@pytest.mark.parametrize("name", PRESETS)
def test_each_preset_is_detected_and_read(tmp_path, name):
    detected, layout = detect(make_tree(tmp_path, name))
    assert detected == name
    dataset, problems = pair(tmp_path, layout)
    assert problems == []
    assert [sample.file_name for sample in dataset] == sorted(Path(path).name for path in TREES[name])
    assert [Group(sample.group, sample.drive, sample.frame) for sample in dataset] == GROUPS[name]
    assert [sample.published for sample in dataset] == PUBLISHED[name]
    for sample in dataset:
        assert sample.mask == tmp_path / TREES[name][sample.image.relative_to(tmp_path).as_posix()]
        read = read_pair(sample, dataset.classes)
        assert read.mask.tolist() == [STORED[name][1]]
        assert read.recoded == (name in {"camvid-rgb", "cityscapes"})


@pytest.mark.parametrize("layout", PRESETS.values(), ids=PRESETS)
def test_each_preset_states_its_group_and_the_published_split(layout):
    assert "group is" in layout.about
    assert "split" in layout.about
    assert layout.use_published == bool(layout.published)


def test_other_files_of_cityscapes_are_no_problem(tmp_path):
    make_tree(tmp_path, "cityscapes")
    save(tmp_path / "gtFine/train/ulm/ulm_000000_000019_gtFine_color.png", np.zeros((1, 2, 3), np.uint8))
    save(tmp_path / "gtFine/train/ulm/ulm_000000_000019_gtFine_instanceIds.png", np.zeros((1, 2), np.uint16))
    save(tmp_path / "gtFine/test/bonn/bonn_000000_000019_gtFine_labelIds.png", np.zeros((1, 2), np.uint8))
    save(tmp_path / "leftImg8bit/test/bonn/bonn_000000_000019_leftImg8bit.png", np.zeros((1, 2, 3), np.uint8))
    dataset, problems = pair(tmp_path, PRESETS["cityscapes"])
    assert (len(dataset), problems) == (3, [])


def test_a_class_file_replaces_the_class_map(tmp_path):
    make_tree(tmp_path, "camvid")
    (tmp_path / "classes.json").write_text('{"names": ["rest", "way"]}')
    assert detect(tmp_path)[1].classes.names == ("rest", "way")
    (tmp_path / "classes.yaml").write_text("names: [sky, road]")
    assert with_class_file(PRESETS["camvid"], tmp_path).classes.names == ("sky", "road")


def test_an_unknown_folder_is_told_what_was_looked_for(tmp_path):
    save(tmp_path / "images/a.jpg", np.zeros((1, 2, 3), np.uint8))
    with pytest.raises(DataError) as caught:
        detect(tmp_path)
    text = str(caught.value)
    assert all(name in text and layout.mask in text for name, layout in PRESETS.items())
    assert "bdd-simple: images/{stem}.jpg with labels/{stem}_mask.png: 1 image, 0 of them" in text
    assert all(flag in text for flag in ("--images", "--mask", "--group", "--classes"))


def test_the_folder_below_is_pointed_out(tmp_path):
    make_tree(tmp_path / "unzipped", "camvid")
    with pytest.raises(DataError, match="unzipped below it does fit"):
        detect(tmp_path)


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(DataError, match="is no folder"):
        detect(tmp_path / "none")
    with pytest.raises(DataError, match="is no folder"):
        choose(tmp_path / "none", preset="camvid")


def test_choose_changes_parts_of_a_detected_preset(tmp_path):
    make_tree(tmp_path, "camvid")
    for path in list((tmp_path / "labels").iterdir()):
        save(tmp_path / "labels_11" / path.name, np.array([[10, 255]], np.uint8))
    (tmp_path / "classes.yaml").write_text("names: [one]")
    (tmp_path / "eleven.yaml").write_text(f"names: {[f'c{i}' for i in range(11)]}")
    name, layout = choose(tmp_path, mask="labels_11/{stem}_mask.png", classes="eleven.yaml")
    assert (name, layout.mask, len(layout.classes)) == ("camvid", "labels_11/{stem}_mask.png", 11)
    dataset, problems = pair(tmp_path, layout)
    assert problems == []
    assert read_pair(dataset[0], dataset.classes).mask.tolist() == [[10, 255]]


def test_choose_takes_a_named_preset_and_another_group(tmp_path):
    make_tree(tmp_path, "camvid")
    name, layout = choose(tmp_path, preset="camvid", group="^([^_]+)_")
    assert name == "camvid"
    assert layout.group_of("images/0001TP_006690.jpg") == Group("0001TP", "0001TP", 0)
    assert "'^([^_]+)_'" in layout.about
    assert r"'\d+'" in choose(tmp_path, preset="camvid", group=r"\d+")[1].about  # as it is typed
    assert layout.classes == ROAD_SCENE


def test_choose_builds_a_layout_of_ones_own(tmp_path):
    save(tmp_path / "trips/north/1.png", np.zeros((1, 2, 3), np.uint8))
    save(tmp_path / "truth/trips/north/1.png", np.zeros((1, 2), np.uint8))
    name, layout = choose(tmp_path, images="trips/{trip}/*.png", mask="truth/{dir}/{name}", group="trips/([^/]+)/")
    dataset, problems = pair(tmp_path, layout)
    assert (name, problems) == ("custom", [])
    assert [(sample.file_name, sample.group) for sample in dataset] == [("1.png", "north")]


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"preset": "kitti"}, "no preset 'kitti'.*bdd-simple, bdd100k"),
        ({"images": "a/{stem}.png"}, "--mask and --group"),
        ({"images": "a/{stem}.png", "mask": "b/{stem}.png"}, "needs --group"),
        ({"images": "a/{stem}.png", "mask": "b/{frame}.png", "group": "x"}, r"asks for \{frame\}"),
        ({"images": "a/{stem}.png", "mask": "b/*.png", "group": "x"}, "names no single mask"),
        ({"images": "a/{stem.png", "mask": "b/{stem}.png", "group": "x"}, "brace"),
        ({"images": "../a/{stem}.png", "mask": "b/{stem}.png", "group": "x"}, "inside the data's folder"),
        ({"images": "/a/{stem}.png", "mask": "b/{stem}.png", "group": "x"}, "inside the data's folder"),
        ({"images": "a/{stem}.png", "mask": "b/{stem}.png", "group": "("}, "no regular expression"),
    ],
)
def test_settings_that_do_not_fit_are_refused(tmp_path, settings, text):
    with pytest.raises(ConfigError, match=text):
        choose(tmp_path, **settings)


def test_a_class_map_that_is_nowhere_is_looked_for_in_both_places(tmp_path):
    make_tree(tmp_path, "camvid")
    with pytest.raises(DataError, match=r"no class map other\.yaml \(--classes\), neither in .* nor in the working"):
        choose(tmp_path, classes="other.yaml")


def test_a_published_split_names_subsets():
    with pytest.raises(ConfigError, match="names val"):
        Layout(images=("{split}/{stem}.png",), mask="{stem}.gif", group=".", published={"val": "val"})


@pytest.mark.parametrize(
    ("group", "path", "expected"),
    [
        ("^[^-]+", "images/ab-1.jpg", Group("ab", "ab", 0)),
        ("^([^-]+)-", "images/ab-1.jpg", Group("ab", "ab", 0)),
        ("-(?P<frame>[a-z]*[0-9]+)$", "images/ab-f0042.jpg", Group("-f0042", "-f0042", 42)),
        ("images/(?P<group>[^/]+)/", "images/north/1.jpg", Group("north", "north", 0)),
        ("z", "images/ab-1.jpg", None),
        ("z*", "images/ab-1.jpg", None),
    ],
)
def test_groups_are_read_from_names(group, path, expected):
    assert Layout(images=("images/{stem}.jpg",), mask="{stem}.png", group=group).group_of(path) == expected


NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=8)


@given(NAMES, NAMES)
def test_fill_undoes_a_match_of_plain_fields(tmp_path_factory, folder, name):
    template = "a.b/{folder}/x{name}.png"
    path = fill(template, {"folder": folder, "name": name})
    assert path == f"a.b/{folder}/x{name}.png"


def test_find_reads_fields_and_leaves_others_out(tmp_path):
    for path in ("a/1_1.png", "a/1_2.png", "b/7_7.PNG", "b/.9_9.png", "c/1_1.png", "1_1.png", "a/deep/1_1.png"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    (tmp_path / "loop").symlink_to("loop")
    found = find(tmp_path, "{split:a|b}/{x}_{x}.png")
    assert [(one.path, dict(one.fields), one.exact) for one in found] == [
        ("a/1_1.png", {"split": "a", "x": "1"}, True),
        ("b/7_7.PNG", {"split": "b", "x": "7"}, False),
    ]
    assert [one.path for one in find(tmp_path, "{x}/{x}_1.png")] == []
    assert [one.path for one in find(tmp_path, "*/1_1.png")] == ["a/1_1.png", "c/1_1.png"]
    assert find(tmp_path, "none/{x}.png") == []


def test_fields_and_their_alternatives():
    assert fields_of("x/{split:train|val}/{city}/*.png") == {"split": ("train", "val"), "city": ()}


@given(st.text(alphabet="ab{}:|*./\\", max_size=12))
def test_any_text_is_a_template_or_a_config_error(text):
    try:
        check_template(text)
    except ConfigError:
        return
    assert not text.startswith("/")
    assert isinstance(fields_of(text), dict)


def test_images_and_masks_may_share_a_folder(tmp_path):
    for name in ("a", "b"):
        save(tmp_path / f"{name}.png", np.zeros((1, 2, 3), np.uint8))
        save(tmp_path / f"{name}_mask.png", np.zeros((1, 2), np.uint8))
    layout = Layout(images=("{stem}.png",), mask="{dir}/{stem}_mask.png", group="^.")
    dataset, problems = pair(tmp_path, layout)
    assert ([sample.file_name for sample in dataset], problems) == (["a.png", "b.png"], [])


def test_real_camvid_where_it_is_there():
    root = Path(__file__).parents[2] / "shared" / "data" / "camvid"
    if not root.is_dir():
        pytest.skip("the CamVid frames are not beside this repository")
    name, layout = detect(root)
    dataset, problems = pair(root, layout)
    assert (name, len(dataset), problems) == ("camvid", 468, [])
    assert {sample.drive for sample in dataset} == {"0001TP", "0006R0", "0016E5"}
    assert len({sample.group for sample in dataset}) == 15
    assert len(pair(root, layout, limit=20)[0]) == 20
    read = read_pair(dataset[0], dataset.classes)
    assert (read.image.shape, read.mask.shape, read.recoded) == ((360, 480, 3), (360, 480), False)
