"""What the app, the API and the command lines call: checkpoints, engines kept loaded, generate, enhance, save."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from postprocess.presets import PRESETS, Preset, load_presets
from xray_generator.checkpoints import Manifest, find_checkpoint, list_checkpoints, read_manifest
from xray_generator.config import parse
from xray_generator.data.vocabulary import Vocabulary, unseen_words
from xray_generator.dicom.hounsfield import Window
from xray_generator.export.files import make_folder, write_file
from xray_generator.export.pictures import pictures
from xray_generator.registry import FAMILIES, enlarges, get_family
from xray_generator.types import (
    Edit,
    Engine,
    GenerationRequest,
    GenerationResult,
    Image,
    Morph,
    OnStep,
    StudioError,
    TextPrompt,
    Upscaler,
)

if TYPE_CHECKING:
    from xray_generator.abilities import AttentionMaps, Likelihood
    from xray_generator.generation import EditResult

MAX_LOADED = 2  # engines kept in memory
LOADING = threading.Lock()  # one for all studios of a process: transformers patches torch while it loads


@dataclass(frozen=True, slots=True)
class SavedImage:
    """One image on disk."""

    path: Path
    seed: int
    milliseconds: float
    enhanced_path: Path | None = None
    dicom_path: Path | None = None


@dataclass
class Studio:
    """The product behind every door. Safe to share between threads."""

    output_dir: Path = field(default_factory=lambda: Path(os.environ.get("OUTPUT_DIR", "outputs")))
    device: str | None = None
    num_threads: int | None = None  # CPU threads of torch; None: STUDIO_THREADS, or torch's choice
    _engines: OrderedDict[Path, Engine] = field(default_factory=OrderedDict, repr=False)
    _upscaler: Upscaler | None = field(default=None, repr=False)
    _lock: threading.Lock = field(default=LOADING, repr=False)

    @property
    def checkpoint_root(self) -> Path:
        """Where checkpoints are found: <root>/<family>/<name>/."""
        return self.output_dir / "checkpoints"

    @property
    def preset_dir(self) -> Path:
        """Where users' own enhancement presets are kept."""
        return self.output_dir / "presets"

    @property
    def generated_dir(self) -> Path:
        """Where the app's images are kept."""
        return self.output_dir / "generated"

    @property
    def metrics_dir(self) -> Path:
        """Where `python -m xray_generator.evaluate` keeps its records and summaries."""
        return self.output_dir / "metrics"

    @property
    def figure_dir(self) -> Path:
        """Where it keeps the figures of a record, in <name of the record>/."""
        return self.output_dir / "visualizations"

    def sample_dir(self, checkpoint: str) -> Path:
        """Where it keeps a sample of the images that it drew with a checkpoint and judged."""
        return self.output_dir / "samples" / checkpoint

    @property
    def encoder_root(self) -> Path:
        """Where reference encoders are found: <root>/<name>/."""
        return self.output_dir / "encoders"

    def presets(self) -> tuple[Preset, ...]:
        """The built-in presets, then the users' own; StudioError for a damaged file."""
        return (*PRESETS, *load_presets(self.preset_dir))

    def checkpoints(self, *, prompted: bool = False) -> tuple[Manifest, ...]:
        """All readable checkpoints that draw images, by family as listed; `prompted`: those that read a prompt."""
        found = [manifest for manifest in list_checkpoints(self.checkpoint_root) if manifest.family in FAMILIES]
        found = [manifest for manifest in found if not enlarges(manifest.family)]
        if prompted:
            found = [manifest for manifest in found if get_family(manifest.family).condition is TextPrompt]
        return tuple(sorted(found, key=lambda manifest: list(FAMILIES).index(manifest.family)))

    def sizes(self, checkpoint: str | None = None) -> tuple[int, ...]:
        """Sides in pixels of a checkpoint's images: those it draws, then those they can be enlarged to."""
        manifest = self.manifest(checkpoint)
        upscaler, drawn = self._upscaler_manifest(_modality(manifest)), manifest.sizes
        return (*drawn, *(size for size in (upscaler.sizes if upscaler else ()) if size > max(drawn)))

    def manifest(self, checkpoint: str | None = None) -> Manifest:
        """The manifest of a checkpoint by name, or of the first one; StudioError where there is none."""
        return read_manifest(self._folder(checkpoint))

    def hu_window(self, checkpoint: str | None = None) -> Window | None:
        """The Hounsfield units that gray 0 to 1 of a checkpoint stand for; None where it draws no CT."""
        stated = self.manifest(checkpoint).hu_window
        return parse(Window, stated) if stated else None

    def _folder(self, checkpoint: str | None) -> Path:
        if checkpoint is None:
            checkpoint = next((manifest.ref.full_name for manifest in self.checkpoints()), None)
        return find_checkpoint(self.checkpoint_root, checkpoint)

    def vocabulary(self, checkpoint: str | None = None) -> Vocabulary:
        """The vocabulary of the captions that a checkpoint was trained on."""
        manifest = self.manifest(checkpoint)
        try:
            return parse(Vocabulary, manifest.vocabulary)
        except StudioError as error:
            raise StudioError(f"The manifest of {manifest.name} holds no readable vocabulary. {error}") from None

    def unseen_words(self, prompt: str, checkpoint: str | None = None) -> tuple[str, ...]:
        """The words of a prompt that the checkpoint never met in training; StudioError where it reads no prompt."""
        return unseen_words(self.vocabulary(checkpoint), prompt)

    def engine(self, checkpoint: str | None = None) -> Engine:
        """The loaded engine of a checkpoint; the last two used stay in memory.

        Raises:
            StudioError: unknown, damaged or incomplete.
        """
        folder = self._folder(checkpoint)
        with self._lock:
            manifest, engine = read_manifest(folder), self._engines.get(folder)
            if engine is None or engine.checkpoint != manifest.ref:  # trained again since
                engine = self._engines[folder] = get_family(manifest.family).load(folder, self.device)
            self._engines.move_to_end(folder)
            while len(self._engines) > MAX_LOADED:
                self._engines.popitem(last=False)
            return engine

    def upscaler(self, modality: str = "DX") -> Upscaler | None:
        """The loaded upscaler of a modality, the first by name; None where there is none. StudioError: damaged."""
        manifest = self._upscaler_manifest(modality)
        if manifest is None:
            return None
        folder = self.checkpoint_root / manifest.family / manifest.name
        with self._lock:
            if self._upscaler is None or self._upscaler.checkpoint != manifest.ref:
                load = get_family(manifest.family).load_upscaler
                self._upscaler = load(folder, self.device) if load else None
            return self._upscaler

    def _upscaler_manifest(self, modality: str) -> Manifest | None:
        found = (manifest for manifest in list_checkpoints(self.checkpoint_root) if enlarges(manifest.family))
        return next((manifest for manifest in found if _modality(manifest) == modality), None)

    def generate(
        self, request: GenerationRequest, checkpoint: str | None = None, on_step: OnStep | None = None
    ) -> GenerationResult:
        """Make the images of a request with a checkpoint; see `generation.generate`."""
        engine = self._ready(checkpoint)
        from xray_generator import generation

        modality = _modality(self.manifest(engine.checkpoint.full_name))
        upscaler = None if request.height in engine.sizes else self.upscaler(modality)
        return generation.generate(engine, request, on_step, upscaler)

    def morph(
        self, request: GenerationRequest, morph: Morph, checkpoint: str | None = None, on_step: OnStep | None = None
    ) -> GenerationResult:
        """Draw what lies between two requests; see `generation.morph`."""
        engine = self._ready(checkpoint)
        from xray_generator import generation

        return generation.morph(engine, request, morph, on_step)

    def edit(
        self,
        source: Image | None,
        request: GenerationRequest,
        edit: Edit,
        checkpoint: str | None = None,
        on_step: OnStep | None = None,
    ) -> EditResult:
        """Change what an image shows; see `generation.edit`."""
        engine = self._ready(checkpoint)
        from xray_generator import generation

        return generation.edit(engine, source, request, edit, on_step)

    def attend(
        self, request: GenerationRequest, checkpoint: str | None = None, on_step: OnStep | None = None
    ) -> AttentionMaps:
        """Where the words of a prompt acted; see `generation.attend`."""
        engine = self._ready(checkpoint)
        from xray_generator import generation

        return generation.attend(engine, request, on_step)

    def trace(
        self, request: GenerationRequest, checkpoint: str | None = None, on_step: OnStep | None = None
    ) -> tuple[Image, ...]:
        """The way from noise to the first image of a request; see `generation.trace`."""
        engine = self._ready(checkpoint)
        from xray_generator import generation

        return generation.trace(engine, request, on_step)

    def likelihood(
        self, image: Image, label: str | None, checkpoint: str | None = None, on_step: OnStep | None = None
    ) -> Likelihood:
        """How probable a checkpoint holds an image; see `generation.likelihood`."""
        engine = self._ready(checkpoint)
        from xray_generator import generation

        return generation.likelihood(engine, image, label, on_step)

    def _ready(self, checkpoint: str | None) -> Engine:
        engine = self.engine(checkpoint)  # first: under its lock, so that two threads never import torch at once
        from xray_generator.devices import set_threads

        set_threads(self.num_threads)  # here and not at a door: torch keeps them for each thread of a process
        return engine

    def make(
        self, request: GenerationRequest, checkpoint: str | None, preset: Preset, on_step: OnStep
    ) -> GenerationResult:
        """Generate and save under `generated_dir`: the work of a job, so that no image is lost with a page."""
        result = self.generate(request, checkpoint, on_step)
        self.save(result, self.generated_dir, preset)
        return result

    def save(
        self, result: GenerationResult, folder: Path, preset: Preset | None = None, *, dicom: bool = False
    ) -> tuple[SavedImage, ...]:
        """Write each image as a PNG with its recipe inside, enhanced and as DICOM beside it where that is asked for.

        Raises:
            StudioError: the folder cannot be written to.
        """
        make_folder(folder)
        saved = []
        for index, milliseconds in enumerate(result.latencies_ms):
            paths = [write_file(folder / drawn.file_name, drawn.png()) for drawn in pictures(result, index, preset)]
            enhanced_path, dicom_path = paths[1] if len(paths) > 1 else None, None
            if dicom:
                raw = pictures(result, index)[0].dicom(self.hu_window(result.checkpoint.full_name))
                dicom_path = write_file(paths[0].with_suffix(".dcm"), raw)
            saved.append(SavedImage(paths[0], result.seeds[index], round(milliseconds, 1), enhanced_path, dicom_path))
        return tuple(saved)


def _modality(manifest: Manifest) -> str:
    return manifest.modality or get_family(manifest.family).modality
