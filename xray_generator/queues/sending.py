"""A server's side of the broker: orders go out, and how they stand comes back."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Iterator

from celery.exceptions import OperationalError
from redis import Redis, RedisError

from xray_generator.config import dump, parse
from xray_generator.images import read_image
from xray_generator.orders import OVER, DrawOrder, Report
from xray_generator.queues.connection import (
    CANCEL,
    KEPT_S,
    ORDER,
    PREVIEW,
    REPORT,
    SENT,
    TASK,
    WORKERS,
    make_celery,
    order_key,
)
from xray_generator.types import Image, StudioError

ALIVE_S = 15.0  # a worker gives a sign of life at least every 5 s
POLL_S = 0.1
AWAY_S = 1.0  # between attempts to reach a broker that is away
FORGOTTEN = "The broker has forgotten this job: Redis may have started again without its data. Ask for it again."

logger = logging.getLogger(__name__)


class CeleryWorkers:
    """The workers at a broker, wherever they run: `Workers`."""

    def __init__(self, url: str, client: Redis) -> None:
        self._app, self._client = make_celery(url), client

    def count(self) -> int:
        """How many gave a sign of life a short time ago; 0 while the broker is away."""
        try:
            seconds, microseconds = self._client.time()
            return self._client.zcount(WORKERS, seconds + microseconds / 1e6 - ALIVE_S, math.inf)
        except RedisError as error:
            logger.warning("cannot count the workers: %s", error)
            return 0

    def follow(self, job_id: str, order: DrawOrder) -> Iterator[tuple[Report, Image | None]]:
        """Have an order done, unless it was asked for before: several times a second how it stands, until it is over.

        With each new preview this comes once. While the broker is away, it stands as it stood.

        Raises:
            StudioError: the broker has forgotten it.
        """
        report, is_sent = Report(), False
        while report.state not in OVER:
            image = None
            try:
                if not is_sent:
                    self._send(job_id, order)
                    is_sent = True
                told = self._read(job_id)
                if told.num_previews != report.num_previews:
                    image = self._preview(job_id)
                report = told
                if told.state in OVER:
                    self._client.delete(order_key(job_id))
            except (RedisError, OperationalError) as error:
                logger.warning("job %s: the broker is away: %s", job_id, error)
                time.sleep(AWAY_S)
            yield report, image
            time.sleep(POLL_S)

    def _send(self, job_id: str, order: DrawOrder) -> None:
        """Ask the workers for an order, unless a server did so before; a second message would do no harm."""
        key = order_key(job_id)
        if self._client.hexists(key, SENT):
            return
        self._client.hset(key, mapping={ORDER: json.dumps(dump(order)), REPORT: json.dumps(dump(Report()))})
        self._client.expire(key, KEPT_S)
        self._app.send_task(TASK, [job_id])
        self._client.hset(key, SENT, 1)

    def _read(self, job_id: str) -> Report:
        body = self._client.hget(order_key(job_id), REPORT)
        if body is None:
            raise StudioError(FORGOTTEN)
        return parse(Report, json.loads(body))

    def _preview(self, job_id: str) -> Image | None:
        png = self._client.hget(order_key(job_id), PREVIEW)
        return read_image(png) if isinstance(png, bytes) else None

    def cancel(self, job_id: str) -> None:
        """Have the worker end an order within one step, or not begin it."""
        try:
            with self._client.pipeline() as steps:
                steps.hset(order_key(job_id), CANCEL, 1)
                steps.expire(order_key(job_id), KEPT_S)
                steps.execute()
        except RedisError as error:
            logger.warning("job %s: cannot cancel it now: %s", job_id, error)
