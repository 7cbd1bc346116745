"""Every route answers with data, or with a sentence and a request id; never with a fault of the server."""

import io
import json
import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from httpx2 import Response

from postprocess.presets import PRESETS
from tests.api.conftest import ANNA, BEN, HERE, TOKENS, Open
from xray_generator.api.guard import MAX_JSON_BYTES
from xray_generator.export.recipe import find_recipe
from xray_generator.images import encode_png, read_image
from xray_generator.jobs import MAX_QUEUED_EACH

ASKED = {"prompt": "Normal chest X-ray", "steps": 2}
DEEP = b"[" * 30_000 + b"]" * 30_000


def problem(answer: Response, status: int) -> str:
    """The sentence of a refusal, whose form is checked."""
    assert answer.status_code == status, answer.text
    told = answer.json()
    assert set(told) == {"error", "request_id"} and told["request_id"] == answer.headers["X-Request-ID"]
    assert told["error"].endswith(".") and "Traceback" not in told["error"]
    return str(told["error"])


def test_the_server_says_what_it_has(connect: Open) -> None:
    client = connect()
    assert client.get("/health").json() == {"status": "ok"}
    (facts,) = client.get("/checkpoints").json()
    assert (facts["name"], facts["reads_prompts"], facts["sizes"]) == ("latent_diffusion/tiny", True, [64])
    assert facts["recommended"]["scheduler"] in facts["schedulers"]
    assert [preset["name"] for preset in client.get("/presets").json()] == [preset.name for preset in PRESETS]
    described = client.get("/openapi.json").json()
    assert {"/jobs", "/jobs/{job_id}/events", "/enhance", "/v1/images/generations"} <= set(described["paths"])
    assert "num_images" in described["components"]["schemas"]["Drawing"]["properties"]


def test_every_address_needs_a_token_where_there_are_tokens(connect: Open) -> None:
    for client in (connect(tokens=TOKENS), connect("a-token-that-nobody-has")):
        paths = client.app.openapi()["paths"]  # type: ignore[attr-defined]
        routes = [(method, path) for path, methods in paths.items() for method in methods if path != "/health"]
        assert len(routes) > 10
        for method, path in [*routes, ("get", "/openapi.json"), ("get", "/nowhere")]:
            answer = client.request(method, path)
            assert "token" in problem(answer, 401) and answer.headers["WWW-Authenticate"] == "Bearer"
        assert client.get("/health").status_code == 200
    assert connect(ANNA).get("/jobs").json() == []


def test_jobs_of_others_are_not_there(connect: Open) -> None:
    anna, ben = connect(ANNA), connect(BEN)
    job = anna.post("/jobs", json=ASKED)
    assert job.status_code == 202 and job.headers["Location"] == f"/jobs/{job.json()['id']}"
    own, others = (client.get(job.headers["Location"]) for client in (anna, ben))
    assert own.json()["state"] in ("queued", "running") and own.json()["request"]["num_inference_steps"] == 2
    assert "no job" in problem(others, 404) and ben.get("/jobs").json() == []
    for path in ("/events", "/images/0", "/archive"):
        problem(ben.get(f"/jobs/{own.json()['id']}{path}"), 404)
    problem(ben.delete(job.headers["Location"]), 404)
    assert [one["id"] for one in anna.get("/jobs").json()] == [own.json()["id"]]
    for path in ("/images/0", "/images/-1", "/images/99999999999", "/archive"):  # nothing is drawn yet
        problem(anna.get(f"{job.headers['Location']}{path}"), 404)


def test_a_full_line_says_when_to_try_again(connect: Open) -> None:
    client = connect(ANNA)
    running = client.post("/jobs", json=ASKED).headers["Location"]
    while client.get(running).json()["state"] != "running":
        time.sleep(0.01)
    waiting = [client.post("/jobs", json=ASKED).json() for _ in range(MAX_QUEUED_EACH)]
    assert [job["position"] for job in waiting] == [*range(MAX_QUEUED_EACH)]
    refused = client.post("/jobs", json=ASKED)
    assert "of your jobs wait" in problem(refused, 429) and int(refused.headers["Retry-After"]) > 0
    assert connect(BEN).post("/jobs", json=ASKED).status_code == 202
    canceled = client.delete(f"/jobs/{waiting[-1]['id']}").json()
    assert canceled["state"] == "canceled" and client.post("/jobs", json=ASKED).status_code == 202


