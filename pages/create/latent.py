"""Latent space: directions of a class, blends of two images, reconstructions, a map of samples, sizes compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import streamlit as st

from pages.kit import charts
from pages.kit.checkpoints import pick_checkpoint
from pages.kit.facts import draw_tiles
from pages.kit.follow import (
    between,
    draw_animation_downloads,
    draw_followed,
    draw_strip,
    draw_strip_button,
    draw_weight,
)
from pages.kit.images import pick_image
from pages.kit.jobs import draw_job, find_job, start_button
from pages.kit.sampling import draw_seed, pick_class
from pages.kit.services import Stamped, default_folder, escape_markdown, explain_faults, preload, studio
from pages.kit.viewer import draw_cine, draw_viewer
from xray_generator import generation
from xray_generator.abilities import NUM_DIRECTION_SAMPLES
from xray_generator.checkpoints import Manifest
from xray_generator.data.fitting import fit_square
from xray_generator.data.naming import class_titles
from xray_generator.data.read import read_dataset
from xray_generator.data.rows import Row
from xray_generator.experiments.latent_space import (
    AMOUNTS,
    PER_CLASS,
    STRIP,
    Comparison,
    LatentMap,
    compare_sizes,
    labeled_folders,
    map_latents,
    same_classes,
)
from xray_generator.experiments.reconstruction import GAIN, ClassReconstruction, reconstruct_as_classes
from xray_generator.export.animation import encode_path_gif, encode_path_strip, encode_row
from xray_generator.export.archive import Source
from xray_generator.export.recipe import recipes
from xray_generator.export.sheet import REAL_NOTICE, SheetRow, encode_sheet
from xray_generator.generation import NUM_DIRECTIONS, Traversal
from xray_generator.requests import make_request, read_condition
from xray_generator.types import NOTICE, GenerationRequest, Image

PLACED = "latent_placed"  # in the session: the job whose image the map may show

_download = partial(st.download_button, on_click="ignore", icon=":material/download:")


@explain_faults()
def main() -> None:
    """Draw the picker and the open tab."""
    with st.columns(2)[0]:
        manifest = pick_checkpoint("traverse")
    for tab, draw in zip(st.tabs(list(TABS), key="latent_tab", on_change="rerun"), TABS.values(), strict=True):
        if tab.open:
            with tab:
                _draw_tab(draw, manifest)
    preload(manifest.name)


@st.fragment
@explain_faults()
def _draw_tab(draw: Callable[[Manifest], None], manifest: Manifest) -> None:
    """Draw a tab; its fields run nothing else of the page."""
    draw(manifest)


def _title(manifest: Manifest, label: str) -> str:
    return class_titles(manifest.labels).get(label, label)


def _make_request(manifest: Manifest, label: str, seed: int) -> GenerationRequest:
    """One image of a class with the recommended settings. StudioError where that is not allowed."""
    return make_request(read_condition(manifest, label=label), seed=seed, size=manifest.sizes[0])


def draw_traverse(manifest: Manifest) -> None:
    """Move an image along a principal direction of its class: a slider, a strip and a GIF."""
    form, result = st.columns([2, 3], gap="medium")
    with form:
        label, seed = pick_class(manifest, "latent_travel_class"), draw_seed("latent_travel_seed")
        index = _pick_direction()
        request = _make_request(manifest, label, seed)
        measured_key = f"latent directions {manifest.ref.sha256} {label}"  # of a job that measured them
        job = find_job(measured_key)
        directions = job.result.directions if job is not None and job.state == "done" else ()
        key = f"latent travel {manifest.ref.sha256} {label} {seed} {index}"
        st.caption(
            f"Directions are the principal components of {NUM_DIRECTION_SAMPLES} generated samples of the class, "
            "strongest first. They have no names: move along one to see what it changes. No training image is involved."
        )
        start_button(
            "Draw",
            key,
            lambda: studio().task(
                generation.traverse, request, index, AMOUNTS, directions, checkpoint=manifest.ref.full_name
            ),
            key="latent_travel",
        )
    with result:
        traversal: Traversal | None = draw_job(key, "The image, moved along the direction, appears here.")
        if traversal is not None:
            st.session_state[measured_key] = st.session_state[key]
            names = [f"{amount:+g} standard deviations" if amount else "the image itself" for amount in AMOUNTS]
            series = {f"{_title(manifest, label)}, seed {seed}, direction {index + 1}": traversal.images}
            draw_cine(series, names, "latent_travel_viewer", space_px=480, first=AMOUNTS.index(0))
    if traversal is not None:
        _draw_traversal_strip(traversal, label, _title(manifest, label))


def _pick_direction() -> int:
    st.session_state.setdefault("latent_direction", 0)
    index = st.segmented_control(
        "Direction",
        range(NUM_DIRECTIONS),
        required=True,
        key="latent_direction",
        format_func=lambda i: str(i + 1),
        persist_state="session",
        help="1 explains the most variance.",
    )
    return index or 0


def _draw_traversal_strip(traversal: Traversal, label: str, title: str) -> None:
    (recipe,) = recipes(traversal.start)
    images, number, seed = traversal.images[STRIP], traversal.index + 1, recipe.request.seed
    amounts = f"{AMOUNTS[0]:+g} to {AMOUNTS[-1]:+g} standard deviations along"
    description = f"The recipe's image, moved from {amounts} principal direction {number} of its class, in this order."
    strip = encode_path_strip(images, recipe, description)
    st.image(strip, width="stretch", output_format="PNG", alt=f"{len(images)} synthetic images along a direction")
    st.caption(
        escape_markdown(
            f"{len(images)} synthetic images of class {title} by {recipe.checkpoint.name}, seed {seed}, moved from "
            f"{amounts} direction {number}. "
            f"It explains {traversal.explained_variance:.0%} of the variance of the class's samples."
        )
    )
    draw_animation_downloads(
        strip,
        partial(encode_path_gif, traversal.images, recipe, description, is_returning=True),
        f"{recipe.checkpoint.name}_{label}_seed{seed}_direction{number}",
        "latent_travel",
        f"All {len(traversal.images)} amounts, there and back",
    )


def draw_between(manifest: Manifest) -> None:
    """Blend two images: two classes of one seed, two seeds of one class, or both."""
    form, picture = st.columns([2, 3], gap="medium")
    with form:
        first, second = (_pick_end(manifest, name, place) for place, name in enumerate("AB"))
        drawing = between(manifest.ref, first, second, draw_weight("latent_weight"))
        st.caption(
            "Noise is interpolated on the sphere, the class on a straight line. One seed and two classes: only the "
            "class changes. One class and two seeds: one image turns into another."
        )
        draw_strip_button(manifest.ref, first, second, 7, "latent")
    with picture:
        draw_followed(drawing, manifest.ref, "latent")
    draw_strip(manifest.ref, "latent")


def _pick_end(manifest: Manifest, name: str, place: int) -> GenerationRequest:
    label = pick_class(manifest, f"latent_class_{name}", f"Class of {name}", first=place)
    return _make_request(manifest, label, draw_seed(f"latent_seed_{name}", f"Seed of {name}"))


def draw_reconstruct(manifest: Manifest) -> None:
    """Encode and decode an image as its class, and decode it as each other class."""
    form, result = st.columns([2, 3], gap="medium")
    with form:
        source = pick_image("latent_image", manifest=manifest, pick_rows=_pick_rows)
        label = pick_class(manifest, "latent_reconstruct_class", "Class of the image")
        key = f"latent reconstruction {manifest.ref.sha256} {source.digest if source else 'nothing'} {label}"
        st.caption(
            "Encoder and decoder are given the class, so the wrong class gives a worse reconstruction. The difference "
            "shows what the latents do not keep."
        )
        start_button(
            "Reconstruct",
            key,
            lambda: studio().task(
                reconstruct_as_classes,
                source and source.image,
                label,
                manifest.labels,
                checkpoint=manifest.ref.full_name,
            ),
            key="latent_reconstruct",
            disabled=source is None,
        )
    with result:
        found: ClassReconstruction | None = draw_job(key, "The image and its reconstruction appear here.")
        if found is not None and source is not None:
            _draw_reconstruction(found, source, manifest)
    if found is not None and source is not None:
        _draw_other_classes(found, manifest)
        if st.session_state["latent_image_source"] != "Dataset":  # latents of training images are never shown
            st.session_state[PLACED] = key


def _draw_reconstruction(found: ClassReconstruction, source: Source, manifest: Manifest) -> None:
    given = "As the model sees it"
    draw_viewer(
        {
            given: found.original,
            f"Reconstructed as {_title(manifest, found.label)}": found.reconstruction,
            f"Difference × {GAIN:g}": found.difference,
        },
        key="latent_reconstruct_viewer",
        space_px=420,
        unknown=() if source.is_synthetic else (given,),
    )
    draw_tiles(found.measurements, 3)
    description = (
        "The given image, then synthetic ones: its latents decoded as each of the classes "
        f"{', '.join((found.label, *found.others))}; last, the absolute difference of the first two, times {GAIN:g}. "
        f"Model: {manifest.ref.full_name}, {manifest.ref.sha256}."
    )
    images = (found.original, found.reconstruction, *found.others.values(), found.difference)
    _download(
        "Row PNG",
        partial(encode_row, images, description),
        f"{manifest.name}_reconstruction.png",
        "image/png",
        key="latent_reconstruct_png",
        help="The image, its reconstructions and the difference, with a description inside.",
    )


def _draw_other_classes(found: ClassReconstruction, manifest: Manifest) -> None:
    if not found.others:
        return
    st.caption("The same latents decoded as the other classes: what the class alone changes.")
    grid = st.grid(max(6, len(found.others)), min_column_width=90)
    for label, image in found.others.items():
        title = _title(manifest, label)
        with grid.cell(), st.container(gap=None):
            st.image(image, width="stretch", output_format="PNG", alt=f"Synthetic, decoded as {title}")
            st.caption(escape_markdown(f"Synthetic, as {title}"))


def _pick_rows(key: str = "latent_folder") -> Sequence[Row]:
    """Draw the choice of a dataset with classes, none at first; its images. StudioError where it cannot be read."""
    folders = labeled_folders(default_folder())
    folder = st.selectbox(
        "Dataset",
        folders,
        index=None,
        key=key,
        format_func=lambda path: path.name,
        persist_state="session",
        placeholder="None" if folders else "No dataset with classes here",
        help="Datasets with classes in this server's DATASET_PATH.",
    )
    return () if folder is None else _read_rows(Stamped.of(folder))


@st.cache_data(max_entries=4, show_spinner="Reading the dataset", hash_funcs={Stamped: hash})
def _read_rows(folder: Stamped) -> tuple[Row, ...]:
    return read_dataset(folder.path).rows


def draw_map(manifest: Manifest) -> None:
    """Samples of every class as points, and the visitor's reconstructed image among them."""
    key = f"latent map {manifest.ref.sha256}"
    form, chart = st.columns([1, 3], gap="medium")
    with form:
        start_button(
            f"Draw a map of {PER_CLASS * len(manifest.labels)} samples",
            key,
            lambda: studio().task(map_latents, manifest.labels, checkpoint=manifest.ref.full_name),
            key="latent_map",
        )
        st.caption(
            "Every point is synthetic. Latents of training images are never shown, because the images can be decoded "
            "from them."
        )
        own = _find_own(manifest)
        if own is None:
            st.caption("Reconstruct an uploaded or generated image to add it to the map.")
        elif not st.toggle("Show the reconstructed image", value=True, key="latent_map_own", persist_state="session"):
            own = None
    with chart:
        latent_map: LatentMap | None = draw_job(key, "A point for each sample appears here, colored by class.")
        if latent_map is not None:
            _draw_points(latent_map, own, manifest)
            _download(
                "Points CSV",
                latent_map.csv(),
                f"{manifest.name}_latent_map.csv",
                "text/csv",
                key="latent_map_csv",
                help="Class, seed and coordinates of each sample.",
            )


