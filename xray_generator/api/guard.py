"""What must hold of a request before anything of its body is read, and what stands at the head of every answer."""

from __future__ import annotations

import logging
import time
import uuid
from urllib.parse import urlsplit

from fastapi import HTTPException
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from xray_generator.api.errors import answer
from xray_generator.api.tokens import LOCAL, Tokens, is_loopback
from xray_generator.types import quote

OPEN = "/health"  # for probes, which have no token
UPLOAD = "/enhance"
MAX_JSON_BYTES, MAX_UPLOAD_BYTES = 64_000, 32_000_000
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}

logger = logging.getLogger(__name__)


class Guard:
    """Middleware: each request gets an id and an owner, or is refused.

    With tokens, the owner is that of the token. Without, the server is reached from this machine alone, and whatever a
    browser was sent here by another site is refused: by the Origin header, or where a foreign name was made to mean
    this machine (DNS rebinding), by the Host header.
    """

    def __init__(self, app: ASGIApp, tokens: Tokens) -> None:
        self.app, self.tokens = app, tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102 - of ASGI
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request, began, status = HTTPConnection(scope), time.monotonic(), 0
        request.state.request_id = uuid.uuid4().hex

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status, headers = message["status"], MutableHeaders(scope=message)
                headers["X-Request-ID"] = request.state.request_id
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            request.state.owner = self._find_owner(request)
            most = MAX_UPLOAD_BYTES if scope["path"] == UPLOAD else MAX_JSON_BYTES
            await self.app(scope, _limit(receive, most), send_with_headers)
        except HTTPException as refusal:
            await (await answer(request, refusal))(scope, receive, send_with_headers)
        except Exception as fault:
            logger.exception("%s failed", request.state.request_id)
            if status:  # its answer has begun
                raise
            await (await answer(request, fault))(scope, receive, send_with_headers)
        finally:
            took_ms = 1_000 * (time.monotonic() - began)
            path = quote(scope["path"])
            logger.info("%s %s %s %d, %.0f ms", request.state.request_id, scope["method"], path, status, took_ms)

    def _find_owner(self, request: HTTPConnection) -> str:
        if not self.tokens.hashes:
            _refuse_foreign(request)
            return LOCAL
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        owner = self.tokens.find_owner(token.strip()) if kind.lower() == "bearer" else None
        if owner is None and request.scope["path"] != OPEN:
            sentence = "This server needs a token it knows, in the header Authorization: Bearer TOKEN."
            raise HTTPException(401, sentence, {"WWW-Authenticate": "Bearer"})
        return owner or ""


def _refuse_foreign(request: HTTPConnection) -> None:
    host, origin = request.headers.get("host", ""), request.headers.get("origin")
    if not is_loopback(_name(f"//{host}")):
        raise HTTPException(403, f"This server is asked as localhost or 127.0.0.1, not as {quote(host)}.")
    if origin is not None and not is_loopback(_name(origin)):
        raise HTTPException(403, f"This server answers no pages of {quote(origin)}.")


def _name(address: str) -> str:
    """The host of an address without its port; empty where there is none."""
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


def _limit(receive: Receive, most: int) -> Receive:
    """The messages of a request, up to so many bytes of its body."""
    size = 0

    async def receive_limited() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > most:
            raise HTTPException(413, f"A body may have {most:,} bytes here, and this one has more.")
        return message

    return receive_limited
