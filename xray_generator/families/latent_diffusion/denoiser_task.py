"""Stage 2: the denoiser and its text encoder, on cached latents of the frozen autoencoder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from diffusers import DDPMScheduler
from diffusers.training_utils import compute_snr
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from tqdm import tqdm

from xray_generator.data.rewording import reword
from xray_generator.data.rows import Row, repeat_rare
from xray_generator.devices import initial_noise, seeded_generators
from xray_generator.families.latent_diffusion.autoencoder_task import is_native, load_images, repeat_native
from xray_generator.families.latent_diffusion.config import LatentDiffusionConfig, ScheduleConfig
from xray_generator.families.latent_diffusion.guidance import ENLARGED, NATIVE, of_prompt
from xray_generator.families.latent_diffusion.model import LatentDiffusion, LatentStatistics, make_scheduler
from xray_generator.families.latent_diffusion.text import TextEncoder
from xray_generator.nn.compact_autoencoder import CompactAutoencoder
from xray_generator.training.task import Draw, step_generator

ENCODING_BATCH = 16
STATISTICS_BATCH = 512
NUM_PREVIEWS = 8
VALIDATION_BATCH = 32
NOISE_LEVELS = 16  # shares of the timesteps whose errors are balanced
USUAL_ERROR_DECAY = 0.98
MIN_SPREAD = 0.05  # of the noise, where the error of v follows from that of the latents


def cache_latents(
    autoencoder: CompactAutoencoder, rows: Sequence[Row], size: int, folder: Path
) -> np.memmap[Any, np.dtype[np.float16]]:
    """Posterior means (N, C, size/8, size/8) of all rows, computed once and kept in `folder`, mapped from disk."""
    key = hashlib.sha256(str(size).encode())
    for name, value in sorted(autoencoder.encoder.state_dict().items()):
        key.update(name.encode() + value.cpu().float().numpy().tobytes())
    for row in rows:
        key.update(row.path.read_bytes())
    path = folder / f"latents-{key.hexdigest()[:16]}.npy"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        staged = path.with_suffix(".tmp")
        with staged.open("wb") as file:
            np.save(file, _encode(autoencoder, rows, size))
        staged.replace(path)
    latents: np.memmap[Any, np.dtype[np.float16]] = np.load(path, mmap_mode="r", allow_pickle=False)
    return latents


@torch.no_grad()
def _encode(autoencoder: CompactAutoencoder, rows: Sequence[Row], size: int) -> NDArray[np.float16]:
    if not rows:
        return np.empty((0, autoencoder.config.latent_channels, size // 8, size // 8), np.float16)
    device = next(autoencoder.parameters()).device
    starts = tqdm(range(0, len(rows), ENCODING_BATCH), desc="encoding", unit="batch")
    batches = (load_images(rows[start : start + ENCODING_BATCH], size).to(device) for start in starts)
    return np.concatenate([autoencoder.encode(batch).mean.half().cpu().numpy() for batch in batches])


def measure_statistics(latents: NDArray[np.float16], fold: int = 2) -> LatentStatistics:
    """Mean, principal axes and deviations of folded latents (N, C, H, W); the least is 1e-3 of the first."""
    size = fold**2 * latents.shape[1]
    total, products, count = torch.zeros(size).double(), torch.zeros(size, size).double(), 0
    for start in range(0, len(latents), STATISTICS_BATCH):
        batch = F.pixel_unshuffle(torch.from_numpy(latents[start : start + STATISTICS_BATCH].astype(np.float32)), fold)
        values = batch.movedim(1, -1).flatten(0, -2).double()
        total, products, count = total + values.sum(0), products + values.T @ values, count + len(values)
    mean = total / count
    variance, axes = torch.linalg.eigh(products / count - mean.outer(mean))
    std = variance.clamp(min=1e-12).sqrt().flip(0)
    return LatentStatistics(mean.float(), std.clamp(min=1e-3 * float(std[0])).float(), axes.T.flip(0).float(), fold)


def cache_statistics(latents: np.memmap[Any, np.dtype[np.float16]], fold: int) -> LatentStatistics:
    """The statistics of cached latents, measured once and kept beside them.

    Another machine or number of threads may turn the axes of nearly equal variance: a run goes on with its first ones.
    """
    path = Path(str(latents.filename)).with_suffix(".json" if fold == 2 else f".fold{fold}.json")
    if not path.is_file():
        staged = path.with_suffix(".tmp")
        staged.write_text(json.dumps(measure_statistics(latents, fold).to_json()))
        staged.replace(path)
    return LatentStatistics.from_json(json.loads(path.read_text()))


@torch.no_grad()
def text_inputs(encoder: TextEncoder, prompts: Sequence[str]) -> dict[str, Tensor]:
    """Token ids (N, L) of all prompts and their mask; of a frozen encoder the hidden states in place of the ids."""
    length = max((encoder.tokenize([prompt])[0].shape[1] for prompt in prompts), default=2)
    ids, mask = encoder.tokenize(prompts, length=length) if prompts else encoder.tokenize([""], length=length)
    if not encoder.is_frozen:
        return {"input_ids": ids, "attention_mask": mask}
    device = next(encoder.parameters()).device
    pairs = zip(torch.split(ids, ENCODING_BATCH), torch.split(mask, ENCODING_BATCH), strict=True)
    states = torch.cat([encoder.states(i.to(device), m.to(device)).half().cpu() for i, m in pairs])
    return {"text_states": states, "attention_mask": mask}


class LatentRows:
    """Folded, whitened latents, each with one of the wordings (N, variants, ...) of its text."""

    def __init__(
        self,
        latents: NDArray[np.float16],
        statistics: LatentStatistics,
        text: Mapping[str, Tensor],
        resolution: Sequence[int],
        order: Sequence[int],
    ) -> None:
        self.latents, self.statistics, self.text = latents, statistics, text
        self.resolution, self.order = resolution, order

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, draw: Draw) -> Mapping[str, Tensor]:
        i = self.order[draw.index]
        latents = torch.from_numpy(self.latents[i].astype(np.float32))
        return {
            "latents": self.statistics.normalize(latents[None])[0],
            "resolution": torch.tensor(self.resolution[i]),
            **{name: values[i, draw.seed % values.shape[1]] for name, values in self.text.items()},
        }


def even_timesteps(count: int, num_train_timesteps: int, generator: torch.Generator) -> Tensor:
    """(count,) uniform timesteps, one in each of `count` equal shares, in random order: less noise."""
    places = (torch.randperm(count, generator=generator) + torch.rand(count, generator=generator)) / count
    return (places * num_train_timesteps).long()


class DenoisingLoss(nn.Module):
    """Mean squared error of v, or of the predicted noise; min-SNR weights (Hang et al. 2023, arXiv:2303.09556) if set.

    With `balance_errors` each channel's error is divided by its running mean at that noise level.
    """

    def __init__(self, unet: nn.Module, text_encoder: TextEncoder, schedule: ScheduleConfig) -> None:
        super().__init__()
        self.unet, self.text_encoder, self.schedule = unet, text_encoder, schedule
        self.noise_scheduler: DDPMScheduler = make_scheduler("ddpm", schedule)
        channels: int = cast(Any, unet).config.in_channels
        self.usual_error: Tensor
        if schedule.balance_errors:
            self.register_buffer("usual_error", torch.ones(NOISE_LEVELS, channels))

    def forward(self, batch: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Loss of folded latents (B, D, S, S); every sample drops its prompt with `prompt_dropout`."""
        latents = batch["latents"].contiguous(memory_format=torch.channels_last)
        count, device = len(latents), latents.device
        noise = torch.randn(latents.shape, generator=generator).to(device)
        timesteps = even_timesteps(count, self.schedule.num_train_timesteps, generator).to(device)
        dropped = (torch.rand(count, generator=generator) < self.schedule.prompt_dropout).to(device)
        embeddings, mask = self._embed(batch, dropped)
        noisy = self.noise_scheduler.add_noise(latents, noise, timesteps)
        output = self.unet(
            noisy,
            timesteps,
            encoder_hidden_states=embeddings,
            encoder_attention_mask=mask,
            class_labels=batch["resolution"],
        ).sample.float()
        error = self._squared_error(output, latents, noise, timesteps).mean(dim=(2, 3))
        balanced = error / self.usual_error_of(error.detach(), timesteps) if self.schedule.balance_errors else error
        return {"loss": (self._weight(timesteps)[:, None] * balanced).mean(), "mse": error.mean()}

    def _squared_error(self, output: Tensor, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Of v, whether the network tells v or the latents, from which v follows; of the noise where it tells that."""
        if self.schedule.prediction_type == "epsilon":
            return F.mse_loss(output, noise, reduction="none")
        if self.schedule.prediction_type == "v_prediction":
            target = self.noise_scheduler.get_velocity(latents, noise, timesteps)
            return F.mse_loss(output, target, reduction="none")
        spread = (1 - self.noise_scheduler.alphas_cumprod.to(latents)[timesteps]).sqrt().clamp(min=MIN_SPREAD)
        squared: Tensor = F.mse_loss(output, latents, reduction="none") / spread[:, None, None, None] ** 2
        return squared

    def usual_error_of(self, error: Tensor, timesteps: Tensor) -> Tensor:
        """Running mean of the error (B, C) of each channel at each noise level; in training `error` goes into it.

        Errors over their usual size weigh like tasks over their learned variance (Kendall et al. 2018,
        arXiv:1705.07115; over noise levels alone: Karras et al. 2024, arXiv:2312.02696). Else channels that hold
        mostly noise, whose error stays near one, drown what can be learned of the others.
        """
        level = timesteps * NOISE_LEVELS // self.schedule.num_train_timesteps
        if self.training:
            for i in range(NOISE_LEVELS):
                if (level == i).any():
                    self.usual_error[i].lerp_(error[level == i].mean(0), 1 - USUAL_ERROR_DECAY)
        return self.usual_error[level].clamp(min=0.02)

    def _embed(self, batch: Mapping[str, Tensor], dropped: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings (B, L, D) and mask (B, L); dropped rows get the empty prompt's."""
        encoder, mask = self.text_encoder, batch["attention_mask"]
        empty = [x.to(mask.device) for x in encoder.tokenize([""], length=mask.shape[1])]
        mask = torch.where(dropped[:, None], empty[1], mask)
        if not encoder.is_frozen:
            return encoder(torch.where(dropped[:, None], empty[0], batch["input_ids"]), mask), mask
        with torch.no_grad():
            empty_states = encoder.states(*empty)
        states = torch.where(dropped[:, None, None], empty_states, batch["text_states"].float())
        return encoder.project(states), mask

    def _weight(self, timesteps: Tensor) -> Tensor:
        if self.schedule.min_snr_gamma is None:
            return torch.ones(len(timesteps), device=timesteps.device)
        snr: Tensor = compute_snr(self.noise_scheduler, timesteps)
        is_noise = self.schedule.prediction_type == "epsilon"
        return snr.clamp(max=self.schedule.min_snr_gamma) / (snr.clamp(min=1e-8) if is_noise else snr + 1)


def draw_previews(
    model: LatentDiffusion, prompts: Sequence[str], scheduler: str, num_inference_steps: int, guidance_scale: float
) -> Tensor:
    """Images (B, 1, H, W) in [-1, 1], one for each prompt, always from the same noise."""
    unet, images = model.unet, []
    shape = (unet.config.in_channels, unet.config.sample_size, unet.config.sample_size)
    for i, prompt in enumerate(prompts):
        (generator,) = seeded_generators(i, 1)
        noise, wanted = initial_noise(shape, [generator], unet.device), of_prompt(prompt, guidance_scale)
        latents = model.sample_latents(noise, wanted, scheduler, num_inference_steps, generator, lambda *_: None)
        images.append(model.decode(latents).cpu())
    return torch.cat(images)


def mean_over(loss: nn.Module, rows: LatentRows, name: str, most: int | None = None) -> float:
    """Mean of one of a loss's values over the first rows, at fixed noise and timesteps."""
    device, total, count = next(loss.parameters()).device, 0.0, min(len(rows), most or len(rows))
    for start in range(0, count, VALIDATION_BATCH):
        items = [rows[Draw(i, 0)] for i in range(start, min(start + VALIDATION_BATCH, count))]
        batch = {key: torch.stack([item[key] for item in items]).to(device) for key in items[0]}
        total += float(loss(batch, step_generator(0, start))[name]) * len(items)
    return total / count


class DenoiserTask:
    """Trains UNet and text encoder on the train split's latents; validates plain error on the validation split's."""

    def __init__(
        self,
        config: LatentDiffusionConfig,
        model: LatentDiffusion,
        rows: Sequence[Row],
        latents: NDArray[np.float16],
        validation: Sequence[Row],
        validation_latents: NDArray[np.float16],
    ) -> None:
        self.config, self.model = config, model
        self.module = DenoisingLoss(model.unet, model.text_encoder, config.schedule)
        size = config.image_size
        index_of = {row.path: i for i, row in enumerate(rows)}
        repeated = repeat_rare(repeat_native(rows, size, config.native_repeats), rows, config.rare_repeats)
        order = [index_of[row.path] for row in repeated]
        self.training = self._rows(rows, latents, order, config.caption_variants)
        self.validation = self._rows(validation, validation_latents, range(len(validation)), variants=1)
        shown = validation or rows
        self.prompts = [row.prompt for row in shown[:: max(1, len(shown) // NUM_PREVIEWS)]][:NUM_PREVIEWS]

    def _rows(
        self, rows: Sequence[Row], latents: NDArray[np.float16], order: Sequence[int], variants: int
    ) -> LatentRows:
        wordings = [wording for row in rows for wording in reword(row, variants)]
        text = text_inputs(self.model.text_encoder, wordings)
        text = {name: values.reshape(-1, variants, *values.shape[1:]) for name, values in text.items()}
        resolution = [NATIVE if is_native(row, self.config.image_size) else ENLARGED for row in rows]
        return LatentRows(latents, self.model.statistics, text, resolution, order)

    def dataset(self) -> LatentRows:
        """Latents of every training row, those of full resolution `native_repeats` times an epoch."""
        return self.training

    def preview(self) -> Tensor:
        """One guided sample for each of some validation prompts, from fixed noise."""
        return draw_previews(self.model, self.prompts, "ddim", 12, self.config.schedule.guidance_scale)

    def validate(self) -> Mapping[str, float]:
        """Mean squared error over the validation split at fixed noise and timesteps."""
        return {"validation_loss": mean_over(self.module, self.validation, "mse")} if len(self.validation) else {}
