"""Stable Diffusion (Rombach et al. 2022, arXiv:2112.10752): the networks of a folder in diffusers layout.

It was made for color: a gray image goes in as three equal channels, and the mean of three comes out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer
from transformers.utils.logging import disable_progress_bar

from xray_generator.nn.diffusion import NOISE_FIELDS, Denoiser, Scheduler, build_scheduler
from xray_generator.nn.rectified_flow import guide
from xray_generator.types import Recommendation

UNET, VAE, TEXT, TOKENIZER = "unet", "vae", "text_encoder", "tokenizer"  # folders
WEIGHTS = {UNET: "diffusion_pytorch_model", VAE: "diffusion_pytorch_model", TEXT: "model"}  # files, without ending
VARIANTS = (None, "fp16")  # of a file of weights, as diffusers names them
SCHEDULER = "scheduler/scheduler_config.json"
LATENT_CHANNELS = 4
# diffusers' default builds a network under a patch of torch that other threads see: theirs would hold no data
LOADING: dict[str, Any] = {"low_cpu_mem_usage": False}
USUAL, DISTILLED = Recommendation("dpm++", 25, 7.5), Recommendation("ddpm", 4, 1.0)


class TextEncoder(nn.Module):
    """CLIP under the name by which files of weights and of adapters call it, `text_model`."""

    def __init__(self, text_model: CLIPTextModel) -> None:
        super().__init__()
        self.text_model = text_model

    def forward(self, input_ids: Tensor) -> Tensor:
        """The last hidden states (B, L, E)."""
        return cast(Tensor, self.text_model(input_ids=input_ids).last_hidden_state)


@dataclass(frozen=True, slots=True)
class StableDiffusion:
    """The networks of one model and all that sampling needs."""

    unet: UNet2DConditionModel
    vae: AutoencoderKL
    text_encoder: TextEncoder
    tokenizer: CLIPTokenizer
    schedule: Mapping[str, Any]  # its scheduler's settings

    def networks(self) -> dict[str, Any]:
        """By the folders that hold them."""
        return {UNET: self.unet, VAE: self.vae, TEXT: self.text_encoder}

    @property
    def factor(self) -> int:
        """Pixels a side that are one latent."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @property
    def image_size(self) -> int:
        """Side in pixels of the images that it was trained on."""
        return int(self.unet.config.sample_size) * self.factor

    @property
    def num_train_timesteps(self) -> int:
        """From image to noise."""
        return int(self.schedule.get("num_train_timesteps", 1_000))

    @property
    def max_length(self) -> int:
        """Tokens of a prompt that are read, with those at its ends."""
        return int(self.text_encoder.text_model.config.max_position_embeddings)

    @property
    def recommendation(self) -> Recommendation:
        """Few steps without guidance for a Turbo, which is told by its timesteps: noise to image in equal parts.

        Models of v with a terminal signal-to-noise ratio of 0 have these too.
        """
        trails = self.schedule.get("timestep_spacing") == "trailing"
        is_usual = self.prediction_type != "epsilon" or self.schedule.get("rescale_betas_zero_snr")
        return DISTILLED if trails and not is_usual else USUAL

    @property
    def prediction_type(self) -> str:
        """As diffusers calls it: "epsilon" of 1.x and Turbo, "v_prediction" of 2.x."""
        return str(self.schedule.get("prediction_type", "epsilon"))

    def scheduler(self, name: str, num_inference_steps: int | None = None) -> Scheduler:
        """One of ours along its noise schedule; errors as of `diffusion.build_scheduler`."""
        known = {key: self.schedule[key] for key in NOISE_FIELDS if key in self.schedule}
        return build_scheduler(name, known, num_inference_steps)

    def embed(self, prompts: Sequence[str]) -> Tensor:
        """(B, L, E): every prompt at full length, as in training."""
        tokens = self.tokenizer(
            list(prompts), padding="max_length", truncation=True, max_length=self.max_length, return_tensors="pt"
        )
        return cast(Tensor, self.text_encoder(tokens["input_ids"].to(self.unet.device)))

    def ignored_text(self, prompt: str) -> str:
        """The end of a prompt that exceeds `max_length` tokens; empty where all of it is read."""
        options = {"add_special_tokens": False, "return_offsets_mapping": True, "verbose": False}
        offsets = self.tokenizer(prompt, **options)["offset_mapping"]
        room = self.max_length - self.tokenizer.num_special_tokens_to_add()
        return prompt[offsets[room][0] :] if len(offsets) > room else ""

    def predict(self, x_t: Tensor, timesteps: Tensor, states: Tensor) -> Tensor:
        """The prediction (B, C, h, w), epsilon or v, in float32."""
        return cast(Tensor, self.unet(x_t, timesteps, encoder_hidden_states=states).sample.float())

    def denoiser(self, prompt: str, guidance_scale: float) -> Denoiser:
        """The guided prediction of x_t (1, C, h, w); a scale of 1 needs no second pass."""
        states = self.embed([prompt] if guidance_scale == 1 else ["", prompt])

        def run(x_t: Tensor, timestep: Tensor) -> Tensor:
            output = self.predict(x_t.expand(len(states), -1, -1, -1), timestep, states)
            return output if len(states) == 1 else guide(output[1:], output[:1], guidance_scale)

        return run

    def encode(self, images: Tensor) -> Tensor:
        """Latents (B, C, h, w) of about unit variance, posterior means, of images (B, 1, H, W) in [-1, 1]."""
        posterior = self.vae.encode(images.expand(-1, 3, -1, -1)).latent_dist
        return cast(Tensor, posterior.mean.float() * self.vae.config.scaling_factor)

    def decode(self, latents: Tensor) -> Tensor:
        """Images (B, 1, H, W) in [-1, 1]; the inverse of `encode`."""
        colors = self.vae.decode(latents / self.vae.config.scaling_factor).sample.float()
        return cast(Tensor, colors.clamp(-1, 1).mean(1, keepdim=True))


