"""Settings and about: what runs here and on what, what can be cleaned up; method, limits, license, how to cite."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import streamlit as st

from pages.kit.album import own_folders
from pages.kit.checkpoints import pick_checkpoint
from pages.kit.facts import draw_facts
from pages.kit.services import explain_faults, own_dir, shared_dir, studio
from xray_generator.album.trash import KEPT_DAYS, TRASH, empty_trash
from xray_generator.checkpoints import CARD
from xray_generator.data.naming import checkpoint_title, plain
from xray_generator.machine import empty_folder, folder_bytes, free_bytes, read_memory, size_text
from xray_generator.types import PURPOSE

METHOD = (
    "An image is drawn from noise by networks that learned from examples, and carries the recipe that draws it again."
    " How a model works, which data it learned from, and what it must not be used for stands in its card."
)
LIMITS = (
    f"**{PURPOSE}** No image shows a patient, and none is evidence about one: findings can be absent, misplaced or "
    "impossible, and a model repeats the gaps of its data."
)
LICENSE_TEXT = (
    "The code and the weights that ship are under the MIT license (file LICENSE). The training images are not ours; "
    "the card of a model names their licenses, and whom to cite."
)
CITATION = Path("CITATION.cff")  # of the repository, from whose root the studio is started
FACTS = {"xray_generator": "Version", "dtype": "Number format"}  # other names of `devices.runtime_facts`
OTHERS_ONLY = "This is shared by all who use this server: only who sits at its machine can clean it up."


def main() -> None:
    """Draw what runs here and the clean-up on the left, about the product on the right."""
    left, right = st.columns(2, gap="large")
    with left:
        _draw_runtime()
        _draw_clean_up()
    with right:
        _draw_about()


@explain_faults()
def _draw_runtime() -> None:
    st.markdown("**What runs here**")
    with st.spinner("Looking at the device"):
        runtime = studio().runtime()
    draw_facts({FACTS.get(name) or plain(name): str(value) for name, value in runtime.items()}, columns=3)
    memory = read_memory()
    draw_facts(
        {
            "Memory of the studio": size_text(memory.used),
            "Memory of the machine": size_text(memory.total),
            "Memory available": size_text(memory.available),
            "Free on the disk of the images": size_text(free_bytes(studio().output_dir)),
            "Your images": size_text(folder_bytes(own_dir())),
        },
        columns=3,
    )
    st.markdown("**Models in memory**")
    names = [f"{checkpoint_title(manifest)} · {manifest.name}" for manifest in studio().loaded]
    st.text("\n".join(names) or "None. A model is loaded when it first draws.")


@explain_faults()
def _draw_clean_up() -> None:
    st.markdown("**Clean up**")
    is_here = shared_dir() is not None  # others see what is shared, and leave it
    _draw_row(
        "Models in memory",
        "They are loaded again when they are needed.",
        "Unload",
        studio().unload,
        is_allowed=is_here,
        is_empty=not studio().loaded,
    )
    cache = studio().cache_dir
    size = folder_bytes(cache)
    _draw_row(
        f"Cache of evaluations and labeled sets, {size_text(size)}",
        "One that was stopped then begins anew. Not while one is running.",
        "Empty",
        partial(empty_folder, cache),
        is_allowed=is_here,
        is_empty=not size,
    )
    trash = folder_bytes(own_dir() / TRASH)
    _draw_row(
        f"Images that you deleted, {size_text(trash)}",
        f"Kept for {KEPT_DAYS} days, so that they can be restored in the Gallery.",
        "Delete for good",
        partial(empty_trash, own_folders(), all_of_it=True),
        is_allowed=True,
        is_empty=not trash,
    )
    if not is_here:
        st.caption(OTHERS_ONLY)


def _draw_row(
    title: str, words: str, button: str, act: Callable[[], None], *, is_allowed: bool, is_empty: bool
) -> None:
    text, place = st.columns([3, 1], vertical_alignment="center")
    with text, st.container(gap=None):
        st.text(title)
        st.caption(words)
    place.button(button, key=f"settings {button}", on_click=act, disabled=is_empty or not is_allowed, width="stretch")


@explain_faults()
def _draw_about() -> None:
    st.markdown("**Method and data**")
    st.write(METHOD)
    manifest = pick_checkpoint()
    card = studio().checkpoint_root / manifest.ref.full_name / CARD
    if card.is_file():
        with st.expander("Model card"):
            st.markdown(_read_card(card))
    st.markdown("**Limits**")
    st.write(LIMITS)
    with st.container(horizontal=True):
        st.page_link("measure/metrics.py", label="What a model is good and bad at", icon=":material/monitoring:")
        st.page_link("measure/readers.py", label="Can people tell its images?", icon=":material/visibility:")
    st.markdown("**License and citation**")
    st.write(LICENSE_TEXT)
    if CITATION.is_file():
        st.code(CITATION.read_text(encoding="utf-8"), language="yaml", wrap_lines=True)


def _read_card(path: Path) -> str:
    """The words of a card, without the block for machines above them."""
    text = path.read_text(encoding="utf-8")
    return text.split("\n---\n", 1)[-1] if text.startswith("---\n") else text


main()
