"""The words that every layer shares: conditions, the request for images and its result, engines and families.

Everything that passes between folders is one of these frozen dataclasses or a float32 image in [0, 1].
"""

from __future__ import annotations

import operator
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from xray_generator.checkpoints import Manifest

Image = NDArray[np.float32]  # (H, W), values in [0, 1]

MAX_PROMPT_CHARACTERS = 2_000
MAX_IMAGES = 64
MAX_STEPS = 1_000
MAX_GUIDANCE = 30.0
MAX_ADAPTERS, MAX_ADAPTER_WEIGHT = 4, 2.0  # of one image
MAX_SIDE = 1_024
SIDE_MULTIPLE = 16
CLASS_NAME = re.compile(r"[a-z0-9_]{1,64}")
MAX_SHOWN = 80  # characters of a wrong value in a message
MAX_SEED = 2**32 - 1  # torch's generator on the CPU reads no more bits of a seed

PRODUCT = "Medical image studio"  # as people read it: pages, README, help of the commands
PURPOSE = "Research and education only. Not for diagnosis."
NOTICE = f"Synthetic image. {PURPOSE}"


class StudioError(ValueError):
    """A fault that a user can mend; the text says what was wrong and what is allowed."""


class Canceled(Exception):  # noqa: N818 - a request, not an error
    """Raised inside a step callback to stop a generation; takes effect within one step."""


@dataclass(frozen=True, slots=True)
class TextPrompt:
    """A description in words.

    Raises:
        StudioError: the text is empty or longer than 2,000 characters.
    """

    text: str
    kind: Literal["text"] = "text"

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise StudioError(f"The prompt must be text, not {type(self.text).__name__}.")
        object.__setattr__(self, "text", normalize_text(self.text))
        if not self.text:
            raise StudioError("The prompt is empty. Describe the image, for example: Normal chest X-ray, PA view.")
        if len(self.text) > MAX_PROMPT_CHARACTERS:
            raise StudioError(
                f"The prompt has {len(self.text):,} characters; at most {MAX_PROMPT_CHARACTERS:,} are allowed."
            )


@dataclass(frozen=True, slots=True)
class ClassLabel:
    """One class of a class-conditional model; StudioError where its name is not 1 to 64 of a-z, 0-9 and _."""

    label: str
    kind: Literal["class"] = "class"

    def __post_init__(self) -> None:
        if not isinstance(self.label, str) or not CLASS_NAME.fullmatch(self.label):
            raise StudioError(f"A class is named by 1 to 64 of a-z, 0-9 and _, not {quote(self.label)}.")


@dataclass(frozen=True, slots=True)
class Unconditional:
    """No condition."""

    kind: Literal["none"] = "none"


Condition = TextPrompt | ClassLabel | Unconditional


def normalize_text(text: str) -> str:
    """Return `text` in Unicode NFC, without control characters and lone surrogates, white space collapsed."""
    kept = "".join(" " if c.isspace() else c for c in text if c.isspace() or unicodedata.category(c)[0] != "C")
    return " ".join(unicodedata.normalize("NFC", kept).split())


def quote(value: object) -> str:
    """A wrong value as a message quotes it: its first 80 characters."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no whole number of more than 4,300 digits
        return "a number of thousands of digits"
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def _check_int(name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise StudioError(f"{name} must be a whole number from {low:,} to {high:,}, not {quote(value)}.")


def _check_float(name: str, value: object, high: float, low: float = 0) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:  # NaN compares false
        raise StudioError(f"The {name} must be a number from {low:g} to {high:g}, not {quote(value)}.")


def _check_guidance(value: object) -> None:
    _check_float("guidance", value, MAX_GUIDANCE)


@dataclass(frozen=True, slots=True)
class CheckpointRef:
    """Which weights made an image: family, name and the SHA-256 over the weight files' own hashes."""

    family: str
    name: str
    sha256: str

    @property
    def full_name(self) -> str:
        """family/name: unique, as a name alone need not be."""
        return f"{self.family}/{self.name}"


@dataclass(frozen=True, slots=True)
class AdapterWeight:
    """An adapter, and how much of its change is added to its base: 0 nothing, 1 as trained, below 0 the opposite.

    Raises:
        StudioError: the weight is not a number from -2 to 2.
    """

    adapter: CheckpointRef
    weight: float = 1.0

    def __post_init__(self) -> None:
        _check_float("weight of an adapter", self.weight, MAX_ADAPTER_WEIGHT, -MAX_ADAPTER_WEIGHT)
        object.__setattr__(self, "weight", float(self.weight))  # equal requests have equal files


