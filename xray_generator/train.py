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
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from xray_generator.config import config_names, dump, override, parse, read_config
from xray_generator.console import exit_code
from xray_generator.data.ct_series import CtOptions, parse_choice
from xray_generator.data.health import check_health
from xray_generator.data.read import read_dataset
from xray_generator.data.record import DataRecord, check_record, read_record, record_of, write_record
from xray_generator.data.rows import Dataset
from xray_generator.devices import process_state, set_threads
from xray_generator.dicom.hounsfield import WINDOWS, parse_window
from xray_generator.registry import config_type, get_family, resolve
from xray_generator.training.settings import TrainingConfig
from xray_generator.training.state import LOCK, locked
from xray_generator.training.stop import TrainingStopped, stop_request
from xray_generator.types import RunOptions, StudioError

STAGE = "training"  # how the settings of a stage are called, or how their name ends
QUICK = ("num_steps=8", "checkpoint_every=8", "log_every=4", "batch_size=4")  # of every stage
QUICK_ROWS = 64  # per split
CT_OPTIONS = ("slices", "window", "accept_identified", "accept_synthetic")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 on success, 1 with a message on a fault, 143 when asked to stop."""
    options = _parser().parse_args(arguments)
    with stop_request():
        return exit_code(lambda: print(f"Finished: {run(options)}"))  # noqa: T201


def _parser() -> argparse.ArgumentParser:
    parser = common_parser("python -m xray_generator.train", description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="chest_xray_256", help=f"file, or one of: {', '.join(config_names())}")
    parser.add_argument("--train_vae_only", action="store_true", help="stop after the autoencoder")
    return parser


class _Parser(argparse.ArgumentParser):
    """Also reads `--window -600,1500`, whose value argparse would take for an option, and `--window -600 1500`."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # noqa: ANN401 - as in argparse
        """Join a window with its value first."""
        given = list(sys.argv[1:] if args is None else args)
        for place in range(len(given) - 1, 0, -1):
            if given[place - 1] == "--window" and re.match(r"-?[\d.]", given[place]):
                numbers = 1 + bool(re.fullmatch(r"[\d.]+", "".join(given[place + 1 : place + 2])))
                given[place - 1 : place + numbers] = [f"--window={','.join(given[place : place + numbers])}"]
        return super().parse_known_args(given, namespace)


def common_parser(name: str, description: str) -> argparse.ArgumentParser:
    """The options that every training command takes."""
    parser = _Parser(name, description=description)
    parser.add_argument("--dataset_path", type=Path, help="default: a resumed run's own, else DATASET_PATH or dataset")
    parser.add_argument("--reports_csv", type=Path, help="Indiana layout: the reports")
    parser.add_argument("--projections_csv", type=Path, help="Indiana layout: the projections")
    parser.add_argument("--output_dir", type=Path, default=Path(os.environ.get("OUTPUT_DIR", "outputs")))
    parser.add_argument("--resume_from", type=Path, help="a run to continue, or any folder with an autoencoder")
    parser.add_argument("--quick_test", action="store_true", help="all stages at tiny scale, within two minutes")
    parser.add_argument("--num_threads", type=int, default=None, help="CPU threads (default: all)")
    parser.add_argument("--slices", help="CT in DICOM, of each series: middle:5 (default), every:3 or all")
    parser.add_argument(
        "--window",
        help=f"CT in DICOM: {', '.join(WINDOWS)}, or level,width in HU (default: the configuration's, else lung)",
    )
    parser.add_argument("--accept_identified", action="store_true", help="train on DICOM files that may name patients")
    parser.add_argument("--accept_synthetic", action="store_true", help="train on DICOM files marked as synthetic")
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    return parser


