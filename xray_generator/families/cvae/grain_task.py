"""Stage 3: the strength of the grain that copies of images lack. Encoder and decoder stay as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from scipy.ndimage import laplace
from torch import Tensor, nn

from xray_generator.data.rows import Row, evenly
from xray_generator.families.cvae.autoencoder_task import MAX_VALIDATION, NUM_PREVIEWS, Autoencoder, Crops, load_square
from xray_generator.families.cvae.config import CVAEConfig
from xray_generator.families.cvae.model import class_weights
from xray_generator.images import from_tensor, to_tensor
from xray_generator.nn.grain import Grain
from xray_generator.training.task import step_generator


class GrainLoss(nn.Module):
    """Negative log-likelihood of what copies leave out; padding is not judged."""

    def __init__(self, grain: Grain, autoencoder: Autoencoder) -> None:
        super().__init__()
        self.grain, self.autoencoder = grain, autoencoder

    def forward(self, batch: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Loss of images (B, 1, S, S) in [-1, 1] with masks and labels."""
        images, mask = batch["images"].contiguous(memory_format=torch.channels_last), batch["mask"]
        with torch.no_grad():
            classes = class_weights(batch["label"], len(self.autoencoder.labels)).to(images.device)
            copies = self.autoencoder.decoder(self.autoencoder.encoder(images, classes).sample(generator), classes)
            copies = copies.float().clamp(-1, 1)
        errors = self.grain.negative_log_likelihood(copies, mask * (images - copies))
        return {"loss": (mask * errors).mean() / mask.mean().clamp(min=1e-3)}


class GrainTask:
    """Trains `Grain` on crops of the train split; validates how sharp copies of the validation split are with it."""

    def __init__(
        self, config: CVAEConfig, grain: Grain, autoencoder: Autoencoder, rows: Sequence[Row], validation: Sequence[Row]
    ) -> None:
        self.config, self.grain, self.autoencoder, self.rows = config, grain, autoencoder, rows
        self.validation = evenly(validation, MAX_VALIDATION)
        self.module = GrainLoss(grain, autoencoder)

    def dataset(self) -> Crops:
        """A crop of every training image an epoch."""
        return Crops(self.rows, self.autoencoder.labels, self.config)

    def preview(self) -> Tensor:
        """Validation images (training images where there are none) above their copies with grain."""
        rows, size = evenly(self.validation or self.rows, NUM_PREVIEWS), self.config.size
        images = torch.cat([to_tensor(load_square(row, size).image[None]) for row in rows])
        return torch.cat([images, *(grainy_copy(self.grain, self.autoencoder, row, size) for row in rows)])

    def validate(self) -> Mapping[str, float]:
        """See `grain_quality`."""
        return grain_quality(self.grain, self.autoencoder, self.validation, self.config.size)


@torch.no_grad()
def grainy_copy(grain: Grain, autoencoder: Autoencoder, row: Row, size: int) -> Tensor:
    """(1, 1, S, S) in [-1, 1]: a copy of a row's image with grain, the same each time."""
    copy = to_tensor(autoencoder.copy(row, size)[None])
    noise = torch.randn(copy.shape, generator=step_generator(0))
    device = next(grain.parameters()).device
    return grain.draw(copy.to(device), noise.to(device)).cpu()


def grain_quality(grain: Grain, autoencoder: Autoencoder, rows: Sequence[Row], size: int) -> dict[str, float]:
    """`sharpness_ratio`: the mean variance of the Laplacian of copies with grain over that of the images; and n.

    Padding is left out.
    """
    ours, theirs = 0.0, 0.0
    for row in rows:
        fitted = load_square(row, size)
        ours += float(laplace(from_tensor(grainy_copy(grain, autoencoder, row, size))[0][fitted.box]).var())
        theirs += float(laplace(fitted.image[fitted.box]).var())
    return {"sharpness_ratio": ours / theirs, "num_images": len(rows)} if theirs > 0 else {}
