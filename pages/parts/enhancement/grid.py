"""The raw image and every preset beside it, each with its measured cost, its download, and all of them in one ZIP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import streamlit as st

from pages.parts.services import plain
from postprocess.cost import Cost, measure_cost
from postprocess.presets import Preset, apply, from_json, to_json
from xray_generator.export.archive import RAW, Source, comparison_zip, encode_enhanced
from xray_generator.images import encode_png, limit_pixels
from xray_generator.types import Image

SHOWN_PIXELS = 1_000_000
COLUMNS = 5
LEGEND = (
    "Measured against the raw image. SSIM: structural similarity, 1 = unchanged. Entropy: change of the gray levels' "
    "Shannon entropy, bits per pixel. Saturated: pixels at black or white; new: those that were neither before."
)


@dataclass(frozen=True, slots=True)
class Tile:
    """An enhanced image as it is shown, and what the enhancement cost at full size."""

    png: bytes
    cost: Cost


def tile(source: Source, preset: Preset) -> Tile:
    """The source after a preset; measured once per image and preset."""
    return _tile(source.digest, to_json(preset), source.image)


@st.cache_data(max_entries=128, show_spinner=False)
def _tile(digest: str, preset_json: str, _image: Image) -> Tile:  # noqa: ARG001 - the digest stands for the image
    enhanced = apply(from_json(preset_json), _image)
    return Tile(encode_png(limit_pixels(enhanced, SHOWN_PIXELS)), measure_cost(_image, enhanced))


def title(preset: Preset) -> str:
    """A preset's name; the one without operations is the raw image."""
    return preset.name if preset.operations else "Raw"


def label(source: Source, preset: Preset) -> str:
    """What stands with an image: what was done to it, and whether it is synthetic."""
    return f"{title(preset)}{' · synthetic' if source.recipe else ''}"


def draw_grid(source: Source, presets: Sequence[Preset]) -> None:
    """Draw the raw image, every preset, and "Download all"."""
    head = st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center")
    head.caption("What each preset does to the image, and what it costs.", help=LEGEND, width="content")
    head.download_button(
        "Download all",
        partial(comparison_zip, source, tuple(presets)),
        f"enhancement_{source.digest}.zip",
        "application/zip",
        key="enhancement_zip",
        on_click="ignore",
        icon=":material/folder_zip:",
        help="A ZIP: every image at full size, the costs as CSV, the presets as JSON.",
    )
    grid = st.grid(COLUMNS, min_column_width=180)
    for preset in (RAW, *(preset for preset in presets if preset.operations)):
        with grid.cell():
            _draw_cell(source, preset)


def _draw_cell(source: Source, preset: Preset) -> None:
    shown = tile(source, preset)
    head = st.container(horizontal=True, wrap=False, gap="xxsmall", vertical_alignment="center")
    head.text(label(source, preset), width="stretch", wrap=False)
    head.download_button(
        ":material/download:",
        partial(encode_enhanced, source, preset),
        f"{source.digest}_{preset.slug}.png",
        "image/png",
        key=f"enhancement_png_{preset.slug}",
        on_click="ignore",
        type="tertiary",
        help=f"Download {plain(title(preset))} as PNG",
    )
    st.image(shown.png, width="stretch", output_format="PNG", alt=label(source, preset))
    st.caption(cost_text(shown.cost) if preset.operations else f"the reference  \n{raw_text(shown.cost)}")


def cost_text(cost: Cost) -> str:
    """A preset's cost in two lines of Markdown."""
    return (
        f"SSIM {cost.ssim_to_raw:.3f} · entropy {cost.entropy_change:+.2f} bit  \n"
        f"saturated {cost.saturated_fraction:.2%}, new {cost.newly_saturated_fraction:.2%}"
    )


def raw_text(cost: Cost) -> str:
    """What is measured of the raw image alone."""
    return f"saturated {cost.raw_saturated_fraction:.2%}"