def _find_own(manifest: Manifest) -> ClassReconstruction | None:
    """The image that this checkpoint reconstructed last, if it is in memory and no training image."""
    key = st.session_state.get(PLACED, "nothing")
    job = find_job(key)
    return job.result if job is not None and job.state == "done" and manifest.ref.sha256 in key else None


def _draw_points(latent_map: LatentMap, own: ClassReconstruction | None, manifest: Manifest) -> None:
    titles = [_title(manifest, label) for label in latent_map.labels]
    x, y = latent_map.points.T.tolist()
    hover = [f"{title}, seed {seed}" for title, seed in zip(titles, latent_map.seeds, strict=True)]
    first, second = (
        f"component {i} ({share:.0%} of variance)" for i, share in enumerate(latent_map.explained_variance, 1)
    )
    figure: Any = charts.scatter(x, y, titles, hover, (first, second))
    colors = (charts.REAL, charts.GENERATED, *charts.OTHERS)
    symbols = ("circle", "square", "diamond", "triangle-up", "cross")
    for i, trace in enumerate(figure.data):
        color, symbol = colors[i % len(colors)], symbols[i % len(symbols)]
        trace.marker = {"color": color, "symbol": symbol, "size": 8, "opacity": 0.8}
    if own is not None:
        left, up = latent_map.project(own.latents)
        figure.add_scatter(
            x=[left],
            y=[up],
            mode="markers",
            name=charts.label(f"your image, as {_title(manifest, own.label)}"),
            marker={"symbol": "star", "size": 18, "color": "#D32F2F", "line": {"width": 1, "color": "white"}},
            hovertemplate="your image<extra></extra>",
        )
    charts.draw(figure, "latent_map_chart", 560)
    st.caption(
        f"PCA of {len(latent_map.labels)} latents, {PER_CLASS} per class, seeds from 0. The Generator draws the image "
        "of a point from its class and seed. Classes that overlap here may be separate in other components."
    )


