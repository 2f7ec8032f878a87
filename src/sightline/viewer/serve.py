"""The viewer's server: one process and one port for the pages and for trackio's dashboard."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sightline.config import Config
from sightline.console import say
from sightline.tracking import Tracker
from sightline.tracking import dashboard as trackio
from sightline.tracking.library import pointed_at
from sightline.viewer.app import build
from sightline.viewer.guard import LOOPBACK, Guard
from sightline.viewer.viewer import Viewer

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


def serve(config: Config, tracker: Tracker, host: str = "127.0.0.1", port: int | None = None) -> None:
    """Serve the viewer until interrupted (Ctrl-C).

    On loopback it answers under the names of this machine alone. At any other address it asks for a token, which is
    part of the address that it prints.

    Args:
        config: says where the store is.
        tracker: reads the store.
        host: address to listen at.
        port: port to listen at; 7860 or, where that is taken, any free one when left out. 0: any free one.

    Raises:
        ConfigError: the port is taken, or the host is none of this machine's.
    """
    alone = host in {"127.0.0.1", "localhost", "::1"}
    token = "" if alone else secrets.token_urlsafe(24)
    with trackio.listen(host, port) as listener, pointed_at(tracker.store / "trackio"):
        app = Guard(build(Viewer(config, tracker), Later(lambda: _dashboard(tracker.store, config.project, host))),
                    LOOPBACK if alone else (), token)  # fmt: skip
        address = f"[{host}]" if ":" in host else host
        key = f"?token={token}" if token else ""
        say(f"The viewer: http://{address}:{listener.getsockname()[1]}/{key} (Ctrl-C ends it)")
        with contextlib.suppress(KeyboardInterrupt):
            trackio.run(app, listener)


class Later:
    """An application that is made when it is first asked: trackio takes seconds to load, and few look at it."""

    def __init__(self, make: Callable[[], ASGIApp]) -> None:
        self._make = make
        self._app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        from starlette.concurrency import run_in_threadpool

        if self._app is None:
            self._app = await run_in_threadpool(self._make)
        await self._app(scope, receive, send)


def _dashboard(store: Path, project: str, host: str) -> Any:
    """trackio's dashboard, or a word where there are no runs to show."""
    from starlette.responses import PlainTextResponse

    if not (store / "trackio" / f"{project}.db").is_file():
        return PlainTextResponse(f"There are no runs of the project {project} yet. `sightline run` makes some.", 404)
    return trackio.app(host)
