"""Ingest on real folders: the table against the pixels, the artifact's files, and when the work is done again."""

import functools
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import zipfile
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import PIL
import pyarrow as pa
import pytest
from damage import encoded, grey_png, mask, put, put_pair
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from processes import group, wait_until
from trees import GROUPS, PUBLISHED, STORED, TREES, make_tree

from sightline.classes import ROAD_SCENE, ClassMap
from sightline.config import Data, load_config, to_dict
from sightline.dataset import Sample
from sightline.errors import ConfigError, DataError, SourceError
from sightline.layouts import PRESETS, Group
from sightline.pool import WORTH_IT
from sightline.sample import make_dataset
from sightline.sources import SOURCES, Source
from sightline.stages import ingest as stage
from sightline.stages.ingest import eda_schema, ingest, measure
from sightline.table import Table
from sightline.tracking import open_tracker


class Place:
    """A store, and `ingest` into it."""

    def __init__(self, store, tracker="none"):
        self.store = store
        self.base = {"store": str(store), "tracker": tracker, "workers": 0}
        self.tracker = open_tracker(load_config(overrides=self.base))

    def ingest(self, folder, force=False, **settings):
        config = load_config(overrides=self.base | {"data": str(folder)} | settings)
        return ingest(config, self.tracker, force=force)

    def rows(self, *args, **settings):
        return self.ingest(*args, **settings).table("eda_table.parquet").rows()

    def assert_failed(self, count=1):
        """The last run failed, it left nothing, and `count` runs are known."""
        assert [run.status for run in self.tracker.runs()][-1:] == ["failed"]
        assert len(self.tracker.runs()) == count
        assert self.tracker.runs()[-1].error.startswith("DataError: ")
        assert self.tracker.artifacts() == []
        assert list((self.store / "tmp").iterdir()) == []


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path / "store")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Six synthetic images of three drives."""
    return make_dataset(tmp_path_factory.mktemp("data") / "scenes", drives=3, frames=2, size=(64, 112), workers=1)


@pytest.fixture(scope="module", params=["trackio", "none"])
def done(request, scenes, tmp_path_factory):
    """(the place, the artifact) of the scenes, with both trackers."""
    place = Place(tmp_path_factory.mktemp(request.param) / "store", request.param)
    return place, place.ingest(scenes)


def shade(value):
    """A JPEG unlike those of other values."""
    return encoded(Image.new("RGB", (24, 16), (value % 256, value // 256 * 16, 99)), "JPEG")


def fill(root, count, drives=3):
    """Sound, tiny pairs: `d0-0`, `d1-1`, …"""
    for number in range(count):
        put_pair(root, f"d{number % drives}-{number}", shade(number * 6), mask(np.full((16, 24), number % 7, np.uint8)))
    return root


# the table


def phash_of(path):
    """The perceptual hash as its authors describe it, with a cosine transform of our own."""
    with Image.open(path) as image:
        small = np.asarray(image.convert("RGB").convert("L").resize((32, 32), Image.Resampling.LANCZOS), float)
    angles = np.pi / 32 * np.outer(np.arange(32), np.arange(32) + 0.5)
    low = (np.cos(angles) @ small @ np.cos(angles).T)[:8, :8]
    bits = "".join("1" if value else "0" for value in (low > np.median(low)).ravel())
    return f"{int(bits, 2):016x}"


def luma_of(path):
    with Image.open(path) as image:
        red, green, blue = np.moveaxis(np.asarray(image.convert("RGB"), float), 2, 0)
    return (0.299 * red + 0.587 * green + 0.114 * blue).mean()


def test_every_column_is_what_the_files_say(done, scenes):
    _, artifact = done
    table = artifact.table("eda_table.parquet")
    images = sorted((scenes / "images").iterdir())
    assert table.data["File_Name"].to_pylist() == [path.name for path in images]
    for row, path in zip(table.rows(), images, strict=True):
        stored = scenes / "labels" / f"{path.stem}_mask.png"
        values = np.asarray(Image.open(stored))
        drive = path.stem.split("-")[0]
        expected = {
            "File_Name": path.name, "Image": f"images/{path.name}", "Mask": f"labels/{path.stem}_mask.png",
            "Group": drive, "Drive": drive, "Frame": 0, "Width": 112, "Height": 64, "Split": "None", "Published": None,
            "PHash": phash_of(path), "Brightness": pytest.approx(luma_of(path), abs=0.5),
            "ignored_share": (values == 255).mean(),
        }  # fmt: skip
        for index, name in enumerate(ROAD_SCENE.names):
            expected |= {name: int((values == index).any()), f"{name}_share": (values == index).mean()}
        assert row == expected
    assert {row["road"] for row in table.rows()} == {1}
    assert sum(row["vehicle"] for row in table.rows()) > 0


def test_the_columns_have_their_types_and_order_and_the_table_its_class_map(done):
    _, artifact = done
    table = artifact.table("eda_table.parquet")
    assert table.classes == ROAD_SCENE
    texts = ["File_Name", "Image", "Mask", "Group", "Drive"]
    assert list(table.data.schema) == [
        *(pa.field(name, pa.string()) for name in texts),
        pa.field("Frame", pa.int64()), pa.field("Width", pa.int32()), pa.field("Height", pa.int32()),
        *(pa.field(name, pa.string()) for name in ("Split", "Published", "PHash")),
        pa.field("Brightness", pa.float64()),
        *(pa.field(name, pa.int8()) for name in ROAD_SCENE.names),
        *(pa.field(f"{name}_share", pa.float64()) for name in (*ROAD_SCENE.names, "ignored")),
    ]  # fmt: skip
    assert table.query("road = 1 AND Brightness > 0").data.num_rows == 6


@given(st.integers(1, 4), st.integers(2, 5), st.randoms(use_true_random=False))
def test_shares_and_presence_are_those_of_the_mask(tmp_path_factory, height, width, random):
    root = tmp_path_factory.getbasetemp() / "shares"
    classes = ClassMap(("road", "car", "sky"), ignore_index=9)
    values = [[random.choice([0, 1, 2, 9]) for _ in range(width)] for _ in range(height)]
    put_pair(
        root, "d-1", encoded(Image.new("RGB", (width, height), (7, 7, 7)), "PNG"), mask(np.array(values, np.uint8))
    )
    sample = Sample("d-1.jpg", root / "images/d-1.jpg", root / "labels/d-1_mask.png", "d", "d", root=root)
    row = measure(root, classes, sample).row
    flat = [value for line in values for value in line]
    for name, value in (("road", 0), ("car", 1), ("sky", 2), ("ignored", 9)):
        assert row[f"{name}_share"] == pytest.approx(flat.count(value) / len(flat))
        assert name == "ignored" or row[name] == (value in flat)
    assert (row["Width"], row["Height"], row["Brightness"]) == (width, height, 7)


# the artifact


def test_the_files_of_the_artifact(done, scenes):
    place, artifact = done
    stems = sorted(path.stem for path in (scenes / "images").iterdir())
    images, masks = {f"images/{stem}.jpg" for stem in stems}, {f"labels/{stem}_mask.png" for stem in stems}
    assert set(artifact.files) == images | masks | {
        "LICENSE.txt", "classes.json", "eda_table.parquet", "ingest.json",
        "thumbnails.bin", "thumbnails.parquet", "class_positions.parquet",
    }  # fmt: skip
    for path in [*images, *masks, "LICENSE.txt", "classes.json"]:
        assert artifact.path(path).read_bytes() == (scenes / path).read_bytes(), path
    assert artifact.json("ingest.json") == {
        "layout": {
            "name": "bdd-simple", "about": PRESETS["bdd-simple"].about, "images": ["images/{stem}.jpg"],
            "mask": "labels/{stem}_mask.png", "group": PRESETS["bdd-simple"].group, "published": False,
            "use_published": False,
        },
        "images": 6, "beyond_limit": 0, "skipped": [], "warnings": [],
    }  # fmt: skip
    assert (artifact.spec, artifact.type) == ("scenes:v0", "raw_data")
    told = {"data": str(scenes), "images": 6, "groups": 3, "settings": {"data": to_dict(Data(data=str(scenes)))}}
    assert {key: artifact.metadata[key] for key in artifact.metadata if key != "versions"} == told
    assert artifact.metadata["versions"]["pillow"] == PIL.__version__
    (run,) = place.tracker.runs()
    assert (run.job_type, run.status, run.inputs, run.outputs) == ("upload", "finished", (), ("scenes:v0",))
    assert run.summary == {"images": 6, "groups": 3}
    assert run.config["data"]["data"] == str(scenes)
    assert run.config["layout"]["name"] == "bdd-simple"


@pytest.mark.parametrize("name", ["LICENSE.txt", "LICENSE", "LICENCE.txt"])
def test_a_licence_is_kept(place, tmp_path, name):
    put(fill(tmp_path / "data", 2), name, b"Be nice.")
    assert place.ingest(tmp_path / "data").path("LICENSE.txt").read_text() == "Be nice."


def test_no_licence_is_made_up(place, tmp_path):
    assert "LICENSE.txt" not in place.ingest(fill(tmp_path / "data", 2))


def test_the_name_is_the_folders_or_as_told(place, tmp_path):
    root = fill(tmp_path / "my photos", 2)
    assert place.ingest(root).spec == "my-photos:v0"
    assert place.ingest(root, name="mine").spec == "mine:v0"


PALETTE = Image.frombytes("P", (24, 16), bytes([1, 3] * 192))
PALETTE.putpalette([255, 255, 255, 0, 0, 0, 9, 9, 9, 7, 7, 7])


@pytest.mark.parametrize(
    ("classes", "label", "values"),
    [
        ("names: [road, car]\nraw_values: {7: 0, 26: 1, 3: 255}", mask(np.full((16, 24), 26, np.uint8)), 1),
        ("names: [road, car]\nraw_values: {7: 0, 26: 1, 3: 255}", mask(np.full((16, 24), 3, np.uint8)), 255),
        ("names: [a, b, c, d]", encoded(PALETTE), np.tile([1, 3], (16, 12))),
        ("names: [a, b, c, d]", grey_png(np.full((16, 24), 2), 4), 2),
        ("names: [a, b, c, d]", encoded(Image.new("L", (24, 16), 2), "TIFF"), 2),
        ('names: [a, b]\nraw_colors: {"#804080": 1}', encoded(Image.new("RGB", (24, 16), (128, 64, 128))), 1),
    ],
    ids=["raw-values", "raw-to-ignore", "palette", "4-bit", "tiff", "rgb"],
)
def test_masks_that_change_are_stored_as_8_bit_indices(place, tmp_path, classes, label, values):
    root = fill(tmp_path / "data", 0)
    put(root, "classes.yaml", classes.encode())
    put_pair(root, "d-1", shade(0), label)
    artifact = place.ingest(root)
    data = artifact.path("labels/d-1_mask.png").read_bytes()
    assert data[24:26] == b"\x08\x00", "a PNG of 8 bits, grey"
    with Image.open(artifact.path("labels/d-1_mask.png")) as image:
        assert (image.format, image.mode) == ("PNG", "L")
        assert (np.asarray(image) == values).all()
    (row,) = artifact.table("eda_table.parquet").rows()
    shares = [row[f"{name}_share"] for name in ClassMap.from_dict(artifact.json("classes.json")).names]
    expected = [(np.broadcast_to(values, (16, 24)) == index).mean() for index in range(len(shares))]
    assert shares == pytest.approx(expected)
    assert "raw" not in artifact.path("classes.json").read_text()


def test_a_mask_that_needs_no_change_keeps_its_bytes(place, tmp_path):
    root = fill(tmp_path / "data", 2)
    label = encoded(Image.new("L", (24, 16), 3), compress_level=0, dpi=(72, 72))
    put(root, "labels/d0-0_mask.png", label)
    assert place.ingest(root).path("labels/d0-0_mask.png").read_bytes() == label


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_runs_through(place, tmp_path, name):
    artifact = place.ingest(make_tree(tmp_path / "tree", name))
    record, table = artifact.json("ingest.json"), artifact.table("eda_table.parquet")
    assert record["layout"]["name"] == name
    assert record["layout"]["published"] == record["layout"]["use_published"] == (name in {"bdd100k", "cityscapes"})
    assert (record["images"], record["skipped"], record["warnings"]) == (len(TREES[name]), [], [])
    assert table.classes == replace(PRESETS[name].classes, raw_values={}, raw_colors={})
    rows = table.rows()
    assert [Group(row["Group"], row["Drive"], row["Frame"]) for row in rows] == GROUPS[name]
    assert [row["Published"] for row in rows] == PUBLISHED[name]
    for row in rows:
        source = next(path for path in TREES[name] if path.endswith(f"/{row['File_Name']}"))
        assert row["Mask"] == f"labels/{row['File_Name'].rsplit('.', 1)[0]}_mask.png"
        assert artifact.path(row["Image"]).read_bytes() == (tmp_path / "tree" / source).read_bytes()
        with Image.open(artifact.path(row["Mask"])) as image:
            assert (image.mode, np.asarray(image).tolist()) == ("L", [STORED[name][1]])


def test_another_mask_and_class_map_by_settings_alone(place, tmp_path):
    root = make_tree(tmp_path / "tree", "camvid")
    (root / "labels").rename(root / "labels_11")
    put(root, "classes_11.yaml", f"names: {[f'c{index}' for index in range(11)]}".encode())
    artifact = place.ingest(root, mask="labels_11/{stem}_mask.png", classes="classes_11.yaml", preset="camvid")
    table = artifact.table("eda_table.parquet")
    assert len(table.classes) == 11
    assert [row["c6"] for row in table.rows()] == [1, 1, 1]
    assert artifact.json("ingest.json")["layout"]["mask"] == "labels_11/{stem}_mask.png"


def test_a_layout_of_ones_own(place, tmp_path):
    for number, trip in enumerate(["north", "south"]):
        put(tmp_path, f"data/trips/{trip}/{number}.png", encoded(Image.new("RGB", (24, 16), (number, 0, 0))))
        put(tmp_path, f"data/truth/{trip}/{number}.png", mask())
    layout = {"images": "trips/{trip}/*.png", "mask": "truth/{trip}/{name}", "group": "trips/([^/]+)/"}
    artifact = place.ingest(tmp_path / "data", **layout)
    assert [row["Group"] for row in artifact.table("eda_table.parquet").rows()] == ["north", "south"]
    assert artifact.json("ingest.json")["layout"]["name"] == "custom"


# how many


@pytest.mark.parametrize("limit", [1, 4, 9, 20])
def test_a_limit_takes_even_steps(place, tmp_path, limit):
    rows = place.rows(fill(tmp_path / "data", 9), limit=limit)
    assert len(rows) == min(limit, 9)
    assert len({row["Group"] for row in rows}) == min(limit, 3)
    assert place.tracker.get("data").json("ingest.json")["beyond_limit"] == 9 - min(limit, 9)


def test_a_limit_below_one_is_refused(place, tmp_path):
    with pytest.raises(ConfigError, match="limit"):
        place.ingest(fill(tmp_path / "data", 2), limit=0)


def test_the_artifact_is_the_same_from_anywhere(tmp_path):
    """Another folder, other times of change, another order of writing, other numbers of workers: one digest."""
    first = fill(tmp_path / "first/data", WORTH_IT + 2)
    digest = Place(tmp_path / "a").ingest(first).digest
    second = fill(tmp_path / "second/data", WORTH_IT + 2)
    for path in second.rglob("*.*"):
        os.utime(path, (1, 1))
    for workers in (1, 2):
        artifact = Place(tmp_path / f"b{workers}").ingest(second, workers=workers)
        assert artifact.digest == digest, f"{workers} workers"


def test_masks_recoded_by_workers_are_the_same(tmp_path):
    root = fill(tmp_path / "data", WORTH_IT + 2)
    put(root, "classes.yaml", b"names: [a, b]\nraw_values: {0: 1, 1: 0, 2: 1, 3: 0, 4: 1, 5: 0, 6: 255}")
    digests = {Place(tmp_path / f"s{workers}").ingest(root, workers=workers).digest for workers in (0, 2)}
    assert len(digests) == 1


# damage


@pytest.fixture
def damaged(tmp_path):
    """Three sound pairs; a mask cut off, a text called JPEG, an orphan, and a wholly ignored mask."""
    root = fill(tmp_path / "data", 3)
    put_pair(root, "d1-cut", shade(700), mask()[:-30])
    put_pair(root, "d1-text", b"no picture")
    put(root, "labels/d1-orphan_mask.png", mask())
    put_pair(root, "d1-void", shade(800), mask(np.full((16, 24), 255, np.uint8)))
    return root


def test_damage_fails_with_one_summary(place, damaged):
    with pytest.raises(DataError) as caught:
        place.ingest(damaged)
    text = str(caught.value)
    assert text.startswith("3 problems of 3 kinds and 1 warning in 6 images:\n")
    for path in (
        "labels/d1-cut_mask.png",
        "images/d1-text.jpg",
        "labels/d1-orphan_mask.png",
        "labels/d1-void_mask.png",
    ):
        assert f"\n  - {path}: " in text
    assert text.endswith("go on with 4 of 6 images: `--on-error skip` leaves these files out and records which.")
    place.assert_failed()


def test_skipping_goes_on_and_records_which(place, damaged, capsys):
    artifact = place.ingest(damaged, on_error="skip")
    rows = artifact.table("eda_table.parquet").rows()
    assert [row["File_Name"] for row in rows] == ["d0-0.jpg", "d1-1.jpg", "d1-void.jpg", "d2-2.jpg"]
    assert rows[2]["ignored_share"] == 1
    assert {path for path in artifact.files if "/" in path} == {
        path for row in rows for path in (row["Image"], row["Mask"])
    }
    record = artifact.json("ingest.json")
    assert record["images"] == 4
    assert [(one["kind"], one["file"]) for one in record["skipped"]] == [
        ("mask without image", "labels/d1-orphan_mask.png"),
        ("truncated file", "labels/d1-cut_mask.png"),
        ("not readable as an image", "images/d1-text.jpg"),
    ]
    assert all(one["detail"] for one in record["skipped"])
    assert record["warnings"] == [
        {"kind": "mask wholly ignored", "file": "labels/d1-void_mask.png", "detail": "every pixel is ignored"}
    ]
    err = capsys.readouterr().err
    assert "3 problems of 3 kinds and 1 warning in 6 images:\n" in err
    assert "\n  - labels/d1-cut_mask.png: " in err
    assert "\n\nGoing on with 4 of 6 images; ingest.json in the artifact names the others.\n" in err
    assert "--on-error" not in err


def test_nothing_sound_left_is_an_error_even_when_skipping(place, tmp_path):
    put_pair(tmp_path / "data", "d-1", shade(0), b"x")
    put_pair(tmp_path / "data", "d-2", b"x")
    with pytest.raises(DataError, match=r"(?s)2 problems in 2 images:.*No sound pair of image and mask is left"):
        place.ingest(tmp_path / "data", on_error="skip")
    place.assert_failed()


def test_warnings_alone_are_told_and_gone_on_from(place, tmp_path, capsys):
    root = fill(tmp_path / "data", 2)
    put_pair(root, "d-void", shade(800), mask(np.full((16, 24), 255, np.uint8)))
    artifact = place.ingest(root)
    assert artifact.json("ingest.json")["images"] == 3
    err = capsys.readouterr().err
    assert "1 warning in 3 images:\n\nWarning: 1 of 3 masks has no pixel of any class." in err
    assert "Going on" not in err


def test_of_identical_images_the_first_is_kept(place, tmp_path):
    root = fill(tmp_path / "data", 3)
    for name in ("d2-9.jpg", "d0-1.jpg"):
        put(root, f"images/{name}", shade(0))
        put(root, f"labels/{name[:-4]}_mask.png", mask())
    with pytest.raises(DataError, match=r"2 of 5 images are identical with another"):
        place.ingest(root)
    artifact = place.ingest(root, on_error="skip")
    assert [row["File_Name"] for row in artifact.table("eda_table.parquet").rows()] == [
        "d0-0.jpg", "d1-1.jpg", "d2-2.jpg",
    ]  # fmt: skip
    assert artifact.json("ingest.json")["skipped"] == [
        {"kind": "identical images", "file": f"images/{name}", "detail": "the same bytes as images/d0-0.jpg"}
        for name in ("d0-1.jpg", "d2-9.jpg")
    ]


def test_many_files_of_a_kind_are_counted_and_all_recorded(place, tmp_path, capsys):
    root = fill(tmp_path / "data", 2)
    for number in range(25):
        put(root, f"images/x-{number:02}.jpg", shade(number))
    artifact = place.ingest(root, on_error="skip")
    assert [one["file"] for one in artifact.json("ingest.json")["skipped"]] == [
        f"images/x-{number:02}.jpg" for number in range(25)
    ]
    err = capsys.readouterr().err
    assert "25 of 27 images have no mask." in err
    assert "\n  - and 22 more\n" in err


def test_problems_found_by_workers_are_the_same(tmp_path, capsys):
    root = fill(tmp_path / "data", WORTH_IT + 2)
    for number in (0, 5, 20):
        put(root, f"labels/d{number % 3}-{number}_mask.png", mask()[:-30])
    texts = []
    for workers in (0, 2):
        with pytest.raises(DataError) as caught:
            Place(tmp_path / f"s{workers}").ingest(root, workers=workers)
        texts.append(str(caught.value))
    assert texts[0] == texts[1]
    assert texts[0].startswith(f"3 problems in {WORTH_IT + 2} images:\n\n3 files are cut off.")
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("part", ["images/d0-0.jpg", "labels/d1-1_mask.png"])
@pytest.mark.parametrize("change", ["rewritten", "removed"])
def test_a_file_that_changes_while_it_is_read_is_an_error(place, tmp_path, monkeypatch, part, change):
    root = fill(tmp_path / "data", 3)

    def meddle(*_args):
        (root / part).write_bytes(mask() + b"more") if change == "rewritten" else (root / part).unlink()

    monkeypatch.setattr(stage, "_judge", meddle)  # between the checks and the storing
    with pytest.raises(DataError, match=rf"{part} changed while it was read\. Run the same command again"):
        place.ingest(root)
    place.assert_failed()


def test_a_file_that_goes_between_listing_and_reading_is_in_the_summary(place, tmp_path, monkeypatch):
    root = fill(tmp_path / "data", 3)
    pair = stage.pair

    def meddle(*args):
        found = pair(*args)
        (root / "labels/d1-1_mask.png").unlink()
        return found

    monkeypatch.setattr(stage, "pair", meddle)
    with pytest.raises(DataError, match=r"labels/d1-1_mask\.png: is not there"):
        place.ingest(root)


# names


@pytest.mark.parametrize(
    ("names", "twice"),
    [
        (("road", "Width"), "Width"),
        (("file_name", "road"), "file_name"),
        (("road", "road_share"), "road_share"),
        (("Road", "road"), "road"),
        (("road", "ignored_share"), "ignored_share"),
        (("road", "ignored"), "ignored_share"),
    ],
)
def test_a_class_called_like_a_column_is_refused(place, tmp_path, names, twice):
    root = fill(tmp_path / "data", 2)
    put(root, "classes.json", ClassMap(names).to_json().encode())
    with pytest.raises(ConfigError, match=rf"two columns called '{twice}' .*Rename that class"):
        place.ingest(root)
    assert place.tracker.runs() == []


ODD = ('say "car"', "it's", "a, b; c", "[red]tram[/red]", "SELECT", "x_share.y", "straße ✓", "--", "100 %", ":car:")


def test_class_names_may_hold_odd_characters(place, tmp_path):
    root = fill(tmp_path / "data", 0)
    put(root, "classes.json", ClassMap(ODD).to_json().encode())
    for number in range(len(ODD)):
        put_pair(root, f"d-{number}", shade(number * 9), mask(np.full((16, 24), number, np.uint8)))
    table = place.ingest(root).table("eda_table.parquet")
    assert table.classes.names == ODD
    for number, name in enumerate(ODD):
        quoted = '"' + name.replace('"', '""') + '"'
        found = table.sql(f"SELECT File_Name FROM rows WHERE {quoted} = 1")
        assert found["File_Name"].to_pylist() == [f"d-{number}.jpg"]


def test_file_names_may_hold_odd_characters(place, tmp_path, capsys):
    root = tmp_path / "data"
    names = ["d-[bold]x", "d-:car:", "d-%s {x}", "d-ä é", "d-'\"`$(x)", "d-x.y", "d--", "d-#1?&"]
    for number, name in enumerate(names):
        put_pair(root, name, shade(number * 9))
    put_pair(root, "d-:bomb: [red]", b"no picture")
    artifact = place.ingest(root, on_error="skip")
    rows = artifact.table("eda_table.parquet").rows()
    assert [row["File_Name"] for row in rows] == sorted(f"{name}.jpg" for name in names)
    for row in rows:
        assert artifact.path(row["Image"]).read_bytes() == (root / row["Image"]).read_bytes()
        assert artifact.path(row["Mask"]).is_file()
    assert "  - images/d-:bomb: [red].jpg: is no JPEG" in capsys.readouterr().err


def test_a_name_that_leaves_no_room_for_mask_png(place, tmp_path):
    name = "d-" + "長" * 83
    put(tmp_path, f"data/images/{name}.png", encoded(Image.new("RGB", (24, 16))))
    put(tmp_path, f"data/masks/{name}.png", grey_png(np.full((16, 24), 2), 4))
    (row,) = place.rows(tmp_path / "data", images="images/{stem}.png", mask="masks/{stem}.png", group="^[^-]+")
    assert row["Mask"] == f"labels/{name}_mask.png"


def test_a_frame_number_beyond_64_bits(place, tmp_path):
    digits = "12345678901234567890123456789"
    put_pair(tmp_path / "data", f"0001TP_{digits}")
    (row,) = place.rows(tmp_path / "data", preset="camvid")
    assert row["Frame"] == int(digits[-18:])


# when the work is done again


def said(capsys):
    return capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("tracker", ["trackio", "none"])
def test_nothing_changed_nothing_done(tmp_path, capsys, tracker):
    place, root = Place(tmp_path / "store", tracker), fill(tmp_path / "data", 3)
    first = place.ingest(root)
    assert place.ingest(root) == first
    assert len(place.tracker.runs()) == 1
    assert said(capsys) == "ingest: up to date, data:v0 answers for it (--force redoes it)"
    assert place.ingest(root, force=True).digest == first.digest
    assert place.ingest(root, workers=1).digest == first.digest
    assert len(place.tracker.runs()) == 2


CHANGES = {
    "an image": lambda root: put(root, "images/d0-0.jpg", shade(900)),
    "a mask": lambda root: put(root, "labels/d0-0_mask.png", mask()),
    "a new pair": lambda root: put_pair(root, "d1-new", shade(901)),
    "a pair less": lambda root: [(root / name).unlink() for name in ("images/d0-0.jpg", "labels/d0-0_mask.png")],
    "a licence": lambda root: put(root, "LICENSE.txt", b"Be nice."),
    "a class map": lambda root: put(root, "classes.yaml", f"names: {list('abcdefg')}".encode()),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen(place, tmp_path, change):
    root = fill(tmp_path / "data", 3)
    first = place.ingest(root)
    CHANGES[change](root)
    second = place.ingest(root)
    assert second.spec == "data:v1"
    assert second.digest != first.digest
    assert len(place.tracker.runs()) == 2


def test_another_setting_is_seen(place, tmp_path):
    root = fill(tmp_path / "data", 3)
    place.ingest(root)
    assert place.ingest(root, limit=2).spec == "data:v1"
    assert place.ingest(root, group="^.").json("ingest.json")["layout"]["group"] == "^."


def test_an_orphan_that_appears_is_seen(place, tmp_path):
    root = fill(tmp_path / "data", 3)
    place.ingest(root)
    put(root, "labels/d0-lost_mask.png", mask())
    with pytest.raises(DataError, match=r"1 mask has no image\. .*\n  - labels/d0-lost_mask\.png"):
        place.ingest(root)
    (root / "labels/d0-lost_mask.png").unlink()
    assert place.ingest(root).spec == "data:v0"


def test_touched_files_are_read_again_and_give_the_same(place, tmp_path):
    root = fill(tmp_path / "data", 3)
    first = place.ingest(root)
    os.utime(root / "images/d0-0.jpg", (1, 1))
    assert place.ingest(root) == first
    assert len(place.tracker.runs()) == 2


def test_repaired_damage_is_read_again(place, damaged):
    place.ingest(damaged, on_error="skip")
    put(damaged, "labels/d1-cut_mask.png", mask())
    assert place.ingest(damaged, on_error="skip").json("ingest.json")["images"] == 5


# which data


def test_no_data_asks_which(place):
    with pytest.raises(ConfigError, match=r"Which images\? Give --data DIR, or a dataset by name \(bdd-simple-1k\)"):
        place.ingest("")
    assert place.tracker.runs() == []


def test_data_that_is_no_folder(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put(tmp_path, "file", b"x")
    for data in (tmp_path / "none", "none/at/all", tmp_path / "file", "file", "./file", tmp_path / "file/below"):
        with pytest.raises(DataError, match=f"{data} is no folder\\. Name the folder that holds the images"):
            place.ingest(data)
    with pytest.raises(DataError, match="cannot be opened: File name too long"):
        place.ingest("x" * 5000)
    with pytest.raises(SourceError, match=r"no folder and no dataset 'none'\. .* bdd-simple-1k\. .* --data DIR"):
        place.ingest("none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"No known layout fits .*empty"):
        place.ingest("empty")
    assert place.tracker.runs() == []


def test_a_folder_by_its_relative_name_a_link_or_the_home(place, tmp_path, monkeypatch):
    fill(tmp_path / "data", 3)
    (tmp_path / "link").symlink_to("data")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    digests = {place.ingest(data).digest for data in ("data", "./data/", "link", "~/data", tmp_path / "data")}
    assert len(digests) == 1


class Quiet(SimpleHTTPRequestHandler):
    asked = ()

    def do_GET(self):
        type(self).asked += (self.path,)
        super().do_GET()

    def log_message(self, format, *args):  # noqa: A002
        pass


@pytest.fixture
def tiny_set(tmp_path, monkeypatch):
    """A dataset known by name, served from this machine; the handler, which knows what was asked for."""
    with zipfile.ZipFile(tmp_path / "tiny.zip", "w") as opened:
        for number, stem in enumerate(["a-1_000001", "a-1_000002", "b-1_001001"]):
            opened.writestr(f"tiny/images/{stem}.jpg", shade(number * 20))
            opened.writestr(f"tiny/labels/{stem}_mask.png", mask())
        opened.writestr("LICENSE.txt", "Be nice.")
    handler = type("Handler", (Quiet,), {})
    serving = functools.partial(handler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), serving) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/tiny.zip"
        source = Source("tiny-set", url, "camvid", size=None, sha256=None, max_unpacked=1 << 20, licence="Be nice.")
        monkeypatch.setitem(SOURCES, "tiny-set", source)
        yield handler
        server.shutdown()
        thread.join()


def test_a_dataset_by_name_is_fetched_and_read_by_its_preset(tmp_path, monkeypatch, tiny_set):
    monkeypatch.chdir(tmp_path)
    place = Place(tmp_path / "store")
    artifact = place.ingest("tiny-set")
    assert artifact.spec == "tiny-set:v0"
    assert artifact.path("LICENSE.txt").read_text() == "Be nice."
    assert artifact.json("ingest.json")["layout"]["name"] == "camvid", "which would be found out as bdd-simple"
    groups = [row["Group"] for row in artifact.table("eda_table.parquet").rows()]
    assert groups == ["a-1_000", "a-1_000", "b-1_001"]
    assert (place.store / "datasets/tiny-set/tiny/images/a-1_000001.jpg").read_bytes() == shade(0)
    assert place.ingest("tiny-set") == artifact
    assert len(place.tracker.runs()) == 1
    assert tiny_set.asked == ("/tiny.zip",)
    assert place.ingest("tiny-set", preset="bdd-simple").json("ingest.json")["layout"]["name"] == "bdd-simple"


def test_a_folder_of_that_name_comes_before_the_dataset(tmp_path, monkeypatch, tiny_set):
    monkeypatch.chdir(tmp_path)
    fill(tmp_path / "tiny-set", 2)
    assert len(Place(tmp_path / "store").rows("tiny-set")) == 2
    assert tiny_set.asked == ()


def test_a_dataset_that_cannot_be_fetched(tmp_path, monkeypatch, tiny_set):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.zip").unlink()
    place = Place(tmp_path / "store")
    with pytest.raises(SourceError, match="404"):
        place.ingest("tiny-set")
    assert place.tracker.runs() == []


def test_the_tracker_is_opened_from_the_settings(tmp_path):
    root = fill(tmp_path / "data", 2)
    artifact = ingest(load_config(overrides={"store": str(tmp_path / "store"), "data": str(root), "workers": 0}))
    again = open_tracker(load_config(overrides={"store": str(tmp_path / "store")})).get("data")
    assert again == artifact
    assert json.loads(again.path("ingest.json").read_text())["images"] == 2


def test_the_schema_is_that_of_an_empty_table(tmp_path):
    schema = eda_schema(ROAD_SCENE)
    path = Table(pa.Table.from_pylist([], schema), ROAD_SCENE).write(tmp_path / "t.parquet")
    assert Table.read(path).data.schema == schema


def test_ctrl_c_ends_the_command_promptly_and_tidily(tmp_path):
    root = tmp_path / "data"
    put(root, "classes.yaml", b"names: [road]\nraw_values: {3: 0}")
    for number in range(300):
        put_pair(root, f"d-{number}", encoded(Image.new("RGB", (320, 240), (number % 256, number // 256, 0)), "JPEG"),
                 mask(np.full((240, 320), 3, np.uint8)))  # fmt: skip
    command = [sys.executable, "-m", "sightline", "ingest", "--data", str(root), "--store", str(tmp_path / "store")]
    process = subprocess.Popen(
        [*command, "--workers", "2"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    wait_until(lambda: list((tmp_path / "store").glob("tmp/*/*.png")), 60)  # the first mask that a worker has written
    assert len(group(process.pid)) > 2
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert time.monotonic() - began < 15
    assert (process.returncode, out) == (130, "")
    assert re.fullmatch(r"ingest: run upload-1\nError: Interrupted\. .*\n", err)
    wait_until(lambda: not group(process.pid))
    place = Place(tmp_path / "store", "trackio")
    (run,) = place.tracker.runs()
    assert (run.status, run.error, place.tracker.artifacts()) == ("failed", "interrupted", [])
    assert list((tmp_path / "store/tmp").iterdir()) == []
    assert place.ingest(root, limit=3).spec == "data:v0"
