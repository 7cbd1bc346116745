"""What an evaluation left on disk for a record: its figures, and all of it in one ZIP."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

from xray_generator.dashboards.board import Entry
from xray_generator.evaluation.summary import SUMMARY, summarize


def stored_figures(entry: Entry, figure_dir: Path) -> dict[str, Path]:
    """Name -> PNG of the figures that were kept with a record; none where its name would leave the folder."""
    if Path(entry.record.name).name != entry.record.name:
        return {}
    return {path.stem: path for path in sorted((figure_dir / entry.record.name).glob("*.png"))}


def zip_record(entry: Entry, figures: Mapping[str, Path]) -> bytes:
    """The record, its summary in plain words and its figures; a file that is gone by now is left out."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(SUMMARY, summarize(entry.record))
        for name, path in {
            entry.path.name: entry.path,
            **{f"{key}.png": path for key, path in figures.items()},
        }.items():
            if path.is_file():
                archive.write(path, name)
    return buffer.getvalue()
