"""Archives that want out of their folder, or to fill the disk."""

import io
import stat
import struct
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.errors import SourceError
from sightline.unzip import SLACK, count_entries, unzip

ROOM = 1 << 30


def archive_of(path, entries, compression=zipfile.ZIP_DEFLATED):
    """Write a zip of (name or ZipInfo, bytes) as they are, names that zipfile would tidy included."""
    with zipfile.ZipFile(path, "w") as opened:
        for name, data in entries:
            info = zipfile.ZipInfo("x") if isinstance(name, str) else name
            info.filename = name if isinstance(name, str) else info.filename
            info.compress_type = compression if isinstance(name, str) else info.compress_type
            opened.writestr(info, data)
    return path


def entry(name, mode):
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, mode << 16
    return info


def patched(path, offset, value, shape="<H"):
    """Overwrite a field of the first entry in the directory, and the same field in the header before its data."""
    data = bytearray(path.read_bytes())
    struct.pack_into(shape, data, data.index(b"PK\x01\x02") + offset, value)
    struct.pack_into(shape, data, data.index(b"PK\x03\x04") + offset - 2, value)
    path.write_bytes(data)
    return path


def files_under(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def bytes_under(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_files_and_folders_come_out_as_they_are(tmp_path):
    entries = [("images/", b""), ("images/a.jpg", b"\xff" * 5), ("labels/é_mask.png", b""), ("LICENSE.txt", b"Yes.")]
    target = tmp_path / "out"
    unzip(archive_of(tmp_path / "a.zip", entries), target, ROOM)
    assert files_under(target) == ["LICENSE.txt", "images/a.jpg", "labels/é_mask.png"]
    assert (target / "images/a.jpg").read_bytes() == b"\xff" * 5
    assert (target / "LICENSE.txt").read_text() == "Yes."


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("/etc/passwd", "absolute"),
        ("//host/share", "absolute"),
        ("../evil", "leave its folder"),
        ("images/../../evil", "leave its folder"),
        ("images/..", "leave its folder"),
        ("..\\evil", "backslash"),
        ("\\evil", "backslash"),
        ("C:/evil", "colon"),
        ("C:evil", "colon"),
        ("a.jpg:stream", "colon"),
        ("images//a.jpg", "empty"),
        ("./a.jpg", "empty or ends in a dot"),
        ("images/... ", "empty or ends in a dot"),
        ("images./a.jpg", "ends in a dot"),
        ("", "empty"),
        ("con", "device"),
        ("images/NUL.jpg", "device"),
        ("COM1 .txt/a", "device"),
        ("a\nb", "control character"),
        ("x" * 256, "too long"),
        ("xy/" * 171, "too long"),
    ],
)
def test_names_that_lead_out_or_mean_something_else_are_refused(tmp_path, name, reason):
    archive = archive_of(tmp_path / "a.zip", [("images/fine.jpg", b"fine"), (name, b"evil")])
    with pytest.raises(SourceError, match=reason):
        unzip(archive, tmp_path / "out", ROOM)
    assert files_under(tmp_path) == ["a.zip"]


def test_a_name_that_hides_its_end_behind_a_null_byte_is_refused(tmp_path):
    archive = archive_of(tmp_path / "a.zip", [("a.jpgXevil", b"evil")])
    archive.write_bytes(archive.read_bytes().replace(b"a.jpgX", b"a.jpg\0"))
    with pytest.raises(SourceError, match="control character"):
        unzip(archive, tmp_path / "out", ROOM)


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        (stat.S_IFLNK | 0o777, "symbolic link"),
        (stat.S_IFCHR | 0o666, "neither"),
        (stat.S_IFBLK | 0o666, "neither"),
        (stat.S_IFIFO | 0o666, "neither"),
        (stat.S_IFSOCK | 0o666, "neither"),
        (stat.S_IFDIR | 0o755, "neither"),
    ],
)
def test_links_devices_and_false_folders_are_refused(tmp_path, mode, reason):
    archive = archive_of(tmp_path / "a.zip", [(entry("images", mode), b"/etc"), ("images/passwd", b"evil")])
    with pytest.raises(SourceError, match=reason):
        unzip(archive, tmp_path / "out", ROOM)
    assert files_under(tmp_path) == ["a.zip"]


def test_modes_are_not_taken_over(tmp_path):
    archive = archive_of(tmp_path / "a.zip", [(entry("run.sh", stat.S_IFREG | 0o4777), b"#!/bin/sh")])
    unzip(archive, tmp_path / "out", ROOM)
    assert not (tmp_path / "out/run.sh").stat().st_mode & (stat.S_ISUID | stat.S_IXUSR)


