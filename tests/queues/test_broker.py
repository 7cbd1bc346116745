"""Each side of the broker alone, on a real Redis: what a worker does with an order, and what a server keeps there."""

import json
import logging
import sys
from collections.abc import Callable

import pytest
from redis import Redis

from postprocess.presets import PRESETS
from tests.queues.conftest import PROMPT, until
from xray_generator import serve, worker
from xray_generator.config import dump, parse
from xray_generator.jobs import MAX_QUEUED_EACH, JobQueue, QueueFullError
from xray_generator.orders import DrawOrder, KeptJob, Report
from xray_generator.queues import store as store_module
from xray_generator.queues.carrying import GIVEN_UP, MAX_ATTEMPTS, Carrier, LostError
from xray_generator.queues.connection import ATTEMPTS, CANCEL, ORDER, PREVIEW, QUEUE, REPORT, WORKERS, order_key
from xray_generator.queues.sending import FORGOTTEN, CeleryWorkers
from xray_generator.queues.store import BrokerStore
from xray_generator.requests import text_request
from xray_generator.studio import Studio
from xray_generator.types import StudioError

KEY = order_key("a")


def order(folder: str = "me", num_images: int = 2) -> DrawOrder:
    request = text_request(PROMPT, seed=3, num_images=num_images, size=64, steps=20)
    return DrawOrder(request, "tiny", dump(PRESETS[0]), folder)


@pytest.fixture
def carrier(studio: Studio, client: Redis) -> Carrier:
    return Carrier(studio, client, lost_after_s=30.0)


def ask(client: Redis, asked: DrawOrder) -> None:
    client.hset(KEY, mapping={ORDER: json.dumps(dump(asked)), REPORT: json.dumps(dump(Report()))})


def report(client: Redis) -> Report:
    return parse(Report, json.loads(client.hget(KEY, REPORT) or b""))


def hook(studio: Studio, act: Callable[[int], object]) -> list[int]:
    """Does something at each step of the network, which is counted."""
    steps: list[int] = []

    def at_step(*_: object) -> None:
        steps.append(len(steps) + 1)
        act(len(steps))

    studio.engine("tiny").components()["unet"].register_forward_hook(at_step)
    return steps


def test_a_worker_ends_within_one_step_of_a_cancel_and_keeps_what_is_finished(carrier: Carrier, client: Redis) -> None:
    ask(client, order())
    steps = hook(carrier.studio, lambda step: step == 25 and CeleryWorkers(url_of(client), client).cancel("a"))
    carrier.carry_out("a", "tag")
    told = report(client)
    assert (told.state, told.num_done, len(steps)) == ("canceled", 1, 25)
    folder = carrier.studio.generated_dir / "me"
    assert (folder / told.result_file).is_file() and len(list(folder.glob("*.png"))) == 1
    assert (client.hget(KEY, PREVIEW) or b"")[:4] == b"\x89PNG" and told.num_previews > 0
    carrier.carry_out("a", "tag")  # it comes once more, and is over
    assert len(steps) == 25 and client.hget(KEY, ATTEMPTS) == b"1"


def url_of(client: Redis) -> str:
    return f"redis://127.0.0.1:{client.connection_pool.connection_kwargs['port']}/0"


def test_a_worker_that_was_taken_for_lost_leaves_its_order_to_another(carrier: Carrier, client: Redis) -> None:
    ask(client, order())
    steps = hook(carrier.studio, lambda step: step == 5 and client.delete(f"{KEY}:lease"))
    with pytest.raises(LostError):
        carrier.carry_out("a", "tag")
    assert len(steps) == 5 and report(client).state == "running"
    carrier.carry_out("a", "tag")
    assert (report(client).state, report(client).num_done, client.hget(KEY, ATTEMPTS)) == ("done", 2, b"2")


