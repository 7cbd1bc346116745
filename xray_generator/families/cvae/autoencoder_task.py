"""Stage 1: encoder and decoder, on crops of images that fit the square at their own aspect ratio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from xray_generator.checkpoints import Quality
from xray_generator.data.fitting import FittedImage, fit_square
from xray_generator.data.rows import Row, evenly
from xray_generator.families.cvae.autoencoder import Autoencoder, drop_classes
from xray_generator.families.cvae.config import CVAEConfig
from xray_generator.images import from_tensor, from_uint8, to_tensor, to_uint8
from xray_generator.nn.compact_autoencoder import LatentDistribution
from xray_generator.nn.detail import band_energy, lattice_bias, mean_l1
from xray_generator.training.quality import compare_pairs, validation_values
from xray_generator.training.task import Draw, step_generator
from xray_generator.types import Image

NUM_PREVIEWS = 8
MAX_VALIDATION = 48
MAX_KEPT_BYTES = 2**30  # of fitted images in memory
SYMMETRIES = {"none": 1, "turns": 4, "all": 8}


class Crops:
    """Crops (1, S, S) in [-1, 1] with their masks, 1 where there is image, and the index of the class.

    Each is rotated or mirrored as far as its class stays the same.
    """

    def __init__(self, rows: Sequence[Row], labels: Sequence[str], config: CVAEConfig) -> None:
        self.rows, self.labels, self.config = rows, labels, config
        self.kept: dict[int, tuple[NDArray[np.uint8], NDArray[np.bool_]]] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, draw: Draw) -> Mapping[str, Tensor]:
        image, mask = self._square(draw.index)
        side, generator = self.config.crop_side, step_generator(draw.seed)
        top, left = (int(i) for i in torch.randint(len(image) - side + 1, (2,), generator=generator))
        symmetry = int(torch.randint(SYMMETRIES[self.config.symmetries], (), generator=generator))
        window = slice(top, top + side), slice(left, left + side)
        pair = np.stack([from_uint8(image[window]), mask[window].astype(np.float32)])
        pair = np.stack([apply_symmetry(one, symmetry) for one in pair])
        label = self.labels.index(self.rows[draw.index].label)
        return {"images": to_tensor(pair[:1])[0], "mask": torch.from_numpy(pair[1:]), "label": torch.tensor(label)}

    def _square(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        square = self.kept.get(index)
        if square is None:
            fitted = load_square(self.rows[index], self.config.size)
            square = to_uint8(fitted.image), fitted.mask() > 0
            if len(self.kept) * (square[0].nbytes + square[1].nbytes) < MAX_KEPT_BYTES:
                self.kept[index] = square
        return square


def load_square(row: Row, size: int) -> FittedImage:
    """The row's image fitted into a square at its own aspect ratio."""
    return fit_square(row.image(), size)


@torch.no_grad()
def encode_row(autoencoder: Autoencoder, row: Row, size: int, symmetry: int = 0) -> LatentDistribution:
    """The posterior of a row's image given its class, rotated or mirrored first."""
    image, classes = apply_symmetry(load_square(row, size).image, symmetry), autoencoder.classes(row.label)
    return autoencoder.encoder(to_tensor(image[None]).to(classes.device), classes)  # type: ignore[no-any-return]


@torch.no_grad()
def reconstruct(autoencoder: Autoencoder, row: Row, size: int) -> Image:
    """A row's image decoded from its posterior mean: (size, size) in [0, 1]."""
    latents = encode_row(autoencoder, row, size).mean
    return from_tensor(autoencoder.decoder(latents, autoencoder.classes(row.label)))[0]


def apply_symmetry(image: Image, symmetry: int) -> Image:
    """An image rotated by 90 degrees `symmetry` times; from 4 on, mirrored before that."""
    mirrored = image[:, ::-1] if symmetry >= SYMMETRIES["turns"] else image
    return np.ascontiguousarray(np.rot90(mirrored, symmetry % 4))


