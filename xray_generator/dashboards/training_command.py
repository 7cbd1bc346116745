"""The command that trains a model on a dataset, with the configuration that fits what its rows say."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from xray_generator.config import config_names, read_config
from xray_generator.data.class_folders import class_id
from xray_generator.data.rows import Row, class_names

TEXT, CT, CLASSES = "chest_xray_256", "lung_ct_128", "blood_cells_224"  # the last takes whatever classes the data have
TABLES = ("--reports_csv", "--projections_csv")
LONGEST = 60  # letters of the folder in the run's name


def training_command(
    rows: Sequence[Row],
    folder: Path | str,
    tables: Sequence[Path] = (),
    drawn: Mapping[str, Sequence[str]] | None = None,
    *,
    is_quick: bool = False,
) -> str:
    """The command, on several lines; empty where the rows have neither a prompt nor a class.

    Args:
        rows: the dataset.
        folder: where it lies.
        tables: Indiana's reports and projections, where they must be named.
        drawn: name of each checkpoint here -> its classes: a configuration of that name fits data that have them.
        is_quick: the whole training work at tiny scale.
    """
    config = _choose_config(rows, drawn or {})
    if not config:
        return ""
    own = class_id(Path(folder).resolve().name)[:LONGEST].strip("_") or "data"
    parts = [f"python -m xray_generator.train --config {config} --dataset_path {shlex.quote(str(folder))}"]
    parts += [f"{option} {shlex.quote(str(table))}" for option, table in zip(TABLES, tables, strict=False)]
    settings = f"name=my_{own}{' labels=[]' * (config == CT and not class_names(rows))}"  # DICOM names no class
    parts.append(f"--output_dir outputs{' --quick_test' * is_quick} {settings}")
    return " \\\n    ".join(parts)


def _choose_config(rows: Sequence[Row], drawn: Mapping[str, Sequence[str]]) -> str:
    if any(row.hu_window for row in rows):
        return CT
    classes = set(class_names(rows))
    if not classes:
        return TEXT if any(row.prompt for row in rows) else ""
    known = {name: drawn.get(name) or read_config(name).get("labels") or () for name in config_names()}
    return next((name for name, labels in known.items() if labels and set(labels) <= classes), CLASSES)
