"""Sound and damaged images and masks, for the tests."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

from sightline.problems import ProblemKind

SIZE = (24, 16)  # width, height
RGB = np.random.default_rng(0).integers(0, 255, (16, 24, 3), np.uint8)
INDEX = (np.arange(16 * 24).reshape(16, 24) % 7).astype(np.uint8)


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def picture(kind="JPEG", mode="RGB", **options):
    return encoded(Image.fromarray(RGB).convert(mode), kind, **options)


def mask(values=INDEX, **options):
    return encoded(Image.fromarray(values), **options)


def grey_png(values, bits, size=None):
    """A grey PNG of 1, 2 or 4 bits a pixel, which PIL reads and does not write; `size` is a false width and height."""
    width, height = size or values.shape[::-1]
    rows = ["".join(f"{value:0{bits}b}" for value in row) for row in values]
    packed = b"".join(b"\0" + int(row, 2).to_bytes(len(row) // 8, "big") for row in rows)
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(packed)), (b"IEND", b"")]
    body = b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + body


def exif(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def put(root, path, data):
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(data)


def put_pair(root, stem, image=None, label=None):
    put(root, f"images/{stem}.jpg", picture() if image is None else image)
    put(root, f"labels/{stem}_mask.png", mask() if label is None else label)


FLOATS = np.zeros((16, 24), np.float32)
BOMBS = [grey_png(np.zeros((1, 8), np.uint8), 1, size) for size in ((60000, 60000), (10000, 10000))]
BAD_IMAGES = {
    "cut": (picture()[:-200], ProblemKind.TRUNCATED),
    "cutpng": (picture("PNG")[:-200], ProblemKind.TRUNCATED),
    "html": (b"<!DOCTYPE html><html>404</html>", ProblemKind.UNREADABLE),
    "noise": (bytes(range(256)), ProblemKind.UNREADABLE),
    "gif": (picture("GIF", "P"), ProblemKind.UNREADABLE),
    "cmyk": (picture(mode="CMYK"), ProblemKind.IMAGE_MODE),
    "deep": (encoded(Image.fromarray(np.zeros((16, 24), np.uint16))), ProblemKind.IMAGE_MODE),
    "float": (encoded(Image.fromarray(FLOATS), "TIFF"), ProblemKind.IMAGE_MODE),
    "clear": (encoded(Image.new("RGBA", SIZE, (1, 2, 3, 100))), ProblemKind.IMAGE_MODE),
    "turned": (encoded(Image.fromarray(RGB.swapaxes(0, 1)), "JPEG", exif=exif(6)), ProblemKind.ROTATED),
    "upside": (picture(exif=exif(3)), ProblemKind.ROTATED),
    "pages": (
        encoded(Image.new("L", SIZE), "TIFF", save_all=True, append_images=[Image.new("L", SIZE)]),
        ProblemKind.IMAGE_MODE,
    ),
    "small": (encoded(Image.new("RGB", (8, 8)), "JPEG"), ProblemKind.SIZE),
}
BAD_MASKS = {
    "cutmask": (mask()[:-60], ProblemKind.TRUNCATED),
    "flipped": (mask()[:60] + bytes([mask()[60] ^ 1]) + mask()[61:], ProblemKind.UNREADABLE),
    "text": (b"1 1 1\n1 1 1\n", ProblemKind.UNREADABLE),
    "rgbmask": (picture("PNG"), ProblemKind.MASK_MODE),
    "rgba": (encoded(Image.new("RGBA", SIZE)), ProblemKind.MASK_MODE),
    "la": (encoded(Image.new("LA", SIZE)), ProblemKind.MASK_MODE),
    "deepmask": (encoded(Image.fromarray(INDEX.astype(np.uint16))), ProblemKind.MASK_MODE),
    "floatmask": (encoded(Image.fromarray(FLOATS), "TIFF"), ProblemKind.MASK_MODE),
    "lossy": (encoded(Image.fromarray(INDEX), "JPEG"), ProblemKind.LOSSY_MASK),
    "lossytiff": (encoded(Image.fromarray(INDEX), "TIFF", compression="jpeg"), ProblemKind.LOSSY_MASK),
    "bomb": (BOMBS[0], ProblemKind.TOO_LARGE),
    "smallbomb": (BOMBS[1], ProblemKind.TOO_LARGE),
    "tall": (encoded(Image.fromarray(INDEX.T.copy())), ProblemKind.SIZE),
    "nineteen": (mask(np.where(INDEX == 3, 19, INDEX).astype(np.uint8)), ProblemKind.VALUES),
    "void": (mask(np.full_like(INDEX, 255)), ProblemKind.ALL_IGNORED),
}


def damage_the_listing(root, tmp_path):
    put(root, "images/x-lonely.jpg", picture())
    put(root, "labels/x-orphan_mask.png", mask())
    put_pair(root, "x-twice")
    put(root, "more/x-twice.jpg", picture())
    put_pair(root, "x-suffix")
    put(root, "images/x-suffix.png", picture("PNG"))
    put_pair(root, "nogroup")
    put_pair(root, "x-empty", image=b"")
    put_pair(root, "x-blank", label=b"")
    put(root, "images/x-upper.JPG", picture())
    put(root, "labels/x-upper_mask.png", mask())
    put(root, "images/x-UP.jpg", picture())
    put(root, "labels/x-UP_mask.tif", mask())
    put_pair(root, "x-back\\slash")
    (root / "images/x-folder.jpg").mkdir()
    put(root, "labels/x-folder_mask.png", mask())
    put(root, "images/x-dirmask.jpg", picture())
    (root / "labels/x-dirmask_mask.png").mkdir()
    put(tmp_path, "outside.jpg", picture())
    for name, target in (("x-away", tmp_path / "outside.jpg"), ("x-broken", "gone.jpg"), ("x-loop", "x-loop.jpg")):
        (root / f"images/{name}.jpg").symlink_to(target)
        put(root, f"labels/{name}_mask.png", mask())
    return {
        "images/x-lonely.jpg", "labels/x-orphan_mask.png", "images/x-twice.jpg", "more/x-twice.jpg",
        "images/x-suffix.jpg", "images/x-suffix.png", "images/nogroup.jpg", "images/x-empty.jpg",
        "labels/x-blank_mask.png", "images/x-upper.JPG", "images/x-UP.jpg", "labels/x-UP_mask.tif",
        "images/x-back\\slash.jpg", "images/x-folder.jpg", "labels/x-dirmask_mask.png", "images/x-away.jpg",
        "images/x-broken.jpg", "images/x-loop.jpg", "labels/x-back\\slash_mask.png",
    }  # fmt: skip
