"""Does the model memorize training images? The record's closest pairs, and a check of the images on the page."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path

import streamlit as st

from pages.kit.facts import draw_tiles
from pages.kit.services import Stamped, encoders_key, escape_markdown, own_dir, studio
from pages.measure.records import draw_origin, find_record
from pages.measure.research_scene import Scene, draw_badge, draw_image, read_real
from xray_generator.dashboards.memorization import (
    ClosestPair,
    MemorizationCheck,
    check_memorization,
    feature_space,
    recorded_pairs,
)
from xray_generator.dashboards.side_by_side import read_square
from xray_generator.data.exploration import fingerprint
from xray_generator.evaluation.image_sets import ImageSet
from xray_generator.evaluation.records import Record
from xray_generator.types import Image, StudioError

TILES = ("copy_rate", "authenticity", "nearest_distance_ratio", "copies_found")
PER_ROW, MOST = 3, 12  # pairs


def draw_memorization(scene: Scene) -> None:
    """Draw the audit of the record with its closest pairs, and the check on demand."""
    st.caption(
        "Every image is compared with every training image, by pixels (including mirrored, shifted and cropped "
        "copies) and by features. The threshold comes from real images that the model never saw, which cannot be "
        "copies; nearly all of them lie beyond it. About 3 % of original images are flagged as well, so a flag is a "
        "reason to look, and only a clearly higher share means that the model memorizes patients."
    )
    record = find_record(scene.manifest)
    if record is None:
        command = "`python -m xray_generator.evaluate`"
        st.info(f"There is no record of this checkpoint. {command} audits the whole training set.")
    else:
        _draw_record(record, scene)
    st.divider()
    _draw_check(scene)


def _draw_record(record: Record, scene: Scene) -> None:
    draw_origin(record, scene.manifest)
    draw_tiles([m for name in TILES if (m := record.get(name)) is not None])
    pairs = recorded_pairs(record, scene.rows)
    if not pairs:
        st.info("This record has no closest pairs.")
        return
    st.text(f"The {len(pairs)} closest pairs of the record; {sum(pair.flagged for pair in pairs)} flagged")
    folders = (studio().sample_dir(scene.manifest.name), own_dir())
    shown: list[tuple[ClosestPair, Image | Path]] = []
    for pair in pairs:
        paths = (folder / Path(pair.image).name for folder in folders)
        generated = next((path for path in paths if path.is_file()), None)
        if pair.path is not None and generated is not None:
            shown.append((pair, generated))
    here = sum(pair.path is not None for pair in pairs)
    if shown:
        _draw_pairs(shown, scene.size)
    elif here < len(pairs):
        st.caption(
            f"Only {here} of the {len(pairs)} training images are in this server's dataset, so the record's own figure "
            "is shown."
        )
    figure = studio().figure_dir / record.name / "closest_pairs.png"
    if figure.is_file():
        with st.expander("The record's figure of the closest pairs", expanded=not shown):
            st.image(str(figure), width="stretch", alt="Generated images beside the training images closest to them")
    table = [
        {
            "Flagged": "possible copy" if pair.flagged else "no",
            "Generated image": pair.image,
            "Closest training image": pair.training_image,
            "Similarity": round(pair.similarity, 3),
            "Mirrored": "yes" if pair.flipped else "no",
            "Score": round(pair.score, 2),
            "Threshold": round(pair.threshold, 2),
            "In this dataset": "yes" if pair.path else "no",
        }
        for pair in pairs
    ]
    st.dataframe(table, hide_index=True, width="stretch", key="research_closest_pairs")


# A check of the images on the page

WANTED = "research_check_of"  # the digest of the images to check


def _draw_check(scene: Scene) -> None:
    generated, training = scene.sides.generated, scene.training()
    learned = scene.manifest.data.num_train
    of_all = f", out of {learned:,} that the model was trained on" if learned else ""
    st.text("Check the images on this page")
    st.caption(
        escape_markdown(
            f"Compares {len(generated):,} generated images with the {len(training):,} training images of this server's "
            f"dataset{of_all}. Copies of other training images cannot be found here."
        )
    )
    if not len(generated) or not training:
        st.info("There is no generated image of this condition, or the dataset has no training images.")
        return
    st.button(
        "Check for memorization",
        key="research_check",
        on_click=st.session_state.__setitem__,
        args=(WANTED, generated.digest),
    )
    if st.session_state.get(WANTED) != generated.digest:
        return
    unseen = read_real(scene.unseen(), scene.size)
    found = _check(scene, unseen, studio().encoder_root)
    draw_tiles(found.measurements, per_row=3)
    st.text(
        f"{found.num_flagged} of {len(found.pairs)} flagged, compared with {found.num_training:,} training images; "
        f"threshold from {len(unseen)} unseen images"
    )
    _draw_pairs([(p, generated.images[p.place]) for p in found.pairs if p.place is not None], scene.size)


@st.cache_resource(
    show_spinner="Comparing with the training images",
    max_entries=4,
    hash_funcs={
        Scene: lambda scene: (scene.sides.generated.digest, fingerprint(scene.training())),
        ImageSet: attrgetter("digest"),
        Path: encoders_key,
    },
)
def _check(scene: Scene, unseen: ImageSet, encoders: Path) -> MemorizationCheck:
    space, cache = feature_space(encoders, unseen, studio().device), studio().output_dir / "cache" / "evaluation"
    return check_memorization(scene.sides.generated, unseen, scene.training(), space, cache)


# Pairs


def _draw_pairs(pairs: Sequence[tuple[ClosestPair, Image | Path]], size: int) -> None:
    """Draw at most MOST pairs; a generated image is its pixels or its file."""
    for start in range(0, min(len(pairs), MOST), PER_ROW):
        row = pairs[start : start + PER_ROW]
        for column, (pair, image) in zip(st.columns(PER_ROW, gap="medium"), row, strict=False):
            with column, st.container(border=True):
                _draw_pair(pair, image, size)
    if len(pairs) > MOST:
        st.caption(f"The {MOST} closest of {len(pairs)} pairs.")


def _draw_pair(pair: ClosestPair, image: Image | Path, size: int) -> None:
    if pair.flagged:
        st.badge("Possible copy", color="red", icon=":material/warning:")
    left, right = st.columns(2)
    with left:
        draw_badge(is_real=False)
        draw_image(_read(Stamped.of(image), size) if isinstance(image, Path) else image, "Synthetic image")
    with right:
        draw_badge("· train", is_real=True)
        if pair.path is not None:
            try:
                draw_image(_read(Stamped.of(pair.path), size), "Real training image")
            except (StudioError, OSError) as error:
                st.caption(escape_markdown(error))
    st.caption(
        escape_markdown(
            f"similarity {pair.similarity:.2f}{', mirrored' * pair.flipped} · score {pair.score:.2f}, flagged above "
            f"{pair.threshold:.2f} · {pair.training_image}"
        )
    )


@st.cache_data(max_entries=64, show_spinner=False, hash_funcs={Stamped: hash})
def _read(file: Stamped, size: int) -> Image:
    return read_square(file.path, size)
