"""What goes over the wire: what is asked for, and what is answered."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import ConfigDict, StrictFloat, StrictInt, with_config

from xray_generator.config import check_ranges
from xray_generator.evaluation.records import Measurement
from xray_generator.orders import OVER, State
from xray_generator.types import GenerationRequest, Recommendation

exact = with_config(ConfigDict(extra="forbid"))  # an unknown key is refused
RAW = "None"  # the preset that changes nothing
MIN_MEASURED, MAX_MEASURED = 4, 100  # images of an evaluation


@exact
@dataclass(frozen=True, slots=True)
class Drawing:
    """Images to draw. What is left out is as the checkpoint recommends; a seed that is left out is random."""

    prompt: str | None = None  # for a checkpoint that reads prompts
    label: str | None = None  # for a checkpoint of classes
    checkpoint: str | None = None  # by name; None: the first of all
    num_images: StrictInt = 1
    size: StrictInt | None = None  # pixels a side
    steps: StrictInt | None = None
    guidance: StrictFloat | None = None
    scheduler: str | None = None
    seed: StrictInt | None = None  # of the first image; image i has seed + i
    eta: StrictFloat = 0.0
    adapters: dict[str, StrictFloat] = field(default_factory=dict)  # name -> weight
    preset: str = RAW  # an enhancement that is kept beside each raw image


@exact
@dataclass(frozen=True, slots=True)
class ImagesRequest:
    """Images to draw, as the OpenAI API asks for them."""

    prompt: str  # for a checkpoint of classes, the name of a class
    model: str | None = None  # a checkpoint
    n: StrictInt = 1
    size: str = "auto"  # such as 256x256
    response_format: Literal["b64_json"] = "b64_json"
    user: str | None = None  # is not looked at


@exact
@dataclass(frozen=True, slots=True)
class Measuring:
    """A checkpoint to measure by images that are drawn for it; StudioError where these are too few or too many."""

    checkpoint: str | None = None  # by name; None: the first of all
    num_images: StrictInt = 20

    def __post_init__(self) -> None:
        check_ranges(self, {"num_images": (MIN_MEASURED, MAX_MEASURED)})


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """A PNG in base64."""

    b64_json: str


@dataclass(frozen=True, slots=True)
class ImagesAnswer:
    """Images as the OpenAI API answers with them."""

    created: int  # seconds since 1970
    data: tuple[EncodedImage, ...]


@dataclass(frozen=True, slots=True)
class JobStatus:
    """How a job stands."""

    id: str
    state: State
    checkpoint: str
    request: GenerationRequest  # once the job is over, with every setting that was left open
    preset: str
    num_done: int  # images that are finished
    images: tuple[str, ...]  # their addresses on this server
    step: int = 0  # of those of all images
    total: int = 0
    position: int | None = None  # jobs that come before this one, while it waits
    eta_s: float | None = None  # seconds left, while it runs and as far as the pace is known
    error: str = ""  # why it failed, or was stopped
    notes: tuple[str, ...] = ()  # which parts of the request were ignored, and why
    preview: str | None = None  # the image as it is now, a PNG in base64; only in events that were asked for with it

    @property
    def is_over(self) -> bool:
        """Whether the job has ended, in whatever way."""
        return self.state in OVER


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was measured of a checkpoint."""

    checkpoint: str
    suite: str
    created: str  # ISO 8601, UTC
    is_stale: bool  # whether it was measured on other weights than those that are here
    settings: dict[str, Any]  # of the request, the images, the real ones beside them, and the machine
    sentences: tuple[str, ...]  # what the checkpoint is good and bad at
    measurements: tuple[Measurement, ...]
    notes: tuple[str, ...]  # what was skipped, and why


@dataclass(frozen=True, slots=True)
class EvaluationStatus:
    """How a job that measures a checkpoint stands."""

    id: str
    state: State
    checkpoint: str
    step: int = 0  # of drawing the images; measuring them comes after that
    total: int = 0
    position: int | None = None  # jobs that come before this one, while it waits
    error: str = ""  # why it failed
    evaluation: Evaluation | None = None  # once it is done; the server forgets it when many later jobs are over


@dataclass(frozen=True, slots=True)
class CheckpointFacts:
    """What a checkpoint draws, and with which settings."""

    name: str
    title: str
    reads_prompts: bool
    labels: dict[str, str]  # class -> its title
    unconditional: bool  # whether it draws without a class, too
    sizes: tuple[int, ...]  # pixels a side: those that it draws, then those to which its images are enlarged
    schedulers: tuple[str, ...]
    recommended: Recommendation
    adapters: tuple[str, ...]  # that can be added to it


@dataclass(frozen=True, slots=True)
class Health:
    """That the server answers."""

    status: Literal["ok"] = "ok"


@dataclass(frozen=True, slots=True)
class Problem:
    """What was wrong with a request, in a sentence."""

    error: str
    request_id: str  # also in the header X-Request-ID and in the server's log
