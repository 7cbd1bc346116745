"""Train the denoiser from packed latents on one GPU within a given time, for a machine that is lent for minutes.

    python -m xray_generator train-packed pack RUN PACKED                       beside the data
    python -m xray_generator train-packed train PACKED OUTPUT --minutes 9       on the GPU
    cp -r OUTPUT RUN/denoiser/weights                                           the run goes on from there

PACKED holds 4 kB for each image and its captions, and no image. Everything stays in the GPU's memory, so that Python
does not slow it down. The learning rate follows the clock: a plateau, then a fall to 0 when the time is up. OUTPUT
holds the averaged weights in 16 bit, in files of less than 16 MiB.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.training_utils import EMAModel
from torch import Tensor

from xray_generator.config import dump, parse, read_config
from xray_generator.console import exit_code
from xray_generator.data.read import read_dataset
from xray_generator.data.record import read_record
from xray_generator.data.rows import Row
from xray_generator.devices import pick_device
from xray_generator.families.latent_diffusion.autoencoder_task import native_rows
from xray_generator.families.latent_diffusion.config import LatentDiffusionConfig
from xray_generator.families.latent_diffusion.denoiser_task import DenoiserTask, LatentRows, cache_latents
from xray_generator.families.latent_diffusion.training import LOG, begin_with, build_denoiser, load_autoencoder
from xray_generator.training.loop import make_optimizer
from xray_generator.training.release import half_precision
from xray_generator.training.task import step_generator
from xray_generator.types import StudioError

CONFIG, ROWS = "config.json", "rows.json"
SPLITS = ("train", "val")
SHARD = "14MB"  # largest file of weights
LOG_EVERY = 50


def pack(run: Path, folder: Path) -> None:
    """Write the latents of a run's training and validation images, with their captions, as `train_packed` reads them.

    Raises:
        StudioError: the run has no finished autoencoder, or its data are gone.
    """
    config = parse(LatentDiffusionConfig, read_config(str(run / CONFIG)))
    record = read_record(run)
    if record is None:
        raise StudioError(f"{run} does not say which data it was begun with.")
    dataset = read_dataset(record.dataset_path, record.reports_csv, record.projections_csv)
    autoencoder = load_autoencoder(run).eval().requires_grad_(requires_grad=False)
    folder.mkdir(parents=True, exist_ok=True)
    rows = {}
    for split in SPLITS:
        kept = native_rows(dataset.split(split), config.structure_size)  # type: ignore[arg-type]
        latents = cache_latents(autoencoder, kept, config.structure_size, run / "cache")
        np.save(folder / f"{split}.npy", np.asarray(latents))
        rows[split] = [dump(replace(row, path=Path(row.path.name))) for row in kept]  # no path of this machine
    (folder / ROWS).write_text(json.dumps(rows), encoding="utf-8")
    (folder / CONFIG).write_text(json.dumps(dump(config)), encoding="utf-8")


def train_packed(folder: Path, output: Path, minutes: float, batch_size: int) -> dict[str, float]:
    """Train for some minutes and write the averaged weights; return steps, batch size and losses."""
    config = parse(LatentDiffusionConfig, read_config(str(folder / CONFIG)))
    training = replace(config.denoiser_training, batch_size=batch_size)
    stored = json.loads((folder / ROWS).read_text(encoding="utf-8"))
    rows = {split: tuple(parse(Row, one) for one in stored[split]) for split in SPLITS}
    latents = {split: np.load(folder / f"{split}.npy", allow_pickle=False) for split in SPLITS}
    model = build_denoiser(config, None, latents["train"], rows["train"])
    begin_with(model, config)
    task = DenoiserTask(config, model, rows["train"], latents["train"], rows["val"], latents["val"])
    device = pick_device()
    module = task.module.to(device).train()
    whole, order = _on_device(task.training, device), torch.tensor(list(task.training.order), device=device)
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimizer, ema = (
        make_optimizer(module, training),
        EMAModel(trained, training.ema_decay, use_ema_warmup=True, power=0.75),
    )
    ema.to(device)
    values: dict[str, float] = {}
    rates = [group["lr"] for group in optimizer.param_groups]
    started, step = time.monotonic(), 0
    while (share := (time.monotonic() - started) / (60 * minutes)) < 1:
        factor = min(1.0, (step + 1) / training.warmup_steps) * min(1.0, (1 - share) / max(training.decay_share, 1e-6))
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * factor
        generator = step_generator(training.seed, step)
        places = order[torch.randint(len(order), (batch_size,), generator=generator).to(device)]
        wording = torch.randint(config.caption_variants, (batch_size,), generator=generator).to(device)
        batch = {name: value[places] if name == "latents" else value[places, wording] for name, value in whole.items()}
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            losses = module(batch, generator)
        losses["loss"].backward()
        torch.nn.utils.clip_grad_norm_(trained, training.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad()
        ema.step(trained)
        step += 1
        if step % LOG_EVERY == 0:
            values = {"steps": step, "mse": float(losses["mse"].detach())}
            print(json.dumps(values | {"seconds": round(time.monotonic() - started)}), flush=True)  # noqa: T201
    ema.copy_to(trained)
    module.eval()
    with torch.no_grad():
        values |= {"steps": step, "batch_size": batch_size, "minutes": minutes, **task.validate()}
    half_precision(model.unet).save_pretrained(output / "unet", max_shard_size=SHARD)
    half_precision(model.text_encoder).save(output)
    (output / LOG).write_text(json.dumps(values), encoding="utf-8")
    return values


def _on_device(rows: LatentRows, device: torch.device) -> dict[str, Tensor]:
    """All latents as the denoiser sees them, and the text of all wordings."""
    latents = rows.statistics.normalize(torch.from_numpy(rows.latents.astype(np.float32)))
    return {"latents": latents.to(device), **{name: value.to(device) for name, value in rows.text.items()}}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 on success, 1 with a message on a fault."""
    parser = argparse.ArgumentParser(
        "python -m xray_generator.families.latent_diffusion.packed", description=__doc__.splitlines()[0]
    )
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("pack", help="write the latents and captions of a run")
    one.add_argument("run", type=Path)
    one.add_argument("packed", type=Path)
    two = commands.add_parser("train", help="train the denoiser from them")
    two.add_argument("packed", type=Path)
    two.add_argument("output", type=Path)
    two.add_argument("--minutes", type=float, required=True)
    two.add_argument("--batch_size", type=int, default=512)
    options = parser.parse_args(arguments)

    def run() -> Any:  # noqa: ANN401
        if options.command == "pack":
            return pack(options.run, options.packed)
        return print(train_packed(options.packed, options.output, options.minutes, options.batch_size))  # noqa: T201

    return exit_code(run)


if __name__ == "__main__":
    sys.exit(main())
