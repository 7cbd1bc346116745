"""The smallest Stable Diffusion of the real classes, in diffusers layout. Its weights are random: it is UNTRAINED."""

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789,.-!"
BEGIN, END = "<|startoftext|>", "<|endoftext|>"
SIZE = 32  # pixels: 8 x 8 latents
LENGTH = 24  # tokens of a prompt


def make_tiny_sd(folder: Path, *, seed: int = 0, variant: str | None = None, pad: str = END, **schedule: Any) -> Path:
    """Save it as a folder; `schedule` overrides settings of 1.x."""
    torch.manual_seed(seed)
    words = [*CHARACTERS, *(f"{letter}</w>" for letter in CHARACTERS), BEGIN, END]
    tokenizer = CLIPTokenizer(
        vocab={word: i for i, word in enumerate(words)}, merges=[], pad_token=pad, model_max_length=LENGTH
    )
    text = CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=LENGTH,
        bos_token_id=len(words) - 2,
        eos_token_id=len(words) - 1,
    )
    unet = UNet2DConditionModel(
        sample_size=SIZE // 4,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=16,
        attention_head_dim=2,
        norm_num_groups=8,
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 16),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        norm_num_groups=4,
        sample_size=SIZE,
    )
    settings = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=CLIPTextModel(text),
        tokenizer=tokenizer,
        unet=unet,
        scheduler=PNDMScheduler(**settings | schedule, skip_prk_steps=True, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder, variant=variant)
    return folder
