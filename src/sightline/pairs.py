"""Read an image with its mask, and refuse what cannot be trusted: one read and one decode per file."""

from __future__ import annotations

import hashlib
import io
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from sightline import masks
from sightline.classes import ClassMap
from sightline.problems import PairError, Problem, ProblemKind
from sightline.wording import one_line

IMAGE_FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP")
LOSSY_FORMATS = ("JPEG", "MPO", "WEBP")
MAX_BYTES = 1 << 29
ORIENTATION = 0x0112
SCALED_GREY = {"L;2": 85, "L;4": 17}
"""Grey PNGs of 2 and 4 bits, whose values the decoder multiplies up to 255."""

Read = TypeVar("Read")


@dataclass(frozen=True, eq=False)
class Pair:
    """An image and its mask, checked.

    Args:
        image: H×W×3 uint8, RGB.
        mask: H×W uint8, class indices and `ignore_index`.
        recoded: the stored mask file is not an 8-bit grey PNG of these very values: store `mask` in its place.
        image_sha256: of the image file's bytes, hexadecimal.
        mask_sha256: of the mask file's bytes, hexadecimal.
        warnings: problems that leave the pair usable.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    recoded: bool
    image_sha256: str
    mask_sha256: str
    warnings: tuple[Problem, ...] = ()


class _Damage(Exception):  # noqa: N818  it never leaves this module
    """What is wrong with the file at hand."""

    def __init__(self, kind: ProblemKind, detail: str, values: tuple[str, ...] = ()) -> None:
        super().__init__(detail)
        self.kind, self.detail, self.values = kind, detail, values


def read_files(image: Path, mask: Path, classes: ClassMap, root: Path | None = None) -> Pair:
    """Read and check an image and its mask.

    Images may be 8-bit RGB, grey, palette, or with an alpha channel that is opaque throughout; all become RGB.
    Masks are 8-bit (or fewer) grey or palette PNG, TIFF or BMP; where the class map has `raw_colors`, RGB and palette
    masks are read by colour. An EXIF orientation other than upright is refused: browsers turn such an image,
    training libraries do not, and only the user knows which of the two the mask follows.

    PIL's warnings are caught with `warnings.catch_warnings`, which is not thread-safe: use processes.

    Args:
        image, mask: the files.
        classes: the class map of the mask.
        root: paths in problems are relative to it; None for whole paths.

    Raises:
        PairError: with every problem of the two files.
    """
    image_name, mask_name = _relative(image, root), _relative(mask, root)
    problems: list[Problem] = []
    pixels = _collect(problems, image_name, lambda: _read_image(image))
    labels = _collect(problems, mask_name, lambda: _read_mask(mask, classes))
    if pixels and labels and pixels[0].shape[:2] != labels[0].shape:
        problems.append(Problem(ProblemKind.SIZE, mask_name, _sizes(pixels[0], labels[0], image_name)))
    if pixels is None or labels is None or problems:
        raise PairError(*problems)
    void = bool((labels[0] == classes.ignore_index).all())
    notes = (Problem(ProblemKind.ALL_IGNORED, mask_name, "every pixel is ignored"),) if void else ()
    return Pair(pixels[0], labels[0], labels[1], pixels[1], labels[2], notes)


def look(path: Path, root: Path | None = None) -> tuple[int, int]:
    """(height, width) of an image file without its mask, and all that its header tells to be wrong with it.

    Raises:
        PairError: as for `read_image`, as far as can be told without decoding.
    """
    return _checked(path, root, _size)


def read_image(path: Path, pixels: Callable[[Image.Image], Read], root: Path | None = None) -> Read:
    """What `pixels` makes of an image file without its mask, under the same checks as in `read_files`.

    Args:
        path: the file.
        pixels: is given the opened image, not decoded yet, and decodes it.
        root: the path in problems is relative to it; None for the whole path.

    Raises:
        PairError: with the first problem that is found.
    """
    return _checked(path, root, lambda image: _image_pixels(image, pixels))


def _checked(path: Path, root: Path | None, read: Callable[[Image.Image], Read]) -> Read:
    try:
        return _decode(_bytes(path), read)
    except _Damage as damage:
        raise PairError(Problem(damage.kind, _relative(path, root), damage.detail)) from None


def _collect(problems: list[Problem], name: str, read: Callable[[], Read]) -> Read | None:
    try:
        return read()
    except _Damage as damage:
        problems.append(Problem(damage.kind, name, damage.detail, damage.values))
        return None


def _read_image(path: Path) -> tuple[NDArray[np.uint8], str]:
    """(H×W×3 uint8, sha256 of the file)."""
    data = _bytes(path)
    return _decode(data, lambda image: _image_pixels(image, _rgb)), hashlib.sha256(data).hexdigest()


def _read_mask(path: Path, classes: ClassMap) -> tuple[NDArray[np.uint8], bool, str]:
    """(H×W uint8 class indices, recoded, sha256 of the file)."""
    data = _bytes(path)
    stored, plain = _decode(data, lambda image: _mask_pixels(image, bool(classes.raw_colors)))
    unknown: dict[str, int]
    if stored.ndim == 3:
        mask, unknown = masks.from_colors(stored, classes)
    else:
        mask, values = masks.recode(stored, classes)
        unknown = {str(value): count for value, count in values.items()}
    if unknown:
        raise _Damage(ProblemKind.VALUES, _unknown(unknown, stored), tuple(unknown))
    return mask, not plain or mask is not stored, hashlib.sha256(data).hexdigest()


def _bytes(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise _Damage(ProblemKind.NOT_A_FILE, "is no regular file" if path.exists() else "is not there")
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise _Damage(ProblemKind.TOO_LARGE, f"has {size:,} bytes, more than {MAX_BYTES:,}")
        data = path.read_bytes()
    except OSError as error:
        raise _Damage(ProblemKind.UNREADABLE, f"cannot be opened: {error.strerror}") from None
    if not data:
        raise _Damage(ProblemKind.EMPTY, "has 0 bytes")
    return data


def _decode(data: bytes, pixels: Callable[[Image.Image], Read]) -> Read:
    """Open an image and hand it on; whatever PIL raises or warns of on damaged bytes becomes a `_Damage`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(io.BytesIO(data), formats=IMAGE_FORMATS) as image:
                _check_sums(image, data)
                return pixels(image)
        except _Damage:
            raise
        except (Image.DecompressionBombWarning, Image.DecompressionBombError):
            raise _Damage(ProblemKind.TOO_LARGE, f"has more than {Image.MAX_IMAGE_PIXELS:,} pixels") from None
        except UnidentifiedImageError:
            raise _Damage(
                ProblemKind.UNREADABLE, f"is no JPEG, PNG, BMP, TIFF or WebP: it begins with {_begin(data)}"
            ) from None
        except Exception as error:  # PIL's decoders raise nearly anything on damaged bytes
            raise _Damage(*_decoder_error(error)) from None


