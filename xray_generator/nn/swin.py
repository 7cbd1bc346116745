"""Self-attention within windows that really shift, for the bottleneck of a convolutional network."""

from __future__ import annotations

from einops import rearrange
from torch import Tensor, nn
from transformers import SwinConfig
from transformers.models.swin.modeling_swin import SwinLayer

from xray_generator.nn.network_configs import HEAD_CHANNELS


class SwinBottleneck(nn.Module):
    """Two Swin layers: windows in place, then shifted by half (Liu et al. 2021, arXiv:2103.14030, eq. 3).

    Args:
        channels: a multiple of 16, the channels of a head.
        window: positions a side, even.
    """

    def __init__(self, channels: int, window: int) -> None:
        super().__init__()
        config = SwinConfig(window_size=window, mlp_ratio=2.0, drop_path_rate=0.0, attn_implementation="eager")
        sides, heads = (2 * window, 2 * window), channels // HEAD_CHANNELS
        self.layers = nn.ModuleList(
            SwinLayer(config, channels, sides, heads, shift_size=shift) for shift in (0, window // 2)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) of any sides, which are padded to whole windows."""
        sides = x.shape[-2], x.shape[-1]
        tokens = rearrange(x, "b c h w -> b (h w) c")
        for layer in self.layers:  # its own size for small inputs would end the shift, and stay
            tokens = layer(tokens, sides, always_partition=True)[0]
        return rearrange(tokens, "b (h w) c -> b c h w", h=sides[0])
