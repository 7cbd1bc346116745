"""`python tests/benchmarks/sampling.py --output FILE`: how fast a checkpoint draws an image.

A checkpoint that reads a prompt stands beside two references; `--checkpoint NAME` also takes one that draws classes.

- studio: the checkpoint, by number of steps, with its distilled scheduler and enlarged where it can be; images a
  second by number of images; its ten slowest kernels, and its time over that of its multiplications alone.
- seed_2: the pipeline that this studio descends from, 20 steps. A UNet of 39.66 M parameters on latents 8x32x32, called
  three times a step (guidance is computed, thrown away and computed again); BERT-base; a decoder with plain attention
  over 1,024 and 4,096 positions. Built from library parts at the widths nearest below its numbers of parameters.
- stable_diffusion: diffusers' `StableDiffusionPipeline` with the checkpoint's number of parameters, in its default
  settings (50 PNDM steps, guidance 7.5, AutoencoderKL at 1/8).

The references have random weights: time does not depend on them. They run in float32, as they ship, and where the
studio samples in another number format, in that one too. Every side has a process of its own, one after the other,
which imports and holds nothing but that side; its peak memory is the process's. Run it while nothing else is busy.
The imports of torch stand inside the functions: a child's peak begins at what its parent held when it was started.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.benchmarks.parts.timing import kernels, latency_ms
from xray_generator.checkpoints import code_commit, find_checkpoint
from xray_generator.machine import peak_bytes
from xray_generator.registry import reads_prompts
from xray_generator.studio import Studio
from xray_generator.types import ClassLabel, GenerationRequest, TextPrompt, Unconditional

if TYPE_CHECKING:
    from torch import nn

PROMPT = "PA chest X-ray of a 58-year-old woman with cardiomegaly and pleural effusion"
STEPS = (4, 8, 20, 50)
NUM_IMAGES = (1, 2, 4)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure one checkpoint, and the references where it reads a prompt; print the report as JSON."""
    options = _parser().parse_args(arguments)
    if options.side:
        print(json.dumps(_run_side(options)))
        return
    started = time.perf_counter()
    prompted = [manifest.ref.full_name for manifest in Studio().checkpoints() if reads_prompts(manifest)]
    name = Studio().manifest(options.checkpoint or next(iter(prompted), None)).ref.full_name
    sides = {"studio": _measure("studio", name, options)}
    if name in prompted:
        parameters = sides["studio"]["parameters"]
        sides |= {side: _measure(side, name, options, parameters) for side in ("seed_2", "stable_diffusion")}
    report = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": code_commit(),
        "checkpoint": name,
        "quick": options.quick,
        "seconds": round(time.perf_counter() - started),
        "cores": os.cpu_count(),
        "speedup": {side: _speedup(sides["studio"], found) for side, found in sides.items() if side != "studio"},
    }
    text = json.dumps(report | sides, indent=1)
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(text + "\n")
    print(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, metavar="JSON")
    parser.add_argument("--num_threads", type=int)
    parser.add_argument("--repeats", type=int, default=5, help="timed calls, after one that is not")
    parser.add_argument("--checkpoint", metavar="NAME", help="default: the first that reads a prompt")
    parser.add_argument("--quick", action="store_true", help="that it runs, not how fast: tiny, one process")
    parser.add_argument("--side", choices=tuple(SIDES), help=argparse.SUPPRESS)
    parser.add_argument("--parameters", type=int, help=argparse.SUPPRESS)
    return parser


def _measure(side: str, checkpoint: str, options: argparse.Namespace, parameters: int | None = None) -> dict[str, Any]:
    """What one side reports, measured in a process of its own; in this one where only that it runs is of interest."""
    found = argparse.Namespace(**vars(options) | {"side": side, "checkpoint": checkpoint, "parameters": parameters})
    if options.quick:
        return _run_side(found)
    names = ("side", "checkpoint", "parameters", "repeats", "num_threads")
    words = [word for name in names if (value := getattr(found, name)) for word in (f"--{name}", str(value))]
    output = subprocess.run([sys.executable, __file__, *words], check=True, stdout=subprocess.PIPE, text=True).stdout
    result: dict[str, Any] = json.loads(output.splitlines()[-1])
    return result


def _run_side(options: argparse.Namespace) -> dict[str, Any]:
    from xray_generator.devices import set_threads

    set_threads(options.num_threads)
    report: dict[str, Any] = json.loads(json.dumps(SIDES[options.side](options)))
    return report | {"peak_memory_mb": peak_bytes() / 2**20}


