"""trackio's dashboard, to be looked at, and the socket and the server of what shows it: the viewer."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import Any

from sightline.errors import ConfigError
from sightline.tracking.library import Setting, applied
from sightline.wording import reason

PORT = 7860
LOOPBACK = ("127.0.0.1", "localhost")


def listen(host: str, port: int | None) -> socket.socket:
    """A socket at this address; at port 7860 or a free one where none is given. ConfigError where that cannot be."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    if port is None:
        with contextlib.suppress(OSError):
            return socket.create_server((host, PORT), family=family)
    try:
        return socket.create_server((host, port or 0), family=family)
    except OSError as error:
        raise ConfigError(
            f"Cannot listen at {host}, port {port or 0}: {reason(error)}. "
            "Is a dashboard open already? Give another --port, or none to take a free one."
        ) from None


def app(host: str) -> Any:
    """trackio's app, without the thread that asks the hub where `TRACKIO_BUCKET_ID` is set.

    It can be looked at, not written to: the write token that trackio makes is not given away.
    """
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from trackio import server
    from trackio.frontend_config import BUNDLED_FRONTEND_DIR

    for shade in ("LIGHT", "DARK"):  # else it asks for them by a path of this machine, outside of where it is mounted
        logo = f"/static/trackio/trackio_logo_type_{shade.lower()}_transparent.png"
        os.environ.setdefault(f"TRACKIO_LOGO_{shade}_URL", logo)
    with applied([Setting(server, "start_inbox_poller", lambda: None)]):
        built, _write_token = server.build_starlette_app_only(frontend_dir=str(BUNDLED_FRONTEND_DIR))
    if host in LOOPBACK:  # a page from elsewhere cannot read it under a name that it has pointed at this machine
        built.add_middleware(TrustedHostMiddleware, allowed_hosts=list(LOOPBACK))
    return built


def run(app: Any, listener: socket.socket) -> None:
    """Serve an application on a socket until interrupted."""
    import uvicorn

    # "critical": what Ctrl-C cuts off while a page still asks for something would be told with a traceback
    config = uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=2)
    uvicorn.Server(config).run(sockets=[listener])
