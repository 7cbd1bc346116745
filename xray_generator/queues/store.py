"""The jobs of a server, kept at the broker: they outlive it, whatever machine the next one runs on."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import cast

from redis import Redis, RedisError
from redis.exceptions import LockError

from xray_generator.orders import KeptJob, read_bodies, write_body
from xray_generator.queues.connection import PREFIX
from xray_generator.types import StudioError

LEASE_S = 10.0  # after which another server may have the jobs of one that gives no sign of life
BEATS = 4  # signs of life in that time

logger = logging.getLogger(__name__)


class BrokerStore:
    """The jobs of one server of a name: a `Store`.

    Raises:
        StudioError: another server of this name keeps its jobs there, or the broker does not answer.
    """

    def __init__(self, client: Redis, door: str) -> None:
        self._client, place = client, f"{PREFIX}:server:{door}"
        self._jobs, self._line = f"{place}:jobs", f"{place}:line"
        self._lease = client.lock(place, timeout=LEASE_S, thread_local=False)
        with _explained():
            if not self._lease.acquire(blocking_timeout=LEASE_S + 1):  # that of a server that was killed just now ends
                raise StudioError(f"Another server of the name {door} keeps its jobs at this broker.")
        self._is_closed = threading.Event()
        self._holder = threading.Thread(target=self._hold, name="studio-lease", daemon=True)
        self._holder.start()

    def _hold(self) -> None:
        while not self._is_closed.wait(LEASE_S / BEATS):
            try:
                if not self._extend():
                    logger.warning("another server of this name has the jobs of this one")
            except RedisError as error:
                logger.warning("the broker is away: %s", error)

    def _extend(self) -> bool:
        """Hold the lease on; where it ended while the broker was away, take it again unless another server has it."""
        try:
            return bool(self._lease.reacquire())
        except LockError:
            return bool(self._lease.acquire(blocking=False))

    def keep(self, job: KeptJob) -> None:
        """Write how a job stands; a new one comes after all others. StudioError: the broker takes it not."""
        with _explained(), self._client.pipeline() as steps:
            steps.hset(self._jobs, job.id, write_body(job))
            steps.zadd(self._line, {job.id: time.time()}, nx=True)
            steps.execute()

    def forget(self, ids: Iterable[str]) -> None:
        """Drop jobs; those that are unknown are no error. StudioError: as for `keep`."""
        names = list(ids)
        with _explained(), self._client.pipeline() as steps:
            steps.hdel(self._jobs, *names)
            steps.zrem(self._line, *names)
            steps.execute()

    def read(self) -> list[KeptJob]:
        """All jobs in the order of asking; those that another version wrote differently are left out."""
        with _explained():
            ids = cast("list[bytes]", self._client.zrange(self._line, 0, -1))
            bodies = self._client.hmget(self._jobs, ids) if ids else []
        return [*read_bodies(body for body in bodies if body is not None)]

    def close(self) -> None:
        """Let another server have the jobs."""
        self._is_closed.set()
        self._holder.join()  # else it could take the lease once more
        with _explained():
            self._lease.release()


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except RedisError as error:
        raise StudioError(f"The broker does not keep the jobs: {error}") from error
