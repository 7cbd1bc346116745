"""What the latents of an image do not hold, drawn from its distribution instead of left out.

A decoder gives the mean of all images that its latents could mean: the noise of a detector and texture finer than a
latent are gone. Given that mean, the rest is taken for Gaussian with a covariance that a network learns (Dorta et al.
2018, arXiv:1802.07079): bands of white noise, as Heeger & Bergen 1995 make textures, each with its own strength at
each place. It tells nothing of where a grain lay in an image that was encoded.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from xray_generator.nn.compact_autoencoder import ChannelNorm, ResidualBlock

DEVIATIONS = (0.6, 1.2, 2.4, 4.8)  # pixels: of the Gaussians whose differences are the bands
FOLDED = 2  # pixels a side folded into channels
FLOOR = 1e-7  # least energy of a band: what rounding to 8 bits leaves
GAIN = 0.3  # strength, in gray levels of [-1, 1], that an activation near 1 stands for
START = -3.0  # activation before training: a faint grain
SPECTRUM = 128  # points a side at which the bands' transfer functions are taken


def blur(images: Tensor, deviation: float) -> Tensor:
    """Convolution of (B, C, H, W) with a Gaussian cut off at three deviations; edges are reflected."""
    radius = int(3 * deviation + 0.5)
    places = torch.arange(-radius, radius + 1).to(images)
    line = torch.exp(-0.5 * (places / deviation) ** 2)
    kernel = (line / line.sum()).view(1, 1, 1, -1).repeat(images.shape[1], 1, 1, 1)
    padded = F.pad(images, (radius,) * 4, mode="reflect")
    return F.conv2d(F.conv2d(padded, kernel, groups=images.shape[1]), kernel.transpose(2, 3), groups=images.shape[1])


def bands(images: Tensor) -> Tensor:
    """(B, K, H, W): images (B, 1, H, W) in bands of frequency from fine to coarse, less what is coarser than all."""
    found, rest = [], images
    for deviation in DEVIATIONS:
        smooth = blur(rest, deviation)
        found.append(rest - smooth)
        rest = smooth
    return torch.cat(found, dim=1)


def band_coupling() -> Tensor:
    """(K, K, K): the energy in band a of white noise that two bands b and c of it have passed, M[a, b, c].

    Bands overlap, so that energies of their sum are not those that each was given: E_a = sum_bc s_b s_c M_abc.
    """
    impulse = torch.zeros(1, 1, SPECTRUM, SPECTRUM)
    impulse[..., SPECTRUM // 2, SPECTRUM // 2] = 1
    transfer = torch.fft.fft2(torch.fft.ifftshift(bands(impulse)[0], dim=(-2, -1))).real  # symmetric, hence real
    return torch.einsum("ahw,bhw,chw->abc", transfer**2, transfer, transfer) / SPECTRUM**2


class Grain(nn.Module):
    """The strength of each band of grain at each place of a smooth image, and grain of that strength."""

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
        """(B, K, H, W) of smooth images (B, 1, H, W) in [-1, 1], H and W even."""
        activation = F.interpolate(self.network(images).float(), scale_factor=FOLDED, mode="bilinear")
        return GAIN * F.softplus(activation)

    def energies(self, images: Tensor) -> Tensor:
        """(B, K, H, W): the variance in each band of what `draw` adds, where strengths change slowly."""
        strengths = self.strengths(images)
        return torch.einsum("abc,nbhw,nchw->nahw", self.coupling, strengths, strengths) + FLOOR

    def negative_log_likelihood(self, images: Tensor, rest: Tensor) -> Tensor:
        """(B, K, H, W): of what images leave out, (B, 1, H, W), in nats a band, less the constant half log 2 pi."""
        energies = self.energies(images)
        return 0.5 * (energies.log() + bands(rest).square() / energies)

    def draw(self, images: Tensor, noise: Tensor) -> Tensor:
        """Images with grain, in [-1, 1]; unit white noise of their shape says where each grain lies."""
        return (images + (self.strengths(images) * bands(noise)).sum(dim=1, keepdim=True)).clamp(-1, 1)