def _speedup(studio: dict[str, Any], reference: dict[str, Any]) -> dict[str, float]:
    """How many times longer the reference takes: at its own settings, at equal steps, at equal steps and format."""
    ours, steps = studio["latency_ms_by_steps"], str(reference["steps"])
    times = {name: found["median"] for name, found in reference["latency_ms"].items()}
    few = studio["latency_ms_by_few_steps"].values()
    return {
        "each_as_recommended": times["float32"] / ours[str(studio["default_steps"])]["median"],
        "equal_steps": times["float32"] / ours[steps]["median"],
        "equal_steps_and_dtype": times[studio["runtime"]["dtype"]] / ours[steps]["median"],
        **({"few_steps": times["float32"] / max(found["median"] for found in few)} if few else {}),
    }


def _studio(options: argparse.Namespace) -> dict[str, Any]:
    studio = Studio(device="cpu", num_threads=options.num_threads)
    manifest = studio.manifest(options.checkpoint)
    parameters = sum(_count(module) for module in studio.engine(options.checkpoint).components().values())
    default_steps = 2 if options.quick else int(manifest.recommended.num_inference_steps)
    label = next(iter(manifest.labels), None)
    condition = ClassLabel(label) if label else Unconditional() if manifest.unconditional else TextPrompt(PROMPT)

    def generate(steps: int, num_images: int = 1, scheduler: str | None = None, size: int = manifest.sizes[0]) -> Any:
        request = GenerationRequest(condition, num_images, size, size, steps, scheduler=scheduler, seed=1)
        return studio.generate(request, options.checkpoint)

    runtime = generate(1).runtime
    by_steps = {
        steps: latency_ms(lambda steps=steps: generate(steps), options.repeats)  # type: ignore[misc]
        for steps in ((2,) if options.quick else sorted({*STEPS, default_steps}))
    }
    by_count = {
        count: latency_ms(lambda count=count: generate(default_steps, count), 1 if options.quick else 3)  # type: ignore[misc]
        for count in NUM_IMAGES
    }
    by_few_steps = {
        steps: latency_ms(lambda steps=steps, name=name: generate(steps, scheduler=name), options.repeats)  # type: ignore[misc]
        for name, most in manifest.few_steps.items()
        for steps in sorted({1, 2, most})
    }
    by_size = {
        size: latency_ms(lambda size=size: generate(default_steps, size=size), 1 if options.quick else 3)  # type: ignore[misc]
        for size in studio.sizes(manifest.name)[len(manifest.sizes) :]
    }
    return {
        "condition": asdict(condition),
        "sha256": manifest.ref.sha256,
        "parameters": parameters,
        "latency_ms_by_few_steps": by_few_steps,
        "latency_ms_by_size": by_size,
        **kernels(lambda: generate(default_steps), 64 if options.quick else 1_024),
        "size": manifest.sizes[0],
        "runtime": runtime,
        "default_steps": default_steps,
        "default_scheduler": manifest.recommended.scheduler,
        "default_guidance": manifest.recommended.guidance_scale,
        "latency_ms_by_steps": by_steps,
        "images_per_second_by_num_images": {n: 1_000 * n / found["median"] for n, found in by_count.items()},
    }


def _seed_2(options: argparse.Namespace) -> dict[str, Any]:
    import torch
    from diffusers import DDIMScheduler, UNet2DConditionModel
    from transformers import BertConfig, BertModel

    width, decoder_width, latent_side = (8, 64, 8) if options.quick else (40, 384, 32)
    text_size = {"hidden_size": 48, "num_hidden_layers": 1} if options.quick else {}
    text_encoder = BertModel(BertConfig(vocab_size=28_996, **text_size)).eval()
    unet = UNet2DConditionModel(
        sample_size=latent_side,
        in_channels=8,
        out_channels=8,
        layers_per_block=2,
        norm_num_groups=8,
        block_out_channels=(width, 2 * width, 4 * width, 8 * width),
        down_block_types=("DownBlock2D",) * 3 + ("CrossAttnDownBlock2D",),
        up_block_types=("CrossAttnUpBlock2D",) + ("UpBlock2D",) * 3,
        cross_attention_dim=text_encoder.config.hidden_size,
        attention_head_dim=8,
    ).eval()
    decoder = _seed_2_decoder(decoder_width).eval()
    steps = 2 if options.quick else 20

    @torch.no_grad()
    def generate() -> None:
        words = torch.ones(1, len(PROMPT.split()), dtype=torch.long)
        prompt, empty = (text_encoder(ids).last_hidden_state for ids in (words, words[:, :2]))
        scheduler = DDIMScheduler(beta_start=1e-4, beta_end=0.02)
        scheduler.set_timesteps(steps)
        latents = torch.randn(1, 8, latent_side, latent_side, generator=torch.Generator().manual_seed(1))
        for timestep in scheduler.timesteps:
            for context in (prompt, empty, prompt):
                noise = unet(latents, timestep, context).sample
            latents = scheduler.step(noise.float(), timestep, latents).prev_sample
        decoder(latents)

    return {
        "parameters": {"unet": _count(unet), "decoder": _count(decoder), "text_encoder": _count(text_encoder)},
        "steps": steps,
        "unet_calls": 3 * steps,
        "latency_ms": _latencies(generate, options),
    }


