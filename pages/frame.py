"""The frame around every page: page settings, the navigation and the notice."""

from __future__ import annotations

import streamlit as st

from xray_generator.types import PURPOSE


def main() -> None:
    """Draw the frame and run the chosen page."""
    st.set_page_config(page_title="X-ray studio", page_icon="🩻", layout="wide")
    page = st.navigation(
        {
            "Create": [
                st.Page("create/generate.py", title="Generator", default=True),
                st.Page("create/live.py", title="Live", url_path="live"),
                st.Page("create/latent.py", title="Latent space", url_path="latent"),
                st.Page("create/edit.py", title="Edit", url_path="edit"),
                st.Page("create/enhancement.py", title="Enhancement comparison", url_path="enhancement"),
            ],
            "Explore": [st.Page("explore/dataset.py", title="Dataset explorer", url_path="dataset")],
            "Measure": [
                st.Page("measure/model_analysis.py", title="Model analysis", url_path="model_analysis"),
                st.Page("measure/metrics.py", title="Metrics", url_path="metrics"),
                st.Page("measure/research.py", title="Research dashboard", url_path="research"),
                st.Page("measure/evaluation.py", title="Evaluation", url_path="evaluation"),
                st.Page("measure/likelihood.py", title="Likelihood", url_path="likelihood"),
            ],
        },
        position="top",
    )
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.title(page.title, anchor=False, width="content")
        st.badge(PURPOSE, color="orange")
    page.run()


main()
