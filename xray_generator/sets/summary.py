"""What is in a set and what it took, counted image by image."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from xray_generator.export.recipe import Recipe
from xray_generator.sets.plan import Item, Series
from xray_generator.sets.writing import Made


@dataclass(slots=True)
class Summary:
    """What is in a set, and what it took."""

    asked: Counter[str] = field(default_factory=Counter)  # by label
    kept: Counter[str] = field(default_factory=Counter)  # by label, in the set
    splits: Counter[str] = field(default_factory=Counter)  # of the images in the set
    draws: int = 0
    reasons: Counter[str] = field(default_factory=Counter)  # why an image was drawn again, or left out
    judged: int = 0  # images in the set of which the classifier could say something
    agreeing: int = 0
    marked_copies: int = 0  # in the set, since they were asked for
    runtimes: dict[str, dict[str, Any]] = field(default_factory=dict)  # by their JSON: where the images were drawn

    @property
    def num_images(self) -> int:
        """In the set."""
        return self.kept.total()

    @property
    def left_out(self) -> int:
        """Images that passed in no attempt."""
        return self.asked.total() - self.kept.total()

    def add(self, series: Series, item: Item, made: Made, recipe: Recipe, *, is_kept: bool) -> None:
        """Count one more image."""
        gate, verdict = series.plan.gate, made.verdicts[-1]
        self.asked[item.label] += 1
        self.draws += len(made.verdicts)
        self.reasons.update(reason for one in made.verdicts for reason in one.reasons(gate))
        self.runtimes.setdefault(json.dumps(recipe.runtime, sort_keys=True), recipe.runtime)
        if is_kept:
            self.kept[item.label] += 1
            self.splits[item.row.split] += 1
            self.judged += verdict.agrees is not None
            self.agreeing += bool(verdict.agrees)
            self.marked_copies += bool(verdict.is_copy)
