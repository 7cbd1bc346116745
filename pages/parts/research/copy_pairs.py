"""Generated images beside the training film that each is nearest to; what is flagged is marked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamlit as st
from xray_generator.dashboards.copies import CopyPair

from pages.parts.research.frames import draw_image, generated_badge, real_badge
from pages.parts.services import plain
from xray_generator.dashboards.side_by_side import read_square
from xray_generator.types import Image, StudioError

PER_ROW, MOST = 3, 12
FULL = (0.0, 1.0)


def draw_pair_images(pairs: Sequence[tuple[CopyPair, Image | Path]], size: int) -> None:
    """Draw at most twelve pairs, three to a line; an image is its pixels or its file."""
    for start in range(0, min(len(pairs), MOST), PER_ROW):
        for column, (pair, image) in zip(
            st.columns(PER_ROW, gap="medium"), pairs[start : start + PER_ROW], strict=False
        ):
            with column, st.container(border=True):
                _draw_pair(pair, image, size)
    if len(pairs) > MOST:
        st.caption(f"The nearest {MOST} of {len(pairs)} are shown.")


def _draw_pair(pair: CopyPair, image: Image | Path, size: int) -> None:
    if pair.flagged:
        st.badge("Flagged as a possible copy", color="red", icon=":material/warning:")
    left, right = st.columns(2)
    with left:
        generated_badge()
        draw_image(_read(str(image), size) if isinstance(image, Path) else image, FULL, "Synthetic chest X-ray")
    with right:
        real_badge("· train")
        if pair.path is not None:
            try:
                draw_image(_read(str(pair.path), size), FULL, "Real training film")
            except StudioError as error:
                st.caption(plain(error))
    st.caption(
        plain(
            f"similarity {pair.similarity:.2f}{', mirrored' * pair.flipped} · score {pair.score:.2f}, flagged above "
            f"{pair.threshold:.2f} · {pair.film}"
        )
    )


@st.cache_data(max_entries=64, show_spinner=False)
def _read(path: str, size: int) -> Image:
    return read_square(Path(path), size)
