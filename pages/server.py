"""The studio as `xray-studio app` serves it, from a checkout or installed; see `app.py` of the repository."""

from __future__ import annotations

import streamlit as st

from pages.kit.middleware import MIDDLEWARE

app = st.App("frame.py", middleware=MIDDLEWARE)  # Streamlit looks for this very assignment
