"""Explore a dataset: filter and search its rows, count what they hold, and export them as a table."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from xray_generator.data.health import HealthReport, Issue, to_json
from xray_generator.data.rows import FINDINGS, LOOSE_IMAGES, Row, finding_name
from xray_generator.data.rows import evenly as evenly  # as pages ask for rows
from xray_generator.data.tables import write_table
from xray_generator.types import normalize_text

MAX_QUERY_CHARACTERS = 300
FACTS = ("label", "split", "source", "view", "sex", "age_group")
NOT_KNOWN = "not known"
ALL = "(all)"  # the name of sums; in brackets, since a source may be called "all"
AGE_BIN = 10  # years


@dataclass(frozen=True, slots=True)
class Filters:
    """Conditions that a row must all meet: for each fact, one of the chosen values; () allows every value."""

    label: tuple[str, ...] = ()
    split: tuple[str, ...] = ()
    source: tuple[str, ...] = ()
    view: tuple[str, ...] = ()
    sex: tuple[str, ...] = ()
    age_group: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    all_findings: bool = False  # require every chosen finding instead of any
    ages: tuple[int, int] | None = None  # years, both ends included; excludes rows without an age
    has_report: bool | None = None
    query: str = ""  # see `compile_query`

    @property
    def count(self) -> int:
        """The number of active filters."""
        chosen = (*(getattr(self, name) for name in FACTS), self.findings, self.query.strip())
        return sum(map(bool, chosen)) + (self.ages is not None) + (self.has_report is not None)


def filter_rows(rows: Sequence[Row], filters: Filters) -> tuple[Row, ...]:
    """The rows that pass every filter, in their order."""
    patterns = compile_query(filters.query)
    return tuple(row for row in rows if _passes(row, filters) and _matches(row, patterns))


def _passes(row: Row, filters: Filters) -> bool:
    low, high = filters.ages or (0, 0)
    stated = [finding in row.findings for finding in filters.findings]
    return (
        all(fact(row, name) in chosen for name in FACTS if (chosen := getattr(filters, name)))
        and (not stated or (all(stated) if filters.all_findings else any(stated)))
        and (filters.ages is None or (row.age is not None and low <= row.age <= high))
        and (filters.has_report is None or bool(row.report.strip()) == filters.has_report)
    )


def _matches(row: Row, patterns: Sequence[re.Pattern[str]]) -> bool:
    text = f"{row.prompt}\n{row.report}".casefold()
    return all(pattern.search(text) for pattern in patterns)


def fact(row: Row, name: str) -> str:
    """The value of one of FACTS of a row; empty if not known, as the split of a loose image is."""
    return "" if name == "split" and row.source == LOOSE_IMAGES else str(getattr(row, name))


def known_facts(rows: Sequence[Row]) -> tuple[str, ...]:
    """Those of FACTS that are known of some row."""
    return tuple(name for name in FACTS if any(fact(row, name) for row in rows))


def compile_query(query: str) -> tuple[re.Pattern[str], ...]:
    """The patterns that a text must all match: each word as the beginning of a word, each quotation as whole words.

    `pneumo` finds pneumonia and pneumothorax; `male` does not find female. Case does not matter. An open quotation ends
    with the query.
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
    """SHA-256 of the rows and the modification times of their files (0 if missing): a cache key for measurements."""
    digest = hashlib.sha256()
    for row in rows:
        written = row.path.stat().st_mtime_ns if row.path.is_file() else 0
        digest.update(repr((row, written)).encode(errors="replace"))
    return digest.hexdigest()


def relative_name(path: Path, folder: Path) -> str:
    """The path of a file within its dataset, with forward slashes; the bare name of a file outside."""
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name


def to_csv(rows: Sequence[Row], folder: Path) -> str:
    """The rows as comma-separated text, file names within the dataset, findings separated by "|"."""
    header = _cells(Row(folder, "", ()), folder)
    has_classes = any(row.label for row in rows)  # a table with this column is read as one of classes
    names = [name for name in header if has_classes or name != "label"]
    return write_table(names, ([cells[name] for name in names] for cells in (_cells(row, folder) for row in rows)))


