"""What the app, the API and the command lines call: checkpoints, engines kept loaded, generate, enhance, save."""

from __future__ import annotations

import os
import secrets
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from postprocess.presets import Preset, apply
from xray_generator.checkpoints import Manifest, find_checkpoint, list_checkpoints, read_manifest
from xray_generator.config import dump, parse
from xray_generator.data.vocabulary import Vocabulary, unseen_words
from xray_generator.export.recipe import Recipe, encode_png, recipes
from xray_generator.registry import get_family
from xray_generator.types import (
    Engine,
    GenerationRequest,
    GenerationResult,
    Image,
    OnStep,
    TextPrompt,
)

MAX_LOADED = 2  # engines kept in memory
MAX_RANDOM_SEED = 2**31 - 1
SCHEDULERS = ("ddim", "ddpm", "dpm++", "unipc")


@dataclass(frozen=True, slots=True)
class SavedImage:
    """One image on disk."""

    path: Path
    seed: int
    milliseconds: float
    enhanced_path: Path | None = None


def resolve_seed(seed: int | None) -> int:
    """The seed itself, or a random one where it is None; resolved once, here, so that it can be recorded."""
    return secrets.randbelow(MAX_RANDOM_SEED) if seed is None else seed


@dataclass
class Studio:
    """The product behind every door. Safe to share between threads."""

    output_dir: Path = field(default_factory=lambda: Path(os.environ.get("OUTPUT_DIR", "outputs")))
    device: str | None = None
    _engines: OrderedDict[Path, Engine] = field(default_factory=OrderedDict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def checkpoint_root(self) -> Path:
        """Where checkpoints are found: <root>/<family>/<name>/."""
        return self.output_dir / "checkpoints"

    @property
    def preset_dir(self) -> Path:
        """Where users' own enhancement presets are kept."""
        return self.output_dir / "presets"

    def checkpoints(self) -> tuple[Manifest, ...]:
        """All checkpoints that can be read. Loads no weights."""
        return list_checkpoints(self.checkpoint_root)

    def manifest(self, checkpoint: str | None = None) -> Manifest:
        """The manifest of a checkpoint by name; StudioError where there is none."""
        return read_manifest(find_checkpoint(self.checkpoint_root, checkpoint))

    def vocabulary(self, checkpoint: str | None = None) -> Vocabulary:
        """The vocabulary of the captions that a checkpoint was trained on."""
        return parse(Vocabulary, self.manifest(checkpoint).vocabulary)

    def unseen_words(self, prompt: str, checkpoint: str | None = None) -> tuple[str, ...]:
        """The words of a prompt that the checkpoint never met in training."""
        return unseen_words(self.vocabulary(checkpoint), prompt)

    def engine(self, checkpoint: str | None = None) -> Engine:
        """The loaded engine of a checkpoint; the last two used stay in memory.

        Raises:
            StudioError: unknown, damaged or incomplete.
        """
        folder = find_checkpoint(self.checkpoint_root, checkpoint)
        with self._lock:
            if folder not in self._engines:
                self._engines[folder] = get_family(read_manifest(folder).family).load(folder, self.device)
            self._engines.move_to_end(folder)
            while len(self._engines) > MAX_LOADED:
                self._engines.popitem(last=False)
            return self._engines[folder]

    def generate(
        self, request: GenerationRequest, checkpoint: str | None = None, on_step: OnStep | None = None
    ) -> GenerationResult:
        """Make the images of a request with a checkpoint; see `generation.generate`."""
        from xray_generator.generation import generate

        return generate(self.engine(checkpoint), request, on_step)

    def save(self, result: GenerationResult, folder: Path, preset: Preset | None = None) -> tuple[SavedImage, ...]:
        """Write each image as a PNG with its recipe inside, and with a preset the enhanced image beside it."""
        folder.mkdir(parents=True, exist_ok=True)
        saved = []
        for image, recipe, milliseconds in zip(result.images, recipes(result), result.latencies_ms, strict=True):
            path = folder / file_name(recipe)
            path.write_bytes(encode_png(image, recipe))
            enhanced_path = None
            if preset is not None and preset.operations:
                enhanced = enhanced_recipe(recipe, preset)
                enhanced_path = folder / file_name(enhanced)
                enhanced_path.write_bytes(encode_png(apply(preset, image), enhanced))
            saved.append(SavedImage(path, recipe.request.seed, round(milliseconds, 1), enhanced_path))
        return tuple(saved)


def text_request(prompt: str, *, seed: int | None = None, num_images: int = 1, size: int = 256,
                 steps: int | None = None, guidance: float | None = None,
                 scheduler: str | None = None) -> GenerationRequest:  # fmt: skip
    """A validated request for images of a prompt; a seed of None becomes a random one."""
    return GenerationRequest(TextPrompt(prompt), num_images, size, size, steps, guidance, scheduler, resolve_seed(seed))


def enhanced_recipe(recipe: Recipe, preset: Preset) -> Recipe:
    """The recipe of an image after a preset."""
    return Recipe(recipe.request, recipe.checkpoint, recipe.runtime, dump(preset))


def file_name(recipe: Recipe) -> str:
    """checkpoint_seed_digest.png: equal recipes give equal names, different ones never collide."""
    return f"{recipe.checkpoint.name}_seed{recipe.request.seed}_{recipe.digest}.png"


def result_images(result: GenerationResult, preset: Preset) -> Sequence[Image]:
    """The images of a result after a preset."""
    return [apply(preset, image) for image in result.images]
