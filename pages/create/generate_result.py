"""The Generator's results: an image large, what led to it, its downloads, and for CT the window to look through."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import streamlit as st

from pages.create.generate_analysis import draw_steps, draw_trajectory, draw_words
from pages.kit.checkpoints import draw_strengths, find_best_record
from pages.kit.facts import draw_facts
from pages.kit.jobs import draw_ends, draw_hint, draw_line, is_running
from pages.kit.results import JOB, job_key, list_own_results, read_result, result_key
from pages.kit.sampling import MAX_FIELD_SEED, lock_seed
from pages.kit.send import draw_send
from pages.kit.services import count_text, escape_markdown
from pages.kit.viewer import draw_cine, draw_viewer
from pages.kit.window import draw_window
from postprocess.cost import measure_cost
from postprocess.presets import Preset
from xray_generator.checkpoints import Manifest
from xray_generator.dashboards.image_measures import measure_image
from xray_generator.data.naming import checkpoint_title, class_titles
from xray_generator.dicom.hounsfield import Window
from xray_generator.evaluation.summary import time_text
from xray_generator.export.pictures import Picture, archive, pictures
from xray_generator.history import read_kept
from xray_generator.requests import describe_adapters, describe_condition
from xray_generator.types import ClassLabel, GenerationResult, Image

ONE_IMAGE_PX, GRID_PX, WINDOW_PX, CINE_PX = 405, 565, 90, 70  # what stands around the viewer: all fits the window
THUMBNAILS_PER_ROW = 8
CINE = "as_cine"  # of the session: whether a result of several images is played
WINDOW_HELP = "The part of the CT scale shown from black to white. Downloads are not affected."


@st.fragment
def draw_result(manifest: Manifest, preset: Preset) -> None:
    """Draw what runs and waits, and a result of this checkpoint: one of its images large, raw and enhanced."""
    key, paths = job_key(manifest.name), list_own_results(manifest.name)
    with st.container():  # always there, so that no progress and no message rebuilds the result below
        draw_line(JOB, key, has_result=bool(paths))
        draw_ends(key)
    newest = paths[0] if paths else None
    is_new = st.session_state.setdefault(newest_key(manifest), newest) != newest
    if paths:
        path = pick_result(manifest, paths)
        if (result := read_result(path, manifest.name)) is None:
            st.info(f"The images of this result are no longer in {escape_markdown(path.parent)}.")
        else:
            draw_images(result, manifest, preset, is_new=is_new)
    elif not is_running(key):
        draw_hint("The images appear here.", 480)


def newest_key(manifest: Manifest) -> str:
    """Under which the session keeps the newest result that a checkpoint had when its results were last drawn."""
    return f"newest {result_key(manifest.name)}"


def pick_result(manifest: Manifest, paths: Sequence[Path]) -> Path:
    """Draw the choice among results where there are several. A new one is chosen when its first image is finished."""
    key, newest = result_key(manifest.name), newest_key(manifest)
    if st.session_state.get(newest) != paths[0] or st.session_state.get(key) not in paths:
        st.session_state.update({key: paths[0], newest: paths[0], "selected_image": 0})
    if len(paths) == 1:
        return paths[0]
    path: Path = st.selectbox(
        "Your latest results",
        paths,
        key=key,
        format_func=partial(describe_result, class_titles(manifest.labels)),
        persist_state="session",
        on_change=st.session_state.update,
        args=({"selected_image": 0},),
    )
    return path


def describe_result(titles: Mapping[str, str], path: Path) -> str:
    """A result in one line, which no other has: the digest sees to that."""
    if (kept := read_kept(path)) is None:
        return path.name
    request = kept.recipe.request
    words = describe_condition(request.condition, titles)
    count = count_text(len(kept.files), "image")
    return f"{words[:90]} · {count} · {request.width} px · seed {request.seed} · {kept.recipe.digest}"


def draw_images(result: GenerationResult, manifest: Manifest, preset: Preset, *, is_new: bool = False) -> None:
    """Draw one image of a result large, raw and enhanced, all of them small, and what led to it."""
    index = min(st.session_state.get("selected_image", 0), len(result.images) - 1)
    raw, *enhanced = pictures(result, index, preset)
    draw_title(result, manifest)
    own = manifest.hu_window
    note = "Gray levels of an enhanced image are no longer true HU." if enhanced else ""
    seen = draw_window(own, result.checkpoint.name, help=WINDOW_HELP, note=note) if own else None
    look = partial(apply_window, own=own, seen=seen)
    space = (ONE_IMAGE_PX if len(result.images) == 1 else GRID_PX) + (WINDOW_PX if own else 0)
    if len(result.images) > 1 and st.session_state.get(CINE):
        play(result, index, preset, look, space_px=space + CINE_PX, window=seen)
    else:
        names = ("Raw", f"Enhanced: {preset.name}") if enhanced else (f"Seed {result.seeds[index]}",)
        images = {name: look(picture.image) for name, picture in zip(names, (raw, *enhanced), strict=True)}
        draw_viewer(images, key="viewer", space_px=space, window=seen, unitless=names[1:], is_new=is_new)
    facts = {
        "Seed": str(result.seeds[index]),
        "Size": f"{result.request.width} x {result.request.height}",
        "Time": time_text(result.latencies_ms[index]),
    }
    if enhanced:
        cost = measure_cost(raw.image, enhanced[0].image)
        facts["SSIM to raw"] = f"{cost.ssim_to_raw:.3f}"
        facts["Newly saturated"] = f"{cost.newly_saturated_fraction:.2%}"
        facts["Entropy change"] = f"{cost.entropy_change:+.2f} bit"
    draw_facts(facts, columns=6, min_width=100)
    draw_downloads(result, preset, (raw, *enhanced), own)
    with st.container(horizontal=True):
        draw_send(raw, "send")
    if enhanced:
        st.caption("SSIM of 1: unchanged. Newly saturated pixels and lost entropy are detail that is gone.")
    if len(result.images) > 1:
        draw_thumbnails(result, index)
    draw_measures(raw, manifest)
    draw_strengths(manifest)
    draw_words(raw)
    draw_steps(raw)
    draw_trajectory(raw, own)


def play(
    result: GenerationResult,
    index: int,
    preset: Preset,
    look: Callable[[Image], Image],
    *,
    space_px: int,
    window: Window | None,
) -> None:
    """Draw all images of a result one at a time, raw and enhanced, from `index` on, each through `look`."""
    titles = ("Raw", f"Enhanced: {preset.name}") if preset.operations else ("Raw",)
    frames = [[look(p.image) for p in pictures(result, i, preset)] for i in range(len(result.images))]
    series = dict(zip(titles, zip(*frames, strict=True), strict=True))
    names = [f"Image {number}, seed {seed}" for number, seed in enumerate(result.seeds, 1)]
    draw_cine(series, names, "cine", space_px=space_px, first=index, window=window, unitless=titles[1:])
    st.caption(f"The figures and the files below are those of image {index + 1}.")


def draw_title(result: GenerationResult, manifest: Manifest) -> None:
    """Draw what was asked for and which model drew it."""
    st.text(describe_condition(result.request.condition, class_titles(manifest.labels)))
    older = "" if result.checkpoint == manifest.ref else " (other weights than now)"
    added = describe_adapters(result.request.adapters)
    parts = (checkpoint_title(manifest), f"{manifest.name}{older}", added and f"with {added}", "synthetic")
    st.caption(escape_markdown(" · ".join(filter(None, parts))))
    for note in result.notes:
        st.warning(escape_markdown(note))


def draw_measures(raw: Picture, manifest: Manifest) -> None:
    """Draw sharpness, contrast, entropy and noise of an image, each beside the mean of real images."""
    condition = raw.recipe.request.condition
    label = condition.label if isinstance(condition, ClassLabel) else ""
    found = list(measure_image(raw.image, find_best_record(manifest), label))
    draw_facts(
        {m.title: f"{m.value} (real: {m.real}" + (f", n = {m.n:,})" if m.n else ")") for m in found},
        columns=4,
        min_width=130,
    )
    st.caption("Real: the mean of real images of this size, which one image need not be near.")


def draw_downloads(result: GenerationResult, preset: Preset, shown: Sequence[Picture], window: Window | None) -> None:
    """Draw the downloads of the image shown and of the whole result."""
    raw, kind = shown[0], "a CT image in Hounsfield units" if window else "an 8-bit Secondary Capture"
    about_dicom = f"The raw image as {kind}, marked as synthetic in its header."
    zip_name = f"{result.checkpoint.name}_seed{result.request.seed}.zip"
    download = partial(st.download_button, on_click="ignore")
    with st.container(horizontal=True):
        for label, picture in zip(("Raw PNG", "Enhanced PNG"), shown, strict=False):
            download(label, picture.png, picture.file_name, "image/png", key=f"download {label}")
        dicom = partial(raw.dicom, window)
        download("Raw DICOM", dicom, raw.dicom_name, "application/dicom", key="download DICOM", help=about_dicom)
        download("All as ZIP", partial(archive, result, preset), zip_name, "application/zip", key="download all")
        if st.button(
            "Lock this seed",
            key="lock_seed",
            on_click=lock_seed,
            args=(raw.recipe.request.seed,),
            disabled=raw.recipe.request.seed > MAX_FIELD_SEED,
            help="Use it for the next images too.",
        ):
            st.rerun()  # the whole page: the seed's field is outside this fragment


def draw_thumbnails(result: GenerationResult, chosen: int) -> None:
    """Draw all images of a result small, each with a button that shows it large."""
    done, asked = len(result.images), result.request.num_images
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"{done} synthetic images" + (f" of {asked}" if done < asked else ""), width="content")
        st.toggle("Play as cine", key=CINE, persist_state="session", help="All of them one after the other, above.")
    grid = st.grid(THUMBNAILS_PER_ROW, min_column_width=60)
    for index, image in enumerate(result.images):
        with grid.cell():
            st.image(image, width="stretch", output_format="PNG", alt=f"Synthetic image {index + 1}")
            st.button(
                f"{index + 1}",
                key=f"image {index}",
                on_click=st.session_state.update,
                args=({"selected_image": index},),
                width="stretch",
                type="primary" if index == chosen else "secondary",
                help=f"Seed {result.seeds[index]}",
            )


def apply_window(image: Image, own: Window | None, seen: Window | None) -> Image:
    """An image of one window as another window shows it."""
    return image if own is None or seen is None or seen == own else seen.apply(own.invert(image))
