"""Along a direction in which a class varies: a slider for the amount, a strip and a GIF."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import streamlit as st

from pages.parts.latent.work import draw_start, draw_work, load, pick_class, pick_seed, request, words
from pages.parts.services import job_queue, plain
from pages.parts.viewer import draw_viewer
from xray_generator.abilities import LatentDirection
from xray_generator.checkpoints import Manifest
from xray_generator.dashboards.latent_space import AMOUNTS, NUM_DIRECTIONS, Travel, travel
from xray_generator.export.animation import encode_path_gif, encode_path_strip
from xray_generator.export.recipe import recipes

SPACE_PX = 480
WHAT_IT_IS = (
    "The directions are the principal components of 64 samples of the class, drawn from the prior: the ways in which "
    "its images differ most. They are not named by anyone; see what each does. No training image is behind them."
)


def draw_traverse(manifest: Manifest) -> None:
    """Draw the tab."""
    form, result = st.columns([2, 3], gap="medium")
    with form:
        label, seed = pick_class(manifest, "travel_class"), pick_seed("travel_seed")
        known_key = f"latent directions {manifest.ref.sha256} {label}"
        known = _known(known_key)
        index = _pick_direction()
        key = f"latent travel {manifest.ref.sha256} {label} {seed} {index}"
        work = partial(travel, load(manifest), request(manifest, label, seed), index, known)
        draw_start("Draw", "travel", key, work)
        st.caption(WHAT_IT_IS)
    with result:
        found: Travel | None = draw_work(key, "The image and its neighbors along the direction appear here.")
        if found is not None:
            st.session_state[known_key] = st.session_state[key]
            _draw_amount(found)
    if found is not None:
        _draw_strip(found, label)


def _known(key: str) -> Sequence[LatentDirection]:
    """The directions of a class, where a job that is still in memory measured them."""
    job = job_queue().get(st.session_state.get(key, ""))
    return job.result.directions if job is not None and job.state == "done" else ()


def _pick_direction() -> int:
    st.session_state.setdefault("latent_direction", 0)
    st.segmented_control(
        "Direction",
        range(NUM_DIRECTIONS),
        required=True,
        key="latent_direction",
        format_func=lambda i: str(i + 1),
        persist_state="session",
        help="1 holds most of the variance.",
    )
    index: int = st.session_state["latent_direction"]
    return index


def _draw_amount(found: Travel) -> None:
    st.session_state.setdefault("latent_amount", 0.0)
    amount = st.select_slider(
        "Amount in standard deviations",
        AMOUNTS,
        key="latent_amount",
        format_func=_signed,
        persist_state="session",
        help="0 is the image that the Generator draws with this class and seed.",
    )
    image = found.images[AMOUNTS.index(amount)]
    name = f"direction {found.index + 1}, {_signed(amount)} deviations"
    draw_viewer({name: image}, key="latent_travel_viewer", space_px=SPACE_PX)


def _signed(amount: float) -> str:
    return f"{amount:+g}" if amount else "0"


def _draw_strip(found: Travel, label: str) -> None:
    (recipe,) = recipes(found.start)
    said = (
        f"The recipe's image moved along principal direction {found.index + 1} of its class by {AMOUNTS[0]:+g} to "
        f"{AMOUNTS[-1]:+g} standard deviations, first to last."
    )
    strip, count = encode_path_strip(found.strip(), recipe, said), len(found.strip())
    st.image(strip, width="stretch", output_format="PNG", alt=f"{count} synthetic images along a direction")
    st.caption(
        plain(
            f"{count} synthetic images of {words(label)}, seed {recipe.request.seed}: from {AMOUNTS[0]:+g} to "
            f"{AMOUNTS[-1]:+g} standard deviations along direction {found.index + 1}, which holds {found.share:.0%} of the "
            "variance of the class's samples."
        )
    )
    stem = f"{recipe.checkpoint.name}_{label}_seed{recipe.request.seed}_direction{found.index + 1}"
    with st.container(horizontal=True):
        st.download_button(
            "Strip PNG",
            strip,
            f"{stem}.png",
            "image/png",
            key="latent_travel_png",
            on_click="ignore",
            icon=":material/download:",
            help="The row, with the recipe inside and what was done.",
        )
        st.download_button(
            "GIF",
            partial(encode_path_gif, found.images, recipe, said, is_returning=True),
            f"{stem}.gif",
            "image/gif",
            key="latent_travel_gif",
            on_click="ignore",
            icon=":material/download:",
            help=f"All {len(found.images)} amounts, there and back.",
        )
