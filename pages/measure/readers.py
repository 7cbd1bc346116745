"""Reader study: can people tell the images of a model from real ones? Blind, by several readers, with statistics."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

import streamlit as st

from pages.kit.checkpoints import pick_checkpoint
from pages.kit.jobs import draw_error, draw_hint, draw_job, find_job, keep_error, start_button
from pages.kit.person import person
from pages.kit.sampling import draw_seed
from pages.kit.services import (
    Stamped,
    count_text,
    escape_markdown,
    explain_faults,
    find_dataset_for,
    shared_dir,
    studio,
)
from pages.measure.readers_reading import CURRENT, STUDY, draw_reading
from pages.measure.readers_results import draw_results
from xray_generator.checkpoints import Manifest
from xray_generator.data.naming import subject
from xray_generator.data.rows import Row
from xray_generator.experiments.reader_study import (
    MAX_EACH,
    MIN_EACH,
    Study,
    delete_study,
    draw_study,
    list_real,
    list_samples,
    list_studies,
    match_rows,
    study_of_samples,
)
from xray_generator.experiments.readings import MAX_NAME_CHARACTERS, Reading, list_readings, open_reading
from xray_generator.jobs import Work
from xray_generator.types import StudioError

INTRODUCTION = (
    "Real and synthetic images, one at a time and in random order: which is which? What an image is stays hidden until "
    "a reader has judged all. Each answer is kept at once; close the page and go on later."
)
SAMPLES, FRESH = "Of the last evaluation", "Drawn for this study"
SHOWN = "readers_shown"  # of the session: the id of the last study that a job made here
FIRST_COUNT = 20  # images of each kind


def main() -> None:
    """Draw the reading that is open, or the studies with their results and the form of a new one."""
    root = studio().study_dir
    current = _find_current(root, list_studies(root))
    if current is not None:
        with explain_faults():
            draw_reading(root, *current)
        return
    st.caption(INTRODUCTION)
    left, right = st.columns([2, 3], gap="medium")
    with left, explain_faults():
        _draw_new(root)
    with right, explain_faults():
        _draw_studies(root)


def _find_current(root: Path, studies: Sequence[Study]) -> tuple[Study, Reading] | None:
    """The reading that is open at this browser; after a reload the last one that is not over."""
    own = [
        (study, reading)
        for study in studies
        for reading in list_readings(root, study)
        if reading.person == person() and not reading.is_over
    ]
    if CURRENT not in st.session_state:
        last = max(own, key=lambda pair: pair[1].began, default=None)
        st.session_state[CURRENT] = _key(*last) if last else ()
    return next((pair for pair in own if _key(*pair) == st.session_state[CURRENT]), None)


def _key(study: Study, reading: Reading) -> tuple[str, str]:
    return study.id, reading.reader


# A new study


def _draw_new(root: Path) -> None:
    st.markdown("**A new study**")
    manifest = pick_checkpoint()
    real = list_real(manifest, find_dataset_for(manifest).rows)
    if len(real) < MIN_EACH:
        st.info(escape_markdown(_explain_lack(manifest, len(real))))
        return
    pairs = _match(manifest, real)
    source = _pick_source(manifest, has_samples=len(pairs) >= MIN_EACH)
    most = min(len(pairs if source == SAMPLES else real), MAX_EACH)
    count_key = f"readers_count {manifest.name} {source}"
    st.session_state[count_key] = min(st.session_state.get(count_key, FIRST_COUNT), most)
    count = int(st.number_input(f"Images of each kind, {MIN_EACH} to {most}", MIN_EACH, most, key=count_key))
    seed = draw_seed("readers_seed", help="Decides which images are chosen, and their order.")
    key, owner = f"readers {manifest.ref.sha256}", person()

    def make_work() -> Work:
        if source == SAMPLES:
            return lambda _: study_of_samples(manifest, pairs, count, seed=seed, owner=owner, root=root)
        name = manifest.ref.full_name
        return studio().task(draw_study, real, count, checkpoint=name, seed=seed, owner=owner, root=root)

    start_button(f"Make a study of {2 * count} images", key, make_work, key="readers_make")
    if find_job(key) is not None:
        made: Study | None = draw_job(key, "")
        if made is not None and st.session_state.get(SHOWN) != made.id:
            st.session_state[SHOWN] = st.session_state[STUDY] = made.id


def _pick_source(manifest: Manifest, *, has_samples: bool) -> str:
    choices = [SAMPLES, FRESH] if has_samples else [FRESH]
    key = f"readers_source {manifest.name}"
    if st.session_state.get(key) not in choices:
        st.session_state[key] = choices[0]
    source = st.segmented_control(
        "Synthetic images",
        choices,
        required=True,
        key=key,
        persist_state="session",
        help="Each is of the condition of one of the real images. Those of the last evaluation are there already, but "
        "the pages show some of them; those drawn for the study nobody has seen.",
    )
    return str(source)


def _explain_lack(manifest: Manifest, num_real: int) -> str:
    return (
        f"A study needs {MIN_EACH} real images such as {manifest.name} draws ({subject(manifest)}), of the splits val "
        f"or test, and the datasets of this server hold {num_real}. Start it with DATASET_PATH set to a larger one."
    )


def _match(manifest: Manifest, real: tuple[Row, ...]) -> tuple[tuple[Row, Row], ...]:
    folder = studio().sample_dir(manifest.name)
    files = tuple(map(Stamped.of, sorted(folder.glob("*.png"))))
    return _match_kept(manifest, real, folder, files)


@st.cache_resource(
    max_entries=4,
    show_spinner="Looking for images",
    hash_funcs={Manifest: lambda one: one.ref.sha256, Row: lambda one: str(one.path), Stamped: hash},
)
def _match_kept(
    manifest: Manifest,
    real: tuple[Row, ...],
    folder: Path,
    files: tuple[Stamped, ...],  # noqa: ARG001 - read again when these change
) -> tuple[tuple[Row, Row], ...]:
    return match_rows(list_samples(folder, manifest), real)


# The studies that are there


def _draw_studies(root: Path) -> None:
    known = {study.id: study for study in list_studies(root)}
    if not known:
        draw_hint("There is no study yet. Make one on the left.")
        return
    if st.session_state.get(STUDY) not in known:
        st.session_state[STUDY] = next(iter(known))
    chosen = st.selectbox(
        "Study", list(known), key=STUDY, format_func=lambda one: _describe(known[one]), persist_state="session"
    )
    study = known[str(chosen)]
    readings = list_readings(root, study)
    over, own = [one for one in readings if one.is_over], [one for one in readings if one.person == person()]
    _draw_begin(root, study, own)
    st.caption(
        f"{count_text(len(over), 'reader')} of {len(readings):,} through. Those who are through see the results of all "
        "of them, with their names."
    )
    if any(one.is_over for one in own) and _may_show(study, [one for one in own if not one.is_over]):
        draw_results(root, study, readings)
    if study.owner == person() or shared_dir() is not None:  # or whoever is at the machine
        with st.popover("Delete", icon=":material/delete:"):
            st.write("The study and all that its readers said are deleted for good.")
            st.button("Delete this study", key="readers_delete", on_click=partial(delete_study, root, study))


def _may_show(study: Study, blind: Sequence[Reading]) -> bool:
    """Whether results are shown at a browser at which other readers are not through."""
    names = ", ".join(one.reader for one in blind)
    label = escape_markdown(f"Show the results: {names} must not see them yet")
    return not blind or st.toggle(label, key=f"readers_may_show {study.id}")


def _describe(study: Study) -> str:
    made = datetime.fromtimestamp(study.created).strftime("%d %b %Y, %H:%M")
    return f"{study.checkpoint.name} · {len(study.items)} images of {study.size} px · {made}"


def _draw_begin(root: Path, study: Study, own: Sequence[Reading]) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.text_input(
            "Your name or initials", key=f"readers_name {study.id}", max_chars=MAX_NAME_CHARACTERS, autocomplete="off"
        )
        st.button("Begin", key="readers_begin", type="primary", on_click=_begin, args=(root, study, name))
        for one in (reading for reading in own if not reading.is_over):
            label = escape_markdown(f"Go on as {one.reader} ({len(one.answers)} of {len(study.items)})")
            key = f"readers_go_on {one.reader}"
            st.button(label, key=key, on_click=st.session_state.__setitem__, args=(CURRENT, _key(study, one)))
    draw_error(STUDY)


def _begin(root: Path, study: Study, name: str) -> None:
    with keep_error(STUDY):
        reading = open_reading(root, study, person(), name)
        if reading.is_over:
            raise StudioError(f"{reading.reader} has read this study. Another reader needs another name.")
        st.session_state[CURRENT] = _key(study, reading)


main()
