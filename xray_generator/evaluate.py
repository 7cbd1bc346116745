"""`python -m xray_generator.evaluate`: measure how good a checkpoint is, or a folder of images from any source.

The classes of a folder's images are known if they lie in class folders with the same names as those of --real.

    python -m xray_generator.evaluate --suite quick --real dataset --output_dir outputs/metrics
    python -m xray_generator.evaluate --generated DIR --real DIR --output_dir outputs/metrics
    python -m xray_generator.evaluate --suite enlargement --real PACK --output_dir outputs/metrics
    python -m xray_generator.evaluate --checkpoint A B C --real DIR --output_dir outputs/metrics

Writes a record and a summary in plain words to --output_dir, figures to OUTPUT_DIR/visualizations and a sample of the
images to OUTPUT_DIR/samples; the full suite puts its table of ablations into the model card. All images stay in
OUTPUT_DIR/cache/evaluation, so that a stopped run can go on. Of several checkpoints, a comparison is written too: each
measure of the others beside that of the first, and which differences are within chance.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from xray_generator.cards import Card, write_card
from xray_generator.checkpoints import code_commit, find_checkpoint, read_manifest
from xray_generator.config import dump
from xray_generator.console import exit_code
from xray_generator.dashboards.comparison import compare_records, write_comparison
from xray_generator.data.read import read_dataset
from xray_generator.data.rows import Row, class_names, evenly
from xray_generator.devices import set_threads
from xray_generator.evaluation import ablations, plots, super_resolution
from xray_generator.evaluation.drawing import keep_samples, load_model
from xray_generator.evaluation.features import Extractor
from xray_generator.evaluation.image_sets import ImageSet, common_size, from_folder
from xray_generator.evaluation.inputs import (
    SPLITS,
    Classes,
    RealData,
    add_class_rows,
    prompt_rows,
    read_real,
    read_training_rows,
    spread,
    warnings,
)
from xray_generator.evaluation.records import Record, write_record
from xray_generator.evaluation.speed import machine_facts
from xray_generator.evaluation.study import Findings, Model, Study, find_classifiers
from xray_generator.evaluation.suite import SUITES, run
from xray_generator.evaluation.summary import SUMMARY, summarize
from xray_generator.export.files import make_folder, write_file
from xray_generator.export.marks import mark_chunks
from xray_generator.images import encode_png
from xray_generator.reference_encoder.manifest import fitting_encoder
from xray_generator.reference_encoder.model import load_reference_encoder
from xray_generator.registry import reads_prompts, resolve
from xray_generator.requests import make_request, read_condition
from xray_generator.studio import Studio
from xray_generator.types import MAX_SEED, NOTICE, OnStep, StudioError

NUM_DRAWN = {"quick": 100, "full": 1_000}
NUM_SAMPLES = 48  # of the drawn images, kept for the pages besides those nearest to training images
NUM_READ = {"quick": 1_000, "full": 5_000}  # most images taken of a folder
MAX_SIDE = 256  # of a folder's images, unless --size is given
PROMPT = "Chest X-ray, PA view"  # of the images that are timed


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 on success, 1 with a message on a fault."""
    options = _parser().parse_args(arguments)
    return exit_code(lambda: _run(options))


def measure(studio: Studio, checkpoint: str, num_images: int, on_step: OnStep | None = None) -> Record:
    """The record of the quick suite on newly drawn images, beside the real ones of DATASET_PATH; it is not written.

    Raises:
        StudioError: there are no such real images, or the checkpoint cannot be loaded.
    """
    set_threads(studio.num_threads)
    asked = argparse.Namespace(checkpoint=checkpoint, num_images=num_images, device=studio.device, is_first=False)
    options = _parser().parse_args([], asked)  # what is not asked for is as for the command
    study, notes = _prepare(options, studio, studio.cache_dir / "evaluation", on_step)
    return _make_record(options, study, run(study, SUITES[options.suite], on_step), notes)


def _run(options: argparse.Namespace) -> None:
    set_threads(options.num_threads)
    studio = Studio(device=options.device)
    make_folder(options.output_dir)  # before the work, not after it
    for name in options.checkpoint or ():
        studio.manifest(name)  # refuses an unknown one before the others are measured
    names = dict.fromkeys(options.checkpoint or (None,))
    if options.keep_images:
        _check_place(options, len(names))
    records: list[Record] = []
    for name in names:
        one = {**vars(options), "checkpoint": name, "is_first": not records}
        records.append(_evaluate(argparse.Namespace(**one), studio))
    if len(records) > 1 and options.suite in SUITES:
        print(write_comparison(compare_records(records, tuple(map(str, names))), options.output_dir))  # noqa: T201