def run(options: argparse.Namespace) -> Path:
    """Train as the options say; return the folder of the result.

    Raises:
        StudioError: a fault in configuration, options or data, or an occupied output folder.
    """
    data = override(read_config(options.config), options.overrides)
    name = str(data.get("family", ""))
    kind = config_type(name)
    if not get_family(name).train:
        raise StudioError(
            f"A model of the family {name} is not trained here. Import it with `xray-studio import-model`, and train "
            "an adapter of it: --config chest_xray_lora base=NAME."
        )
    data = override(data, [*_implied(options, data, kind), *options.overrides])
    if options.quick_test:
        data["name"] = f"{data.get('name')}_quick_test"
    config: Any = parse(kind, data)
    folder = options.output_dir / "runs" / config.name
    run_options = _run_options(options, name, folder)
    with opened_run(options, config, folder) as dataset:
        set_threads(options.num_threads)
        return Path(resolve(name, get_family(name).train)(config, dataset, run_options))


def _run_options(options: argparse.Namespace, name: str, folder: Path) -> RunOptions:
    """The RunOptions of a run; StudioError for an option that the family does not accept."""
    accepts, resume_from = get_family(name).accepts, options.resume_from
    elsewhere = None if resume_from is None or resume_from.resolve() == folder.resolve() else resume_from
    if options.train_vae_only and "autoencoder_only" not in accepts:
        raise StudioError(f"A run of {name} has no autoencoder; leave --train_vae_only out.")
    if elsewhere is not None and "autoencoder_from" not in accepts:
        raise StudioError(f"A run of {name} is continued where it is: --resume_from {folder}, not another folder.")
    checkpoint = options.output_dir / "checkpoints" / name / folder.name
    return RunOptions(folder, checkpoint, elsewhere, options.train_vae_only)


def _implied(options: argparse.Namespace, data: dict[str, Any], kind: type) -> Iterator[str]:
    """What a quick test and the environment set, as far as the family has such settings."""
    stages = [name for name, group in data.items() if name.endswith(STAGE) and isinstance(group, dict)]
    if options.quick_test:
        yield from (f"{stage}.{setting}" for stage in stages for setting in QUICK)
    if options.quick_test and _has(kind, "num_likelihoods"):
        yield "num_likelihoods=0"  # of which each may take minutes
    if options.window is not None and _has(kind, "window"):
        window = parse_window(options.window)
        yield from (f"window.level={window.level}", f"window.width={window.width}")
    if "TOKENIZER_NAME" in os.environ and _has(kind, "text_encoder"):
        yield "text_encoder.kind=pretrained"  # seed 2's name for the text encoder
        yield f"text_encoder.name_or_path={os.environ['TOKENIZER_NAME']}"


def _has(kind: type, name: str) -> bool:
    return any(field.name == name for field in fields(kind))


@contextmanager
def opened_run(options: argparse.Namespace, config: object, folder: Path) -> Iterator[Dataset]:
    """Lock and prepare a run's folder, new or to be resumed, and give the data that were found readable.

    Raises:
        StudioError: a fault in the data, or the folder is in use or holds another run.
    """
    resumes = options.resume_from is not None and options.resume_from.resolve() == folder.resolve()
    dataset, record = _read(options, config, read_record(folder) if resumes else None)
    with locked(folder):
        with process_state().main_process_first():  # the others find the folder ready
            if process_state().is_main_process:
                if options.quick_test and options.resume_from is None:
                    _clear(folder)
                _prepare(folder, config, record, resumes)
            dataset = _checked(dataset, folder)
        try:
            yield dataset
        except TrainingStopped:
            sys.stderr.write(f"stopped; go on with --resume_from {folder}\n")
            raise


