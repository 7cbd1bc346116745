"""The Indiana University collection: reports and projections as CSV files, merged on uid.

Layout: `images/images_normalized/`, `indiana_reports.csv` (uid, findings, impression and more) and
`indiana_projections.csv` (uid, filename, projection). Demner-Fushman et al., Preparing a collection of radiology
examinations for distribution and retrieval, JAMIA 23(2):304-310, 2016: 7,470 images of 3,955 reports. A uid is one
examination of one patient, so splitting by uid splits by patient. Findings are extracted from the report text.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from xray_generator.data.files import Finder
from xray_generator.data.report import clean_text, read_findings
from xray_generator.data.rows import Dataset, Row, short_side, split_by_patient
from xray_generator.data.tables import Line, count_reasons, describe_blanks, read_table
from xray_generator.types import MAX_PROMPT_CHARACTERS, StudioError

REPORT_COLUMNS = ("uid", "findings", "impression")
PROJECTION_COLUMNS = ("uid", "filename", "projection")
SOURCE = "indiana_university"


def read_indiana(images: Path, reports_csv: Path, projections_csv: Path) -> Dataset:
    """Read the frontal views whose report has both findings and impression; the others are counted by reason.

    Raises:
        StudioError: a fault in a table (named with its line), or not one image left.
    """
    left_out: dict[str, list[str]] = defaultdict(list)  # reason -> files or uids
    reports: dict[str, Line] = {}
    told, projections = read_table(reports_csv, REPORT_COLUMNS), read_table(projections_csv, PROJECTION_COLUMNS)
    for report in told:
        uid = report.identifier("uid")
        if reports.setdefault(uid, report) is not report:
            left_out["reports repeat a uid (the first is used)"].append(uid)
    rows: dict[Path, Row] = {}
    finder = Finder(images)
    for line in projections:
        uid, name = line.identifier("uid"), line["filename"]
        if line["projection"].lower() != "frontal":
            left_out["views are not frontal"].append(name)
        elif uid not in reports:
            left_out["frontal views have no report; uid"].append(uid)
        elif not (clean_text(reports[uid].fact("findings")) and clean_text(reports[uid].fact("impression"))):
            left_out["frontal views have no findings or no impression; uid"].append(uid)
        elif (path := finder.find(name)) is None:
            left_out["image files are missing"].append(name or f"line {line.number}")
        elif path in rows:
            left_out["projections repeat a file"].append(name)
        else:
            rows[path] = _to_row(path, reports[uid])
    projected = {line.identifier("uid") for line in projections}
    left_out["reports have no projection; uid"] = [uid for uid in reports if uid not in projected]
    left_out["names differ in capitals from their file"] = finder.other_case
    skipped = (*count_reasons(left_out), *describe_blanks(told), *describe_blanks(projections))
    if not rows:
        raise StudioError(f"No frontal image with a full report was found in {images.name}. {'; '.join(skipped)}")
    return Dataset(tuple(rows.values()), skipped)


def _to_row(path: Path, report: Line) -> Row:
    findings, impression = clean_text(report["findings"]), clean_text(report["impression"])
    text = f"FINDINGS: {findings} IMPRESSION: {impression}"
    read = read_findings(text)
    return Row(
        path=path,
        prompt=_prompt(impression, findings),
        findings=read.present,
        absent=read.absent,
        patient_id=report.identifier("uid"),
        split=split_by_patient(report.identifier("uid")),
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
