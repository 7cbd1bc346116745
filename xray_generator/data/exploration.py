"""Look through a dataset: which rows a set of filters and a search leave, and these rows as a table.

What the rows hold is counted in `exploration_counts`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from xray_generator.data.health import HealthReport, Issue
from xray_generator.data.rows import Row
from xray_generator.data.rows import evenly as evenly  # as pages ask for rows
from xray_generator.data.tables import write_table
from xray_generator.types import normalize_text

MAX_QUERY_CHARACTERS = 300
LOOSE_IMAGES = "images without a table"  # the source of rows of which nothing but the image is known: no split either
FACTS = ("split", "source", "view", "sex", "age_group")
COLUMNS = (
    "image",
    "caption",
    "labels",
    "absent",
    "view",
    "age",
    "sex",
    "age_group",
    "split",
    "patient_id",
    "source",
    "license",
    "native_size",
    "report",
)


@dataclass(frozen=True, slots=True)
class Filters:
    """What a row must be: one of the values chosen for each fact, all facts together; nothing chosen allows all."""

    split: tuple[str, ...] = ()
    source: tuple[str, ...] = ()
    view: tuple[str, ...] = ()
    sex: tuple[str, ...] = ()
    age_group: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    all_findings: bool = False  # every chosen finding, not one of them
    ages: tuple[int, int] | None = None  # years, both ends included; a row without an age is then left out
    has_report: bool | None = None
    query: str = ""  # see `matcher`

    @property
    def count(self) -> int:
        """How many of them leave something out."""
        chosen = (*(getattr(self, name) for name in FACTS), self.findings, self.query.strip())
        return sum(map(bool, chosen)) + (self.ages is not None) + (self.has_report is not None)


def filter_rows(rows: Sequence[Row], filters: Filters) -> tuple[Row, ...]:
    """The rows that pass every filter, in their order."""
    patterns = matcher(filters.query)
    return tuple(row for row in rows if _passes(row, filters) and (not patterns or _matches(row, patterns)))


def fact(row: Row, name: str) -> str:
    """One of `FACTS` of a row; empty where it is not known."""
    return "" if name == "split" and row.source == LOOSE_IMAGES else str(getattr(row, name))


def matcher(query: str) -> tuple[re.Pattern[str], ...]:
    """What a text must hold, each somewhere: words by their beginnings, and what is quoted exactly as whole words.

    `pneumo` finds pneumonia and pneumothorax, `male` does not find female; case does not matter. A quote that is left
    open ends with the query.
    """
    text = normalize_text(re.sub("[“”„«»]", '"', query)[:MAX_QUERY_CHARACTERS]).casefold()
    patterns = []
    for place, part in enumerate(text.split('"')):
        if place % 2:
            phrase = r"\s+".join(map(re.escape, part.split()))
            patterns += [rf"(?<!\w){phrase}(?!\w)"] if phrase else []
        else:
            patterns += [rf"(?<!\w){re.escape(word)}" for word in part.split()]
    return tuple(map(re.compile, patterns))


def fingerprint(rows: Sequence[Row]) -> str:
    """A hash over the rows and the times at which their files were last written: a key for what was measured on them.

    A file that is gone counts as well.
    """
    digest = hashlib.sha256()
    for row in rows:
        written = row.path.stat().st_mtime_ns if row.path.is_file() else 0
        digest.update(repr((row, written)).encode(errors="replace"))
    return digest.hexdigest()


def relative_name(path: Path, folder: Path) -> str:
    """A file's name within its dataset, with forward slashes; the bare name of one that lies elsewhere."""
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name


def to_csv(rows: Sequence[Row], folder: Path) -> str:
    """The rows as a table, one line each, files named within the dataset; "|" stands between findings."""
    lines = (
        (
            relative_name(row.path, folder),
            row.prompt,
            "|".join(row.findings),
            "|".join(row.absent),
            row.view,
            row.age,
            row.sex,
            row.age_group,
            fact(row, "split"),
            row.patient_id,
            row.source,
            row.license,
            row.native_size or None,
            row.report,
        )
        for row in rows
    )
    return write_table(COLUMNS, lines)


def health_json(report: HealthReport, folder: Path) -> str:
    """A health report with files named within the dataset."""
    issues = tuple(
        Issue(issue.kind, issue.message, tuple(Path(relative_name(path, folder)) for path in issue.paths))
        for issue in report.issues
    )
    return TypeAdapter(HealthReport).dump_json(HealthReport(report.num_images, issues), indent=2).decode() + "\n"


def _passes(row: Row, filters: Filters) -> bool:
    for name in FACTS:
        allowed = getattr(filters, name)
        if allowed and fact(row, name) not in allowed:
            return False
    if filters.findings:
        stated = [finding in row.findings for finding in filters.findings]
        if not (all(stated) if filters.all_findings else any(stated)):
            return False
    if filters.ages is not None and (row.age is None or not filters.ages[0] <= row.age <= filters.ages[1]):
        return False
    return filters.has_report is None or bool(row.report.strip()) == filters.has_report


def _matches(row: Row, patterns: Sequence[re.Pattern[str]]) -> bool:
    text = f"{row.prompt}\n{row.report}".casefold()
    return all(pattern.search(text) for pattern in patterns)