def _decoder_error(error: Exception) -> tuple[ProblemKind, str]:
    text = one_line(error) or type(error).__name__
    kind = ProblemKind.TRUNCATED if "truncat" in text.lower() else ProblemKind.UNREADABLE
    return kind, f"cannot be decoded: {text}"


def _check_sums(image: Image.Image, data: bytes) -> None:
    """A PNG carries checksums that decoding does not look at: a flipped bit would pass for a class."""
    if image.format != "PNG":
        return
    with Image.open(io.BytesIO(data), formats=("PNG",)) as copy:
        try:
            copy.verify()
        except SyntaxError as error:
            detail = re.sub(r"b'(\w+)'", r"\1", str(error))
            raise _Damage(ProblemKind.UNREADABLE, f"has changed since it was written: {detail}") from None


def _image_pixels(image: Image.Image, pixels: Callable[[Image.Image], Read]) -> Read:
    _check_image_kind(image)
    found = pixels(image)
    image.load()
    _check_upright(image)
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    if image.mode in ("RGBA", "LA", "PA") and image.getchannel("A").getextrema() != (255, 255):
        raise _Damage(ProblemKind.IMAGE_MODE, "has transparent pixels")
    return found


def _rgb(image: Image.Image) -> NDArray[np.uint8]:
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _size(image: Image.Image) -> tuple[int, int]:
    _check_image_kind(image)
    if image.format != "PNG":  # where the EXIF data may stand behind the pixels
        _check_upright(image)
    return image.height, image.width


