"""Super-resolution lab: an image enlarged by every interpolation and by a model, with differences and measures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import streamlit as st

from pages.kit.checkpoints import pick_model
from pages.kit.images import pick_image
from pages.kit.jobs import draw_job, start_button
from pages.kit.sampling import draw_seed
from pages.kit.services import escape_markdown, explain_faults, find_dataset_for, studio
from pages.kit.viewer import draw_slider, draw_viewer
from xray_generator.checkpoints import Manifest
from xray_generator.dashboards.difference import comparison_strip, difference
from xray_generator.data.naming import subject
from xray_generator.evaluation.measures import MEASURES
from xray_generator.experiments.enlargement import FACTOR, Enlargements, enlarge_every_way
from xray_generator.export.archive import Source
from xray_generator.images import encode_png
from xray_generator.registry import draws
from xray_generator.types import NOTICE, Image, StudioError

INTRODUCTION = (
    "A model draws the detail that an enlarged image lacks; it is invented, and no evidence of anything. In one step "
    "it draws the mean of all images that fit, which is nearest to the real one; in several, one sharp image of them."
)
WAYS = {True: "Reduce it first, and compare", False: "Enlarge it as it is"}
ORIGINAL = "original"
DIGITS = 3  # that are shown of a measure


@dataclass(frozen=True, slots=True)
class Choice:
    """How an image is enlarged."""

    is_reduced: bool  # first, so that the image itself is the original to compare with
    size: int


@explain_faults()
def main() -> None:
    """Draw the choice on the left and what each method made on the right."""
    st.caption(INTRODUCTION)
    form, result = st.columns([2, 3], gap="medium")
    with form:
        manifest = _pick_model()
        source = pick_image("enlarge", pick_rows=lambda: find_dataset_for(manifest).rows)
        if source is None:
            return
        _warn_of_others(manifest, source)
        choice = _pick_way(manifest, min(source.image.shape))
        seed = draw_seed("enlarge_seed")
        key = f"enlarge {manifest.ref.sha256} {source.digest} {choice} {seed}"
        start_button(
            "Enlarge",
            key,
            lambda: studio().task(
                enlarge_every_way,
                source.image,
                choice.size,
                checkpoint=manifest.ref.full_name,
                load=studio().enlarger,
                is_reduced=choice.is_reduced,
                seed=seed,
            ),
            key="enlarge_start",
            shortcut="Ctrl+Enter",
        )
    with result:
        found: Enlargements | None = draw_job(key, "The image appears here, enlarged in every way.")
        if found is not None:
            _draw_result(found, source, manifest)


def _pick_model() -> Manifest:
    manifests = {manifest.ref.full_name: manifest for manifest in studio().enlargers()}
    if not manifests:
        raise StudioError("No checkpoint here enlarges images. Train one: python -m xray_generator.train.")
    return pick_model(manifests, "enlarge_model")


def _warn_of_others(manifest: Manifest, source: Source) -> None:
    """Say so where the image is known to be of another kind than those that the model learned from."""
    if source.recipe is None:
        return
    try:
        drawn_by = studio().manifest(source.recipe.checkpoint.full_name)
    except StudioError:
        return
    if subject(drawn_by) != subject(manifest):
        st.warning(
            f"This image is of another kind ({subject(drawn_by)}) than those that the model learned from "
            f"({subject(manifest)}), so the detail that it draws does not belong to it."
        )


def _pick_way(manifest: Manifest, side: int) -> Choice:
    """Draw the ways and sizes that an image of `side` pixels allows.

    Raises:
        StudioError: it allows none.
    """
    smallest = 1 if draws(manifest.family) else 0  # one that also draws enlarges to all but its smallest size
    sizes = sorted(manifest.sizes)[smallest:]
    allowed = {True: [size for size in sizes if size <= side], False: [size for size in sizes if size > side]}
    ways = [way for way, found in allowed.items() if found]
    if not ways:
        raise StudioError(f"The image has {side} pixels a side, and {manifest.name} enlarges to {sizes[-1]} at most.")
    is_reduced = st.segmented_control(
        "Way",
        ways,
        format_func=WAYS.__getitem__,
        default=ways[0],
        required=True,
        key=f"enlarge_way of {ways}",
        persist_state="session",
        help=f"Reduced to 1/{FACTOR} of the side and enlarged again, the image itself is what to compare with. It must "
        f"have as many pixels as it is enlarged to: {sizes[0]} or more.",
    )
    is_reduced = ways[0] if is_reduced is None else is_reduced
    size = st.segmented_control(
        "Pixels a side",
        allowed[is_reduced],
        default=allowed[is_reduced][0],
        required=True,
        key=f"enlarge_size of {allowed[is_reduced]}",
        persist_state="session",
    )
    return Choice(is_reduced, int(size or allowed[is_reduced][0]))


def _draw_result(found: Enlargements, source: Source, manifest: Manifest) -> None:
    images: dict[str, Image] = {item.name: item.image for item in found.items}
    if found.original is not None:
        images[ORIGINAL] = found.original
    models = [name for name in images if name.startswith("model")]
    given = [name for name in images if name not in models and not source.is_synthetic]
    draw_viewer(images, "enlarge_viewer", space_px=420, unknown=given, window=source.hu_window)
    height, width = found.low.shape
    size = len(found.items[0].image)
    st.caption(
        escape_markdown(f"From {width} x {height} to {size} x {size} pixels by {manifest.name}; {source.origin}.")
    )
    if found.original is not None:
        _draw_measures(found)
        _draw_difference(found, images)
    places = zip(st.columns(2), ("Left", "Right"), (2, len(found.items) - 1), strict=True)
    left, right = (
        str(place.selectbox(side, list(images), index=first, key=f"enlarge_{side}", persist_state="session"))
        for place, side, first in places
    )
    draw_slider(encode_png(images[left]), left, encode_png(images[right]), right, ratio=1, key="enlarge_slider")
    _draw_downloads(images, source, manifest)


def _draw_measures(found: Enlargements) -> None:
    columns: dict[str, list[object]] = {"Method": [item.name for item in found.items]}
    helps = {}
    for name in found.items[0].measures:
        measure = MEASURES[name]
        title = f"{measure.title} ({measure.unit})" if measure.unit else measure.title
        columns[title] = [f"{item.measures[name]:.{DIGITS}g}" for item in found.items]
        helps[title] = st.column_config.Column(help=measure.help)
    columns["Time (ms)"] = [round(item.seconds * 1_000) for item in found.items]
    st.dataframe(columns, hide_index=True, width="stretch", column_config=helps, key="enlarge_measures")
    st.caption("n = 1: an example, no measurement. The Metrics page shows what was measured on many unseen images.")


def _draw_difference(found: Enlargements, images: Mapping[str, Image]) -> None:
    assert found.original is not None
    with st.expander("Difference from the original"):
        grid = st.grid(min(3, len(found.items)), min_column_width=160)
        for item in found.items:
            changed = difference(found.original, images[item.name])
            with grid.cell():
                st.image(changed.map(), item.name, width="stretch", output_format="PNG")
                st.caption(f"mean {changed.mean_absolute:.2%} of the gray scale, shown x {changed.gain}")
        st.caption("Blue: darker than the original; red: brighter; black: equal.")


def _draw_downloads(images: Mapping[str, Image], source: Source, manifest: Manifest) -> None:
    note = {"Description": f"{NOTICE} Enlarged by {manifest.name}; {source.origin}."}
    files = {"All in one strip": comparison_strip(images, note)}
    files |= {name: encode_png(image, note) for name, image in images.items()}
    with st.container(horizontal=True):
        for name, data in files.items():
            slug = name.replace(" ", "_").replace(",", "")
            st.download_button(
                name,
                data,
                f"{source.digest}_{slug}.png",
                "image/png",
                key=f"enlarge_png_{slug}",
                on_click="ignore",
                icon=":material/download:",
            )


main()
