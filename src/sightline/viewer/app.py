"""The viewer's application: all that the pages ask of a store, over HTTP."""

from __future__ import annotations

from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sightline.viewer import catalog, compare, division, export, figures, flags, overview, pictures, runs, selection
from sightline.viewer.viewer import Viewer

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response


def build(viewer: Viewer, dashboard: Any = None) -> Starlette:
    """The application: pages, what they ask for, and trackio's dashboard at `/trackio`."""
    from starlette.applications import Starlette
    from starlette.responses import FileResponse
    from starlette.routing import Mount, Route
    from starlette.staticfiles import StaticFiles

    static = Path(str(files("sightline.viewer") / "static"))

    async def index(_: Request) -> Response:
        return FileResponse(static / "index.html", headers={"Cache-Control": "no-cache"})

    async def plotly(_: Request) -> Response:
        return FileResponse(Path(str(files("plotly") / "package_data" / "plotly.min.js")), media_type="text/javascript")

    modules = (catalog, pictures, overview, division, runs, compare, figures, flags, selection, export)
    routes = [route for module in modules for route in module.routes(viewer)]
    routes += [Route("/", index), Route("/static/plotly.js", plotly)]
    if dashboard is not None:  # its pages ask for their pictures, and for the parts that come late, at the root
        there = _folder_of("trackio")
        logos, parts = (
            StaticFiles(directory=there / path, check_dir=False) for path in ("assets", "frontend/dist/assets")
        )
        routes += [Mount("/trackio", dashboard), Mount("/static/trackio", logos), Mount("/assets", parts)]
    routes.append(Mount("/static", StaticFiles(directory=static)))
    return Starlette(routes=routes)


def _folder_of(package: str) -> Path:
    """Where a package lies, without importing it."""
    spec = find_spec(package)
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent
