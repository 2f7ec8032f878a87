"""Flags on images: kept with the dataset's version, safe from one another and from what their notes hold; and what
changed when the folder was repaired."""

import csv
import io
import json
import shutil
import threading

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

import sightline
from sightline import marks
from sightline.changes import Changes, changes_since, describe, version_before
from sightline.cli import app
from sightline.config import load_config
from sightline.errors import ConfigError, DataError, StoreError
from sightline.marks import Flag, Flags, harmless
from sightline.sample import make_dataset
from sightline.tracking import open_tracker

HOSTILE = '=HYPERLINK("http://evil.example","<img src=x onerror=alert(1)>")\r\n,"; DROP TABLE flags; --\x00\x1b[31m'


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(configuration, tracker, raw data) of a small dataset."""
    folder = tmp_path_factory.mktemp("flags")
    make_dataset(folder / "cam", drives=3, frames=2, size=(64, 96), workers=1)
    config = load_config(None, {"data": str(folder / "cam"), "store": str(folder / "store"), "workers": 1})
    return config, open_tracker(config), sightline.ingest(config)


@pytest.fixture
def flags(made, tmp_path):
    return Flags(tmp_path / "elsewhere", made[2])


def names_of(raw):
    return sorted(path.removeprefix("images/") for path in raw.files if path.startswith("images/"))


def plain(flags):
    return [(one.file_name, one.flag, one.note) for one in flags]


def test_put_again_and_remove(made, flags):
    first, second, *_ = names_of(made[2])
    assert flags.all() == []
    assert flags.stamp == (0, 0)
    flags.put([second, first, second], "wrong label", " the mask of a car \n")
    flags.put([first], "interesting")
    assert plain(flags.all()) == [
        (first, "interesting", ""),
        (first, "wrong label", "the mask of a car"),
        (second, "wrong label", "the mask of a car"),
    ]
    stamp = flags.stamp
    flags.put([first], "wrong label", "of a bus")
    assert flags.stamp != stamp
    assert plain(flags.remove([second, "never flagged.jpg"], "wrong label")) == plain(flags.all())
    assert plain(flags.all()) == [(first, "interesting", ""), (first, "wrong label", "of a bus")]


def test_they_belong_to_the_content_of_the_version(made, tmp_path):
    _, _, raw = made
    Flags(tmp_path, raw).put(names_of(raw)[:1], "duplicate")
    assert len(Flags(tmp_path, raw).all()) == 1
    assert (tmp_path / "flags" / f"{raw.name}-{raw.digest[:16]}.json").is_file()
    assert [path.suffix for path in (tmp_path / "flags").iterdir() if path.suffix == ".tmp"] == []


@pytest.mark.parametrize(
    ("names", "flag", "note", "error", "text"),
    [
        (["{first}"], "wrong", "", ConfigError, "There is no flag 'wrong'. The flags are: wrong label, duplicate"),
        ([], "duplicate", "", ConfigError, "No image is named"),
        (["{first}", "../secret"], "duplicate", "", DataError, "1 of 2 images is not in cam:v0 .first: ../secret."),
        (["{first}"], "duplicate", "x" * 2001, ConfigError, "2001 characters; 2000 is the most"),
    ],
)
def test_what_cannot_be_flagged_changes_nothing(made, flags, names, flag, note, error, text):
    first = names_of(made[2])[0]
    with pytest.raises(error, match=text):
        flags.put([name.format(first=first) for name in names], flag, note)
    assert not flags.path.exists()


def test_only_a_dataset_has_flags(tmp_path, made):
    import dataclasses

    with pytest.raises(ConfigError, match="of type model"):
        Flags(tmp_path, dataclasses.replace(made[2], type="model"))


def test_a_file_that_cannot_be_read_says_which(flags):
    flags.path.parent.mkdir(parents=True)
    for text in ("{", "[]", '{"flags": [{"File_Name": "x"}]}', "\xff"):
        flags.path.write_text(text, encoding="latin-1")
        with pytest.raises(StoreError, match="cannot be read"):
            flags.all()


@given(note=st.text(max_size=300))
@example(note="0\r0")
def test_a_note_is_text_whatever_it_holds(made, tmp_path_factory, note):
    flags = Flags(tmp_path_factory.mktemp("notes"), made[2])
    flags.put(names_of(made[2])[:1], "wrong label", note)
    (flag,) = flags.all()
    assert flag.note == note.encode("utf-8", "replace").decode().strip()
    (row,) = list(csv.DictReader(io.StringIO(flags.to_csv(), newline="")))
    assert row["note"].removeprefix("'") == flag.note.removeprefix("'")
    assert not row["note"].startswith(marks.FORMULA)


def test_notes_that_are_no_unicode_can_be_written(made, flags):
    flags.put(names_of(made[2])[:1], "wrong label", "half a \ud83d pair")
    assert flags.all()[0].note == "half a ? pair"
    assert flags.to_csv().encode()


def test_writers_at_once_lose_nothing(made, tmp_path):
    _, _, raw = made
    names, start = names_of(raw), threading.Barrier(6)

    def write(name):
        start.wait()
        for kind in marks.KINDS:
            Flags(tmp_path, raw).put([name], kind, f"by {name}")
            Flags(tmp_path, raw).remove([name], kind)
            Flags(tmp_path, raw).put([name], kind, f"by {name}")

    threads = [threading.Thread(target=write, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    found = Flags(tmp_path, raw).all()
    assert plain(found) == sorted((name, kind, f"by {name}") for name in names for kind in marks.KINDS)


def test_the_csv_names_the_mask_and_holds_no_formula(made, flags):
    first, second, *_ = names_of(made[2])
    flags.put([first], "wrong label", HOSTILE)
    flags.put([second], "duplicate", "-1 of them")
    rows = list(csv.DictReader(io.StringIO(flags.to_csv(), newline="")))
    assert [row["File_Name"] for row in rows] == [first, second]
    assert rows[0]["Mask"] == f"labels/{first.removesuffix('.jpg')}_mask.png"
    assert rows[0]["note"] == f"'{HOSTILE}"
    assert rows[1]["note"] == "'-1 of them"
    assert harmless("plain = text") == "plain = text"


# the command


def sightline_(config, *arguments):
    return CliRunner().invoke(app, ["flags", *arguments, "--store", config.store], catch_exceptions=False)


def test_the_command_lists_prints_and_writes_them(made, tmp_path):
    config, tracker, raw = made
    flags = Flags(tracker.store, raw)
    assert "No image of cam:v0 is flagged" in sightline_(config).stderr
    first, *_ = names_of(raw)
    flags.put([first], "wrong label", "[bold]a car[/bold]\x1b[31m")
    listed = sightline_(config, "cam:v0")
    assert first in listed.stdout
    assert "[bold]a car[/bold]" in listed.stdout
    assert "\x1b" not in listed.stdout
    (told,) = json.loads(sightline_(config, "--json").stdout)
    assert (told["File_Name"], told["flag"]) == (first, "wrong label")
    out = tmp_path / "to repair.csv"
    assert sightline_(config, "cam", "--csv", str(out)).stdout.strip() == str(out)
    assert out.read_bytes().decode() == flags.to_csv()
    assert list(tmp_path.iterdir()) == [out]
    flags.remove([first], "wrong label")


def test_the_command_says_what_is_wrong(made, tmp_path):
    config, *_ = made
    missing = sightline_(config, "other:v1")
    assert (missing.exit_code, "There is no artifact other:v1" in missing.stderr) == (7, True)
    nowhere = sightline_(config, "--csv", str(tmp_path / "no" / "folder.csv"))
    assert (nowhere.exit_code, "cannot be written" in nowhere.stderr) == (2, True)


# what changed


def test_ingest_of_the_repaired_folder_tells_what_changed(made, tmp_path, capsys):
    config, _, raw = made
    folder = tmp_path / "cam"
    shutil.copytree(config.data.data, folder)
    config = load_config(None, {"data": str(folder), "store": str(tmp_path / "store"), "workers": 1})
    tracker = open_tracker(config)
    first = sightline.ingest(config, tracker)
    assert "against" not in capsys.readouterr().err
    assert first.digest == raw.digest
    gone, repaired, brighter, left, *_ = names_of(first)
    Flags(tracker.store, first).put([gone, repaired, left], "wrong label")
    (folder / "images" / gone).unlink()
    (folder / "labels" / gone.replace(".jpg", "_mask.png")).unlink()
    mask = folder / "labels" / repaired.replace(".jpg", "_mask.png")
    Image.fromarray(np.zeros_like(np.array(Image.open(mask)))).save(mask)
    Image.fromarray(np.full((64, 96, 3), 200, np.uint8)).save(folder / "images" / brighter)
    shutil.copy(folder / "images" / left, folder / "images" / "0000ffff-00009.jpg")
    Image.fromarray(np.full((64, 96, 3), 90, np.uint8)).save(folder / "images" / "0000ffff-00009.jpg")
    shutil.copy(mask, folder / "labels" / "0000ffff-00009_mask.png")
    second = sightline.ingest(config, tracker)
    said = capsys.readouterr().err
    assert "against cam:v0: 1 image added (0000ffff-00009.jpg)" in said
    assert f"against cam:v0: 1 image removed ({gone})" in said
    assert f"against cam:v0: 1 image with another image ({brighter})" in said
    assert f"against cam:v0: 1 image with another mask ({repaired})" in said
    assert f"against cam:v0: of 3 flagged images 2 were changed or removed; as they were: {left}" in said
    found = changes_since(tracker, version_before(tracker, second), second)
    assert found.to_dict() == {
        "against": "cam:v0", "added": ["0000ffff-00009.jpg"], "removed": [gone], "image_changed": [brighter],
        "mask_changed": [repaired], "flagged_changed": [gone, repaired], "flagged_unchanged": [left],
    }  # fmt: skip
    assert version_before(tracker, first) is None
    assert Flags(tracker.store, second).all() == []
    assert sightline.ingest(config, tracker).digest == second.digest
    assert "against" not in capsys.readouterr().err


def test_the_digest_does_not_know_the_history(made, tmp_path):
    config, _, raw = made
    alone = load_config(None, {"data": config.data.data, "store": str(tmp_path / "fresh"), "workers": 1})
    assert sightline.ingest(alone).digest == raw.digest


def test_nothing_changed_is_a_line_too(made):
    _, tracker, raw = made
    assert describe(changes_since(tracker, raw, raw)) == ["against cam:v0: the same images with the same masks"]


def test_what_changed_is_counted_in_ones_and_in_many():
    found = Changes("cam:v0", ("a", "b"), ("c",), (), (), flagged_changed=("c",), flagged_unchanged=())
    assert describe(found) == [
        "against cam:v0: 2 images added (a, b)",
        "against cam:v0: 1 image removed (c)",
        "against cam:v0: of 1 flagged image 1 was changed or removed",
    ]


def test_a_flag_as_the_viewer_has_it():
    assert Flag("a.jpg", "duplicate", "", "now").to_dict() == {
        "File_Name": "a.jpg", "flag": "duplicate", "note": "", "when": "now",
    }  # fmt: skip
