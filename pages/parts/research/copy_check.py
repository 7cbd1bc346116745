"""A copy check, on request, of the images shown now against the training films at hand."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st
from xray_generator.dashboards.copies import CopyCheck, check_copies, copy_space

from pages.parts.measured import draw_tiles
from pages.parts.research.copy_pairs import draw_pair_images
from pages.parts.research.scene import Scene
from pages.parts.research.sources import read_films
from pages.parts.services import encoders_key, plain, studio
from xray_generator.data.exploration import fingerprint
from xray_generator.data.rows import Row
from xray_generator.evaluation.image_sets import ImageSet
from xray_generator.types import StudioError

WANTED = "research_check_of"  # the digest of the images to check


def draw_check(scene: Scene) -> None:
    """Draw the button, and the result once it was asked for."""
    generated = scene.sides.generated
    training = scene.training()
    st.text("Check the images shown now")
    st.caption(
        plain(
            f"{len(generated):,} generated images against the {len(training):,} training films of the dataset at hand"
            f"{_of_all(scene)}. A copy of any other film cannot be found here."
        )
    )
    if not len(generated) or not training:
        st.info("There is no generated image of this condition, or no training film at hand.")
        return
    st.button("Check for copies", key="research_check", on_click=_ask, args=(generated.digest,))
    if st.session_state.get(WANTED) != generated.digest:
        return
    try:
        unseen = read_films(scene.unseen(), scene.size)
        key = (generated.digest, unseen.digest, fingerprint(training), encoders_key(studio().encoder_root))
        found = _check(key, generated, unseen, training)
    except StudioError as error:
        st.info(plain(error))
        return
    _draw_found(found, generated, len(unseen), scene.size)


def _of_all(scene: Scene) -> str:
    """How many films the model learned from, where its manifest says."""
    count = scene.manifest.data.get("num_train")
    return f", of {count:,} that the model learned from" if isinstance(count, int) else ""


def _draw_found(found: CopyCheck, generated: ImageSet, num_unseen: int, size: int) -> None:
    draw_tiles(found.measurements, per_row=3)
    st.text(
        f"{found.num_flagged} of {len(found.pairs)} flagged, against {found.num_training:,} training films; yardstick: "
        f"{num_unseen} unseen films"
    )
    draw_pair_images([(p, generated.images[p.place]) for p in found.pairs if p.place is not None], size)


def _ask(digest: str) -> None:
    st.session_state[WANTED] = digest


@st.cache_resource(show_spinner="Looking for copies among the training films", max_entries=4)
def _check(
    key: tuple[str, ...],  # noqa: ARG001 - stands for the images, the films and the encoders
    _generated: ImageSet,
    _unseen: ImageSet,
    _training: Sequence[Row],
) -> CopyCheck:
    space = copy_space(studio().encoder_root, _unseen, studio().device)
    return check_copies(_generated, _unseen, _training, space, studio().output_dir / "cache" / "evaluation")
