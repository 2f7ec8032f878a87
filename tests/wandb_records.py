"""What a W&B run wrote on disk, read back: its `.wandb` file, record by record, and the files of its artifacts.

W&B 0.31 ships no reader in Python. The file is LevelDB's log format: a header of seven bytes, then blocks of 32 KiB
that hold chunks, each with a checksum; a record too long for what is left of a block is cut into several chunks. A
record is the SDK's own protobuf message `Record`.
"""

import base64
import gzip
import hashlib
import json
import struct
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from wandb.proto import wandb_internal_pb2 as pb

HEADER = struct.pack("<4sHB", b":W&B", 0xBEE1, 0)
BLOCK = 32 * 1024
CHUNK = struct.Struct("<IHB")
"""Before each chunk: its checksum, its length, and which part of a record it is."""
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


class DamagedError(Exception):
    """The file is no `.wandb` file, or not all of one as it was written."""


def read_records(path):
    """The messages of a `.wandb` file, in order.

    Raises:
        DamagedError: another header, a wrong checksum, a record cut off, or one that is no `Record`.
    """
    data = Path(path).read_bytes()
    if data[: len(HEADER)] != HEADER:
        raise DamagedError(f"{path} begins with {data[:7]!r}, not as a .wandb file")
    return [_record(record) for record in _joined(_chunks(data))]


def _chunks(data):
    """(which part, content) of every chunk, its checksum checked."""
    place = len(HEADER)
    while place < len(data):
        left = BLOCK - place % BLOCK
        if left < CHUNK.size:  # no room for a chunk in this block: zeros
            place += left
            continue
        if place + CHUNK.size > len(data):
            raise DamagedError(f"it is cut off in the middle of a chunk's header, at byte {place}")
        checksum, length, part = CHUNK.unpack_from(data, place)
        content = data[place + CHUNK.size : place + CHUNK.size + length]
        if len(content) < length or CHUNK.size + length > left:
            raise DamagedError(f"the chunk at byte {place} is {length} bytes long, but {len(content)} are there")
        if zlib.crc32(content, zlib.crc32(bytes([part]))) != checksum:
            raise DamagedError(f"the checksum of the chunk at byte {place} is wrong")
        yield part, content
        place += CHUNK.size + length


def _joined(chunks):
    """The chunks put together to whole records."""
    parts = []
    for part, content in chunks:
        if part not in (FULL, FIRST, MIDDLE, LAST) or (part in (FULL, FIRST)) == bool(parts):
            raise DamagedError(f"a chunk of the kind {part} after {len(parts)} of the same record")
        parts.append(content)
        if part in (FULL, LAST):
            yield b"".join(parts)
            parts = []
    if parts:
        raise DamagedError("the last record is cut off")


def _record(content):
    record = pb.Record()
    try:
        record.ParseFromString(content)
    except Exception as error:
        raise DamagedError(f"a record of {len(content)} bytes is none of W&B's: {error}") from None
    return record


@dataclass(frozen=True)
class Entry:
    """A file of an artifact, as its manifest names it.

    Args:
        digest: MD5, in base64; of a reference whatever its maker put there.
        size: bytes.
        ref: what it refers to, where it is no file of the artifact's own.
        local: where the SDK staged its content, to be uploaded.
    """

    digest: str
    size: int
    ref: str
    local: str

    def bytes(self):
        """The staged content; AssertionError where it is not what the digest says."""
        content = Path(self.local).read_bytes()
        assert base64.b64encode(hashlib.md5(content).digest()).decode() == self.digest, self
        assert len(content) == self.size, self
        return content


