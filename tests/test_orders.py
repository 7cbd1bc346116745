"""Orders outlive their server: what waited is done by the next one, and what ran is begun once more."""

import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from postprocess.presets import PRESETS
from xray_generator.config import dump
from xray_generator.jobs import INTERRUPTED, MAX_KEPT, Job, JobQueue, Work
from xray_generator.orders import DrawOrder, KeptJob, OrderStore, Report
from xray_generator.requests import text_request
from xray_generator.types import Image, OnStep, StudioError


def order(name: str) -> DrawOrder:
    return DrawOrder(text_request(name, seed=3, num_images=2), "chest", dump(PRESETS[1]), "me")


def wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


class Recorder:
    """Carries orders out: two images, which wait at a gate after the first; what was begun is written to a file."""

    def __init__(self, folder: Path, *, is_open: bool = True) -> None:
        self.begun, self.gate = folder / "begun.txt", threading.Event()
        if is_open:
            self.gate.set()

    def __call__(self, asked: DrawOrder) -> Work:
        def work(on_step: OnStep) -> Iterator[int]:
            with self.begun.open("a") as file:
                file.write(f"{asked.request.condition.text}\n")  # type: ignore[union-attr]
            for count in (1, 2):
                yield count
                self.gate.wait(10)

        return work

    def list_begun(self) -> list[str]:
        return self.begun.read_text().split() if self.begun.is_file() else []


def finish(job: Job) -> Job:
    wait(lambda: job.is_over)
    return job


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outputs" / "queue.sqlite"


def test_orders_are_kept_as_they_are_and_in_order(path: Path, tmp_path: Path) -> None:
    store, recorder = OrderStore(path), Recorder(tmp_path, is_open=False)
    queue = JobQueue(carry_out=recorder, store=store)
    jobs = [queue.submit(order(n), owner="me", key="draw", title=n, num_images=2) for n in ("a", "b", "c")]
    wait(lambda: store.read()[0].num_done == 1)
    queue.cancel(jobs[2])
    kept = store.read()
    assert [(one.id, one.state, one.num_done, one.attempts) for one in kept] == [
        (jobs[0].id, "running", 1, 1),
        (jobs[1].id, "queued", 0, 0),
        (jobs[2].id, "canceled", 0, 0),
    ]
    assert kept[1].order == order("b") and (kept[1].owner, kept[1].key, kept[1].title) == ("me", "draw", "b")
    recorder.gate.set()
    finish(jobs[1])
    assert [one.state for one in store.read()] == ["done", "done", "canceled"]


def test_a_cancel_that_comes_too_late_leaves_a_finished_order_finished(path: Path, tmp_path: Path) -> None:
    class Slow(OrderStore):
        def keep(self, job: KeptJob) -> None:
            if job.is_cancel_requested and job.num_done == 1:
                recorder.gate.set()  # the job ends while its cancel is written
                time.sleep(0.2)
            super().keep(job)

    store, recorder = Slow(path), Recorder(tmp_path, is_open=False)
    queue = JobQueue(carry_out=recorder, store=store)
    job = queue.submit(order("a"), num_images=2)
    wait(lambda: job.num_done == 1)
    queue.cancel(job)
    assert finish(job).state == "done"
    wait(lambda: store.read()[0].state == "done")


def test_killed_servers_lose_no_order(path: Path, tmp_path: Path) -> None:
    """Two servers are killed in the first job, a third one does the rest."""
    recorder = Recorder(tmp_path, is_open=False)
    for number, names in enumerate(("abc", "d")):
        if not (pid := os.fork()):
            queue = JobQueue(carry_out=recorder, store=OrderStore(path))
            jobs = [queue.submit(order(n), owner="me", num_images=2) for n in names]
            if number == 0:
                queue.cancel(jobs[2])
            time.sleep(30)
            os._exit(0)
        wait(lambda: len(recorder.list_begun()) > number)  # noqa: B023 - called at once
        wait(lambda: len(read(path)) == (3, 4)[number])  # noqa: B023
        wait(lambda: number == 1 or "canceled" in read(path)[2])  # noqa: B023
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    recorder.gate.set()
    queue = JobQueue(carry_out=recorder, store=OrderStore(path))
    a, b, c, d = queue.find("me")
    assert (a.state, a.error, c.state) == ("failed", INTERRUPTED, "canceled")
    assert (finish(b).state, b.result, finish(d).state) == ("done", 2, "done")
    assert recorder.list_begun() == ["a", "a", "b", "d"]


def read(path: Path) -> list[str]:
    with sqlite3.connect(path) as file:
        return [body for (body,) in file.execute("select body from jobs order by rowid")]


def test_one_server_at_a_time_and_the_next_after_it(path: Path) -> None:
    store = OrderStore(path)
    with pytest.raises(StudioError, match="Another server"):
        OrderStore(path)
    store.close()
    OrderStore(path).close()


