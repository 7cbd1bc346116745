"""Home: what can be drawn, as pictures with plain names; each is one click from its first image."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from pages.kit.checkpoints import open_generator
from pages.kit.jobs import draw_hint
from pages.kit.services import escape_markdown, studio
from xray_generator.checkpoints import Manifest
from xray_generator.data.naming import class_titles, subject
from xray_generator.gallery import find_sample, read_recipe
from xray_generator.registry import reads_prompts
from xray_generator.requests import describe_condition
from xray_generator.types import StudioError

WELCOME = (
    "Synthetic medical images for research and teaching: draw them, measure how real they look, and download each with"
    " the recipe that draws it again. What do you want to draw?"
)
TILE_PX = 220  # as narrow as a tile may be
PAGES = {
    "create/batch.py": "Make a labeled set, every image judged.",
    "create/live.py": "Watch an X-ray follow your words.",
    "create/edit.py": "Add a finding to a patient, or remove one.",
    "create/latent.py": "Turn one cell into another.",
    "create/adapters.py": "See what small trainings change.",
    "create/enlarge.py": "Compare ways to enlarge an image.",
    "create/enhancement.py": "Compare ways to enhance an image.",
    "create/gallery.py": "Find what you drew; rate and compare it.",
    "create/grid.py": "See what each setting does, side by side.",
    "explore/dataset.py": "Look through real images and their labels.",
    "measure/metrics.py": "How good is a model?",
    "measure/evaluation.py": "Which model is better?",
    "measure/research.py": "Real and generated images side by side.",
    "measure/model_analysis.py": "Look inside a model.",
    "measure/likelihood.py": "How typical is a CT slice?",
    "measure/readers.py": "Can people tell real from synthetic?",
    "settings.py": "What runs here, and how to cite it.",
}


def main() -> None:
    """Draw a tile for each subject, and below them the other pages."""
    subjects: dict[str, list[Manifest]] = {}
    for manifest in studio().checkpoints():
        subjects.setdefault(subject(manifest), []).append(manifest)
    st.markdown(WELCOME)
    if subjects:
        grid = st.grid(4, min_column_width=TILE_PX, gap="medium")
        for title, manifests in subjects.items():
            with grid.cell():
                draw_tile(title, manifests)
    else:
        try:
            studio().manifest()  # says what to do
        except StudioError as error:
            st.error(escape_markdown(error))
    st.markdown("**More to do**")
    grid = st.grid(3, min_column_width=TILE_PX)
    for path, line in PAGES.items():
        with grid.cell(), st.container(gap=None):
            st.page_link(path)
            st.caption(line)


def draw_tile(title: str, manifests: Sequence[Manifest]) -> None:
    """Draw a picture of a subject, how its images are asked for, and for each checkpoint a button that draws one."""
    with st.container(border=True):
        draw_sample(manifests[0])
        st.markdown(f"**{escape_markdown(title)}**")
        st.caption(escape_markdown(describe_way(manifests[0])))
        sizes = [max(manifest.sizes) for manifest in manifests]
        for place, manifest in enumerate(manifests):
            which = f"{sizes[place]} px" if sizes.count(sizes[place]) == 1 else manifest.name
            button = f"Draw one, {which}" if len(manifests) > 1 else "Draw one"
            if st.button(
                button,
                key=f"draw {manifest.name}",
                type="secondary" if place else "primary",
                width="stretch",
                help=manifest.name,
            ):
                open_generator(manifest.name)


def draw_sample(manifest: Manifest) -> None:
    """Draw an image that a checkpoint drew when it was measured."""
    path = find_sample(studio().sample_dir(manifest.name), manifest)
    recipe = read_recipe(path) if path else None
    if path is None or recipe is None:
        draw_hint("No sample yet. Yours is the first.", TILE_PX)
        return
    words = describe_condition(recipe.request.condition, class_titles(manifest.labels))
    st.image(path, escape_markdown(f"Synthetic: {words}"), width="stretch", alt=f"Synthetic sample: {words}")


def describe_way(manifest: Manifest) -> str:
    """How images of a checkpoint are asked for."""
    titles = list(class_titles(manifest.labels).values())
    if titles:
        return f"By class, {len(titles)} to choose from: {'; '.join(titles[:3])}" + ("; ..." if titles[3:] else ".")
    return "From your own words." if reads_prompts(manifest) else "One kind, drawn at random."


main()
