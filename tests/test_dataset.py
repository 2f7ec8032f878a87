"""Pairing and reading: what is refused, with which words, and that every damaged file is named."""

import io
import os
import pickle
import re

import numpy as np
import pytest
from damage import (
    BAD_IMAGES,
    BAD_MASKS,
    INDEX,
    SIZE,
    damage_the_listing,
    encoded,
    exif,
    grey_png,
    mask,
    picture,
    put,
    put_pair,
)
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sightline.classes import ROAD_SCENE, ClassMap
from sightline.dataset import (
    Dataset,
    PairError,
    Problem,
    ProblemKind,
    Sample,
    duplicates,
    pair,
    read_pair,
    summarize,
)
from sightline.errors import ConfigError, DataError
from sightline.layouts import Layout

LAYOUT = Layout(
    images=("images/{stem}.jpg", "images/{stem}.png", "more/{stem}.jpg"),
    mask="labels/{stem}_mask.png",
    group="^(?P<group>[^-]+)-",
)
COLORS = ClassMap(("road", "car"), raw_colors={"#804080": 0, "#00008e": 1, "#000000": 255})


def read_bytes(root, image=None, label=None, classes=ROAD_SCENE):
    put_pair(root, "d-1", image, label)
    paths = root / "images/d-1.jpg", root / "labels/d-1_mask.png"
    return read_pair(Sample("d-1.jpg", *paths, "d", "d", root=root), classes)


def read_all(dataset):
    """Every problem and every warning of a dataset's files."""
    problems = []
    for sample in dataset:
        try:
            problems += read_pair(sample, dataset.classes).warnings
        except PairError as error:
            problems += error.problems
    return problems


@pytest.fixture
def damaged(tmp_path):
    """A folder in which nearly everything is wrong that can be: (folder, the files that a summary must name)."""
    root = tmp_path / "data"
    named = set()
    for number in range(5):
        put_pair(root, f"good-{number}", picture(quality=60 + number))
    for stem, (data, _) in BAD_IMAGES.items():
        put_pair(root, f"x-{stem}", image=data)
        named.add(f"labels/x-{stem}_mask.png" if stem == "small" else f"images/x-{stem}.jpg")
    for stem, (data, _) in BAD_MASKS.items():
        put_pair(root, f"x-{stem}", image=picture(quality=70), label=data)
        named.add(f"labels/x-{stem}_mask.png")
    return root, named | damage_the_listing(root, tmp_path)


def test_one_summary_names_every_damaged_file(damaged):
    root, named = damaged
    dataset, problems = pair(root, LAYOUT)
    problems += read_all(dataset)
    problems += duplicates({"images/good-0.jpg": "aa", "images/good-9.jpg": "aa", "images/good-1.jpg": "bb"})
    assert {problem.kind for problem in problems} == set(ProblemKind)
    assert {problem.file for problem in problems} == named | {"images/good-9.jpg"}
    text = summarize(problems, total=60)
    assert text.startswith(f"{len(problems) - 1} problems of {len(ProblemKind) - 1} kinds and 1 warning in 60 images:")
    for file in named:
        assert f"  - {file}: " in text
    assert " at 0x" not in text


def test_only_sound_pairs_are_kept(damaged):
    root, _ = damaged
    dataset, _ = pair(root, LAYOUT)
    sound = [one.file_name for one in dataset if not read_all(Dataset((one,), ROAD_SCENE, root, LAYOUT))]
    assert sound == [f"good-{number}.jpg" for number in range(5)]


@pytest.mark.parametrize("name", BAD_IMAGES)
def test_an_unfit_image_is_refused(tmp_path, name):
    data, kind = BAD_IMAGES[name]
    with pytest.raises(PairError) as caught:
        read_bytes(tmp_path, image=data)
    assert [problem.kind for problem in caught.value.problems] == [kind]
    assert isinstance(caught.value, DataError)
    assert "d-1" in str(caught.value)


@pytest.mark.parametrize("name", [name for name in BAD_MASKS if name != "void"])
def test_an_unfit_mask_is_refused(tmp_path, name):
    data, kind = BAD_MASKS[name]
    with pytest.raises(PairError) as caught:
        read_bytes(tmp_path, label=data)
    assert caught.value.problem.kind is kind
    assert caught.value.problem.file == "labels/d-1_mask.png"


