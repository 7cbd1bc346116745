"""The real films nearest to a generated image, with how near real films are to each other as the yardstick."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from pages.parts import charts
from pages.parts.research.frames import draw_image, facts, generated_badge, label, real_badge
from pages.parts.research.measured import neighborhood
from pages.parts.research.scene import Scene
from pages.parts.services import plain, studio
from xray_generator.dashboards.side_by_side import Sides

if TYPE_CHECKING:
    from xray_generator.dashboards.neighbors import Neighborhood

SPACE, COUNT, PLACE = "research_space", "research_neighbors", "research_neighbor_of"
FULL = (0.0, 1.0)
MOST = 8


def draw_neighbors(scene: Scene) -> None:
    """Draw the fields, the neighbors and the distances."""
    from xray_generator.dashboards.neighbors import UNITS, nearest_curve, spaces_at_hand

    sides = scene.sides
    if not sides.smaller:
        st.info("There is nothing to compare: a side has no image of this condition.")
        return
    first, second, third = st.columns([2, 3, 2], vertical_alignment="bottom")
    space = first.selectbox(
        "Space",
        spaces_at_hand(studio().encoder_root),
        key=SPACE,
        persist_state="session",
        help="Reference encoder: what a network trained on real films sees. Radiomics: 46 numbers of texture and tone. "
        "Pixels: the gray levels themselves.",
    )
    st.session_state[PLACE] = min(st.session_state.get(PLACE, 0), len(sides.generated) - 1)
    place = second.selectbox(
        "Generated image",
        range(len(sides.generated)),
        key=PLACE,
        persist_state="session",
        format_func=lambda i: label(sides.generated, i),
    )
    count = third.slider("Neighbors", 1, MOST, 4, key=COUNT, persist_state="session")
    found = neighborhood(sides, space)
    _draw_images(sides, found, place, count)
    _draw_yardstick(found, place)
    st.text("Distance to the nearest real film")
    charts.draw(charts.areas(nearest_curve(found)), "research_nearest", 260)
    st.caption(
        plain(
            f"{len(sides.generated):,} generated images to {len(sides.real):,} real films ({sides.split}), and each real "
            f"film to the nearest one of another patient. Unit: {UNITS[space]}. The films shown are all that is searched: "
            "the tab Copies tells of the whole training set."
        )
    )


def _draw_images(sides: Sides, found: Neighborhood, place: int, count: int) -> None:
    per_row = min(count, 4) + 1
    columns = st.columns(per_row)
    with columns[0]:
        generated_badge("(synthetic)")
        row = sides.generated.rows[place]
        draw_image(sides.generated.images[place], FULL, "Synthetic chest X-ray", facts(row) or row.prompt)
    for i, neighbor in enumerate(found.of(place, count)):
        if i and i % (per_row - 1) == 0:
            columns = st.columns(per_row)
        row = sides.real.rows[neighbor.place]
        with columns[i % (per_row - 1) + 1]:
            real_badge(f"· {neighbor.distance:.3g}")
            draw_image(
                sides.real.images[neighbor.place],
                FULL,
                f"Real chest X-ray, neighbor {i + 1}",
                f"{facts(row)} · {row.split} split",
            )


def _draw_yardstick(found: Neighborhood, place: int) -> None:
    nearest = found.of(place, 1)[0].distance
    ours, theirs = found.medians
    for column, (name, value, text) in zip(
        st.columns(3),
        (
            (
                "This image to its nearest real film",
                f"{nearest:.3g}",
                f"{found.share_nearer(nearest):.0%} of the real films are nearer than that to a film of another patient.",
            ),
            ("Generated images, in the middle", f"{ours:.3g}", f"Median over {len(found.nearest):,} generated images."),
            (
                "Real films, in the middle",
                f"{theirs:.3g}",
                f"The yardstick: median over {len(found.real_nearest):,} real films of the distance to another patient's.",
            ),
        ),
        strict=True,
    ):
        column.metric(name, value, border=True)
        column.caption(text)
