"""What was measured of a checkpoint, and measuring it in its turn."""

import time
from pathlib import Path

import pytest

from tests.api.conftest import ANNA, BEN, TOKENS, Open
from tests.api.test_routes import problem
from tests.api.test_server import serve
from xray_generator.api.messages import EvaluationStatus
from xray_generator.client import Client
from xray_generator.evaluation.records import Measurement, Record, write_record
from xray_generator.studio import Studio
from xray_generator.types import CheckpointRef


def keep(studio: Studio, ref: CheckpointRef) -> Record:
    """A record, kept where the evaluation keeps it."""
    found = (
        Measurement("sharpness_ratio", 0.5, 40, (0.4, 0.6), 1.0, 40),
        Measurement("prompt_accuracy", None, 40, reason="there is no classifier"),
    )
    record = Record("tiny", "quick", "2026-01-02T03:04:05+00:00", "abc", ref, {"real": "films"}, found, notes=("few",))
    write_record(record, studio.metrics_dir)
    return record


def test_what_was_measured_before_is_told_with_its_weights(studio: Studio, connect: Open) -> None:
    client, ref = connect(), studio.manifest().ref
    assert client.get("/evaluations").json() == []
    keep(studio, ref)
    (found,) = client.get("/evaluations").json()
    assert (found["checkpoint"], found["suite"], found["is_stale"]) == ("latent_diffusion/tiny", "quick", False)
    assert found["measurements"][0]["value"] == 0.5 and found["measurements"][1]["reason"] == "there is no classifier"
    assert any("soft" in sentence and "n = 40" in sentence for sentence in found["sentences"])
    assert client.get("/evaluations", params={"checkpoint": "tiny"}).json() == [found]
    problem(client.get("/evaluations", params={"checkpoint": "no such"}), 400)
    keep(studio, CheckpointRef(ref.family, ref.name, "0" * 64))  # as if the weights had been replaced since
    (found,) = client.get("/evaluations").json()
    assert found["is_stale"] and "older weights" in found["sentences"][-1]


def test_an_evaluation_waits_in_line_and_belongs_to_who_asked(connect: Open) -> None:
    anna, ben = connect(ANNA), connect(BEN)
    job = anna.post("/jobs", json={"prompt": "Normal"}).headers["Location"]  # it runs until the test is over
    problem(anna.get(job.replace("jobs", "evaluations")), 404)
    answer = anna.post("/evaluations", json={"num_images": 4})
    place = answer.headers["Location"]
    assert answer.status_code == 202 and answer.json()["checkpoint"] == "latent_diffusion/tiny"
    problem(ben.get(place), 404)
    problem(ben.delete(place), 404)
    problem(anna.get(place.replace("evaluations", "jobs")), 404)  # it draws nothing that could be fetched there
    assert len(anna.get("/jobs").json()) == 1
    assert anna.delete(place).json()["state"] == anna.get(place).json()["state"] == "canceled"
    for asked, status in (({"num_images": 1}, 422), ({"num_images": 101}, 422), ({"checkpoint": "no such"}, 400)):
        problem(anna.post("/evaluations", json=asked), status)


@pytest.mark.slow
def test_a_checkpoint_is_measured_and_nothing_that_was_kept_is_replaced(
    studio: Studio, dataset_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATASET_PATH", str(dataset_folder))
    before = keep(studio, studio.manifest().ref)
    with serve(studio, TOKENS) as url:
        client = Client(url, ANNA)
        first = client.measure("tiny", 100)
        while not client.evaluation(first.id).step:
            time.sleep(0.02)
        client.cancel_evaluation(first.id)
        job = client.measure(num_images=4)
        assert wait(client, first).state == "canceled"
        done = wait(client, job)
        assert (done.state, done.error) == ("done", "") and done.step == done.total > 0
        found = done.evaluation
        assert found and found.checkpoint == "latent_diffusion/tiny" and not found.is_stale and found.sentences
        values = {one.measure: one for one in found.measurements}
        assert values["sharpness_ratio"].value and values["sharpness_ratio"].n == 4
        assert values["peak_memory_mb"].value is None and "other models" in values["peak_memory_mb"].reason
        assert [one.created for one in client.evaluations()] == [before.created]
        monkeypatch.setenv("DATASET_PATH", str(studio.output_dir / "none"))
        failed = wait(client, client.measure(num_images=4))
        assert failed.state == "failed" and failed.error and failed.evaluation is None
    assert len(list(studio.metrics_dir.iterdir())) == 1 and not studio.figure_dir.exists()


def wait(client: Client, job: EvaluationStatus) -> EvaluationStatus:
    """An evaluation once it is over."""
    while (found := client.evaluation(job.id)).state in ("queued", "running"):
        time.sleep(0.05)
    return found
