"""What the app and the commands call: checkpoints, engines kept loaded, generating and saving."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from postprocess.presets import PRESETS, Preset, from_data, load_presets
from xray_generator import generation
from xray_generator.checkpoints import Manifest, find_checkpoint, list_checkpoints, read_manifest
from xray_generator.config import parse
from xray_generator.data.naming import class_titles
from xray_generator.data.prompts import describe_reading, row_of_prompt
from xray_generator.data.vocabulary import Vocabulary, unseen_words
from xray_generator.devices import free_memory, pick_device, run_in_memory, runtime_facts, set_threads
from xray_generator.export.files import make_folder, write_file
from xray_generator.export.pictures import Picture, pictures
from xray_generator.history import keep_result
from xray_generator.orders import DrawOrder
from xray_generator.registry import FAMILIES, draws, load_engine, load_upscaler, modality, offers
from xray_generator.requests import make_request, read_condition, resolve_request
from xray_generator.types import (
    MAX_STEPS,
    Ability,
    AdapterWeight,
    CheckpointRef,
    Engine,
    GenerationRequest,
    GenerationResult,
    LoadedModel,
    OnStep,
    StudioError,
    Upscaler,
    quote,
    report_loaded,
)

T = TypeVar("T")
ModelT = TypeVar("ModelT", bound=LoadedModel)
Adapted = tuple[CheckpointRef, tuple[AdapterWeight, ...]]  # a base, and the adapters that are added to it
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
    _adapted: dict[Adapted, Engine] = field(default_factory=dict, repr=False)  # the last one
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
    def queue_path(self) -> Path:
        """Where the orders of a server are kept."""
        return self.output_dir / "queue.sqlite"

    @property
    def generated_dir(self) -> Path:
        """Where the app's images are kept, those of each person in a folder of their own."""
        return self.output_dir / "generated"

    @property
    def metrics_dir(self) -> Path:
        """Where `python -m xray_generator.evaluate` keeps its records and summaries."""
        return self.output_dir / "metrics"

    @property
    def figure_dir(self) -> Path:
        """Where the evaluation keeps the figures of a record, in <name of the record>/."""
        return self.output_dir / "visualizations"

    def sample_dir(self, checkpoint: str) -> Path:
        """Where the evaluation keeps a sample of the images that it drew with a checkpoint and measured."""
        return self.output_dir / "samples" / checkpoint

    @property
    def study_dir(self) -> Path:
        """Where blind reader studies are kept, <id>/: their images, and what readers said of them."""
        return self.output_dir / "reader_studies"

    @property
    def cache_dir(self) -> Path:
        """What could be computed again: the images and features of evaluations and labeled sets."""
        return self.output_dir / "cache"

    @property
    def encoder_root(self) -> Path:
        """Where reference encoders are found: <root>/<name>/."""
        return self.output_dir / "encoders"

    def presets(self) -> tuple[Preset, ...]:
        """The built-in presets, then the users' own; StudioError for a damaged file."""
        return (*PRESETS, *load_presets(self.preset_dir))

    def checkpoints(self, ability: Ability | None = None) -> tuple[Manifest, ...]:
        """All readable checkpoints that draw images, in the order of the registry; only those with an ability."""
        found = [m for m in list_checkpoints(self.checkpoint_root) if m.family in FAMILIES and draws(m.family)]
        found = [manifest for manifest in found if ability is None or offers(manifest, ability)]
        return tuple(sorted(found, key=lambda manifest: FAMILIES.index(manifest.family)))

    def sizes(self, checkpoint: str | None = None) -> tuple[int, ...]:
        """Sides in pixels of a checkpoint's images: those it draws, then those they can be enlarged to."""
        manifest = self.manifest(checkpoint)
        upscaler, drawn = self.upscaler_manifest(modality(manifest)), manifest.sizes
        return (*drawn, *(size for size in (upscaler.sizes if upscaler else ()) if size > max(drawn)))

    def check_size(self, manifest: Manifest, size: int) -> None:
        """Do nothing where images of a checkpoint can have this side in pixels; StudioError names those they can."""
        if size not in (sizes := self.sizes(manifest.ref.full_name)):
            allowed = ", ".join(map(str, sizes))
            raise StudioError(f"{manifest.name} draws images of {allowed} pixels a side, not {size}.")

    def manifest(self, checkpoint: str | None = None) -> Manifest:
        """The manifest of a checkpoint by name, or of the first one; StudioError where there is none."""
        return read_manifest(self._folder(checkpoint))

    def class_titles(self, checkpoint: str) -> dict[str, str]:
        """The plain names of a checkpoint's classes, in the order of menus; empty where the checkpoint is gone."""
        try:
            return class_titles(self.manifest(checkpoint).labels)
        except StudioError:
            return {}

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
        reads_facts = self.manifest(checkpoint).reads_facts
        return unseen_words(self.vocabulary(checkpoint), prompt, reads_facts=reads_facts)

    def reading(self, prompt: str, checkpoint: str | None = None) -> str:
        """How the checkpoint reads a prompt, in words; empty where it is given the words alone, or they state nothing.

        Raises:
            StudioError: there is no such checkpoint.
        """
        return describe_reading(row_of_prompt(prompt)) if self.manifest(checkpoint).reads_facts else ""

    def adapters(self, base: Manifest) -> tuple[Manifest, ...]:
        """The adapters of a checkpoint that are here: those that were trained on just these weights."""
        return tuple(manifest for manifest in self.checkpoints() if manifest.base == base.ref)

    def check_adapters(self, base: Manifest, adapters: Sequence[AdapterWeight]) -> None:
        """Do nothing where adapters can be added to a checkpoint.

        Raises:
            StudioError: one is not here, has other weights here, or was not trained on these weights of the checkpoint.
        """
        for ref in (one.adapter for one in adapters):
            found = self.manifest(ref.full_name)
            if found.base is None or found.base.full_name != base.ref.full_name:
                allowed = ", ".join(manifest.ref.full_name for manifest in self.adapters(base)) or "none is here"
                raise StudioError(f"{ref.full_name} is no adapter of {base.ref.full_name}. Allowed: {allowed}.")
            if found.base != base.ref:
                raise StudioError(f"{ref.full_name} was trained on other weights of {base.name} than those here.")
            if found.ref != ref:
                here, asked = found.ref.sha256[:12], ref.sha256[:12]
                raise StudioError(f"The adapter {ref.full_name} has other weights here (SHA-256 {here}, not {asked}).")

    def make_request(
        self,
        manifest: Manifest,
        prompt: str | None,
        label: str | None,
        *,
        size: int | None = None,
        **settings: Any,  # noqa: ANN401 - those of `requests.make_request`
    ) -> GenerationRequest:
        """A validated request for what a person asks a checkpoint for at a door.

        No size: the first that it draws. What only the loaded model knows, such as its most steps, is not looked at.

        Raises:
            StudioError: the checkpoint cannot draw it; the text says what it can.
        """
        condition = read_condition(manifest, prompt, label)
        if size is not None:
            self.check_size(manifest, size)
        request = make_request(condition, size=size or manifest.sizes[0], **settings)
        drawn = size if size in manifest.sizes else manifest.sizes[0]  # before it is enlarged
        resolve_request(replace(request, height=drawn, width=drawn), manifest, MAX_STEPS, takes_eta=True)
        self.check_adapters(manifest, request.adapters)
        return request

    @property
    def loaded(self) -> tuple[Manifest, ...]:
        """The checkpoints whose networks are in memory now; one that is adapted appears once more."""
        models = [*self._engines.values(), *self._adapted.values(), *filter(None, (self._upscaler,))]
        return tuple(model.manifest for model in models)

    def unload(self) -> None:
        """Forget all networks in memory, those of a running job when it ends; they are loaded again when needed."""
        with self._lock:
            self._engines.clear()
            self._adapted.clear()
            self._upscaler = None
        free_memory()

    def runtime(self) -> dict[str, Any]:
        """What the last bits of images depend on here, see `devices.runtime_facts`; imports torch.

        Raises:
            StudioError: the device is absent, or the number of threads wrong.
        """
        set_threads(self.num_threads)  # torch keeps them for each thread of a process
        return runtime_facts(pick_device(self.device))

    def read_adapter(self, text: str) -> AdapterWeight:
        """The adapter "NAME:WEIGHT"; "NAME" is at weight 1. StudioError: it is not here, or the weight is no number."""
        name, _, weight = text.partition(":")
        try:
            number = float(weight or 1)
        except ValueError:
            message = f"An adapter is given as NAME:WEIGHT, such as chest_xray_lora:0.8, not {quote(text)}."
            raise StudioError(message) from None
        return AdapterWeight(self.manifest(name).ref, number)

    def engine(self, checkpoint: str | None = None, adapters: tuple[AdapterWeight, ...] = ()) -> Engine:
        """The loaded engine of a checkpoint, to whose networks adapters may be added.

        The last two used stay in memory, and the last that was adapted.

        Raises:
            StudioError: unknown, damaged or incomplete, or there is not enough memory; or see `check_adapters`.
        """
        folder = self._folder(checkpoint)
        self.check_adapters(read_manifest(folder), adapters)
        with self._lock:
            manifest, engine = read_manifest(folder), self._engines.get(folder)
            if engine is None or engine.manifest.ref != manifest.ref:  # trained again since
                engine = run_in_memory(partial(load_engine, manifest.family, folder, self.device))
                self._engines[folder] = engine
            self._engines.move_to_end(folder)
            while len(self._engines) > MAX_LOADED:
                self._engines.popitem(last=False)
            return self._adapt(engine, adapters)

    def _adapt(self, base: Engine, adapters: tuple[AdapterWeight, ...]) -> Engine:
        weights = {self._folder(one.adapter.full_name): one.weight for one in adapters if one.weight}
        if not weights:
            return base
        key = (base.manifest.ref, adapters)
        if key not in self._adapted:
            self._adapted.clear()  # first: memory may not hold the networks three times
            self._adapted[key] = run_in_memory(partial(generation.adapt, base, weights))
        return self._adapted[key]

    def upscaler(self, images: str = "DX") -> Upscaler | None:
        """The loaded upscaler of images of a modality; None where there is none. StudioError: damaged."""
        manifest = self.upscaler_manifest(images)
        return None if manifest is None else self.enlarger(manifest.ref.full_name)

    def upscaler_for(self, manifest: Manifest, size: int) -> Upscaler | None:
        """What enlarges the images of a checkpoint to a size; None where it draws that itself, or nothing does."""
        return None if size in manifest.sizes else self.upscaler(modality(manifest))

    def enlargers(self) -> tuple[Manifest, ...]:
        """All readable checkpoints that enlarge images that are given."""
        return tuple(m for m in list_checkpoints(self.checkpoint_root) if m.family in FAMILIES and offers(m, "enlarge"))

    def enlarger(self, checkpoint: str) -> Upscaler:
        """A loaded checkpoint that enlarges images; the last one stays in memory.

        Raises:
            StudioError: unknown, damaged, or it enlarges none.
        """
        folder = self._folder(checkpoint)
        manifest = read_manifest(folder)
        with self._lock:
            if self._upscaler is None or self._upscaler.manifest.ref != manifest.ref:
                self._upscaler = run_in_memory(partial(load_upscaler, manifest.family, folder, self.device))
            return self._upscaler

    def upscaler_manifest(self, images: str = "DX") -> Manifest | None:
        """The first upscaler by name of images of a modality, a DICOM code; None where there is none."""
        found = (m for m in list_checkpoints(self.checkpoint_root) if m.family in FAMILIES and not draws(m.family))
        return next((manifest for manifest in found if modality(manifest) == images), None)

    def task(
        self,
        verb: Callable[..., T],
        *arguments: Any,  # noqa: ANN401 - those of the verb
        checkpoint: str | None = None,
        load: Callable[[str], LoadedModel] | None = None,
        **settings: Any,  # noqa: ANN401
    ) -> Callable[..., T]:
        """A piece of work with a checkpoint's model, for a job: `verb(model, *arguments, on_step=..., **settings)`.

        The model is what `load` gives, by default the engine with the adapters of the first request among the
        arguments, when the work begins. The work takes `on_step`, and may be called without: verbs are those of
        `generation` and of `experiments`.
        """
        adapters = next((one.adapters for one in arguments if isinstance(one, GenerationRequest)), ())

        def work(on_step: OnStep | None = None) -> T:
            model = self._ready(checkpoint, load or partial(self.engine, adapters=adapters))
            report_loaded(on_step)
            return run_in_memory(partial(verb, model, *arguments, on_step=on_step, **settings))

        return work

    def generate(
        self, request: GenerationRequest, checkpoint: str | None = None, on_step: OnStep | None = None
    ) -> GenerationResult:
        """Make the images of a request with a checkpoint, and its upscaler where needed; see `generation.generate`."""
        *_, result = self.generate_each(request, checkpoint, on_step)
        return result

    def generate_each(
        self, request: GenerationRequest, checkpoint: str | None = None, on_step: OnStep | None = None
    ) -> Iterator[GenerationResult]:
        """`generate` image by image; yields the result as it is after each."""
        engine = self._ready(checkpoint, partial(self.engine, adapters=request.adapters))
        upscaler = self.upscaler_for(engine.manifest, request.height)
        report_loaded(on_step)
        yield from generation.generate_each(engine, request, on_step, upscaler)

    def _ready(self, checkpoint: str | None, load: Callable[[Any], ModelT]) -> ModelT:
        model = load(checkpoint)
        set_threads(self.num_threads)  # here and not at a door: torch keeps them for each thread of a process
        return model

    def draw(
        self, request: GenerationRequest, checkpoint: str | None, preset: Preset, folder: Path, on_step: OnStep
    ) -> Iterator[GenerationResult]:
        """`generate_each`, where each image is saved before the next is begun, and the result can be found again.

        It is the work of a job, so that no image is lost with a page or a cancel. See `history` for finding it.
        """
        for result in self.generate_each(request, checkpoint, on_step):
            self.save(result, folder, preset, first=len(result.images) - 1)
            keep_result(result, folder)
            yield result

    def carry_out(self, order: DrawOrder) -> Callable[[OnStep], Iterator[GenerationResult]]:
        """The work of an order: `draw` into a folder of `generated_dir`."""
        preset = from_data(order.preset)
        return partial(self.draw, order.request, order.checkpoint, preset, self.generated_dir / order.folder)

    def keep(self, picture: Picture, folder: Path) -> Path:
        """Write one image as a PNG with its recipe inside, unless it is there; StudioError: the folder takes none."""
        make_folder(folder)
        path = folder / picture.file_name
        return path if path.is_file() else write_file(path, picture.png())

    def save(
        self,
        result: GenerationResult,
        folder: Path,
        preset: Preset | None = None,
        *,
        dicom: bool = False,
        first: int = 0,
    ) -> tuple[SavedImage, ...]:
        """Write each image as a PNG with its recipe inside, enhanced and as DICOM beside it where that is asked for.

        Images before the `first` are left out.

        Raises:
            StudioError: the folder cannot be written to.
        """
        make_folder(folder)
        saved = []
        for index, milliseconds in list(enumerate(result.latencies_ms))[first:]:
            paths = [write_file(folder / drawn.file_name, drawn.png()) for drawn in pictures(result, index, preset)]
            enhanced_path, dicom_path = paths[1] if len(paths) > 1 else None, None
            if dicom:
                raw = pictures(result, index)[0].dicom(self.manifest(result.checkpoint.full_name).hu_window)
                dicom_path = write_file(paths[0].with_suffix(".dcm"), raw)
            saved.append(SavedImage(paths[0], result.seeds[index], round(milliseconds, 1), enhanced_path, dicom_path))
        return tuple(saved)
