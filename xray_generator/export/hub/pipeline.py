"""Draws with a checkpoint of the medical image studio; `DiffusionPipeline.from_pretrained` runs this file.

Synthetic images. Research and education only. Not for diagnosis.
"""

from typing import Any  # no `from __future__ import annotations`: diffusers reads the types of __init__

import numpy as np
import torch
from diffusers import DiffusionPipeline, ImagePipelineOutput
from PIL import Image


class StudioPipeline(DiffusionPipeline):  # type: ignore[misc]
    """Gray images from a prompt or a class, equal to those of the studio for the same seed."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.register_modules(model=model)

    def __call__(
        self,
        prompt: str | None = None,
        label: str | None = None,
        *,
        num_images_per_prompt: int = 1,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        scheduler: str | None = None,
        height: int | None = None,
        generator: torch.Generator | None = None,
        output_type: str = "pil",
    ) -> Any:  # noqa: ANN401 - diffusers is not typed
        """Draw images of (height, height) pixels; what is left open is as the checkpoint recommends.

        Of the generator only its seed is used: image i is drawn with seed + i. None: a random seed. `output_type` is
        "pil", or "np" for (N, H, W) in [0, 1].

        Raises:
            ValueError: the checkpoint cannot draw what is asked; the text says what it can.
        """
        images = self.model.draw(
            prompt,
            label,
            seed=None if generator is None else generator.initial_seed(),
            num_images=num_images_per_prompt,
            size=height,
            steps=num_inference_steps,
            guidance=guidance_scale,
            scheduler=scheduler,
        )
        if output_type == "np":
            return ImagePipelineOutput(images=np.stack(images))
        return ImagePipelineOutput(images=[Image.fromarray(np.rint(image * 255).astype(np.uint8)) for image in images])
