"""Flags: images marked by people, over HTTP. What is kept, and how, is in `sightline.marks`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sightline.errors import ConfigError
from sightline.marks import Flag, Flags
from sightline.viewer.answer import answer

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from sightline.viewer.viewer import Viewer

Json = dict[str, Any]


def routes(viewer: Viewer) -> list[BaseRoute]:
    """List, set, remove, and the CSV for the people who relabel."""
    from starlette.routing import Route

    def listed(request: Request) -> list[Json]:
        return _told(_flags(viewer, request.query_params.get("data", "")).all())

    def put(_: Request, body: Json) -> list[Json]:
        return _told(_flags(viewer, _text(body, "data")).put(_names(body), _text(body, "flag"), _text(body, "note")))

    def remove(_: Request, body: Json) -> list[Json]:
        return _told(_flags(viewer, _text(body, "data")).remove(_names(body), _text(body, "flag")))

    def as_csv(request: Request) -> Response:
        raw = viewer.raw(request.query_params.get("data", ""))
        return _csv(viewer.flags(raw).to_csv(), f"{raw.name}-v{raw.version}-flags.csv")

    return [
        Route("/api/flags", answer(listed), methods=["GET"]),
        Route("/api/flags", answer(put), methods=["POST"]),
        Route("/api/flags/remove", answer(remove), methods=["POST"]),
        Route("/api/flags.csv", answer(as_csv), methods=["GET"]),
    ]


def _flags(viewer: Viewer, spec: str) -> Flags:
    return viewer.flags(viewer.raw(spec))


def _told(flags: list[Flag]) -> list[Json]:
    return [one.to_dict() for one in flags]


def _names(body: Json) -> list[str]:
    names = body.get("names")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ConfigError("`names` must be a list of file names.")
    return names


def _text(body: Json, key: str) -> str:
    value = body.get(key, "")
    if not isinstance(value, str):
        raise ConfigError(f"`{key}` must be text.")
    return value


def _csv(text: str, name: str) -> Response:
    from starlette.responses import Response

    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(text, media_type="text/csv; charset=utf-8", headers=headers)
