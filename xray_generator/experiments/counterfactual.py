"""The same patient with and without a finding: edits, scored by a classifier that was trained on real images alone.

One edited image is an illustration. The mean over many patients says whether the model draws the finding, and whether
it leaves the rest alone. Only labels that the classifier recognizes on real images of unseen patients are scored; of a
label that an edit asks to change and that it does not recognize, the reason is given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xray_generator import generation
from xray_generator.checkpoints import read_manifest_of
from xray_generator.dashboards.prompts import TITLES
from xray_generator.data.prompts import row_of_prompt
from xray_generator.data.rows import finding_name
from xray_generator.data.tables import write_table
from xray_generator.generation import EditResult
from xray_generator.reference_encoder.bootstrap import Interval, mean_interval
from xray_generator.reference_encoder.labels import AGE_GROUPS, SEXES, VIEWS, targets
from xray_generator.reference_encoder.manifest import EncoderManifest, LabelQuality, fitting_encoder
from xray_generator.types import Edit, Engine, GenerationRequest, Image, OnStep, part

if TYPE_CHECKING:
    from xray_generator.reference_encoder.model import ReferenceEncoder

NO_CLASSIFIER = "There is no reference classifier in outputs/encoders/."
NOT_TRAINED = "the real images are not labeled well enough to train a classifier of it"
NO_QUALITY = "the classifier's accuracy for it on real {} images is not known"
OTHERS = "everything else"
REQUESTED = {1: "more", -1: "less", 0: "no change"}  # in CSV files


@dataclass(frozen=True, slots=True)
class Change:
    """One label before and after an edit: calibrated probabilities of the classifier, in [0, 1]."""

    label: str
    before: float
    after: float
    requested: int = 0  # 1: the edit asks for it to appear, -1: to disappear, 0: to stay as it is

    @property
    def change(self) -> float:
        """After minus before, in [-1, 1]."""
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class Verdict:
    """The classifier's probabilities before and after one edit."""

    classifier: str = ""  # name and hash of its weights
    changes: tuple[Change, ...] = ()  # requested ones first, then the largest first
    unscored: Mapping[str, str] = field(default_factory=dict)  # a label that the edit asks to change -> why no score
    reason: str = ""  # why nothing was scored

    @property
    def requested(self) -> tuple[Change, ...]:
        """The labels that the edit asks to change."""
        return tuple(change for change in self.changes if change.requested)

    @property
    def others(self) -> tuple[Change, ...]:
        """All other labels."""
        return tuple(change for change in self.changes if not change.requested)

    @property
    def mean_other_change(self) -> float | None:
        """The mean absolute change of all other labels; None where there is none."""
        return float(np.mean([abs(change.change) for change in self.others])) if self.others else None


@dataclass(frozen=True, slots=True, eq=False)
class Counterfactual:
    """One edit and the classifier's verdict on it."""

    edit: EditResult
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Effect:
    """The mean change of one label over patients."""

    label: str  # `OTHERS`: the mean absolute change of all labels that were to stay
    requested: int  # 1, -1 or 0, as of `Change`
    mean: float  # of probabilities, in [-1, 1]
    interval: Interval | None  # 95 %, bootstrap over patients; None under ten of them
    n: int  # patients


@dataclass(frozen=True, slots=True, eq=False)
class RepeatedEdit:
    """The same edit of several generated patients."""

    edits: tuple[EditResult, ...]  # one for each seed
    verdicts: tuple[Verdict, ...]  # of each

    @property
    def effects(self) -> tuple[Effect, ...]:
        """The mean change of each scored label, requested ones first, then the largest; last, of everything else."""
        scored = [{change.label: change for change in verdict.changes} for verdict in self.verdicts]
        effects = [
            _mean_effect(label, first.requested, [patient[label].change for patient in scored])
            for label, first in (scored[0] if scored else {}).items()
        ]
        effects.sort(key=lambda effect: (not effect.requested, -abs(effect.mean)))
        others = [v.mean_other_change for v in self.verdicts if v.mean_other_change is not None]
        return (*effects, *([_mean_effect(OTHERS, 0, others)] if others else []))


def _mean_effect(label: str, requested: int, values: Sequence[float]) -> Effect:
    numbers = np.array(values)
    interval = mean_interval(numbers, np.random.default_rng(0))
    return Effect(label, requested, float(numbers.mean()), interval, len(numbers))


