"""The known labels of an image as targets of a classifier: 1, 0, or NaN where unknown.

A finding counts as absent only where somebody looked for it, and nothing is known of an image without any label. Every
NIH ChestX-ray14 report was searched for its 15 labels; each of Kermany's children is normal or has one kind of
pneumonia; Hannover states only that the patient has COVID-19. COVID-19 can therefore not be learned: with films of
other hospitals as negatives, a classifier would learn the hospital. Likewise bacterial against viral pneumonia is
learned from Kermany's films alone.

An image with a class is known to lack all other classes of its source. A class that is the only one of its source
stays unknown: there is nothing there to tell it from.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from xray_generator.data.rows import FINDINGS, Row, class_names, denied_findings

Targets = NDArray[np.float32]  # 1, 0 or NaN

VIEWS, SEXES = ("AP",), ("M",)  # against PA and F
AGE_GROUPS = ("child", "adolescent", "adult", "older_adult")  # each against all others
LABELS = (*FINDINGS, *VIEWS, *SEXES, *AGE_GROUPS)
AGE_WORDS = r"year-old|child|pa?ediatric|adolescent|adult|boy|girl"
STATED = {  # words of a prompt that specify a view, a sex or an age group; findings are always in its words
    "AP": r"\b(AP|PA)\b",
    "M": r"\b(man|woman|male|female|boy|girl)\b",
    **dict.fromkeys(AGE_GROUPS, AGE_WORDS),
}


def labels_of(rows: Iterable[Row]) -> tuple[str, ...]:
    """All possible labels of some images: `LABELS`, and the classes of the images."""
    return (*LABELS, *(name for name in class_names(rows) if name not in LABELS))


def targets(rows: Sequence[Row], labels: Sequence[str] = LABELS) -> Targets:
    """Targets (N, L) of each row; classes are known against the other classes of their source among `rows`."""
    classes: dict[str, set[str]] = {}
    for row in rows:
        if row.label:
            classes.setdefault(row.source, set()).add(row.label)
    facts = [_known_labels(row, classes.get(row.source, ()) if row.label else ()) for row in rows]
    values = [[known.get(label, np.nan) for label in labels] for known in facts]
    return np.array(values, dtype=np.float32).reshape(len(rows), len(labels))


def class_places(rows: Sequence[Row], classes: Sequence[str]) -> NDArray[np.intp]:
    """(N,) index in `classes` of each row's class; -1 where it is none of them, or the only class of its source.

    A class that fills a whole source would reward a classifier for knowing the hospital.
    """
    known = targets(rows, classes)
    is_known = (known == 1).any(axis=1) & ((~np.isnan(known)).sum(axis=1) > 1)
    return np.where(is_known, np.nan_to_num(known).argmax(axis=1), -1) if len(classes) else np.full(len(rows), -1)


def prompt_targets(rows: Sequence[Row], labels: Sequence[str] = LABELS) -> Targets:
    """Targets (N, L) that each row's prompt asks for: `targets` without the view, sex and age it leaves open."""
    known = targets(rows, labels)
    for place, label in enumerate(labels):
        if label in STATED:
            open_to_choice = [not re.search(STATED[label], row.prompt, re.IGNORECASE) for row in rows]
            known[open_to_choice, place] = np.nan
    return known


def learnable_labels(rows: Sequence[Row], min_cases: int) -> tuple[str, ...]:
    """The labels that at least `min_cases` rows have and as many are known to lack."""
    labels = labels_of(rows)
    known = targets(rows, labels)
    counts = np.minimum((known == 1).sum(axis=0), (known == 0).sum(axis=0))
    return tuple(label for label, count in zip(labels, counts, strict=True) if count >= min_cases)


def strata(rows: Sequence[Row]) -> NDArray[np.str_]:
    """(N,) the source of each row. Scores are compared within a source, or they would measure the hospital."""
    return np.array([row.source for row in rows], dtype=np.str_)


def patients(rows: Sequence[Row]) -> NDArray[np.str_]:
    """(N,) the patient of each row, or its file where the patient is unknown: the units of a bootstrap."""
    return np.array([row.patient_id or row.path.name for row in rows], dtype=np.str_)


def _known_labels(row: Row, classes: Collection[str]) -> dict[str, float]:
    facts = dict.fromkeys(denied_findings(row), 0.0) | dict.fromkeys(row.findings, 1.0)
    if row.view[:2] in ("AP", "PA"):
        facts["AP"] = float(row.view.startswith("AP"))
    if row.sex:
        facts["M"] = float(row.sex == "M")
    if row.age_group in AGE_GROUPS:
        facts |= {group: float(group == row.age_group) for group in AGE_GROUPS}
    if len(classes) > 1:
        facts |= dict.fromkeys(classes, 0.0) | {row.label: 1.0}
    return facts
