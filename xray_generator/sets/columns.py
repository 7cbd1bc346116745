"""The columns of a set's tables: what is known of each of its images, in every format alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path

from xray_generator.export.recipe import Recipe
from xray_generator.sets.gate import COPY
from xray_generator.sets.plan import IMAGES, Item
from xray_generator.sets.writing import Made


@dataclass(frozen=True, slots=True)
class Entry:
    """One image of a set; an empty string or None: not stated, or not measured."""

    file_name: str
    split: str
    label: str
    findings: str
    view: str
    age: int | None
    age_group: str
    sex: str
    prompt: str
    seed: int
    draws: int
    agrees: bool | None
    copy_score: float | None
    is_copy: bool | None
    sha256: str

    @classmethod
    def of(cls, item: Item, made: Made, recipe: Recipe, sha256: str) -> Entry:
        """The line of an image in the set."""
        row, verdict = item.row, made.verdicts[-1]
        return cls(
            item.path.as_posix(),
            row.split,
            item.label,
            "|".join(row.findings),
            row.view,
            row.age,
            row.age_group,
            row.sex,
            row.prompt,
            recipe.request.seed,
            len(made.verdicts),
            verdict.agrees,
            verdict.copy_score,
            verdict.is_copy,
            sha256,
        )

    @property
    def key(self) -> str:
        """Its number in the plan, as the files name it."""
        return Path(self.file_name).stem

    def inside_split(self) -> Entry:
        """The line with its file as the folder of its split names it."""
        return replace(self, file_name=Path(self.file_name).relative_to(IMAGES, self.split).as_posix())

    def cells(self) -> tuple[object, ...]:
        """The values in order."""
        return tuple(getattr(self, name) for name in COLUMNS)


COLUMNS = tuple(column.name for column in fields(Entry))
KINDS: Mapping[str, type] = {
    "age": int,
    "seed": int,
    "draws": int,
    "agrees": bool,
    "copy_score": float,
    "is_copy": bool,
}
MEANING: Mapping[str, str] = {
    "file_name": "the image, an 8-bit gray PNG that carries its recipe",
    "split": "train, val or test, evenly in each cell of the plan",
    "label": "the class that was asked for, or the findings of the prompt joined by -",
    "findings": "findings that the prompt states, separated by |",
    "view": "view that the prompt states",
    "age": "years that the prompt states",
    "age_group": "child, adolescent, adult or older_adult, where the prompt states it",
    "sex": "F or M, where the prompt states it",
    "prompt": "what the model was told in words",
    "seed": "of the image",
    "draws": "how often it was drawn until it passed the gate",
    "agrees": "whether the reference classifier sees what was asked for; empty: not judged",
    "copy_score": "nearness to training images, in spreads above the median of unseen real ones; empty: not sought",
    "is_copy": f"whether it is {COPY}; empty: not sought",
    "sha256": "hash of the file",
}
