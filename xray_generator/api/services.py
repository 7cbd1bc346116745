"""What the routes ask the studio and its queue for."""

from __future__ import annotations

import base64
import logging
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from postprocess.presets import Preset, from_data, get_preset, load_presets
from xray_generator.api.messages import (
    CheckpointFacts,
    Drawing,
    EncodedImage,
    Evaluation,
    EvaluationStatus,
    ImagesAnswer,
    ImagesRequest,
    JobStatus,
    Measuring,
)
from xray_generator.checkpoints import Manifest
from xray_generator.config import dump
from xray_generator.dashboards.board import read_board
from xray_generator.dashboards.strengths import Strengths, find_points
from xray_generator.data.naming import checkpoint_title, class_titles
from xray_generator.devices import run_in_memory
from xray_generator.evaluation.records import Record
from xray_generator.export.archive import encode_enhanced
from xray_generator.export.marks import mark_chunks
from xray_generator.export.pictures import Picture, archive
from xray_generator.export.recipe import read_recipe
from xray_generator.gallery import read_source
from xray_generator.history import load_result, read_kept
from xray_generator.images import encode_png, read_image
from xray_generator.jobs import Job, JobQueue, QueueFullError
from xray_generator.orders import DrawOrder
from xray_generator.registry import reads_prompts
from xray_generator.requests import describe_condition
from xray_generator.studio import Studio
from xray_generator.types import NOTICE, AdapterWeight, OnStep, StudioError, quote

KEY = "api"  # of the jobs
MEASURING = "measuring "  # begins the key of a job that measures; then comes the checkpoint
MAX_ENHANCED = 2  # at the same time

logger = logging.getLogger(__name__)


class MissingError(StudioError):
    """What is asked for is not here, or is somebody else's."""