@dataclass(frozen=True)
class Logged:
    """An artifact that a run logged (or, with `used`, read)."""

    message: pb.ArtifactRecord

    @property
    def name(self):
        return self.message.name

    @property
    def type(self):
        return self.message.type

    @property
    def aliases(self):
        """Sorted: the SDK keeps no order of them."""
        return sorted(self.message.aliases)

    @property
    def metadata(self):
        return json.loads(self.message.metadata or "{}")

    @cached_property
    def manifest(self):
        """Path inside it -> `Entry`."""
        manifest = self.message.manifest
        if manifest.manifest_file_path:  # more than 100 000 files
            with gzip.open(manifest.manifest_file_path, "rt") as stream:
                lines = [json.loads(line) for line in stream]
            keys = ("digest", "size", "ref", "local_path")
            return {line["path"]: Entry(*(line.get(key) for key in keys)) for line in lines}
        return {entry.path: Entry(entry.digest, entry.size, entry.ref, entry.local_path) for entry in manifest.contents}

    def bytes(self, path):
        return self.manifest[path].bytes()

    def json(self, path):
        return json.loads(self.bytes(path))


class WandbRun:
    """A run's `.wandb` file.

    Args:
        folder: `wandb/offline-run-…-ID` or `wandb/run-…-ID`.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        (file,) = self.folder.glob("run-*.wandb")
        self.records = read_records(file)

    def of(self, kind):
        """The messages of a kind: `run`, `history`, `artifact`, …"""
        return [getattr(record, kind) for record in self.records if record.WhichOneof("record_type") == kind]

    @property
    def run(self):
        """Its `RunRecord`: `run_id`, `display_name`, `project`, `entity`, `job_type`, `run_group`, `tags` …"""
        return self.of("run")[-1]

    @property
    def config(self):
        """Its settings at the end, without the SDK's own key `_wandb`."""
        found = {}
        for message in (*(run.config for run in self.of("run")), *self.of("config")):
            _apply(message, found)
        found.pop("_wandb", None)
        return found

    @property
    def summary(self):
        """Its summary at the end, without what the SDK adds (keys that begin with `_`)."""
        found = {}
        for message in (*(run.summary for run in self.of("run")), *self.of("summary")):
            _apply(message, found)
        return {key: value for key, value in found.items() if not key.startswith("_")}

    @property
    def history(self):
        """What was logged, a row a step: each with `_step`."""
        return [_nested(message.item) for message in self.of("history")]

    @property
    def artifacts(self):
        """What it logged, in order, `run_tables` left out."""
        return [Logged(message) for message in self.of("artifact") if message.type != "run_table"]

    @property
    def run_tables(self):
        """The artifacts that hold tables of the run alone."""
        return [Logged(message) for message in self.of("artifact") if message.type == "run_table"]

    def artifact(self, name):
        """The only artifact of this name that it logged."""
        (found,) = [artifact for artifact in self.artifacts if artifact.name == name]
        return found

    def table(self, key):
        """The columns and rows of a table that it logged: what its newest file holds."""
        path = self.summary[key]["path"]
        return json.loads((self.folder / "files" / path).read_text(encoding="utf-8"))

    @property
    def files(self):
        """Paths of the run's own files: media, `requirements.txt` …"""
        return {item.path for message in self.of("files") for item in message.files}

    @property
    def exit_code(self):
        """0 where it ended well; None where it did not end."""
        codes = [message.exit_code for message in self.of("exit")]
        return codes[-1] if codes else None


def wandb_runs(folder):
    """The runs that were logged anywhere below a folder, in the order in which they began."""
    files = Path(folder).rglob("run-*.wandb")
    found = {file.parent.resolve() for file in files}  # `latest-run` is a link to one of them
    return sorted(map(WandbRun, found), key=lambda run: run.run.start_time.ToNanoseconds())


def _apply(message, found):
    """Lay the changes of a config or summary message over what is there."""
    for item in message.update:
        _put(found, item)
    for item in message.remove:
        keys = list(item.nested_key) or [item.key]
        inner = found
        for key in keys[:-1]:
            inner = inner.get(key, {})
        inner.pop(keys[-1], None)


def _nested(items):
    found = {}
    for item in items:
        _put(found, item)
    return found


def _put(found, item):
    *parents, last = list(item.nested_key) or [item.key]
    for key in parents:
        found = found.setdefault(key, {})
    found[last] = json.loads(item.value_json)
