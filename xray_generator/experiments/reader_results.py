"""What a blind reader study found: per reader, of all together, by condition; and its export as CSV and JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import combinations

import numpy as np

from xray_generator.config import dump
from xray_generator.data.tables import write_table
from xray_generator.evaluation.reader_agreement import Figure, Judgments, area, curve, join, kappa, mean, share
from xray_generator.experiments.reader_study import Study
from xray_generator.experiments.readings import Checklist, Reading

ALL = "all readers"
KINDS = {"real": False, "generated": True}
RATINGS = ("quality", "plausibility")
COLUMNS = (
    "study",
    "checkpoint",
    "sha256",
    "reader",
    "position",
    "image",
    "is_generated",
    "says_generated",
    "is_correct",
    "confidence",
    *RATINGS,
    "conditions",
    "origin",
)


@dataclass(frozen=True, slots=True)
class ReaderResult:
    """How well one reader, or all together, told the images apart."""

    reader: str
    accuracy: Figure
    generated_seen: Figure  # the share of generated images that were called generated
    real_seen: Figure  # the share of real images that were called real
    area: Figure  # under the ROC of the confidence
    ratings: dict[str, Figure]  # "quality, real", ...: means of 1 to 5
    roc: tuple[tuple[float, float], ...]  # see `reader_agreement.curve`


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two readers agree."""

    readers: tuple[str, str]
    kappa: Figure


@dataclass(frozen=True, slots=True)
class Results:
    """What a study found; only readers who are through count."""

    readers: tuple[ReaderResult, ...]  # all together first, where there are several
    agreements: tuple[Agreement, ...]
    conditions: dict[str, Figure]  # accuracy over the images of each class, finding, view, sex and age group
    checklist: dict[str, dict[str, float]]  # criterion -> "real" or "generated" -> mean over readers of 1 to 5


def find_results(study: Study, readings: Sequence[Reading]) -> Results | None:
    """The results of the readers who are through; None where nobody is."""
    over = [reading for reading in readings if reading.is_over]
    if not over:
        return None
    judgments = {reading.reader: _judge(study, reading) for reading in over}
    each = [_measure(reading.reader, [reading], judgments[reading.reader]) for reading in over]
    together = join(list(judgments.values()))
    if len(over) > 1:
        each.insert(0, _measure(ALL, over, together))
    pairs = combinations(judgments, 2)
    agreements = tuple(Agreement((a, b), kappa(judgments[a], judgments[b])) for a, b in pairs)
    return Results(tuple(each), agreements, _split(study, together), _average(over))


def _judge(study: Study, reading: Reading) -> Judgments:
    answers = reading.answers
    return Judgments(
        np.array([one.place for one in answers], np.intp),
        np.array([study.items[one.place].is_generated for one in answers], np.bool_),
        np.array([one.says_generated for one in answers], np.bool_),
        np.array([one.confidence for one in answers], np.intp),
    )


def _measure(name: str, readings: Sequence[Reading], judgments: Judgments) -> ReaderResult:
    ratings = {}
    for rating in RATINGS:
        values = np.array([getattr(one, rating) for reading in readings for one in reading.answers], np.intp)
        for kind, is_generated in KINDS.items():
            inside = judgments.truth == is_generated
            ratings[f"{rating}, {kind}"] = mean(values[inside], judgments.images[inside])
    hits, truth, images = judgments.hits, judgments.truth, judgments.images
    return ReaderResult(
        name,
        share(hits, images),
        share(hits[truth], images[truth]),
        share(hits[~truth], images[~truth]),
        area(judgments),
        ratings,
        curve(judgments),
    )


def _split(study: Study, judgments: Judgments) -> dict[str, Figure]:
    names = sorted({name for item in study.items for name in item.conditions})
    found = {}
    for name in names:
        has = np.array([name in study.items[place].conditions for place in judgments.images])
        part = judgments.take(has)
        found[name] = share(part.hits, part.images)
    return found


def _average(readings: Sequence[Reading]) -> dict[str, dict[str, float]]:
    return {
        one.name: {
            kind: float(np.mean([getattr(getattr(reading, kind), one.name) for reading in readings])) for kind in KINDS
        }
        for one in fields(Checklist)
    }


def to_csv(study: Study, readings: Sequence[Reading]) -> str:
    """A line for each answer of the readers who are through, with what the image is."""
    lines = [
        (
            study.id,
            study.checkpoint.full_name,
            study.checkpoint.sha256,
            reading.reader,
            position,
            answer.place,
            int(item.is_generated),
            int(answer.says_generated),
            int(item.is_generated == answer.says_generated),
            answer.confidence,
            answer.quality,
            answer.plausibility,
            "|".join(item.conditions),
            item.origin,
        )
        for reading in readings
        if reading.is_over
        for position, answer in enumerate(reading.answers, start=1)
        for item in (study.items[answer.place],)
    ]
    return write_table(COLUMNS, lines)


def to_json(study: Study, readings: Sequence[Reading]) -> str:
    """The study, what the readers who are through said, and the results; nothing names a browser."""
    results = find_results(study, readings)
    over = [dump(reading) for reading in readings if reading.is_over]
    data = {
        "study": {name: value for name, value in dump(study).items() if name != "owner"},
        "readings": [{name: value for name, value in one.items() if name != "person"} for one in over],
        "results": results and dump(results),
    }
    return json.dumps(data, ensure_ascii=False, allow_nan=False, indent=1)