@pytest.mark.parametrize("folder", ["../other", "", "..", "a/b", "a\\b"])
def test_a_worker_draws_into_no_other_folder(folder: str, carrier: Carrier, client: Redis) -> None:
    ask(client, order(folder))
    carrier.carry_out("a", "tag")
    assert report(client).state == "failed" and "folder of a person" in report(client).error
    assert not carrier.studio.generated_dir.exists()


def test_an_order_that_cannot_be_done_says_why(carrier: Carrier, client: Redis) -> None:
    client.hset(KEY, mapping={ORDER: '{"checkpoint": 1}', REPORT: json.dumps(dump(Report()))})
    carrier.carry_out("a", "tag")
    assert report(client).state == "failed" and "request" in report(client).error
    client.delete(KEY)
    carrier.carry_out("a", "tag")  # forgotten: nothing is done, and nothing is left
    assert not client.exists(KEY)


def test_an_order_in_which_workers_are_lost_is_given_up(carrier: Carrier, client: Redis) -> None:
    ask(client, order())
    client.hset(KEY, ATTEMPTS, MAX_ATTEMPTS)
    carrier.carry_out("a", "tag")
    assert (report(client).state, report(client).error) == ("failed", GIVEN_UP)


def test_a_worker_is_counted_while_it_is_there(carrier: Carrier, client: Redis) -> None:
    workers = CeleryWorkers(url_of(client), client)
    client.zadd(WORKERS, {"one that was killed long ago": 1})
    with carrier.present():
        until(lambda: workers.count() == client.zcard(WORKERS) == 1)
        client.zincrby(WORKERS, -60, carrier.name)
        assert workers.count() == 0
    assert not client.exists(WORKERS)


def test_an_order_is_sent_once_and_a_next_server_looks_on(client: Redis) -> None:
    workers = CeleryWorkers(url_of(client), client)
    assert next(workers.follow("a", order()))[0] == Report()
    assert next(workers.follow("a", order()))[0] == Report() and client.llen(QUEUE) == 1
    assert json.loads(client.hget(KEY, ORDER) or b"") == dump(order())
    body = (client.lindex(QUEUE, 0) or b"").decode()
    assert json.loads(body)["content-type"] == "application/json" and PROMPT not in body
    client.hset(KEY, REPORT, json.dumps(dump(Report("done", step=3, total=3, num_done=2))))
    assert [told.state for told, _ in workers.follow("a", order())] == ["done"] and not client.exists(KEY)
    following = workers.follow("a", order())
    next(following)
    client.flushall()
    with pytest.raises(StudioError, match=FORGOTTEN[:20]):
        next(following)


def test_limits_and_turns_hold_and_what_waits_is_canceled_at_once(queue: JobQueue) -> None:
    a = [queue.submit(order(), owner="a", num_images=2) for _ in range(MAX_QUEUED_EACH)]
    b = queue.submit(order(), owner="b", num_images=2)
    assert [queue.position(job) for job in (*a[:2], b)] == [0, 2, 1]
    with pytest.raises(QueueFullError):
        queue.submit(order(), owner="a")
    here = queue.submit(lambda _: "drawn here", owner="a-too")
    until(lambda: here.is_over)
    assert here.result == "drawn here" and {job.state for job in (*a, b)} == {"queued"}  # there is no worker
    assert queue.lacks_workers(b) and not queue.lacks_workers(here)
    queue.cancel(a[0])
    assert a[0].state == "canceled" and queue.position(b) == 1
    assert [kept.state for kept in queue._store.read()] == ["canceled", *["queued"] * MAX_QUEUED_EACH]  # type: ignore[union-attr]
    for job in (*a, b):
        queue.cancel(job)