def _evaluate(options: argparse.Namespace, studio: Studio) -> Record:
    """Measure one checkpoint, or a folder of images, and keep what was found."""
    record = (
        _measure_enlargement(options, studio)
        if options.suite == super_resolution.SUITE
        else _run_suite(options, studio)
    )
    summary = options.output_dir / record.name / SUMMARY
    make_folder(summary.parent)
    summary.write_text(summarize(record), encoding="utf-8")
    print(write_record(record, options.output_dir), summary, sep="\n")  # noqa: T201
    return record


def _measure_enlargement(options: argparse.Namespace, studio: Studio) -> Record:
    upscaler = studio.enlarger(options.checkpoint) if options.checkpoint else studio.upscaler()
    if upscaler is None:
        raise StudioError(f"There is no checkpoint that enlarges X-rays in {studio.checkpoint_root}; name another.")

    def find_extractor(images: ImageSet) -> Extractor | None:
        encoder = fitting_encoder(studio.encoder_root, images.rows)
        return load_reference_encoder(encoder, options.device) if encoder else None

    record = super_resolution.measure_upscaler(
        upscaler,
        read_dataset(options.real),
        size=options.size,
        splits=SPLITS[options.split],
        seed=options.seed,
        find_extractor=find_extractor,
        limit=options.num_images,
    )
    return replace(record, settings={**record.settings, "real": options.real.resolve().name})


def _run_suite(options: argparse.Namespace, studio: Studio) -> Record:
    """Run all steps, and keep the figures, a sample of the images and the card's table of ablations."""
    cache = studio.cache_dir / "evaluation"
    study, notes = _prepare(options, studio, cache)
    for note in notes:
        print(f"note: {note}", file=sys.stderr)  # noqa: T201
    if options.keep_images:
        _keep_images(study, options.keep_images)
    found = run(study, SUITES[options.suite])
    record = _make_record(options, study, found, notes)
    if ref := record.checkpoint:
        closest = [str(pair["image"]) for pair in found.tables.get("closest_pairs", ())]
        names = dict.fromkeys([*evenly(study.generated.names, NUM_SAMPLES), *closest])
        keep_samples(list(names), cache / "generated", studio.sample_dir(ref.name), ref)
        _update_card(find_checkpoint(studio.checkpoint_root, ref.full_name), record)
    make_folder(studio.figure_dir / record.name)
    for name, figure in found.figures.items():
        plots.save(figure, studio.figure_dir / record.name / f"{name}.png")
    return record


def _make_record(options: argparse.Namespace, study: Study, found: Findings, notes: Sequence[str]) -> Record:
    ref = study.model.checkpoint if study.model else None
    return Record(
        ref.name if ref else options.generated.resolve().name,
        options.suite,
        datetime.now(UTC).isoformat(timespec="seconds"),
        code_commit(),
        ref,
        _settings(options, study),
        found.measurements,
        found.curves,
        found.tables,
        (*notes, *found.notes),
    )


def _check_place(options: argparse.Namespace, count: int) -> None:
    """Refuse to mix the images to keep with others, before the work."""
    if count > 1 or options.suite not in SUITES:
        raise StudioError("--keep_images keeps the images of one checkpoint or folder, of the suites quick and full.")
    make_folder(options.keep_images)
    if any(options.keep_images.iterdir()):
        raise StudioError(f"{options.keep_images} holds files already. Give --keep_images a new folder.")


def _keep_images(study: Study, folder: Path) -> None:
    """Write both sets as they are compared, at 8 bits, so that any other program can measure the same."""
    for name, images, marks in (("generated", study.generated, mark_chunks(NOTICE)), ("real", study.real, {})):
        place = folder / name
        make_folder(place)
        for i, image in enumerate(images.images):
            write_file(place / f"{i:05d}.png", encode_png(image, marks))


def _update_card(folder: Path, record: Record) -> None:
    """Write the checkpoint's card again with the record's ablations, where it has some."""
    if section := ablations.describe(record):
        manifest = read_manifest(folder)
        card: Card = resolve(manifest.family, "card:describe")(manifest)
        write_card(folder, manifest, replace(card, sections={**card.sections, ablations.HEADING: section}))


def _prepare(
    options: argparse.Namespace, studio: Studio, cache: Path, on_step: OnStep | None = None
) -> tuple[Study, tuple[str, ...]]:
    """All that is compared, and notes on it for the reader."""
    is_quick = options.suite == "quick"
    most, count = NUM_READ[options.suite], options.num_images
    training = read_training_rows(options.training) if options.training else None
    size, model = options.size, None
    if options.generated:
        size = size or common_size(options.generated, MAX_SIDE)
    else:  # first of all: the peak memory of the process is the model's
        size = size or studio.manifest(options.checkpoint).sizes[0]
        model = _load_model(options, studio, size, cache / "generated", on_step)
    is_sharp = is_quick and not options.condition  # what is rare is worth more than sharp edges
    real = read_real(options.real, size, options.split, sharp_only=is_sharp, limit=most, condition=options.condition)
    real = real if training is None else replace(real, training=training)
    if model is None:
        generated = from_folder(options.generated, size, "generated", count or most)
        generated = add_class_rows(generated, options.generated, class_names(real.images.rows))
    else:
        real, rows = _choose_rows(real, studio, options.checkpoint)
        generated = model.redraw(spread(rows, count or NUM_DRAWN[options.suite]), {})
    classifiers = find_classifiers(
        real.images, studio.encoder_root, options.device, pretrained=not is_quick, rows=generated.rows
    )
    study = Study(generated, real.images, real.split, options.seed, classifiers, cache, real.training, model)
    return study, (*real.notes, *warnings(generated, real.images), *classifiers.notes)


