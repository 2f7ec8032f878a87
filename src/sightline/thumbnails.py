"""Thumbnails: small pictures and masks of all images of an artifact, packed into one file beside an index of places.

A hundred thousand small files would make every listing of an artifact slow, and each of them a request of its own. One
file with an index is read at any place, and a page's pictures are one answer.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from sightline.classes import ClassMap
from sightline.errors import StoreError
from sightline.table import KEY, Table

if TYPE_CHECKING:
    from sightline.masks import Mask
    from sightline.tracking import Artifact

SIDE = 240
"""Pixels of the longer side."""
QUALITY = 80
"""Of the JPEG files."""
PACK, INDEX = "thumbnails.bin", "thumbnails.parquet"
"""The pictures one behind the other, and where each one begins and how long it is."""
POSITIONS = "class_positions.parquet"
"""Where in the images each class lies."""
GRID = (18, 32)
"""Rows and columns of `positions`."""

Place = tuple[int, int]
"""Offset and length in bytes."""


def fitted(height: int, width: int) -> tuple[int, int]:
    """(height, width) scaled down, and never up, so that the longer side has at most 240 pixels."""
    scale = min(1.0, SIDE / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def small_image(image: Image.Image) -> bytes:
    """An RGB image as a small JPEG."""
    height, width = fitted(image.height, image.width)
    stream = io.BytesIO()
    small = image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=2.0)
    small.save(stream, format="JPEG", quality=QUALITY)
    return stream.getvalue()


def shrunk(mask: Mask) -> Mask:
    """An H×W uint8 mask at the size of the small image: nearest neighbour, so that every value is one it had."""
    height, width = fitted(*mask.shape[:2])
    return np.array(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))


def png(mask: Mask) -> bytes:
    """An H×W uint8 mask as 8-bit PNG of one channel."""
    stream = io.BytesIO()
    Image.fromarray(mask).save(stream, format="PNG")
    return stream.getvalue()


def positions(mask: Mask, classes: ClassMap) -> NDArray[np.float64]:
    """Share of each class in each cell of a grid laid over the mask, float64[C, 18, 32]; ignored pixels count for none.

    Cells that are smaller than a pixel, in tiny masks, take the pixel that they lie in.
    """
    rows, columns = GRID
    tall, wide = (-(-cells // size) for cells, size in zip(GRID, mask.shape, strict=True))
    large = mask.repeat(tall, axis=0).repeat(wide, axis=1)
    down, across = (np.arange(size) * cells // size for size, cells in zip(large.shape, GRID, strict=True))
    cells = down[:, None] * columns + across
    counts = np.bincount((cells * 256 + large).ravel(), minlength=rows * columns * 256).reshape(rows, columns, 256)
    shares: NDArray[np.float64] = counts[..., : len(classes)] / counts.sum(axis=-1, keepdims=True)
    return shares.transpose(2, 0, 1)


def positions_table(total: NDArray[np.float64], images: int, classes: ClassMap) -> Table:
    """The mean of `positions` over the images as a table: `Class`, `Index`, `Row` (0 at the top), `Column`, `share`."""
    count, rows, columns = total.shape
    index, row, column = (axis.ravel() for axis in np.indices((count, rows, columns)))
    names = [classes.names[each] for each in index.tolist()]
    shares = (total / max(images, 1)).ravel().tolist()
    plain = {"Index": index.tolist(), "Row": row.tolist(), "Column": column.tolist()}
    columns_of = {name: pa.array(values, pa.int32()) for name, values in plain.items()}
    return Table(
        pa.table({"Class": pa.array(names, pa.string()), **columns_of, "share": pa.array(shares, pa.float64())}),
        classes,
    )


@dataclass
class Pack:
    """Thumbnails as they are written, one behind the other.

    Args:
        stream: what they are written to.
    """

    stream: BinaryIO

    def __post_init__(self) -> None:
        self._places: dict[str, dict[str, Place]] = {}
        self._end = 0

    def add(self, name: str, pictures: Mapping[str, bytes]) -> None:
        """Write an image's pictures, each under a name such as `image`."""
        self._places[name] = {kind: self._append(content) for kind, content in pictures.items()}

    def index(self, names: Sequence[str]) -> Table:
        """The index of these images: `File_Name`, and `{kind}_offset` and `{kind}_length` of each kind of picture."""
        kinds = dict.fromkeys(kind for name in names for kind in self._places[name])
        found: dict[str, pa.Array] = {KEY: pa.array(list(names), pa.string())}
        for kind in kinds:
            for at, what in enumerate(("offset", "length")):
                found[f"{kind}_{what}"] = pa.array([self._places[name][kind][at] for name in names], pa.int64())
        return Table(pa.table(found))

    def _append(self, content: bytes) -> Place:
        self.stream.write(content)
        self._end += len(content)
        return self._end - len(content), len(content)


class Thumbnails:
    """The thumbnails of an artifact, read from its pack.

    Args:
        artifact: raw data (`image` and `mask`) or an evaluation (`prediction`).

    Raises:
        StoreError: the artifact has none, as older ones do, or they are missing or damaged.
    """

    def __init__(self, artifact: Artifact) -> None:
        if PACK not in artifact or INDEX not in artifact:
            raise StoreError(f"{artifact.spec} holds no thumbnails: it was made by an older version.")
        self._path, index = artifact.path(PACK), artifact.table(INDEX).data
        self._rows = {name: row for row, name in enumerate(index[KEY].to_pylist())}
        self._places = {column: index[column].to_numpy() for column in index.column_names if column != KEY}
        self._kinds = [column.removesuffix("_offset") for column in self._places if column.endswith("_offset")]

    def __contains__(self, name: str) -> bool:
        return name in self._rows

    def get(self, names: Sequence[str]) -> list[dict[str, bytes]]:
        """The pictures of each of these images by kind, read in one go; nothing for a name that there is not."""
        with self._path.open("rb") as stream:
            return [self._of(stream, self._rows[name]) if name in self._rows else {} for name in names]

    def _of(self, stream: BinaryIO, row: int) -> dict[str, bytes]:
        return {kind: _read(stream, *self._place(kind, row)) for kind in self._kinds}

    def _place(self, kind: str, row: int) -> Place:
        return int(self._places[f"{kind}_offset"][row]), int(self._places[f"{kind}_length"][row])


def has_thumbnails(artifact: Artifact) -> bool:
    """Whether the artifact holds a pack of thumbnails."""
    return PACK in artifact and INDEX in artifact


def _read(stream: BinaryIO, offset: int, length: int) -> bytes:
    stream.seek(offset)
    return stream.read(length)
