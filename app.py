"""The studio as a server: `streamlit run app.py`, or any ASGI server with `app:app`.

The script lives in pages/: beside a folder of that name Streamlit would look for pages by itself until the first run of
`st.navigation`, and answer the first visitor of a deep link with "Page not found".
"""

from __future__ import annotations

import streamlit as st

from pages.kit.middleware import MIDDLEWARE

app = st.App("pages/frame.py", middleware=MIDDLEWARE)
