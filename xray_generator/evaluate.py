"""`python -m xray_generator.evaluate`: how good is a checkpoint, or a folder of images that anything made.

The images of a folder are of known classes where they lie in class folders that are named as those of --real.

    python -m xray_generator.evaluate --suite quick --real dataset --output_dir outputs/metrics
    python -m xray_generator.evaluate --generated DIR --real DIR --output_dir outputs/metrics
    python -m xray_generator.evaluate --suite enlargement --real PACK --output_dir outputs/metrics

Writes a record and a summary in plain words into --output_dir, and figures and a sample of the images into
OUTPUT_DIR/visualizations; the full suite puts its table of ablations into the model card. All images stay in
OUTPUT_DIR/cache/evaluation: a run that was stopped goes on from there.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from xray_generator.checkpoints import CARD, Manifest, code_commit, find_checkpoint
from xray_generator.config import dump
from xray_generator.console import exit_code
from xray_generator.data.read import read_dataset
from xray_generator.data.rows import Row, class_names, evenly
from xray_generator.devices import set_threads
from xray_generator.evaluation import ablations, plots, super_resolution
from xray_generator.evaluation.drawing import keep_samples, load_model
from xray_generator.evaluation.image_sets import common_size, from_folder
from xray_generator.evaluation.inputs import (
    SPLITS,
    Classes,
    RealData,
    by_folder,
    prompt_rows,
    read_real,
    read_training_rows,
    spread,
    warnings,
)
from xray_generator.evaluation.records import Record, write_record
from xray_generator.evaluation.speed import machine_facts
from xray_generator.evaluation.study import Model, Study, find_classifiers
from xray_generator.evaluation.suite import SUITES, run
from xray_generator.evaluation.summary import SUMMARY, summarize
from xray_generator.export.files import make_folder
from xray_generator.registry import get_family
from xray_generator.requests import make_request, read_condition
from xray_generator.studio import Studio
from xray_generator.types import MAX_SEED, Condition, StudioError, TextPrompt

NUM_DRAWN = {"quick": 100, "full": 1_000}
NUM_SAMPLES = 48  # of the drawn images, kept for the pages besides those nearest to training images
NUM_READ = {"quick": 1_000, "full": 5_000}  # most images taken of a folder
MAX_SIDE = 256  # of a folder's images, where nobody says otherwise
PROMPT = "Chest X-ray, PA view"  # of the images that are timed


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 on success, 1 with a message on a fault."""
    options = _parser().parse_args(arguments)
    return exit_code(lambda: _run(options))


def _run(options: argparse.Namespace) -> None:
    set_threads(options.num_threads)
    studio = Studio(device=options.device)
    make_folder(options.output_dir)  # before the work, not after it
    if options.suite == super_resolution.SUITE:
        _keep(_enlargement(options, studio), options.output_dir)
        return
    study, notes = _prepare(options, studio)
    for note in notes:
        print(f"note: {note}", file=sys.stderr)  # noqa: T201
    found = run(study, SUITES[options.suite])
    subject = study.model.checkpoint.name if study.model else options.generated.resolve().name
    record = Record(
        subject,
        options.suite,
        datetime.now(UTC).isoformat(timespec="seconds"),
        code_commit(),
        study.model.checkpoint if study.model else None,
        _settings(options, study),
        found.measurements,
        found.curves,
        found.tables,
        (*notes, *found.notes),
    )
    figures = studio.figure_dir / record.name
    make_folder(figures)
    if study.model:
        closest = [str(pair["image"]) for pair in found.tables.get("closest_pairs", ())]
        names = dict.fromkeys([*evenly(study.generated.names, NUM_SAMPLES), *closest])
        keep_samples(list(names), _drawn(studio), studio.sample_dir(subject), study.model.checkpoint)
    for name, figure in found.figures.items():
        plots.save(figure, figures / f"{name}.png")
    if study.model:
        ablations.write_into_card(
            find_checkpoint(studio.checkpoint_root, study.model.checkpoint.full_name) / CARD, record
        )
    _keep(record, options.output_dir)


def _keep(record: Record, folder: Path) -> None:
    summary = folder / record.name / SUMMARY
    make_folder(summary.parent)
    summary.write_text(summarize(record))
    print(write_record(record, folder), summary, sep="\n")  # noqa: T201


def _enlargement(options: argparse.Namespace, studio: Studio) -> Record:
    upscaler = studio.upscaler()
    if upscaler is None:
        raise StudioError(f"There is no checkpoint that enlarges images in {studio.checkpoint_root}.")
    record = super_resolution.measure_upscaler(
        upscaler, read_dataset(options.real), splits=SPLITS[options.split], seed=options.seed
    )
    return replace(record, settings={**record.settings, "real": options.real.resolve().name})


