"""What a model's autoencoder keeps of real images: original, copy, difference and the latents between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from pages.parts.measured import draw_tiles
from pages.parts.model.engine import load
from pages.parts.model.images import pick_images
from pages.parts.services import plain
from xray_generator.checkpoints import Manifest
from xray_generator.evaluation.summary import known_measure, value_text

if TYPE_CHECKING:
    from xray_generator.dashboards.reconstruction import Reconstruction, Reconstructions

    from xray_generator.evaluation.image_sets import ImageSet

PER_IMAGE = ("psnr", "ssim")


def draw_autoencoder(manifest: Manifest) -> None:
    """Draw the choice of images, and what becomes of them."""
    images = pick_images(manifest.sizes[0])
    if images is None:
        return
    found = _reconstruct(manifest.ref.sha256, images.digest, manifest, images)
    if found is None:
        st.info("This model has no autoencoder.")
        return
    for skipped in found.skipped:
        st.warning(plain(skipped))
    draw_tiles(found.measurements, per_row=len(found.measurements))
    st.caption(_explanation(found))
    for i, item in enumerate(found.items):
        _draw_item(item, i)


@st.cache_resource(max_entries=8, show_spinner="Encoding and decoding the images", scope="session")
def _reconstruct(sha256: str, digest: str, _manifest: Manifest, _images: ImageSet) -> Reconstructions | None:  # noqa: ARG001
    engine = load(_manifest)
    from xray_generator.dashboards.reconstruction import reconstruct

    return reconstruct(engine, _images)


def _explanation(found: Reconstructions) -> str:
    channels, height, width = found.latent_shape
    return (
        f"The model draws in the latents, {channels} channels of {height} x {width}, and its autoencoder turns them "
        "into pixels: detail that is lost here, no prompt brings back. Each channel is shown from its least value "
        "(black) to its greatest (white)."
    )


def _draw_item(item: Reconstruction, place: int) -> None:
    with st.container(border=True, key=f"model_pair_{place}"):
        measured = " · ".join(
            f"{known_measure(m).title} {value_text(m)}" for m in item.measurements if m.measure in PER_IMAGE
        )
        st.caption(plain(f"{item.name} · {measured}"))
        pictures = {
            "Original": item.original,
            "Through the autoencoder": item.copy,
            f"Difference, {item.gain:g} times as bright": item.difference,
        }
        images, latents = st.columns([3, 2], gap="medium")
        with images:
            grid = st.grid(len(pictures), min_column_width=90)
            for label, picture in pictures.items():
                with grid.cell():
                    st.image(picture, label, width="stretch", output_format="PNG", alt=f"{label}: {item.name}")
        with latents:
            grid = st.grid(4, min_column_width=70)
            for channel, latent in enumerate(item.latents, start=1):
                with grid.cell():
                    st.image(latent, f"Latent {channel}", width="stretch", output_format="PNG", alt=f"Latent {channel}")
