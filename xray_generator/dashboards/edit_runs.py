"""An edit, made once or for many generated patients, and judged.

One edited image illustrates. The mean over many patients says whether the model's finding acts, and whether it leaves
the rest alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xray_generator.dashboards.counterfactual import NO_CLASSIFIER, Verdict, asked_changes, find_classifier, label_title
from xray_generator.data.tables import write_table
from xray_generator.reference_encoder.bootstrap import Interval, mean_interval
from xray_generator.types import Edit, GenerationRequest, OnStep, Preview

if TYPE_CHECKING:
    from xray_generator.generation import EditResult

Draw = Callable[[GenerationRequest, OnStep], "EditResult"]  # an edit of the image of a request or of its seed

OTHERS = "everything else"
ASKED = {1: "more", -1: "less", 0: "no change"}


@dataclass(frozen=True, slots=True, eq=False)
class Counterfactual:
    """One edit and what the classifier makes of it."""

    edit: EditResult
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Effect:
    """The mean change of one label over patients."""

    label: str  # `OTHERS`: the mean absolute change of all labels that were asked to stay
    asked: int  # 1, -1 or 0, as of `counterfactual.Change`
    mean: float  # of probabilities, in [-1, 1]
    interval: Interval | None  # 95 %, bootstrap over patients; None under ten of them
    n: int  # patients


@dataclass(frozen=True, slots=True, eq=False)
class Repeated:
    """The same edit of several generated patients."""

    edits: tuple[EditResult, ...]  # one for each seed
    verdicts: tuple[Verdict, ...]  # of each

    @property
    def effects(self) -> tuple[Effect, ...]:
        """The mean change of each judged label, those asked for first, then the largest; last, of everything else."""
        judged = [{change.label: change for change in verdict.changes} for verdict in self.verdicts]
        found = []
        for label, first in (judged[0] if judged else {}).items():
            found.append(_effect(label, first.asked, [one[label].change for one in judged]))
        found.sort(key=lambda effect: (not effect.asked, -abs(effect.mean)))
        others = [verdict.others for verdict in self.verdicts if verdict.others is not None]
        return (*found, *([_effect(OTHERS, 0, others)] if others else []))


def edit_once(
    draw: Draw, request: GenerationRequest, edit: Edit, encoders: Path, device: str | None, on_step: OnStep
) -> Counterfactual:
    """Make one edit and have it judged; errors are those of `draw` and of `find_classifier`.

    Args:
        draw: makes the edit.
        request: given to it.
        edit: what it changes, with what the image shows now; only read here.
        encoders: a folder of reference encoders.
        device: of the encoder.
        on_step: of the drawing.
    """
    made = draw(request, on_step)
    return Counterfactual(made, _classifier((made,), edit, encoders, device)[0])


def edit_many(
    draw: Draw, request: GenerationRequest, edit: Edit, count: int, encoders: Path, device: str | None, on_step: OnStep
) -> Repeated:
    """Make the same edit of `count` patients, seed by seed from the request's on; the rest as for `edit_once`."""
    made = []
    for index in range(count):

        def step(done: int, total: int, preview: Preview, index: int = index) -> None:
            on_step(index * total + done, count * total, preview)

        made.append(draw(replace(request, seed=request.seed + index), step))
    return Repeated(tuple(made), _classifier(made, edit, encoders, device))


def verdict_csv(verdict: Verdict) -> str:
    """A line for each judged label: what was asked, probability before, after, and the change."""
    rows = [
        (
            label_title(c.label),
            ASKED[c.asked],
            f"{c.before:.6f}",
            f"{c.after:.6f}",
            f"{c.change:.6f}",
            verdict.classifier,
            1,
        )
        for c in verdict.changes
    ]
    return write_table(("label", "asked", "before", "after", "change", "classifier", "n"), rows)


def effects_csv(repeated: Repeated) -> str:
    """A line for each judged label: the mean change over patients with its interval."""
    classifier = repeated.verdicts[0].classifier if repeated.verdicts else ""
    rows = [
        (
            label_title(e.label),
            ASKED[e.asked],
            f"{e.mean:.6f}",
            *(("", "") if e.interval is None else (f"{end:.6f}" for end in e.interval)),
            classifier,
            e.n,
        )
        for e in repeated.effects
    ]
    return write_table(("label", "asked", "mean_change", "low_95", "high_95", "classifier", "n"), rows)


def _classifier(made: Sequence[EditResult], edit: Edit, encoders: Path, device: str | None) -> tuple[Verdict, ...]:
    classifier = find_classifier(encoders, device)
    if classifier is None:
        return (Verdict(reason=NO_CLASSIFIER),) * len(made)
    asked = asked_changes(edit.source_prompt, edit.prompt)
    return tuple(classifier.verdict(one.before, one.after.images[0], asked) for one in made)


def _effect(label: str, asked: int, values: Sequence[float]) -> Effect:
    numbers = np.array(values)
    return Effect(label, asked, float(numbers.mean()), mean_interval(numbers, np.random.default_rng(0)), len(numbers))
