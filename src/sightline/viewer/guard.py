"""Who may ask the viewer what: names of this machine, no forms of other sites, a token beyond loopback."""

from __future__ import annotations

import hmac
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
COOKIE = "sightline_token"
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; style-src 'self' 'unsafe-inline'; "
    "worker-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
DASHBOARD = "/trackio/"
"""trackio's dashboard brings pages of its own, with styles, workers and compiled code of its own."""
DASHBOARD_HEADERS = HEADERS | {
    "Content-Security-Policy": "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' blob: data:; media-src 'self' blob: data:; "
    "font-src 'self' data:; connect-src 'self' blob: data:; worker-src 'self' blob:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'self'",
}


class Guard:
    """Checks every request before anything else sees it, and puts the headers on every answer.

    Args:
        app: what is behind it.
        hosts: names under which it may be asked; empty for any (then a token is needed).
        token: what must be known; empty on loopback.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str], token: str = "") -> None:
        self.app, self.hosts, self.token = app, hosts, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self.app(scope, receive, send)
            return
        from starlette.datastructures import Headers

        headers = Headers(scope=scope)
        problem = self._problem(scope, headers)
        if problem is None:
            await self.app(scope, receive, _with_headers(scope, send))
        elif scope["type"] == "http":
            await problem(scope, receive, send)

    def _problem(self, scope: Scope, headers: Any) -> Any:
        """An answer that refuses, or sends on with the token in a cookie; None where all is well."""
        from starlette.responses import JSONResponse

        host = (
            headers.get("host", "").rsplit(":", 1)[0] if not headers.get("host", "").endswith("]") else headers["host"]
        )
        if self.hosts and host.lower() not in self.hosts:
            return JSONResponse({"error": f"This viewer does not answer to the name {host!r}."}, 400)
        if self.token and (refused := self._unknown(scope, headers)):
            return refused
        if scope.get("method") == "POST" and not scope["path"].startswith(DASHBOARD):
            kind = headers.get("content-type", "").partition(";")[0].strip()
            if headers.get("x-sightline") != "1" or kind != "application/json":
                return JSONResponse({"error": "A change needs JSON and the header X-Sightline: 1."}, 403)
        return None

    def _unknown(self, scope: Scope, headers: Any) -> Any:
        """The token comes once in the address and from then on in a cookie."""
        from http.cookies import SimpleCookie
        from urllib.parse import parse_qsl, urlencode

        from starlette.responses import JSONResponse, RedirectResponse

        kept = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        if kept and self._is_it(kept.value):
            return None
        pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        if not self._is_it(dict(pairs).get("token", "")):
            return JSONResponse({"error": "Open the address with the token that `sightline ui` printed."}, 401)
        rest = urlencode([(key, value) for key, value in pairs if key != "token"])
        path = "/" + scope["path"].lstrip("/\\")  # two slashes would lead to another host
        onward = RedirectResponse(path + (f"?{rest}" if rest else ""), 303)
        onward.set_cookie(COOKIE, self.token, httponly=True, samesite="strict")
        return onward

    def _is_it(self, told: str) -> bool:
        return hmac.compare_digest(told.encode("utf-8", "surrogateescape"), self.token.encode())


def _with_headers(scope: Scope, send: Send) -> Send:
    """Send, with the headers that the answer does not bring itself."""
    if scope["type"] != "http":
        return send
    wanted = DASHBOARD_HEADERS if scope["path"].startswith(DASHBOARD) else HEADERS

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            there = {name.lower() for name, _ in message["headers"]}
            fresh = [(name.lower().encode(), value.encode()) for name, value in wanted.items()
                     if name.lower().encode() not in there]  # fmt: skip
            message["headers"] = [*message["headers"], *fresh]
        await send(message)

    return sending
