"""How much arithmetic the training of a cascade takes, so that configurations to compare can be given equal amounts.

    xray-studio training-compute brain_mri_256 brain_mri_256_plain brain_mri_256_single

lists each stage, and the steps with which a training takes as much as that of the first configuration.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from functools import cache

import torch
from torch import Tensor, nn

from xray_generator.config import parse, read_config
from xray_generator.console import exit_code
from xray_generator.families.cascade.base_task import BaseLoss
from xray_generator.families.cascade.config import CascadeConfig
from xray_generator.families.cascade.model import BASE, Base
from xray_generator.nn.enlarger import NUM_LEVELS, build_enlarger
from xray_generator.nn.flops import count_flops
from xray_generator.nn.residual_flow import Statistics
from xray_generator.training.enlarging import FlowLoss
from xray_generator.training.settings import TrainingConfig
from xray_generator.training.task import step_generator

COUNTED = 2  # images; a step takes as much for each of its own
PETA = 1e15
LINE = "{:<24} {:>6} {:>12} {:>8} {:>10} {:>12}"
HEADER = ("configuration", "stage", "GFLOP, step", "steps", "PFLOP", "equal steps")


@cache
def step_flops(config: CascadeConfig) -> dict[str, int]:
    """Floating point operations of one optimizer step by stage: forward and backward, without the optimizer's own."""
    side = config.base.image_size
    batch = {"images": torch.zeros(COUNTED, 1, side, side), "classes": torch.zeros(COUNTED, dtype=torch.long)}
    found = {BASE: _count(BaseLoss(Base.build(config)), batch, config.base_training)}
    for name, stage, training in config.stages:
        flow = FlowLoss(build_enlarger(stage.network), Statistics((0.0,) * NUM_LEVELS, 0.0), stage.one_step_share)
        crops = torch.zeros(COUNTED, 1, stage.crop_size, stage.crop_size)
        batch = {"images": crops, "enlarged": crops, "levels": torch.zeros(COUNTED, NUM_LEVELS)}
        found[name] = _count(flow, batch, training)
    return found


def _count(module: nn.Module, batch: Mapping[str, Tensor], training: TrainingConfig) -> int:
    images = training.batch_size * training.gradient_accumulation_steps
    return count_flops(lambda: module(batch, step_generator(0))["loss"].backward()) * images // COUNTED


def training_flops(config: CascadeConfig) -> dict[str, int]:
    """Floating point operations of the whole training by stage, without validation and previews."""
    steps = _num_steps(config)
    return {name: count * steps[name] for name, count in step_flops(config).items()}


def _num_steps(config: CascadeConfig) -> dict[str, int]:
    return {BASE: config.base_training.num_steps, **{name: training.num_steps for name, _, training in config.stages}}


def equal_steps(config: CascadeConfig, reference: CascadeConfig) -> dict[str, int]:
    """The steps of each stage with which its training takes as much arithmetic as that of the reference.

    Stage by stage where both have the same ones; else all together, in the proportions of `config`.
    """
    wanted, own = training_flops(reference), training_flops(config)
    if wanted.keys() != own.keys():
        factor = sum(wanted.values()) / sum(own.values())
        wanted = {name: round(count * factor) for name, count in own.items()}
    return {name: round(wanted[name] / count) for name, count in step_flops(config).items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 on success, 1 with a message on a fault."""
    parser = argparse.ArgumentParser(
        "python -m xray_generator.families.cascade.compute", description=__doc__.splitlines()[0]
    )
    parser.add_argument("configs", nargs="+", help="names or files; the first is what the others are compared with")
    options = parser.parse_args(arguments)
    return exit_code(lambda: _print(options.configs))


def _print(names: Sequence[str]) -> None:
    configs = [parse(CascadeConfig, read_config(name)) for name in names]
    print(LINE.format(*HEADER))  # noqa: T201
    for config in configs:
        steps, equal = _num_steps(config), equal_steps(config, configs[0])
        for name, count in step_flops(config).items():
            numbers = f"{count / 1e9:,.1f}", steps[name], f"{count * steps[name] / PETA:.3f}", equal[name]
            print(LINE.format(config.name, name, *numbers))  # noqa: T201
        total = sum(training_flops(config).values()) / PETA
        print(LINE.format(config.name, "all", "", "", f"{total:.3f}", ""))  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