def _check_adapters(adapters: object) -> None:
    if not isinstance(adapters, tuple) or not all(isinstance(one, AdapterWeight) for one in adapters):
        raise StudioError(f"Adapters must be a tuple of adapters with their weights, not {quote(adapters)}.")
    names = [one.adapter.full_name for one in adapters]
    if len(names) > MAX_ADAPTERS:
        raise StudioError(f"At most {MAX_ADAPTERS} adapters can be used at once, not {len(names)}.")
    if twice := [name for name in names if names.count(name) > 1]:
        raise StudioError(f"The adapter {quote(twice[0])} is named twice. Give it one weight.")


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """What a user asks of an engine. None means: the checkpoint's own recommendation.

    Raises:
        StudioError: a value is outside its range; the text names the range.
    """

    condition: Condition
    num_images: int = 1
    height: int = 256
    width: int = 256
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    scheduler: str | None = None
    seed: int = 0
    # none are left out of files: so the recipes of images without keep the digest that names their files
    adapters: Annotated[tuple[AdapterWeight, ...], Field(exclude_if=operator.not_)] = ()
    eta: Annotated[float, Field(exclude_if=operator.not_)] = 0.0  # share of the noise that DDIM draws anew in a step

    def __post_init__(self) -> None:
        _check_int("The number of images", self.num_images, 1, MAX_IMAGES)
        for name, side in (("height", self.height), ("width", self.width)):
            _check_int(f"The {name}", side, SIDE_MULTIPLE, MAX_SIDE)
            if side % SIDE_MULTIPLE:
                nearest = max(SIDE_MULTIPLE, round(side / SIDE_MULTIPLE) * SIDE_MULTIPLE)
                raise StudioError(
                    f"The {name} must be a multiple of {SIDE_MULTIPLE}, not {side}; the nearest is {nearest}."
                )
        if self.num_inference_steps is not None:
            _check_int("The number of steps", self.num_inference_steps, 1, MAX_STEPS)
        if self.guidance_scale is not None:
            _check_guidance(self.guidance_scale)
        _check_int("The seed", self.seed, 0, MAX_SEED - self.num_images)
        _check_adapters(self.adapters)
        _check_float("eta", self.eta, 1)


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The sampling settings that a checkpoint recommends; what a request leaves open becomes these.

    Raises:
        StudioError: a value is outside its range.
    """

    scheduler: str
    num_inference_steps: int
    guidance_scale: float

    def __post_init__(self) -> None:
        _check_int("The recommended number of steps", self.num_inference_steps, 1, MAX_STEPS)
        _check_guidance(self.guidance_scale)


@dataclass(frozen=True, slots=True)
class Morph:
    """A point on the path from one request to a second: both noises and both conditions are interpolated.

    Raises:
        StudioError: the weight is not a number from 0 (the first request) to 1 (the second).
    """

    second: GenerationRequest
    weight: float
    kind: Literal["morph"] = "morph"

    def __post_init__(self) -> None:
        _check_float("weight", self.weight, 1)


@dataclass(frozen=True, slots=True)
class Edit:
    """A change to an image: the new prompt, and how much of the image may change.

    Generated image: its trajectory is run again, and the prompt is switched at `strength` (1: at pure noise). Any other
    image reaches that point by DDIM `inversion`, which preserves the patient's identity, or by added `noise` (SDEdit),
    which depends on the seed.

    Raises:
        StudioError: a prompt is too long, or the strength is not a number from 0 to 1.
    """

    prompt: str
    strength: float = 0.7
    source_prompt: str = ""  # what the image shows now; empty: not stated
    method: Literal["inversion", "noise"] = "inversion"
    image_sha256: str = ""  # of an uploaded image: the hash of its gray values at 8 bits
    kind: Literal["edit"] = "edit"

    def __post_init__(self) -> None:
        object.__setattr__(self, "prompt", TextPrompt(self.prompt).text)
        if not isinstance(self.source_prompt, str) or self.source_prompt:
            object.__setattr__(self, "source_prompt", TextPrompt(self.source_prompt).text)
        _check_float("strength", self.strength, 1)


@dataclass(frozen=True, slots=True)
class GenerationResult:
    """Images of one request; that of place i was made with seed + i, alone or in any batch."""

    images: tuple[Image, ...]  # fewer than the request's where it was ended before
    request: GenerationRequest  # every None resolved
    checkpoint: CheckpointRef
    latencies_ms: tuple[float, ...]  # per image: text, sampling and decoding, without previews and other callbacks
    notes: tuple[str, ...] = ()  # which parts of the request were ignored, and why
    runtime: Mapping[str, Any] = field(default_factory=dict)  # versions and device, see devices.runtime_facts
    origin: Morph | Edit | None = None  # how the image was made, if not from the request alone
    upscaler: CheckpointRef | None = None  # the weights that enlarged it; None: drawn at this size
    places: tuple[int, ...] | None = None  # of the images in the request; None: the first ones, in order

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seed of each image."""
        places = range(len(self.images)) if self.places is None else self.places
        return tuple(self.request.seed + place for place in places)