def _prepare(options: argparse.Namespace, studio: Studio) -> tuple[Study, tuple[str, ...]]:
    """Everything that is compared, and what a reader must know of it."""
    is_quick = options.suite == "quick"
    training = read_training_rows(options.training) if options.training else None
    size = options.size or _size(options, studio)
    model = None if options.generated else _load(options, studio, size, _drawn(studio))  # first: its memory counts
    real = read_real(options.real, size, options.split, sharp_only=is_quick, limit=NUM_READ[options.suite])
    real = real if training is None else replace(real, training=training)
    if model is None:
        generated = from_folder(options.generated, size, "generated", options.num_images or NUM_READ[options.suite])
        generated = by_folder(generated, options.generated, class_names(real.images.rows))
    else:
        real, rows = _asked(real, studio, options.checkpoint)
        generated = model.redraw(spread(rows, options.num_images or NUM_DRAWN[options.suite]), {})
    classifiers = find_classifiers(
        real.images, studio.encoder_root, options.device, pretrained=not is_quick, rows=generated.rows
    )
    study = Study(generated, real.images, real.split, options.seed, classifiers, _cache(studio), real.training, model)
    return study, (*real.notes, *warnings(generated, real.images), *classifiers.notes)


def _asked(real: RealData, studio: Studio, checkpoint: str | None) -> tuple[RealData, tuple[Row, ...]]:
    """The real images of what the checkpoint draws, and the rows that it is to draw images for."""
    manifest = studio.manifest(checkpoint)
    if get_family(manifest.family).condition is TextPrompt:
        return real, prompt_rows(real.images.rows, studio.vocabulary(checkpoint).example_prompts)
    classes = Classes(manifest.labels, manifest.unconditional)
    return classes.part(real), classes.rows(real.images.rows)


def _cache(studio: Studio) -> Path:
    return studio.output_dir / "cache" / "evaluation"


def _drawn(studio: Studio) -> Path:
    return _cache(studio) / "generated"


def _size(options: argparse.Namespace, studio: Studio) -> int:
    if options.generated is None:
        return studio.manifest(options.checkpoint).sizes[0]
    return common_size(options.generated, MAX_SIDE)


def _load(options: argparse.Namespace, studio: Studio, size: int, folder: Path) -> Model:
    template = make_request(
        _timed(studio.manifest(options.checkpoint)),
        seed=options.seed,
        size=size,
        steps=options.steps,
        guidance=options.guidance,
        scheduler=options.scheduler,
    )
    return load_model(studio.engine(options.checkpoint), template, folder)


def _timed(manifest: Manifest) -> Condition:
    """What is asked for where only the time counts."""
    if get_family(manifest.family).condition is TextPrompt:
        return TextPrompt(PROMPT)
    return read_condition(manifest, label=next(iter(manifest.labels), None))


def _settings(options: argparse.Namespace, study: Study) -> dict[str, Any]:
    """What the numbers were measured on, without a path of this machine."""
    request = {}
    if study.model:
        request = {key: value for key, value in dump(study.model.request).items() if key not in ("condition", "seed")}
        request["seeds"] = f"{options.seed} to {options.seed + len(study.generated) - 1}"
    return {
        **request,
        "num_images": len(study.generated),
        "seed": options.seed,
        "real": options.real.resolve().name,
        "split": study.split,
        "num_real": len(study.real),
        "num_training": len(study.training),
        "image_size": study.size,
        **machine_facts(),
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m xray_generator.evaluate", description=__doc__.splitlines()[0])
    subject = parser.add_mutually_exclusive_group()
    subject.add_argument("--checkpoint", help="name; default: the first one found")
    subject.add_argument("--generated", type=Path, metavar="DIR", help="a folder of images that anything made")
    parser.add_argument(
        "--real",
        type=Path,
        default=Path(os.environ.get("DATASET_PATH", "dataset")),
        metavar="DIR",
        help="a data set, or a folder of real images; default: DATASET_PATH, or dataset",
    )
    parser.add_argument("--split", choices=tuple(SPLITS), default="unseen", help="of the data set; unseen: val, test")
    parser.add_argument("--training", type=Path, metavar="DIR", help="what it was trained on; default: as --real")
    parser.add_argument("--suite", choices=(*SUITES, super_resolution.SUITE), default="quick")
    parser.add_argument("--num_images", type=_positive, help="to draw, or at most to read of a folder")
    parser.add_argument("--size", type=_positive, help="pixels a side; default: the checkpoint's, or the folder's")
    parser.add_argument("--seed", type=_seed, default=0, help="image i is drawn with seed + i")
    parser.add_argument("--steps", type=int, help="default: the checkpoint's recommendation")
    parser.add_argument("--guidance", type=float, help="default: the checkpoint's recommendation")
    parser.add_argument("--scheduler", help="default: the checkpoint's recommendation")
    parser.add_argument("--device", help="cpu, cuda, cuda:1; default: CUDA where there is one")
    parser.add_argument("--num_threads", type=int, help="CPU threads")
    parser.add_argument("--output_dir", type=Path, default=Path("outputs/metrics"))
    return parser


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) > MAX_SEED:
        raise argparse.ArgumentTypeError(f"must be a whole number from 0 to {MAX_SEED}, not {text!r}")
    return int(text)


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"must be a whole number of 1 or more, not {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
