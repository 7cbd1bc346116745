"""What is known of a film, as targets of a classifier: 1, 0, or NaN where nobody said.

A finding counts as absent only where somebody looked for it. NIH ChestX-ray14 was searched for its 15 labels in every
report; of Kermany's children each is normal or has one kind of pneumonia; Hannover says only that the patient has
COVID-19. So no COVID-19 classifier can be taught: with films of other hospitals as negatives it would learn the
hospital. Likewise bacterial against viral is learned from Kermany's films alone.

Of an image with a class, all classes that its source tells apart are known: its own, and that it has none of the
others. Of a class that is the only one of its source nothing is known: it has nothing there to be told from.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from xray_generator.data.rows import FINDINGS, Row, class_names

Targets = NDArray[np.float32]  # 1, 0 or NaN

VIEWS, SEXES = ("AP",), ("M",)  # against PA and F
AGE_GROUPS = ("child", "adolescent", "adult", "older_adult")  # each against all others
LABELS = (*FINDINGS, *VIEWS, *SEXES, *AGE_GROUPS)
SEARCHED = {  # what a source's labels decide for every film of it
    "nih_chestxray14": FINDINGS[: FINDINGS.index("pneumothorax") + 1],
    "kermany_pediatric": ("no_finding", "pneumonia", "bacterial_pneumonia", "viral_pneumonia"),
}
AGE_WORDS = r"year-old|child|pa?ediatric|adolescent|adult|boy|girl"
STATED = {  # words of a prompt that ask for a view, a sex or an age group; every finding of a caption is in its words
    "AP": r"\b(AP|PA)\b",
    "M": r"\b(man|woman|male|female|boy|girl)\b",
    **dict.fromkeys(AGE_GROUPS, AGE_WORDS),
}


def labels_of(rows: Iterable[Row]) -> tuple[str, ...]:
    """Everything that may be known of some images: `LABELS`, and the classes that they belong to."""
    return (*LABELS, *(name for name in class_names(rows) if name not in LABELS))


def targets(rows: Sequence[Row], labels: Sequence[str] = LABELS) -> Targets:
    """(N, L): what is known of each film; of an image with a class, beside the others of its source among `rows`."""
    classes: dict[str, set[str]] = {}
    for row in rows:
        if row.label:
            classes.setdefault(row.source, set()).add(row.label)
    return _table([_known(row, classes.get(row.source, ()) if row.label else ()) for row in rows], labels)


def class_places(rows: Sequence[Row], classes: Sequence[str]) -> NDArray[np.intp]:
    """(N,) the place in `classes` of each row's class; -1 where it is none of them, or the source tells no two apart.

    The classifier of a class that fills a whole source would be praised for knowing the hospital.
    """
    known = targets(rows, classes)
    is_told = (known == 1).any(axis=1) & ((~np.isnan(known)).sum(axis=1) > 1)
    return np.where(is_told, np.nan_to_num(known).argmax(axis=1), -1) if len(classes) else np.full(len(rows), -1)


def asked(rows: Sequence[Row], labels: Sequence[str] = LABELS) -> Targets:
    """(N, L): what each row's prompt asks for: as `targets`, less the view, sex and age that its words leave open."""
    known = targets(rows, labels)
    for place, label in enumerate(labels):
        if label in STATED:
            open_to_choice = [not re.search(STATED[label], row.prompt, re.IGNORECASE) for row in rows]
            known[open_to_choice, place] = np.nan
    return known


def taught(rows: Sequence[Row], min_cases: int) -> tuple[str, ...]:
    """The labels that at least `min_cases` rows have and as many are known to lack."""
    labels = labels_of(rows)
    known = targets(rows, labels)
    counts = np.minimum((known == 1).sum(axis=0), (known == 0).sum(axis=0))
    return tuple(label for label, count in zip(labels, counts, strict=True) if count >= min_cases)


def strata(rows: Sequence[Row]) -> NDArray[np.str_]:
    """(N,) the source of each row: scores are compared within one, else the hospital is judged and not the film."""
    return np.array([row.source for row in rows], dtype=np.str_)


def patients(rows: Sequence[Row]) -> NDArray[np.str_]:
    """(N,) the patient of each row, or its file where no patient is known: what a bootstrap draws."""
    return np.array([row.patient_id or row.path.name for row in rows], dtype=np.str_)


def _table(known: Sequence[dict[str, float]], labels: Sequence[str]) -> Targets:
    values = [[facts.get(label, np.nan) for label in labels] for facts in known]
    return np.array(values, dtype=np.float32).reshape(len(known), len(labels))


def _known(row: Row, classes: Collection[str]) -> dict[str, float]:
    negative = dict.fromkeys((*SEARCHED.get(row.source, ()), *row.absent), 0.0)
    facts = negative | dict.fromkeys(row.findings, 1.0)
    if row.view[:2] in ("AP", "PA"):
        facts["AP"] = float(row.view.startswith("AP"))
    if row.sex:
        facts["M"] = float(row.sex == "M")
    if row.age_group in AGE_GROUPS:
        facts |= {group: float(group == row.age_group) for group in AGE_GROUPS}
    if len(classes) > 1:
        facts |= dict.fromkeys(classes, 0.0) | {row.label: 1.0}
    return facts
