"""What the research dashboard looks at: a checkpoint, a condition, real films, generated images, and how many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import streamlit as st

from pages.parts.checkpoint_picker import pick_checkpoint
from pages.parts.research.draw import POPOVER, draw_more
from pages.parts.research.sources import SHIPPED, SOURCES, dataset_rows, find_drawn, read_sides
from pages.parts.services import plain
from xray_generator.checkpoints import Manifest
from xray_generator.dashboards.prompts import condition_title
from xray_generator.dashboards.side_by_side import (
    MIN_SET,
    SPLITS,
    UNSEEN,
    Choice,
    Sides,
    choose_real,
    count_conditions,
)
from xray_generator.data.rows import Row

CONDITION, SPLIT, FROM, ENLARGED = "research_condition", "research_split", "research_sources", "research_enlarged"
SPLIT_TITLES = {
    UNSEEN: "unseen (val + test)",
    "val": "val split",
    "test": "test split",
    "train": "train split (seen)",
    "all": "all splits",
}


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """What every tab looks at."""

    manifest: Manifest
    rows: tuple[Row, ...]  # the whole dataset
    sides: Sides
    size: int  # pixels a side

    def unseen(self) -> Choice:
        """The films of all conditions that the model never saw, sharp ones: the yardstick of the copy check."""
        held_out = tuple(row for row in self.rows if row.split != "train")
        return choose_real(held_out, "", "all", self.size)

    def training(self) -> tuple[Row, ...]:
        """The films at hand that the model may have seen."""
        return tuple(row for row in self.rows if row.split == "train")


def pick_scene() -> Scene:
    """Draw the controls and the numbers; StudioError where there is no checkpoint or no dataset."""
    model_field, condition_field, split_field, from_field = st.columns([4, 3, 3, 4], vertical_alignment="bottom")
    with model_field:
        manifest = pick_checkpoint(prompted=True)  # conditions are read in prompts
    rows, size = dataset_rows(), manifest.sizes[0]
    split = split_field.selectbox(
        "Real films",
        list(SPLITS),
        format_func=SPLIT_TITLES.__getitem__,
        key=SPLIT,
        persist_state="session",
        help="Films of the train split may have been seen by the model: similarity to them is no merit.",
    )
    st.session_state.setdefault(FROM, list(SOURCES))
    sources = from_field.pills(
        "Generated images",
        SOURCES,
        selection_mode="multi",
        key=FROM,
        persist_state="session",
        help=f"{SHIPPED}: drawn and judged by the evaluation, and kept with its record.",
    )
    drawn = find_drawn(manifest, sources)
    with condition_field:
        condition = _pick_condition(count_conditions(rows), count_conditions(drawn.rows))
    choice = choose_real(rows, condition, split, size, enlarged=st.session_state.get(ENLARGED, False))
    scene = Scene(manifest, rows, read_sides(drawn, choice, condition, size), size)
    _draw_numbers(scene, drawn.next_seed)
    _draw_notes(scene.sides, (*choice.notes, *drawn.notes))
    return scene


def _pick_condition(real: Mapping[str, int], generated: Mapping[str, int]) -> str:
    fewer = {name: min(real.get(name, 0), generated.get(name, 0)) for name in real.keys() | generated.keys()}
    names = ["", *sorted(fewer, key=lambda name: (-fewer[name], name))]
    if st.session_state.get(CONDITION) not in names:
        st.session_state[CONDITION] = ""

    def title(name: str) -> str:
        counts = f" · {real.get(name, 0):,} real, {generated.get(name, 0):,} generated" if name else ""
        return f"{condition_title(name)}{counts}"

    return st.selectbox(
        "Condition",
        names,
        key=CONDITION,
        persist_state="session",
        format_func=title,
        help="A finding, view, sex or age group. Of real films it is their label, counted over all splits and sizes; "
        "of generated images it is what their prompt asks for, which is not always what they show.",
    )


def _draw_numbers(scene: Scene, next_seed: int) -> None:
    sides = scene.sides
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(plain(f"Real · n = {len(sides.real):,} · {sides.split}"), color="blue")
        st.badge(f"Generated (synthetic) · n = {len(sides.generated):,}", color="orange")
        with st.popover("Draw more", icon=":material/add:", key=POPOVER, on_change="rerun"):
            draw_more(scene.manifest, scene.rows, sides.condition, next_seed)
        st.checkbox(
            "Enlarged films too",
            key=ENLARGED,
            persist_state="session",
            help=f"Films of less than {scene.size} pixels a side are blurred by enlarging, so they are left out.",
        )


def _draw_notes(sides: Sides, notes: Sequence[str]) -> None:
    unread = [f"Not readable: {reason}." for reason in (*sides.real.skipped, *sides.generated.skipped)]
    few = f"A side has under {MIN_SET} images: look at them, but take no number for a result."
    said = [*notes, *unread[:3], *([few] if 0 < sides.smaller < MIN_SET else ())]
    if said:
        st.caption(plain(" ".join(said)))
