"""The Indiana University collection: reports and projections as CSV files, merged on uid.

Layout: `images/images_normalized/`, `indiana_reports.csv` (uid, findings, impression and more) and
`indiana_projections.csv` (uid, filename, projection). Demner-Fushman et al., Preparing a collection of radiology
examinations for distribution and retrieval, JAMIA 23(2):304-310, 2016: 7,470 images of 3,955 reports. A uid is one
examination of one patient, so splitting by uid splits by patient. Findings are extracted from the report text.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from xray_generator.data.report import clean_text, read_findings
from xray_generator.data.rows import Dataset, Row, short_side, split_by_patient
from xray_generator.data.tables import Record, counted, read_table
from xray_generator.types import MAX_PROMPT_CHARACTERS, StudioError

REPORT_COLUMNS = ("uid", "findings", "impression")
PROJECTION_COLUMNS = ("uid", "filename", "projection")
SOURCE = "indiana_university"


def read_indiana(images: Path, reports_csv: Path, projections_csv: Path) -> Dataset:
    """Read the frontal views whose report has both findings and impression; the others are counted, by reason.

    Raises:
        StudioError: a fault in a table (named with its line), or not one image left.
    """
    reports, repeated = _by_uid(read_table(reports_csv, REPORT_COLUMNS))
    projections = read_table(projections_csv, PROJECTION_COLUMNS)
    frontal = [record for record in projections if record["projection"].lower() == "frontal"]
    complete = {
        uid for uid, report in reports.items() if clean_text(report["findings"]) and clean_text(report["impression"])
    }
    projected = {record["uid"] for record in projections}
    rows: dict[str, Row] = {}
    missing, incomplete, unreported, twice = [], [], [], []
    for record in frontal:
        uid, name = record["uid"], record["filename"]
        if uid not in reports:
            unreported.append(uid)
        elif uid not in complete:
            incomplete.append(uid)
        elif name in rows:
            twice.append(name)
        elif not name or Path(name).name != name or not (images / name).is_file():
            missing.append(name or f"line {record.line}")
        else:
            rows[name] = _row(images / name, reports[uid])
    skipped = (
        *counted("image files are missing", missing),
        *counted("frontal views have no findings or no impression; uid", incomplete),
        *counted("frontal views have no report; uid", unreported),
        *counted("reports have no projection; uid", [uid for uid in reports if uid not in projected]),
        *counted("reports repeat a uid (the first is used)", repeated),
        *counted("projections repeat a file", twice),
        *counted("views are not frontal", [r["filename"] for r in projections if r["projection"].lower() != "frontal"]),
    )
    if not rows:
        raise StudioError(f"No frontal image with a full report was found in {images.name}. {'; '.join(skipped)}")
    return Dataset(tuple(rows.values()), skipped)


def _by_uid(records: Sequence[Record]) -> tuple[dict[str, Record], list[str]]:
    reports: dict[str, Record] = {}
    repeated = []
    for record in records:
        if record["uid"] in reports:
            repeated.append(record["uid"])
        else:
            reports[record["uid"]] = record
    return reports, repeated


def _row(path: Path, report: Record) -> Row:
    findings, impression = clean_text(report["findings"]), clean_text(report["impression"])
    text = f"FINDINGS: {findings} IMPRESSION: {impression}"
    read = read_findings(text)
    return Row(
        path=path,
        prompt=_prompt(impression, findings),
        findings=read.present,
        absent=read.absent,
        patient_id=report["uid"],
        split=split_by_patient(report["uid"]),
        source=SOURCE,
        report=text,
        native_size=short_side(path),
    )


def _prompt(impression: str, findings: str) -> str:
    """Impression, then findings (encoders truncate the end), in whole sentences within MAX_PROMPT_CHARACTERS."""
    text = f"{impression.rstrip('.')}. {findings}"
    if len(text) <= MAX_PROMPT_CHARACTERS:
        return text
    cut = text[:MAX_PROMPT_CHARACTERS]
    return cut[: cut.rfind(".") + 1] or cut
