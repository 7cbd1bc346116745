"""Every route is asked by schemathesis: well, and for whatever its description allows and forbids."""

import time
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.control import SkipTest
from schemathesis.core.transport import Response
from schemathesis.generation.feedback import NO_FEEDBACK
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.testclient import TestClient

from tests.api.conftest import ANNA, HERE, TOKENS
from xray_generator.api.app import create_app
from xray_generator.jobs import JobQueue, Work
from xray_generator.orders import DrawOrder
from xray_generator.studio import Studio

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
PROMPT = {"prompt": "Normal chest X-ray"}
SETTINGS = settings(
    max_examples=12,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
Ask = Callable[[Case], Response]


@pytest.fixture
def client(studio: Studio, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> TestClient:
    """Anna's, of a server that draws whatever is asked for as one image in one step, and has no images to compare."""
    monkeypatch.setenv("DATASET_PATH", str(tmp_path / "no dataset"))

    def carry_out(order: DrawOrder) -> Work:
        return studio.carry_out(replace(order, request=replace(order.request, num_images=1, num_inference_steps=1)))

    app = create_app(studio, JobQueue(carry_out=carry_out), TOKENS)
    return TestClient(app, HERE, headers={"Authorization": f"Bearer {ANNA}"})


@pytest.mark.slow
def test_every_route_answers_as_it_is_described(client: TestClient, dataset_folder: Path) -> None:
    headers = dict(client.headers)
    schema = schemathesis.openapi.from_asgi("/openapi.json", client.app, headers=headers)
    operations = [found.ok() for found in schema.get_all_operations()]
    assert {one.label.partition(" ")[2] for one in operations} == {*client.app.openapi()["paths"]}  # type: ignore[attr-defined]

    def ask(case: Case) -> Response:
        return case.call_and_validate(headers=headers, checks=CHECKS)

    ids = {"/jobs": make(client, "/jobs", PROMPT), "/evaluations": make(client, "/evaluations", {})}
    good: dict[str, dict[str, Any]] = {
        "POST /jobs": {"body": PROMPT},
        "POST /evaluations": {"body": {"num_images": 4}},
        "POST /v1/images/generations": {"body": PROMPT},
        "POST /enhance": {"body": (dataset_folder / "images" / "hannover_006f3a8a.jpg").read_bytes()},
    }
    for one in operations:
        job_id = ids["/evaluations" if one.path.startswith("/evaluations") else "/jobs"]
        known = {
            name: {"job_id": job_id, "index": 0}[name] for name in ("job_id", "index") if f"{{{name}}}" in one.path
        }
        answer = ask(one.Case(path_parameters=known, **good.get(one.label, {})))
        assert 200 <= answer.status_code < 300, f"{one.label}: {answer.text}"
        for mode, path in product(GenerationMode, [{}, {"job_id": job_id}] if known else [{}]):
            try_many(one, mode, path, ask)


def make(client: TestClient, path: str, asked: dict[str, Any]) -> str:
    """The id of a job that is over."""
    place = client.post(path, json=asked).headers["Location"]
    while client.get(place).json()["state"] in ("queued", "running"):
        time.sleep(0.02)
    return place.rpartition("/")[2]


def try_many(operation: APIOperation, mode: GenerationMode, path: dict[str, Any], ask: Ask) -> None:
    """Ask a route for many things at random, always the same."""

    @SETTINGS
    @given(operation.as_strategy(mode, feedback=NO_FEEDBACK, path_parameters=path or None))
    def check(case: Case) -> None:
        ask(case)

    try:
        check()
    except (SkipTest, Unsatisfiable):  # it takes nothing that could be wrong
        assert mode.is_negative and not path
