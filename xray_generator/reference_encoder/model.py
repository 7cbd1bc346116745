"""The reference encoder: a small ResNet trained on real images, the classifier and feature space of the evaluation.

It never trains a generator and never learns from a generated image. On disk it is a transformers
`ResNetForImageClassification` in `save_pretrained` layout, beside a manifest with its labels, its calibration and the
hash of each file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_model
from scipy.special import expit
from torch import Tensor
from transformers import ResNetConfig, ResNetForImageClassification

from xray_generator.checkpoints import Stored, load_weights, read_manifest_of, verify, weights_sha256
from xray_generator.devices import pick_device
from xray_generator.images import resize_square, to_tensor
from xray_generator.reference_encoder.manifest import Calibration, EncoderManifest, EncoderShape, LabelQuality

BATCH = 64
WEIGHTS = "model.safetensors"


@dataclass(frozen=True, slots=True)
class ReferenceEncoder:
    """A network with its labels and calibration; calling it gives features, as any `Extractor` does."""

    network: Any  # ResNetForImageClassification
    size: int
    calibration: dict[str, Calibration]  # of each label, in the order of the outputs
    name: str = "reference encoder"
    quality: Mapping[str, LabelQuality] = field(default_factory=dict)  # of each label on `val`, where it is known
    classes: tuple[str, ...] = ()  # the labels that exclude each other: one per image

    @property
    def labels(self) -> tuple[str, ...]:
        """Its outputs, in order."""
        return tuple(self.calibration)

    @property
    def dimension(self) -> int:
        """The length of a feature vector."""
        return int(self.network.config.hidden_sizes[-1])

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float64]:
        """Features (N, D) of images (N, H, W) in [0, 1]: the last stage, averaged over all positions."""
        return self._run(images, lambda batch: self.network.resnet(batch).pooler_output.flatten(1), self.dimension)

    def probabilities(self, images: NDArray[np.float32]) -> NDArray[np.float64]:
        """Calibrated probabilities (N, L) of `labels` for images (N, H, W) in [0, 1]."""
        temperatures = np.array([calibration.temperature for calibration in self.calibration.values()])
        return np.asarray(expit(self.logits(images) / temperatures), np.float64)

    def class_probabilities(self, images: NDArray[np.float32]) -> NDArray[np.float64]:
        """Calibrated probabilities (N, C) of `classes` alone; each is independent, so they do not sum to 1."""
        return self.probabilities(images)[:, [self.labels.index(name) for name in self.classes]]

    def logits(self, images: NDArray[np.float32]) -> NDArray[np.float64]:
        """Uncalibrated outputs (N, L) of the network."""
        return self._run(images, lambda batch: self.network(batch).logits, len(self.labels))

    def _run(self, images: NDArray[np.float32], read: Callable[[Tensor], Tensor], width: int) -> NDArray[np.float64]:
        self.network.eval()
        found = [np.empty((0, width))]
        with torch.inference_mode():
            for start in range(0, len(images), BATCH):
                resized = np.stack([resize_square(image, self.size) for image in images[start : start + BATCH]])
                batch = to_tensor(resized).to(self.network.device, memory_format=torch.channels_last)
                found.append(read(batch).double().cpu().numpy())
        return np.concatenate(found)


def build_network(shape: EncoderShape, labels: Sequence[str]) -> Any:  # noqa: ANN401 - mypy skips transformers
    """An untrained network with one output per label."""
    config = ResNetConfig(
        num_channels=1,
        embedding_size=shape.stem_channels,
        hidden_sizes=list(shape.channels),
        depths=list(shape.blocks),
        layer_type="basic",
        problem_type="multi_label_classification",
        id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
    )
    return ResNetForImageClassification(config).to(memory_format=torch.channels_last)


def load_reference_encoder(folder: Path, device: str | None = None) -> ReferenceEncoder:
    """Load an encoder in float32 after comparing every file with its manifest.

    Raises:
        StudioError: the folder holds no reference encoder, or a file is missing, changed or damaged.
    """
    manifest = read_manifest_of(folder, EncoderManifest)
    verify(folder, manifest)

    def build() -> tuple[Any, Stored]:
        network = build_network(manifest.shape, manifest.labels)
        load_model(network, folder / WEIGHTS)
        return network, {".": network.state_dict()}

    return ReferenceEncoder(
        load_weights(folder, manifest, build).to(pick_device(device)).eval(),
        manifest.shape.image_size,
        {label: manifest.calibration[label] for label in manifest.labels},
        f"{manifest.name}@{weights_sha256(manifest.files)[:12]}",
        manifest.metrics.get("val", {}),
        manifest.classes,
    )
