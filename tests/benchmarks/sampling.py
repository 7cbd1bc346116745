"""`python tests/benchmarks/sampling.py`: how fast a prompt becomes an image, against a diffusers pipeline.

Prints JSON: latency from prompt to image by scheduler steps, images a second by number of images, and peak memory, of
the shipped checkpoint; and the same latency of a `StableDiffusionPipeline` of equal parameter count in its default
settings (50 PNDM steps, guidance 7.5, AutoencoderKL at 1/8) in the same run. Its weights are random: time does not
depend on them. Run it while nothing else is busy, or give `--num_threads 1`.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import torch
from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from xray_generator.checkpoints import code_commit
from xray_generator.devices import set_threads
from xray_generator.studio import Studio, text_request

PROMPT = "PA chest X-ray of a 58-year-old woman with cardiomegaly and pleural effusion"
STEPS = (4, 8, 20, 50)
NUM_IMAGES = (1, 2, 4)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num_threads", type=int)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--checkpoint")
    parser.add_argument("--only", choices=("studio", "reference"), help="measure one side, in this process")
    options = parser.parse_args()
    set_threads(options.num_threads)
    if options.only:
        print(json.dumps((_studio if options.only == "studio" else _reference)(options)))
        return
    studio, reference = (_in_own_process(side) for side in ("studio", "reference"))
    default = studio["latency_ms_by_steps"][str(studio["default_steps"])]
    facts = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"), "commit": code_commit(), "torch": torch.__version__,
        "machine": f"{platform.machine()}, {torch.cpu.get_capabilities().get('cpu_name')}",
        "threads": torch.get_num_threads(), "repeats": options.repeats,
    }  # fmt: skip
    ratio = reference["latency_ms"]["median"] / default["median"]
    print(json.dumps(facts | {"studio": studio, "reference": reference, "speedup_at_defaults": ratio}, indent=1))


def _in_own_process(side: str) -> dict[str, Any]:
    """Peak memory is a process's own, so each side has one."""
    command = [sys.executable, __file__, *sys.argv[1:], "--only", side]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    result: dict[str, Any] = json.loads(output.splitlines()[-1])
    return result


def _studio(options: argparse.Namespace) -> dict[str, Any]:
    studio = Studio()
    manifest = studio.manifest(options.checkpoint)
    size = manifest.sizes[0]
    parameters = sum(_count(module) for module in studio.engine(options.checkpoint).components().values())
    default_steps = int(manifest.recommended["num_inference_steps"])

    def generate(steps: int, num_images: int = 1) -> None:
        request = text_request(PROMPT, seed=1, size=size, steps=steps, num_images=num_images)
        studio.generate(request, options.checkpoint)

    return {
        "checkpoint": manifest.name, "sha256": manifest.ref.sha256, "parameters": parameters,
        "default_steps": default_steps, "default_scheduler": manifest.recommended["scheduler"],
        "latency_ms_by_steps": {
            steps: _latency_ms(lambda steps=steps: generate(steps), options.repeats)  # type: ignore[misc]
            for steps in sorted({*STEPS, default_steps})
        },
        "images_per_second_by_num_images": {
            count: 1_000 * count / _latency_ms(lambda count=count: generate(8, count), 2)["median"]  # type: ignore[misc]
            for count in NUM_IMAGES
        },
        "peak_memory_mb": _peak_memory_mb(),
    }  # fmt: skip


def _reference(options: argparse.Namespace) -> dict[str, Any]:
    studio = Studio()
    engine = studio.engine(options.checkpoint)
    tokenizer = engine.model.text_encoder.tokenizer  # type: ignore[attr-defined]
    pipeline = _stable_diffusion(tokenizer, sum(_count(module) for module in engine.components().values()))
    size = studio.manifest(options.checkpoint).sizes[0]
    generator = torch.Generator()

    def generate() -> None:
        pipeline(PROMPT, height=size, width=size, generator=generator.manual_seed(1))

    networks = (pipeline.unet, pipeline.vae, pipeline.text_encoder)
    return {
        "pipeline": "diffusers StableDiffusionPipeline, default settings, random weights",
        "parameters": sum(_count(network) for network in networks),
        "latency_ms": _latency_ms(generate, options.repeats), "peak_memory_mb": _peak_memory_mb(),
    }  # fmt: skip


def _stable_diffusion(tokenizer: Any, parameters: int) -> StableDiffusionPipeline:
    """SD's own architecture at the width whose parameter count comes nearest to `parameters`."""
    candidates = [_sd_networks(tokenizer, width) for width in range(16, 97, 16)]
    unet, vae, text_encoder = min(candidates, key=lambda nets: abs(sum(map(_count, nets)) - parameters))
    pipeline = StableDiffusionPipeline(
        vae.eval(), text_encoder.eval(), tokenizer, unet.eval(),
        PNDMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True,
                      set_alpha_to_one=False, steps_offset=1),
        None, None, requires_safety_checker=False,
    )  # fmt: skip
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _sd_networks(tokenizer: Any, width: int) -> tuple[Any, Any, Any]:
    unet = UNet2DConditionModel(
        sample_size=32, block_out_channels=(width, 2 * width, 4 * width, 4 * width), cross_attention_dim=192,
        attention_head_dim=4, norm_num_groups=16,
    )  # fmt: skip
    vae = AutoencoderKL(
        in_channels=3, out_channels=3, latent_channels=4, block_out_channels=(16, 32, 64, 64), layers_per_block=2,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4, norm_num_groups=16,
    )  # fmt: skip
    text = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=192, intermediate_size=768, num_hidden_layers=4, num_attention_heads=4,
        max_position_embeddings=tokenizer.model_max_length,
    )  # fmt: skip
    return unet, vae, CLIPTextModel(text)


def _latency_ms(call: Callable[[], None], repeats: int) -> dict[str, float]:
    call()  # warm up
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        call()
        times.append((time.perf_counter() - started) * 1_000)
    return {"median": statistics.median(times), "min": min(times), "max": max(times), "n": repeats}


def _count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _peak_memory_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024


if __name__ == "__main__":
    main()