def _load_model(options: argparse.Namespace, studio: Studio, size: int, folder: Path, on_step: OnStep | None) -> Model:
    manifest = studio.manifest(options.checkpoint)
    words = (PROMPT, None) if reads_prompts(manifest) else (None, next(iter(manifest.labels), None))
    template = make_request(
        read_condition(manifest, *words),
        seed=options.seed,
        size=size,
        steps=options.steps,
        guidance=options.guidance,
        scheduler=options.scheduler,
    )
    model = load_model(studio.engine(options.checkpoint), template, folder, on_step)
    return model if options.is_first else replace(model, peak_memory_mb=None)  # of the process, which held another one


def _choose_rows(real: RealData, studio: Studio, checkpoint: str | None) -> tuple[RealData, tuple[Row, ...]]:
    """The real images of the kinds that the checkpoint draws, and the rows to draw images for."""
    manifest = studio.manifest(checkpoint)
    if reads_prompts(manifest):
        return real, prompt_rows(real.images.rows, studio.vocabulary(checkpoint).example_prompts)
    classes = Classes(manifest.labels, manifest.unconditional)
    return classes.part(real), classes.rows(real.images.rows)


def _settings(options: argparse.Namespace, study: Study) -> dict[str, Any]:
    """The settings of the record, without any path of this machine."""
    request = {}
    if study.model:
        request = {key: value for key, value in dump(study.model.request).items() if key not in ("condition", "seed")}
        request["seeds"] = f"{options.seed} to {options.seed + len(study.generated) - 1}"
    return {
        **request,
        "num_images": len(study.generated),
        "seed": options.seed,
        "real": options.real.resolve().name,
        **({"condition": options.condition} if options.condition else {}),
        "split": study.split,
        "num_real": len(study.real),
        "num_training": len(study.training),
        "image_size": study.size,
        **machine_facts(),
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m xray_generator.evaluate", description=__doc__.splitlines()[0])
    subject = parser.add_mutually_exclusive_group()
    subject.add_argument(
        "--checkpoint",
        nargs="+",
        help="names; each is measured, and compared with the first; default: the first one found",
    )
    subject.add_argument("--generated", type=Path, metavar="DIR", help="a folder of images from any source")
    parser.add_argument(
        "--real",
        type=Path,
        default=Path(os.environ.get("DATASET_PATH", "dataset")),
        metavar="DIR",
        help="a dataset, or a folder of real images; default: DATASET_PATH, or dataset",
    )
    parser.add_argument(
        "--condition",
        default="",
        help="a finding, view, sex, age group or class: half of the images are of it, and half of all others",
    )
    parser.add_argument("--split", choices=tuple(SPLITS), default="unseen", help="unseen: val and test")
    parser.add_argument("--training", type=Path, metavar="DIR", help="the training data; default: that of --real")
    parser.add_argument("--suite", choices=(*SUITES, super_resolution.SUITE), default="quick")
    parser.add_argument("--num_images", type=_integer(1), help="how many to draw, or at most to read of a folder")
    parser.add_argument("--keep_images", type=Path, metavar="DIR", help="a new folder for both sets as compared")
    parser.add_argument("--size", type=_integer(1), help="pixels a side; default: the checkpoint's, or the folder's")
    parser.add_argument("--seed", type=_integer(0, MAX_SEED), default=0, help="image i is drawn with seed + i")
    parser.add_argument("--steps", type=int, help="default: the checkpoint's recommendation")
    parser.add_argument("--guidance", type=float, help="default: the checkpoint's recommendation")
    parser.add_argument("--scheduler", help="default: the checkpoint's recommendation")
    parser.add_argument("--device", help="cpu, cuda, cuda:1; default: CUDA where there is one")
    parser.add_argument("--num_threads", type=int, help="CPU threads")
    parser.add_argument("--output_dir", type=Path, default=Path("outputs/metrics"))
    return parser


def _integer(low: int, high: int | None = None) -> Callable[[str], int]:
    """A parser of whole numbers from `low` to `high`."""

    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) < low or (high is not None and int(text) > high):
            words = f"of {low} or more" if high is None else f"from {low} to {high}"
            raise argparse.ArgumentTypeError(f"must be a whole number {words}, not {text!r}")
        return int(text)

    return parse


if __name__ == "__main__":
    sys.exit(main())
