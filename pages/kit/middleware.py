"""What stands between a browser and the pages, however the studio is started."""

from __future__ import annotations

from starlette.middleware import Middleware

from pages.kit.headers import GuardBrowsers
from pages.kit.person import NameBrowsers

MIDDLEWARE = (Middleware(GuardBrowsers), Middleware(NameBrowsers))
