"""Is a generated image a copy of a training film? The record's closest pairs, and a check of the images shown now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import streamlit as st
from xray_generator.dashboards.copies import CopyPair, recorded_pairs

from pages.parts.measured import draw_tiles
from pages.parts.research.copy_check import draw_check
from pages.parts.research.copy_pairs import draw_pair_images
from pages.parts.research.measured import stored_record
from pages.parts.research.radar import draw_origin
from pages.parts.research.scene import Scene
from pages.parts.services import studio
from xray_generator.checkpoints import Manifest
from xray_generator.evaluation.records import Measurement, Record

FIGURE = "closest_pairs.png"
IN_WORDS = (
    "Every image is compared with every training film, in pixels (mirrored, shifted and cropped copies included) and "
    "in features. How near is too near is set by real films that the model never saw: they cannot be copies, and "
    "nearly all of them are farther away than the threshold. So an alarm is a reason to look, and some 3 % of honest "
    "images raise one; only more than that means that the model copies patients."
)
TILES = ("copy_rate", "authenticity", "nearest_distance_ratio", "copies_found")


def draw_copies(scene: Scene) -> None:
    """Draw the stored audit, its closest pairs and the check on demand."""
    st.caption(IN_WORDS)
    record = stored_record(scene.manifest)
    if record is None:
        st.info(
            "There is no record of this checkpoint. `python -m xray_generator.evaluate` audits the whole training set."
        )
    else:
        _draw_record(record, scene)
    st.divider()
    draw_check(scene)


def _draw_record(record: Record, scene: Scene) -> None:
    draw_origin(record, scene.manifest)
    draw_tiles(list(_tiles(record)))
    pairs = recorded_pairs(record, scene.rows)
    if not pairs:
        st.info("This record holds no closest pairs.")
        return
    flagged = sum(pair.flagged for pair in pairs)
    found = sum(pair.path is not None for pair in pairs)
    st.text(f"The {len(pairs)} closest pairs of the record, the nearest first: {flagged} flagged")
    live = [(pair, image) for pair in pairs if pair.path and (image := _find(pair.image, scene.manifest))]
    if live:
        draw_pair_images(live, scene.size)
    elif found < len(pairs):
        st.caption(
            f"Of the {len(pairs)} training films {found} are in the dataset at hand, so the pictures of the record are "
            "shown."
        )
    figure = studio().figure_dir / record.name / FIGURE
    if figure.is_file():
        with st.expander("The record's picture of the closest pairs", expanded=not live):
            st.image(str(figure), width="stretch", alt="Generated images beside their nearest training films")
    st.dataframe([_line(pair) for pair in pairs], hide_index=True, width="stretch", key="research_closest_pairs")


def _tiles(record: Record) -> Iterator[Measurement]:
    for name in TILES:
        if (found := record.get(name)) is not None:
            yield found


def _line(pair: CopyPair) -> dict[str, object]:
    return {
        "Flagged": "copy?" if pair.flagged else "no",
        "Generated image": pair.image,
        "Nearest training film": pair.film,
        "Similarity": round(pair.similarity, 3),
        "Mirrored": "yes" if pair.flipped else "no",
        "Score": round(pair.score, 2),
        "Threshold": round(pair.threshold, 2),
        "Film at hand": "yes" if pair.path else "no",
    }


def _find(name: str, manifest: Manifest) -> Path | None:
    """The generated image of a record, where it was kept."""
    folders: Sequence[Path] = (studio().sample_dir(manifest.name), studio().generated_dir)
    plain_name = Path(name).name
    return next((folder / plain_name for folder in folders if (folder / plain_name).is_file()), None)