def _cells(row: Row, folder: Path) -> dict[str, object]:
    return {
        "image": relative_name(row.path, folder),
        "caption": row.prompt,
        "label": row.label,
        "labels": "|".join(row.findings),
        "absent": "|".join(row.absent),
        "view": row.view,
        "age": row.age,
        "sex": row.sex,
        "age_group": row.age_group,
        "split": fact(row, "split"),
        "patient_id": row.patient_id,
        "source": row.source,
        "license": row.license,
        "native_size": row.native_size or None,
        "report": row.report,
    }


def health_json(report: HealthReport, folder: Path) -> str:
    """A health report as JSON, file names within the dataset."""
    issues = tuple(
        Issue(issue.kind, issue.message, tuple(Path(relative_name(path, folder)) for path in issue.paths))
        for issue in report.issues
    )
    return to_json(HealthReport(report.num_images, issues))


def count_findings(rows: Sequence[Row]) -> pd.DataFrame:
    """Rows that state (present), deny (absent) or do not mention (unknown) each finding, most frequent first.

    One line a finding that some row states or denies; columns present, absent, unknown.
    """
    present = Counter(finding for row in rows for finding in row.findings)
    absent = Counter(finding for row in rows for finding in row.absent)
    counts = pd.DataFrame({"present": present, "absent": absent}, index=list(FINDINGS)).fillna(0).astype(int)
    counts["unknown"] = len(rows) - counts.present - counts.absent
    return counts[counts.unknown < len(rows)].sort_values("present", ascending=False, kind="stable")


def count_facts(rows: Sequence[Row], name: str) -> dict[str, int]:
    """Rows per value of one of FACTS, most frequent first, NOT_KNOWN last."""
    counts = Counter(fact(row, name) for row in rows)
    unknown = counts.pop("", 0)
    return dict(counts.most_common()) | ({NOT_KNOWN: unknown} if unknown else {})


def count_ages(rows: Sequence[Row]) -> dict[str, int]:
    """Rows per decade of age, empty decades between included, and NOT_KNOWN for rows without an age."""
    bins = Counter(row.age // AGE_BIN for row in rows if row.age is not None)
    ages = range(min(bins), max(bins) + 1) if bins else range(0)
    counts = {f"{i * AGE_BIN}–{i * AGE_BIN + AGE_BIN - 1}": bins[i] for i in ages}
    unknown = len(rows) - bins.total()
    return counts | ({NOT_KNOWN: unknown} if unknown else {})


def cross_count(rows: Sequence[Row], down: str, across: str) -> pd.DataFrame:
    """Rows per pair of values of two of FACTS, one down and one across, with sums in the last row and column, ALL."""
    facts = pd.DataFrame({name: [fact(row, name) or NOT_KNOWN for row in rows] for name in (down, across)})
    table = pd.crosstab(facts[down], facts[across], margins=True, margins_name=ALL)
    return table.reindex(index=[*count_facts(rows, down), ALL], columns=[*count_facts(rows, across), ALL])


def co_occurrence(rows: Sequence[Row], *, share: bool = False) -> pd.DataFrame:
    """Rows that state both findings; with `share`, divided by the rows that state the finding of the line.

    Findings are in words. `no_finding`, which excludes all others, and findings that no row states are left out.
    """
    names = [name for name in FINDINGS if name != "no_finding"]
    stated = pd.DataFrame([[name in row.findings for name in names] for row in rows], columns=names, dtype=int)
    stated = stated.loc[:, stated.any()].rename(columns=finding_name)
    both = pd.DataFrame(stated.to_numpy().T @ stated.to_numpy(), stated.columns, stated.columns)
    return both.div(stated.sum(), axis=0) if share else both


@dataclass(frozen=True, slots=True)
class Patients:
    """How the images are distributed over patients; a patient is an id within a source."""

    num_patients: int
    num_without_id: int  # images
    images_each: dict[int, int]  # number of images -> number of patients with so many
    median: float | None  # images of a patient
    most: int | None
    in_several_splits: int  # patients


def count_patients(rows: Sequence[Row]) -> Patients:
    """Count the patients and the images that each of them has."""
    known = [(row.source, row.patient_id, row.split) for row in rows if row.patient_id]
    patients = pd.DataFrame(known, columns=["source", "patient", "split"]).groupby(["source", "patient"])["split"]
    images = patients.size()
    return Patients(
        num_patients=len(images),
        num_without_id=len(rows) - len(known),
        images_each=images.value_counts().sort_index().to_dict(),
        median=float(images.median()) if known else None,
        most=int(images.max()) if known else None,
        in_several_splits=int((patients.nunique() > 1).sum()),
    )