def _read(options: argparse.Namespace, config: object, kept: DataRecord | None) -> tuple[Dataset, DataRecord]:
    """The data that the options name; else those of the run that goes on; else those of the environment."""
    paths = options.dataset_path, options.reports_csv, options.projections_csv
    if not any(paths) and kept is not None:
        paths = kept.dataset_path, kept.reports_csv, kept.projections_csv
    path = paths[0] or Path(os.environ.get("DATASET_PATH", "dataset"))
    ct = _ct_options(options, config, kept.ct if kept is not None else None)
    dataset = read_dataset(path, *paths[1:], ct)
    unused = [name for name in CT_OPTIONS if getattr(options, name)]
    if unused and not any(row.hu_window for row in dataset.rows):
        raise StudioError(f"--{unused[0]} is for CT in DICOM, of which {path} holds none; leave it out.")
    dataset = dataset.head(QUICK_ROWS) if options.quick_test else dataset
    return dataset, record_of(dataset, path, *paths[1:], ct)


def _ct_options(options: argparse.Namespace, config: object, kept: CtOptions | None) -> CtOptions:
    """How CT slices are read: as the options say, else as in the run that goes on; a configuration's window counts."""
    kept = kept or CtOptions()
    given = parse_window(options.window) if options.window is not None else kept.window
    return CtOptions(
        parse_choice(options.slices) if options.slices is not None else kept.choice,
        getattr(config, "window", given),
        kept.accept_identified or options.accept_identified,
        kept.accept_synthetic or options.accept_synthetic,
    )


def _clear(folder: Path) -> None:
    """Empty the folder, but for the lock that is held."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()


def _checked(dataset: Dataset, folder: Path) -> Dataset:
    """Look for faults in the data first: all are listed in health.json, unreadable images are left out."""
    report = check_health(dataset)
    unreadable = [path for issue in report.issues if issue.kind == "unreadable" for path in issue.paths]
    dataset = dataset.without(unreadable, "unreadable")
    if not process_state().is_main_process:
        return dataset
    (folder / "health.json").write_text(json.dumps(dump(report), indent=1) + "\n", encoding="utf-8")
    for message in dataset.skipped:
        print(f"note: {message}", file=sys.stderr)  # noqa: T201
    for kind, count in report.counts().items():
        print(f"note: {count} {kind} (see {folder / 'health.json'})", file=sys.stderr)  # noqa: T201
    return dataset


def _prepare(folder: Path, config: object, record: DataRecord, resumes: bool) -> None:
    """Refuse to overwrite another run; save the resolved configuration and where the data are."""
    saved = folder / "config.json"
    has_trained = folder.is_dir() and any(path.is_dir() for path in folder.iterdir())  # stages and caches are folders
    if has_trained and not resumes:
        raise StudioError(f"{folder} holds a run. Continue it with --resume_from {folder}, or choose another folder.")
    if has_trained and saved.is_file():
        _check_config(parse(type(config), read_config(str(saved))), config, saved)
    if has_trained:
        check_record(folder, record)
    try:
        staged = saved.with_name(".tmp-config.json")
        staged.write_text(json.dumps(dump(config), indent=1) + "\n", encoding="utf-8")
        staged.replace(saved)
        write_record(folder, record)
    except OSError as error:
        raise StudioError(f"Cannot write to {folder}: {error.strerror}.") from error


def _check_config(kept: Any, config: Any, saved: Path) -> None:  # noqa: ANN401 - a family's configuration
    """A run keeps its settings, but for `max_minutes`, and the length of a stage whose learning rate is on a plateau.

    Raises:
        StudioError: another setting differs.
    """

    def fixed(stage: TrainingConfig) -> TrainingConfig:
        steps = 1 if stage.lr_schedule == "plateau" else stage.num_steps
        return replace(stage, max_minutes=None, num_steps=steps)

    def settings(one: Any) -> dict[str, Any]:  # noqa: ANN401
        values = {field.name: getattr(one, field.name) for field in fields(one)}
        return {name: fixed(value) if isinstance(value, TrainingConfig) else value for name, value in values.items()}

    if settings(kept) != settings(config):
        raise StudioError(f"The configuration differs from the one that {saved} records; a run keeps its settings.")


if __name__ == "__main__":
    sys.exit(main())
