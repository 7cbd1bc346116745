"""Pictures that follow the fields of a page: the newest is drawn at once, and a strip of them on request.

A newer change cancels the picture before it, so that nothing piles up in front of the one worker that all visitors
share. Pictures stay in memory: setting a slider back shows the same picture again at once.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import streamlit as st

from pages.kit.jobs import describe_progress, draw_hint, draw_job, find_job, start_button
from pages.kit.person import person
from pages.kit.send import draw_send
from pages.kit.services import count_text, draw_fault, escape_markdown, job_queue, studio
from pages.kit.viewer import draw_cine, draw_viewer
from xray_generator import generation
from xray_generator.evaluation.summary import time_text
from xray_generator.export.animation import encode_gif, encode_strip
from xray_generator.export.pictures import pictures
from xray_generator.jobs import Job, Work
from xray_generator.requests import describe_adapters, describe_condition
from xray_generator.studio import Studio
from xray_generator.types import (
    NO_PREVIEW,
    CheckpointRef,
    GenerationRequest,
    GenerationResult,
    Morph,
    OnStep,
    StudioError,
    TextPrompt,
    part,
)

MAX_KEPT = 128  # pictures in memory, for all sessions
WAIT_S, LOOK_S = 0.25, 0.01  # a picture that is drawn within this time needs no second run of the page
MIN_POLL_S, MAX_POLL_S = 0.3, 2.0
POLLS = 4  # per picture: on a slow machine, polling must not hold up the drawing
SPACE_PX = 330  # what stands above and below the viewer


@dataclass(frozen=True, slots=True)
class Drawing:
    """One picture: everything that its pixels depend on."""

    checkpoint: CheckpointRef
    request: GenerationRequest
    morph: Morph | None = None


Kept = OrderedDict[Drawing, GenerationResult]


def between(checkpoint: CheckpointRef, first: GenerationRequest, second: GenerationRequest, weight: float) -> Drawing:
    """The picture at a weight from 0, exactly the first request, to 1, exactly the second."""
    if weight in (0, 1):
        return Drawing(checkpoint, second if weight else first)
    return Drawing(checkpoint, first, Morph(second, weight))


def draw_weight(key: str) -> float:
    """Draw the slider between A and B."""
    st.session_state.setdefault(key, 0.5)
    weight: float = st.slider("Blend from A (0) to B (1)", 0.0, 1.0, step=0.05, key=key, persist_state="session")
    return weight


def draw_followed(
    drawing: Drawing | None,
    checkpoint: CheckpointRef,
    key: str,
    draw_actions: Callable[[GenerationResult], None] | None = None,
) -> None:
    """Draw the wanted picture; until it is there, or where none is wanted, the one before of the same checkpoint.

    `key` begins the session's keys, `draw_actions` draws buttons beside the download.
    """
    job, error, shown_key = None, "", f"{key}_shown"
    if drawing is not None:
        try:
            results, job = follow((drawing,), f"{key}_job")
            st.session_state[shown_key] = results[0] if results else st.session_state.get(shown_key)
        except StudioError as fault:
            error = str(fault)
    shown: GenerationResult | None = st.session_state.get(shown_key)
    if shown is not None and shown.checkpoint != checkpoint:
        shown = None
    if shown is None:
        draw_hint("The image appears here.")
    else:
        draw_viewer({_title(shown): shown.images[0]}, key=f"{key}_viewer", space_px=SPACE_PX)
    with st.container():  # always there, so that nothing below is rebuilt
        draw_status(job, shown, error)
    if shown is not None:
        with st.container(horizontal=True):
            _draw_download(shown, key)
            if draw_actions is not None:
                draw_actions(shown)
        with st.container(horizontal=True):
            draw_send(pictures(shown, 0)[0], f"{key}_send")


def draw_strip_button(
    checkpoint: CheckpointRef, first: GenerationRequest, second: GenerationRequest, count: int, key: str
) -> None:
    """Draw the button that asks for `count` pictures at equal steps from the first request to the second."""
    drawings = tuple(between(checkpoint, first, second, index / (count - 1)) for index in range(count))
    draw_all_button("Draw the strip", drawings, _strip_job(checkpoint, key), key=f"{key}_strip")


def draw_all_button(title: str, drawings: Sequence[Drawing], job_key: str, *, key: str, disabled: bool = False) -> None:
    """Draw the button that asks for pictures, of which those in memory are not drawn again; as for `start_button`.

    The job's result is a tuple of their results.
    """

    def make_work() -> Work:
        return partial(_draw_all, studio(), _kept_drawings(), drawings)

    start_button(title, job_key, make_work, key=key, type="secondary", disabled=disabled)


def _strip_job(checkpoint: CheckpointRef, key: str) -> str:
    return f"{key}_strip_job {checkpoint.sha256}"


def draw_strip(checkpoint: CheckpointRef, key: str) -> None:
    """Draw the strip that was last asked of a checkpoint, to be played too, or its progress; nothing before that."""
    job_key = _strip_job(checkpoint, key)
    if job_key not in st.session_state:
        return
    results: tuple[GenerationResult, ...] | None = draw_job(job_key, "")
    if results is None:
        return
    names = [f"{index / (len(results) - 1):.0%} of the way from A to B" for index in range(len(results))]
    draw_cine({"From A to B": [result.images[0] for result in results]}, names, f"{key}_cine", space_px=SPACE_PX)
    strip = encode_strip(results)
    st.image(strip, width="stretch", output_format="PNG", alt=f"{len(results)} synthetic images from A to B")
    first, last = results[0].request, results[-1].request
    titles = studio().class_titles(results[0].checkpoint.full_name)
    ends = [f"{n}: {describe_condition(r.condition, titles)}, seed {r.seed}." for n, r in (("A", first), ("B", last))]
    seconds = sum(latency for result in results for latency in result.latencies_ms) / 1_000
    st.caption(escape_markdown(f"{len(results)} synthetic images, drawn in {seconds:.1f} s. {' '.join(ends)}"))
    name = f"{results[0].checkpoint.name}_seed{first.seed}_to_seed{last.seed}"
    draw_animation_downloads(strip, partial(encode_gif, results), name, f"{key}_strip")


def draw_animation_downloads(
    strip: bytes | Callable[[], bytes],
    gif: Callable[[], bytes],
    name: str,
    key: str,
    order: str = "From A to B and back",
) -> None:
    """Draw the downloads of a row of images as a PNG and as a GIF; both contain the recipes."""
    files = {"Strip PNG": ("png", strip, "All images in a row"), "GIF": ("gif", gif, order)}
    with st.container(horizontal=True):
        for label, (suffix, data, what) in files.items():
            st.download_button(
                label,
                data,
                f"{name}.{suffix}",
                f"image/{suffix}",
                key=f"{key}_{suffix}",
                on_click="ignore",
                icon=":material/download:",
                help=f"{what}, with the recipe inside.",
            )


def _draw_download(result: GenerationResult, key: str) -> None:
    (picture,) = pictures(result, 0)
    st.download_button(
        "PNG",
        picture.png,
        picture.file_name,
        "image/png",
        key=f"{key}_png",
        on_click="ignore",
        icon=":material/download:",
        help="Contains the recipe to make it again.",
    )


@st.cache_resource(show_spinner=False)
def _kept_drawings() -> Kept:
    """The pictures in memory, the oldest first."""
    return OrderedDict()


def follow(drawings: tuple[Drawing, ...], job_key: str) -> tuple[tuple[GenerationResult, ...], Job | None]:
    """The pictures, or where they are not there soon none, and the job that draws them: the only one under this key.

    Raises:
        StudioError: the queue is full.
    """
    job, kept = find_job(job_key), _kept_drawings()
    if job is not None and st.session_state.get(f"{job_key}_drawings") != drawings:
        job_queue().cancel(job)
        job = None
    if found := _find_kept(drawings):
        return found, None
    if job is None or job.state in ("canceled", "done"):
        work = partial(_draw_all, studio(), kept, drawings, has_previews=False)
        job = job_queue().submit(work, owner=person(), is_fleeting=True)
        st.session_state.update({job_key: job.id, f"{job_key}_drawings": drawings})
    deadline = time.monotonic() + WAIT_S
    while not job.is_over and time.monotonic() < deadline:
        time.sleep(LOOK_S)
    found = _find_kept(drawings)
    return found, None if found else job


def _find_kept(drawings: Sequence[Drawing]) -> tuple[GenerationResult, ...]:
    """The pictures, where all of them are in memory."""
    found = [result for result in map(_kept_drawings().get, drawings) if result]
    return tuple(found) if len(found) == len(drawings) else ()


def _draw_all(
    studio_: Studio, kept: Kept, drawings: Sequence[Drawing], on_step: OnStep, *, has_previews: bool = True
) -> tuple[GenerationResult, ...]:
    """Draw pictures, of which those in memory are taken from there: the work of a job.

    Previews would cost more than the few steps of a followed picture, which shows the one before instead.
    """
    report: OnStep = on_step if has_previews else lambda step, total, _: on_step(step, total, lambda: NO_PREVIEW)
    results = []
    for index, drawing in enumerate(drawings):
        result = kept.get(drawing) or _draw(studio_, drawing, part(report, index, len(drawings)))
        kept[drawing] = result
        results.append(result)
    while len(kept) > MAX_KEPT:
        kept.popitem(last=False)
    return tuple(results)


def _draw(studio_: Studio, drawing: Drawing, on_step: OnStep) -> GenerationResult:
    name = drawing.checkpoint.full_name
    if drawing.morph is None:
        return studio_.generate(drawing.request, name, on_step)
    return studio_.task(generation.morph, drawing.request, drawing.morph, checkpoint=name)(on_step)


def draw_status(job: Job | None, shown: GenerationResult | None, error: str = "") -> None:
    """Draw what `follow` waits for, an error, or what led to the picture shown; it runs the page again at the end."""
    if job is not None and job.state == "failed":
        error = job.error
    if error:
        draw_fault(error)
    elif job is not None:
        st.fragment(_watch, run_every=_poll_s(shown))(job.id)
    elif shown is not None:
        st.caption(_describe(shown))
        for note in shown.notes:
            st.warning(escape_markdown(note))


def _title(result: GenerationResult) -> str:
    if isinstance(result.origin, Morph):
        return f"{result.origin.weight:.0%} of the way from A to B"
    return describe_condition(result.request.condition, studio().class_titles(result.checkpoint.full_name))


def _describe(result: GenerationResult) -> str:
    request = result.request
    steps = count_text(request.num_inference_steps or 0, "step")
    parts = [f"Drawn by {escape_markdown(result.checkpoint.name)} in **{time_text(result.latencies_ms[0])}**", steps]
    if request.adapters:
        parts.append(f"with {escape_markdown(describe_adapters(request.adapters))}")
    if result.origin is None:
        parts.append(f"seed {request.seed}")
    if isinstance(request.condition, TextPrompt):
        unseen = studio().unseen_words(request.condition.text, result.checkpoint.full_name)
        parts += [f"words that the model does not know: {escape_markdown(', '.join(unseen))}"] if unseen else []
    return " · ".join(parts)


def _poll_s(shown: GenerationResult | None) -> float:
    """Seconds between looks, from how long the last picture took; long for the first, which waits for the model."""
    return min(MAX_POLL_S, max(MIN_POLL_S, shown.latencies_ms[0] / 1_000 / POLLS)) if shown else MAX_POLL_S / 2


def _watch(job_id: str) -> None:
    """Show what the picture waits for; when it is there, the page runs again."""
    job = job_queue().get(job_id)
    if job is None or job.is_over:
        st.rerun()
    st.caption(describe_progress(job))
