"""`python tests/benchmarks/serving.py --output FILE`: whether a server answers at once while it draws for many people.

A server of its own process is asked for /health, each time over a new connection: first while it has nothing to do,
then while so many people have it draw an image each and follow their jobs. The ratio of the two tells what drawing
costs the others. Run it while nothing else is busy.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psutil

from tests.benchmarks.parts.crowd import draw_at_once, make_tokens
from xray_generator.checkpoints import code_commit
from xray_generator.client import Client
from xray_generator.registry import reads_prompts
from xray_generator.studio import Studio

PROMPT = "PA chest X-ray of a 58-year-old woman with cardiomegaly and pleural effusion"
MEGABYTE = 2**20
PAUSE_S = 0.005  # between two questions


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure a server; print the report as JSON."""
    options = _parser().parse_args(arguments)
    people, questions = (4, 20) if options.quick else (options.people, options.questions)
    tokens, words = make_tokens(people), _words(options.checkpoint)
    with _serve(tokens, options.num_threads) as (url, server):
        draw_at_once(url, [*tokens.values()][:1], lambda: time.sleep(PAUSE_S), **words)  # loads the model
        idle, drawing = Answers(Client(url), server), Answers(Client(url), server)
        for _ in range(questions):
            idle.ask()
        ends = draw_at_once(url, [*tokens.values()], drawing.ask, **words)
    found = {"idle": idle.summary(), "drawing": drawing.summary()}
    report = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": code_commit(),
        "cores": os.cpu_count(),
        "quick": options.quick,
        "checkpoint": words["checkpoint"],
        "people": people,
        "jobs_done": sum(job.state == "done" for job, _ in ends),
        "health_ms": found,
        "p99_ratio": found["drawing"]["p99"] / found["idle"]["p99"],
        "server_memory_mb": {"idle": idle.memory_mb, "drawing": drawing.memory_mb},
    }
    text = json.dumps(report, indent=1)
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(text + "\n", encoding="utf-8")
    print(text)


class Answers:
    """How long a server took to say that it is well, and the most memory that it was seen to have."""

    def __init__(self, client: Client, server: psutil.Process) -> None:
        self.client, self.server = client, server
        self.took_ms: list[float] = []
        self.memory_mb = 0.0

    def ask(self) -> None:
        """Ask once more."""
        began = time.perf_counter()
        self.client.health()
        self.took_ms.append(1_000 * (time.perf_counter() - began))
        self.memory_mb = max(self.memory_mb, self.server.memory_info().rss / MEGABYTE)
        time.sleep(PAUSE_S)

    def summary(self) -> dict[str, float]:
        """Percentiles in milliseconds, and of how many answers."""
        cuts = statistics.quantiles(self.took_ms, n=100, method="inclusive")
        return {"p50": cuts[49], "p99": cuts[98], "max": max(self.took_ms), "n": len(self.took_ms)}


@contextmanager
def _serve(tokens: dict[str, str], num_threads: int | None) -> Iterator[tuple[str, psutil.Process]]:
    command = [sys.executable, "-m", "xray_generator.serve", "--port", "0"]
    command += ["--num_threads", str(num_threads)] if num_threads else []
    environment = {**os.environ, "STUDIO_TOKENS": " ".join(f"{owner}:{token}" for owner, token in tokens.items())}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip(), psutil.Process(process.pid)
        finally:
            process.terminate()


def _words(checkpoint: str | None) -> dict[str, str | None]:
    """What each one asks for: an image of the checkpoint, by default of the first."""
    manifest = Studio().manifest(checkpoint)
    words = {"prompt": PROMPT} if reads_prompts(manifest) else {"label": next(iter(manifest.labels), None)}
    return {"checkpoint": manifest.ref.full_name, **words}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, metavar="JSON")
    parser.add_argument("--num_threads", type=int)
    parser.add_argument("--people", type=int, default=50, help="how many draw at once")
    parser.add_argument("--questions", type=int, default=1_000, help="to a server that has nothing to do")
    parser.add_argument("--checkpoint", metavar="NAME", help="default: the first")
    parser.add_argument("--quick", action="store_true", help="that it runs, not how fast: four people")
    return parser


if __name__ == "__main__":
    main()
