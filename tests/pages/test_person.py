"""A browser has a name of its own that says nothing, and it is known who has a page open."""

import asyncio
from http.cookies import SimpleCookie
from typing import Any

import pytest

from pages.kit import person
from pages.kit.person import COOKIE, NameBrowsers, Presence


def load(accept: str, cookie: str = "", scope: str = "http") -> list[str]:
    """The cookies that the response to a request sets."""
    sent: list[dict[str, Any]] = []

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 304, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def send(message: Any) -> None:
        sent.append(message)

    request = {"type": scope, "headers": [(b"accept", accept.encode()), (b"cookie", cookie.encode())]}
    asyncio.run(NameBrowsers(app)(request, None, send))  # type: ignore[arg-type]
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    return [value.decode() for name, value in sent[0]["headers"] if name == b"set-cookie"]


def test_a_browser_is_named_once_by_a_page_and_by_nothing_else() -> None:
    first, second = (SimpleCookie(load("text/html,*/*;q=0.8")[0])[COOKIE] for _ in range(2))
    assert len(first.value) > 40 and first.value != second.value
    assert first["httponly"] and first["samesite"] == "Lax" and first["path"] == "/" and int(first["max-age"]) > 10**6
    assert load("text/html", f"{COOKIE}=abc") == load("image/png,*/*") == load("text/html", scope="websocket") == []
    assert load("text/html", "other=abc")


def test_the_app_names_browsers() -> None:
    from app import app

    assert NameBrowsers in [middleware.cls for middleware in app._user_middleware]


def test_a_person_is_here_while_a_tab_is_open_and_for_a_moment_after(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1_000.0]
    monkeypatch.setattr(person.time, "monotonic", lambda: now[0])
    presence = Presence()
    assert presence.is_here("") and not presence.is_here("a")
    presence.enter("a")
    presence.enter("a")
    presence.leave("a")
    now[0] += person.GRACE_S + 1
    assert presence.is_here("a")  # the other tab
    presence.leave("a")
    now[0] += person.GRACE_S - 1
    assert presence.is_here("a")  # loading again
    now[0] += 1
    assert not presence.is_here("a")
    presence.enter("a")
    assert presence.is_here("a") and not presence.is_here("b")