class AutoencoderLoss(nn.Module):
    """The reconstruction loss of an image, and the KL divergence of its latents to the unit Gaussian.

    beta: Higgins et al. 2017 (beta-VAE); free bits: Kingma et al. 2016 (arXiv:1606.04934), appendix C.8, by channel.
    """

    def __init__(self, autoencoder: Autoencoder, config: CVAEConfig) -> None:
        super().__init__()
        self.encoder, self.decoder, self.num_labels = autoencoder.encoder, autoencoder.decoder, len(autoencoder.labels)
        self.config = config

    def forward(self, batch: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Losses of images (B, 1, S, S) in [-1, 1] with masks and labels; padding does not count.

        Padding is taken to be reconstructed perfectly, so that it adds to no difference and gets no gradient.
        """
        images, mask = batch["images"].contiguous(memory_format=torch.channels_last), batch["mask"]
        classes = drop_classes(batch["label"], self.num_labels, self.config.prior.class_dropout, generator)
        classes = classes.to(images.device)
        posterior: LatentDistribution = self.encoder(images, classes)
        output = mask * self.decoder(posterior.sample(generator), classes) + (1 - mask) * images
        share, difference = mask.mean().clamp(min=1e-3), output - images
        l1, l2 = difference.abs().mean() / share, difference.square().mean() / share
        gradients = (difference.diff(dim=-1).abs().mean() + difference.diff(dim=-2).abs().mean()) / share
        energy = mean_l1(band_energy(output), band_energy(images)) / share
        lattice, kl = lattice_bias(difference) / share, channel_kl(posterior)
        weights = self.config.reconstruction
        loss = weights.l1_weight * l1 + weights.l2_weight * l2
        loss = loss + weights.gradient_weight * gradients + weights.energy_weight * energy
        loss = loss + weights.lattice_weight * lattice
        loss = loss + self.config.beta * kl.clamp(min=self.config.free_bits).mean()
        losses = {"loss": loss, "l1": l1, "gradient_l1": gradients, "energy_l1": energy}
        return losses | {"lattice": lattice, "kl": kl.mean()}


def channel_kl(posterior: LatentDistribution) -> Tensor:
    """(C,) KL divergence to the unit Gaussian in nats per value, mean over batch and positions."""
    mean, log_variance = posterior.mean, posterior.log_variance
    return 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).mean(dim=(0, 2, 3))


class AutoencoderTask:
    """Trains encoder and decoder on the train split; validates whole images of the validation split."""

    def __init__(
        self, config: CVAEConfig, autoencoder: Autoencoder, rows: Sequence[Row], validation: Sequence[Row]
    ) -> None:
        self.config, self.autoencoder, self.rows = config, autoencoder, rows
        self.validation = evenly(validation, MAX_VALIDATION)
        self.module = AutoencoderLoss(autoencoder, config)

    def dataset(self) -> Crops:
        """A crop of every training image an epoch."""
        return Crops(self.rows, self.autoencoder.labels, self.config)

    def preview(self) -> Tensor:
        """Validation images (training images if there are none) above their reconstructions."""
        rows, size = evenly(self.validation or self.rows, NUM_PREVIEWS), self.config.size
        images = [load_square(row, size).image for row in rows]
        return to_tensor(np.stack([*images, *(reconstruct(self.autoencoder, row, size) for row in rows)]))

    def validate(self) -> Mapping[str, float]:
        """See `measure_reconstruction`."""
        return validation_values(measure_reconstruction(self.autoencoder, self.validation, self.config.size))


def measure_reconstruction(autoencoder: Autoencoder, rows: Sequence[Row], size: int) -> Quality | None:
    """The quality of reconstructions without their padding, in [0, 1]; None where there is no row."""
    fitted = ((row, load_square(row, size)) for row in rows)
    return compare_pairs((one.image[one.box], reconstruct(autoencoder, row, size)[one.box]) for row, one in fitted)
