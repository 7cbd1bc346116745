"""An image brought into the latents and back: what the model keeps of it, and what the class that is told changes."""

from __future__ import annotations

from functools import partial

import streamlit as st

from pages.parts.latent.folders import pick_rows
from pages.parts.latent.work import draw_start, draw_work, load, pick_class, words
from pages.parts.likelihood.image import pick_image
from pages.parts.measured import draw_tiles
from pages.parts.services import plain
from pages.parts.viewer import draw_viewer
from xray_generator.checkpoints import Manifest
from xray_generator.dashboards.latent_space import Copy, copy_image
from xray_generator.export.animation import encode_row
from xray_generator.export.archive import Source

PREFIX, PLACED = "latent_image", "latent_placed"  # session_state: key of a work whose latents the map may show
SPACE_PX = 420
OTHERS_ARE = "The same latents decoded as each other class: what the decoder makes of the class alone."


def draw_reconstruct(manifest: Manifest) -> None:
    """Draw the tab. StudioError where the chosen image cannot be read."""
    form, result = st.columns([2, 3], gap="medium")
    with form:
        source = pick_image(manifest, PREFIX, pick_rows=pick_rows)
        label = pick_class(manifest, "copy_class", "It shows")
        key = f"latent copy {manifest.ref.sha256} {source.digest if source else 'nothing'} {label}"
        work = None if source is None else partial(copy_image, load(manifest), source.image, label, manifest.labels)
        draw_start("Reconstruct", "copy", key, work)
        st.caption(
            "The encoder and the decoder are told the class, so an image told the wrong one comes back worse. What the "
            "latents do not hold is lost: see the difference."
        )
    with result:
        found: Copy | None = draw_work(key, "The image as the model sees it and as it gives it back appear here.")
        if found is not None and source is not None:
            _draw_copy(found, source, manifest)
    if found is not None and source is not None:
        _draw_others(found)
        if st.session_state[f"{PREFIX}_source"] != "Dataset":  # latents of training images are never shown
            st.session_state[PLACED] = key


def _draw_copy(found: Copy, source: Source, manifest: Manifest) -> None:
    given, copied = "as the model sees it", f"its reconstruction as {words(found.label)}"
    unknown = () if source.is_synthetic else (given,)
    difference = f"difference × {found.gain:g}"
    draw_viewer(
        {given: found.original, copied: found.copy, difference: found.difference},
        key="latent_copy_viewer",
        space_px=SPACE_PX,
        unknown=unknown,
    )
    draw_tiles(found.measurements, 3)
    told = ", ".join((found.label, *found.others))
    said = (
        "First the given image, then synthetic ones: its reconstruction and, last, their difference times "
        f"{found.gain:g}; between them the same latents decoded as each other class. Classes in order: {told}. By "
        f"{manifest.ref.full_name}, {manifest.ref.sha256}."
    )
    images = (found.original, found.copy, *found.others.values(), found.difference)
    st.download_button(
        "Row PNG",
        partial(encode_row, images, said),
        f"{manifest.name}_reconstruction.png",
        "image/png",
        key="latent_copy_png",
        on_click="ignore",
        icon=":material/download:",
        help="The image, its reconstructions and the difference; says what they are.",
    )


def _draw_others(found: Copy) -> None:
    if not found.others:
        return
    st.caption(OTHERS_ARE)
    grid = st.grid(max(6, len(found.others)), min_column_width=90)
    for label, image in found.others.items():
        with grid.cell(), st.container(gap=None):
            st.image(image, width="stretch", output_format="PNG", alt=f"Synthetic, decoded as {words(label)}")
            st.caption(plain(f"Synthetic, as {words(label)}"))
