"""What an edit's job holds: the image, the change and the checkpoint, and nothing of the page that asked for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pages.parts.services import studio
from xray_generator.checkpoints import Manifest
from xray_generator.types import Edit, GenerationRequest, Image, OnStep

if TYPE_CHECKING:
    from xray_generator.generation import EditResult


class Editor:
    """Edits with a checkpoint; of the studio and not of a page, so that a job may hold it."""

    def __init__(self, manifest: Manifest, source: Image | None, edit: Edit) -> None:
        self.studio, self.name, self.source, self.edit = studio(), manifest.ref.full_name, source, edit

    def __call__(self, request: GenerationRequest, on_step: OnStep) -> EditResult:
        """Edit the image that was given, or the one of the request."""
        return self.studio.edit(self.source, request, self.edit, self.name, on_step)