def draw_compare(manifest: Manifest) -> None:
    """Images of a class side by side: of a training set, and drawn at each size for which there is a checkpoint."""
    manifests, count = same_classes(manifest, studio().checkpoints()), 4
    fields = st.columns([3, 1, 2, 1], gap="medium", vertical_alignment="bottom")
    with fields[0]:
        label = pick_class(manifest, "latent_compare_class")
    with fields[1]:
        seed = draw_seed("latent_compare_seed")
    with fields[2]:
        rows = _pick_rows("latent_compare_folder")
    folder = st.session_state["latent_compare_folder"]
    key = f"latent compare {' '.join(m.ref.sha256 for m in manifests)} {label} {seed} {folder}"
    with fields[3]:
        start_button(
            "Compare",
            key,
            lambda: partial(compare_sizes, studio(), manifests, label, rows, seed, count),
            key="latent_compare",
        )
    found: Comparison | None = draw_job(key, "Training images and generated ones appear here at the same size.")
    if found is None:
        return
    sets, title = _describe_sets(found), _title(manifest, found.label)
    columns = st.columns(len(sets) + (not found.real), gap="medium")
    for column, (name, caption, images) in zip(columns, sets, strict=False):
        with column:
            st.markdown(f"**{escape_markdown(name)}**")
            grid = st.grid(2, gap="xxsmall")
            for image in images:
                with grid.cell():
                    st.image(image, width="stretch", output_format="PNG", alt=name)
            st.caption(escape_markdown(caption))
    if not found.real:
        st.info(f"No training image of class {title} to compare with. Choose a dataset that has it.")
    for reason in found.skipped:
        st.caption(escape_markdown(reason))
    _download(
        "Sheet PNG",
        partial(_encode_sheet, found, title, count),
        f"comparison_{found.label}.png",
        "image/png",
        key="latent_compare_png",
        help="All images at the same size, each row labeled.",
    )


