"""Who looks at a page: whoever uses this browser, without an account; and who has a page open."""

from __future__ import annotations

import hashlib
import math
import secrets
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

import streamlit as st
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "studio_browser"
ATTRIBUTES = f"Path=/; Max-Age={365 * 24 * 3_600}; HttpOnly; SameSite=Lax"  # no script and no other site sees it
GRACE_S = 10.0  # a reload takes less


class NameBrowsers:
    """Middleware: a browser that loads a page gets a random name in a cookie, once."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102 - of ASGI
        async def send_with_name(message: Message) -> None:
            if message["type"] == "http.response.start":
                cookie = f"{COOKIE}={secrets.token_urlsafe()}; {ATTRIBUTES}"
                MutableHeaders(scope=message).append("Set-Cookie", cookie)
            await send(message)

        await self.app(scope, receive, send_with_name if is_unnamed(scope) else send)


def is_unnamed(scope: Scope) -> bool:
    """Whether a browser asks for a page, be it one that it has stored, and has no name yet."""
    if scope["type"] != "http":
        return False
    asked = HTTPConnection(scope)
    return "text/html" in asked.headers.get("accept", "") and COOKIE not in asked.cookies


def person() -> str:
    """A short name for whoever uses this browser; without cookies, for this tab until it is loaded again."""
    token = st.context.cookies.get(COOKIE) or st.session_state.setdefault("browser", secrets.token_urlsafe())
    name = hashlib.sha256(str(token).encode()).hexdigest()[:16]  # the token itself is nobody's business
    _open_tab(name)
    return name


@dataclass(eq=False)
class Presence:
    """Who has a page open. Safe to share between threads."""

    _tabs: Counter[str] = field(default_factory=Counter)
    _left: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def enter(self, name: str) -> None:
        """A person opens one more tab."""
        with self._lock:
            self._tabs[name] += 1

    def leave(self, name: str) -> None:
        """A person closes a tab."""
        now = time.monotonic()
        with self._lock:
            self._tabs[name] -= 1
            if not self._tabs[name]:
                del self._tabs[name]
                self._left = {other: left for other, left in self._left.items() if now - left < GRACE_S} | {name: now}

    def is_here(self, name: str) -> bool:
        """Whether a person has a tab open, or closed the last one just now: it may be loading again.

        The server itself, an empty name, is always here.
        """
        with self._lock:
            return not name or name in self._tabs or time.monotonic() - self._left.get(name, -math.inf) < GRACE_S


@st.cache_resource(show_spinner=False)
def presence() -> Presence:
    """The presence of this server's visitors."""
    return Presence()


@dataclass(frozen=True, slots=True)
class _Tab:
    name: str
    presence: Presence

    def close(self) -> None:
        self.presence.leave(self.name)


@st.cache_resource(show_spinner=False, scope="session", on_release=_Tab.close)
def _open_tab(name: str) -> _Tab:
    """Kept as long as the tab is connected."""
    presence().enter(name)
    return _Tab(name, presence())