def _check_image_kind(image: Image.Image) -> None:
    rawmode = _rawmode(image)
    if ";16" in rawmode or image.mode in ("I", "F"):
        raise _Damage(ProblemKind.IMAGE_MODE, f"has more than 8 bits a channel (mode {rawmode or image.mode})")
    if image.mode not in ("RGB", "L", "1", "P", "RGBA", "LA", "PA", "RGBX"):
        raise _Damage(ProblemKind.IMAGE_MODE, f"is {image.mode}, not RGB or grey")
    _check_frames(image, ProblemKind.IMAGE_MODE)


def _mask_pixels(image: Image.Image, colored: bool) -> tuple[NDArray[np.uint8], bool]:
    """(H×W uint8 values or, where masks are colours, H×W×3 uint8; whether the file is a plain 8-bit grey PNG)."""
    if image.format in LOSSY_FORMATS:
        raise _Damage(ProblemKind.LOSSY_MASK, f"is {image.format}, whatever its name says")
    if image.info.get("compression") == "jpeg":
        raise _Damage(ProblemKind.LOSSY_MASK, f"is {image.format} with JPEG compression")
    rawmode = _rawmode(image)
    _check_mask_mode(image.mode, rawmode, colored)
    _check_frames(image, ProblemKind.MASK_MODE)
    image.load()
    if colored and image.mode in ("RGB", "P"):
        return np.array(image.convert("RGB")), False
    values = np.array(image).astype(np.uint8) // np.uint8(SCALED_GREY.get(rawmode, 1))
    return values, image.format == "PNG" and rawmode == "L"


def _check_mask_mode(mode: str, rawmode: str, colored: bool) -> None:
    if ";16" in rawmode or mode in ("I", "F"):
        raise _Damage(ProblemKind.MASK_MODE, f"has more than 8 bits a pixel (mode {rawmode or mode})")
    if mode == "RGB" and not colored:
        raise _Damage(ProblemKind.MASK_MODE, "is RGB, and the class map has no raw_colors")
    if mode not in ("L", "P", "1", "RGB"):
        raise _Damage(ProblemKind.MASK_MODE, f"is {mode}, not single-channel or palette")
    if mode in ("L", "1") and ";" in rawmode and rawmode not in SCALED_GREY:
        raise _Damage(ProblemKind.MASK_MODE, f"stores its values in an unusual way (mode {rawmode})")


def _check_frames(image: Image.Image, kind: ProblemKind) -> None:
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # MPO: a photograph with its preview
        raise _Damage(kind, f"holds {frames} pictures")


def _check_upright(image: Image.Image) -> None:
    try:
        orientation = image.getexif().get(ORIENTATION, 1)
    except Exception:  # garbled EXIF says nothing, and nobody reads it
        return
    if orientation in range(2, 9):
        shown = f"as {image.height}x{image.width}" if orientation > 4 else "upside down or mirrored"
        raise _Damage(
            ProblemKind.ROTATED,
            f"has EXIF orientation {orientation}: stored as {image.width}x{image.height}, shown {shown}",
        )


def _rawmode(image: Image.Image) -> str:
    """How the file packs its pixels, as PIL names it; to be asked before loading."""
    tiles = getattr(image, "tile", None)
    arguments = tiles[0][3] if tiles else ""
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ""


def _unknown(unknown: dict[str, int], stored: NDArray[np.uint8]) -> str:
    most = sorted(unknown.items(), key=lambda item: -item[1])[:8]
    listed = ", ".join(f"{value} ({count} pixels)" for value, count in most)
    rest = f" and {len(unknown) - 8} more" if len(unknown) > 8 else ""
    return f"holds {listed}{rest} of {stored.shape[0] * stored.shape[1]} pixels"


def _sizes(image: NDArray[np.uint8], mask: NDArray[np.uint8], image_name: str) -> str:
    return f"is {mask.shape[1]}x{mask.shape[0]}, but {image_name} is {image.shape[1]}x{image.shape[0]}"


def _begin(data: bytes) -> str:
    text = re.match(rb"[ -~]*", data[:24])
    return repr(text[0].decode()) if text and len(text[0]) > 2 else f"the bytes {data[:8].hex(' ')}"


def _relative(path: Path, root: Path | None) -> str:
    return path.relative_to(root).as_posix() if root and path.is_relative_to(root) else path.as_posix()
