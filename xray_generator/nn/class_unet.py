"""A UNet that is told a class, for images folded into channels."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import UNet2DModel

from xray_generator.nn.network_configs import NORM_GROUPS, ClassUNetConfig


def build_class_unet(config: ClassUNetConfig, num_labels: int) -> Any:  # noqa: ANN401 - mypy skips diffusers
    """An untrained UNet with an embedding for each class and, last, for none."""
    levels = range(len(config.channels))
    attends = [level in config.attention_levels for level in levels]
    unet = UNet2DModel(
        in_channels=config.fold**2,
        out_channels=config.fold**2,
        layers_per_block=config.blocks,
        block_out_channels=config.channels,
        norm_num_groups=NORM_GROUPS,
        dropout=config.dropout,
        down_block_types=tuple("AttnDownBlock2D" if attends[level] else "DownBlock2D" for level in levels),
        up_block_types=tuple("AttnUpBlock2D" if attends[level] else "UpBlock2D" for level in reversed(levels)),
        num_class_embeds=num_labels + 1,
    )
    return unet.to(memory_format=torch.channels_last)
