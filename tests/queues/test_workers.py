"""Two workers on a real Redis, one of them killed in a task: nothing is lost, and nobody at a door notices."""

import signal
from pathlib import Path

import pytest
from redis import Redis
from starlette.testclient import TestClient

from postprocess.presets import PRESETS
from tests.queues.conftest import PROMPT, StartWorker, until
from xray_generator.api.app import create_app
from xray_generator.api.tokens import Tokens
from xray_generator.jobs import Job, JobQueue
from xray_generator.queues.sending import CeleryWorkers
from xray_generator.studio import Studio

STEPS, NUM_IMAGES = 80, 4


@pytest.mark.slow
def test_a_worker_is_killed_in_a_task_and_the_files_are_those_of_one_process(
    redis_url: str, client: Redis, studio: Studio, queue: JobQueue, start_worker: StartWorker, tmp_path: Path
) -> None:
    workers = [start_worker() for _ in range(2)]
    seen = CeleryWorkers(redis_url, client)
    until(lambda: seen.count() == 2)
    api = TestClient(create_app(studio, queue, Tokens()), "http://127.0.0.1:8000")

    def ask(seed: int, num_images: int, steps: int) -> Job:
        body = {"prompt": PROMPT, "seed": seed, "num_images": num_images, "steps": steps, "preset": PRESETS[1].name}
        answer = api.post("/jobs", json=body)
        assert answer.status_code == 202
        job = queue.get(answer.json()["id"])
        assert job is not None
        return job

    job, other = ask(1, NUM_IMAGES, STEPS), ask(101, 2, STEPS)
    until(lambda: job.num_done and other.step)  # each worker does one
    killed, survivor = sorted(workers, key=lambda pair: f"job {job.id} begins" not in pair[1].read_text())
    killed[0].send_signal(signal.SIGKILL)
    until(lambda: job.is_over and other.is_over)
    assert [(one.state, one.num_done, one.error) for one in (job, other)] == [("done", 4, ""), ("done", 2, "")]
    assert f"job {job.id}: done" in survivor[1].read_text() and f"job {job.id}: done" not in killed[1].read_text()
    assert job.preview is not None and job.preview.shape == (64, 64)
    status = api.get(f"/jobs/{job.id}").json()
    assert len(status["images"]) == NUM_IMAGES and api.get(status["images"][3]).content.startswith(b"\x89PNG")

    alone = Studio(tmp_path / "alone", "cpu")
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone" / "checkpoints").symlink_to(studio.checkpoint_root)
    for one in (job, other):
        assert one.order is not None
        list(alone.carry_out(one.order)(lambda *_: None))
    drawn, undisturbed = (read_images(one.generated_dir) for one in (studio, alone))
    assert drawn == undisturbed and len(drawn) == 2 * (NUM_IMAGES + 2)

    long = ask(7, 64, STEPS)
    until(lambda: long.num_done)
    waiting = ask(8, 2, STEPS)
    api.delete(f"/jobs/{long.id}")
    until(lambda: waiting.step)
    survivor[0].terminate()  # it ends the order that it does
    until(lambda: long.is_over and waiting.is_over)
    assert (long.state, waiting.state) == ("canceled", "done") and f"job {long.id}: canceled" in survivor[1].read_text()
    assert len(api.get(f"/jobs/{long.id}").json()["images"]) == long.num_done < 64
    assert api.get(f"/jobs/{long.id}/images/0").content.startswith(b"\x89PNG")

    assert survivor[0].wait(60) == 0
    left = {name.decode() for name in client.keys("xray_studio:order:*")}
    assert not left and not client.hlen("xray_studio:unacked") and not client.llen("xray_studio")


def read_images(folder: Path) -> dict[str, bytes]:
    """The images of a folder by name."""
    return {path.name: path.read_bytes() for path in folder.rglob("*.png")}
