"""Whatever goes wrong becomes a status, and a sentence with the request's id."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from types import MappingProxyType

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse

from xray_generator.api.messages import Problem
from xray_generator.api.services import MissingError
from xray_generator.jobs import QueueFullError
from xray_generator.types import StudioError, normalize_text

RETRY_AFTER_S = 10
MAX_FAULTS = 4  # of a body that are told
NO_OBJECT = "The body must be a JSON object, sent with the header Content-Type: application/json."
SENTENCES: Mapping[object, str] = MappingProxyType(
    {  # in place of the libraries' own words
        "Not Found": "There is nothing at this address; /openapi.json lists all there is.",
        "Method Not Allowed": "This address does not take that method; /openapi.json lists those it takes.",
        "There was an error parsing the body": "The body is no JSON in UTF-8, or is nested too deeply.",
    }
)


async def answer(request: HTTPConnection, error: Exception) -> JSONResponse:
    """The answer to a request that failed."""
    status, headers = 500, dict[str, str]()
    sentence = "An unexpected fault. The server's log has the details under this request's id."
    match error:
        case QueueFullError():
            status, sentence, headers = 429, str(error), {"Retry-After": str(RETRY_AFTER_S)}
        case MissingError():
            status, sentence = 404, str(error)
        case StudioError():
            status, sentence = 400, str(error)
        case RequestValidationError():
            status, sentence = 422, _describe(error)
        case HTTPException():
            status, sentence = error.status_code, SENTENCES.get(error.detail, error.detail)
            headers = dict(error.headers or {})
    problem = Problem(normalize_text(sentence), request.state.request_id)
    return JSONResponse(asdict(problem), status, headers)


def _describe(error: RequestValidationError) -> str:
    """Every field that is missing, unknown or of the wrong type, up to a few."""
    faults = error.errors()
    if any(fault["loc"] == ("body",) for fault in faults):
        return NO_OBJECT
    if any(fault["type"] == "json_invalid" for fault in faults):
        return "The body is no valid JSON."
    told = (f"{_name(fault['loc'])}: {fault['msg'].removeprefix('Value error, ')}" for fault in faults[:MAX_FAULTS])
    more = f"; and {len(faults) - MAX_FAULTS} more" if len(faults) > MAX_FAULTS else ""
    return f"The request is wrong. {'; '.join(told)}{more}."


def _name(place: tuple[object, ...]) -> str:
    return json.dumps(".".join(map(str, place[1:])))[:80]
