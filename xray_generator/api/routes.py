"""The addresses of the API. What blocks runs in threads or in the queue, never in the loop that serves all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from fastapi.security import HTTPBearer
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from postprocess.presets import Preset
from xray_generator.api.messages import (
    CheckpointFacts,
    Drawing,
    Evaluation,
    EvaluationStatus,
    Health,
    ImagesAnswer,
    ImagesRequest,
    JobStatus,
    Measuring,
    Problem,
)
from xray_generator.api.services import Services
from xray_generator.config import dump
from xray_generator.jobs import Job
from xray_generator.types import StudioError

POLL_S = 0.2
DESCRIBED_BEARER = Depends(HTTPBearer(auto_error=False))  # for /openapi.json: the guard has looked already
FILE: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
PNG, DICOM, ZIP = "image/png", "application/dicom", "application/zip"

REFUSAL = {"description": "What was wrong, in a sentence"}

router = APIRouter(dependencies=[DESCRIBED_BEARER], responses={"4XX": {"model": Problem, **REFUSAL}})


async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


async def _owner(request: Request) -> str:
    return str(request.state.owner)


Here = Annotated[Services, Depends(_services)]
Owner = Annotated[str, Depends(_owner)]


async def _find_job(job_id: str, here: Here, owner: Owner) -> Job:
    return here.find(job_id, owner)


async def _find_evaluation(job_id: str, here: Here, owner: Owner) -> Job:
    return here.find_evaluation(job_id, owner)


OwnJob = Annotated[Job, Depends(_find_job)]
OwnEvaluation = Annotated[Job, Depends(_find_evaluation)]


@router.get("/health")
async def health() -> Health:
    """Whether the server answers; the one address that needs no token."""
    return Health()


@router.get("/checkpoints")
def checkpoints(here: Here) -> tuple[CheckpointFacts, ...]:
    """What can be drawn, and with which settings."""
    return here.checkpoints()


@router.get("/presets")
def presets(here: Here) -> tuple[Preset, ...]:
    """The enhancements: the built-in ones, and those that were saved on this server."""
    return here.studio.presets()


@router.post("/jobs", status_code=202)
def submit(asked: Drawing, here: Here, owner: Owner, response: Response) -> JobStatus:
    """Ask for images, which are drawn in turn. They are kept also where the server ends before."""
    job = here.submit(asked, owner)
    response.headers["Location"] = f"/jobs/{job.id}"
    return here.status(job)


@router.get("/jobs")
def jobs(here: Here, owner: Owner) -> tuple[JobStatus, ...]:
    """Your last jobs, in the order of asking."""
    return here.list_jobs(owner)


@router.get("/jobs/{job_id}")
def status(job: OwnJob, here: Here) -> JobStatus:
    """How a job stands."""
    return here.status(job)


@router.get(
    "/jobs/{job_id}/events",
    response_class=EventSourceResponse,
    responses={  # a refusal is no stream, other than FastAPI supposes
        "4XX": {**REFUSAL, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    },
)
async def events(job: OwnJob, here: Here, preview: bool = False) -> AsyncIterator[ServerSentEvent]:
    """How a job stands, as server-sent events `progress` whenever that changes, and `end`; `preview`: with the image.

    A comment every 15 seconds keeps the connection open.
    """
    told: object = None
    while True:
        is_over = job.is_over  # asked once, so that the last event is `end`
        stands = (is_over, job.state, job.step, job.num_done, id(job.preview) if preview else 0)
        if stands != told:
            told, now = stands, await run_in_threadpool(here.status, job, has_preview=preview)
            yield ServerSentEvent(event="end" if is_over else "progress", data=dump(now))
        if is_over:
            return
        await asyncio.sleep(POLL_S)


@router.get(
    "/jobs/{job_id}/images/{index}",
    response_class=Response,
    responses={200: {"content": {PNG: FILE, DICOM: FILE}}},
)
def image(
    job: OwnJob, index: int, here: Here, format: Literal["png", "dicom"] = "png", preset: str | None = None
) -> Response:
    """An image, counted from 0, as soon as it is finished: raw, or as PNG after a preset."""
    if format == "png":
        return Response(here.png(job, index, preset), media_type=PNG)
    if preset is not None:
        raise StudioError("A DICOM file holds the raw image. Leave the preset out, or ask for a PNG.")
    return Response(here.dicom(job, index), media_type=DICOM)


@router.get("/jobs/{job_id}/archive", response_class=Response, responses={200: {"content": {ZIP: FILE}}})
def archive(job: OwnJob, here: Here) -> Response:
    """All images that are finished, as a ZIP: raw, and enhanced where the job asked for a preset."""
    headers = {"Content-Disposition": f'attachment; filename="{job.id}.zip"'}
    return Response(here.archive(job), media_type=ZIP, headers=headers)


@router.delete("/jobs/{job_id}")
def cancel(job: OwnJob, here: Here) -> JobStatus:
    """End a job: at once while it waits, within one step while it runs. Images that are finished stay."""
    here.queue.cancel(job)
    return here.status(job)


@router.get("/evaluations")
def evaluations(here: Here, checkpoint: str | None = None) -> tuple[Evaluation, ...]:
    """What was measured of the checkpoints before, of each the best record; or of one that is named."""
    return here.evaluations(checkpoint)


@router.post("/evaluations", status_code=202)
def measure(asked: Measuring, here: Here, owner: Owner, response: Response) -> EvaluationStatus:
    """Measure a checkpoint in its turn: draw images, and compare them with this server's real ones.

    It takes minutes and ends with the server. A few images tell little: see the n and the interval of each measurement.
    """
    job = here.measure(asked, owner)
    response.headers["Location"] = f"/evaluations/{job.id}"
    return here.evaluation(job)


@router.get("/evaluations/{job_id}")
def evaluation(job: OwnEvaluation, here: Here) -> EvaluationStatus:
    """How an evaluation stands, and what it found."""
    return here.evaluation(job)


@router.delete("/evaluations/{job_id}")
def cancel_evaluation(job: OwnEvaluation, here: Here) -> EvaluationStatus:
    """End an evaluation: at once while it waits, at the next step while it runs."""
    here.queue.cancel(job)
    return here.evaluation(job)


@router.post(
    "/enhance",
    response_class=Response,
    responses={200: {"content": {PNG: FILE}}},
    openapi_extra={"requestBody": {"required": True, "content": {"application/octet-stream": FILE}}},
)
async def enhance(request: Request, here: Here, preset: str = "Balanced") -> Response:
    """A PNG, JPEG, TIFF or DICOM file, which is the body, after a preset: a PNG. Nothing of it is kept."""
    data = await request.body()
    return Response(await run_in_threadpool(here.enhance, data, preset), media_type=PNG)


@router.post("/v1/images/generations")
async def generate_images(asked: ImagesRequest, request: Request, here: Here, owner: Owner) -> ImagesAnswer:
    """Images as clients of the OpenAI API ask for them. It answers when they are drawn."""
    job = await run_in_threadpool(lambda: here.submit(here.translate(asked), owner))
    while not job.is_over and not await request.is_disconnected():
        await asyncio.sleep(POLL_S)
    if not job.is_over:  # nobody waits for it any more
        await run_in_threadpool(here.queue.cancel, job)
    return await run_in_threadpool(here.answer, job)
