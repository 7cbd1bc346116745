"""Paraphrases of a row's caption, so that a model does not depend on the wording of one table."""

from __future__ import annotations

import hashlib
import random

from xray_generator.data.rows import AGE_GROUPS, Row, finding_name

MAX_AGE_SHIFT = 2  # years
KEPT = 0.75  # probability that a paraphrase names an attribute
FINDINGS_KEPT = 0.9


def reword(row: Row, count: int) -> list[str]:
    """The caption and `count` - 1 paraphrases: attributes dropped or reordered, ages shifted by up to MAX_AGE_SHIFT.

    They depend on row and count alone. Findings are named all or not at all, so that no paraphrase is wrong.
    """
    chance = random.Random(hashlib.sha256(row.prompt.encode()).digest())  # noqa: S311 - wording, not a secret
    return [row.prompt, *(_wording(row, chance) for _ in range(count - 1))]


def describe_patient(row: Row) -> str:
    """A caption of view, age and sex that leaves open what the image shows: "PA chest X-ray of a 58-year-old woman"."""
    film = f"{view_word(row.view)} chest X-ray".strip()
    subject = describe_subject(row.age, row.sex, row.age_group)
    text = f"{film} of {subject}" if subject else film
    return text[0].upper() + text[1:]


def view_word(view: str) -> str:
    """A view inside a sentence: "PA", "frontal"."""
    return view if view.isupper() or " " in view else view.lower()


def describe_subject(age: int | None, sex: str, age_group: str) -> str:
    """The patient: "a 58-year-old woman", "a child"; empty where neither age, sex nor childhood is known."""
    young = age < 18 if age is not None else age_group in ("child", "adolescent")
    if age is None:
        if young and sex:
            return "a boy" if sex == "M" else "a girl"
        return {"M": "a male patient", "F": "a female patient"}.get(sex, "a child" if age_group == "child" else "")
    person = {"M": "boy" if young else "man", "F": "girl" if young else "woman"}.get(
        sex, "child" if age < 13 else "patient"
    )
    article = "an" if age in (8, 11, 18) or 80 <= age < 90 else "a"
    return f"{article} {age}-year-old {person}"


def _wording(row: Row, chance: random.Random) -> str:
    film = chance.choice(("chest X-ray", "chest radiograph", "frontal chest X-ray", "CXR"))
    described = ((_patient(row, chance), KEPT), (_findings(row, chance), FINDINGS_KEPT))
    parts = [part for part, share in described if part and chance.random() < share]
    chance.shuffle(parts)
    if row.view and chance.random() < KEPT:
        head = chance.choice((f"{row.view} {film}", f"{film}, {row.view} view"))
    else:
        head = film
    text = ", ".join([head, *parts] if chance.random() < KEPT else [*parts, head])
    return text[0].upper() + text[1:]


def _patient(row: Row, chance: random.Random) -> str:
    group = row.age_group.replace("_", " ")
    if row.age is None:
        sex = {"M": "male", "F": "female", "": ""}[row.sex]
        return " ".join(word for word in (sex, {"child": "pediatric"}.get(group, group), "patient") if word)
    low, high = next(span for span in AGE_GROUPS.values() if span[0] <= row.age <= span[1])
    age = min(max(row.age + chance.randint(-MAX_AGE_SHIFT, MAX_AGE_SHIFT), low), high)
    is_minor = age < 18
    noun = {"M": "boy" if is_minor else "man", "F": "girl" if is_minor else "woman", "": "patient"}[row.sex]
    words = {"older_adult": f"elderly {noun}", "adolescent": f"adolescent {noun}"}.get(row.age_group, noun)
    return words if chance.random() > KEPT else f"{age}-year-old {noun}"


def _findings(row: Row, chance: random.Random) -> str:
    if row.findings == ("no_finding",):
        return chance.choice(("normal", "no abnormality", "no finding", "clear lungs", "unremarkable"))
    general = {"no_finding", *(["pneumonia"] if any("_pneumonia" in finding for finding in row.findings) else [])}
    names = [finding_name(finding) for finding in row.findings if finding not in general]
    chance.shuffle(names)
    return " and ".join(names) if len(names) < 3 else ", ".join(names)
