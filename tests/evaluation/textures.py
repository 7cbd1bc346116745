"""Made-up images of eight classes, stripes of another direction and width each, as a labeled pack and as rows."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from xray_generator.checkpoints import DataFacts, Manifest
from xray_generator.data.rows import Row
from xray_generator.evaluation.image_sets import ImageSet
from xray_generator.images import encode_png
from xray_generator.types import ClassLabel, GenerationRequest, OnStep, Recommendation, StudioError

SIDE = 48
CLASSES = tuple(f"{way}_{width}" for way in ("along", "across", "rising", "falling") for width in ("fine", "wide"))


def draw(label: str, rng: np.random.Generator, contrast: float = 0.35) -> np.ndarray:
    """(48, 48) in [0, 1]: stripes at a random phase, and noise."""
    way, width = label.split("_")
    x, y = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    along = {"along": x, "across": y, "rising": x + y, "falling": x - y}[way]
    period = 6 if width == "fine" else 16
    waves = 0.5 + contrast * np.sin(2 * np.pi * along / period + rng.uniform(0, 2 * np.pi))
    return np.clip(waves + rng.normal(0, 0.05, waves.shape), 0, 1).astype(np.float32)


def textures(
    name: str,
    labels: Sequence[str],
    rng: np.random.Generator,
    shown: Sequence[str] | None = None,
    split: str = "test",
    source: str = "looms",
) -> ImageSet:
    """Images with rows of `labels`, that show these or others."""
    images = np.stack([draw(label, rng) for label in (shown or labels)])
    rows = tuple(
        Row(Path(f"{name}_{i}.png"), "", (), label=label, source=source, split=split, patient_id=f"{name} {i}")
        for i, label in enumerate(labels)
    )
    return ImageSet(name, images, rows, tuple(row.path.name for row in rows))


def every_class(count: int, classes: Sequence[str] = CLASSES) -> list[str]:
    """`count` of each class."""
    return [label for label in classes for _ in range(count)]


class Loom:
    """An engine that weaves the class that is asked for, or any."""

    manifest = Manifest(
        family="cvae",
        name="loom",
        config={},
        data=DataFacts(),
        commit="",
        license="",
        preprocessing={},
        recommended=Recommendation("ddim", 1, 1.0),
        sizes=(SIDE,),
    )
    device = torch.device("cpu")

    def __init__(self) -> None:
        self.network = nn.Linear(1, 1)

    def resolve(self, request: GenerationRequest) -> GenerationRequest:
        if isinstance(request.condition, ClassLabel) and request.condition.label not in CLASSES:
            raise StudioError(f"loom knows no class {request.condition.label!r}.")
        return replace(request, num_inference_steps=1, guidance_scale=1.0, scheduler="ddim")

    def sample(
        self, request: GenerationRequest, generators: Sequence[torch.Generator], on_step: OnStep
    ) -> torch.Tensor:
        images = []
        for generator in generators:
            rng = np.random.default_rng(int(torch.randint(2**31, (1,), generator=generator)))
            label = getattr(request.condition, "label", None) or str(rng.choice(CLASSES))
            images.append(draw(label, rng))
        self.network(torch.zeros(len(images), 1))
        on_step(1, 1, lambda: images[0])
        return torch.from_numpy(np.stack(images))[:, None] * 2 - 1

    def notes(self, request: GenerationRequest) -> tuple[str, ...]:  # noqa: ARG002 - as the protocol has it
        return ()

    def components(self) -> Mapping[str, nn.Module]:
        return {"network": self.network}


def write_pack(folder: Path, count: int, rng: np.random.Generator, classes: Sequence[str] = CLASSES) -> Path:
    """A labeled pack with `count` images of each class: half to train on, a quarter each for val and test."""
    (folder / "images").mkdir(parents=True)
    lines = ["image,caption,label,split,source,license"]
    for label in classes:
        for i in range(count):
            split = "train" if i < count // 2 else "val" if i < 3 * count // 4 else "test"
            (folder / "images" / f"{label}{i}.png").write_bytes(encode_png(draw(label, rng)))
            lines.append(f"images/{label}{i}.png,stripes,{label},{split},looms,CC0")
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n")
    return folder
