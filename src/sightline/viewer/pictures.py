"""Pictures for the pages: small ones in one answer for a whole screen, and the originals."""

from __future__ import annotations

import hashlib
import io
import json
import struct
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from sightline.errors import ConfigError, DataError, SightlineError, StoreError
from sightline.table import KEY
from sightline.tracking import Artifact
from sightline.viewer.answer import answer

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from sightline.viewer.viewer import Viewer

SIDE = 240
"""Pixels of the longer side of a small picture."""
QUALITY = 80
MOST = 200
"""Small pictures in one answer at most."""
THREADS = 4
CACHED = {"Cache-Control": "private, no-cache"}
"""Kept by the browser and asked about each time: a store made anew has other pictures under the same names."""


def routes(viewer: Viewer) -> list[BaseRoute]:
    """Small pictures, many at once or one alone, and the originals."""
    from starlette.routing import Route

    def thumbs(request: Request) -> Response:
        packed = pack(_small(viewer, request, "rows"))
        return _sent(request, packed, "application/octet-stream")

    def thumb(request: Request) -> Response:
        layer = request.path_params["layer"]
        content = _small(viewer, request, "row")[0].get(layer)
        if not isinstance(content, bytes):
            raise StoreError(f"There is no {layer} of this image.")
        return _sent(request, content, "image/jpeg" if layer == "image" else "image/png")

    def original(request: Request) -> Response:
        row, raw = _named(viewer, request)
        return _sent(request, raw.path(row["Image"]).read_bytes(), _kind(row["Image"]))

    def mask(request: Request) -> Response:
        row, raw = _named(viewer, request)
        return _sent(request, indexed(raw.path(row["Mask"])), "image/png")

    def prediction(request: Request) -> Response:
        evaluation = viewer.evaluation(request.query_params.get("a", ""))
        name = request.query_params.get("name", "")
        path = viewer.predictions(evaluation.spec).get(name)
        if path is None:
            raise StoreError(f"{evaluation.spec} holds no prediction of {name}: it measured other images.")
        return _sent(request, indexed(evaluation.path(path)), "image/png")

    return [
        Route("/api/thumbs", answer(thumbs)),
        Route("/api/thumb/{layer:str}", answer(thumb)),
        Route("/files/image", answer(original)),
        Route("/files/mask", answer(mask)),
        Route("/files/prediction", answer(prediction)),
    ]


def _sent(request: Request, content: bytes, kind: str) -> Response:
    """The bytes, or 304 where the browser has the same ones already."""
    from starlette.responses import Response as Plain

    headers = CACHED | {"ETag": f'"{hashlib.blake2b(content, digest_size=16).hexdigest()}"'}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Plain(status_code=304, headers=headers)
    return Plain(content, media_type=kind, headers=headers)


def small(viewer: Viewer, data: str, run: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """The small pictures {image, mask, prediction} of one row with File_Name, Image and Mask, run "" for none.

    `error` says why there are none. Damage to one file does not keep the others from being shown.
    """
    raw = viewer.raw(data)
    told: dict[str, Any] = {"id": row["id"], "image": None, "mask": None, "prediction": None, "error": None}
    try:
        told |= viewer.thumbnails(raw.spec, row[KEY]) or _drawn(raw, row)
        if run and (path := viewer.predictions(run).get(row[KEY])):
            evaluation = viewer.evaluation(run)
            told |= viewer.thumbnails(evaluation.spec, row[KEY]) or {"prediction": _index(evaluation.path(path))}
    except (SightlineError, OSError) as error:
        told["error"] = f"{row[KEY]} cannot be shown: {error}"
    return told


def _drawn(raw: Artifact, row: Mapping[str, Any]) -> dict[str, bytes]:
    """The small pictures made from the originals: older datasets hold none."""
    return {"image": _photo(raw.path(row["Image"])), "mask": _index(raw.path(row["Mask"]))}


def pack(thumbs: Sequence[Mapping[str, Any]]) -> bytes:
    """uint32 (little endian) length of a JSON header, the header, then the bytes that its offsets point at."""
    head, body = [], bytearray()
    for one in thumbs:
        entry = {"id": one["id"], "error": one["error"]}
        for layer in ("image", "mask", "prediction"):
            content = one[layer]
            entry[layer] = [len(body), len(content)] if content else None
            body += content or b""
        head.append(entry)
    text = json.dumps(head).encode()
    return struct.pack("<I", len(text)) + text + bytes(body)


def indexed(path: Path) -> bytes:
    """A mask as 8-bit single-channel PNG: what is stored so goes as it is, a palette's indices are kept."""
    with _opened(path) as image:
        if image.format == "PNG" and image.mode == "L":
            return path.read_bytes()
        return _png(_single(image))


@lru_cache(maxsize=4096)
def _photo(path: Path) -> bytes:
    with _opened(path) as image:
        image.draft("RGB", (SIDE, SIDE))
        found = image.convert("RGB")
        found.thumbnail((SIDE, SIDE), Image.Resampling.BICUBIC)
        stream = io.BytesIO()
        found.save(stream, "JPEG", quality=QUALITY)
        return stream.getvalue()


@lru_cache(maxsize=8192)
def _index(path: Path) -> bytes:
    with _opened(path) as image:
        scale = SIDE / max(image.size)
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        return _png(_single(image).resize(size if scale < 1 else image.size, Image.Resampling.NEAREST))


def _single(image: Image.Image) -> Image.Image:
    """The class indices as one channel; those of a palette are its places, not its colours."""
    if image.mode == "P":
        return Image.frombytes("L", image.size, image.tobytes())
    return image if image.mode == "L" else image.convert("L")


def _png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG", compress_level=3)
    return stream.getvalue()


def _opened(path: Path) -> Image.Image:
    try:
        return Image.open(path)
    except OSError as error:
        raise DataError(f"the file cannot be read as a picture ({error})") from None


def _small(viewer: Viewer, request: Request, key: str) -> list[dict[str, Any]]:
    """The small pictures of the rows whose ids the address lists, in that order."""
    data, run = request.query_params.get("data", ""), request.query_params.get("a", "")
    parts = request.query_params.get(key, "").split(",")
    if not all(part.isdecimal() for part in parts) or len(parts) > MOST:
        raise ConfigError(f"`{key}` must list up to {MOST} ids of rows, such as 3,17,19.")
    ids = [int(part) for part in parts]
    found = viewer.places(data).files(ids)
    missing = [each for each in ids if each not in found]
    if missing:
        raise StoreError(f"There is no row {missing[0]} in {data}.")
    with ThreadPoolExecutor(THREADS) as pool:  # decoding lets go of the interpreter
        return list(pool.map(lambda each: small(viewer, data, run, found[each]), ids))


def _named(viewer: Viewer, request: Request) -> tuple[Mapping[str, Any], Artifact]:
    """The row of the file that the address names, found in the table and never as a path."""
    data, name = request.query_params.get("data", ""), request.query_params.get("name", "")
    rows = viewer.places(data)
    ids = rows.ids([name])
    if not ids:
        raise StoreError(f"There is no image {name!r} in {data}.")
    return rows.files([ids[name]])[ids[name]], viewer.raw(data)


def _kind(path: str) -> str:
    kinds = {".png": "image/png", ".webp": "image/webp", ".bmp": "image/bmp"}
    return kinds.get(Path(path).suffix.lower(), "image/jpeg")
