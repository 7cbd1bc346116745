"""The images of a finished generation: viewer, measured figures, downloads, and thumbnails to choose from."""

from __future__ import annotations

from functools import partial

import streamlit as st

from pages.parts import settings
from pages.parts.services import plain
from pages.parts.viewer import draw_viewer
from postprocess.cost import Cost, measure_cost
from postprocess.presets import Preset, apply
from xray_generator.export.recipe import encode_png, recipes
from xray_generator.studio import archive, enhanced_recipe, file_name
from xray_generator.types import GenerationResult, Image, TextPrompt

SELECTED = "selected_image"
THUMBNAILS_PER_ROW = 8
ONE_IMAGE_PX, GRID_PX = 470, 590  # what stands above and below the viewer, so that all of it fits the window


def draw_result(result: GenerationResult, preset: Preset) -> None:
    """Draw one image of the result large, raw and enhanced, and all of them small below."""
    index = min(st.session_state.get(SELECTED, 0), len(result.images) - 1)
    raw = result.images[index]
    enhanced = apply(preset, raw) if preset.operations else None
    if isinstance(result.request.condition, TextPrompt):
        st.text(result.request.condition.text)
    for note in result.notes:
        st.warning(plain(note))
    shown = {"Raw": raw} if enhanced is None else {"Raw": raw, f"Enhanced: {preset.name}": enhanced}
    draw_viewer(shown, key="viewer", space_px=ONE_IMAGE_PX if len(result.images) == 1 else GRID_PX)
    _draw_figures(result, index, None if enhanced is None else measure_cost(raw, enhanced))
    _draw_downloads(result, index, preset, enhanced)
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
    for column, (name, value) in zip(st.columns(6), figures.items(), strict=False):
        with column.container(gap=None):
            st.caption(name)
            st.text(value)


def _draw_downloads(result: GenerationResult, index: int, preset: Preset, enhanced: Image | None) -> None:
    recipe = recipes(result)[index]
    files = {"Raw PNG": (result.images[index], recipe)}
    if enhanced is not None:
        files["Enhanced PNG"] = (enhanced, enhanced_recipe(recipe, preset))
    with st.container(horizontal=True):
        for label, (image, its_recipe) in files.items():
            st.download_button(
                label, partial(encode_png, image, its_recipe), file_name(its_recipe), "image/png",
                key=f"download {label}", on_click="ignore",
            )  # fmt: skip
        st.download_button(
            "All as ZIP", partial(archive, result, preset), f"{result.checkpoint.name}_seed{result.request.seed}.zip",
            "application/zip", key="download all", on_click="ignore",
        )  # fmt: skip
        st.button("Lock this seed", key="lock_seed", on_click=settings.lock_seed, args=(result.seeds[index],))


def _draw_thumbnails(result: GenerationResult, chosen: int) -> None:
    for start in range(0, len(result.images), THUMBNAILS_PER_ROW):
        for offset, column in enumerate(st.columns(THUMBNAILS_PER_ROW)):
            index = start + offset
            if index < len(result.images):
                column.image(result.images[index], width="stretch", alt=f"Image {index + 1}")
                column.button(
                    f"{index + 1}", key=f"image {index}", on_click=select, args=(index,), width="stretch",
                    type="primary" if index == chosen else "secondary", help=f"Seed {result.seeds[index]}",
                )  # fmt: skip