@pytest.mark.parametrize(
    ("asked", "status", "words"),
    [
        ({}, 400, "draws from a prompt"),
        ({"prompt": ""}, 400, "empty"),
        ({"prompt": "x" * 3_000}, 400, "2,000"),
        ({"prompt": "\ud800"}, 400, "empty"),
        ({"prompt": 7}, 422, "prompt"),
        ({"prompt": None, "label": "oda"}, 400, "prompt"),
        ({**ASKED, "checkpoint": "../../etc"}, 400, "Unknown checkpoint"),
        ({**ASKED, "checkpoint": "\x00\ud800"}, 400, "Unknown checkpoint"),
        ({**ASKED, "num_images": "4"}, 422, "num_images"),
        ({**ASKED, "num_images": True}, 422, "num_images"),
        ({**ASKED, "num_images": 10**9}, 400, "1 to 64"),
        ({**ASKED, "num_images": 10**400}, 400, "1 to 64"),
        ({**ASKED, "size": 0}, 400, "64 pixels"),
        ({**ASKED, "steps": 10**18}, 400, "1 to 1,000"),
        ({**ASKED, "guidance": 1e308}, 400, "guidance"),
        ({**ASKED, "guidance": 10**400}, 422, "guidance"),
        ({**ASKED, "seed": -1}, 400, "seed"),
        ({**ASKED, "seed": 2**64}, 400, "seed"),
        ({**ASKED, "eta": 0.5, "scheduler": "dpm++"}, 400, "eta"),
        ({**ASKED, "scheduler": "\ud800"}, 400, "scheduler"),
        ({**ASKED, "adapters": {"tiny": 1.0}}, 400, "no adapter"),
        ({**ASKED, "adapters": [1]}, 422, "adapters"),
        ({**ASKED, "preset": "Sepia"}, 400, "no preset"),
        ({**ASKED, "preset": 0.5}, 422, "preset"),
        ({**ASKED, "negative": 1}, 422, "Unexpected"),
        ({**ASKED, "\ud800": 1}, 422, "JSON"),
        ({**ASKED, **{f"key{i}": i for i in range(2_000)}}, 422, "more"),
    ],
)
def test_what_cannot_be_drawn_is_refused_at_once_in_words(
    asked: dict[str, Any], status: int, words: str, connect: Open
) -> None:
    answer = connect().post("/jobs", content=json.dumps(asked), headers={"Content-Type": "application/json"})
    assert words in problem(answer, status)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"{", 422),
        (b"[1]", 422),
        (b"null", 422),
        (b'"text"', 422),
        (b"\xff\xfe{}", 422),
        (b'{"prompt": "\xff"}', 400),
        (DEEP, 400),
        (b'{"prompt": ' + DEEP + b"}", 400),
        (b'{"prompt": "Normal", "guidance": NaN}', 400),
        (b'{"prompt": "Normal", "guidance": Infinity}', 400),
        (b'{"prompt": "Normal", "steps": 1e999}', 422),
        (b'{"prompt": "Normal", "steps": ' + b"9" * 5_000 + b"}", 400),
        (b" " * 3_000_000, 413),
        (b'{"prompt": "' + b"x" * 3_000_000 + b'"}', 413),
    ],
)
@pytest.mark.parametrize("path", ["/jobs", "/v1/images/generations"])
def test_no_body_is_a_fault_of_the_server(path: str, body: bytes, status: int, connect: Open) -> None:
    answer = connect().post(path, content=body, headers={"Content-Type": "application/json"})
    if path == "/jobs":
        problem(answer, status)
    else:
        assert problem(answer, answer.status_code) and 400 <= answer.status_code < 500


