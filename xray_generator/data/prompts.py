"""What a prompt states of a chest film: view, age, sex, findings present and denied.

The same reading conditions the text-to-X-ray model, in training and in use, and sorts generated images into the
conditions of real ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from xray_generator.data.report import PATTERNS, expand_abbreviations, read_findings
from xray_generator.data.rows import AGE_GROUPS, SEX_NAMES, Row, finding_name
from xray_generator.types import ClassLabel, Condition, TextPrompt

PA, AP, SUPINE = r"\bPA\b|postero-?anterior", r"\bAP\b|(?<!o)\bantero-?posterior", r"\bsupine\b"
INITIAL_OF = r"\b\d{1,3} ?(?-i:%s)\b"  # "60F"
MALE = rf"\b(?:male|man|boy|gentleman)\b|{INITIAL_OF % 'M'}"
FEMALE = rf"\b(?:female|woman|girl|lady)\b|{INITIAL_OF % 'F'}"
YOUNG = {  # words of an age group, for prompts without years; "boy" and "girl" may be child or adolescent
    "child": r"\b(?:child(?:ren)?|p(?:a)?ediatric|infant|baby|newborn|toddler)\b",
    "adolescent": r"\b(?:adolescent|teenager?|teenage)\b",
    "older_adult": r"\b(?:elderly|older adult)\b",
    "adult": r"\badult\b",
}
AGE = re.compile(
    r"\b(?P<years>\d{1,3})[- ]?(?:years?|yrs?)[- ]olds?\b|\b(?P<short>\d{1,3})[- ]?(?:y/?o|yr)\b"
    r"|\baged? (?P<aged>\d{1,3})\b|\b(?P<initial>\d{1,3}) ?(?=(?-i:[MF])\b)"
    r"|\b(?P<infant>\d{1,2})[- ](?:months?|weeks?|days?)[- ]old\b",
    re.IGNORECASE,
)
MAX_AGE = 120


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


def row_of_condition(condition: Condition, path: Path = Path()) -> Row:
    """The row of an image generated for a condition: the labels that its prompt states, or its class."""
    if isinstance(condition, TextPrompt):
        return row_of_prompt(condition.text, path)
    return Row(path, "", (), label=condition.label if isinstance(condition, ClassLabel) else "")


def describe_reading(row: Row) -> str:
    """What was read from a prompt, in words: "PA · 58 years · female · cardiomegaly · no pleural effusion"."""
    age = f"{row.age} years" if row.age is not None else row.age_group.replace("_", " ")
    named = ("normal" if finding == "no_finding" else finding_name(finding) for finding in row.findings)
    denied = (f"no {finding_name(finding)}" for finding in row.absent)
    return " · ".join(part for part in (row.view, age, SEX_NAMES.get(row.sex, ""), *named, *denied) if part)


def unread_text(prompt: str, findings: Iterable[str]) -> str:
    """What is left of a prompt without the words that `row_of_prompt` understands, of `findings` among others.

    Abbreviations are spelled out first.
    """
    words = (rf"\b(?:{PATTERNS[name]})\b" for name in findings if name in PATTERNS)
    known = (MALE, FEMALE, AGE.pattern, PA, AP, SUPINE, *YOUNG.values(), *words)
    return re.sub("|".join(_anonymous(one) for one in known), " ", expand_abbreviations(prompt), flags=re.IGNORECASE)


def _anonymous(pattern: str) -> str:
    return re.sub(r"\?P<\w+>", "?:", pattern)


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
    if found is None:
        return None
    age = 0 if found["infant"] else int(next(text for text in found.groups() if text))
    return age if age <= MAX_AGE else None


def _age_group(prompt: str, age: int | None) -> str:
    if age is not None:
        return next(name for name, (_, last) in AGE_GROUPS.items() if age <= last or name == "older_adult")
    return next((name for name, words in YOUNG.items() if _has(words, prompt)), "")
