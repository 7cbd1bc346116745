"""The frame around every page: page settings, the navigation and the notice."""

from __future__ import annotations

import streamlit as st

from xray_generator.types import PURPOSE


def main() -> None:
    """Draw the frame and run the chosen page."""
    st.set_page_config(page_title="X-ray studio", page_icon="🩻", layout="wide")
    page = st.navigation(
        [
            st.Page("create/generate.py", title="Generator", default=True),
            st.Page("create/enhancement.py", title="Enhancement comparison", url_path="enhancement"),
        ],
        position="top",
    )
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.title(page.title, anchor=False, width="content")
        st.badge(PURPOSE, color="orange")
    page.run()


main()
