"""Unpacking an archive that came from elsewhere: nothing leaves its folder, nothing grows without bound."""

from __future__ import annotations

import re
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from sightline.errors import SourceError

MAX_ENTRIES = 100_000
"""Most entries that an archive may have."""

MAX_RATIO = 100
"""Most bytes that a byte of the archive may unpack to, over the whole archive. Images hardly shrink: it is 1 or 2."""

SLACK = 1 << 20
"""Bytes that any archive may unpack to, whatever its ratio."""

MAX_NAME, MAX_PATH = 255, 512
"""Most bytes of a file's name, and of an entry's path: what every common file system takes."""

CHUNK = 1 << 20
ENTRY_SIGNATURE = b"PK\x01\x02"
ENCRYPTED = 0x1
METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])\s*(\..*)?", re.IGNORECASE)


def unzip(archive: Path, target: Path, max_unpacked: int, max_entries: int = MAX_ENTRIES) -> None:
    """Unpack `archive` into the new folder `target`; file modes and dates are not taken over.

    Every name is checked before the first byte is written. What comes out is counted while it is written, since the
    sizes that an archive states need not be true.

    Args:
        archive: the zip file.
        target: folder to make; must not exist. After an error it may hold a part of the content.
        max_unpacked: most bytes that may come out; besides, no more than `MAX_RATIO` times the archive's own size
            (1 MiB at least).
        max_entries: most files and folders that the archive may have.

    Raises:
        SourceError: the archive is damaged or no zip file; has too many entries; has an entry that is encrypted,
            compressed in a way other than deflate, neither file nor folder (a link, a device), there twice, or named
            so that it would leave the folder or mean a device; or it unpacks to too much.
        OSError: the disk is full or may not be written.
    """
    entries = count_entries(archive)
    if entries > max_entries:
        raise SourceError(f"The archive has {entries:,} entries, more than the {max_entries:,} allowed.")
    budget = min(max_unpacked, max(SLACK, MAX_RATIO * archive.stat().st_size))
    with _damage_told(), zipfile.ZipFile(archive) as opened:
        infos = opened.infolist()
        paths = _check_entries(infos)
        target.mkdir()
        for info, path in zip(infos, paths, strict=True):
            budget -= _extract(opened, info, target.joinpath(*path.parts), budget)


def count_entries(archive: Path) -> int:
    """At least as many as the entries that reading the directory of `archive` would load into memory.

    Every entry of the directory begins with a signature, which is counted wherever it stands: neither the counts nor
    the offsets that the archive states are relied on.
    """
    count, tail = 0, b""
    with archive.open("rb") as file:
        while block := file.read(CHUNK):
            count += (tail + block).count(ENTRY_SIGNATURE)
            tail = (tail + block)[-len(ENTRY_SIGNATURE) + 1 :]
    return count


@contextmanager
def _damage_told() -> Iterator[None]:
    """Turn what the zip reader raises on damaged archives into a SourceError."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, ValueError) as error:
        raise SourceError(f"The archive is damaged or no zip file: {error or type(error).__name__}.") from error


def _check_entries(infos: list[zipfile.ZipInfo]) -> list[PurePosixPath]:
    """The path of every entry; SourceError for the first that must not be unpacked."""
    paths, files, seen = [], set(), set()
    for info in infos:
        problem = _name_problem(info.orig_filename) or _kind_problem(info)
        path = PurePosixPath(info.orig_filename)
        key = _key(path)
        if not problem and key in seen:
            problem = "is there twice (upper and lower case count as the same)"
        if problem:
            raise SourceError(f"The archive is not safe to unpack: its entry {info.orig_filename[:200]!r} {problem}.")
        seen.add(key)
        paths.append(path)
        if not info.orig_filename.endswith("/"):
            files.add(key)
    _check_parents(paths, files)
    return paths


def _check_parents(paths: list[PurePosixPath], files: set[PurePosixPath]) -> None:
    for path in paths:
        if not files.isdisjoint(_key(path).parents):
            raise SourceError(f"The archive is not safe to unpack: its entry {str(path)[:200]!r} lies inside a file.")


def _key(path: PurePosixPath) -> PurePosixPath:
    """What file systems that fold case and accents take `path` for."""
    return PurePosixPath(unicodedata.normalize("NFC", unicodedata.normalize("NFC", str(path)).casefold()))


def _name_problem(name: str) -> str | None:
    parts = name.removesuffix("/").split("/")
    problems = {
        "is an absolute path": name.startswith("/"),
        "would leave its folder": ".." in parts,
        "has a part that is empty or ends in a dot or a space": any(not part or part[-1] in ". " for part in parts),
        "holds a control character": any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name),
        "holds a backslash": "\\" in name,
        "holds a colon (a drive letter or a stream)": ":" in name,
        "is the name of a device": any(DEVICE.fullmatch(part) for part in parts),
        "has too long a name": any(_bytes(part) > MAX_NAME for part in parts) or _bytes(name) > MAX_PATH,
    }
    return next((problem for problem, found in problems.items() if found), None)


def _bytes(name: str) -> int:
    return len(name.encode(errors="surrogatepass"))


def _kind_problem(info: zipfile.ZipInfo) -> str | None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind == stat.S_IFLNK:
        return "is a symbolic link"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR) or (kind == stat.S_IFDIR) > info.orig_filename.endswith("/"):
        return "is neither a file nor a folder"
    if info.flag_bits & ENCRYPTED:
        return "is encrypted"
    if info.compress_type not in METHODS:
        return f"is compressed with method {info.compress_type}; only stored and deflated entries are read"
    return None


def _extract(opened: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path, budget: int) -> int:
    """Write one entry; the number of bytes written, at most `budget`."""
    if info.orig_filename.endswith("/"):
        path.mkdir(parents=True, exist_ok=True)
        return 0
    path.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with opened.open(info) as source, path.open("xb") as file:
        while block := source.read(CHUNK):
            written += len(block)
            if written > budget:
                raise SourceError(
                    f"The archive is not safe to unpack: it holds more than it may, noticed {budget:,} bytes into its "
                    f"entry {info.orig_filename[:200]!r} (at most {MAX_RATIO} times its own size, and no more than "
                    "the dataset is known to hold)."
                )
            file.write(block)
    return written
