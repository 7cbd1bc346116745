"""A checkpoint of the medical image studio as a component of a diffusers pipeline.

Beside this file lie `checkpoint/`, with a manifest that names each file's SHA-256, and `code/`, the studio's own code,
which is used where the studio is not installed.
"""

import sys
from importlib import import_module  # diffusers looks for import statements, and would refuse those of `code/`
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch


class StudioModel(torch.nn.Module):
    """The networks of the checkpoint; they are loaded for the pipeline's device when they first draw there."""

    place: torch.Tensor  # `pipeline.to` moves it

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.engines: dict[torch.device, Any] = {}
        self.register_buffer("place", torch.zeros(()), persistent=False)

    @classmethod
    def from_pretrained(cls, folder: str, **_: object) -> "StudioModel":
        """The model of a folder; diffusers' settings of number formats and memory are ignored."""
        if find_spec("xray_generator") is None:
            sys.path.append(str(Path(folder) / "code"))
        return cls(Path(folder))

    @property
    def device(self) -> torch.device:
        """Where it draws."""
        return self.place.device

    @property
    def dtype(self) -> torch.dtype:
        """The number format of the weights."""
        return self.place.dtype

    def draw(self, prompt: str | None, label: str | None, *, size: int | None, **settings: Any) -> list[Any]:  # noqa: ANN401
        """Images (H, W) in [0, 1]; settings as those of the studio's `make_request`."""
        checkpoints, devices, generation, registry, requests = (
            import_module(f"xray_generator.{name}")
            for name in ("checkpoints", "devices", "generation", "registry", "requests")
        )
        folder = self.folder / "checkpoint"
        manifest = checkpoints.read_manifest(folder)
        if self.device not in self.engines:
            self.engines[self.device] = registry.load_engine(manifest.family, folder, str(self.device))
        condition = requests.read_condition(manifest, prompt, label)
        request = requests.make_request(condition, size=size or manifest.sizes[0], **settings)
        devices.set_threads()
        return list(generation.generate(self.engines[self.device], request).images)