def unnoticed_flip(values):
    """A PNG of the mask with one bit flipped, which PIL decodes without a word; None if there is none."""
    good = mask(values)
    for place in range(len(good) - 17, 60, -1):
        for bit in range(8):
            broken = good[:place] + bytes([good[place] ^ 1 << bit]) + good[place + 1 :]
            try:
                with Image.open(io.BytesIO(broken)) as image:
                    if (np.array(image) != values).any():
                        return broken
            except Exception:  # noticed
                continue
    return None


def test_a_flipped_bit_that_decoding_does_not_notice_is_refused(tmp_path):
    values = np.random.default_rng(0).integers(0, 7, (90, 160)).astype(np.uint8)
    broken = unnoticed_flip(values)
    if broken is None:
        pytest.skip("this version of PIL notices every flipped bit")
    with pytest.raises(PairError, match=r"has changed since it was written: broken PNG file .*checksum in IDAT"):
        read_bytes(tmp_path, image=encoded(Image.new("RGB", (160, 90)), "JPEG"), label=broken)


def test_both_files_of_a_pair_are_named(tmp_path):
    with pytest.raises(PairError) as caught:
        read_bytes(tmp_path, image=b"<html>", label=b"none")
    assert [problem.file for problem in caught.value.problems] == ["images/d-1.jpg", "labels/d-1_mask.png"]
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.problems == caught.value.problems


def test_files_that_went_away_are_a_problem_too(tmp_path):
    sample = Sample("a.jpg", tmp_path / "a.jpg", tmp_path / "a.png", "a", "a", root=tmp_path)
    with pytest.raises(PairError, match=r"a\.jpg: is not there; a\.png: is not there"):
        read_pair(sample, ROAD_SCENE)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_forbidden_file_is_a_problem(tmp_path):
    put_pair(tmp_path, "d-1")
    (tmp_path / "images/d-1.jpg").chmod(0)
    dataset, _ = pair(tmp_path, LAYOUT)
    assert [problem.kind for problem in read_all(dataset)] == [ProblemKind.UNREADABLE]


def test_values_outside_the_map_are_counted(tmp_path):
    with pytest.raises(PairError) as caught:
        read_bytes(tmp_path, label=BAD_MASKS["nineteen"][0])
    assert caught.value.problem.values == ("19",)
    assert caught.value.problem.detail == f"holds 19 ({(INDEX == 3).sum()} pixels) of 384 pixels"


def test_a_void_mask_is_a_warning(tmp_path):
    read = read_bytes(tmp_path, label=BAD_MASKS["void"][0])
    assert [problem.kind for problem in read.warnings] == [ProblemKind.ALL_IGNORED]
    text = summarize(read.warnings, 1)
    assert text.startswith("1 warning in 1 image:\n\nWarning: 1 of 1 mask has no pixel of any class.")


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA"])
def test_images_of_other_modes_become_rgb(tmp_path, mode):
    stored = picture("PNG", mode)
    expected = np.array(Image.open(io.BytesIO(stored)).convert("RGB"))
    read = read_bytes(tmp_path, image=stored)
    assert (read.image.dtype, read.image.shape) == (np.uint8, (16, 24, 3))
    assert (read.image == expected).all()
    assert read.image.flags.writeable