@dataclass(frozen=True, slots=True)
class Classifier:
    """The reference encoder, with what its manifest says of each label on real images of unseen patients."""

    encoder: ReferenceEncoder
    quality: Mapping[str, Mapping[str, LabelQuality]]  # split -> label

    def reason(self, label: str) -> str:
        """Why a label cannot be scored; empty where it can: AUROC of 0.75 or more on both unseen splits."""
        from xray_generator.evaluation.fidelity import MIN_AUROC

        if label not in self.encoder.labels:
            return NOT_TRAINED
        for split in ("val", "test"):
            known = self.quality.get(split, {}).get(label)
            if known is None or known.auroc is None:
                return NO_QUALITY.format(split)
            if known.auroc < MIN_AUROC:
                return f"the classifier's AUROC on real {split} images is {known.auroc:.3f}, below {MIN_AUROC:.2f}"
        return ""

    def score(self, before: Image, after: Image, requested: Mapping[str, int]) -> Verdict:
        """Compare two images (H, W) in [0, 1] of equal shape; `requested` as of `requested_changes`."""
        first, second = self.encoder.probabilities(np.stack([before, after]))
        changes = [
            Change(label, float(first[i]), float(second[i]), requested.get(label, 0))
            for i, label in enumerate(self.encoder.labels)
            if not self.reason(label)
        ]
        changes.sort(key=lambda c: (not c.requested, -abs(c.change)))
        unscored = {label: reason for label in requested if (reason := self.reason(label))}
        return Verdict(self.encoder.name, tuple(changes), unscored)


def find_classifier(encoders: Path, device: str | None = None) -> Classifier | None:
    """The first reference encoder of chest X-rays in a folder of encoders; None where there is none.

    Raises:
        StudioError: it is damaged.
    """
    folder = fitting_encoder(encoders)
    if folder is None:
        return None
    from xray_generator.reference_encoder.model import load_reference_encoder  # torch

    encoder = load_reference_encoder(folder, device)
    return Classifier(encoder, read_manifest_of(folder, EncoderManifest).metrics)


def requested_changes(source: str, target: str) -> dict[str, int]:
    """The labels that a target prompt asks to appear (1) or to disappear (-1); what it does not mention stays."""
    before, after = row_of_prompt(source), row_of_prompt(target)
    requested = {finding: 1 for finding in after.findings if finding not in before.findings}
    gone = (*before.findings, *(finding for finding in after.absent if finding not in before.absent))
    requested |= {finding: -1 for finding in gone if finding not in after.findings}
    stated = (*VIEWS, *SEXES, *AGE_GROUPS)
    first, second = targets((before, after), stated)
    requested |= {label: int(b - a) for label, a, b in zip(stated, first, second, strict=True) if abs(b - a) == 1}
    return requested


def edit_once(
    engine: Engine,
    source: Image | None,
    request: GenerationRequest,
    edit: Edit,
    encoders: Path,
    on_step: OnStep | None = None,
) -> Counterfactual:
    """Edit an image, or where `source` is None the image of a request, and score it.

    Raises:
        StudioError: as `generation.edit` and `find_classifier`.
    """
    result = generation.edit(engine, source, request, edit, on_step)
    return Counterfactual(result, score_edits([result], edit, encoders, str(engine.device))[0])


def edit_many(
    engine: Engine,
    request: GenerationRequest,
    edit: Edit,
    count: int,
    encoders: Path,
    on_step: OnStep | None = None,
) -> RepeatedEdit:
    """Make the same edit of `count` patients, one a seed from the request's on; the rest as for `edit_once`."""
    results = [
        generation.edit(engine, None, replace(request, seed=request.seed + i), edit, part(on_step, i, count))
        for i in range(count)
    ]
    return RepeatedEdit(tuple(results), score_edits(results, edit, encoders, str(engine.device)))


def score_edits(
    results: Sequence[EditResult], edit: Edit, encoders: Path, device: str | None = None
) -> tuple[Verdict, ...]:
    """The verdict on each result of one edit, by the classifier in a folder of reference encoders."""
    classifier = find_classifier(encoders, device)
    if classifier is None:
        return (Verdict(reason=NO_CLASSIFIER),) * len(results)
    requested = requested_changes(edit.source_prompt, edit.prompt)
    return tuple(classifier.score(result.before, result.after.images[0], requested) for result in results)


def label_title(label: str) -> str:
    """A label of the classifier in words."""
    title = TITLES.get(label) or finding_name(label)
    return title[:1].upper() + title[1:]


def verdict_csv(verdict: Verdict) -> str:
    """A line for each scored label: what was asked for, probability before and after, and the change."""
    rows = [
        (
            label_title(c.label),
            REQUESTED[c.requested],
            *(f"{value:.6f}" for value in (c.before, c.after, c.change)),
            verdict.classifier,
            1,
        )
        for c in verdict.changes
    ]
    return write_table(("label", "asked", "before", "after", "change", "classifier", "n"), rows)


def effects_csv(repeated: RepeatedEdit) -> str:
    """A line for each scored label: the mean change over patients with its interval."""
    classifier = repeated.verdicts[0].classifier if repeated.verdicts else ""
    rows = [
        (
            label_title(e.label),
            REQUESTED[e.requested],
            f"{e.mean:.6f}",
            *(f"{end:.6f}" for end in e.interval or ()),
            *(("", "") if e.interval is None else ()),
            classifier,
            e.n,
        )
        for e in repeated.effects
    ]
    return write_table(("label", "asked", "mean_change", "low_95", "high_95", "classifier", "n"), rows)
