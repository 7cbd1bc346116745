"""The labels that a prompt states, so that generated images are sorted into the same conditions as real ones."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from xray_generator.data.report import read_findings
from xray_generator.data.rows import AGE_GROUPS, Row, finding_name, row_conditions
from xray_generator.data.vocabulary import AGE

PA, AP, SUPINE = r"\bPA\b|postero-?anterior", r"\bAP\b|(?<!o)\bantero-?posterior", r"\bsupine\b"
MALE, FEMALE = r"\b(?:male|man|boy|gentleman)\b", r"\b(?:female|woman|girl|lady)\b"
YOUNG = {  # words of an age group, for prompts without years; "boy" and "girl" may be child or adolescent
    "child": r"\b(?:child(?:ren)?|p(?:a)?ediatric|infant|baby|newborn|toddler)\b",
    "adolescent": r"\b(?:adolescent|teenager?|teenage)\b",
    "older_adult": r"\b(?:elderly|older adult)\b",
    "adult": r"\badult\b",
}
TITLES = {
    "AP": "AP view",
    "PA": "PA view",
    "M": "male",
    "F": "female",
    "child": "child (under 13)",
    "adolescent": "adolescent (13 to 17)",
    "adult": "adult (18 to 64)",
    "older_adult": "older adult (65 and over)",
}


def row_of_prompt(prompt: str, path: Path = Path()) -> Row:
    """The row of an image generated from a prompt: the labels that its words state; anything else stays unknown.

    "Frontal" gives no view: it may be AP or PA.
    """
    age = _age(prompt)
    present = read_findings(prompt)
    return Row(
        path,
        prompt,
        present.present,
        present.absent,
        view=_view(prompt),
        age=age,
        sex=_sex(prompt),
        age_group=_age_group(prompt, age),
    )


def is_of(row: Row, condition: str) -> bool:
    """Whether a row belongs to a condition; "" is any."""
    return not condition or condition in row_conditions(row)


def condition_title(condition: str, whole: str = "any") -> str:
    """A condition in words, such as "pleural effusion" or "male, child (under 13)"; `whole` for ""."""
    return ", ".join(TITLES.get(part) or finding_name(part) for part in condition.split(", ")) or whole


def similarity(some: Row, other: Row) -> float:
    """How much two rows share: 10 for equal prompts, up to 4 for findings, 1 each for age group, view, sex and age."""
    shared = len(set(some.findings) & set(other.findings)) / max(1, len(set(some.findings) | set(other.findings)))
    facts = sum(
        mine == theirs != ""
        for mine, theirs in ((some.age_group, other.age_group), (some.view[:2], other.view[:2]), (some.sex, other.sex))
    )
    years = 0.0 if some.age is None or other.age is None else 1 / (1 + abs(some.age - other.age) / 10)
    return 10.0 * (some.prompt == other.prompt) + 4 * shared + facts + years


def _has(pattern: str, prompt: str) -> bool:
    return re.search(pattern, prompt, re.IGNORECASE) is not None


def _view(prompt: str) -> str:
    front, back = _has(AP, prompt), _has(PA, prompt)
    if front == back:
        return ""
    return "PA" if back else "AP Supine" if _has(SUPINE, prompt) else "AP"


def _sex(prompt: str) -> Literal["M", "F", ""]:
    male, female = _has(MALE, prompt), _has(FEMALE, prompt)
    return "" if male == female else "M" if male else "F"


def _age(prompt: str) -> int | None:
    found = AGE.search(prompt)
    return int(found[1]) if found and int(found[1]) <= 120 else None


def _age_group(prompt: str, age: int | None) -> str:
    if age is not None:
        return next(name for name, (_, last) in AGE_GROUPS.items() if age <= last or name == "older_adult")
    return next((name for name, words in YOUNG.items() if _has(words, prompt)), "")
