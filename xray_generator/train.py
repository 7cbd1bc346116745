"""`python -m xray_generator.train`: train a model family from a configuration.

    python -m xray_generator.train --config chest_xray_256 --dataset_path dataset --output_dir outputs
    python -m xray_generator.train --config chest_xray_256 --dataset_path IMAGES --reports_csv indiana_reports.csv \\
        --projections_csv indiana_projections.csv --train_vae_only --output_dir outputs
    ... --resume_from outputs/runs/chest_xray_256      continue a run, or take its autoencoder into a new one
    ... denoiser_training.num_steps=100                override any setting
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xray_generator.config import config_names, dump, override, parse, read_config
from xray_generator.data.health import check_health
from xray_generator.data.read import read_dataset
from xray_generator.data.rows import Dataset
from xray_generator.devices import process_state
from xray_generator.registry import get_family
from xray_generator.types import StudioError

QUICK = (
    "autoencoder_training.num_steps=12", "autoencoder_training.checkpoint_every=12",
    "autoencoder_training.log_every=4", "autoencoder_training.batch_size=4",
    "denoiser_training.num_steps=6", "denoiser_training.checkpoint_every=6",
    "denoiser_training.log_every=2", "denoiser_training.batch_size=4",
)  # fmt: skip
QUICK_ROWS = 64  # per split


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 on success, 1 with a message on a fault, 143 when asked to stop."""
    options = _parser().parse_args(arguments)
    try:
        print(f"Finished: {run(options)}")  # noqa: T201
    except StudioError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m xray_generator.train", description=__doc__.splitlines()[0])
    environment = os.environ.get
    parser.add_argument("--config", default="chest_xray_256", help=f"file, or one of: {', '.join(config_names())}")
    parser.add_argument("--dataset_path", type=Path, default=Path(environment("DATASET_PATH", "dataset")))
    parser.add_argument("--reports_csv", type=Path, help="Indiana layout: the reports")
    parser.add_argument("--projections_csv", type=Path, help="Indiana layout: the projections")
    parser.add_argument("--output_dir", type=Path, default=Path(environment("OUTPUT_DIR", "outputs")))
    parser.add_argument("--train_vae_only", action="store_true", help="stop after the autoencoder")
    parser.add_argument("--resume_from", type=Path, help="a run to continue, or any folder with an autoencoder")
    parser.add_argument("--quick_test", action="store_true", help="both stages at tiny scale, within two minutes")
    parser.add_argument("--num_threads", type=int, default=None, help="CPU threads (default: all)")
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    return parser


def run(options: argparse.Namespace) -> Path:
    """Train as the options say; return the folder of the result.

    Raises:
        StudioError: a fault in configuration, data or an occupied output folder.
    """
    overrides = [*(QUICK if options.quick_test else ()), *options.overrides]
    if "TOKENIZER_NAME" in os.environ:  # seed 2's name for the text encoder
        overrides += ["text_encoder.kind=pretrained", f"text_encoder.name_or_path={os.environ['TOKENIZER_NAME']}"]
    data = override(read_config(options.config), overrides)
    if options.quick_test:
        data["name"] = f"{data.get('name')}_quick_test"
    family = get_family(str(data.get("family", "")))
    config: Any = parse(family.config(), data)
    folder = options.output_dir / "runs" / config.name
    dataset = read_dataset(options.dataset_path, options.reports_csv, options.projections_csv)
    dataset = dataset.head(QUICK_ROWS) if options.quick_test else dataset
    with process_state().main_process_first():  # the others find the folder ready
        if process_state().is_main_process:
            if options.quick_test and options.resume_from is None:
                shutil.rmtree(folder, ignore_errors=True)
            _prepare(folder, dump(config), options.resume_from)
        dataset = _checked(dataset, folder)
    return Path(family.train(config, dataset, folder, options))


def _checked(dataset: Dataset, folder: Path) -> Dataset:
    """Look for faults in the data first: all are listed in health.json, unreadable images are left out."""
    report = check_health(dataset)
    unreadable = [path for issue in report.issues if issue.kind == "unreadable" for path in issue.paths]
    dataset = dataset.without(unreadable, "unreadable")
    if not process_state().is_main_process:
        return dataset
    (folder / "health.json").write_text(json.dumps(dump(report), indent=1) + "\n")
    for message in dataset.skipped:
        print(f"note: {message}", file=sys.stderr)  # noqa: T201
    for kind, count in report.counts().items():
        print(f"note: {count} {kind} (see {folder / 'health.json'})", file=sys.stderr)  # noqa: T201
    return dataset


def _prepare(folder: Path, config: dict[str, Any], resume_from: Path | None) -> None:
    """Refuse to overwrite another run; save the resolved configuration."""
    saved = folder / "config.json"
    resumes = resume_from is not None and resume_from.resolve() == folder.resolve()
    has_trained = folder.is_dir() and any(path.is_dir() for path in folder.iterdir())  # stages and caches are folders
    if has_trained and not resumes:
        raise StudioError(f"{folder} holds a run. Continue it with --resume_from {folder}, or choose another folder.")
    if has_trained and saved.is_file() and read_config(str(saved)) != config:
        raise StudioError(f"The configuration differs from the one that {saved} records; a run keeps its settings.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        staged = saved.with_name(".tmp-config.json")
        staged.write_text(json.dumps(config, indent=1) + "\n")
        staged.replace(saved)
    except OSError as error:
        raise StudioError(f"Cannot write to {folder}: {error.strerror}.") from error


if __name__ == "__main__":
    sys.exit(main())
