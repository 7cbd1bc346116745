"""Train a reference encoder on real images, calibrate it on `val`, measure it on `test`, and export it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit
from torch import Tensor
from torch.optim.swa_utils import update_bn

from xray_generator.checkpoints import check_name, code_commit, write_manifest
from xray_generator.config import check_ranges, dump
from xray_generator.data.rows import Dataset, Row, class_names
from xray_generator.devices import pick_device, process_state
from xray_generator.folders import staged
from xray_generator.images import from_uint8
from xray_generator.reference_encoder.bootstrap import patient_interval
from xray_generator.reference_encoder.card import write_encoder_card
from xray_generator.reference_encoder.labels import learnable_labels, patients, strata, targets
from xray_generator.reference_encoder.manifest import CHEST, Calibration, EncoderManifest, EncoderShape, LabelQuality
from xray_generator.reference_encoder.metrics import (
    auroc,
    balanced_accuracy,
    best_threshold,
    class_quality,
    sources_with_both,
)
from xray_generator.reference_encoder.model import ReferenceEncoder, build_network, load_reference_encoder
from xray_generator.reference_encoder.task import Augmentation, EncoderTask, augment, pack_images
from xray_generator.training.loop import train
from xray_generator.training.settings import TrainingConfig
from xray_generator.training.task import step_generator
from xray_generator.types import StudioError

NORM_BATCHES, NORM_BATCH = 40, 64
TEMPERATURES = (0.2, 5.0)


@dataclass(frozen=True, slots=True)
class EncoderConfig:
    """The settings of a whole run."""

    name: str = "chest_xray_128"
    subject: str = ""  # the kind of images, for the card; empty: chest X-rays, or images of the data's classes
    augmentation: Augmentation = "upright"  # any_orientation: of what has no upright, such as cells; never mirrored
    min_cases: int = 20  # a label is learned if so many training images have it and as many lack it
    shape: EncoderShape = field(default_factory=EncoderShape)
    training: TrainingConfig = field(
        default_factory=lambda: TrainingConfig(
            num_steps=4_200,
            batch_size=64,
            learning_rate=1e-3,
            warmup_steps=300,
            weight_decay=0.05,
            checkpoint_every=600,
        )
    )

    def __post_init__(self) -> None:
        check_name(self.name)
        check_ranges(self, {"min_cases": (1, 100_000)})


def train_encoder(config: EncoderConfig, dataset: Dataset, run: Path, folder: Path) -> Path:
    """Train the rest of the run in folder `run`, on the `train` split alone, and export the encoder to `folder`.

    Raises:
        StudioError: see `training.loop.train`; or no label has enough training images.
    """
    commit, size = code_commit(), config.shape.image_size
    labels = learnable_labels(dataset.split("train"), config.min_cases)
    if not labels:
        raise StudioError(f"No label is present in {config.min_cases} training images and absent in as many.")
    with process_state().main_process_first():
        images = {name: pack_images(dataset.split(name), size, run / "cache") for name in ("train", "val", "test")}
    torch.manual_seed(config.training.seed)
    network = build_network(config.shape, labels)
    task = EncoderTask(
        network,
        labels,
        dataset.split("train"),
        images["train"],
        dataset.split("val"),
        images["val"],
        _classes(labels, dataset),
        config.augmentation,
    )
    train(task, config.training, run / "encoder")
    if process_state().is_main_process:
        update_bn(_augmented(images["train"], config), network)  # the averaged weights' own statistics
        export(config, network, labels, dataset, images, folder, commit)
    return folder


def export(
    config: EncoderConfig,
    network: Any,  # noqa: ANN401 - mypy skips transformers
    labels: tuple[str, ...],
    dataset: Dataset,
    images: dict[str, NDArray[np.uint8]],
    folder: Path,
    commit: str,
) -> EncoderManifest:
    """Round the weights to 16 bits, calibrate and measure the rounded network, and write weights, manifest and card."""
    network = network.cpu().half().float()  # as the files hold it
    classes, calibration = _classes(labels, dataset), dict.fromkeys(labels, Calibration())
    encoder = ReferenceEncoder(network, config.shape.image_size, calibration, classes=classes)
    encoder = replace(encoder, calibration=calibrate(encoder, dataset.split("val"), images["val"]))
    over_classes = {
        split: class_quality(dataset.split(split), classes, encoder.class_probabilities(from_uint8(images[split])))
        for split in ("val", "test")
    }
    rows = dataset.split("train")
    subject = f"images of {', '.join(name.replace('_', ' ') for name in classes)}" if classes else CHEST
    manifest = EncoderManifest(
        name=config.name,
        shape=config.shape,
        labels=labels,
        calibration=encoder.calibration,
        metrics={name: quality(encoder, dataset.split(name), images[name]) for name in ("val", "test")},
        data={
            "num_train": len(rows),
            "num_val": len(dataset.split("val")),
            "num_test": len(dataset.split("test")),
            "num_patients": len({row.patient_id for row in rows if row.patient_id}),
            "sources": dict(Counter(row.source for row in rows)),
        },
        training=dump(config.training),
        commit=commit,
        license="; ".join(sorted({row.license for row in rows if row.license})),
        subject=config.subject or subject,
        classes=classes,
        class_quality={split: found for split, found in over_classes.items() if found},
    )
    with staged(folder) as place:
        network.half().save_pretrained(place)
        manifest = write_manifest(place, manifest)
        write_encoder_card(place, manifest)
        load_reference_encoder(place, "cpu")  # what cannot be read back must not replace what can
    return manifest


def _classes(labels: Sequence[str], dataset: Dataset) -> tuple[str, ...]:
    """The labels that are classes of the data; none where there is only one."""
    known = set(class_names(dataset.rows))
    found = tuple(label for label in labels if label in known)
    return found if len(found) > 1 else ()


def calibrate(encoder: ReferenceEncoder, rows: Sequence[Row], images: NDArray[np.uint8]) -> dict[str, Calibration]:
    """Temperature and threshold of each label, fitted on validation images; the defaults where too few are labeled."""
    logits, truth, sources = encoder.logits(from_uint8(images)), targets(rows, encoder.labels), strata(rows)
    found = {}
    for i, label in enumerate(encoder.labels):
        temperature = _temperature(logits[:, i], truth[:, i])
        found[label] = Calibration(temperature, best_threshold(expit(logits[:, i] / temperature), truth[:, i], sources))
    return found


def quality(encoder: ReferenceEncoder, rows: Sequence[Row], images: NDArray[np.uint8]) -> dict[str, LabelQuality]:
    """How well each label is recognized on images that were not trained on."""
    probabilities, known = encoder.probabilities(from_uint8(images)), targets(rows, encoder.labels)
    sources, owners, rng = strata(rows), patients(rows), np.random.default_rng(0)

    def score(place: int, label: str) -> LabelQuality:
        scores, truth = probabilities[:, place], known[:, place]
        value = auroc(scores, truth, sources)
        accuracy = balanced_accuracy(scores, truth, sources, encoder.calibration[label].threshold)
        pooled = auroc(scores, truth, np.zeros(len(truth), np.str_))
        is_known = np.isfinite(value)
        return LabelQuality(
            positives=int((truth == 1).sum()),
            negatives=int((truth == 0).sum()),
            auroc=value if is_known else None,
            interval=patient_interval(lambda i: auroc(scores[i], truth[i], sources[i]), owners, rng)
            if is_known
            else None,
            balanced_accuracy=accuracy if is_known else None,
            pooled_auroc=pooled if np.isfinite(pooled) else None,
            sources={
                name: auroc(scores[sources == name], truth[sources == name], sources[sources == name])
                for name in sources_with_both(truth, sources)
            },
        )

    return {label: score(place, label) for place, label in enumerate(encoder.labels)}


def _temperature(logits: NDArray[np.float64], truth: NDArray[np.float32]) -> float:
    """argmin over T of the mean of log(1 + exp(-s z / T)), s = +1 or -1 (Guo et al. 2017, arXiv:1706.04599)."""
    known = ~np.isnan(truth)
    margins = logits[known] * (2 * truth[known] - 1)
    if not known.any() or np.ptp(truth[known]) == 0:
        return 1.0
    low, high = np.log(TEMPERATURES)
    best = minimize_scalar(lambda t: np.logaddexp(0, -margins / np.exp(t)).mean(), bounds=(low, high), method="bounded")
    return float(np.exp(best.x))


def _augmented(images: NDArray[np.uint8], config: EncoderConfig) -> Iterator[Tensor]:
    """Training batches (B, 1, S, S) in [-1, 1] as the network saw them."""
    for batch in range(NORM_BATCHES):
        generator = step_generator(config.training.seed, batch)
        chosen = torch.randint(len(images), (NORM_BATCH,), generator=generator)
        batch_images = torch.from_numpy(from_uint8(images[chosen.numpy()]))[:, None]
        seen = augment(batch_images, generator, config.augmentation) * 2 - 1
        yield seen.to(pick_device(), memory_format=torch.channels_last)
