"""What every answer of the server tells a browser to refuse: foreign scripts and images, frames of other sites."""

from __future__ import annotations

import re

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOST = re.compile(r"[\w.:\[\]-]+")
# Streamlit writes its own scripts and styles into the page, loads those of components from blobs, draws images from
# blobs and data, and its charts compile functions.
POLICY = (
    "default-src 'self' blob: data:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)


class GuardBrowsers:
    """Middleware: the headers that keep a page to what this server sends."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102 - of ASGI
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                host = HTTPConnection(scope).headers.get("host", "")
                sockets = f" ws://{host} wss://{host}" if HOST.fullmatch(host) else ""  # not 'self' to every browser
                headers["Content-Security-Policy"] = f"{POLICY}; connect-src 'self' blob: data:{sockets}"
                headers["X-Frame-Options"] = "SAMEORIGIN"
                headers["X-Content-Type-Options"] = "nosniff"
            await send(message)

        await self.app(scope, receive, send_with_headers if scope["type"] == "http" else send)
