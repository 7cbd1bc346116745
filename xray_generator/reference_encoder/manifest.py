"""The manifest beside a reference encoder's weights, and which encoder of a folder fits given images.

Reading it needs no torch, so a page can ask which encoders there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xray_generator.checkpoints import check_name, folders_with_manifest, read_manifest_of
from xray_generator.config import check_ranges
from xray_generator.data.rows import Row, class_names
from xray_generator.types import StudioError

MAX_FEATURES = 256  # a Fréchet distance needs several times as many images
CHEST = "frontal chest X-rays"
MIN_CLASSES = 2  # shared by images and encoder: "normal" alone occurs in many fields


@dataclass(frozen=True, slots=True)
class EncoderShape:
    """A ResNet of basic blocks: the stem reduces the side to a quarter, every stage but the first halves it again."""

    image_size: int = 128
    stem_channels: int = 32
    channels: tuple[int, ...] = (32, 64, 160, 256)
    blocks: tuple[int, ...] = (1, 2, 3, 2)

    def __post_init__(self) -> None:
        check_ranges(self, {"image_size": (32, 512), "stem_channels": (1, 512), "channels": (1, 512), "blocks": (1, 9)})
        if len(self.channels) != len(self.blocks) or not self.channels or self.channels[-1] > MAX_FEATURES:
            raise StudioError(
                f"channels and blocks must be equally many, one or more; the last of channels {MAX_FEATURES} or less."
            )


@dataclass(frozen=True, slots=True)
class Calibration:
    """Calibration of one label, fitted on the `val` split."""

    temperature: float = 1.0  # probability = sigmoid(logit / temperature), Guo et al. 2017
    threshold: float = 0.5  # the label is predicted at this probability or above


@dataclass(frozen=True, slots=True)
class LabelQuality:
    """How well the encoder recognizes one label on one split; None where too few images are labeled."""

    positives: int
    negatives: int
    auroc: float | None  # within sources, as is the balanced accuracy: see `metrics`
    interval: tuple[float, float] | None  # 95 %, bootstrap over patients
    balanced_accuracy: float | None
    pooled_auroc: float | None  # over all images, as others report it; inflated by differences between sources
    sources: dict[str, float]  # AUROC within each source that has images with and without the label


@dataclass(frozen=True, slots=True)
class ClassQuality:
    """Accuracy over all classes on one split: how often the likeliest class is the true one."""

    n: int  # images whose source has two classes or more
    accuracy: float
    interval: tuple[float, float] | None  # 95 %, bootstrap over patients
    recalls: dict[str, float]  # the same among the images of each class


@dataclass(frozen=True, slots=True)
class EncoderManifest:
    """What an encoder is, what it was trained on, how well it performs, and the hash of each of its files."""

    name: str
    shape: EncoderShape
    labels: tuple[str, ...]  # of its outputs, in order
    calibration: dict[str, Calibration]
    metrics: dict[str, dict[str, LabelQuality]]  # split -> label
    data: dict[str, Any]  # counts and sources
    training: dict[str, Any]
    commit: str  # of the code that trained it
    license: str
    files: dict[str, str] = field(default_factory=dict)  # path -> SHA-256
    subject: str = CHEST  # the kind of its images
    classes: tuple[str, ...] = ()  # the labels that exclude each other: one per image
    class_quality: dict[str, ClassQuality] = field(default_factory=dict)  # by split

    def __post_init__(self) -> None:
        check_name(self.name)
        if set(self.calibration) != set(self.labels):
            raise StudioError(f"The manifest of {self.name} must give a calibration for each of its labels.")
        if not set(self.classes) <= set(self.labels):
            raise StudioError(f"The manifest of {self.name} names classes that are not among its labels.")


def fitting_encoder(root: Path, rows: Sequence[Row] = ()) -> Path | None:
    """The folder in `root` of the encoder trained on images like those of `rows`; None where there is none.

    Images with classes fit the encoder that shares most with them: one of their sources, or at least two classes.
    Images without classes fit the first encoder by name that has none; but CT slices in Hounsfield units fit none,
    since that encoder was trained on radiographs.

    Raises:
        StudioError: a manifest is damaged.
    """
    found = {folder: read_manifest_of(folder, EncoderManifest) for folder in folders_with_manifest(root)}
    classes = set(class_names(rows))
    if not classes and any(row.hu_window is not None for row in rows):
        return None
    if not classes:
        return next((folder for folder, manifest in found.items() if not manifest.classes), None)
    sources = {row.source for row in rows if row.label and row.source}
    shared = {
        folder: (len(sources & set(manifest.data.get("sources", ()))), len(classes & set(manifest.classes)))
        for folder, manifest in found.items()
        if manifest.classes
    }
    fitting = {folder: counts for folder, counts in shared.items() if counts[0] or counts[1] >= MIN_CLASSES}
    return max(fitting, key=lambda folder: fitting[folder], default=None)
