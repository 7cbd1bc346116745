"""A queue for long work: submit, progress, preview, cancel, result. One worker thread, so one generation at a time.

A job outlives the page that asked for it; pages look. The worker never touches the user interface. People take turns,
and whoever has no page open any more comes after those who have.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, Literal

from xray_generator.types import Canceled, Image, OnStep, Preview, StudioError

State = Literal["queued", "running", "done", "failed", "canceled"]
Work = Callable[[OnStep], Any]  # it returns its result, or yields it as it grows

MAX_QUEUED = 32
MAX_QUEUED_EACH = 8  # of one person
MAX_KEPT = 24  # finished jobs whose results stay in memory
MAX_FLEETING = 8  # of those that are soon replaced, such as the pictures that follow a slider
PREVIEW_EVERY_S = 0.25
PREVIEW_SHARE = 0.2  # of a job's time at most, where drawing one is slow
RECENT = 16  # steps that tell the present pace: the load of a machine changes
AWAY = "Stopped, because its page was closed and others were waiting."

logger = logging.getLogger(__name__)


@dataclass
class Job:
    """One piece of work: pages read it, and the queue alone writes it (the worker, or `cancel` while it waits)."""

    work: Work
    owner: str = ""  # the person who asked for it; empty: the server itself
    key: str = ""  # what the owner's pages find it by
    title: str = ""
    num_images: int = 1  # that it yields one by one
    is_fleeting: bool = False  # its result is looked at once; many of them must not push others' results out
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    state: State = "queued"
    is_loaded: bool = False  # the models are, so that the first step runs
    step: int = 0
    total: int = 0
    num_done: int = 0  # of its images
    preview: Image | None = None
    result: Any = None
    error: str = ""  # why it failed, or was stopped
    started: float = 0.0
    finished: float = 0.0
    recent: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=RECENT))  # when each step ended
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
        """Seconds left at the pace of the last steps; None before the second step.

        What comes before the first one, such as loading a model, says nothing of the pace.
        """
        if len(self.recent) < 2:
            return None
        (began, first), (ended, last) = self.recent[0], self.recent[-1]
        left = (ended - began) / (last - first) * (self.total - last)
        return max(0.0, left - (time.monotonic() - ended))


class JobQueue:
    """People take turns, each in the order of asking.

    Args:
        is_here: whether a person has a page open. Who has none comes last, and gives way to those who wait.
    """

    def __init__(self, is_here: Callable[[str], bool] = lambda _: True) -> None:
        self._is_here = is_here
        self._jobs: OrderedDict[str, Job] = OrderedDict()  # in the order of submission
        self._lock = threading.Condition()
        self._worker = threading.Thread()  # none yet

    def submit(
        self,
        work: Work,
        *,
        owner: str = "",
        key: str = "",
        title: str = "",
        num_images: int = 1,
        is_fleeting: bool = False,
    ) -> Job:
        """Queue `work`, which is given an `on_step` to call. The other arguments are those of `Job`.

        Raises:
            StudioError: the queue is full, or the person has as many jobs in it as one may have.
        """
        job = Job(work, owner, key, title, num_images, is_fleeting)
        with self._lock:
            self._make_room(owner)
            self._jobs[job.id] = job
            self._ensure_worker()
            self._lock.notify()
            for fleeting, most in ((False, MAX_KEPT), (True, MAX_FLEETING)):
                over = [old.id for old in self._jobs.values() if old.is_over and old.is_fleeting is fleeting]
                for old_id in over[:-most]:
                    del self._jobs[old_id]
        return job

    def get(self, job_id: str) -> Job | None:
        """The job, or None where it is unknown or was dropped."""
        return self._jobs.get(job_id)

    def find(self, owner: str, key: str = "") -> list[Job]:
        """The jobs of a person in the order of asking; with a key only those under it."""
        with self._lock:
            return [job for job in self._jobs.values() if job.owner == owner and key in ("", job.key)]

    def position(self, job: Job) -> int:
        """How many queued jobs come before this one."""
        with self._lock:
            queued = [other.id for other in self._line()]
        return queued.index(job.id) if job.id in queued else 0

    def cancel(self, job: Job) -> None:
        """End the job: at once while it waits, within one step while it runs; a finished job stays finished."""
        with self._lock:
            job.cancel_requested.set()
            if job.state == "queued":
                job.state = "canceled"

    def _line(self) -> list[Job]:
        """The queued jobs in the order in which they will run: first the first of each person who is here, and among
        these that of the person whose turn was longest ago."""
        served: dict[str, float] = {}
        for job in self._jobs.values():
            served[job.owner] = max(job.started, served.get(job.owner, 0.0))
        waiting, count = [], Counter[str]()
        for job in self._jobs.values():
            if job.state == "queued":
                waiting.append(((not self._is_here(job.owner), count[job.owner], served[job.owner]), job))
                count[job.owner] += 1
        return [job for _, job in sorted(waiting, key=lambda pair: pair[0])]

    def _make_room(self, owner: str) -> None:
        line = self._line()
        if owner and sum(job.owner == owner for job in line) >= MAX_QUEUED_EACH:
            raise StudioError(f"{MAX_QUEUED_EACH} of your jobs wait already. Wait for one, or cancel one.")
        if len(line) >= MAX_QUEUED:
            if self._is_here(line[-1].owner):
                raise StudioError(f"{MAX_QUEUED} jobs wait already. Try again in a minute.")
            line[-1].state, line[-1].error = "canceled", AWAY

    def _ensure_worker(self) -> None:
        """Start the worker, or another where it ended."""
        if self._worker.is_alive():
            return
        for job in self._jobs.values():
            if job.state == "running":
                job.error, job.finished, job.state = _unexpected(job), time.monotonic(), "failed"
        self._worker = threading.Thread(target=self._work, name="studio-worker", daemon=True)
        self._worker.start()

    def _work(self) -> None:
        while True:
            with self._lock:
                while not (line := self._line()):
                    self._lock.wait()
                job = line[0]
                job.state, job.started = "running", time.monotonic()
            state: State = "failed"
            try:
                state = self._attempt(job)
            except BaseException:  # whatever fails, SystemExit too: the next job must run
                logger.exception("job %s failed", job.id)
                job.error = _unexpected(job)
            job.finished = time.monotonic()
            job.state = state

    def _attempt(self, job: Job) -> State:
        try:
            self._run(job)
        except Canceled:
            return "canceled"
        except StudioError as error:
            job.error = str(error)
            return "failed"
        return "done"

    def _run(self, job: Job) -> None:
        outcome = job.work(self._reporter(job))
        if not isinstance(outcome, Generator):
            job.result = outcome
            return
        for job.result in outcome:
            job.num_done += 1

    def _reporter(self, job: Job) -> OnStep:
        due = 0.0

        def on_step(step: int, total: int, preview: Preview) -> None:
            nonlocal due
            if job.cancel_requested.is_set() or self._gives_way(job):
                raise Canceled
            job.is_loaded = True
            if not step:
                return
            if step <= job.step:  # it counts anew
                job.recent.clear()
            job.step, job.total = step, total
            job.recent.append((time.monotonic(), step))
            if (asked := time.monotonic()) > due:
                job.preview = preview()
                drawn = time.monotonic()
                due = drawn + max(PREVIEW_EVERY_S, (drawn - asked) / PREVIEW_SHARE)

        return on_step

    def _gives_way(self, job: Job) -> bool:
        if self._is_here(job.owner):
            return False
        with self._lock:
            is_awaited = any(self._is_here(other.owner) for other in self._jobs.values() if other.state == "queued")
        if is_awaited:
            job.error = AWAY
        return is_awaited


def _unexpected(job: Job) -> str:
    return f"An unexpected fault stopped this job. The server's log has the details under {job.id}."
