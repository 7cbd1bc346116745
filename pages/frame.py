"""The frame around every page: page settings, the navigation, the product's name and the notice."""

from __future__ import annotations

import streamlit as st

from pages.kit.jobs import NO_KEY, draw_queue
from pages.kit.results import JOB, restore_own_form
from xray_generator.types import PRODUCT, PURPOSE


def main() -> None:
    """Draw the frame and run the chosen page."""
    restore_own_form()
    home = st.Page("home.py", title="Home", default=True)
    page = st.navigation(
        {
            "": [home],
            "Create": [
                st.Page("create/generate.py", title="Generator", url_path="generate"),
                st.Page("create/batch.py", title="Batch", url_path="batch"),
                st.Page("create/live.py", title="Live", url_path="live"),
                st.Page("create/latent.py", title="Latent space", url_path="latent"),
                st.Page("create/edit.py", title="Edit", url_path="edit"),
                st.Page("create/adapters.py", title="Adapters", url_path="adapters"),
                st.Page("create/enlarge.py", title="Super-resolution lab", url_path="enlarge"),
                st.Page("create/enhancement.py", title="Enhancement comparison", url_path="enhancement"),
                st.Page("create/gallery.py", title="Gallery", url_path="gallery"),
                st.Page("create/grid.py", title="Grid", url_path="grid"),
            ],
            "Explore": [st.Page("explore/dataset.py", title="Dataset explorer", url_path="dataset")],
            "Measure": [
                st.Page("measure/model_analysis.py", title="Model analysis", url_path="model_analysis"),
                st.Page("measure/metrics.py", title="Metrics", url_path="metrics"),
                st.Page("measure/research.py", title="Research dashboard", url_path="research"),
                st.Page("measure/evaluation.py", title="Evaluation", url_path="evaluation"),
                st.Page("measure/likelihood.py", title="Likelihood", url_path="likelihood"),
                st.Page("measure/readers.py", title="Reader study", url_path="readers"),
            ],
            "About": [st.Page("settings.py", title="Settings and about", url_path="settings")],
        },
        position="top",
    )
    is_home = page == home
    st.set_page_config(page_title=PRODUCT if is_home else f"{page.title} · {PRODUCT}", page_icon="🩻", layout="wide")
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        with st.container(horizontal=True, vertical_alignment="center", width="content"):
            st.title(PRODUCT if is_home else page.title, anchor=False, width="content")
            if not is_home:
                st.page_link(home, label=PRODUCT, icon=":material/home:", width="content")
        with st.container(horizontal=True, vertical_alignment="center", width="content"):
            draw_queue(JOB if page.url_path == "generate" else NO_KEY)
            st.badge(PURPOSE, color="orange")
    page.run()


main()
