"""Dataset explorer: look at any dataset of real images before a model learns from it."""

from __future__ import annotations

import streamlit as st

from pages.parts.dataset.browse import draw_browse
from pages.parts.dataset.filters import draw_filters
from pages.parts.dataset.health import draw_health
from pages.parts.dataset.labels import draw_labels
from pages.parts.dataset.map import draw_map
from pages.parts.dataset.source import pick_dataset
from pages.parts.dataset.statistics import draw_statistics
from pages.parts.services import plain
from xray_generator.types import StudioError

BROWSE, LABELS, STATISTICS, HEALTH, MAP = "Browse", "Labels and people", "Image statistics", "Health", "Map"
DRAWN = {BROWSE: draw_browse, LABELS: draw_labels, STATISTICS: draw_statistics, MAP: draw_map}
TABS = (BROWSE, LABELS, STATISTICS, HEALTH, MAP)


def main() -> None:
    """Draw the page: the dataset, its filters, and one of five looks at what they leave."""
    try:
        explored = pick_dataset()
    except (StudioError, OSError) as error:
        st.error(plain(error))
        return
    if explored is None:
        return
    rows = draw_filters(explored)
    for name, tab in zip(TABS, st.tabs(TABS, key="dataset_tab", on_change="rerun"), strict=True):
        with tab:
            if not tab.open:
                continue
            if name == HEALTH:
                draw_health(explored)
            elif rows:
                DRAWN[name](rows, explored)
            else:
                st.info("No image passes these filters. Clear them, or ask for less.")


main()
