"""Every answer of the server says what a browser must refuse, and leaves the studio what it needs."""

import asyncio
from typing import Any

import pytest

from pages.kit.headers import GuardBrowsers


def headers(kind: str = "http", host: str = "localhost:8501") -> dict[str, str]:
    sent: list[dict[str, Any]] = []

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": f"{kind}.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})

    async def send(message: Any) -> None:
        sent.append(message)

    request = {"type": kind, "headers": [(b"host", host.encode())]}
    asyncio.run(GuardBrowsers(app)(request, None, send))  # type: ignore[arg-type]
    return {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}


def test_answers_carry_the_headers() -> None:
    found = headers()
    assert found["content-type"] == "text/html"
    assert (found["x-content-type-options"], found["x-frame-options"]) == ("nosniff", "SAMEORIGIN")
    policy = dict(rule.strip().split(" ", 1) for rule in found["content-security-policy"].split(";"))
    assert policy["frame-ancestors"] == policy["base-uri"] == "'self'" and policy["object-src"] == "'none'"
    assert policy["connect-src"].endswith("ws://localhost:8501 wss://localhost:8501")
    assert "blob:" in policy["script-src"] and "data:" in policy["default-src"]
    assert not any("*" in rule or "http" in rule for rule in policy.values())


@pytest.mark.parametrize("host", ["", "a b", "evil; script-src *", "x,y"])
def test_a_foreign_word_as_host_changes_no_rule(host: str) -> None:
    assert headers(host=host)["content-security-policy"].endswith("connect-src 'self' blob: data:")


def test_a_socket_passes_as_it_is() -> None:
    assert headers("websocket") == {"content-type": "text/html"}


def test_the_app_guards_browsers() -> None:
    from app import app

    assert GuardBrowsers in [middleware.cls for middleware in app._user_middleware]