def test_an_order_whose_worker_answers_no_more_can_be_canceled(
    queue: JobQueue, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xray_generator.jobs.PATIENCE_S", 0.2)
    seconds, _ = client.time()
    client.zadd(WORKERS, {"one that has just been killed": seconds + 3_600})  # it counts all through the test
    job = queue.submit(order())
    until(lambda: client.llen(QUEUE))
    assert not queue.lacks_workers(job)
    queue.cancel(job)
    until(lambda: job.is_over)
    assert job.state == "canceled" and client.hget(order_key(job.id), CANCEL) == b"1"


def test_the_next_server_has_the_jobs_of_the_last(client: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "LEASE_S", 0.5)
    kept = [KeptJob(name, order(), "me", "draw", "", 2, "queued") for name in "cab"]
    first = BrokerStore(client, "app")
    for job in kept:
        first.keep(job)
    with pytest.raises(StudioError, match="Another server of the name app"):
        BrokerStore(client, "app")
    BrokerStore(client, "api").close()
    first.close()
    second = BrokerStore(client, "app")
    assert second.read() == kept
    second.forget(["a"])
    assert second.read() == [kept[0], kept[2]]
    client.hset("xray_studio:server:app:jobs", "c", '{"id": 1}')  # by another version
    assert second.read() == [kept[2]]
    client.delete("xray_studio:server:app")  # as if Redis had lost it, or the server had been away
    until(lambda: client.exists("xray_studio:server:app"))
    second.close()
    assert not client.exists("xray_studio:server:app")


BAD = [
    ("http://127.0.0.1", "looks like redis://127.0.0.1:6379/0"),
    ("redis://", "looks like"),
    ("redis://127.0.0.1:port", "looks like"),
    ("redis://127.0.0.1/first", "looks like"),
    ("redis://anna:secret@127.0.0.1:1/0", "No broker answers at redis://127.0.0.1:1/0:"),
    ("redis://127.0.0.1:1/0?password=secret", "No broker answers at redis://127.0.0.1:1/0:"),
    ("redis://anna:a/secret@127.0.0.1:1/0", "not 'redis://127.0.0.1:1/0'"),
]


@pytest.mark.parametrize(("url", "words"), BAD)
@pytest.mark.parametrize("door", [serve, worker])
def test_a_broker_that_is_none_is_told_in_a_sentence(
    door: object, url: str, words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "basicConfig", lambda **_: None)
    assert door.main(["--broker", url, *(["--port", "0"] if door is serve else [])]) == 1  # type: ignore[attr-defined]
    told = capsys.readouterr().err
    assert told.startswith("error: ") and words in told and "secret" not in told and told.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "words"), [([], "--broker redis://"), (["--broker", "redis://h", "--lost_after", "0"], "from 1 to")]
)
def test_a_wrong_option_of_a_worker_is_told(
    options: list[str], words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STUDIO_BROKER", raising=False)
    assert worker.main(options) == 1
    assert words in capsys.readouterr().err


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "celery", None)
    assert worker.main(["--broker", "redis://127.0.0.1"]) == 1
    assert "requirements-broker.txt" in capsys.readouterr().err


def test_the_app_says_so_too(monkeypatch: pytest.MonkeyPatch) -> None:
    import streamlit as st
    from streamlit.testing.v1 import AppTest

    def page() -> None:
        from pages.kit.services import job_queue

        job_queue()

    st.cache_resource.clear()
    monkeypatch.setenv("STUDIO_BROKER", "redis://127.0.0.1:1")
    app = AppTest.from_function(page).run()
    assert not app.exception and "No broker answers" in app.error[0].value.replace("\\", "")


def test_a_page_says_that_there_is_no_worker(
    redis_url: str, client: Redis, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    import streamlit as st

    from pages.kit.jobs import NO_WORKER, describe_progress
    from pages.kit.services import job_queue

    st.cache_resource.clear()
    monkeypatch.setenv("STUDIO_BROKER", redis_url)
    monkeypatch.setenv("OUTPUT_DIR", str(studio.output_dir))
    queue = job_queue()
    job = queue.submit(order())
    assert describe_progress(job) == NO_WORKER
    queue.cancel(job)
    st.cache_resource.clear()
    assert queue._store is not None
    queue._store.close()
