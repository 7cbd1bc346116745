"""Which part of a plan this process makes: as told, or as Slurm, Kubernetes or torchrun number their processes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from xray_generator.types import StudioError, quote

COUNT_OF_PODS = "JOB_COMPLETIONS"  # Kubernetes numbers the pods of an indexed job, and does not say how many there are


@dataclass(frozen=True, slots=True)
class Shard:
    """Every `count`-th image of a plan, from image `index` on."""

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise StudioError(f"There is no shard {self.index + 1} of {self.count}; shards are 1/N to N/N.")

    def places(self, num_images: int) -> range:
        """The images of this shard; together those of all shards are every image once."""
        return range(self.index, num_images, self.count)


def read_shard(text: str) -> Shard:
    """The shard "i/N", counted from 1; StudioError where it is none."""
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    if not match:
        raise StudioError(f"A shard is written i/N, such as 1/4 to 4/4, not {quote(text)}.")
    return Shard(int(match[1]) - 1, int(match[2]))


def find_shard(environment: Mapping[str, str]) -> Shard:
    """The shard that the environment states; the whole plan where it states none.

    A Slurm array gives SLURM_ARRAY_TASK_ID, _COUNT, _MIN and _STEP; an indexed job of Kubernetes JOB_COMPLETION_INDEX,
    and as many as JOB_COMPLETIONS, which the job must set; torchrun RANK and WORLD_SIZE.

    Raises:
        StudioError: not numbers, Kubernetes without the count, or two of them number this process.
    """

    def number(name: str, default: int | None = None) -> int:
        value = environment.get(name, "" if default is None else str(default))
        if not value.isdecimal():
            raise StudioError(f"{name} must be a whole number, not {quote(value)}. Or say --shard i/N.")
        return int(value)

    found: dict[str, Shard] = {}
    if "SLURM_ARRAY_TASK_ID" in environment:
        place = number("SLURM_ARRAY_TASK_ID") - number("SLURM_ARRAY_TASK_MIN", 0)
        found["the Slurm array"] = Shard(place // number("SLURM_ARRAY_TASK_STEP", 1), number("SLURM_ARRAY_TASK_COUNT"))
    if "JOB_COMPLETION_INDEX" in environment:
        found["the Kubernetes job"] = Shard(number("JOB_COMPLETION_INDEX"), number(COUNT_OF_PODS))
    if "RANK" in environment:
        found["torchrun"] = Shard(number("RANK"), number("WORLD_SIZE"))
    several = {name: shard for name, shard in found.items() if shard.count > 1}
    if len(several) > 1:
        raise StudioError(f"{' and '.join(several)} both number this process. Say --shard i/N.")
    return next(iter(several.values()), Shard())