@pytest.mark.parametrize("twin", ["a.jpg", "A.JPG"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_twice_is_refused(tmp_path, twin):
    with pytest.raises(SourceError, match="twice"):
        unzip(archive_of(tmp_path / "a.zip", [("a.jpg", b"1"), (twin, b"2")]), tmp_path / "out", ROOM)


def test_composed_and_decomposed_accents_are_one_name(tmp_path):
    with pytest.raises(SourceError, match="twice"):
        unzip(archive_of(tmp_path / "a.zip", [("\u00e9", b"1"), ("e\u0301", b"2")]), tmp_path / "out", ROOM)


def test_a_file_inside_a_file_is_refused(tmp_path):
    with pytest.raises(SourceError, match="inside a file"):
        unzip(archive_of(tmp_path / "a.zip", [("A/b/c", b"1"), ("a", b"2")]), tmp_path / "out", ROOM)


def test_an_encrypted_entry_is_refused(tmp_path):
    archive = patched(archive_of(tmp_path / "a.zip", [("a.jpg", b"secret")]), 8, 1)
    with pytest.raises(SourceError, match="encrypted"):
        unzip(archive, tmp_path / "out", ROOM)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compression_whose_growth_per_read_is_unbounded_is_refused(tmp_path, method):
    with pytest.raises(SourceError, match=f"method {method}"):
        unzip(archive_of(tmp_path / "a.zip", [("a.jpg", b"1")], method), tmp_path / "out", ROOM)


def test_a_bomb_is_stopped_at_its_ratio(tmp_path):
    archive = archive_of(tmp_path / "a.zip", [("images/a.jpg", bytes(40 << 20))])
    allowed = max(SLACK, 100 * archive.stat().st_size)
    assert allowed < 40 << 20
    with pytest.raises(SourceError, match=r"holds more than it may.*images/a\.jpg"):
        unzip(archive, tmp_path / "out", ROOM)
    assert bytes_under(tmp_path / "out") <= allowed


def test_a_bomb_of_many_entries_is_stopped_at_the_total(tmp_path):
    archive = archive_of(tmp_path / "a.zip", [(f"{i}.jpg", bytes(SLACK // 8)) for i in range(30)], zipfile.ZIP_STORED)
    with pytest.raises(SourceError, match="holds more than it may"):
        unzip(archive, tmp_path / "out", SLACK)
    assert bytes_under(tmp_path / "out") <= SLACK
    unzip(archive, tmp_path / "again", 30 * SLACK // 8)
    assert bytes_under(tmp_path / "again") == 30 * SLACK // 8


@pytest.mark.parametrize("stated", [0, 10, 1 << 31])
def test_a_bomb_whose_header_lies_writes_no_more_than_allowed(tmp_path, stated):
    archive = patched(archive_of(tmp_path / "a.zip", [("a.jpg", bytes(40 << 20))]), 24, stated, "<I")
    with pytest.raises(SourceError, match=r"damaged|holds more"):
        unzip(archive, tmp_path / "out", ROOM)
    assert bytes_under(tmp_path / "out") <= max(SLACK, 100 * archive.stat().st_size)


def test_too_many_entries_are_counted_before_the_directory_is_read(tmp_path):
    archive = archive_of(tmp_path / "a.zip", [(f"{i}.jpg", b"") for i in range(11)])
    data = archive.read_bytes()
    end = data.rindex(b"PK\x05\x06")
    archive.write_bytes(data[: end + 8] + struct.pack("<HH", 1, 1) + data[end + 12 :])  # it claims a single entry
    with pytest.raises(SourceError, match="11 entries, more than the 10"):
        unzip(archive, tmp_path / "out", ROOM, max_entries=10)
    unzip(archive, tmp_path / "out", ROOM, max_entries=11)
    assert len(files_under(tmp_path / "out")) == 11


def test_entries_are_counted_across_the_borders_of_reads(tmp_path):
    for shift in range(6):
        (tmp_path / "a").write_bytes(bytes((1 << 20) - shift) + b"PK\x01\x02" + bytes(3) + b"PK\x01\x02")
        assert count_entries(tmp_path / "a") == 2


@pytest.mark.parametrize("data", [b"", b"<!doctype html>", b"PK\x05\x06"])
def test_what_is_no_zip_file_is_told(tmp_path, data):
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(SourceError, match="damaged or no zip file"):
        unzip(tmp_path / "a.zip", tmp_path / "out", ROOM)


def test_a_flipped_bit_is_noticed(tmp_path):
    archive = archive_of(tmp_path / "a.zip", [("a.jpg", b"fine" * 50)], zipfile.ZIP_STORED)
    archive.write_bytes(archive.read_bytes().replace(b"finefine", b"finefinf", 1))
    with pytest.raises(SourceError, match="damaged"):
        unzip(archive, tmp_path / "out", ROOM)


SEGMENTS = st.sampled_from(["..", ".", "", "a", "A", "é", "con", "C:", "a\\b", " ", "x.", "~"])
NAMES = st.lists(SEGMENTS | st.text(max_size=6), min_size=1, max_size=4).map("/".join)


@settings(deadline=None, max_examples=150)
@given(names=st.lists(NAMES, max_size=4, unique=True))
def test_whatever_the_names_nothing_leaves_the_folder(tmp_path_factory, names):
    base = tmp_path_factory.mktemp("names")
    entries = [(name, b"data") for name in names if not any(0xD800 <= ord(letter) <= 0xDFFF for letter in name)]
    archive = archive_of(base / "a.zip", entries)
    try:
        unzip(archive, base / "out", ROOM)
    except SourceError:
        pass
    else:
        assert len(files_under(base / "out")) == len([name for name, _ in entries if not name.endswith("/")])
    assert {path.name for path in base.iterdir()} <= {"a.zip", "out"}


def small_zip():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("images/a.jpg", b"abc" * 20)
        opened.writestr("LICENSE.txt", b"Yes.")
    return buffer.getvalue()


ZIP = small_zip()


@settings(deadline=None, max_examples=400)
@given(
    changes=st.lists(st.tuples(st.integers(0, len(ZIP) - 1), st.integers(0, 255)), max_size=4),
    length=st.integers(len(ZIP) - 60, len(ZIP)),
)
def test_whatever_the_damage_it_unpacks_or_says_why_not(tmp_path_factory, changes, length):
    base = tmp_path_factory.mktemp("damage")
    data = bytearray(ZIP)
    for place, value in changes:
        data[place] = value
    (base / "a.zip").write_bytes(data[:length])
    try:
        unzip(base / "a.zip", base / "out", ROOM)
    except SourceError as error:
        assert str(error).startswith("The archive ")
    assert {path.name for path in base.iterdir()} <= {"a.zip", "out"}