def _describe_sets(found: Comparison) -> list[tuple[str, str, Sequence[Image]]]:
    """Title, caption and images of the training images, where there are any, and of each checkpoint's."""
    sets: list[tuple[str, str, Sequence[Image]]] = []
    if found.real:
        native = sorted({row.native_size for row in found.rows if row.native_size})
        sides = f" from short sides of {native[0]} to {native[-1]} pixels" if native else ""
        sources = ", ".join(sorted({f"{row.source} {row.license}".strip() for row in found.rows}))
        caption = (
            f"{len(found.real)} images of the training split, fitted to {len(found.real[0])} pixels{sides}. {sources}"
        )
        sets.append(("Dataset", caption, found.real))
    for result in found.generated:
        side, seeds = result.request.height, result.seeds
        caption = f"{result.checkpoint.name}, {side} x {side} pixels, seeds {seeds[0]} to {seeds[-1]}."
        sets.append((f"Synthetic, {side} x {side}", caption, result.images))
    return sets


def _encode_sheet(found: Comparison, title: str, num_columns: int) -> bytes:
    side = max(result.request.height for result in found.generated)
    rows = [
        SheetRow(
            f"{REAL_NOTICE if name == 'Dataset' else NOTICE} {title}. {caption}",
            [fit_square(image, side).image for image in images],
        )
        for name, caption, images in _describe_sets(found)
    ]
    return encode_sheet(rows, num_columns)


TABS = {
    "Traverse": draw_traverse,
    "Between two": draw_between,
    "Reconstruct": draw_reconstruct,
    "Map": draw_map,
    "Compare sizes": draw_compare,
}

main()
