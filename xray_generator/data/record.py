"""The record of a run's training data, stored in its folder, so that it is resumed with the same data only."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from xray_generator.config import dump, parse, read_config
from xray_generator.data.ct_series import CtOptions
from xray_generator.data.rows import Dataset
from xray_generator.types import StudioError

RECORD = "dataset.json"


@dataclass(frozen=True, slots=True)
class DataRecord:
    """Where a dataset was read from, and a fingerprint of its rows."""

    dataset_path: Path
    reports_csv: Path | None
    projections_csv: Path | None
    num_rows: int
    fingerprint: str  # SHA-256 over file, split, prompt, class and window of every row, in order
    ct: CtOptions | None = None  # how DICOM files were read; None if there were none


def record_of(
    dataset: Dataset, dataset_path: Path, reports: Path | None, projections: Path | None, ct: CtOptions | None = None
) -> DataRecord:
    """The record of a dataset read from these paths; moving the folder does not change the fingerprint."""
    sha = hashlib.sha256()
    for row in dataset.rows:
        facts = [row.path.parent.name, row.path.name, row.split, row.prompt, *filter(None, [row.label])]
        if row.hu_window is not None:
            facts += [str(row.hu_window.level), str(row.hu_window.width)]
        sha.update(json.dumps(facts).encode())
    used = ct if any(row.hu_window for row in dataset.rows) else None
    return DataRecord(dataset_path, reports, projections, len(dataset.rows), sha.hexdigest(), used)


def read_record(run: Path) -> DataRecord | None:
    """The record of a run; None if it has none. StudioError if it is damaged."""
    path = run / RECORD
    return parse(DataRecord, read_config(str(path))) if path.is_file() else None


def check_record(run: Path, record: DataRecord) -> None:
    """Compare a dataset with the record of a run, if it has one.

    Raises:
        StudioError: rows, splits or captions differ, or their order.
    """
    kept = read_record(run)
    if kept is not None and kept.fingerprint != record.fingerprint:
        raise StudioError(
            f"{run} was begun with other data: its {kept.num_rows:,} rows of {kept.dataset_path} are not the "
            f"{record.num_rows:,} rows of {record.dataset_path} (files, splits, captions or their order differ). "
            "Resume it with its own data, or start another run with name=NAME."
        )


def write_record(run: Path, record: DataRecord) -> None:
    """Write the record into the folder of a run."""
    staged = run / f".tmp-{RECORD}"
    staged.write_text(json.dumps(dump(record), indent=1) + "\n", encoding="utf-8")
    staged.replace(run / RECORD)
