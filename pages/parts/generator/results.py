"""The images of a finished generation: viewer, measured figures, downloads, and thumbnails to choose from."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import streamlit as st

from pages.parts.generator import settings
from pages.parts.generator.path import draw_path
from pages.parts.generator.window import draw_window, own_window, through
from pages.parts.generator.words import draw_words
from pages.parts.services import plain
from pages.parts.viewer import draw_viewer
from postprocess.cost import Cost, measure_cost
from postprocess.presets import Preset
from xray_generator.dicom.hounsfield import Window
from xray_generator.export.pictures import Picture, archive, pictures
from xray_generator.requests import describe_condition
from xray_generator.types import GenerationResult

SELECTED = "selected_image"
RESULT = "result_job"  # session_state: the id of the job whose result is shown; it stays in the queue
THUMBNAILS_PER_ROW = 8
ONE_IMAGE_PX, GRID_PX = 380, 540  # what stands above and below the viewer, so that all of it fits the window
IN_HU, IN_GRAY = "as a CT image in Hounsfield units", "as a Secondary Capture of 8 bits"
WINDOW_PX = 90  # what the choice of a window takes besides


def draw_result(result: GenerationResult, preset: Preset) -> None:
    """Draw one image of the result large, raw and enhanced, and all of them small below."""
    index = min(st.session_state.get(SELECTED, 0), len(result.images) - 1)
    drawn = pictures(result, index, preset)
    st.text(describe_condition(result.request.condition))
    for note in result.notes:
        st.warning(plain(note))
    own = own_window(result.checkpoint)
    seen = draw_window(own, result.checkpoint.name, is_enhanced=len(drawn) > 1) if own else None
    images = [through(picture.image, own, seen) for picture in drawn]
    space_px = (ONE_IMAGE_PX if len(result.images) == 1 else GRID_PX) + (WINDOW_PX if own else 0)
    shown = dict(zip(("Raw", f"Enhanced: {preset.name}"), images, strict=False))
    draw_viewer(shown, key="viewer", space_px=space_px, window=seen)
    _draw_figures(result, index, measure_cost(drawn[0].image, drawn[1].image) if drawn[1:] else None)
    _draw_downloads(result, preset, drawn, own)
    draw_words(drawn[0])
    draw_path(drawn[0], own)
    if len(result.images) > 1:
        _draw_thumbnails(result, index)


def select(index: int) -> None:
    """Show this image large."""
    st.session_state[SELECTED] = index


def _draw_figures(result: GenerationResult, index: int, cost: Cost | None) -> None:
    request = result.request
    figures = {
        "Seed": str(result.seeds[index]),
        "Size": f"{request.width} x {request.height}",
        "Latency": f"{result.latencies_ms[index]:,.0f} ms",
    }
    if cost is not None:
        figures |= {
            "SSIM to raw": f"{cost.ssim_to_raw:.3f}",
            "Newly saturated": f"{cost.newly_saturated_fraction:.2%}",
            "Entropy change": f"{cost.entropy_change:+.2f} bit",
        }
    grid = st.grid(6, min_column_width=100)
    for name, value in figures.items():
        with grid.cell(), st.container(gap=None):
            st.caption(name)
            st.text(value)


def _draw_downloads(result: GenerationResult, preset: Preset, drawn: Sequence[Picture], window: Window | None) -> None:
    raw = drawn[0]
    with st.container(horizontal=True):
        for label, picture in zip(("Raw PNG", "Enhanced PNG"), drawn, strict=False):
            st.download_button(
                label, picture.png, picture.file_name, "image/png", key=f"download {label}", on_click="ignore"
            )
        st.download_button(
            "DICOM",
            partial(raw.dicom, window),
            raw.dicom_name,
            "application/dicom",
            key="download DICOM",
            on_click="ignore",
            help=f"The raw image {IN_HU if window else IN_GRAY}, marked as synthetic in its header.",
        )
        st.download_button(
            "All as ZIP",
            partial(archive, result, preset),
            f"{result.checkpoint.name}_seed{result.request.seed}.zip",
            "application/zip",
            key="download all",
            on_click="ignore",
        )
        st.button("Lock this seed", key="lock_seed", on_click=settings.lock_seed, args=(raw.recipe.request.seed,))


def _draw_thumbnails(result: GenerationResult, chosen: int) -> None:
    st.caption(f"{len(result.images)} synthetic images")
    grid = st.grid(THUMBNAILS_PER_ROW, min_column_width=60)
    for index, image in enumerate(result.images):
        with grid.cell():
            st.image(image, width="stretch", output_format="PNG", alt=f"Synthetic image {index + 1}")
            st.button(
                f"{index + 1}",
                key=f"image {index}",
                on_click=select,
                args=(index,),
                width="stretch",
                type="primary" if index == chosen else "secondary",
                help=f"Seed {result.seeds[index]}",
            )
