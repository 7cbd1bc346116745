"""The queue: every job ends once, in one state, and never takes the next one with it."""

import random
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from xray_generator.jobs import MAX_KEPT, MAX_QUEUED, Job, JobQueue
from xray_generator.requests import text_request
from xray_generator.studio import Studio
from xray_generator.types import OnStep, StudioError, report_loaded

IMAGE = np.zeros((16, 16), np.float32)


@pytest.fixture(scope="module")
def jobs() -> JobQueue:
    return JobQueue()


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Holds the worker until it is set."""
    event = threading.Event()
    yield event
    event.set()


def wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def finish(job: Job) -> Job:
    wait(lambda: job.is_over)
    return job


def steps(count: int, pause: float = 0.0) -> Callable[[OnStep], str]:
    def work(on_step: OnStep) -> str:
        for i in range(1, count + 1):
            time.sleep(pause)
            on_step(i, count, lambda: IMAGE)
        return "result"

    return work


def held(gate: threading.Event) -> Callable[[OnStep], None]:
    return lambda _on_step: gate.wait(10) and None


def test_job_runs_and_keeps_its_result(jobs: JobQueue) -> None:
    job = finish(jobs.submit(steps(3)))
    assert (job.state, job.result, job.error, job.step, job.total) == ("done", "result", "", 3, 3)
    assert job.preview is IMAGE
    assert jobs.get(job.id) is job
    assert job.seconds >= 0


def test_a_job_says_when_its_models_are_loaded_and_can_be_canceled_there(jobs: JobQueue, gate: threading.Event) -> None:
    loaded = threading.Event()

    def work(on_step: OnStep) -> None:
        report_loaded(on_step)
        loaded.set()
        gate.wait(10)
        report_loaded(on_step)

    job = jobs.submit(work)
    assert loaded.wait(10) and job.is_loaded and (job.step, job.total, job.preview) == (0, 0, None)
    jobs.cancel(job)
    gate.set()
    assert finish(job).state == "canceled"


def test_states_and_positions_in_order(jobs: JobQueue, gate: threading.Event) -> None:
    first, second, third = (jobs.submit(held(gate)) for _ in range(3))
    wait(lambda: first.state == "running")
    assert (second.state, third.state) == ("queued", "queued")
    assert [jobs.position(job) for job in (first, second, third)] == [0, 0, 1]
    gate.set()
    assert [finish(job).state for job in (first, second, third)] == ["done"] * 3
    assert first.finished <= second.started <= second.finished <= third.started


def test_canceled_in_the_queue_never_runs(jobs: JobQueue, gate: threading.Event) -> None:
    ran: list[int] = []
    jobs.submit(held(gate))
    job = jobs.submit(lambda _on_step: ran.append(1))
    jobs.cancel(job)
    assert job.state == "canceled"
    gate.set()
    finish(jobs.submit(steps(1)))
    assert ran == []
    assert job.seconds == 0


def test_canceled_while_running_ends_at_the_next_step(jobs: JobQueue) -> None:
    done: list[int] = []
    reached, go_on = threading.Event(), threading.Event()

    def work(on_step: OnStep) -> None:
        for i in range(1, 100):
            done.append(i)
            on_step(i, 100, lambda: IMAGE)
            if i == 5:
                reached.set()
                go_on.wait(10)

    job = jobs.submit(work)
    reached.wait(10)
    jobs.cancel(job)
    jobs.cancel(job)
    go_on.set()
    assert finish(job).state == "canceled"
    assert done == [1, 2, 3, 4, 5, 6]
    assert job.result is None


def test_finished_job_stays_finished(jobs: JobQueue) -> None:
    job = finish(jobs.submit(steps(1)))
    jobs.cancel(job)
    assert (job.state, job.result) == ("done", "result")


@pytest.mark.parametrize(
    "fault", [ValueError("secret /path"), KeyError("x"), MemoryError(), SystemExit(3), StopIteration()]
)
def test_failure_hides_its_inside_and_the_next_job_runs(jobs: JobQueue, fault: BaseException) -> None:
    def work(on_step: OnStep) -> None:
        on_step(1, 2, lambda: IMAGE)
        raise fault

    job = finish(jobs.submit(work))
    assert job.state == "failed"
    assert job.id in job.error
    assert "secret" not in job.error
    assert finish(jobs.submit(steps(1))).state == "done"


def test_fault_a_user_can_mend_is_told(jobs: JobQueue) -> None:
    def work(_on_step: OnStep) -> None:
        raise StudioError("The prompt is empty.")

    assert finish(jobs.submit(work)).error == "The prompt is empty."


def test_failing_preview_fails_the_job_only(jobs: JobQueue) -> None:
    def work(on_step: OnStep) -> None:
        on_step(1, 1, lambda: 1 / 0)  # type: ignore[arg-type,return-value]

    assert finish(jobs.submit(work)).state == "failed"
    assert finish(jobs.submit(steps(1))).state == "done"


def test_queue_is_bounded_and_a_canceled_job_gives_its_place_back(gate: threading.Event) -> None:
    jobs = JobQueue()
    running = jobs.submit(held(gate))
    wait(lambda: running.state == "running")
    waiting = [jobs.submit(steps(1)) for _ in range(MAX_QUEUED)]
    with pytest.raises(StudioError, match=f"{MAX_QUEUED} jobs wait"):
        jobs.submit(steps(1))
    jobs.cancel(waiting[3])
    late = jobs.submit(steps(1))
    assert jobs.position(late) == MAX_QUEUED - 1
    with pytest.raises(StudioError, match="jobs wait"):
        jobs.submit(steps(1))
    gate.set()
    assert finish(late).state == "done"
    assert [job.state for job in waiting].count("done") == MAX_QUEUED - 1


def test_old_results_are_dropped_and_the_newest_kept() -> None:
    jobs = JobQueue()
    done = [finish(jobs.submit(steps(1))) for _ in range(MAX_KEPT + 5)]
    jobs.submit(steps(1))
    assert jobs.get(done[0].id) is None
    assert jobs.get(done[-1].id) is done[-1]


def test_jobs_canceled_in_the_queue_are_dropped_while_another_runs(gate: threading.Event) -> None:
    jobs = JobQueue()
    jobs.submit(held(gate))
    waiting = []
    for _ in range(MAX_KEPT + 20):
        job = jobs.submit(steps(1))
        jobs.cancel(job)
        waiting.append(weakref.ref(job))
    del job
    assert sum(known() is not None for known in waiting) <= MAX_KEPT + 1


def test_unknown_id_is_none(jobs: JobQueue) -> None:
    assert jobs.get("no such job") is None


def test_time_left_is_unknown_before_the_first_steps(jobs: JobQueue, gate: threading.Event) -> None:
    def work(on_step: OnStep) -> None:
        for i in range(1, 4):
            time.sleep(0.01)
            on_step(i, 10, lambda: IMAGE)
        gate.wait(10)

    assert Job(work).eta_s is None
    job = jobs.submit(work)
    wait(lambda: job.step == 3)
    assert job.eta_s is not None
    assert job.eta_s > 0


def test_random_cancels_end_in_exactly_one_state() -> None:
    jobs, rng = JobQueue(), random.Random(0)
    for _ in range(10):
        batch = [jobs.submit(steps(3, 0.0005)) for _ in range(10)]
        for job in rng.sample(batch, 10):
            time.sleep(rng.random() * 0.002)
            jobs.cancel(job)
        for job in batch:
            ended = finish(job).state
            assert ended in ("done", "canceled")
            assert (job.result == "result") == (ended == "done")
    assert finish(jobs.submit(steps(1))).state == "done"


def test_real_generation_is_canceled_within_a_step(tiny_checkpoint: Path) -> None:
    studio, jobs = Studio(tiny_checkpoint, "cpu"), JobQueue()
    calls: list[int] = []
    studio.engine().components()["unet"].register_forward_hook(lambda *_: calls.append(1))
    request = text_request("Normal chest X-ray", seed=1, size=64, steps=500)
    job = jobs.submit(lambda on_step: studio.generate(request, None, on_step))
    wait(lambda: job.step > 2)
    assert job.preview is not None
    assert job.preview.shape == (64, 64)
    jobs.cancel(job)
    finish(job)
    assert job.state == "canceled"
    assert len(calls) <= job.step + 1
    again = jobs.submit(
        lambda on_step: studio.generate(text_request("Normal", seed=1, size=64, steps=2), None, on_step)
    )
    assert finish(again).state == "done"


def test_fleeting_results_push_no_others_out() -> None:
    queue = JobQueue()
    kept = finish(queue.submit(steps(1)))
    fleeting = [finish(queue.submit(steps(1), is_fleeting=True)) for _ in range(MAX_KEPT + 5)]
    queue.submit(steps(1))
    assert queue.get(kept.id) is kept
    assert queue.get(fleeting[0].id) is None
