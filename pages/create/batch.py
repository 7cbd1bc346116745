"""Batch: plan a balanced set beside the real images, say what it costs, make it, and download it with its tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import streamlit as st

from pages.kit.checkpoints import pick_checkpoint
from pages.kit.facts import draw_facts
from pages.kit.jobs import draw_job, find_job, is_running, start_button
from pages.kit.person import person
from pages.kit.sampling import draw_seed
from pages.kit.services import count_text, escape_markdown, explain_faults, find_dataset_for, find_datasets, studio
from xray_generator.checkpoints import Manifest
from xray_generator.config import dump, parse
from xray_generator.data.rows import AGE_GROUPS, SEX_NAMES, Row, evenly, finding_name
from xray_generator.registry import reads_prompts
from xray_generator.sets.gate import COPY
from xray_generator.sets.making import describe_estimate, describe_progress, make_set, zip_set
from xray_generator.sets.plan import Cell, Gate, Plan, Series
from xray_generator.sets.planning import ask_each, count_real, fill_up, make_cells
from xray_generator.sets.shards import Shard
from xray_generator.sets.writing import count_done, measure
from xray_generator.types import NOTICE

MAX_IMAGES = 500  # that a page makes; the command makes any number
NUM_SHOWN = 12  # images of a finished set
EACH, FILL_UP = "As many of each kind", "Fill up the real ones"
CHECKS = {"require": "Draw again", "mark": "Mark only", "off": "Do not look"}
INTRODUCTION = (
    "A labeled set for training or tests: every image is judged, what fails is drawn again, and what was made stays "
    "when you cancel or reload. Start it again to go on."
)


@explain_faults()
def main() -> None:
    """Draw the plan on the left, and its set on the right."""
    st.caption(INTRODUCTION)
    form, result = st.columns([2, 3], gap="medium")
    with form:
        manifest = pick_checkpoint()
        real = find_dataset_for(manifest).split("train")
        cells = _draw_cells(manifest, real)
        gate = _draw_gate()
        if cells is None:
            return
        seed = draw_seed("batch_seed", "Seed of the plan")
        series = Series(Plan("batch", manifest.ref.full_name, cells, seed, gate=gate), manifest)
        folder = studio().output_dir / "sets" / person() / series.key
        _draw_start(series, folder, _folder_of(real))
    with result:
        _draw_set(series, folder)


def _draw_cells(manifest: Manifest, real: Sequence[Row]) -> tuple[Cell, ...] | None:
    """Draw the planner; None until kinds of images are chosen. StudioError where a number is not allowed."""
    chosen = _pick_facts(manifest) if reads_prompts(manifest) else _pick_labels(manifest)
    if chosen is None:
        return None
    cells = _count(manifest.ref.full_name, make_cells(manifest, **chosen), len(real), real)
    way = st.segmented_control("How many", (EACH, FILL_UP), default=EACH, required=True, key="batch_way")
    number = st.number_input(
        "Images of each kind" if way == EACH else "Real and drawn images of each kind together",
        1,
        1_000_000,
        4,
        key="batch_number",
        persist_state="session",
    )
    cells = ask_each(cells, number) if way == EACH else fill_up(cells, number)
    st.dataframe(
        {
            "Kind": [cell.title for cell in cells],
            "Real images": [cell.real for cell in cells],
            "To draw": [cell.count for cell in cells],
        },
        hide_index=True,
        width="stretch",
    )
    st.caption(f"Real images: those for training in the dataset of this server, {len(real):,} in all.")
    return cells


def _pick_labels(manifest: Manifest) -> dict[str, Any] | None:
    titles = studio().class_titles(manifest.ref.full_name)
    labels = st.multiselect(
        "Classes", list(titles), list(titles), format_func=lambda name: titles[name], key=f"batch_{manifest.name}"
    )
    return {"labels": labels, "findings": ()} if labels else None


def _pick_facts(manifest: Manifest) -> dict[str, Any] | None:
    vocabulary = studio().vocabulary(manifest.name)
    findings = ["no_finding", *(known.finding for known in vocabulary.findings)]
    chosen = st.multiselect(
        "Findings",
        findings,
        findings[:2],
        format_func=lambda name: "normal" if name == "no_finding" else finding_name(name),
        key=f"batch_{manifest.name}",
    )
    columns = st.columns(3)
    views = columns[0].multiselect("Views", vocabulary.views, key="batch_views", placeholder="Any")
    groups = [name for name in AGE_GROUPS if name in vocabulary.age_groups]
    ages = columns[1].multiselect(
        "Age groups", groups, format_func=lambda name: name.replace("_", " "), key="batch_ages", placeholder="Any"
    )
    sexes = columns[2].multiselect(
        "Sexes", vocabulary.sexes, format_func=lambda sex: SEX_NAMES.get(sex, sex), key="batch_sexes", placeholder="Any"
    )
    return {"labels": (), "findings": chosen, "views": views, "age_groups": ages, "sexes": sexes} if chosen else None


@st.cache_data(max_entries=16, show_spinner="Counting real images")
def _count(checkpoint: str, cells: tuple[Cell, ...], count: int, _rows: Sequence[Row]) -> tuple[Cell, ...]:  # noqa: ARG001 - of the key
    return count_real(cells, _rows)


def _draw_gate() -> Gate:
    with st.expander("What is judged"):
        fields = {
            "agrees": ("Where the reference classifier does not see what was asked for", "batch_agrees"),
            "is_no_copy": (f"Where it is {COPY}", "batch_copies"),
        }
        checks = {
            name: st.segmented_control(
                title, list(CHECKS), default="require", required=True, format_func=lambda name: CHECKS[name], key=key
            )
            for name, (title, key) in fields.items()
        }
        attempts = st.number_input("Attempts at each image", 1, 20, 4, key="batch_attempts", persist_state="session")
        st.caption("After the last attempt an image is left out. Copies are sought among the training images here.")
    return parse(Gate, {**checks, "attempts": attempts})


def _folder_of(rows: Sequence[Row]) -> Path | None:
    """The dataset of this server in which some images lie; None where there are none."""
    places = [place.folder for place in find_datasets() if rows and rows[0].path.is_relative_to(place.folder)]
    return max(places, key=lambda folder: len(folder.parts), default=None)


def _draw_start(series: Series, folder: Path, real: Path | None) -> None:
    """Draw what the plan costs, the button that starts it, and the plan as a file."""
    checkpoint, count = series.manifest.ref.full_name, len(series)
    key, estimate_key = f"batch {folder.name}", f"batch estimate {folder.name}"
    estimate = find_job(estimate_key)
    measured = estimate.result if estimate is not None and estimate.state == "done" else None
    missing = count - count_done(folder, series, Shard()) if folder.is_dir() else count
    words = f"{count_text(missing, 'image')} to draw. Time for an image: not measured."
    st.caption(escape_markdown(describe_estimate(replace(measured, images=missing)) if measured else words))
    with st.container(horizontal=True):
        start_button(
            "Measure",
            estimate_key,
            lambda: studio().task(measure, series, missing, checkpoint=checkpoint),
            key="batch_measure",
            type="secondary",
            width="content",
        )
        if is_running(estimate_key):
            draw_job(estimate_key, "")
        st.download_button(
            "Plan",
            json.dumps(dump(series.plan), indent=1, ensure_ascii=False),
            "plan.json",
            "application/json",
            key="batch_plan",
            on_click="ignore",
            icon=":material/download:",
        )
    start_button(
        "Make the set",
        key,
        lambda: studio().task(make_set, studio(), series, folder, real, checkpoint=checkpoint),
        key="batch_start",
        disabled=count > MAX_IMAGES,
    )
    if count > MAX_IMAGES:
        st.info(f"More than {MAX_IMAGES:,} images are made by the command below, on one machine or many.")
    with st.expander("By the command line", expanded=count > MAX_IMAGES):
        place = f" --real {real}" if real and series.plan.gate.is_no_copy != "off" else ""
        st.code(f"xray-studio synthesize plan.json{place} --formats parquet --output_dir DIR", "bash")


def _draw_set(series: Series, folder: Path) -> None:
    """Draw how the job stands, or the finished set."""
    key, manifest = f"batch {folder.name}", folder / "manifest.json"
    job = find_job(key)
    if manifest.is_file() and (job is None or job.state == "done"):
        _draw_finished(json.loads(manifest.read_bytes()), series, folder)
        return
    draw_job(key, "The set appears here. What was made of it before is kept.")
    if job is not None and job.result is not None:
        st.caption(escape_markdown(describe_progress(job.result)))


def _draw_finished(facts: dict[str, Any], series: Series, folder: Path) -> None:
    draw_facts(
        {
            "Images": f"{facts['images']:,}",
            "Left out": f"{facts['left_out']:,}",
            "Draws": f"{facts['draws']:,}",
            "Yield": f"{facts['images'] / facts['draws']:.0%}",
        }
    )
    if facts["refused"]:
        reasons = sorted(facts["refused"].items(), key=lambda pair: -pair[1])
        st.dataframe(
            {"Why an image was drawn again or left out": [r for r, _ in reasons], "Draws": [n for _, n in reasons]},
            hide_index=True,
            width="stretch",
        )
    paths = [path for item in map(series.item, range(len(series))) if (path := folder / item.path).is_file()]
    with st.container(horizontal=True):
        for path in evenly(paths, NUM_SHOWN):
            st.image(path, path.parent.name.replace("_", " "), 120)
    st.caption(NOTICE)
    st.download_button(
        "ZIP",
        lambda: zip_set(folder),
        f"set_{folder.name}.zip",
        "application/zip",
        key="batch_zip",
        on_click="ignore",
        icon=":material/download:",
        help="Folders by split and label, labels.csv, a data card, Croissant metadata, and a manifest with hashes.",
    )


main()
