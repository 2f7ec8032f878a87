"""A folder with more than twenty kinds of damage, through the real command line: one summary that names each file."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from damage import (
    BAD_IMAGES,
    BAD_MASKS,
    INDEX,
    damage_the_listing,
    encoded,
    exif,
    mask,
    picture,
    put,
    put_pair,
)
from PIL import Image

from sightline.config import load_config
from sightline.problems import ProblemKind
from sightline.tracking import open_tracker

LAYOUT = [
    "--images", "{folder:images|more}/{stem}.jpg", "--mask", "labels/{stem}_mask.png", "--group", "^(?P<group>[^-]+)-",
]  # fmt: skip
SOUND = ["good-0.jpg", "good-1.jpg", "good-2.jpg", "good-3.jpg", "good-4.jpg", "x-suffix.jpg", "x-void.jpg"]
LISTED = {
    ProblemKind.NO_MASK: {"images/x-lonely.jpg", "images/x-UP.jpg"},
    ProblemKind.NO_IMAGE: {"labels/x-orphan_mask.png"},
    ProblemKind.SAME_NAME: {"images/x-twice.jpg", "more/x-twice.jpg", "images/x-CASE.jpg", "images/x-case.jpg"},
    ProblemKind.NO_GROUP: {"images/nogroup.jpg"},
    ProblemKind.ALMOST: {"images/x-suffix.png", "images/x-upper.JPG", "labels/x-UP_mask.tif"},
    ProblemKind.BAD_NAME: {
        "images/x-back\\slash.jpg", "labels/x-back\\slash_mask.png",
        "images/x-line\nbreak.jpg", "labels/x-line\nbreak_mask.png",
    },
    ProblemKind.LINK: {"images/x-away.jpg", "images/x-broken.jpg", "images/x-loop.jpg", "labels/x-gone_mask.png"},
    ProblemKind.NOT_A_FILE: {"images/x-folder.jpg", "labels/x-dirmask_mask.png"},
    ProblemKind.EMPTY: {"images/x-empty.jpg", "labels/x-blank_mask.png"},
    ProblemKind.UNREADABLE: {"images/x-both.jpg", "labels/x-both_mask.png", "images/x-bit.jpg"},
    ProblemKind.LOSSY_MASK: {"labels/x-webp_mask.png"},
    ProblemKind.MASK_MODE: {"labels/x-frames_mask.png"},
    ProblemKind.DUPLICATE: {"images/good-9.jpg"},
}  # fmt: skip
"""What `damage` does to the folder, beside the contents of BAD_IMAGES and BAD_MASKS."""


def damage(root, tmp_path):
    for number in range(5):
        put_pair(root, f"good-{number}", picture(quality=60 + number))
    for stem, (data, _) in BAD_IMAGES.items():
        put_pair(root, f"x-{stem}", image=data)
    for stem, (data, _) in BAD_MASKS.items():
        put_pair(root, f"x-{stem}", image=picture(quality=70), label=data)
    damage_the_listing(root, tmp_path)
    put_pair(root, "good-9", picture(quality=60))
    put_pair(root, "x-line\nbreak")
    put_pair(root, "x-both", b"<html>", b"none")
    put_pair(root, "x-CASE")
    put_pair(root, "x-case")
    png = picture("PNG")
    put_pair(root, "x-bit", image=png[:200] + bytes([png[200] ^ 4]) + png[201:])
    put_pair(root, "x-webp", label=encoded(Image.fromarray(INDEX), "WEBP"))
    pages = {"save_all": True, "append_images": [Image.fromarray(INDEX)]}
    put_pair(root, "x-frames", label=encoded(Image.fromarray(INDEX), "TIFF", **pages))
    put(root, "images/x-gone.jpg", picture())
    (root / "labels/x-gone_mask.png").symlink_to("nowhere.png")
    return root


def expected():
    """Kind -> the files that are damaged so."""
    files = {kind: set(LISTED.get(kind, ())) for kind in ProblemKind}
    for stem, (_, kind) in BAD_IMAGES.items():
        files[kind].add(f"labels/x-{stem}_mask.png" if kind is ProblemKind.SIZE else f"images/x-{stem}.jpg")
    for stem, (_, kind) in BAD_MASKS.items():
        files[kind].add(f"labels/x-{stem}_mask.png")
    return files


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("damage")
    if (tmp_path.parent / tmp_path.name.upper()).exists():
        pytest.skip("this disk does not tell upper from lower case")
    return damage(tmp_path / "data", tmp_path)


def sightline(*arguments, environment=""):
    settings = dict([environment.split("=")]) if environment else {}
    done = subprocess.run(
        [sys.executable, "-m", "sightline", *map(str, arguments)],
        capture_output=True, text=True, timeout=120, check=False, env=os.environ | settings,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    assert "Warning:" not in done.stderr.replace("\nWarning: 1 of ", ""), "from a library"
    return done


@pytest.fixture(scope="module")
def failed(folder, tmp_path_factory):
    store = tmp_path_factory.mktemp("failed")
    return store, sightline("ingest", "--data", folder, "--store", store, *LAYOUT)


@pytest.fixture(scope="module")
def skipped(folder, tmp_path_factory):
    store = tmp_path_factory.mktemp("skipped")
    return store, sightline("ingest", "--data", folder, "--store", store, *LAYOUT, "--on-error", "skip")


def sections(text):
    """(heading, first line of each part -> its files, last line) of a summary."""
    heading, *parts, last = text.strip().split("\n\n")
    named = {}
    for part in parts:
        first, *files = part.splitlines()
        named[first] = {re.fullmatch(r"  - (.+?\.\w+): .+", line)[1] for line in files}
    return heading, named, last


def shown(files):
    return {file.replace("\n", "\\n") for file in files}


def test_the_folder_holds_every_kind_of_damage():
    kinds = expected()
    assert len(kinds) == len(ProblemKind) >= 20
    assert all(kinds.values())
    assert sum(map(len, kinds.values())) > 55


def test_the_command_fails_with_one_summary_that_names_every_file(failed):
    _, done = failed
    assert (done.returncode, done.stdout) == (3, "")
    said, _, summary = done.stderr.partition("Error: ")
    assert said == "ingest: run upload-1\n"
    heading, named, last = sections(summary)
    kinds = expected()
    problems = sum(len(files) for kind, files in kinds.items() if not kind.is_warning)
    assert heading == f"{problems} problems of {len(kinds) - 1} kinds and 1 warning in 58 images:"
    assert list(named.values()) == [shown(kinds[kind]) for kind in ProblemKind], "each file under its kind, in order"
    assert last == (
        "Repair these files, or go on with 7 of 58 images: `--on-error skip` leaves these files out and records which."
    )


def test_each_part_counts_its_files_and_says_what_to_do(failed):
    _, named, _ = sections(failed[1].stderr.partition("Error: ")[2])
    for first, files in named.items():
        start = re.match(r"(Warning: )?(\d+) (of 58 )?(image|mask|file|path)s? ", first)
        assert start, first
        assert int(start[2]) == len(files)
        assert first.count(". ") >= 1
        assert first.endswith(".") or first.endswith(").")


def test_the_images_that_are_counted_are_those_of_the_folder(folder):
    there = [path for path in [*folder.glob("images/*"), *folder.glob("more/*")] if path.name[0] != "."]
    assert len(there) == 58


def test_a_failed_ingest_leaves_a_failed_run_and_nothing_else(failed):
    store, _ = failed
    tracker = open_tracker(load_config(overrides={"store": str(store)}))
    (run,) = tracker.runs()
    assert (run.job_type, run.status, run.outputs) == ("upload", "failed", ())
    assert tracker.artifacts() == []
    assert list((store / "tmp").iterdir()) == []


def test_skipping_keeps_exactly_the_sound_pairs(skipped, folder):
    store, done = skipped
    assert (done.returncode, done.stdout) == (0, "data:v0\n")
    artifact = open_tracker(load_config(overrides={"store": str(store)})).get("data")
    table = artifact.table("eda_table.parquet")
    assert table.data["File_Name"].to_pylist() == SOUND
    assert {path for path in artifact.files if "/" in path} == {
        path for row in table.rows() for path in (row["Image"], row["Mask"])
    }
    for row in table.rows():
        assert artifact.path(row["Image"]).read_bytes() == (folder / row["Image"]).read_bytes()
        assert artifact.path(row["Mask"]).read_bytes() == (folder / row["Mask"]).read_bytes()
    assert table.data["ignored_share"].to_pylist() == [0] * 6 + [1]


def test_skipping_records_each_file_with_its_kind(skipped):
    store, _ = skipped
    record = open_tracker(load_config(overrides={"store": str(store)})).get("data").json("ingest.json")
    assert record["images"] == 7
    kinds = expected()
    for part, warning in (("skipped", False), ("warnings", True)):
        pairs = [(one["kind"], one["file"]) for one in record[part]]
        assert sorted(pairs) == sorted(
            (str(kind), file) for kind, files in kinds.items() if kind.is_warning == warning for file in files
        )
        assert all(one["detail"] for one in record[part])


def test_skipping_tells_the_same_and_how_it_goes_on(failed, skipped):
    said, _, rest = skipped[1].stderr.partition("\n")
    summary, _, saved = rest.partition("\ningest: saved data:v0")
    assert said == "ingest: run upload-1"
    assert re.fullmatch(r" \(\d+ files?, digest [0-9a-f]{12}\)\n", saved)
    heading, named, last = sections(summary)
    assert (heading, named) == sections(failed[1].stderr.partition("Error: ")[2])[:2]
    assert last == "Going on with 7 of 58 images; ingest.json in the artifact names the others."


def test_skipping_again_has_nothing_to_do(skipped, folder):
    store, _ = skipped
    done = sightline("ingest", "--data", folder, "--store", store, *LAYOUT, "--on-error", "skip")
    assert done.stdout == "data:v0\n"
    assert done.stderr == "ingest: up to date, data:v0 answers for it (--force redoes it)\n"


@pytest.mark.parametrize(("environment", "name"), [("LC_ALL=C", "d-長い"), ("PYTHONIOENCODING=ascii", "d-??")])
def test_names_in_any_script_are_told_on_any_terminal(tmp_path, environment, name):
    put_pair(tmp_path / "data", "d-1")
    put(tmp_path, "data/images/d-長い.jpg", picture())
    done = sightline("ingest", "--data", tmp_path / "data", "--store", tmp_path / "store", environment=environment)
    assert done.returncode == 3
    assert f"images/{name}.jpg: there is no labels/{name}_mask.png\n" in done.stderr


def test_a_photograph_turned_by_its_camera_is_told_with_both_sizes(tmp_path):
    put_pair(tmp_path / "data", "d-1")
    put_pair(tmp_path / "data", "d-2", encoded(Image.new("RGB", (16, 24)), "JPEG", exif=exif(6)), mask(np.array(INDEX)))
    done = sightline("ingest", "--data", tmp_path / "data", "--store", tmp_path / "store", "--tracker", "none")
    assert "images/d-2.jpg: has EXIF orientation 6: stored as 16x24, shown as 24x16" in done.stderr
    assert json.loads(next((tmp_path / "store/runs").glob("*.json")).read_text())["status"] == "failed"
