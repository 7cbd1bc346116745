"""What all pages share: one studio and one job queue per server, and text made safe to draw."""

from __future__ import annotations

import logging
import re
import threading
from pathlib import Path

import streamlit as st

from xray_generator.jobs import JobQueue
from xray_generator.studio import Studio
from xray_generator.types import StudioError

WARM_AFTER_S = 2.0  # the page is painted by then

logger = logging.getLogger(__name__)


@st.cache_resource(show_spinner=False)
def studio() -> Studio:
    """The studio of this server."""
    return Studio()


@st.cache_resource(show_spinner=False)
def job_queue() -> JobQueue:
    """The queue of this server: one worker, so one generation at a time."""
    return JobQueue()


@st.cache_resource(show_spinner=False)
def warm(checkpoint: str) -> None:
    """Load a checkpoint's engine behind the first paint, once, so that the first image need not wait for it."""
    timer = threading.Timer(WARM_AFTER_S, _load, (studio(), checkpoint))
    timer.daemon = True
    timer.start()


def encoders_key(folder: Path) -> str:
    """The encoders that are in a folder, and since when: a part of the key of what was made with them."""
    return " ".join(f"{path.parent.name} {path.stat().st_mtime_ns}" for path in sorted(folder.glob("*/manifest.json")))


def plain(text: object) -> str:
    """`text` with Markdown's signs escaped, so that it is drawn as it was written."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", str(text))


def _load(studio_: Studio, checkpoint: str) -> None:
    try:
        studio_.engine(checkpoint)
    except StudioError as error:
        logger.warning("cannot load %s: %s", checkpoint, error)  # the page says it when an image is asked for
