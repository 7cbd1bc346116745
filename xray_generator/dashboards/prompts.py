"""Conditions of rows in words, and how alike two rows are."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from xray_generator.data.rows import SEX_NAMES, SUBTYPES, Row, finding_name, row_conditions

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
NO_CLASSES: Mapping[str, str] = MappingProxyType({})


def is_of(row: Row, condition: str) -> bool:
    """Whether a row belongs to a condition; "" is any."""
    return not condition or condition in row_conditions(row)


def condition_title(condition: str, whole: str = "any", classes: Mapping[str, str] = NO_CLASSES) -> str:
    """A condition in words, such as "pleural effusion" or "male, child (under 13)"; `whole` for "".

    `classes`: class -> its title, see `data.naming.class_titles`.
    """
    words = (classes.get(part) or TITLES.get(part) or finding_name(part) for part in condition.split(", "))
    return ", ".join(words) or whole


def describe_row(row: Row, classes: Mapping[str, str] = NO_CLASSES) -> str:
    """Class, findings, view, sex and age of a row in one line; empty where none is known. `classes` as above."""
    age = f"{row.age} years" if row.age is not None else row.age_group.replace("_", " ")
    label = classes.get(row.label) or finding_name(row.label)
    words = (label, ", ".join(map(finding_name, row.findings)), row.view, SEX_NAMES.get(row.sex, ""), age)
    return " · ".join(filter(None, words))


def is_alike(row: Row, other: Row) -> bool:
    """Whether another row meets every condition that a row states, and has no further finding but a kind of it."""
    further = set(other.findings) - set(row.findings) - set(SUBTYPES)
    return set(row_conditions(row)) <= set(row_conditions(other)) and not (row.findings and further)


def similarity(some: Row, other: Row) -> float:
    """How much two rows share.

    10 for equal prompts, up to 4 for findings, 4 for the class, 1 each for age group, view, sex and age.
    """
    shared = len(set(some.findings) & set(other.findings)) / max(1, len(set(some.findings) | set(other.findings)))
    facts = sum(
        mine == theirs != ""
        for mine, theirs in ((some.age_group, other.age_group), (some.view[:2], other.view[:2]), (some.sex, other.sex))
    )
    years = 0.0 if some.age is None or other.age is None else 1 / (1 + abs(some.age - other.age) / 10)
    same_class = some.label == other.label != ""
    return 10.0 * (some.prompt == other.prompt) + 4 * shared + 4 * same_class + facts + years
