"""Slow work on a large dataset is done when somebody asks for it, and once asked, kept."""

from __future__ import annotations

import streamlit as st

AUTOMATIC = 250  # images: read in a second or two


def is_asked(label: str, key: str, fingerprint: str, n: int) -> bool:
    """Whether to go ahead with n images: they are few, or the button was pressed for just these."""
    asked = f"{key}_asked"
    if n <= AUTOMATIC or st.session_state.get(asked) == fingerprint:
        return True
    if st.button(label, key=key, type="primary"):
        st.session_state[asked] = fingerprint
        st.rerun()
    return False
