"""Orders: what was asked for and how far it came, so that a job outlives the server that took it.

A server keeps them in a `Store`, by default a file of SQLite in WAL mode, which one server at a time keeps open. It
does them itself, or `Workers` in other processes do: see `queues`.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from filelock import FileLock, Timeout

from xray_generator.config import dump, parse
from xray_generator.export.files import make_folder
from xray_generator.types import GenerationRequest, Image, StudioError

State = Literal["queued", "running", "done", "failed", "canceled"]
OVER: tuple[State, ...] = ("done", "failed", "canceled")
DAMAGED = ".damaged"  # ends the name of a file that could not be read

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DrawOrder:
    """Images of a request, each kept in a folder of `Studio.generated_dir` as soon as it is finished."""

    request: GenerationRequest
    checkpoint: str
    preset: dict[str, Any]  # the enhancement, as data
    folder: str


@dataclass(frozen=True, slots=True)
class KeptJob:
    """A job on disk; the fields are those of `jobs.Job`."""

    id: str
    order: DrawOrder
    owner: str
    key: str
    title: str
    num_images: int
    state: State
    attempts: int = 0
    num_done: int = 0
    result_file: str = ""
    error: str = ""
    is_cancel_requested: bool = False


class Store(Protocol):
    """Where a server keeps its jobs. Safe to share between threads. sqlite3.Error or StudioError: it takes no more."""

    def keep(self, job: KeptJob) -> None:
        """Write how a job stands; a new one comes after all others."""
        ...

    def forget(self, ids: Iterable[str]) -> None:
        """Drop jobs; those that are unknown are no error."""
        ...

    def read(self) -> list[KeptJob]:
        """All jobs in the order of asking; those that another version wrote differently are left out."""
        ...

    def close(self) -> None:
        """Let another server have the jobs."""
        ...


@dataclass(frozen=True, slots=True)
class Report:
    """How an order stands that a process elsewhere does; the fields are those of `jobs.Job`."""

    state: State = "queued"
    is_loaded: bool = False
    step: int = 0
    total: int = 0
    num_previews: int = 0  # that were drawn so far
    num_done: int = 0
    result_file: str = ""
    error: str = ""


class Workers(Protocol):
    """Processes elsewhere, each of which does one order at a time. Safe to share between threads."""

    def count(self) -> int:
        """How many there are now."""
        ...

    def follow(self, job_id: str, order: DrawOrder) -> Iterator[tuple[Report, Image | None]]:
        """Have an order done, unless it was asked for before: several times a second how it stands, until it is over.

        With each new preview this comes once. StudioError: nobody knows of the order any more.
        """
        ...

    def cancel(self, job_id: str) -> None:
        """Have the worker end an order within one step, or not begin it."""
        ...


class OrderStore:
    """The jobs of one server in a file: a `Store`. Safe to share between threads.

    A file that is damaged is put aside, and a new one is begun.

    Raises:
        StudioError: another server keeps its jobs there, or the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        make_folder(path.parent)
        self._lock = threading.Lock()
        self._server = FileLock(path.with_name(f"{path.name}.lock"), timeout=0, thread_local=False)
        try:
            self._server.acquire()
        except Timeout:
            raise StudioError(f"Another server keeps its jobs in {path}.") from None
        except OSError as error:
            raise StudioError(f"Cannot write {path}: {error.strerror}.") from error
        try:
            self._open(path)
        except sqlite3.OperationalError as error:  # no room, no permission
            self._server.release()
            raise StudioError(f"Cannot write {path}: {error}.") from error
        except sqlite3.DatabaseError:
            self._file.close()  # first: it removes what lies beside the file
            path.replace(path.with_name(f"{path.name}{DAMAGED}"))
            self._open(path)

    def _open(self, path: Path) -> None:
        self._file = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._file.execute("pragma journal_mode = wal")
        self._file.execute("create table if not exists jobs (id text primary key, body text not null)")
        (found,) = self._file.execute("pragma quick_check(1)").fetchone()
        if found != "ok":
            raise sqlite3.DatabaseError(found)

    def keep(self, job: KeptJob) -> None:
        """Write how a job stands; a new one comes after all others. sqlite3.Error: the disk takes no more."""
        statement = "insert into jobs values (?, ?) on conflict (id) do update set body = excluded.body"
        with self._lock:
            self._file.execute(statement, (job.id, write_body(job)))

    def forget(self, ids: Iterable[str]) -> None:
        """Drop jobs; those that are unknown are no error. sqlite3.Error: as for `keep`."""
        with self._lock:
            self._file.executemany("delete from jobs where id = ?", [(one,) for one in ids])

    def read(self) -> list[KeptJob]:
        """All jobs in the order of asking; those that another version wrote differently are left out."""
        with self._lock, closing(self._file.execute("select body from jobs order by rowid")) as rows:
            return [*read_bodies(body for (body,) in rows)]

    def close(self) -> None:
        """Let another server open the file."""
        with self._lock:
            self._file.close()
            self._server.release()


def open_store(path: Path) -> OrderStore | None:
    """The store in a file; None, and a warning in the log, where there can be none: jobs then end with their server.

    So of two servers on one folder of outputs only the first has this memory.
    """
    try:
        return OrderStore(path)
    except StudioError as error:
        logger.warning("jobs end with this server: %s", error)
        return None


def write_body(job: KeptJob) -> str:
    """A job as JSON."""
    return json.dumps(dump(job), ensure_ascii=False)


def read_bodies(bodies: Iterable[str | bytes]) -> Iterator[KeptJob]:
    """The jobs of texts in JSON; those that another version wrote differently are left out."""
    for body in bodies:
        try:
            yield parse(KeptJob, json.loads(body))
        except ValueError:  # StudioError too
            continue
