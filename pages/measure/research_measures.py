"""What the Research dashboard measures on both sets: distributions, spectra, mean images, neighbors, radars."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import plotly.graph_objects as go
import streamlit as st

from pages.kit import charts
from pages.kit.facts import draw_tile
from pages.kit.services import encoders_key, escape_markdown, studio
from pages.measure.records import draw_origin, find_record
from pages.measure.research_scene import SIDES, Scene, draw_badge, draw_image, option_title
from xray_generator.dashboards import distributions, neighbors
from xray_generator.dashboards.distributions import Comparison, Comparisons, MeanImages
from xray_generator.dashboards.neighbors import Neighborhood
from xray_generator.dashboards.prompts import describe_row
from xray_generator.dashboards.series import spokes
from xray_generator.dashboards.side_by_side import MIN_SET, Sides
from xray_generator.evaluation.measures import MEASURES
from xray_generator.evaluation.records import Curve
from xray_generator.evaluation.summary import BETTER, NOT_MEASURED, value_text
from xray_generator.types import Image

cached = partial(st.cache_resource, max_entries=8, hash_funcs=SIDES | {Path: encoders_key})


@cached(show_spinner="Measuring the images")
def compare(sides: Sides) -> Comparisons:
    """Every per-image measure on both sets."""
    return distributions.compare(sides)


@cached(show_spinner="Counting gray levels")
def _count_gray_levels(sides: Sides) -> Curve:
    return distributions.gray_levels(sides)


@cached(show_spinner="Computing the power spectra")
def _compute_spectra(sides: Sides) -> Curve:
    return distributions.spectra(sides)


@cached(show_spinner="Averaging the images")
def _average(sides: Sides) -> MeanImages:
    return distributions.mean_images(sides)


@cached(show_spinner="Measuring distances")
def _find_neighbors(sides: Sides, space: str, encoders: Path) -> Neighborhood:
    features = neighbors.find_features(space, encoders, studio().device, sides.real.rows)
    return neighbors.neighborhood(sides, space, features)


# Distributions

READING = (
    "KS is the two-sample Kolmogorov-Smirnov statistic, the largest distance between the cumulative curves: 0 if "
    "they are identical, 1 if they do not overlap. It uses one real image per patient. p is the probability of a KS "
    "this large or larger if both sets came from the same distribution. Five measures are tested at once, so one "
    "“weak evidence” may be chance. Few images hide differences; very many reveal the smallest."
)


def draw_distributions(scene: Scene) -> None:
    """Draw the table of tests, a chart for each measure, and the gray levels."""
    found = compare(scene.sides)
    st.dataframe(list(map(_tabulate, found.measures)), hide_index=True, width="stretch", key="research_table")
    st.caption(READING)
    kind = st.segmented_control(
        "Charts",
        ("Histogram", "Cumulative"),
        key="research_distribution",
        default="Histogram",
        required=True,
        persist_state="session",
        label_visibility="collapsed",
    )
    places = [column for _ in range(3) for column in st.columns(2, gap="medium")]  # by rows: a phone keeps the order
    for place, one in zip(places, found.measures, strict=False):
        measure = MEASURES[one.measure]
        with place:
            st.text(
                f"{measure.title}: real {value_text(one.mean, one.mean.real)}, generated {value_text(one.mean)}",
                help=escape_markdown(f"{measure.help} {BETTER[measure.direction].capitalize()}."),
            )
            if kind == "Histogram":
                figure = charts.areas(distributions.histogram(one))
            else:
                figure = charts.lines(distributions.cumulative(one))
            figure.update_traces(mode="lines", line_shape="hvh" if kind == "Histogram" else "hv")
            charts.draw(figure, f"research_{one.measure}", 260)
    with places[len(found.measures)]:
        st.text("Gray levels of all pixels", help="Share of the pixels of a set, from 0 (black) to 255 (white).")
        charts.draw(charts.areas(_count_gray_levels(scene.sides)), "research_gray_levels", 260)


def _tabulate(one: Comparison) -> dict[str, str]:
    ends = one.ratio.interval
    return {
        "Measure": MEASURES[one.measure].title,
        f"Real (n = {len(one.real):,})": value_text(one.mean, one.mean.real),
        f"Generated (n = {len(one.generated):,})": value_text(one.mean),
        "Ratio to real": NOT_MEASURED if one.ratio.value is None else f"{one.ratio.value:.3g}",
        "95 % interval": f"{ends[0]:.3g} to {ends[1]:.3g}" if ends else one.ratio.reason or "needs 10 on each side",
        "KS": NOT_MEASURED if one.gap is None else f"{one.gap:.2f}",
        "p": NOT_MEASURED if one.p is None else "< 0.001" if one.p < 0.001 else f"{one.p:.3f}",
        "In words": one.verdict,
    }


# Spectra


def draw_spectra(scene: Scene) -> None:
    """Draw the power spectra and the distance between them."""
    curve = _compute_spectra(scene.sides)
    chart, tile = st.columns([3, 1], gap="medium")
    with chart:
        charts.draw(charts.lines(curve, log_x=True, log_y=True), "research_spectra", 440)
    with tile:
        draw_tile(compare(scene.sides).spectral)
        st.caption(
            f"Means of {len(scene.sides.real):,} real and {len(scene.sides.generated):,} generated images of "
            f"{scene.size} x {scene.size} pixels. Left: coarse shapes. Right: edges and grain. If the orange "
            "line is below the blue one on the right, fine detail is missing; if it is above, there is noise or an "
            "artificial pattern."
        )


# Mean images


def draw_means(scene: Scene) -> None:
    """Draw the mean images, their difference, and the deviation of each pixel."""
    found, sides = _average(scene.sides), scene.sides
    left, middle, right = st.columns(3, gap="medium")
    with left:
        draw_badge(f"· mean of {len(sides.real):,}", is_real=True)
        draw_image(found.real, "Mean of the real images")
    with middle:
        draw_badge(f"· mean of {len(sides.generated):,}", is_real=False)
        draw_image(found.generated, "Mean of the generated images")
    with right:
        figure = _draw_heat(found.difference, (-found.reach, found.reach), "RdBu_r", "Generated - real")
        charts.draw(figure, "research_difference", 360)
        st.caption(
            "Red: generated images are brighter; blue: darker, as a fraction of the gray scale. Mean absolute "
            f"difference {found.mean_difference:.3f}, maximum {found.reach:.3f}. With few images, spots appear by "
            "chance."
        )
    left, right, text = st.columns(3, gap="medium")
    for column, values, name in (
        (left, found.real_deviation, "Real"),
        (right, found.generated_deviation, "Generated"),
    ):
        figure = _draw_heat(values, (0, found.most_deviation), "Cividis", f"{name}: standard deviation")
        with column:
            charts.draw(figure, f"research_{name.lower()}_deviation", 360)
    text.metric(
        "Variation, generated / real",
        NOT_MEASURED if found.variation is None else f"{found.variation:.2f}",
        border=True,
        help="Mean standard deviation of a pixel over the generated images, divided by that over the real ones. Below "
        "1, generated images are more similar to each other than real ones.",
    )
    text.caption(
        f"How much each pixel varies between images, on one scale. n = {len(sides.real):,} real and "
        f"{len(sides.generated):,} generated."
    )


def _draw_heat(values: Image, reach: tuple[float, float], scale: str, title: str) -> go.Figure:
    """An image in colors from `reach[0]` to `reach[1]`, with a color bar."""
    figure = go.Figure(
        go.Heatmap(
            z=values,
            zmin=reach[0],
            zmax=reach[1],
            colorscale=scale,
            colorbar={"thickness": 12},
            hovertemplate="column %{x}, row %{y}: %{z:.3f}<extra></extra>",
        )
    )
    figure.update_xaxes(visible=False, constrain="domain")
    figure.update_yaxes(visible=False, autorange="reversed", scaleanchor="x", constrain="domain")
    figure.update_layout(title={"text": title, "font": {"size": 14}}, margin=charts.MARGIN)
    return figure


# Nearest neighbors


def draw_neighbors(scene: Scene) -> None:
    """Draw the real images nearest to a generated one, with distances between real images as the reference."""
    sides, encoders = scene.sides, studio().encoder_root
    if not sides.smaller:
        st.info("Nothing to compare: one side has no image of this condition.")
        return
    first, second, third = st.columns([2, 3, 2], vertical_alignment="bottom")
    spaces = neighbors.spaces_at_hand(encoders, sides.real.rows)
    if st.session_state.get("research_space") not in spaces:
        st.session_state["research_space"] = spaces[0]
    space = first.selectbox(
        "Space",
        spaces,
        key="research_space",
        persist_state="session",
        help="Reference encoder: features of a network trained on real images. Radiomics: 46 measures of texture and "
        "tone. Pixels: the gray levels themselves.",
    )
    key = "research_neighbor_of"
    st.session_state[key] = min(st.session_state.get(key, 0), len(sides.generated) - 1)
    place = second.selectbox(
        "Generated image",
        range(len(sides.generated)),
        key=key,
        persist_state="session",
        format_func=partial(option_title, sides.generated, scene.titles),
    )
    count = third.slider("Neighbors", 1, 8, 4, key="research_neighbors", persist_state="session")
    found = _find_neighbors(sides, space, encoders)
    _draw_neighbor_images(scene, found, place, count)
    nearest, (generated, real) = found.of(place, 1)[0].distance, found.medians
    closer = f"{found.share_nearer(nearest):.0%} of the real images are closer than that to one of another patient."
    tiles = {
        "This image to its nearest real image": (nearest, closer),
        "Generated images, median": (generated, f"To the nearest real image; {len(found.nearest):,} generated images."),
        "Real images, median": (real, f"To the nearest of another patient; {len(found.real_nearest):,} real images."),
    }
    for column, (name, (value, text)) in zip(st.columns(3), tiles.items(), strict=True):
        column.metric(name, f"{value:.3g}", border=True)
        column.caption(text)
    st.text("Distance to the nearest real image")
    charts.draw(charts.areas(neighbors.nearest_curve(found)), "research_nearest", 260)
    st.caption(
        escape_markdown(
            f"From {len(sides.generated):,} generated to {len(sides.real):,} real images ({sides.split}), and from "
            f"each real image to the nearest of another patient. Unit: {neighbors.UNITS[space]}. Only the images of "
            "this page are searched; the tab Memorization searches the training images."
        )
    )


def _draw_neighbor_images(scene: Scene, found: Neighborhood, place: int, count: int) -> None:
    sides = scene.sides
    grid = st.grid(min(count, 4) + 1, min_column_width=130)
    with grid.cell():
        draw_badge("(synthetic)", is_real=False)
        row = sides.generated.rows[place]
        draw_image(sides.generated.images[place], "Synthetic image", describe_row(row, scene.titles) or row.prompt)
    for i, neighbor in enumerate(found.of(place, count), 1):
        row = sides.real.rows[neighbor.place]
        with grid.cell():
            draw_badge(f"· {neighbor.distance:.3g}", is_real=True)
            caption = f"{describe_row(row, scene.titles)} · {row.split} split"
            draw_image(sides.real.images[neighbor.place], f"Real image, neighbor {i}", caption)


# Radar


def draw_radar(scene: Scene) -> None:
    """Draw the ratios to real of both sets, and of the checkpoint's stored record."""
    sides, manifest = scene.sides, scene.manifest
    left, right = st.columns(2, gap="medium")
    with left:
        st.text("These images")
        if sides.smaller < MIN_SET:
            counts = f"here are {len(sides.real)} real and {len(sides.generated)} generated"
            st.info(f"A radar needs {MIN_SET} images on each side; {counts}.")
        else:
            nearest = _find_neighbors(sides, neighbors.PIXELS, studio().encoder_root).medians
            ratios = distributions.ratios_now(compare(sides), _average(sides), nearest)
            _draw_ratios(ratios, "research_radar_now")
            st.caption(f"n = {len(sides.generated):,} generated, {len(sides.real):,} real ({sides.split}).")
    with right:
        st.text("The stored record")
        record = find_record(manifest)
        if record is None:
            st.info("There is no record of this checkpoint. `python -m xray_generator.evaluate` makes one.")
        else:
            _draw_ratios(spokes(record), "research_radar_stored")
            draw_origin(record, manifest)
    st.caption(
        "Each spoke is a measure of generated images divided by the same of real ones: 1, the blue ring, is as real. "
        f"Values above {charts.RADAR_LIMIT:g} lie on the rim; the tables list all values."
    )


def _draw_ratios(ratios: Mapping[str, float | None], key: str) -> None:
    charts.draw(charts.radar(ratios), key, 420)
    numbers = [NOT_MEASURED if ratio is None else f"{ratio:.2f}" for ratio in ratios.values()]
    table = {"Measure": list(ratios), "Times real": numbers}
    st.dataframe(table, hide_index=True, width="stretch", key=f"{key}_table")
