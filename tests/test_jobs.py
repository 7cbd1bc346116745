"""The queue: every job ends once, in one state, and never takes the next one with it."""

import random
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from xray_generator.jobs import AWAY, MAX_KEPT, MAX_QUEUED, MAX_QUEUED_EACH, Job, JobQueue
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


def test_a_fault_that_cannot_be_worded_ends_its_job_alone(jobs: JobQueue) -> None:
    class SpeechlessError(StudioError):
        def __str__(self) -> str:
            raise RuntimeError

    def fail(_on_step: OnStep) -> None:
        raise SpeechlessError

    job = finish(jobs.submit(fail))
    assert job.state == "failed" and job.id in job.error
    assert finish(jobs.submit(steps(2))).state == "done"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_worker_that_ended_is_replaced_and_no_job_waits_for_ever() -> None:
    ended = threading.Event()

    def is_here(_owner: str) -> bool:
        if threading.current_thread().name == "studio-worker" and not ended.is_set():
            ended.set()
            raise SystemExit
        return True

    queue = JobQueue(is_here)
    first = queue.submit(steps(2))
    wait(lambda: ended.is_set() and not queue._worker.is_alive())
    second = queue.submit(steps(2))
    assert finish(first).state == finish(second).state == "done"


def test_a_job_whose_worker_ended_is_told_to_have_failed() -> None:
    queue = JobQueue()
    job = finish(queue.submit(steps(2)))
    job.state = "running"  # as if the worker had ended in it
    queue._worker = threading.Thread()
    assert finish(queue.submit(steps(2))).state == "done"
    assert job.state == "failed" and job.id in job.error


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


def test_every_job_of_many_threads_runs_once() -> None:
    jobs, ran = JobQueue(), Counter[int]()

    def work(number: int) -> Callable[[OnStep], None]:
        return lambda _: ran.update([number])

    def ask(first: int) -> None:
        for number in range(first, first + 25):
            while True:
                try:
                    jobs.submit(work(number))
                    break
                except StudioError:  # the queue is full
                    time.sleep(0.001)

    threads = [threading.Thread(target=ask, args=(first,)) for first in range(0, 200, 25)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert finish(jobs.submit(steps(1))).state == "done"  # the last in line
    assert ran == Counter(range(200))


def test_a_clock_that_is_set_back_changes_no_order_and_no_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs, rng = JobQueue(), random.Random(0)
    monkeypatch.setattr("time.time", lambda: rng.uniform(-1e9, 1e9))
    batch = [jobs.submit(steps(3)) for _ in range(10)]
    assert [finish(job).state for job in batch] == ["done"] * 10
    assert [job.started for job in batch] == sorted(job.started for job in batch)
    assert all(0 <= job.seconds < 60 and (job.eta_s or 0) >= 0 for job in batch)
    assert len({job.id for job in batch}) == 10


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


def test_people_take_turns_and_each_waits_in_the_own_order(gate: threading.Event) -> None:
    jobs, order = JobQueue(), []

    def submit(name: str) -> Job:
        return jobs.submit(lambda _on_step: order.append(name), owner=name[0], key="draw")

    running = jobs.submit(held(gate), owner="a")
    wait(lambda: running.state == "running")
    waiting = [submit(name) for name in ("a1", "a2", "b1", "b2", "c1")]
    assert [jobs.position(job) for job in waiting] == [2, 4, 0, 3, 1]
    assert jobs.find("a") == [running, *waiting[:2]] and jobs.find("a", "draw") == waiting[:2]
    gate.set()
    for job in waiting:
        finish(job)
    assert order == ["b1", "c1", "a1", "b2", "a2"]


def test_one_person_cannot_fill_the_queue(gate: threading.Event) -> None:
    jobs = JobQueue()
    running = jobs.submit(held(gate), owner="a")
    wait(lambda: running.state == "running")
    mine = [jobs.submit(steps(1), owner="a") for _ in range(MAX_QUEUED_EACH)]
    with pytest.raises(StudioError, match=f"{MAX_QUEUED_EACH} of your jobs wait"):
        jobs.submit(steps(1), owner="a")
    assert jobs.position(jobs.submit(steps(1), owner="b")) == 0
    jobs.cancel(mine[0])
    jobs.submit(steps(1), owner="a")


def images(count: int, drawn: Callable[[int], None] = lambda _: None) -> Callable[[OnStep], Iterator[tuple[int, ...]]]:
    """Work that yields its images as they come, each after one step."""

    def work(on_step: OnStep) -> Iterator[tuple[int, ...]]:
        for i in range(1, count + 1):
            on_step(i, count, lambda: IMAGE)
            yield tuple(range(i))
            drawn(i)

    return work


def test_a_result_grows_and_what_is_finished_is_kept_on_cancel_and_failure(jobs: JobQueue) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def stop(i: int) -> None:
        if i == 2:
            reached.set()
            go_on.wait(10)

    def fail(i: int) -> None:
        if i == 2:
            raise StudioError("Not enough memory.")

    job = jobs.submit(images(4, stop), num_images=4)
    assert reached.wait(10) and (job.state, job.result, job.num_done) == ("running", (0, 1), 2)
    jobs.cancel(job)
    go_on.set()
    assert (finish(job).state, job.result, job.num_done) == ("canceled", (0, 1), 2)
    failed = finish(jobs.submit(images(4, fail)))
    assert (failed.state, failed.result, failed.error) == ("failed", (0, 1), "Not enough memory.")
    assert (finish(jobs.submit(images(3))).state, jobs.submit(images(3)).num_images) == ("done", 1)


def test_who_is_away_gives_way_to_who_waits_but_works_on_alone() -> None:
    here = {"a", "b"}
    jobs, reached, go_on = JobQueue(here.__contains__), threading.Event(), threading.Event()

    def stop(i: int) -> None:
        if i == 2:
            reached.set()
            go_on.wait(10)

    job = jobs.submit(images(4, stop), owner="a")
    assert reached.wait(10)
    here.remove("a")
    other = jobs.submit(steps(1), owner="b")
    go_on.set()
    assert (finish(job).state, job.result, job.error) == ("canceled", (0, 1), AWAY)
    assert finish(other).state == "done"
    assert finish(jobs.submit(images(4), owner="a")).state == "done"  # nobody waits


def test_who_is_away_comes_last_and_leaves_a_full_queue(gate: threading.Event) -> None:
    here = {"", "b"}
    jobs = JobQueue(here.__contains__)
    running = jobs.submit(held(gate))
    wait(lambda: running.state == "running")
    away = jobs.submit(steps(1), owner="a")
    for _ in range(MAX_QUEUED - 1):
        jobs.submit(steps(1))
    assert jobs.position(away) == MAX_QUEUED - 1
    assert jobs.position(jobs.submit(steps(1), owner="b")) == 0
    assert (away.state, away.error) == ("canceled", AWAY)
    with pytest.raises(StudioError, match="jobs wait already"):
        jobs.submit(steps(1), owner="b")


def test_the_pace_is_that_of_the_last_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job(steps(1), step=30, total=40)
    for step in range(1, 31):  # a second each, from step 11 on two
        job.recent.append((step + max(0, step - 10), step))
    monkeypatch.setattr("xray_generator.jobs.time.monotonic", lambda: 51.0)  # a second after the last
    assert job.eta_s == 19
