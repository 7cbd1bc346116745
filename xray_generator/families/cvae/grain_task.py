"""Stage 3: the strength of the grain that reconstructions lack. Encoder and decoder stay as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from xray_generator.checkpoints import Quality
from xray_generator.data.rows import Row, evenly
from xray_generator.families.cvae.autoencoder import Autoencoder, class_weights
from xray_generator.families.cvae.autoencoder_task import MAX_VALIDATION, NUM_PREVIEWS, Crops, load_square, reconstruct
from xray_generator.families.cvae.config import CVAEConfig
from xray_generator.images import from_tensor, to_tensor
from xray_generator.nn.grain import Grain
from xray_generator.training.quality import compare_pairs, validation_values
from xray_generator.training.task import step_generator


class GrainLoss(nn.Module):
    """Negative log-likelihood of what reconstructions lack; padding does not count."""

    def __init__(self, grain: Grain, autoencoder: Autoencoder) -> None:
        super().__init__()
        self.grain, self.autoencoder = grain, autoencoder

    def forward(self, batch: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Loss of images (B, 1, S, S) in [-1, 1] with masks and labels."""
        images, mask = batch["images"].contiguous(memory_format=torch.channels_last), batch["mask"]
        encoder, decoder = self.autoencoder.encoder, self.autoencoder.decoder
        with torch.no_grad():
            classes = class_weights(batch["label"], len(self.autoencoder.labels)).to(images.device)
            smooth = decoder(encoder(images, classes).sample(generator), classes).float().clamp(-1, 1)
        errors = self.grain.negative_log_likelihood(smooth, mask * (images - smooth))
        return {"loss": (mask * errors).mean() / mask.mean().clamp(min=1e-3)}


class GrainTask:
    """Trains `Grain` on crops of the train split; validates how sharp reconstructions with grain are."""

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
        """Validation images (training images if there are none) above their reconstructions with grain."""
        rows, size = evenly(self.validation or self.rows, NUM_PREVIEWS), self.config.size
        images = torch.cat([to_tensor(load_square(row, size).image[None]) for row in rows])
        return torch.cat([images, *(reconstruct_with_grain(self.grain, self.autoencoder, row, size) for row in rows)])

    def validate(self) -> Mapping[str, float]:
        """See `measure_grain`."""
        return validation_values(measure_grain(self.grain, self.autoencoder, self.validation, self.config.size))


@torch.no_grad()
def reconstruct_with_grain(grain: Grain, autoencoder: Autoencoder, row: Row, size: int) -> Tensor:
    """(1, 1, S, S) in [-1, 1]: the reconstruction of a row's image with grain, the same each time."""
    smooth = to_tensor(reconstruct(autoencoder, row, size)[None])
    noise = torch.randn(smooth.shape, generator=step_generator(0))
    device = autoencoder.device
    return grain.draw(smooth.to(device), noise.to(device)).cpu()


def measure_grain(grain: Grain, autoencoder: Autoencoder, rows: Sequence[Row], size: int) -> Quality | None:
    """How sharp reconstructions with grain are, without their padding; None where there is no row."""
    fitted = ((load_square(row, size), reconstruct_with_grain(grain, autoencoder, row, size)) for row in rows)
    quality = compare_pairs((one.image[one.box], from_tensor(ours)[0][one.box]) for one, ours in fitted)
    return None if quality is None else Quality(quality.num_images, sharpness_ratio=quality.sharpness_ratio)
