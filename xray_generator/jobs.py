"""A queue for long work: submit, progress, preview, cancel, result. One worker thread, so one generation at a time.

A job outlives the page that asked for it; pages look. The worker never touches the user interface. People take turns,
and whoever has no page open any more comes after those who have. What is asked for as an order, not as a function,
outlives the server too: it is kept on disk, and done by the next server. Orders can also be done by workers in other
processes, as many at a time as there are workers; the line, its limits and turns stay here.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
import uuid
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xray_generator.history import result_path
from xray_generator.orders import OVER, DrawOrder, KeptJob, State, Store, Workers
from xray_generator.types import Canceled, GenerationResult, Image, OnStep, Preview, StudioError

Work = Callable[[OnStep], Any]  # it returns its result, or yields it as it grows

MAX_QUEUED = 32
MAX_QUEUED_EACH = 8  # of one person
MAX_KEPT = 24  # finished jobs whose results stay in memory
MAX_ORDERS = 256  # finished orders that are known after that: what they made is on disk
MAX_FLEETING = 8  # of those that are soon replaced, such as the pictures that follow a slider
PREVIEW_EVERY_S = 0.25
PREVIEW_SHARE = 0.2  # of a job's time at most, where drawing one is slow
MAX_ATTEMPTS = 2  # a job in which the server ended is begun once more
LOOK_S = 1.0  # between looks for a free worker elsewhere
PATIENCE_S = 5.0  # with a worker elsewhere that is told to cancel; then its end is not waited for
RECENT = 16  # steps that tell the present pace: the load of a machine changes
AWAY = "Stopped, because its page was closed and others were waiting."
INTERRUPTED = "The server ended twice while this job ran, so it is not begun again."

logger = logging.getLogger(__name__)


class QueueFullError(StudioError):
    """The queue takes no more jobs now, or no more of one person."""


@dataclass
class Job:
    """One piece of work: pages read it, and the queue alone writes it (the worker, or `cancel` while it waits)."""

    work: Work
    owner: str = ""  # the person who asked for it; empty: the server itself
    key: str = ""  # what the owner's pages find it by
    title: str = ""
    num_images: int = 1  # that it yields one by one
    is_fleeting: bool = False  # its result is looked at once; many of them must not push others' results out
    order: DrawOrder | None = None  # what the work was made from; None: it cannot outlive the server
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    state: State = "queued"
    attempts: int = 0  # how often it was begun
    is_loaded: bool = False  # the models are, so that the first step runs
    step: int = 0
    total: int = 0
    num_done: int = 0  # of its images
    preview: Image | None = None
    result: Any = None
    result_file: str = ""  # of an order: the name of the file in its folder that names the images, see `history`
    error: str = ""  # why it failed, or was stopped
    started: float = 0.0
    finished: float = 0.0
    recent: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=RECENT))  # when each step ended
    cancel_requested: threading.Event = field(default_factory=threading.Event)

    @property
    def is_over(self) -> bool:
        """Whether the job has ended, in whatever way."""
        return self.state in OVER

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


@dataclass
class Previews:
    """Draws the previews of a job as often as they cost little."""

    _due: float = 0.0

    def draw(self, preview: Preview) -> Image | None:
        """The preview; None where it is too soon for another one."""
        if (asked := time.monotonic()) <= self._due:
            return None
        image = preview()
        drawn = time.monotonic()
        self._due = drawn + max(PREVIEW_EVERY_S, (drawn - asked) / PREVIEW_SHARE)
        return image


def _cannot_carry_out(_: DrawOrder) -> Work:
    raise StudioError("This queue takes no orders.")


class JobQueue:
    """People take turns, each in the order of asking.

    Args:
        is_here: whether a person has a page open. Who has none comes last, and gives way to those who wait.
        carry_out: makes the work of an order.
        store: where orders are kept until they are done, and the last ones after that. What an earlier server left
            there is done now: what waited, and once more what ran. None: orders end with the server.
        workers: who does the orders. None: this process, one at a time, as all other work.
    """

    def __init__(
        self,
        is_here: Callable[[str], bool] = lambda _: True,
        carry_out: Callable[[DrawOrder], Work] = _cannot_carry_out,
        store: Store | None = None,
        workers: Workers | None = None,
    ) -> None:
        self._is_here, self._carry_out, self._store, self._workers = is_here, carry_out, store, workers
        self._jobs: OrderedDict[str, Job] = OrderedDict()  # in the order of submission
        self._lock = threading.Condition()
        self._worker = threading.Thread()  # none yet
        self._sender = threading.Thread()  # gives orders to the workers elsewhere
        self._num_workers = 0  # elsewhere, when the sender counted them last
        for kept in store.read() if store else ():
            try:
                self._take_over(kept)
            except StudioError as error:  # its enhancement is of another version
                logger.warning("cannot go on with job %s: %s", kept.id, error)
        if any(not job.is_over for job in self._jobs.values()):
            self._ensure_threads()

    def _take_over(self, kept: KeptJob) -> None:
        """A job that an earlier server left. StudioError: this version cannot carry it out."""
        job = Job(self._carry_out(kept.order), kept.owner, kept.key, kept.title, kept.num_images, order=kept.order)
        job.id, job.state, job.attempts, job.error = kept.id, kept.state, kept.attempts, kept.error
        job.num_done, job.result_file = kept.num_done, kept.result_file
        if not job.is_over and kept.is_cancel_requested:
            job.cancel_requested.set()
            job.state = "canceled"
        elif job.state == "running" and job.attempts >= MAX_ATTEMPTS and self._workers is None:
            job.state, job.error = "failed", INTERRUPTED
        elif job.state == "running":
            job.state, job.num_done = "queued", 0
        self._jobs[job.id] = job
        self._keep(job)

    def submit(
        self,
        work: Work | DrawOrder,
        *,
        owner: str = "",
        key: str = "",
        title: str = "",
        num_images: int = 1,
        is_fleeting: bool = False,
    ) -> Job:
        """Queue `work`, which is given an `on_step` to call, or an order. The other arguments are those of `Job`.

        Raises:
            QueueFullError: the queue is full, or the person has as many jobs in it as one may have.
        """
        order = work if isinstance(work, DrawOrder) else None
        made = self._carry_out(work) if isinstance(work, DrawOrder) else work
        job = Job(made, owner, key, title, num_images, is_fleeting, order)
        with self._lock:
            self._make_room(owner)
            self._jobs[job.id] = job
            self._keep(job)
            self._ensure_threads()
            self._lock.notify_all()
            self._drop_old()
        return job

    def _drop_old(self) -> None:
        over = sorted((job for job in self._jobs.values() if job.is_over), key=lambda job: job.finished)
        for fleeting, most in ((False, MAX_KEPT), (True, MAX_FLEETING)):
            for old in [job for job in over if job.is_fleeting is fleeting][:-most]:
                if old.order is None:
                    del self._jobs[old.id]
                else:
                    old.result = old.preview = None
        orders = [job.id for job in over if job.order is not None][:-MAX_ORDERS]
        for old_id in orders:
            del self._jobs[old_id]
        if self._store and orders:
            with _logged():
                self._store.forget(orders)

    def _keep(self, job: Job) -> None:
        """Write how an order stands; where the disk takes no more, it is done all the same."""
        if self._store is None or job.order is None:
            return
        with self._lock, _logged():  # in one step: no other thread may write what it saw before
            kept = KeptJob(
                job.id,
                job.order,
                job.owner,
                job.key,
                job.title,
                job.num_images,
                job.state,
                job.attempts,
                job.num_done,
                job.result_file,
                job.error,
                job.cancel_requested.is_set(),
            )
            self._store.keep(kept)

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
            queued = [other.id for other in self._line() if self._is_sent(other) is self._is_sent(job)]
        return queued.index(job.id) if job.id in queued else 0

    def lacks_workers(self, job: Job) -> bool:
        """Whether a job is for workers elsewhere, of whom there was none when they were counted last."""
        return self._is_sent(job) and not self._num_workers

    def cancel(self, job: Job) -> None:
        """End the job: at once while it waits, within one step while it runs; a finished job stays finished."""
        with self._lock:
            job.cancel_requested.set()
            if job.state == "queued":
                job.state = "canceled"
            self._keep(job)

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
            raise QueueFullError(f"{MAX_QUEUED_EACH} of your jobs wait already. Wait for one, or cancel one.")
        if len(line) >= MAX_QUEUED:
            if self._is_here(line[-1].owner):
                raise QueueFullError(f"{MAX_QUEUED} jobs wait already. Try again in a minute.")
            line[-1].state, line[-1].error = "canceled", AWAY
            self._keep(line[-1])

    def _is_sent(self, job: Job) -> bool:
        """Whether a worker elsewhere does the job, or will."""
        return self._workers is not None and job.order is not None

    def _has_free_worker(self) -> bool:
        """Whether a worker elsewhere has no order of this queue."""
        return sum(job.state == "running" and self._is_sent(job) for job in self._jobs.values()) < self._num_workers

    def _ensure_threads(self) -> None:
        """Start the worker, or another where it ended; and so the sender, where there are workers elsewhere."""
        if not self._worker.is_alive():
            for job in self._jobs.values():
                if job.state == "running" and not self._is_sent(job):
                    job.error, job.finished, job.state = _unexpected(job), time.monotonic(), "failed"
                    self._keep(job)
            self._worker = threading.Thread(target=self._work, name="studio-worker", daemon=True)
            self._worker.start()
        if self._workers is not None and not self._sender.is_alive():
            self._sender = threading.Thread(target=self._send, args=(self._workers,), name="studio-sender", daemon=True)
            self._sender.start()

    def _work(self) -> None:
        while True:
            with self._lock:
                while not (line := [job for job in self._line() if not self._is_sent(job)]):
                    self._lock.wait()
                job = self._begin(line[0])
                del line  # the others may be dropped before this one ends
            self._do(job)

    def _send(self, workers: Workers) -> None:
        while True:
            self._num_workers = workers.count()
            with self._lock:
                line = [job for job in self._line() if self._is_sent(job)]
                if not line or not self._has_free_worker():
                    self._lock.wait(LOOK_S if line else None)
                    continue
                job = self._begin(line[0])
            threading.Thread(target=self._do, args=(job,), name="studio-order", daemon=True).start()

    def _begin(self, job: Job) -> Job:
        job.state, job.started, job.attempts = "running", time.monotonic(), job.attempts + 1
        self._keep(job)
        return job

    def _do(self, job: Job) -> None:
        state: State = "failed"
        try:
            state = self._attempt(job)
        except BaseException:  # whatever fails, SystemExit too: the next job must run
            logger.exception("job %s failed", job.id)
            job.error = _unexpected(job)
        job.finished = time.monotonic()
        job.state = state
        self._keep(job)
        with self._lock:
            self._drop_old()
            self._lock.notify_all()  # the sender: a worker is free

    def _attempt(self, job: Job) -> State:
        try:
            if self._workers is not None and job.order is not None:
                return self._follow(self._workers, job, job.order)
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
            if job.order is not None and isinstance(job.result, GenerationResult):
                job.result_file = result_path(job.result, Path()).name
            job.num_done += 1
            self._keep(job)

    def _follow(self, workers: Workers, job: Job, order: DrawOrder) -> State:
        """Have an order done elsewhere; the worker there says how it ends, unless it is to stop and does not answer."""
        told_to_stop = 0.0
        for report, preview in workers.follow(job.id, order):
            job.is_loaded = report.is_loaded
            if report.step != job.step:
                _advance(job, report.step, report.total)
            job.preview = job.preview if preview is None else preview
            if report.num_done != job.num_done:
                job.num_done, job.result_file = report.num_done, report.result_file or job.result_file
                self._keep(job)
            if report.state in OVER:
                job.error = "" if report.state == "done" else report.error or job.error
                return report.state
            if told_to_stop or job.cancel_requested.is_set() or self._gives_way(job):
                told_to_stop = told_to_stop or time.monotonic()
                workers.cancel(job.id)  # again and again: the broker may be away for a moment
                if time.monotonic() > told_to_stop + PATIENCE_S:
                    break
        return "canceled"

    def _reporter(self, job: Job) -> OnStep:
        previews = Previews()

        def on_step(step: int, total: int, preview: Preview) -> None:
            if job.cancel_requested.is_set() or self._gives_way(job):
                raise Canceled
            job.is_loaded = True
            if not step:
                return
            _advance(job, step, total)
            if (image := previews.draw(preview)) is not None:
                job.preview = image

        return on_step

    def _gives_way(self, job: Job) -> bool:
        if self._is_here(job.owner):
            return False
        with self._lock:
            if self._is_sent(job) and self._has_free_worker():
                return False  # whoever waits is about to have that one
            waiting = [other for other in self._jobs.values() if other.state == "queued"]
            is_awaited = any(self._is_here(o.owner) for o in waiting if self._is_sent(o) is self._is_sent(job))
        if is_awaited:
            job.error = AWAY
        return is_awaited


def _advance(job: Job, step: int, total: int) -> None:
    if step <= job.step:  # it counts anew
        job.recent.clear()
    job.step, job.total = step, total
    if step:
        job.recent.append((time.monotonic(), step))


def _unexpected(job: Job) -> str:
    return f"An unexpected fault stopped this job. The server's log has the details under {job.id}."


@contextmanager
def _logged() -> Iterator[None]:
    """A fault of the store is told in the server's log, and ends no job."""
    try:
        yield
    except (sqlite3.Error, StudioError):
        logger.exception("cannot keep the jobs on disk")
