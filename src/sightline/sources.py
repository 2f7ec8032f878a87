"""Named datasets: fetched once, checked, unpacked into a cache, and from then on a folder like any other."""

from __future__ import annotations

import errno
import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sightline.download import BY_HAND, PATIENCE, Download, Part, Patience, Progress
from sightline.errors import SourceError
from sightline.unzip import unzip

MANIFEST = ".complete.json"
LICENSE = "LICENSE.txt"
NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


@dataclass(frozen=True)
class Source:
    """Where a named dataset comes from.

    Args:
        name: what `--data` takes; small letters, digits, `-` and `_`.
        url: a zip file with `images/` and `labels/`, in it or in its only folder.
        preset: name of the layout preset that fits.
        size: bytes of the zip file, or None where not known.
        sha256: its digest in hex, or None where not known.
        max_unpacked: most bytes that it may unpack to (and, where `size` is not known, that are downloaded).
        licence: who may use the data for what, in a sentence.

    Raises:
        SourceError: the name could not be that of a folder.
    """

    name: str
    url: str
    preset: str
    size: int | None
    sha256: str | None
    max_unpacked: int
    licence: str

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise SourceError(f"A dataset cannot be called {self.name!r}: use small letters, digits, '-' and '_'.")


SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        Source(
            name="bdd-simple-1k",
            url="https://storage.googleapis.com/wandb_course/bdd_simple_1k.zip",
            preset="bdd-simple",
            size=None,
            sha256=None,
            max_unpacked=4 << 30,
            licence="Made from BDD100K (Regents of the University of California), whose licence allows educational, "
            "research and not-for-profit use; LICENSE.txt in the dataset is what holds.",
        ),
    )
}
"""The datasets that `--data` knows by name. Size and digest of bdd-simple-1k are not published by its owner."""


def fetch(source: Source | str, cache: Path, progress: Progress | None = None, patience: Patience = PATIENCE) -> Path:
    """The folder of a named dataset, downloaded and unpacked into `cache` where it is not there yet.

    `cache/NAME.zip.part` is what has arrived so far and stays when the download stops, `cache/NAME/` is the unpacked
    dataset, complete from the moment it is there. One process at a time fetches a dataset; others wait for it.

    Args:
        source: a source, or the name of one in `SOURCES`.
        cache: folder of all datasets; made where missing.
        progress: called with (bytes that are here, bytes in all or None) while downloading.
        patience: time-out, and pauses between tries.

    Returns:
        The folder that holds `images/`, `labels/` and, where the dataset has one, `LICENSE.txt`.

    Raises:
        SourceError: no such name; the server cannot be reached, refuses or stops early; size, digest or content of the
            file are not what they should be (it is then removed); the disk is full or may not be written.
    """
    source = find_source(source) if isinstance(source, str) else source
    if (folder := _finished(source, cache)) is not None:
        return folder
    from filelock import FileLock

    with _disk_told(source, cache):
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(cache / f"{source.name}.lock"):
            return _finished(source, cache) or _fetch(source, cache, progress, patience)


def find_source(name: str) -> Source:
    """The source called `name`.

    Raises:
        SourceError: there is none; the text lists those there are.
    """
    if name not in SOURCES:
        raise SourceError(
            f"There is no folder and no dataset {name!r}. Datasets known by name: {', '.join(sorted(SOURCES))}. "
            "For data of your own give its folder: --data DIR."
        )
    return SOURCES[name]


def _fetch(source: Source, cache: Path, progress: Progress | None, patience: Patience) -> Path:
    """Download, check, unpack; the caller holds the lock."""
    _check_place(source, cache)
    part = Part(cache / f"{source.name}.zip.part")
    limit = source.max_unpacked if source.size is None else source.size
    download = Download(source.url, part, limit, source.sha256 is not None, patience)
    download.run(progress or (lambda done, total: None))
    try:
        digest = _check_file(source, part.path)
        folder = _unpack(source, cache, part.path, digest)
    except SourceError:
        part.remove()
        raise
    part.remove()
    return folder


def _finished(source: Source, cache: Path) -> Path | None:
    """The folder that an earlier call completed from the same url and digest."""
    manifest = _manifest(cache / source.name)
    if manifest.get("url") != source.url or source.sha256 not in (None, manifest.get("sha256")):
        return None
    return _content(cache / source.name)


def _manifest(root: Path) -> dict[str, object]:
    try:
        manifest = json.loads((root / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return manifest if isinstance(manifest, dict) else {}


def _content(root: Path) -> Path | None:
    """`root`, or the folder right inside it, that holds images and labels."""
    folders = [root, *sorted(path for path in root.iterdir() if path.is_dir())] if root.is_dir() else []
    return next((path for path in folders if (path / "images").is_dir() and (path / "labels").is_dir()), None)


def _check_place(source: Source, cache: Path) -> None:
    """Leave alone a folder that no earlier call made."""
    root = cache / source.name
    if root.exists() and not _manifest(root):
        raise SourceError(
            f"{root} is in the way: it holds no {MANIFEST}, so it is not a dataset that Sightline unpacked. Move it "
            f"away to have {source.name} fetched there, or use it as it is with --data {root}."
        )


def _check_file(source: Source, path: Path) -> str:
    """The sha256 of the zip file, once it and the size are known to be right."""
    size = path.stat().st_size
    if source.size not in (None, size):
        raise SourceError(_mismatch(source, "size", f"{source.size:,} bytes", f"{size:,} bytes"))
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if source.sha256 not in (None, digest):
        raise SourceError(_mismatch(source, "sha256", source.sha256, digest))
    return digest


def _mismatch(source: Source, what: str, expected: object, got: object) -> str:
    return (
        f"The {what} of {source.url} is wrong: expected {expected}, got {got}. The file was removed; the same command "
        f"downloads it anew. If that ends here again, the file on the server is another one than {source.name}."
    )


def _unpack(source: Source, cache: Path, archive: Path, digest: str) -> Path:
    """Unpack beside the place, write the manifest last, then rename: the place holds all or nothing."""
    staging, root = cache / f"{source.name}.unpacking", cache / source.name
    shutil.rmtree(staging, ignore_errors=True)
    try:
        folder = _unpack_checked(source, archive, staging).relative_to(staging)
        manifest = {"name": source.name, "url": source.url, "sha256": digest, "size": archive.stat().st_size}
        (staging / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        if root.exists():
            shutil.rmtree(root)
        staging.replace(root)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return root / folder


def _unpack_checked(source: Source, archive: Path, staging: Path) -> Path:
    """Unpack into `staging`; the folder in it that holds images and labels, and the licence where there is one."""
    try:
        unzip(archive, staging, source.max_unpacked)
    except SourceError as error:
        raise SourceError(f"What came from {source.url} cannot be used. {error} It was removed. {BY_HAND}") from error
    folder = _content(staging)
    if folder is None:
        raise SourceError(
            f"What came from {source.url} holds no images/ and labels/, neither at its top nor one folder down. "
            f"It was removed. {BY_HAND}"
        )
    if (staging / LICENSE).is_file() and not (folder / LICENSE).exists():
        shutil.copyfile(staging / LICENSE, folder / LICENSE)
    return folder


@contextmanager
def _disk_told(source: Source, cache: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise SourceError(
                f"The disk is full: no room for {source.name} in {cache}. What arrived is kept. Make room (download "
                "and unpacked files are there side by side for a while) and give the same command again."
            ) from error
        raise SourceError(
            f"{source.name} cannot be kept in {cache}: {error}. Choose a cache folder that can be written."
        ) from error
