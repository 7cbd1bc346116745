"""Home: what can be drawn, one click from its first image; how far it can be trusted; and what else there is to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from pages.kit.checkpoints import draw_strengths, open_generator
from pages.kit.jobs import draw_hint
from pages.kit.services import escape_markdown, explain_faults, studio
from xray_generator.checkpoints import Manifest
from xray_generator.data.naming import class_titles, subject
from xray_generator.gallery import find_samples, read_recipe
from xray_generator.registry import reads_prompts
from xray_generator.requests import describe_condition

WELCOME = (
    "Synthetic medical images for research and teaching. Choose what to draw: one click draws the first image. From "
    "there you can ask for another, change it, measure it, and download it with the recipe that draws it again."
)
TRUST = (
    "No image shows a patient, and none is evidence about one. Models are measured beside real images that they did "
    "not learn from, point by point: is each class or finding recognized as often, is it as sharp, is it a copy? A "
    "classifier and measures judge that, no doctor, and nothing of it checks the anatomy. So look for yourself:"
)
TILE_PX, TILES = 160, 4  # as narrow as a tile may be: two on a phone
NUM_SAMPLES = 4  # of a subject: one large
LINK_PX = 220
JUDGE = ("measure/metrics.py", "measure/research.py", "measure/readers.py")  # for whoever wants to see for themselves
PAGES = {  # as in the navigation
    "Create": {
        "create/batch.py": "Make a labeled set, every image judged.",
        "create/live.py": "Watch an X-ray follow your words.",
        "create/edit.py": "Add a finding to a patient, or remove one.",
        "create/latent.py": "Turn one cell into another.",
        "create/adapters.py": "See what small trainings change.",
        "create/enlarge.py": "Compare ways to enlarge an image.",
        "create/enhancement.py": "Compare ways to enhance an image.",
        "create/gallery.py": "Find what you drew; rate and compare it.",
        "create/grid.py": "See what each setting does, side by side.",
    },
    "Measure": {
        "measure/metrics.py": "How good is a model?",
        "measure/evaluation.py": "Which model is better?",
        "measure/research.py": "Real and generated images side by side.",
        "measure/model_analysis.py": "Look inside a model.",
        "measure/likelihood.py": "How typical is a CT slice?",
        "measure/readers.py": "Can people tell real from synthetic?",
    },
    "Explore, and about": {
        "explore/dataset.py": "Look through real images and their labels.",
        "settings.py": "What runs here, and how to cite it.",
    },
}


def main() -> None:
    """Draw a tile for each subject, how far each can be trusted, and the other pages."""
    subjects: dict[str, list[Manifest]] = {}
    for manifest in studio().checkpoints():
        subjects.setdefault(subject(manifest), []).append(manifest)
    st.markdown(WELCOME)
    if subjects:
        grid = st.grid(TILES, min_column_width=TILE_PX, gap="medium")
        for title, manifests in subjects.items():
            with grid.cell():
                draw_tile(title, manifests)
        draw_trust(subjects)
    else:
        with explain_faults():
            studio().manifest()  # says what to do
    st.subheader("More to do", anchor=False)
    for group, pages in PAGES.items():
        st.markdown(f"**{group}**")
        grid = st.grid(3, min_column_width=LINK_PX)
        for path, line in pages.items():
            with grid.cell(), st.container(gap=None):
                st.page_link(path)
                st.caption(line)


def draw_trust(subjects: Mapping[str, Sequence[Manifest]]) -> None:
    """Draw what the first model of each subject is good and bad at, and where to see for oneself."""
    st.subheader("How far can you trust them?", anchor=False)
    st.markdown(TRUST)
    with st.container(horizontal=True):
        for path in JUDGE:
            st.page_link(path, icon=":material/arrow_forward:", width="content")
    grid = st.grid(TILES, min_column_width=LINK_PX, gap="medium")
    for title, manifests in subjects.items():
        with grid.cell():
            st.markdown(f"**{escape_markdown(title)}**")
            draw_strengths(manifests[0], is_short=True)


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
    """Draw images that a checkpoint drew when it was measured: one large, and others small."""
    titles = class_titles(manifest.labels)
    paths = find_samples(studio().sample_dir(manifest.name), manifest, NUM_SAMPLES)
    if not paths:
        draw_hint("No sample yet. Yours is the first.", TILE_PX)
        return
    words = [describe_condition(recipe.request.condition, titles) for path in paths if (recipe := read_recipe(path))]
    st.image(paths[0], escape_markdown(f"Synthetic: {words[0]}"), width="stretch", alt=f"Synthetic sample: {words[0]}")
    grid = st.grid(NUM_SAMPLES - 1, min_column_width=40, gap="xsmall")
    for path, text in zip(paths[1:], words[1:], strict=True):
        with grid.cell():
            st.image(path, width="stretch", alt=f"Synthetic sample: {text}")


def describe_way(manifest: Manifest) -> str:
    """How images of a checkpoint are asked for."""
    titles = list(class_titles(manifest.labels).values())
    if titles:
        return f"By class, {len(titles)} to choose from: {'; '.join(titles[:3])}" + ("; ..." if titles[3:] else ".")
    return "From your own words." if reads_prompts(manifest) else "One kind, drawn at random."


main()
