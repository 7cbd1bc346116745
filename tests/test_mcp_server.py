"""The tools for agents, asked by the SDK's own client over stdio, as an agent's program asks them."""

import asyncio
import base64
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from mcp import Client, StdioServerParameters, stdio_client
from mcp.types import CallToolResult

from xray_generator.export.recipe import read_recipe
from xray_generator.images import read_image
from xray_generator.mcp_server import MAX_WAIT_S

ROOT = Path(__file__).parents[1]
PROMPT = "Normal chest X-ray, PA view"


async def converse(outputs: Path, film: Path) -> None:
    """Draw, look, cancel, enhance and inspect; then what cannot be."""
    environment = {"OUTPUT_DIR": str(outputs), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = StdioServerParameters(
        command=sys.executable,
        args=["-m", "xray_generator", "mcp", "--device", "cpu"],
        env=environment,
        cwd=outputs,
    )
    async with Client(stdio_client(command)) as client:
        assert client.instructions and "synthetic" in client.instructions
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert len(tools) == 8 and all(tool.description for tool in tools.values())
        ask = client.call_tool

        (facts,) = map(json.loads, texts(await ask("list_checkpoints", {})))
        assert (facts["name"], facts["reads_prompts"]) == ("latent_diffusion/tiny", True)
        assert texts(await ask("evaluations", {})) == ["Nothing of this was measured yet."]

        job = status(await ask("generate", {"prompt": PROMPT, "num_images": 2, "steps": 2, "seed": 5}))
        while job["state"] in ("queued", "running"):
            job = status(await ask("job_status", {"job_id": job["id"], "wait_s": MAX_WAIT_S}))
        assert (job["state"], job["num_done"], job["request"]["seed"]) == ("done", 2, 5)
        drawn = await ask("job_images", {"job_id": job["id"]})
        files = [Path(text.partition(": ")[2]) for text in texts(drawn)]
        assert [path.read_bytes() for path in files] == images(drawn)
        assert [read_recipe(path.read_bytes()).request.seed for path in files] == [5, 6]
        (second,) = images(await ask("job_images", {"job_id": job["id"], "first": 1, "preset": "Balanced"}))
        assert [second] == images(await ask("enhance", {"file": str(files[1])}))
        assert read_recipe(second).preset and read_image(second).shape == (64, 64)
        assert "synthetic: yes" in texts(await ask("inspect", {"file": str(files[0])}))[0]
        assert "not known" in texts(await ask("inspect", {"file": str(film)}))[0]
        assert read_image(images(await ask("enhance", {"file": str(film), "preset": "None"}))[0]).any()

        long = status(await ask("generate", {"prompt": PROMPT, "num_images": 64, "steps": 1_000}))
        await ask("cancel_job", {"job_id": long["id"]})
        long = status(await ask("job_status", {"job_id": long["id"], "wait_s": MAX_WAIT_S}))
        assert long["state"] == "canceled" and long["num_done"] < 64

        assert "draws from a prompt" in refusal(await ask("generate", {}))
        assert "Unknown checkpoint" in refusal(await ask("generate", {"prompt": PROMPT, "checkpoint": "no such"}))
        assert "no argument 'promt'" in refusal(await ask("generate", {"promt": PROMPT}))
        assert "'num_images': " in refusal(await ask("generate", {"prompt": PROMPT, "num_images": "many"}))
        assert "no job" in refusal(await ask("job_status", {"job_id": "1"}))
        assert "0 to 50" in refusal(await ask("job_status", {"job_id": job["id"], "wait_s": 1e9}))
        assert "1 to 8" in refusal(await ask("job_images", {"job_id": job["id"], "count": 99}))
        assert "no file" in refusal(await ask("inspect", {"file": "/dev/zero"}))
        assert "no preset" in refusal(await ask("enhance", {"file": str(film), "preset": "Sepia"}))
        assert refusal(await ask("enhance", {"file": str(Path(__file__))}))
        assert "no_such_tool" in refusal(await ask("no_such_tool", {}), is_sentence=False)  # in the SDK's words


def status(answer: CallToolResult) -> dict[str, Any]:
    """How a job stands."""
    (text,) = texts(answer)
    found: dict[str, Any] = json.loads(text)
    return found


def texts(answer: CallToolResult) -> list[str]:
    """The texts of an answer that is no refusal."""
    assert not answer.is_error, answer.content
    return [part.text for part in answer.content if part.type == "text"]


def images(answer: CallToolResult) -> list[bytes]:
    """The images of an answer that is no refusal."""
    assert not answer.is_error, answer.content
    found = [part for part in answer.content if part.type == "image"]
    assert {part.mime_type for part in found} == {"image/png"}
    return [base64.b64decode(part.data) for part in found]


def refusal(answer: CallToolResult, *, is_sentence: bool = True) -> str:
    """The one sentence of a refusal."""
    assert answer.is_error, answer.content
    (part,) = answer.content
    assert part.type == "text" and "Traceback" not in part.text and (part.text.endswith(".") or not is_sentence)
    return part.text


def test_an_agent_draws_and_is_told_what_cannot_be(tiny_checkpoint: Path, tmp_path: Path, dataset_folder: Path) -> None:
    outputs = tmp_path / "outputs"
    shutil.copytree(tiny_checkpoint / "checkpoints", outputs / "checkpoints")
    asyncio.run(converse(outputs, dataset_folder / "images" / "hannover_006f3a8a.jpg"))
