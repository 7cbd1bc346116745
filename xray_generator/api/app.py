"""The API as an ASGI application."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from xray_generator import __version__
from xray_generator.api.errors import answer
from xray_generator.api.guard import Guard
from xray_generator.api.routes import router
from xray_generator.api.services import Services
from xray_generator.api.tokens import Tokens
from xray_generator.jobs import JobQueue
from xray_generator.studio import Studio
from xray_generator.types import NOTICE, PRODUCT, StudioError


def create_app(studio: Studio, queue: JobQueue, tokens: Tokens, *, log_prompts: bool = False) -> FastAPI:
    """The API of a studio and its queue, which must carry out the studio's orders.

    Without tokens it answers this machine alone, see `guard`. Prompts are logged only with `log_prompts`.
    """
    app = FastAPI(
        title=PRODUCT,
        description=f"Images from a prompt or a class. {NOTICE}",
        version=__version__,
        docs_url=None,  # its page would load scripts of others
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.services = Services(studio, queue, log_prompts)
    app.include_router(router)
    app.add_middleware(Guard, tokens=tokens)
    for kind in (StudioError, RequestValidationError, HTTPException):  # the guard answers for all others
        app.add_exception_handler(kind, answer)
    return app