def _seed_2_decoder(width: int) -> nn.Module:
    """Latents (1, 8, S, S) -> (1, 1, 8 S, 8 S)."""
    from diffusers.models.attention_processor import Attention, AttnProcessor
    from torch import nn

    def attention(channels: int) -> nn.Module:
        return Attention(
            channels,
            heads=8,
            dim_head=channels // 8,
            norm_num_groups=8,
            residual_connection=True,
            processor=AttnProcessor(),
        )

    def up(channels: int) -> nn.Module:
        return nn.Sequential(
            nn.GroupNorm(8, channels), nn.SiLU(), nn.ConvTranspose2d(channels, channels // 2, 4, stride=2, padding=1)
        )

    return nn.Sequential(
        nn.Conv2d(8, width, 3, padding=1),
        attention(width),
        up(width),
        attention(width // 2),
        up(width // 2),
        up(width // 4),
        nn.GroupNorm(8, width // 8),
        nn.SiLU(),
        nn.Conv2d(width // 8, 1, 3, padding=1),
    )


def _stable_diffusion(options: argparse.Namespace) -> dict[str, Any]:
    import torch
    from diffusers import PNDMScheduler, StableDiffusionPipeline
    from transformers import AutoTokenizer

    studio = Studio()
    folder = find_checkpoint(studio.checkpoint_root, options.checkpoint)
    size = studio.manifest(options.checkpoint).sizes[0]
    tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")

    def distance(width: int) -> int:
        with torch.device("meta"):  # counts parameters and allocates none
            return abs(sum(map(_count, _sd_networks(tokenizer, width))) - options.parameters)

    unet, vae, text_encoder = _sd_networks(tokenizer, 16 if options.quick else min(range(16, 97, 16), key=distance))
    pipeline = StableDiffusionPipeline(
        vae.eval(),
        text_encoder.eval(),
        tokenizer,
        unet.eval(),
        PNDMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            skip_prk_steps=True,
            set_alpha_to_one=False,
            steps_offset=1,
        ),
        None,
        None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    steps = 2 if options.quick else 50
    generator = torch.Generator()

    def generate() -> None:
        pipeline(PROMPT, size, size, num_inference_steps=steps, generator=generator.manual_seed(1))

    return {
        "parameters": {"unet": _count(unet), "vae": _count(vae), "text_encoder": _count(text_encoder)},
        "steps": steps,
        "latency_ms": _latencies(generate, options),
    }


def _sd_networks(tokenizer: Any, width: int) -> tuple[Any, Any, Any]:
    """Stable Diffusion's own architecture, narrower."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    unet = UNet2DConditionModel(
        sample_size=32,
        block_out_channels=(width, 2 * width, 4 * width, 4 * width),
        cross_attention_dim=192,
        attention_head_dim=4,
        norm_num_groups=16,
    )
    vae = AutoencoderKL(
        in_channels=3,
        out_channels=3,
        latent_channels=4,
        block_out_channels=(16, 32, 64, 64),
        layers_per_block=2,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        norm_num_groups=16,
    )
    text = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=192,
        intermediate_size=768,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=tokenizer.model_max_length,
    )
    return unet, vae, CLIPTextModel(text)


SIDES: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "studio": _studio,
    "seed_2": _seed_2,
    "stable_diffusion": _stable_diffusion,
}


def _latencies(call: Callable[[], None], options: argparse.Namespace) -> dict[str, Any]:
    """In float32, and in bfloat16 where the studio would."""
    import torch

    from xray_generator.devices import autocast, has_fast_bfloat16

    contexts = {"float32": nullcontext()}
    if has_fast_bfloat16(torch.device("cpu")):
        contexts["bfloat16 autocast"] = autocast(torch.device("cpu"))
    found = {}
    for name, context in contexts.items():
        with context:
            found[name] = latency_ms(call, options.repeats)
    return found


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


if __name__ == "__main__":
    main()
