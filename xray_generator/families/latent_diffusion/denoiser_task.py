"""Stage 2: the denoiser and its text encoder, on cached latents of the frozen autoencoder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from diffusers.training_utils import compute_snr
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from tqdm import tqdm

from xray_generator.data.rewording import reword
from xray_generator.data.rows import Row, repeat_rare
from xray_generator.devices import initial_noise, seeded_generators
from xray_generator.families.latent_diffusion.autoencoder_task import load_images
from xray_generator.families.latent_diffusion.config import LatentDiffusionConfig, ScheduleConfig
from xray_generator.families.latent_diffusion.facts import encode_facts
from xray_generator.families.latent_diffusion.guidance import Condition, Conditioning, Sampling, run_unet
from xray_generator.families.latent_diffusion.model import LatentDiffusion, LatentStatistics, make_scheduler
from xray_generator.families.latent_diffusion.text import TextEncoder
from xray_generator.nn.compact_autoencoder import CompactAutoencoder
from xray_generator.nn.rectified_flow import spread_evenly
from xray_generator.training.cache import cached_array, content_key
from xray_generator.training.task import Draw, step_generator
from xray_generator.types import no_report

ENCODING_BATCH = 16
STATISTICS_BATCH = 512
NUM_PREVIEWS = 8
VALIDATION_BATCH = 32
NOISE_LEVELS = 16  # equal shares of the timesteps, whose errors are balanced
USUAL_ERROR_DECAY = 0.98
HIGH_NOISE = (0.5, 0.95)  # shares of the timesteps
FACTS_DROPOUT = 0.1  # share of the samples that hear the words alone, so that the words keep their meaning
MIN_SIGMA = 0.05  # of the divisor where the error of v follows from that of x_0


def cache_latents(
    autoencoder: CompactAutoencoder, rows: Sequence[Row], size: int, folder: Path
) -> np.memmap[Any, np.dtype[np.float16]]:
    """Posterior means (N, C, size/8, size/8) of all rows, see `training.cache.cached_array`."""
    key = content_key(str(size), autoencoder.encoder, (row.path.read_bytes() for row in rows))
    return cached_array(folder, f"latents-{key}", partial(_encode, autoencoder, rows, size))


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
        batch = torch.from_numpy(latents[start : start + STATISTICS_BATCH].astype(np.float64))
        values = rearrange(batch, "n c (h p) (w q) -> (n h w) (c p q)", p=fold, q=fold)
        total, products, count = total + values.sum(0), products + values.T @ values, count + len(values)
    mean = total / count
    variance, axes = torch.linalg.eigh(products / count - mean.outer(mean))
    std = variance.clamp(min=1e-12).sqrt().flip(0)
    return LatentStatistics(mean.float(), std.clamp(min=1e-3 * float(std[0])).float(), axes.T.flip(0).float(), fold)


def cache_statistics(latents: np.memmap[Any, np.dtype[np.float16]], fold: int) -> LatentStatistics:
    """The statistics of cached latents, measured once and kept beside them.

    A resumed run keeps its first ones: another machine or number of threads may rotate axes of nearly equal variance.
    """
    path = Path(str(latents.filename)).with_suffix(".json" if fold == 2 else f".fold{fold}.json")
    if not path.is_file():
        staged = path.with_suffix(".tmp")
        staged.write_text(json.dumps(measure_statistics(latents, fold).to_json()), encoding="utf-8")
        staged.replace(path)
    return LatentStatistics.from_json(json.loads(path.read_text(encoding="utf-8")))


@torch.no_grad()
def text_inputs(encoder: TextEncoder, prompts: Sequence[str]) -> dict[str, Tensor]:
    """Token ids (N, L) of all prompts, their mask and facts; of a frozen encoder hidden states in place of the ids."""
    ids, mask = encoder.tokenize(prompts or [""])
    text = {"attention_mask": mask, "facts": encode_facts(prompts)}
    if not encoder.is_frozen:
        return {"input_ids": ids, **text}
    device = next(encoder.parameters()).device
    pairs = zip(torch.split(ids, ENCODING_BATCH), torch.split(mask, ENCODING_BATCH), strict=True)
    states = torch.cat([encoder.states(i.to(device), m.to(device)).half().cpu() for i, m in pairs])
    return {"text_states": states, **text}


def embed_text(encoder: TextEncoder, text: Mapping[str, Tensor]) -> Condition:
    """The condition of a batch of `text_inputs`."""
    mask = text["attention_mask"]
    is_frozen = encoder.is_frozen
    states = encoder.project(text["text_states"].float()) if is_frozen else encoder(text["input_ids"], mask)
    return Condition(states, mask, text["facts"])


@torch.no_grad()
def empty_text(encoder: TextEncoder, length: int, device: torch.device) -> dict[str, Tensor]:
    """`text_inputs` (1, L) of the empty prompt, which stands for no prompt."""
    ids, mask = (tokens.to(device) for tokens in encoder.tokenize([""], length=length))
    text = {"text_states": encoder.states(ids, mask)} if encoder.is_frozen else {"input_ids": ids}
    return {**text, "attention_mask": mask, "facts": encode_facts([""]).to(device)}


@dataclass(frozen=True, slots=True)
class LatentRows:
    """Folded, whitened latents, each with one of the wordings of its text."""

    latents: NDArray[np.float16]  # (N, C, H, W) of the autoencoder
    statistics: LatentStatistics
    text: Mapping[str, Tensor]  # (N, variants, ...)
    order: Sequence[int]  # of an epoch, before it is shuffled

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, draw: Draw) -> Mapping[str, Tensor]:
        i = self.order[draw.index]
        latents = torch.from_numpy(self.latents[i].astype(np.float32))
        return {
            "latents": self.statistics.normalize(latents[None])[0],
            **{name: values[i, draw.seed % values.shape[1]] for name, values in self.text.items()},
        }


def even_timesteps(count: int, schedule: ScheduleConfig, generator: torch.Generator) -> Tensor:
    """(count,) timesteps in random order, evenly spread, which makes less noise.

    A share `high_noise_share` of them lies in HIGH_NOISE, where the structure of an image is decided; the others are
    spread over all.
    """
    high = round(schedule.high_noise_share * count)
    low, top = HIGH_NOISE
    places = torch.cat([spread_evenly(count - high, generator), low + (top - low) * spread_evenly(high, generator)])
    return (places[torch.randperm(count, generator=generator)] * schedule.num_train_timesteps).long()


class DenoisingLoss(nn.Module):
    """Mean squared error of v or epsilon, with min-SNR weights (Hang et al. 2023, arXiv:2303.09556) if set.

    With `balance_errors` each channel's error is divided by its running mean at that noise level.
    """

    def __init__(self, unet: nn.Module, text_encoder: TextEncoder, schedule: ScheduleConfig) -> None:
        super().__init__()
        self.unet, self.text_encoder, self.schedule = unet, text_encoder, schedule
        self.noise_scheduler: Any = make_scheduler("ddpm", schedule)
        channels: int = cast(Any, unet).config.in_channels
        self.usual_error: Tensor
        if schedule.balance_errors:
            self.register_buffer("usual_error", torch.ones(NOISE_LEVELS, channels))

    def forward(self, batch: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Loss of folded latents (B, D, S, S); every sample drops its prompt with `prompt_dropout`."""
        x_0 = batch["latents"].contiguous(memory_format=torch.channels_last)
        count, device = len(x_0), x_0.device
        noise = torch.randn(x_0.shape, generator=generator).to(device)
        timesteps = even_timesteps(count, self.schedule, generator).to(device)
        x_t = self.noise_scheduler.add_noise(x_0, noise, timesteps)
        condition = embed_text(self.text_encoder, self._drop_prompts(batch, generator))
        output = run_unet(self.unet, x_t, timesteps, condition)
        error = self._squared_error(output, x_0, noise, timesteps).mean(dim=(2, 3))
        balanced = error / self.running_error(error.detach(), timesteps) if self.schedule.balance_errors else error
        return {"loss": (self._weight(timesteps)[:, None] * balanced).mean(), "mse": error.mean()}

    def _squared_error(self, output: Tensor, x_0: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Squared error of v for v- and x_0-prediction, of epsilon for epsilon-prediction."""
        if self.schedule.prediction_type == "epsilon":
            return F.mse_loss(output, noise, reduction="none")
        if self.schedule.prediction_type == "v_prediction":
            return F.mse_loss(output, self.noise_scheduler.get_velocity(x_0, noise, timesteps), reduction="none")
        sigma_t = (1 - self.noise_scheduler.alphas_cumprod.to(x_0)[timesteps]).sqrt().clamp(min=MIN_SIGMA)
        squared: Tensor = F.mse_loss(output, x_0, reduction="none") / sigma_t[:, None, None, None] ** 2
        return squared

    def running_error(self, error: Tensor, timesteps: Tensor) -> Tensor:
        """Running mean (B, C) of each channel's error at each sample's noise level; training updates it with `error`.

        Errors divided by their usual size weigh like tasks divided by their learned variance (Kendall et al. 2018,
        arXiv:1705.07115; by noise level alone: Karras et al. 2024, arXiv:2312.02696). Otherwise channels that hold
        mostly noise, whose error stays near one, would drown what can be learned of the others.
        """
        level = timesteps * NOISE_LEVELS // self.schedule.num_train_timesteps
        if self.training:
            for i in range(NOISE_LEVELS):
                if (level == i).any():
                    self.usual_error[i].lerp_(error[level == i].mean(0), 1 - USUAL_ERROR_DECAY)
        return self.usual_error[level].clamp(min=0.02)

    def _drop_prompts(self, batch: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """The batch's text, that of the empty prompt where it is dropped; in training facts are dropped alone too."""
        mask = batch["attention_mask"]
        chance = torch.rand(len(mask), 2, generator=generator).to(mask.device)
        is_dropped = chance[:, 0] < self.schedule.prompt_dropout
        lacks_facts = is_dropped | ((chance[:, 1] < FACTS_DROPOUT) & self.training)
        empty = empty_text(self.text_encoder, mask.shape[1], mask.device)

        def keep(name: str, value: Tensor) -> Tensor:
            is_empty = lacks_facts if name == "facts" else is_dropped
            return torch.where(is_empty.view(-1, *[1] * (value.ndim - 1)), value, batch[name])

        return {name: keep(name, value) for name, value in empty.items()}

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
    side, images = model.side_of(model.image_size), []
    for i, prompt in enumerate(prompts):
        (generator,) = seeded_generators(i, 1)
        noise = initial_noise((model.unet.config.in_channels, side, side), [generator], model.unet.device)
        sampling = Sampling(Conditioning.single(prompt, guidance_scale), scheduler, num_inference_steps)
        x_0 = model.sample_latents(noise, sampling, generator, no_report)
        images.append(model.decode(x_0, [generator]).cpu())
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
    """Trains UNet and text encoder on the train split's latents; validates the unweighted error on the val split's."""

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
        index_of = {row.path: i for i, row in enumerate(rows)}
        order = [index_of[row.path] for row in repeat_rare(rows, rows, config.rare_repeats)]
        self.training = self._rows(rows, latents, order, config.caption_variants)
        self.validation = self._rows(validation, validation_latents, range(len(validation)), variants=1)
        shown = validation or rows
        self.prompts = [row.prompt for row in shown[:: max(1, len(shown) // NUM_PREVIEWS)]][:NUM_PREVIEWS]

    def _rows(
        self, rows: Sequence[Row], latents: NDArray[np.float16], order: Sequence[int], variants: int
    ) -> LatentRows:
        wordings = [wording for row in rows for wording in reword(row, variants)]
        text = {
            name: rearrange(values, "(rows variants) ... -> rows variants ...", variants=variants)
            for name, values in text_inputs(self.model.text_encoder, wordings).items()
        }
        return LatentRows(latents, self.model.statistics, text, order)

    def dataset(self) -> LatentRows:
        """Latents of every training row, those of rare conditions more than once."""
        return self.training

    def preview(self) -> Tensor:
        """One guided sample for each of some validation prompts, from fixed noise."""
        return draw_previews(self.model, self.prompts, "ddim", 12, self.config.schedule.guidance_scale)

    def validate(self) -> Mapping[str, float]:
        """Mean squared error over the validation split at fixed noise and timesteps."""
        return {"validation_loss": mean_over(self.module, self.validation, "mse")} if len(self.validation) else {}
