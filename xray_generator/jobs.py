"""A queue for long work: submit, progress, preview, cancel, result. One worker thread, so one generation at a time.

A job outlives the page that asked for it; pages hold its id and look. The worker never touches the user interface.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from xray_generator.types import Canceled, Image, OnStep, Preview, StudioError

State = Literal["queued", "running", "done", "failed", "canceled"]
Work = Callable[[OnStep], Any]

MAX_QUEUED = 32
MAX_KEPT = 24  # finished jobs whose results stay in memory
MAX_FLEETING = 8  # of those that are soon replaced, such as the pictures that follow a slider
PREVIEW_EVERY_S = 0.25
PREVIEW_SHARE = 0.2  # of a job's time at most, where drawing one is slow

logger = logging.getLogger(__name__)


@dataclass
class Job:
    """One piece of work: pages read it, and the queue alone writes it (the worker, or `cancel` while it waits)."""

    work: Work
    is_fleeting: bool = False  # its result is looked at once; many of them must not push others' results out
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    state: State = "queued"
    is_loaded: bool = False  # the models are, so that the first step runs
    step: int = 0
    total: int = 0
    preview: Image | None = None
    result: Any = None
    error: str = ""
    started: float = 0.0
    first_step: float = 0.0  # when step 1 ended: what came before, such as loading a model, says nothing of the pace
    finished: float = 0.0
    cancel_requested: threading.Event = field(default_factory=threading.Event)

    @property
    def is_over(self) -> bool:
        """Whether the job has ended, in whatever way."""
        return self.state in ("done", "failed", "canceled")

    @property
    def seconds(self) -> float:
        """How long it has run, or ran."""
        return (self.finished or time.monotonic()) - self.started if self.started else 0.0

    @property
    def eta_s(self) -> float | None:
        """Seconds left at the present pace; None before the second step."""
        if self.step < 2:
            return None
        return (time.monotonic() - self.first_step) / (self.step - 1) * (self.total - self.step)


class JobQueue:
    """First come, first served."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[str, Job] = OrderedDict()  # in the order of submission
        self._lock = threading.Condition()
        threading.Thread(target=self._work, name="studio-worker", daemon=True).start()

    def submit(self, work: Work, *, is_fleeting: bool = False) -> Job:
        """Queue `work`, which is given an `on_step` to call.

        Raises:
            StudioError: the queue is full.
        """
        job = Job(work, is_fleeting)
        with self._lock:
            if sum(other.state == "queued" for other in self._jobs.values()) >= MAX_QUEUED:
                raise StudioError(f"{MAX_QUEUED} jobs wait already. Try again in a minute.")
            self._jobs[job.id] = job
            self._lock.notify()
            for fleeting, most in ((False, MAX_KEPT), (True, MAX_FLEETING)):
                over = [old.id for old in self._jobs.values() if old.is_over and old.is_fleeting is fleeting]
                for old_id in over[:-most]:
                    del self._jobs[old_id]
        return job

    def get(self, job_id: str) -> Job | None:
        """The job, or None where it is unknown or was dropped."""
        return self._jobs.get(job_id)

    def position(self, job: Job) -> int:
        """How many queued jobs come before this one."""
        with self._lock:
            queued = [other.id for other in self._jobs.values() if other.state == "queued"]
        return queued.index(job.id) if job.id in queued else 0

    def cancel(self, job: Job) -> None:
        """End the job: at once while it waits, within one step while it runs; a finished job stays finished."""
        with self._lock:
            job.cancel_requested.set()
            if job.state == "queued":
                job.state = "canceled"

    def _next(self) -> Job | None:
        return next((job for job in self._jobs.values() if job.state == "queued"), None)

    def _work(self) -> None:
        while True:
            with self._lock:
                while (job := self._next()) is None:
                    self._lock.wait()
                job.state, job.started = "running", time.monotonic()
            state: State = "failed"
            try:
                job.result = job.work(_reporter(job))
                state = "done"
            except Canceled:
                state = "canceled"
            except StudioError as error:
                job.error = str(error)
            except BaseException:  # whatever fails, SystemExit too: the next job must run
                logger.exception("job %s failed", job.id)
                job.error = f"An unexpected fault stopped this job. The server's log has the details under {job.id}."
            job.finished = time.monotonic()
            job.state = state


def _reporter(job: Job) -> OnStep:
    due = 0.0

    def on_step(step: int, total: int, preview: Preview) -> None:
        nonlocal due
        if job.cancel_requested.is_set():
            raise Canceled
        job.is_loaded = True
        if not step:
            return
        job.step, job.total = step, total
        job.first_step = job.first_step or time.monotonic()
        if (asked := time.monotonic()) > due:
            job.preview = preview()
            drawn = time.monotonic()
            due = drawn + max(PREVIEW_EVERY_S, (drawn - asked) / PREVIEW_SHARE)

    return on_step
