"""Prompt fidelity: does a classifier trained on real images alone see in generated images what their prompts ask for?

The yardstick is the same classifier on real images of unseen patients: a label that it cannot recognize there is not
measured on generated images either, and the record says why. Scores are compared within one source, as in
`discrimination`, so that a model which draws the right hospital but not the finding gains nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xray_generator.evaluation.image_sets import ImageSet
from xray_generator.evaluation.records import Curve, Measurement
from xray_generator.reference_encoder.bootstrap import patient_interval
from xray_generator.reference_encoder.labels import patients, prompt_targets, strata, targets
from xray_generator.reference_encoder.metrics import auroc, balanced_accuracy, confusion, sources_with_both
from xray_generator.reference_encoder.model import ReferenceEncoder

MIN_AUROC = 0.75  # on real images of both unseen splits, for a label to be measured
MIN_CASES = 10  # images with the label, and as many without, in each set
SPLIT = "test"  # of the real images


@dataclass(frozen=True, slots=True)
class Cases:
    """One label over one set of images."""

    scores: NDArray[np.float64]  # (N,) the classifier's probabilities
    truth: NDArray[np.float32]  # (N,) 1, 0 or NaN
    sources: NDArray[np.str_]  # (N,)
    owners: NDArray[np.str_]  # (N,) patients; of generated images the images themselves

    def take(self, places: NDArray[np.intp] | NDArray[np.bool_]) -> Cases:
        """Some of the images."""
        return Cases(self.scores[places], self.truth[places], self.sources[places], self.owners[places])

    @property
    def auroc(self) -> float:
        """Within sources."""
        return auroc(self.scores, self.truth, self.sources)

    def accuracy(self, threshold: float) -> float:
        """Balanced, within sources."""
        return balanced_accuracy(self.scores, self.truth, self.sources, threshold)

    @property
    def count(self) -> int:
        """How many images have the label, or lack it, whichever are fewer, in sources that hold both."""
        return int(min((self._inside == 1).sum(), (self._inside == 0).sum()))

    @property
    def used(self) -> int:
        """How many images are compared: those whose label is known, in sources that hold both kinds."""
        return int((~np.isnan(self._inside)).sum())

    @property
    def _inside(self) -> NDArray[np.float32]:
        return self.truth[np.isin(self.sources, sources_with_both(self.truth, self.sources))]


def cases(encoder: ReferenceEncoder, images: ImageSet, *, generated: bool) -> dict[str, Cases]:
    """Each label of the classifier over a set: as prompted for generated images, as known for real ones."""
    scores = encoder.probabilities(images.images)
    truth = (prompt_targets if generated else targets)(images.rows, encoder.labels)
    owners = np.arange(len(images)).astype(np.str_) if generated else patients(images.rows)
    sources = strata(images.rows)
    return {label: Cases(scores[:, i], truth[:, i], sources, owners) for i, label in enumerate(encoder.labels)}


def measure_fidelity(
    encoder: ReferenceEncoder, generated: ImageSet, real: ImageSet, rng: np.random.Generator
) -> list[Measurement]:
    """AUROC, balanced accuracy and its share of that on real images above chance, for each label that prompts ask for.

    A label that occurs in several sources is measured in each, as "pneumonia, kermany_pediatric", and over all sources
    where it is measurable.

    Args:
        encoder: the classifier.
        generated: images with the rows whose prompts were used.
        real: images of the test split with their rows, of the same size.
        rng: for the bootstrap.
    """
    fixed: dict[str, Any] = {"split": SPLIT, "extractor": encoder.name}

    def missing(condition: str, reason: str, count: int = len(generated)) -> Measurement:
        return Measurement("prompt_accuracy", None, count, condition=condition, reason=reason, **fixed)

    if not generated.rows:
        return [missing("", "the prompts of the images are not known")]
    prompted = {finding for row in generated.rows for finding in row.findings}
    found = [
        missing(label, "the real images cannot teach a classifier of it")
        for label in sorted(prompted - set(encoder.labels))
    ]
    drawn, unseen = cases(encoder, generated, generated=True), cases(encoder, real, generated=False)
    for label, calibration in encoder.calibration.items():
        for condition, ours, theirs, quality in _scopes(encoder, label, drawn[label], unseen[label]):
            if reason := _reason(ours, theirs, quality):
                found.append(missing(condition, reason, len(ours.scores)))
                continue
            common = {"n": ours.used, "real_n": theirs.used, "condition": condition, **fixed}
            found += _measure_label(ours, theirs, calibration.threshold, rng, common)
    return found


def confusion_table(encoder: ReferenceEncoder, generated: ImageSet, real: ImageSet) -> tuple[dict[str, Any], ...]:
    """Confusion counts of each label: against the prompt for generated images, the known label for real ones."""
    pairs = (
        (images.name, cases(encoder, images, generated=is_generated))
        for images, is_generated in ((generated, True), (real, False))
    )
    return tuple(
        {"label": label, "images": name, **confusion(case.scores, case.truth, encoder.calibration[label].threshold)}
        for name, found in pairs
        for label, case in found.items()
    )


def guidance_curve(measurements: Sequence[Measurement]) -> Curve:
    """Share of the real skill over guidance, a line for each condition, from measurements at several guidances."""
    shares = [m for m in measurements if m.measure == "prompt_accuracy_share" and "guidance_scale" in m.settings]
    values = {(m.condition, float(m.settings["guidance_scale"])): m.value for m in shares}
    scales = tuple(sorted({scale for _, scale in values}))
    lines = {name: tuple(values.get((name, scale)) for scale in scales) for name in sorted({n for n, _ in values})}
    title, share = "Prompt fidelity against guidance", "accuracy above chance, share of that on real images"
    return Curve(title, "guidance", share, scales, lines)


def _scopes(
    encoder: ReferenceEncoder, label: str, drawn: Cases, unseen: Cases
) -> Iterator[tuple[str, Cases, Cases, float | None]]:
    """(condition, generated, real, the classifier's AUROC on `val`), over all measurable sources and then for each one.

    Pooled with an easy source, one that the classifier fails on would go unnoticed.
    """
    known = encoder.quality.get(label)
    sources = sources_with_both(unseen.truth, unseen.sources, MIN_CASES)
    if len(sources) < 2:
        yield label, drawn, unseen, known.auroc if known else None
        return
    parts = {
        source: (
            drawn.take(drawn.sources == source),
            unseen.take(unseen.sources == source),
            known.sources.get(source) if known else None,
        )
        for source in sources
    }
    good = [source for source, (ours, theirs, quality) in parts.items() if not _reason(ours, theirs, quality)]
    if len(good) > 1:
        inside, real_inside = np.isin(drawn.sources, good), np.isin(unseen.sources, good)
        yield label, drawn.take(inside), unseen.take(real_inside), None
    for source, part in parts.items():
        yield f"{label}, {source}", *part


def _reason(drawn: Cases, unseen: Cases, quality: float | None) -> str:
    """Why a label is not measurable; empty where it is."""
    if unseen.count < MIN_CASES:
        return f"{unseen.count} {SPLIT} images have it, or lack it, in sources with both kinds; {MIN_CASES} needed"
    for name, value in (("val", quality), (SPLIT, unseen.auroc)):
        if value is not None and value < MIN_AUROC:
            return f"not measurable: the classifier's AUROC on real {name} images is {value:.3f}, below {MIN_AUROC:.2f}"
    if drawn.count < MIN_CASES:
        return f"{drawn.count} prompts ask for it, or for its absence, in sources with both kinds; {MIN_CASES} needed"
    return ""


def _measure_label(
    drawn: Cases, unseen: Cases, threshold: float, rng: np.random.Generator, common: dict[str, Any]
) -> Iterator[Measurement]:
    """AUROC, balanced accuracy, and its share of that on real images above chance."""
    both = [*(f"drawn {owner}" for owner in drawn.owners), *(f"real {owner}" for owner in unseen.owners)]
    count = len(drawn.scores)

    def share(places: NDArray[np.intp]) -> float:
        real = _skill(unseen.take(places[places >= count] - count), threshold)
        return _skill(drawn.take(places[places < count]), threshold) / real if real > 0 else float("nan")

    spread = patient_interval(lambda i: drawn.take(i).auroc, drawn.owners, rng)
    yield Measurement("prompt_auroc", drawn.auroc, interval=spread, real=unseen.auroc, **common)
    spread = patient_interval(lambda i: drawn.take(i).accuracy(threshold), drawn.owners, rng)
    yardstick = unseen.accuracy(threshold)
    yield Measurement("prompt_accuracy", drawn.accuracy(threshold), interval=spread, real=yardstick, **common)
    real_skill = patient_interval(lambda i: _skill(unseen.take(i), threshold), unseen.owners, rng)
    if real_skill is None or real_skill[0] <= 0:
        reason = f"the classifier's accuracy on real images, {yardstick:.3f}, cannot be distinguished from chance"
        yield Measurement("prompt_accuracy_share", None, reason=reason, **common)
        return
    value = _skill(drawn, threshold) / _skill(unseen, threshold)
    spread = patient_interval(share, np.array(both), rng)
    yield Measurement("prompt_accuracy_share", value, interval=spread, **common)


def _skill(cases: Cases, threshold: float) -> float:
    """Balanced accuracy above chance."""
    return cases.accuracy(threshold) - 0.5
