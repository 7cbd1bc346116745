"""Pretrained feature spaces, used where their package and weights are installed; nothing is downloaded.

Both packages open their weights with pickle, which can run code. So a file must first pass torch's tensors-only reader;
the DenseNets of torchxrayvision, which are pickled programs, therefore cannot be used.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xray_generator.evaluation.features import Extractor
from xray_generator.images import resize_square, to_tensor, to_uint8
from xray_generator.types import StudioError

BATCH = 16
FEATURES = 2048  # of both networks
INCEPTION_FILE = "weights-inception-2015-12-05-6726825d.pth"
CHEST_WEIGHTS, CHEST_FILE = "resnet50-res512-all", "pc-nih-rsna-siim-vin-resnet50-test512-e400-state.pt"
CHEST_SIDE = 512


@dataclass(frozen=True, slots=True)
class Inception:
    """Inception-v3 trained on ImageNet, from torch-fidelity: the space of published Fréchet Inception Distances."""

    network: Any
    name: str = "Inception-v3 (torch-fidelity)"
    dimension: int = FEATURES

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float64]:
        """Features (N, 2048) of images (N, H, W) in [0, 1]."""
        return _in_batches(lambda batch: self._outputs(batch)[0], images)

    def probabilities(self, images: NDArray[np.float32]) -> NDArray[np.float64]:
        """Probabilities (N, 1008) of the classes of ImageNet."""
        return _in_batches(lambda batch: self._outputs(batch)[1].softmax(dim=1), images)

    def _outputs(self, images: NDArray[np.float32]) -> tuple[Tensor, Tensor]:
        colors = torch.from_numpy(to_uint8(images))[:, None].expand(-1, 3, -1, -1)
        features, logits = self.network(colors)
        return features, logits


@dataclass(frozen=True, slots=True)
class ChestResNet:
    """The ResNet-50 of torchxrayvision, trained on five collections of chest X-rays."""

    network: Any
    name: str = f"torchxrayvision {CHEST_WEIGHTS}"
    dimension: int = FEATURES

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float64]:
        """Features (N, 2048) of images (N, H, W) in [0, 1]."""
        return _in_batches(self._features, images)

    def _features(self, images: NDArray[np.float32]) -> Tensor:
        resized = to_tensor(np.stack([resize_square(image, CHEST_SIDE) for image in images]))
        features: Tensor = self.network.features(resized * 1024)  # the package's range is [-1024, 1024]
        return features


def load_inception(folder: Path | None = None) -> Inception:
    """Inception-v3 from torch's cache or `folder`; StudioError where the package or the weights are missing."""
    package = _package("torch_fidelity", "torch-fidelity")
    path = checked_weights((folder or Path(torch.hub.get_dir()) / "checkpoints") / INCEPTION_FILE)
    return Inception(package.FeatureExtractorInceptionV3("inception", ["2048", "logits_unbiased"], str(path)))


def load_chest_resnet(folder: Path | None = None) -> ChestResNet:
    """The ResNet from torchxrayvision's cache or `folder`; StudioError where the package or the weights are missing."""
    package = _package("torchxrayvision", "torchxrayvision")
    path = checked_weights((folder or Path.home() / ".torchxrayvision" / "models_data") / CHEST_FILE)
    return ChestResNet(package.models.ResNet(CHEST_WEIGHTS, cache_dir=str(path.parent)))


def checked_weights(path: Path) -> Path:
    """The path of a file that exists and holds tensors only; otherwise StudioError."""
    if not path.is_file():
        raise StudioError(f"The weights {path.name} are not on this machine, and nothing is downloaded.")
    try:
        torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # foreign bytes: unpickling may raise anything
        raise StudioError(f"The weights {path.name} are damaged, or hold more than tensors.") from error
    return path


LOADERS: Mapping[str, Callable[[], Extractor]] = MappingProxyType(
    {"Inception-v3": load_inception, "torchxrayvision": load_chest_resnet}
)


def pretrained_extractors() -> tuple[list[Extractor], dict[str, str]]:
    """The spaces that can be used here, and why each of the others cannot."""
    found, missing = [], {}
    for name, load in LOADERS.items():
        try:
            found.append(load())
        except StudioError as error:
            missing[name] = str(error)
    return found, missing


def _package(module: str, name: str) -> Any:  # noqa: ANN401 - not installed where types are checked
    try:
        return importlib.import_module(module)
    except (ImportError, RuntimeError) as error:  # RuntimeError: a torchvision of another torch
        raise StudioError(f"The package {name} cannot be used here: {error}.") from error


def _in_batches(read: Callable[[NDArray[np.float32]], Tensor], images: NDArray[np.float32]) -> NDArray[np.float64]:
    with torch.inference_mode():
        parts = [read(images[start : start + BATCH]).double().numpy() for start in range(0, len(images), BATCH)]
    return np.concatenate(parts) if parts else np.empty((0, 0))
