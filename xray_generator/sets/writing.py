"""Make the images of a set, one file each: a file that is there is complete, so a process that was killed goes on.

Each image carries, beside its recipe, the verdicts on itself and on the attempts before it.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from xray_generator.config import dump, parse
from xray_generator.export.files import make_folder, write_file, write_json
from xray_generator.export.marks import read_text_chunks
from xray_generator.export.pictures import pictures
from xray_generator.export.recipe import recipe_chunks
from xray_generator.generation import generate
from xray_generator.images import encode_png, from_uint8, to_uint8
from xray_generator.sets.gate import Judge, Verdict, Yardsticks
from xray_generator.sets.plan import Item, Plan, Series
from xray_generator.sets.shards import Shard
from xray_generator.types import (
    CheckpointRef,
    Engine,
    GenerationResult,
    Image,
    OnStep,
    StudioError,
    Upscaler,
    part,
)

CHUNK = 16  # images that are judged together: a search for copies costs about as much for one as for all of them
OPENING = "plan.json"
KEY = "set"  # of the text chunk with the verdicts


@dataclass(frozen=True, slots=True)
class Opening:
    """What a set is made from; every shard must have begun with the same."""

    plan: Plan
    checkpoint: CheckpointRef
    yardsticks: Yardsticks
    upscaler: CheckpointRef | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """What an image says of itself: its number in the plan, and the verdict on each attempt; the last is on itself."""

    index: int
    verdicts: tuple[Verdict, ...]


@dataclass(slots=True)
class Progress:
    """How far a shard is."""

    total: int  # images of the shard
    before: int  # that were there when this process began
    made: int = 0
    left_out: int = 0  # of those that this process made
    draws: int = 0
    reasons: Counter[str] = field(default_factory=Counter)  # why an image was drawn again
    began: float = field(default_factory=time.monotonic)

    @property
    def done(self) -> int:
        """Images that are there, in the set or left out."""
        return self.before + self.made

    @property
    def rate(self) -> float:
        """Images a second, drawn, judged and written."""
        return self.made / max(time.monotonic() - self.began, 1e-9)

    @property
    def yield_share(self) -> float | None:
        """The share of all draws that entered the set; None before the first."""
        return (self.made - self.left_out) / self.draws if self.draws else None


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the rest of a shard costs, measured with one image on this machine; what is drawn again comes on top."""

    images: int
    seconds_each: float
    bytes_each: int

    @property
    def seconds(self) -> float:
        """For all of them."""
        return self.images * self.seconds_each

    @property
    def num_bytes(self) -> int:
        """On disk, of all of them."""
        return self.images * self.bytes_each


def open_set(folder: Path, opening: Opening) -> None:
    """Begin a set in a folder, or go on with it.

    Raises:
        StudioError: the folder cannot be written to, or holds a set of another plan, weights or real images.
    """
    make_folder(folder)
    path = folder / OPENING
    if not path.is_file():
        write_json(path, dump(opening))
    elif read_opening(folder) != opening:
        raise StudioError(
            f"{folder} holds a set of another plan, other weights or other real images. Choose another folder."
        )


def read_opening(folder: Path) -> Opening:
    """What the set of a folder is made from; StudioError where it holds none."""
    try:
        return parse(Opening, json.loads((folder / OPENING).read_bytes()))
    except (OSError, ValueError) as error:
        reason = "it is not there" if isinstance(error, OSError) else str(error)
        raise StudioError(f"{folder} holds no set: {OPENING} cannot be read ({reason}).") from None


def find_file(folder: Path, item: Item) -> Path | None:
    """The file of an image, in the set or left out of it; None where it is not made yet."""
    return next((path for path in (folder / item.path, folder / item.left_out) if path.is_file()), None)


def is_complete(folder: Path, series: Series) -> bool:
    """Whether all images of a plan are made, whichever process made them."""
    return all(find_file(folder, series.item(i)) for i in range(len(series)))


def count_done(folder: Path, series: Series, shard: Shard) -> int:
    """How many images of a shard are made."""
    return sum(find_file(folder, series.item(i)) is not None for i in shard.places(len(series)))


def measure(
    engine: Engine, series: Series, images: int, on_step: OnStep | None = None, *, upscaler: Upscaler | None = None
) -> Estimate:
    """What `images` more images cost, by the second of two draws of the first one: the first draw warms up."""
    request = series.request(series.item(0), 0)
    generate(engine, request, on_step, upscaler)
    began = time.perf_counter()
    result = generate(engine, request, on_step, upscaler)
    data = pictures(result, 0)[0].png()
    return Estimate(images, time.perf_counter() - began, len(data))


def fill(
    engine: Engine,
    series: Series,
    shard: Shard,
    judge: Judge,
    folder: Path,
    on_step: OnStep | None = None,
    *,
    upscaler: Upscaler | None = None,
) -> Iterator[Progress]:
    """Make what is missing of a shard; after each image yield how far it is.

    An image that the gate refuses is drawn again with another seed; after the last attempt it is left out of the set
    and kept beside it.

    Raises:
        StudioError: the checkpoint cannot do what the plan asks, or the folder cannot be written to.
    """
    progress = Progress(len(shard.places(len(series))), count_done(folder, series, shard))
    items = (series.item(index) for index in shard.places(len(series)))
    missing = (item for item in items if find_file(folder, item) is None)
    while chunk := list(islice(missing, CHUNK)):
        yield from _make(engine, series, judge, chunk, folder, progress, on_step, upscaler)


def _make(
    engine: Engine,
    series: Series,
    judge: Judge,
    chunk: list[Item],
    folder: Path,
    progress: Progress,
    on_step: OnStep | None,
    upscaler: Upscaler | None,
) -> Iterator[Progress]:
    gate, verdicts = series.plan.gate, {item.index: list[Verdict]() for item in chunk}
    for attempt in range(gate.attempts):
        results, again = [], list[Item]()
        for place, item in enumerate(chunk):
            report = part(on_step, progress.done + place, progress.total)
            results.append(generate(engine, series.request(item, attempt), report, upscaler))
        found = judge([_stored(result.images[0]) for result in results], [item.row for item in chunk])
        for item, result, verdict in zip(chunk, results, found, strict=True):
            verdicts[item.index].append(verdict)
            reasons = verdict.reasons(gate)
            progress.draws += 1
            progress.reasons.update(reasons)
            if reasons and attempt + 1 < gate.attempts:
                again.append(item)
                continue
            progress.left_out += bool(reasons)
            _write(
                folder / (item.left_out if reasons else item.path),
                result,
                Made(item.index, tuple(verdicts[item.index])),
            )
            progress.made += 1
            yield progress
        if not (chunk := again):
            return


def _stored(image: Image) -> Image:
    """The image as its file gives it back."""
    return from_uint8(to_uint8(image))


def _write(path: Path, result: GenerationResult, made: Made) -> None:
    (picture,) = pictures(result, 0)
    chunks = recipe_chunks(picture.recipe) | {KEY: json.dumps(dump(made), sort_keys=True)}
    make_folder(path.parent)
    write_file(path, encode_png(picture.image, chunks))


def read_made(data: bytes) -> Made:
    """What an image of a set says of itself; StudioError where it is none."""
    try:
        return parse(Made, json.loads(read_text_chunks(data)[KEY]))
    except StudioError:
        raise
    except (KeyError, ValueError, RecursionError) as error:
        raise StudioError("This is no image of a set.") from error
