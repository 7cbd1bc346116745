"""Paraphrases of a row's caption, so that a model does not depend on the wording of one table."""

from __future__ import annotations

import hashlib
import random

from xray_generator.data.rows import AGE_GROUPS, SUBTYPES, Row, denied_findings, finding_name

MAX_AGE_SHIFT = 2  # years
KEPT = 0.75  # probability that a paraphrase names an attribute
FINDINGS_KEPT = 0.9
DENIAL_SHARE = 0.35  # of the paraphrases that deny findings which were looked for and are not there
MAX_DENIALS = 3
FILMS = ("chest X-ray", "chest radiograph", "frontal chest X-ray", "CXR", "chest film")
NORMAL_WORDS = (
    "normal",
    "no abnormality",
    "no finding",
    "clear lungs",
    "lungs are clear",
    "unremarkable",
    "no acute cardiopulmonary findings",
    "no acute disease",
)
SYNONYMS = {  # as people write them, beside `finding_name`; the report reader understands each
    "cardiomegaly": ("enlarged heart", "cardiac enlargement"),
    "pleural_effusion": ("effusion", "pleural effusions"),
    "pneumothorax": ("PTX",),
    "pneumonia": ("PNA",),
    "nodule": ("lung nodule", "pulmonary nodule"),
    "mass": ("lung mass",),
    "edema": ("pulmonary edema",),
    "fibrosis": ("pulmonary fibrosis", "fibrotic changes"),
    "infiltration": ("infiltrate", "lung infiltration", "infiltrates"),
    "airspace_opacity": ("airspace opacity", "opacity"),
    "atelectasis": ("atelectatic changes",),
}
DENIALS = ("no {}", "without {}", "no evidence of {}", "no sign of {}", "negative for {}", "{} absent")


def reword(row: Row, count: int) -> list[str]:
    """The caption and `count` - 1 paraphrases: attributes dropped or reordered, ages shifted by up to MAX_AGE_SHIFT.

    They depend on row and count alone. Findings are named all or not at all, so that no paraphrase is wrong. Some deny
    findings that were looked for and are not there, beside what is there or alone.
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
    film = chance.choice(FILMS)
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
    """What is there, what is not, or both; in some paraphrases of an image with a finding the denial alone."""
    denials = _denials(row, chance) if chance.random() < DENIAL_SHARE else []
    if row.findings == ("no_finding",):
        stated = [chance.choice(NORMAL_WORDS)]
    else:
        general = {"no_finding", *(["pneumonia"] if any(name in SUBTYPES for name in row.findings) else [])}
        names = [_name(finding, chance) for finding in row.findings if finding not in general]
        chance.shuffle(names)
        stated = [" and ".join(names) if len(names) < 3 else ", ".join(names)] if names else []
    if denials and chance.random() < 0.5:
        return ", ".join(denials)
    return ", ".join([*stated, *denials])


def _denials(row: Row, chance: random.Random) -> list[str]:
    general = {"no_finding", *SUBTYPES}  # of whom nobody says that they are absent
    names = [finding for finding in denied_findings(row) if finding not in general]
    chosen = chance.sample(names, min(len(names), chance.randint(1, MAX_DENIALS)))
    if len(chosen) > 1 and chance.random() < 0.5:
        return [f"no {' or '.join(_name(finding, chance) for finding in chosen)}"]
    return [chance.choice(DENIALS).format(_name(finding, chance)) for finding in chosen]


def _name(finding: str, chance: random.Random) -> str:
    names = (finding_name(finding), *SYNONYMS.get(finding, ()))
    return names[0] if chance.random() < 0.6 else chance.choice(names)
