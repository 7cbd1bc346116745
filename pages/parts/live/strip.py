"""The way from A to B as a row of pictures, drawn as a job, to be kept as PNG or as an animated GIF."""

from __future__ import annotations

from functools import partial

import streamlit as st

from pages.parts.live.drawing import Asked, Plan, Results, asked_job, find, submit
from pages.parts.live.ends import COUNT, COUNTS
from pages.parts.progress import draw_end, draw_progress
from pages.parts.services import plain
from xray_generator.export.animation import encode_gif, encode_strip
from xray_generator.requests import describe_condition
from xray_generator.types import StudioError

PREFIX = "live"  # of the keys of a page's fields
JOB = f"{PREFIX}_strip_job"


def draw_count() -> int:
    """Draw how many pictures a strip has."""
    st.session_state.setdefault(COUNT, 7)
    count: int = st.select_slider("Pictures of the strip", COUNTS, key=COUNT, persist_state="session")
    return count


def draw_order(plan: Plan | None, prefix: str = PREFIX) -> None:
    """Draw the button that asks for a strip; None: there is nothing to ask for."""
    key = f"{prefix}_strip_job"
    job = asked_job(key)
    is_running = job is not None and not job.is_over
    if (
        st.button("Draw the strip", key=f"{prefix}_strip", width="stretch", disabled=plan is None or is_running)
        and plan
    ):
        try:
            submit(plan, key)
        except StudioError as error:
            st.error(plain(error))


def draw_strip(prefix: str = PREFIX) -> None:
    """Draw the strip that was last asked for, or how far it is."""
    key = f"{prefix}_strip_job"
    asked: Asked | None = st.session_state.get(key)
    if asked is None:
        return
    job = asked_job(key)
    if (results := find(asked.plan, job)) is not None:
        _draw_row(results, prefix)
    elif job is None:
        st.info("The last strip is no longer in memory. Draw it again.")
    elif job.is_over:
        draw_end(job)
    else:
        draw_progress(job)


def _draw_row(results: Results, prefix: str) -> None:
    first, last = results[0].request, results[-1].request
    strip = encode_strip(results)
    st.image(strip, width="stretch", output_format="PNG", alt=f"{len(results)} synthetic images from A to B")
    words = [describe_condition(request.condition) for request in (first, last)]
    seconds = sum(latency for result in results for latency in result.latencies_ms) / 1_000
    st.caption(
        f"{len(results)} synthetic images, drawn in {seconds:.1f} s. A: {plain(words[0])}, seed {first.seed}. "
        f"B: {plain(words[1])}, seed {last.seed}."
    )
    name = f"{results[0].checkpoint.name}_seed{first.seed}_to_seed{last.seed}"
    with st.container(horizontal=True):
        st.download_button(
            "Strip PNG",
            strip,
            f"{name}.png",
            "image/png",
            key=f"{prefix}_strip_png",
            on_click="ignore",
            icon=":material/download:",
            help="The row, with every recipe inside.",
        )
        st.download_button(
            "GIF",
            partial(encode_gif, results),
            f"{name}.gif",
            "image/gif",
            key=f"{prefix}_strip_gif",
            on_click="ignore",
            icon=":material/download:",
            help="From A to B and back, with every recipe inside.",
        )
