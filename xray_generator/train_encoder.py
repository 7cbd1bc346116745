"""`python -m xray_generator.train_encoder`: train the reference classifier of the evaluation on real images.

    python -m xray_generator.train_encoder --dataset_path DATASET --output_dir outputs
    python -m torch.distributed.run --nproc_per_node 2 -m xray_generator.train_encoder --dataset_path DATASET
    ... --resume_from outputs/runs/chest_xray_128      continue a run
    ... training.num_steps=100                         override any setting

The encoder goes to outputs/encoders/<name>/, what resumes and logs the run to outputs/runs/<name>/.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from xray_generator.config import dump, override, parse
from xray_generator.console import exit_code
from xray_generator.devices import set_threads
from xray_generator.reference_encoder.training import EncoderConfig, train_encoder
from xray_generator.train import common_parser, opened_run
from xray_generator.training.stop import stop_request
from xray_generator.types import StudioError

QUICK = (
    "training.num_steps=12",
    "training.checkpoint_every=12",
    "training.log_every=4",
    "training.warmup_steps=2",
    "min_cases=3",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 on success, 1 with a message on a fault, 143 when asked to stop."""
    options = _parser().parse_args(arguments)
    with stop_request():
        return exit_code(lambda: print(f"Finished: {run(options)}"))  # noqa: T201


def _parser() -> argparse.ArgumentParser:
    return common_parser("python -m xray_generator.train_encoder", description=__doc__.splitlines()[0])


def run(options: argparse.Namespace) -> Path:
    """Train as the options say; return the folder of the encoder.

    Raises:
        StudioError: a fault in configuration, data or an occupied output folder.
    """
    data = override(dump(EncoderConfig()), [*(QUICK if options.quick_test else ()), *options.overrides])
    if options.quick_test:
        data["name"] = f"{data['name']}_quick_test"
    config = parse(EncoderConfig, data)
    folder = options.output_dir / "runs" / config.name
    if options.resume_from is not None and options.resume_from.resolve() != folder.resolve():
        raise StudioError(f"An encoder's run is continued where it is: --resume_from {folder}, not another folder.")
    set_threads(options.num_threads)
    with opened_run(options, config, folder) as dataset:
        return train_encoder(config, dataset, folder, options.output_dir / "encoders" / config.name)


if __name__ == "__main__":
    sys.exit(main())