@dataclass
class Services:
    """The studio behind the API. Safe to share between threads."""

    studio: Studio
    queue: JobQueue
    log_prompts: bool = False
    _enhancing: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(MAX_ENHANCED))

    def checkpoints(self) -> tuple[CheckpointFacts, ...]:
        """The checkpoints that draw images."""
        return tuple(map(self._describe, self.studio.checkpoints()))

    def _describe(self, manifest: Manifest) -> CheckpointFacts:
        name = manifest.ref.full_name
        return CheckpointFacts(
            name,
            checkpoint_title(manifest),
            reads_prompts(manifest),
            class_titles(manifest.labels),
            manifest.unconditional,
            self.studio.sizes(name),
            manifest.schedulers,
            manifest.recommended,
            tuple(one.ref.full_name for one in self.studio.adapters(manifest)),
        )

    def submit(self, asked: Drawing, owner: str) -> Job:
        """Put images in the line of a person.

        Raises:
            StudioError: they cannot be drawn.
            QueueFullError: as for `JobQueue.submit`.
        """
        manifest, preset = self.studio.manifest(asked.checkpoint), self._preset(asked.preset)
        refs = {name: self.studio.manifest(name).ref for name in asked.adapters}
        request = self.studio.make_request(
            manifest,
            asked.prompt,
            asked.label,
            size=asked.size,
            seed=asked.seed,
            num_images=asked.num_images,
            steps=asked.steps,
            guidance=asked.guidance,
            scheduler=asked.scheduler,
            adapters=tuple(AdapterWeight(refs[name], weight) for name, weight in asked.adapters.items()),
            eta=asked.eta,
        )
        order = DrawOrder(request, manifest.ref.full_name, dump(preset), owner)
        job = self.queue.submit(order, owner=owner, key=KEY, num_images=request.num_images)
        words = f" of {describe_condition(request.condition)!r}" if self.log_prompts else ""
        logger.info("job %s of %s: %d images%s by %s", job.id, owner, request.num_images, words, order.checkpoint)
        return job

    def translate(self, asked: ImagesRequest) -> Drawing:
        """What the OpenAI API asks for, in our words. StudioError: it names no size or no checkpoint of ours."""
        sides = asked.size.split("x")
        if asked.size != "auto" and (len(sides) != 2 or sides[0] != sides[1] or not _is_number(sides[0])):
            raise StudioError(f"The size must be auto, or that of a square such as 256x256, not {quote(asked.size)}.")
        manifest = self.studio.manifest(asked.model)
        prompt, label = (asked.prompt, None) if reads_prompts(manifest) else (None, asked.prompt)
        size = None if asked.size == "auto" else int(sides[0])
        return Drawing(prompt, label, manifest.ref.full_name, asked.n, size)

    def find(self, job_id: str, owner: str) -> Job:
        """A job of a person. MissingError: there is none, or it is somebody else's."""
        job = self.queue.get(job_id)
        if job is None or job.order is None or job.owner != owner:
            raise MissingError(f"You have no job {quote(job_id)}.")
        return job

    def list_jobs(self, owner: str) -> tuple[JobStatus, ...]:
        """The jobs of a person, as long as the queue remembers them, in the order of asking."""
        return tuple(self.status(job) for job in self.queue.find(owner) if job.order is not None)

    def status(self, job: Job, *, has_preview: bool = False) -> JobStatus:
        """How a job of an order stands."""
        order = _order(job)
        kept = read_kept(self._path(job)) if job.is_over and job.result_file else None
        preview = job.preview if has_preview else None
        return JobStatus(
            job.id,
            job.state,
            order.checkpoint,
            order.request if kept is None else kept.recipe.request,
            str(order.preset["name"]),
            job.num_done,
            tuple(f"/jobs/{job.id}/images/{index}" for index in range(job.num_done)),
            job.step,
            job.total,
            self.queue.position(job) if job.state == "queued" else None,
            job.eta_s if job.state == "running" else None,
            job.error,
            () if kept is None else kept.notes,
            None if preview is None else _base64(encode_png(preview, mark_chunks(NOTICE))),
        )

    def evaluations(self, checkpoint: str | None) -> tuple[Evaluation, ...]:
        """The best record that is kept of each checkpoint, or of one; whatever was never measured is left out."""
        found = (self.studio.manifest(checkpoint),) if checkpoint is not None else self.studio.checkpoints()
        board = read_board(self.studio.metrics_dir, [manifest.ref for manifest in found])
        records = [(manifest, board.find(manifest.ref)) for manifest in found]
        return tuple(_judge(record, manifest) for manifest, record in records if record is not None)

    def measure(self, asked: Measuring, owner: str) -> Job:
        """Put an evaluation in the line of a person; it ends with the server. Errors as for `submit`."""
        manifest = self.studio.manifest(asked.checkpoint)
        name = manifest.ref.full_name

        def work(on_step: OnStep) -> Evaluation:
            from xray_generator.evaluate import measure  # when it runs: it imports torch

            record = run_in_memory(partial(measure, self.studio, name, asked.num_images, on_step))
            return _judge(record, manifest)

        job = self.queue.submit(work, owner=owner, key=f"{MEASURING}{name}")
        logger.info("job %s of %s: measure %s by %d images", job.id, owner, name, asked.num_images)
        return job

    def find_evaluation(self, job_id: str, owner: str) -> Job:
        """A job of a person that measures. MissingError: there is none, or it is somebody else's."""
        job = self.queue.get(job_id)
        if job is None or not job.key.startswith(MEASURING) or job.owner != owner:
            raise MissingError(f"You have no evaluation {quote(job_id)}.")
        return job

    def evaluation(self, job: Job) -> EvaluationStatus:
        """How a job that measures stands."""
        return EvaluationStatus(
            job.id,
            job.state,
            job.key.removeprefix(MEASURING),
            job.step,
            job.total,
            self.queue.position(job) if job.state == "queued" else None,
            job.error,
            job.result,
        )

    def png(self, job: Job, index: int, preset: str | None) -> bytes:
        """An image as a PNG with its recipe, raw or after a preset. MissingError: it is not there, or not yet."""
        data = self._read(job, index)
        return data if preset is None else encode_enhanced(read_source(data, "generated"), self._preset(preset))

    def paths(self, job: Job) -> tuple[Path, ...]:
        """The files of the finished images, as they were drawn."""
        path = self._path(job)
        kept = read_kept(path) if job.result_file else None
        return () if kept is None else tuple(path.parent / Path(name).name for name in kept.files)

    def dicom(self, job: Job, index: int) -> bytes:
        """A raw image as DICOM, CT in Hounsfield units. MissingError: it is not there, or not yet."""
        data = self._read(job, index)
        window = self.studio.manifest(_order(job).checkpoint).hu_window
        return Picture(read_image(data), read_recipe(data)).dicom(window)

    def archive(self, job: Job) -> bytes:
        """The finished images as a ZIP, also enhanced where that was asked for. MissingError: there are none."""
        path = self._path(job)
        result = load_result(path) if path.is_file() else None
        if result is None:
            raise MissingError("No image of this job is finished, or its images are gone.")
        return archive(result, from_data(_order(job).preset))

    def answer(self, job: Job) -> ImagesAnswer:
        """The images of a job that is over. StudioError: it failed, or was canceled."""
        if job.state != "done":
            raise StudioError(job.error or "The job was canceled.")
        images = tuple(EncodedImage(_base64(self.png(job, index, None))) for index in range(job.num_done))
        return ImagesAnswer(int(time.time()), images)

    def enhance(self, data: bytes, preset: str) -> bytes:
        """An image file after a preset, as a PNG.

        Raises:
            StudioError: it cannot be read, or there is no such preset.
            QueueFullError: as many images as may be are being enhanced already.
        """
        chosen = self._preset(preset)
        if not self._enhancing.acquire(blocking=False):
            raise QueueFullError(f"{MAX_ENHANCED} images are being enhanced already. Try again in a moment.")
        try:
            return encode_enhanced(read_source(data, "uploaded"), chosen)
        finally:
            self._enhancing.release()

    def _preset(self, name: str) -> Preset:
        return get_preset(name, load_presets(self.studio.preset_dir))

    def _path(self, job: Job) -> Path:
        return self.studio.generated_dir / _order(job).folder / job.result_file

    def _read(self, job: Job, index: int) -> bytes:
        paths = self.paths(job)
        if not 0 <= index < len(paths):
            raise MissingError(f"Image {index} of this job is not finished, or is gone.")
        try:
            return paths[index].read_bytes()
        except OSError:
            raise MissingError(f"Image {index} of this job is gone.") from None


def _judge(record: Record, manifest: Manifest) -> Evaluation:
    """A record of a checkpoint in words and numbers, without its curves and tables."""
    is_stale = record.checkpoint != manifest.ref
    strengths = Strengths(find_points(record, class_titles(manifest.labels)), record.created[:10], is_stale)
    return Evaluation(
        manifest.ref.full_name,
        record.suite,
        record.created,
        is_stale,
        record.settings,
        tuple(strengths.sentences()),
        record.measurements,
        record.notes,
    )


def _order(job: Job) -> DrawOrder:
    assert job.order is not None
    return job.order


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
