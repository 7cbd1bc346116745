"""The same patient with and without a finding, to a classifier that learned from real films alone.

Only labels that it tells well on real films of unseen patients are judged; of those that an edit asks to change and
that it cannot tell, the reason is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xray_generator.dashboards.prompts import TITLES, row_of_prompt
from xray_generator.data.rows import finding_name
from xray_generator.reference_encoder.labels import AGE_GROUPS, SEXES, VIEWS, targets
from xray_generator.reference_encoder.manifest import fitting_encoder
from xray_generator.types import Image

if TYPE_CHECKING:
    from xray_generator.reference_encoder.manifest import LabelQuality
    from xray_generator.reference_encoder.model import ReferenceEncoder

NO_CLASSIFIER = "There is no reference encoder in outputs/encoders/, so no classifier looked at the images."
NOT_TAUGHT = "the real films cannot teach a classifier of it"
NO_QUALITY = "how well the classifier tells it on real {} films is not known"


@dataclass(frozen=True, slots=True)
class Change:
    """One label before and after an edit: calibrated probabilities of the classifier, in [0, 1]."""

    label: str
    before: float
    after: float
    asked: int = 0  # 1: the edit asks for it to appear, -1: to go, 0: to stay as it is

    @property
    def change(self) -> float:
        """After less before, in [-1, 1]."""
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the classifier makes of one edit."""

    classifier: str = ""  # name and hash of its weights
    changes: tuple[Change, ...] = ()  # what was asked for first, then the largest first
    unjudged: Mapping[str, str] = field(default_factory=dict)  # a label that was asked for -> why it is not judged
    reason: str = ""  # why nothing was judged

    @property
    def asked(self) -> tuple[Change, ...]:
        """The labels that the edit asks to change."""
        return tuple(change for change in self.changes if change.asked)

    @property
    def kept(self) -> tuple[Change, ...]:
        """All other labels."""
        return tuple(change for change in self.changes if not change.asked)

    @property
    def others(self) -> float | None:
        """The mean absolute change of all other labels; None where there is none."""
        return float(np.mean([abs(change.change) for change in self.kept])) if self.kept else None


@dataclass(frozen=True, slots=True)
class Classifier:
    """The reference encoder, with what its manifest says of each label on real films of unseen patients."""

    encoder: ReferenceEncoder
    quality: Mapping[str, Mapping[str, LabelQuality]]  # split -> label

    def reason(self, label: str) -> str:
        """Why a label cannot be judged; empty where it can: AUROC of 0.75 or more on both unseen splits."""
        from xray_generator.evaluation.fidelity import MIN_AUROC

        if label not in self.encoder.labels:
            return NOT_TAUGHT
        for split in ("val", "test"):
            known = self.quality.get(split, {}).get(label)
            if known is None or known.auroc is None:
                return NO_QUALITY.format(split)
            if known.auroc < MIN_AUROC:
                return f"on real {split} films the classifier's AUROC is {known.auroc:.3f}, under {MIN_AUROC:.2f}"
        return ""

    def verdict(self, before: Image, after: Image, asked: Mapping[str, int]) -> Verdict:
        """Compare two images of equal shape.

        Args:
            before: (H, W) in [0, 1].
            after: the same.
            asked: of `asked_changes`.
        """
        first, second = self.encoder.probabilities(np.stack([before, after]))
        changes = [
            Change(label, float(first[i]), float(second[i]), asked.get(label, 0))
            for i, label in enumerate(self.encoder.labels)
            if not self.reason(label)
        ]
        changes.sort(key=lambda c: (not c.asked, -abs(c.change)))
        unjudged = {label: reason for label in asked if (reason := self.reason(label))}
        return Verdict(self.encoder.name, tuple(changes), unjudged)


def find_classifier(encoders: Path, device: str | None = None) -> Classifier | None:
    """The first reference encoder of a folder of encoders; None where there is none.

    Raises:
        StudioError: it is damaged.
    """
    folder = fitting_encoder(encoders)
    if folder is None:
        return None
    from xray_generator.checkpoints import read_manifest_of
    from xray_generator.reference_encoder.manifest import EncoderManifest
    from xray_generator.reference_encoder.model import load_reference_encoder  # torch

    encoder = load_reference_encoder(folder, device)
    return Classifier(encoder, read_manifest_of(folder, EncoderManifest).metrics)


def asked_changes(source: str, target: str) -> dict[str, int]:
    """The classifier's labels that a target prompt asks to appear (1) or to go (-1); what a prompt leaves open stays."""
    before, after = row_of_prompt(source), row_of_prompt(target)
    asked = {finding: 1 for finding in after.findings if finding not in before.findings}
    gone = (*before.findings, *(finding for finding in after.absent if finding not in before.absent))
    asked |= {finding: -1 for finding in gone if finding not in after.findings}
    stated = (*VIEWS, *SEXES, *AGE_GROUPS)
    first, second = targets((before, after), stated)
    asked |= {label: int(b - a) for label, a, b in zip(stated, first, second, strict=True) if abs(b - a) == 1}
    return asked


def label_title(label: str) -> str:
    """A label of the classifier in words."""
    title = TITLES.get(label) or finding_name(label)
    return title[:1].upper() + title[1:]