def read_model(folder: Path) -> StableDiffusion:
    """The networks of a folder in float32 on the CPU.

    Raises:
        ValueError: weights are missing, or the parts do not fit; what libraries raise see `checkpoints.loading_faults`.
    """

    def read(kind: Any, part: str, **options: Any) -> Any:  # noqa: ANN401 - networks of libraries share no typed base
        network, report = kind.from_pretrained(
            folder / part,
            use_safetensors=True,
            variant=find_variant(folder, part),
            dtype=torch.float32,
            local_files_only=True,
            output_loading_info=True,
            **options,
        )
        if missing := sorted(report["missing_keys"]):
            raise ValueError(f"its {part} lacks {len(missing)} tensors: {', '.join(missing[:3])}")
        return network.eval()

    disable_progress_bar()
    unet, vae = read(UNet2DConditionModel, UNET, **LOADING), read(AutoencoderKL, VAE, **LOADING)
    text_encoder = TextEncoder(read(CLIPTextModel, TEXT)).eval()
    tokenizer = CLIPTokenizer.from_pretrained(folder / TOKENIZER, local_files_only=True)
    model = StableDiffusion(
        unet, vae, text_encoder, tokenizer, json.loads((folder / SCHEDULER).read_text(encoding="utf-8"))
    )
    _check_fit(model)
    return model


def find_variant(folder: Path, part: str) -> str | None:
    """Which file of weights a part has; ValueError where it has none in safetensors."""
    for variant in VARIANTS:
        if (folder / part / weight_file(part, variant)).is_file():
            return variant
    raise ValueError(
        f"the weights of its {part} are in no file {weight_file(part)}; files of other kinds (.bin, .ckpt) may contain "
        "code and are not read"
    )


def weight_file(part: str, variant: str | None = None) -> str:
    """The name of a part's file of weights."""
    return ".".join(filter(None, (WEIGHTS[part], variant, "safetensors")))


def _check_fit(model: StableDiffusion) -> None:
    unet, channels = model.unet.config, model.vae.config.latent_channels
    if (unet.in_channels, unet.out_channels, channels) != (LATENT_CHANNELS,) * 3:
        raise ValueError(f"its unet takes {unet.in_channels} channels and its vae gives {channels}, not both 4")
    width = model.text_encoder.text_model.config.hidden_size
    if unet.cross_attention_dim != width:
        raise ValueError(f"its unet reads words {unet.cross_attention_dim} wide, its text_encoder writes {width}")
    if unet.class_embed_type or unet.addition_embed_type or unet.time_cond_proj_dim:
        raise ValueError("its unet is given more than an image, a timestep and words")
    if model.prediction_type not in ("epsilon", "v_prediction", "sample"):
        raise ValueError(f"its unet predicts {model.prediction_type}, not epsilon, v_prediction or sample")