def test_upright_exif_and_garbled_exif_are_no_problem(tmp_path):
    for tags in (exif(1).tobytes(), b"Exif\0\0MM\0*garbled", b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01"):
        assert read_bytes(tmp_path, image=picture(exif=tags)).image.shape == (16, 24, 3)


def test_a_plain_mask_is_handed_on_as_stored(tmp_path):
    read = read_bytes(tmp_path)
    assert not read.recoded
    assert (read.mask == INDEX).all()
    assert read.warnings == ()
    assert len(read.image_sha256) == len(read.mask_sha256) == 64


def test_palette_masks_are_read_by_index(tmp_path):
    label = Image.fromarray(INDEX)
    label = Image.frombytes("P", SIZE, label.tobytes())
    label.putpalette(list(range(255, 255 - 21, -1)))
    read = read_bytes(tmp_path, label=encoded(label))
    assert read.recoded
    assert (read.mask == INDEX).all()


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_grey_masks_of_few_bits_keep_their_values(tmp_path, bits):
    values = INDEX % min(7, 2**bits)
    read = read_bytes(tmp_path, label=grey_png(values, bits))
    assert read.recoded
    assert (read.mask == values).all()


@pytest.mark.parametrize("kind", ["TIFF", "BMP"])
def test_masks_in_other_lossless_formats_are_recoded(tmp_path, kind):
    read = read_bytes(tmp_path, label=encoded(Image.fromarray(INDEX), kind))
    assert read.recoded
    assert (read.mask == INDEX).all()


def test_raw_values_are_mapped(tmp_path):
    classes = ClassMap(("road", "rest"), raw_values={1: 0, **dict.fromkeys([0, 2, 3, 4, 5, 6], 1)})
    read = read_bytes(tmp_path, classes=classes)
    assert read.recoded
    assert (read.mask == np.where(INDEX == 1, 0, 1)).all()


@pytest.mark.parametrize("mode", ["RGB", "P"])
def test_raw_colors_are_mapped(tmp_path, mode):
    colors = np.array([(128, 64, 128), (0, 0, 142), (0, 0, 0)], np.uint8)
    label = Image.fromarray(colors[INDEX % 3])
    if mode == "P":
        label = label.quantize(8)
    read = read_bytes(tmp_path, label=encoded(label), classes=COLORS)
    assert read.recoded
    assert (read.mask == np.array([0, 1, 255], np.uint8)[INDEX % 3]).all()


def test_unknown_colors_are_named(tmp_path):
    label = Image.new("RGB", SIZE, (1, 2, 3))
    with pytest.raises(PairError) as caught:
        read_bytes(tmp_path, label=encoded(label), classes=COLORS)
    assert caught.value.problem.values == ("#010203",)
    text = summarize(caught.value.problems, 4)
    assert "1 of 4 masks holds the colour #010203, which the class map does not name" in text
    assert '`raw_colors: {"#010203": 255}`' in text


GOOD = {
    "jpg": picture(),
    "png": picture("PNG"),
    "palette": picture("PNG", "P"),
    "tiff": picture("TIFF"),
    "webp": picture("WEBP"),
    "bmp": picture("BMP"),
    "exif": picture(exif=exif(1)),
    "mask": mask(),
    "grey": grey_png(INDEX, 4),
}


@given(st.data())
def test_garbled_bytes_raise_nothing_but_pair_errors(tmp_path_factory, data):
    good = GOOD[data.draw(st.sampled_from(sorted(GOOD)))]
    broken = bytearray(good[: data.draw(st.integers(0, len(good)))])
    for place in data.draw(st.lists(st.integers(0, max(0, len(broken) - 1)), max_size=6)):
        if broken:
            broken[place] = data.draw(st.integers(0, 255))
    root = tmp_path_factory.getbasetemp() / "garbled"
    for part in ("image", "label"):
        try:
            read = read_bytes(root, **{part: bytes(broken)})
        except PairError as error:
            assert error.problems
            assert " at 0x" not in str(error)
        else:
            assert read.image.shape == (*read.mask.shape, 3)


@given(st.binary(max_size=64))
def test_any_bytes_raise_nothing_but_pair_errors(tmp_path_factory, noise):
    root = tmp_path_factory.getbasetemp() / "noise"
    for start in (b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"BM", b"RIFF\0\0\0\0WEBP"):
        with pytest.raises(PairError):
            read_bytes(root, image=start + noise, label=start + noise)


@given(st.permutations(range(8)))
def test_samples_are_sorted_whatever_the_order_of_the_listing(tmp_path_factory, order):
    root = tmp_path_factory.mktemp("order")
    for number in order:
        put_pair(root, f"d{number}-1", b"x", b"x")
    dataset, problems = pair(root, LAYOUT)
    assert problems == []
    assert [sample.file_name for sample in dataset] == [f"d{number}-1.jpg" for number in range(8)]
    assert (len(dataset), dataset[0].group, dataset.root) == (8, "d0", root)


@pytest.mark.parametrize("limit", [1, 2, 5, 8, 100])
def test_a_limit_keeps_many_groups(tmp_path, limit):
    for number in range(8):
        put_pair(tmp_path, f"d{number // 2}-{number}", b"x", b"x")
    dataset, _ = pair(tmp_path, LAYOUT, limit=limit)
    names = [sample.file_name for sample in dataset]
    assert len(names) == min(limit, 8)
    assert names == sorted(set(names))
    assert len({sample.group for sample in dataset}) == min(limit, 4)
    assert (dataset.left_out, dataset.beyond_limit) == (0, 8 - min(limit, 8))


def test_a_limit_below_one_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="limit is 0"):
        pair(tmp_path, LAYOUT, limit=0)


