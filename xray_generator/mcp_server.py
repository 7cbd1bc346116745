"""`python -m xray_generator.mcp_server`: the studio's tools for an agent, by the Model Context Protocol over stdio.

    xray-studio mcp

An agent's program starts it, and ends it by closing its input. Images that wait then are drawn by the next server on
the same OUTPUT_DIR; where another server ran there before this one, as the app may, they are not drawn.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcp.server.mcpserver import Context, Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import CallToolResult, InputRequiredResult, TextContent
from pydantic import ValidationError

from xray_generator import __version__
from xray_generator.api.guard import MAX_UPLOAD_BYTES
from xray_generator.api.messages import RAW, CheckpointFacts, Drawing, JobStatus
from xray_generator.api.services import Services
from xray_generator.api.tokens import LOCAL
from xray_generator.console import exit_code
from xray_generator.inspect_image import describe, inspect
from xray_generator.queues.choice import VARIABLE, open_queue
from xray_generator.studio import Studio
from xray_generator.types import NOTICE, PRODUCT, StudioError, normalize_text, quote

MAX_WAIT_S = 50.0  # programs of agents end a call after a minute
POLL_S = 0.1
DOOR = "mcp"  # at a broker, which keeps the orders of one server of each name
MAX_IMAGES = 8  # in one answer
INSTRUCTIONS = (
    f"Synthetic medical images. {NOTICE} Whatever you show or hand on, say that it is synthetic. First "
    "list_checkpoints, then generate, job_status until the job is over, and job_images."
)


@dataclass(frozen=True, slots=True)
class Tools:
    """What an agent may ask for; it reads the docstrings."""

    here: Services

    def list_checkpoints(self) -> list[CheckpointFacts]:
        """What can be drawn: each checkpoint with whether it reads prompts, its classes, sizes and settings."""
        return list(self.here.checkpoints())

    def evaluations(self, checkpoint: str | None = None) -> str:
        """What each checkpoint, or one of them, is good and bad at, as far as it was measured."""
        found = self.here.evaluations(checkpoint)
        lines = [f"{one.checkpoint} ({one.suite} suite): {' '.join(one.sentences)}" for one in found]
        return "\n".join(lines) or "Nothing of this was measured yet."

    def generate(
        self,
        prompt: str | None = None,
        label: str | None = None,
        checkpoint: str | None = None,
        num_images: int = 1,
        size: int | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        scheduler: str | None = None,
        seed: int | None = None,
        preset: str = RAW,
    ) -> JobStatus:
        """Ask for synthetic images. Answers at once with a job, whose id job_status and job_images take.

        Give a prompt in words to a checkpoint that reads prompts, or a label to one of classes. What is left out is as
        the checkpoint recommends; image i is drawn with seed + i, and the same seed gives the same image. The preset is
        an enhancement that is kept beside each raw image.
        """
        asked = Drawing(
            prompt, label, checkpoint, num_images, size, steps, guidance, scheduler, seed=seed, preset=preset
        )
        return self.here.status(self.here.submit(asked, LOCAL))

    async def job_status(self, job_id: str, wait_s: float = 0.0) -> JobStatus:
        """How a job stands; with wait_s, up to 50, once it is over or so many seconds have passed."""
        if not 0 <= wait_s <= MAX_WAIT_S:
            raise StudioError(f"wait_s must be from 0 to {MAX_WAIT_S:.0f} seconds, not {quote(wait_s)}.")
        job, ends = self.here.find(job_id, LOCAL), time.monotonic() + wait_s
        while not job.is_over and time.monotonic() < ends:
            await asyncio.sleep(POLL_S)
        return self.here.status(job)

    def job_images(self, job_id: str, first: int = 0, count: int = 4, preset: str | None = None) -> list[str | Image]:
        """Images of a job that are finished, counted from 0, each after the name of its file; up to 8 at once.

        They are raw, or after a preset; the files are raw, and state in their data how they were made.
        """
        if not 1 <= count <= MAX_IMAGES:
            raise StudioError(f"count must be from 1 to {MAX_IMAGES}, not {quote(count)}.")
        job = self.here.find(job_id, LOCAL)
        told: list[str | Image] = []
        for index, path in list(enumerate(self.here.paths(job)))[max(first, 0) :][:count]:
            told += [f"Image {index}, synthetic: {path.resolve()}", Image(data=self.here.png(job, index, preset))]
        return told or [f"Image {first} of this job is not finished; the job is {job.state}."]

    def cancel_job(self, job_id: str) -> JobStatus:
        """End a job; images that are finished stay."""
        job = self.here.find(job_id, LOCAL)
        self.here.queue.cancel(job)
        return self.here.status(job)

    def enhance(self, file: str, preset: str = "Balanced") -> Image:
        """An image file of this machine (PNG, JPEG, TIFF or DICOM) after a preset; nothing of it is kept."""
        return Image(data=self.here.enhance(_read(file), preset))

    def inspect(self, file: str) -> str:
        """Whether an image file of this machine says that it is synthetic, and how it was made.

        It reads marks, which can be removed; it judges no pixels.
        """
        return "\n".join(describe(inspect(self.here.studio, _read(file))))


class Server(MCPServer[Any]):
    """Answers what went wrong with the sentence alone, and refuses arguments that a tool does not have."""

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Any, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        """The answer of a tool."""
        try:
            for tool in await self.list_tools():
                if tool.name == name and (unknown := arguments.keys() - tool.input_schema["properties"].keys()):
                    takes = ", ".join(tool.input_schema["properties"]) or "none"
                    raise StudioError(f"{name} has no argument {quote(min(unknown))}. Its arguments: {takes}.")
            return await super().call_tool(name, arguments, context)
        except StudioError as error:
            return _refuse(str(error))
        except ToolError as error:
            match error.__cause__:
                case StudioError() as cause:
                    return _refuse(str(cause))
                case ValidationError() as cause:
                    return _refuse(f"{name} cannot be called so. {_describe(cause)}.")
            raise


def make_server(services: Services) -> Server:
    """A server with all tools, each under the name of its method."""
    server = Server(PRODUCT, instructions=INSTRUCTIONS, version=__version__, log_level="WARNING")
    tools = Tools(services)
    for tool in (
        tools.list_checkpoints,
        tools.evaluations,
        tools.generate,
        tools.job_status,
        tools.job_images,
        tools.cancel_job,
        tools.enhance,
        tools.inspect,
    ):
        server.add_tool(tool)
    return server


def _refuse(sentence: str) -> CallToolResult:
    return CallToolResult(content=[TextContent(type="text", text=normalize_text(sentence))], is_error=True)


def _describe(error: ValidationError) -> str:
    return "; ".join(f"{quote('.'.join(map(str, fault['loc'])))}: {fault['msg']}" for fault in error.errors())


def _read(file: str) -> bytes:
    """The content of a regular file that is small enough; StudioError where there is none."""
    path = Path(file)
    try:
        if not path.is_file():
            raise StudioError(f"There is no file {quote(file)} on this machine.")
        if path.stat().st_size > MAX_UPLOAD_BYTES:
            raise StudioError(f"{quote(file)} has more than {MAX_UPLOAD_BYTES:,} bytes.")
        return path.read_bytes()
    except OSError as error:
        raise StudioError(f"Cannot read {quote(file)}: {error.strerror}.") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 on success, 1 with a message on a fault."""
    options = _parser().parse_args(arguments)
    return exit_code(lambda: _serve(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m xray_generator.mcp_server", description=__doc__.splitlines()[0])
    parser.add_argument("--device", help="cpu, cuda, cuda:1; default: CUDA where there is one")
    parser.add_argument("--num_threads", type=int, help="CPU threads")
    return parser


def _serve(options: argparse.Namespace) -> None:
    studio = Studio(device=options.device, num_threads=options.num_threads)
    queue = open_queue(studio, os.environ.get(VARIABLE, ""), DOOR)
    make_server(Services(studio, queue)).run("stdio")


if __name__ == "__main__":
    sys.exit(main())