def test_a_damaged_file_is_put_aside(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"no database" * 1000)
    store = OrderStore(path)
    assert store.read() == [] and path.with_name("queue.sqlite.damaged").is_file()


def test_a_file_that_is_damaged_inside_is_put_aside(path: Path) -> None:
    store = OrderStore(path)
    for number in range(200):
        store.keep(KeptJob(f"{number}", order("a"), "me", "draw", "", 1, "queued"))
    store.close()
    data = path.read_bytes()
    path.write_bytes(data[:4_096] + b"\xff" * 8_192 + data[12_288:])  # its second and third page
    store = OrderStore(path)
    assert store.read() == [] and path.with_name("queue.sqlite.damaged").is_file()


def test_an_order_that_this_version_cannot_carry_out_stops_no_other(path: Path, tmp_path: Path) -> None:
    store, recorder = OrderStore(path), Recorder(tmp_path)
    for name in ("a", "b"):
        store.keep(KeptJob(name, order(name), "me", "draw", "", 2, "queued"))

    def carry_out(asked: DrawOrder) -> Work:
        if asked == order("a"):
            raise StudioError("This preset is of another version.")
        return recorder(asked)

    (job,) = JobQueue(carry_out=carry_out, store=store).find("me")
    assert finish(job).state == "done" and recorder.list_begun() == ["b"]


def test_jobs_of_another_version_are_left_out(path: Path, tmp_path: Path) -> None:
    store = OrderStore(path)
    finish(JobQueue(carry_out=Recorder(tmp_path), store=store).submit(order("a")))
    store._file.execute("insert into jobs values ('x', '{\"id\": 1}'), ('y', 'no JSON')")
    assert len(store.read()) == 1


def test_old_orders_are_forgotten_on_disk_too(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xray_generator.jobs.MAX_ORDERS", 5)
    store = OrderStore(path)
    queue = JobQueue(carry_out=Recorder(tmp_path), store=store)
    done = [finish(queue.submit(order(f"n{number}"))) for number in range(8)]
    queue.submit(lambda _: None)
    assert [kept.id for kept in store.read()] == [job.id for job in done[3:]]
    assert queue.get(done[2].id) is None and queue.get(done[3].id) is done[3]


def test_an_order_is_known_longer_than_its_images_stay_in_memory(tmp_path: Path) -> None:
    queue = JobQueue(carry_out=Recorder(tmp_path))
    done = [finish(queue.submit(order(f"n{number}"))) for number in range(MAX_KEPT + 1)]
    wait(lambda: done[0].result is None)
    assert all(job.result is not None for job in done[1:])
    assert all(queue.get(job.id) is job for job in done)


def test_a_full_disk_stops_no_job(path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = OrderStore(path)
    store._file.close()  # whatever is written now fails
    job = finish(JobQueue(carry_out=Recorder(tmp_path)).submit(order("a")))
    assert job.state == "done"
    queue = JobQueue(carry_out=Recorder(tmp_path))
    queue._store = store
    assert finish(queue.submit(order("b"))).state == "done" and "on disk" in caplog.text


def test_a_queue_without_a_studio_refuses_orders() -> None:
    with pytest.raises(StudioError, match="takes no orders"):
        JobQueue().submit(order("a"))


class TwoWorkers:
    """Workers elsewhere, who are busy until `is_over` is set; counting them lasts while `can_count` is not set."""

    def __init__(self) -> None:
        self.can_count, self.is_over = threading.Event(), threading.Event()
        self.num_looks, self.canceled = 0, list[str]()

    def count(self) -> int:
        self.can_count.wait(10)
        return 2

    def follow(self, job_id: str, order: DrawOrder) -> Iterator[tuple[Report, Image | None]]:  # noqa: ARG002
        while not self.is_over.wait(0.002):
            self.num_looks += 1
            yield Report("running"), None
        yield Report("done"), None

    def cancel(self, job_id: str) -> None:
        self.canceled.append(job_id)


def test_whoever_is_away_gives_way_to_nobody_while_a_worker_is_free(tmp_path: Path) -> None:
    workers = TwoWorkers()
    workers.can_count.set()
    queue = JobQueue(lambda owner: owner == "here", Recorder(tmp_path), workers=workers)
    away = queue.submit(order("a"), owner="away")
    wait(lambda: workers.num_looks > 0)
    workers.can_count.clear()  # so the next order is not begun at once
    here, looks = queue.submit(order("b"), owner="here"), workers.num_looks
    wait(lambda: workers.num_looks > looks + 5)
    workers.can_count.set()
    wait(lambda: here.state == "running")
    workers.is_over.set()
    assert (finish(away).state, away.error, finish(here).state, workers.canceled) == ("done", "", "done", [])
