"""The chosen checkpoint as the parts of the Model analysis page ask it: its folder, its engine, an image of it."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from pages.parts.services import studio
from xray_generator.checkpoints import Manifest, find_checkpoint
from xray_generator.types import Engine, GenerationRequest, GenerationResult, OnStep


def folder_of(manifest: Manifest) -> Path:
    """Where the checkpoint lies."""
    return find_checkpoint(studio().checkpoint_root, manifest.ref.full_name)


def load(manifest: Manifest) -> Engine:
    """The engine, loaded where it is not yet; StudioError where that fails."""
    with st.spinner("Loading the model"):
        return studio().engine(manifest.ref.full_name)


class Drawer:
    """Draws with a checkpoint; of the studio and not of a page, so that a job may hold it."""

    def __init__(self, manifest: Manifest) -> None:
        self.studio, self.name = studio(), manifest.ref.full_name

    def __call__(self, request: GenerationRequest, on_step: OnStep | None = None) -> GenerationResult:
        """Make the images of a request."""
        return self.studio.generate(request, self.name, on_step)
