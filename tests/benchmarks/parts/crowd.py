"""Many people who ask a server for images at once, each with a client and a token of their own."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from xray_generator.api.messages import JobStatus
from xray_generator.client import BusyError, Client

PAUSE_S = 0.5  # of a client whose job the full line refused


def make_tokens(count: int) -> dict[str, str]:
    """Owner -> token."""
    return {f"person{i}": f"a-long-token-of-person-{i}" for i in range(count)}


def draw_at_once(
    url: str, tokens: Sequence[str], watch: Callable[[], object], **asked: Any
) -> list[tuple[JobStatus, bytes]]:
    """How each one's job ended, and its first image, fetched when all are over; until then `watch` is called."""
    with ThreadPoolExecutor(len(tokens)) as pool:
        ends = [pool.submit(partial(_draw, Client(url, token), asked)) for token in tokens]
        while not all(end.done() for end in ends):
            watch()
        found = [end.result() for end in ends]
    return [(job, Client(url, token).image(job.id, 0)) for job, token in zip(found, tokens, strict=True)]


def _draw(client: Client, asked: dict[str, Any]) -> JobStatus:
    *_, last = client.stream(_submit(client, asked).id)
    return last


def _submit(client: Client, asked: dict[str, Any]) -> JobStatus:
    while True:
        try:
            return client.submit(**asked)
        except BusyError:
            time.sleep(PAUSE_S)
