"""An endpoint of a plain function: what it returns as JSON, what it raises as an error that the page can show."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sightline.errors import ConfigError, SightlineError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

STATUS = {2: 400, 3: 409, 7: 404}
"""Exit code of an error's kind -> HTTP status."""


def answer(function: Callable[..., Any]) -> Callable[[Request], Any]:
    """An endpoint of a plain function(request), or function(request, body) for POST, run in a thread.

    What it returns goes as JSON, a response as it is; a SightlineError becomes {"error": text}.
    """
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import JSONResponse
    from starlette.responses import Response as Ready

    takes_body = len(inspect.signature(function).parameters) == 2

    async def endpoint(request: Request) -> Response:
        try:
            body = await _body(request) if takes_body else None
            found = (
                await run_in_threadpool(function, request, body)
                if takes_body
                else await run_in_threadpool(function, request)
            )
        except SightlineError as error:
            return JSONResponse({"error": str(error)}, STATUS.get(error.exit_code, 400))
        return found if isinstance(found, Ready) else JSONResponse(found)

    return endpoint


async def _body(request: Request) -> dict[str, Any]:
    try:
        body = await request.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise ConfigError("The request must hold a JSON object.")
    return body