Preview = Callable[[], Image]
# step (from 1), total, a function that draws the current estimate; 0 of 0 says that the models are loaded
OnStep = Callable[[int, int, Preview], None]


NO_PREVIEW: Image = np.zeros((1, 1), np.float32)  # of work whose preview would cost too much; it is not shown


def no_report(*_: object) -> None:
    """An `OnStep` that does nothing."""


def report_loaded(on_step: OnStep | None) -> None:
    """Say that the models of a piece of work are loaded, and its first step begins."""
    if on_step is not None:
        on_step(0, 0, lambda: NO_PREVIEW)


def part(on_step: OnStep | None, index: int, count: int) -> OnStep:
    """The progress of job `index` (from 0) of `count` equally long ones, as progress of all of them together."""
    if on_step is None:
        return no_report
    return lambda step, total, preview: on_step(index * total + step, count * total, preview)


def after(on_step: OnStep, done: int, total: int) -> OnStep:
    """The progress of one part of a piece of work, as progress of all its `total` steps, of which some are done."""
    return lambda step, _, preview: on_step(done + step, total, preview)


class LoadedModel(Protocol):
    """The networks of a checkpoint on a device."""

    @property
    def manifest(self) -> Manifest:
        """The checkpoint's; `manifest.ref` says which weights these are."""
        ...

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        ...

    def components(self) -> Mapping[str, nn.Module]:
        """The networks by name."""
        ...


class Engine(LoadedModel, Protocol):
    """A loaded model, ready to sample."""

    def resolve(self, request: GenerationRequest) -> GenerationRequest:
        """Fill every None of a request; StudioError where this checkpoint cannot do what is asked."""
        ...

    def sample(self, request: GenerationRequest, generators: Sequence[torch.Generator], on_step: OnStep) -> Tensor:
        """Return (B, 1, H, W) in [-1, 1], one image per CPU generator."""
        ...

    def notes(self, request: GenerationRequest) -> tuple[str, ...]:
        """Which parts of a request are ignored, and why."""
        ...


@runtime_checkable
class Upscaler(LoadedModel, Protocol):
    """A loaded model that enlarges images; an engine that also does offers "enlarge"."""

    def upscale(
        self,
        images: Tensor,
        size: int,
        num_steps: int | None,
        generators: Sequence[torch.Generator],
        on_step: OnStep | None = None,
    ) -> Tensor:
        """Return (B, 1, size, size) in [-1, 1] of square images (B, 1, S, S), one CPU generator each.

        No number of steps: the checkpoint's recommendation. StudioError where it cannot enlarge to that size.
        """
        ...

    def num_steps(self, side: int, size: int) -> int:
        """How often its network runs to bring an image from `side` to `size` pixels, as recommended."""
        ...


Ability = Literal[
    "morph",
    "edit",
    "attend",
    "trace",
    "likelihood",
    "encode",
    "predict",
    "traverse",
    "enlarge",
    "adapt",
    "noise_schedule",
    "ablate",
]  # what a model can do besides drawing images, see `abilities`


LikelihoodMethod = Literal["fast", "exact"]  # a fixed number of steps; as many as the solver needs for a tolerance


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a run of training is started, beside its configuration and its data."""

    run: Path  # the run's folder: states, log and previews; a run found there is resumed
    checkpoint: Path  # where the finished model is released
    autoencoder_from: Path | None = None  # another run or a checkpoint whose autoencoder replaces stage 1
    autoencoder_only: bool = False  # stop after stage 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainable:
    """What every family's package exports as FAMILY: data alone, so that asking costs no torch.

    `config`, `train` and `load` are "module:name" inside the package; the registry resolves them when they are used.
    """

    title: str  # in menus
    modality: str  # DICOM code of its images unless a checkpoint states another: DX, CT, MR, SM
    config: str  # the frozen dataclass of a run
    train: str = ""  # (config, dataset, RunOptions) -> the folder of what it made; empty: others trained its models
    load: str  # (checkpoint folder, device name or None) -> Engine or Upscaler
    accepts: frozenset[Literal["autoencoder_only", "autoencoder_from"]] = frozenset()  # which RunOptions
    training_flops: str = ""  # config -> floating point operations of its training by stage; empty: not counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Family(Trainable):
    """A family that draws images; `load` gives an Engine."""

    condition: type[Condition]  # which form the UI draws
    abilities: frozenset[Ability] = frozenset()
    import_model: str = ""  # (source, root of checkpoints, name or None) -> the folder of a model that others trained
    factors: str = ""  # of adapters: (checkpoint folder, networks of the base) -> their factors by network and layer


@dataclass(frozen=True, slots=True, kw_only=True)
class UpscalerFamily(Trainable):
    """A family that enlarges images and draws none; `load` gives an Upscaler."""

    abilities: frozenset[Ability] = frozenset({"enlarge"})
