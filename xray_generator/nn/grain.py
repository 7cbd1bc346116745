"""Grain: the noise and fine texture that a decoder leaves out, sampled from a learned distribution.

A decoder gives the mean of all images that its latents could mean, without detector noise or texture finer than a
latent. Given that mean, the rest is modeled as Gaussian with a covariance that a network learns (Dorta et al. 2018,
arXiv:1802.07079): frequency bands of white noise, as in the texture synthesis of Heeger & Bergen 1995, each with its
own strength at each position. It does not reproduce where the grains of an encoded image lay.
"""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from xray_generator.nn.compact_autoencoder import ChannelNorm, ResidualBlock

DEVIATIONS = (0.6, 1.2, 2.4, 4.8)  # in pixels, of the Gaussians whose differences are the bands
FOLDED = 2  # pixels a side folded into channels
FLOOR = 1e-7  # least energy of a band, about that of rounding to 8 bits
GAIN = 0.3  # standard deviation, images in [-1, 1], of a band whose softplus is 1
START = -3.0  # bias of the last layer before training: faint grain
SPECTRUM = 128  # points a side at which the bands' transfer functions are sampled


def blur(images: Tensor, deviation: float) -> Tensor:
    """Convolution of (B, C, H, W) with a Gaussian truncated at three deviations; edges are reflected."""
    radius = int(3 * deviation + 0.5)
    places = torch.arange(-radius, radius + 1).to(images)
    line = torch.exp(-0.5 * (places / deviation) ** 2)
    kernel = (line / line.sum()).view(1, 1, 1, -1).repeat(images.shape[1], 1, 1, 1)
    padded = F.pad(images, (radius,) * 4, mode="reflect")
    return F.conv2d(F.conv2d(padded, kernel, groups=images.shape[1]), kernel.transpose(2, 3), groups=images.shape[1])


def bands(images: Tensor) -> Tensor:
    """(B, K, H, W): the frequency bands of images (B, 1, H, W) from fine to coarse; what is coarser is left out."""
    smooth = list(accumulate(DEVIATIONS, blur, initial=images))
    return torch.cat([fine - coarse for fine, coarse in pairwise(smooth)], dim=1)


def band_coupling() -> Tensor:
    """M (K, K, K): noise with band strengths s has the energy E_a = sum_bc s_b s_c M_abc in band a.

    Bands overlap, so the energy in a band depends on the strengths of all.
    """
    impulse = torch.zeros(1, 1, SPECTRUM, SPECTRUM)
    impulse[..., SPECTRUM // 2, SPECTRUM // 2] = 1
    transfer = torch.fft.fft2(torch.fft.ifftshift(bands(impulse)[0], dim=(-2, -1))).real  # symmetric, hence real
    return torch.einsum("ahw,bhw,chw->abc", transfer**2, transfer, transfer) / SPECTRUM**2


class Grain(nn.Module):
    """Predicts the strength of each band of grain at each position of a smooth image, and draws such grain."""

    coupling: Tensor

    def __init__(self, channels: int = 32, blocks: int = 2) -> None:
        super().__init__()
        last = nn.Conv2d(channels, len(DEVIATIONS), 3, padding=1)
        nn.init.zeros_(last.weight)
        nn.init.constant_(cast(Tensor, last.bias), START)
        self.network = nn.Sequential(
            nn.PixelUnshuffle(FOLDED),
            nn.Conv2d(FOLDED**2, channels, 3, padding=1),
            *(ResidualBlock(channels) for _ in range(blocks)),
            ChannelNorm(channels),
            last,
        )
        self.register_buffer("coupling", band_coupling(), persistent=False)

    def strengths(self, images: Tensor) -> Tensor:
        """Strengths (B, K, H, W) of the bands, given smooth images (B, 1, H, W) in [-1, 1], H and W even."""
        activation = F.interpolate(self.network(images).float(), scale_factor=FOLDED, mode="bilinear")
        return GAIN * F.softplus(activation)

    def energies(self, images: Tensor) -> Tensor:
        """(B, K, H, W): the variance in each band of the grain that `draw` adds, where strengths change slowly."""
        strengths = self.strengths(images)
        return torch.einsum("abc,nbhw,nchw->nahw", self.coupling, strengths, strengths) + FLOOR

    def negative_log_likelihood(self, images: Tensor, rest: Tensor) -> Tensor:
        """(B, K, H, W) in nats per band, without the constant log(2 pi) / 2, of what images leave out (B, 1, H, W)."""
        energies = self.energies(images)
        return 0.5 * (energies.log() + bands(rest).square() / energies)

    def draw(self, images: Tensor, noise: Tensor) -> Tensor:
        """Images with grain, in [-1, 1], from unit white noise of their shape."""
        return (images + (self.strengths(images) * bands(noise)).sum(dim=1, keepdim=True)).clamp(-1, 1)