def test_other_content_is_refused_and_says_what_is_wanted(connect: Open) -> None:
    client = connect()
    for kind in ("", "text/plain", "application/x-www-form-urlencoded", "nonsense\x7f"):
        answer = client.post("/jobs", content=json.dumps(ASKED), headers={"Content-Type": kind} if kind else {})
        assert "application/json" in problem(answer, 422)
    chunked = client.post("/jobs", content=iter([b" " * (MAX_JSON_BYTES // 2)] * 3))
    assert f"{MAX_JSON_BYTES:,}" in problem(chunked, 413)
    assert "openapi.json" in problem(client.get("/nowhere"), 404)
    assert "method" in problem(client.put("/jobs"), 405)
    problem(client.get("/jobs/%00%ff"), 404)


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "[::1]:1", "LOCALHOST:8000"])
def test_this_machine_is_answered_by_its_own_names(host: str, connect: Open) -> None:
    headers = {"Host": host, "Origin": "http://localhost:3000"}
    assert connect().get("/jobs", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:8000"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": ""},
        {"Host": "[::1"},
        {"Host": "10.0.0.1"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1@evil.example"},
    ],
)
def test_a_browser_that_another_site_sent_is_refused(headers: dict[str, str], connect: Open) -> None:
    problem(connect().post("/jobs", json=ASKED, headers=headers), 403)
    assert connect(ANNA).get("/jobs", headers=headers).status_code == 200  # a site knows no token


def test_answers_tell_browsers_to_keep_nothing_and_run_nothing(connect: Open) -> None:
    headers = connect().get("/checkpoints").headers
    assert headers["Cache-Control"] == "no-store" and headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")


def test_an_upload_is_enhanced_and_nothing_of_it_kept(connect: Open, dataset_folder: Path, tmp_path: Path) -> None:
    client, film = connect(), (dataset_folder / "images" / "hannover_006f3a8a.jpg").read_bytes()
    raw, balanced = (client.post(f"/enhance?preset={name}", content=film) for name in ("None", "Balanced"))
    assert raw.headers["Content-Type"] == balanced.headers["Content-Type"] == "image/png"
    np.testing.assert_allclose(read_image(raw.content), read_image(film), atol=1 / 500)
    assert not np.array_equal(read_image(balanced.content), read_image(film))
    assert find_recipe(balanced.content) is None
    assert not (tmp_path / "outputs" / "generated").exists()


@pytest.mark.parametrize(
    "data", [b"", b"no image", b"\x89PNG\r\n\x1a\n" + bytes(99), encode_png(np.zeros((8, 8), np.float32))]
)
def test_no_upload_is_a_fault_of_the_server(data: bytes, connect: Open) -> None:
    problem(connect().post("/enhance", content=data), 400)


def test_uploads_have_a_size_and_a_preset_that_exists(connect: Open) -> None:
    client = connect()
    assert "32,000,000" in problem(client.post("/enhance", content=io.BytesIO(bytes(32_000_001))), 413)
    assert "no preset" in problem(client.post("/enhance?preset=Sepia", content=b"x"), 400)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"prompt": "Normal", "size": "64x32"}, "square"),
        ({"prompt": "Normal", "size": "256"}, "square"),
        ({"prompt": "Normal", "size": f"{'9' * 99}x{'9' * 99}"}, "square"),
        ({"prompt": "Normal", "size": "128x128"}, "64 pixels"),
        ({"prompt": "Normal", "n": 0}, "1 to 64"),
        ({"prompt": "Normal", "model": "gpt-image-1"}, "Unknown checkpoint"),
    ],
)
def test_openai_requests_are_refused_in_words(asked: dict[str, Any], words: str, connect: Open) -> None:
    assert words in problem(connect().post("/v1/images/generations", json=asked), 400)


def test_prompts_are_logged_only_where_that_is_asked_for(connect: Open, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "xray_generator")
    secret = "Mrs Miller has pneumonia"
    answer = connect().post("/jobs", json={"prompt": secret})
    assert "Miller" not in caplog.text and answer.headers["X-Request-ID"] in caplog.text
    assert answer.json()["id"] in caplog.text and "POST '/jobs' 202" in caplog.text
    connect(log_prompts=True).post("/jobs", json={"prompt": secret})
    assert secret in caplog.text


def test_an_unexpected_fault_is_in_the_log_under_the_id_that_is_told(
    connect: Open, caplog: pytest.LogCaptureFixture
) -> None:
    def fault() -> None:
        raise RuntimeError("of nobody's business")

    client = connect()
    client.app.add_api_route("/fault", fault)  # type: ignore[attr-defined]
    answer = client.get("/fault")
    assert "nobody" not in problem(answer, 500) and answer.headers["Cache-Control"] == "no-store"
    (record,) = (record for record in caplog.records if record.exc_info)
    assert answer.json()["request_id"] in record.getMessage() and "nobody" in caplog.text


def test_no_token_is_logged(connect: Open, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    connect(ANNA).get(f"{HERE}/jobs")
    connect("a-token-that-nobody-has").get("/jobs")
    assert ANNA not in caplog.text and "nobody-has" not in caplog.text
