"""Images of a class side by side: of the training set, and drawn at each size for which there is a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import streamlit as st

from pages.parts.latent.folders import pick_rows
from pages.parts.latent.work import draw_start, draw_work, pick_class, pick_seed, words
from pages.parts.services import plain, studio
from xray_generator.checkpoints import Manifest
from xray_generator.dashboards.latent_space import Comparison, compare_sizes, same_classes
from xray_generator.export.sheet import SheetRow, encode_sheet
from xray_generator.types import NOTICE, PURPOSE, Image

COUNT, PER_ROW = 4, 2
GIVEN = f"Images of a data set, drawn by no model of this studio. {PURPOSE}"


def draw_compare(manifest: Manifest) -> None:
    """Draw the tab. StudioError where the data set cannot be read."""
    manifests = same_classes(manifest, studio().checkpoints())
    fields = st.columns([3, 1, 2, 1], gap="medium", vertical_alignment="bottom")
    with fields[0]:
        label = pick_class(manifest, "compare_class")
    with fields[1]:
        seed = pick_seed("compare_seed")
    with fields[2]:
        rows = pick_rows("latent_compare_folder")
    folder = st.session_state["latent_compare_folder"]
    key = f"latent compare {' '.join(m.ref.sha256 for m in manifests)} {label} {seed} {folder}"
    with fields[3]:
        work = partial(compare_sizes, studio().generate, manifests, label, rows, seed, COUNT)
        draw_start("Compare", "compare", key, work)
    found: Comparison | None = draw_work(key, "Training images and generated ones appear here, at equal size.")
    if found is not None:
        _draw(found)


def _draw(found: Comparison) -> None:
    rows = _rows(found)
    for column, (title, said, images) in zip(
        st.columns(len(rows) + (not found.real.images), gap="medium"), rows, strict=False
    ):
        with column:
            st.markdown(f"**{plain(title)}**")
            grid = st.grid(PER_ROW, gap="xxsmall")
            for image in images:
                with grid.cell():
                    st.image(image, width="stretch", output_format="PNG", alt=title)
            st.caption(plain(said))
    if not found.real.images:
        st.info(
            f"No training image of {words(found.label)} is beside them: choose a data set that has this class. Its "
            "images of the training split are shown."
        )
    for line in found.real.skipped:
        st.caption(plain(line))
    st.download_button(
        "Sheet PNG",
        partial(_sheet, found),
        f"comparison_{found.label}.png",
        "image/png",
        key="latent_compare_png",
        on_click="ignore",
        icon=":material/download:",
        help="All of them at equal size, with what they are.",
    )


def _rows(found: Comparison) -> list[tuple[str, str, Sequence[Image]]]:
    rows: list[tuple[str, str, Sequence[Image]]] = []
    if real := found.real.images:
        natives = sorted({row.native_size for row in found.real.rows if row.native_size})
        native = f", short sides in the files {natives[0]} to {natives[-1]} pixels" if natives else ""
        sources = ", ".join(sorted({f"{row.source} {row.license}".strip() for row in found.real.rows}))
        side = real[0].shape[0]
        said = f"{len(real)} images of this data set's training split, fitted to {side} pixels{native}. {sources}"
        rows.append(("Of the data set", said, real))
    for result in found.generated:
        side, seeds = result.request.height, result.seeds
        said = f"{result.checkpoint.name}, {side} x {side} pixels, seeds {seeds[0]} to {seeds[-1]}."
        rows.append((f"Synthetic, {side} x {side}", said, result.images))
    return rows


def _sheet(found: Comparison) -> bytes:
    from xray_generator.data.fitting import fit_square

    side = max(result.request.height for result in found.generated)
    return encode_sheet(
        [
            SheetRow(
                f"{GIVEN if title == 'Of the data set' else NOTICE} {words(found.label)}. {said}",
                [fit_square(image, side).image for image in images],
            )
            for title, said, images in _rows(found)
        ],
        COUNT,
    )
