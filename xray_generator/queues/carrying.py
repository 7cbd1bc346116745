"""A worker's side of the broker: it does one order after another, tells how each stands, and gives signs of life."""

from __future__ import annotations

import json
import logging
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from celery import Celery
from celery.exceptions import Reject
from redis import Redis, RedisError
from redis.exceptions import LockError
from redis.lock import Lock

from xray_generator.config import dump, parse
from xray_generator.history import result_path
from xray_generator.images import encode_png, limit_pixels
from xray_generator.jobs import Previews
from xray_generator.orders import OVER, DrawOrder, Report
from xray_generator.queues.connection import (
    ATTEMPTS,
    CANCEL,
    KEPT_S,
    ORDER,
    PREVIEW,
    REPORT,
    TASK,
    UNACKED,
    WORKERS,
    order_key,
)
from xray_generator.studio import Studio
from xray_generator.types import Canceled, OnStep, Preview, StudioError, quote

BEATS, MAX_BEAT_S = 4, 5.0  # signs of life in the time after which a worker counts as lost; seconds between two at most
REPORT_EVERY_S = 0.1
PREVIEW_PIXELS = 384**2  # at most: a preview waits at the broker
MAX_ATTEMPTS = 3  # an order in which workers are lost is begun three times
UNEXPECTED = "An unexpected fault stopped this job."
GIVEN_UP = "Three workers were lost while they did this job, so it is not begun again."

logger = logging.getLogger(__name__)


class LostError(Exception):
    """This worker was taken for lost, so that another one may do its order."""


@dataclass
class Carrier:
    """Does the orders of a broker on the device of its studio, one at a time.

    It draws into the studio's folder, which is the servers' folder too. `lost_after_s`: seconds without a sign of life
    after which its order goes to another worker.
    """

    studio: Studio
    client: Redis
    lost_after_s: float
    name: str = field(default_factory=lambda: uuid.uuid4().hex)
    _tag: str = ""  # of the message that is in hand
    _lease: Lock | None = None  # on the order that is done

    def register(self, app: Celery) -> None:
        """Do what the messages of a Celery application ask for."""

        def draw(task: Any, job_id: str) -> None:  # noqa: ANN401 - Celery is not typed
            try:
                self.carry_out(str(job_id), task.request.properties["delivery_tag"])
            except (LostError, RedisError) as error:
                raise Reject(str(error), requeue=True) from error

        app.task(name=TASK, bind=True)(draw)

    @contextmanager
    def present(self) -> Iterator[None]:
        """Give signs of life until the block ends."""
        is_over = threading.Event()

        def beat() -> None:
            while True:
                try:
                    self._give_sign()
                except RedisError as error:
                    logger.warning("no sign of life reaches the broker: %s", error)
                if is_over.wait(min(self.lost_after_s / BEATS, MAX_BEAT_S)):
                    return

        thread = threading.Thread(target=beat, name="studio-beat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()
            self.client.zrem(WORKERS, self.name)

    def _give_sign(self) -> None:
        seconds, microseconds = self.client.time()
        now = seconds + microseconds / 1e6
        self.client.zadd(WORKERS, {self.name: now})
        self.client.zremrangebyscore(WORKERS, 0, now - KEPT_S)
        if tag := self._tag:
            self.client.zadd(UNACKED, {tag: time.time()}, xx=True)  # by Celery's clock: that of the workers
        if (lease := self._lease) is not None:
            try:
                lease.reacquire()
            except LockError:  # the order ended just now; or `on_step` finds that it is another's
                logger.debug("the lease on an order has ended")

    def carry_out(self, job_id: str, tag: str) -> None:
        """Do an order, unless it is over or forgotten; where another worker does it, wait for the outcome first.

        Raises:
            LostError: this worker was taken for lost.
            RedisError: the broker does not take the outcome, so that the order must be done again.
        """
        lease = self.client.lock(f"{order_key(job_id)}:lease", self.lost_after_s, sleep=1.0, thread_local=False)
        self._tag = tag
        try:
            lease.acquire()
            self._lease = lease
            body, told = self.client.hmget(order_key(job_id), ORDER, REPORT)
            if body is None or told is None or parse(Report, json.loads(told)).state in OVER:
                logger.info("job %s: nobody waits for it any more", job_id)
                return
            _Attempt(self.client, lease, order_key(job_id)).run(self.studio, job_id, body)
        finally:
            self._tag, self._lease = "", None
            if lease.owned():
                lease.release()


@dataclass
class _Attempt:
    client: Redis
    lease: Lock
    key: str
    report: Report = field(default_factory=lambda: Report("running"))
    _previews: Previews = field(default_factory=Previews)
    _told: float = 0.0

    def run(self, studio: Studio, job_id: str, body: str | bytes) -> None:
        self.client.expire(self.key, KEPT_S)
        if self.client.hincrby(self.key, ATTEMPTS, 1) > MAX_ATTEMPTS:
            self._tell(state="failed", error=GIVEN_UP)
            return
        self._tell()
        logger.info("job %s begins", job_id)
        try:
            self._draw(studio, _read_order(body))
            ended = Report("done")
        except Canceled:
            ended = Report("canceled")
        except StudioError as error:
            ended = Report("failed", error=str(error))
        except (LostError, RedisError):
            raise
        except Exception:
            logger.exception("job %s failed", job_id)
            ended = Report("failed", error=f"{UNEXPECTED} The worker's log has the details under {job_id}.")
        self._tell(state=ended.state, error=ended.error)
        logger.info("job %s: %s", job_id, ended.state)

    def _draw(self, studio: Studio, order: DrawOrder) -> None:
        self._check()
        for result in studio.carry_out(order)(self._reporter()):
            with _tolerated():
                self._tell(num_done=len(result.images), result_file=result_path(result, Path()).name)

    def _tell(self, **changes: Any) -> None:  # noqa: ANN401 - fields of `Report`
        self.report = replace(self.report, **changes)
        self.client.hset(self.key, REPORT, json.dumps(dump(self.report)))
        self._told = time.monotonic()

    def _check(self) -> None:
        if not self.lease.owned():
            raise LostError("another worker may do this order now")
        if self.client.hexists(self.key, CANCEL):
            raise Canceled

    def _reporter(self) -> OnStep:
        def on_step(step: int, total: int, preview: Preview) -> None:
            image = self._previews.draw(preview) if step else None
            self.report = replace(self.report, is_loaded=True, step=step, total=total)
            with _tolerated():
                self._check()
                if image is not None:
                    self.client.hset(self.key, PREVIEW, encode_png(limit_pixels(image, PREVIEW_PIXELS)))
                    self._tell(num_previews=self.report.num_previews + 1)
                elif time.monotonic() > self._told + REPORT_EVERY_S:
                    self._tell()

        return on_step


@contextmanager
def _tolerated() -> Iterator[None]:
    """A broker that is away for a moment stops no drawing."""
    try:
        yield
    except RedisError as error:
        logger.warning("the broker is away: %s", error)


def _read_order(body: str | bytes) -> DrawOrder:
    """What a server asks for. StudioError: another version asked, or its folder is none of a person's."""
    order = parse(DrawOrder, json.loads(body))
    if order.folder in ("", ".", "..") or {"/", "\\", "\0"} & {*order.folder}:
        raise StudioError(f"Images go to the folder of a person, not to {quote(order.folder)}.")
    return order