def test_no_images_at_all_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"No image in .* matches images/\{stem\}\.jpg"):
        pair(tmp_path, LAYOUT)
    put(tmp_path, "images/a-1.JPEG", b"x")
    with pytest.raises(DataError, match=r"1 almost do \(first: images/a-1.JPEG\)"):
        pair(tmp_path, LAYOUT)


def test_names_that_differ_in_case_only_are_the_same(tmp_path):
    put_pair(tmp_path, "d-a")
    put(tmp_path, "more/d-A.jpg", picture())
    dataset, problems = pair(tmp_path, LAYOUT)
    assert len(dataset) == 0
    assert {problem.file for problem in problems if problem.kind is ProblemKind.SAME_NAME} == {
        "images/d-a.jpg",
        "more/d-A.jpg",
    }


def test_a_name_that_is_not_utf8_can_be_told(tmp_path):
    put_pair(tmp_path, "d-1")
    try:
        put_pair(tmp_path, os.fsdecode(b"d-\xff\n"))
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    dataset, problems = pair(tmp_path, LAYOUT)
    assert [sample.file_name for sample in dataset] == ["d-1.jpg"]
    text = summarize(problems, 2)
    assert r"images/d-\udcff\n.jpg" in text
    text.encode()


def test_a_folder_of_links_inside_the_data_is_fine(tmp_path):
    put_pair(tmp_path / "data", "d-1")
    (tmp_path / "data/images").rename(tmp_path / "data/stored")
    (tmp_path / "data/images").symlink_to("stored")
    (tmp_path / "link").symlink_to("data")
    dataset, problems = pair(tmp_path / "link", LAYOUT)
    assert (len(dataset), problems) == (1, [])


def test_duplicates_name_the_first():
    found = duplicates({"b.jpg": "1", "a.jpg": "1", "c.jpg": "2", "d.jpg": "1"})
    assert found == [
        Problem(ProblemKind.DUPLICATE, "b.jpg", "the same bytes as a.jpg"),
        Problem(ProblemKind.DUPLICATE, "d.jpg", "the same bytes as a.jpg"),
    ]


def test_the_summary_counts_values_and_says_what_to_do():
    problems = [
        Problem(ProblemKind.VALUES, f"labels/{name}_mask.png", "holds 19 (4 pixels)", ("19",)) for name in "abc"
    ]
    text = summarize(problems, 120)
    assert text.startswith("3 problems in 120 images:")
    assert "3 of 120 masks hold the value 19, which the class map does not name. Add it, or map it to ignore" in text
    assert "labels/c_mask.png: holds 19 (4 pixels)" in text


def test_the_summary_of_many_names_the_first_and_counts_the_rest():
    problems = [Problem(ProblemKind.EMPTY, f"{number:02}.jpg", "has 0 bytes") for number in range(21)]
    text = summarize(problems, 30, examples=2)
    assert "\n\n21 files are empty." in text
    assert "01.jpg" in text
    assert "02.jpg" not in text
    assert "and 19 more" in text
    assert "19.jpg" in summarize(problems[:20], 30, examples=2)


def test_the_summary_of_nothing_says_so():
    assert summarize([], 7) == "No problem in 7 images."


def test_a_single_problem_reads_well():
    text = summarize([Problem(ProblemKind.NO_MASK, "images/a.jpg", "there is no labels/a_mask.png")], 3)
    assert text.splitlines()[0] == "1 problem in 3 images:"
    assert "1 of 3 images has no mask. Add the mask" in text


OF_ALL = set(ProblemKind) - {ProblemKind(text) for text in (
    "mask without image", "name that the layout almost matches", "name that cannot be stored", "not a regular file",
    "link that is broken or leaves the folder", "empty file", "not readable as an image", "truncated file",
    "too large to open")}  # fmt: skip


@pytest.mark.parametrize("kind", ProblemKind)
@pytest.mark.parametrize("count", [1, 2])
def test_every_kind_has_words_and_a_remedy(kind, count):
    problems = [Problem(kind, f"{number}.png", "detail", ("8", "9")) for number in range(count)]
    line = summarize(problems, 5).split("\n\n")[1].splitlines()[0]
    start = str(count) + (" of 5 (image|mask)s" if kind in OF_ALL else f" (file|path|mask){'s' * (count > 1)}")
    assert re.match("(Warning: )?" + start + " ", line)
    assert "|" not in line
    assert line.endswith(".")
    assert line.count(". ") >= 1
