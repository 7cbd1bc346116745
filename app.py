"""The studio's frame: page settings, the notice on every page, and the navigation. Run: `streamlit run app.py`."""

from __future__ import annotations

import streamlit as st

from xray_generator.types import NOTICE


def main() -> None:
    """Draw the frame and run the chosen page."""
    st.set_page_config(page_title="X-ray studio", page_icon="🩻", layout="wide")
    page = st.navigation(
        {
            "Create": [
                st.Page("pages/create/generate.py", title="Generator", default=True),
                st.Page("pages/create/enhancement.py", title="Enhancement comparison", url_path="enhancement"),
            ],
        },
        position="top",
    )
    st.badge(NOTICE, color="orange")
    page.run()


main()
