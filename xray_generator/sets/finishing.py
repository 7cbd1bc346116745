"""Finish a set whose images are all there: tables, formats, a card, Croissant metadata, and a manifest of hashes.

What is written depends on the images alone, and takes the place of what an earlier finish wrote.
"""

from __future__ import annotations

import csv
import hashlib
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from xray_generator.checkpoints import code_commit, seal, sha256
from xray_generator.config import dump
from xray_generator.data.tables import safe_cell
from xray_generator.export.files import write_file, write_json
from xray_generator.export.recipe import read_recipe
from xray_generator.folders import staged
from xray_generator.sets.card import describe_set
from xray_generator.sets.columns import COLUMNS, Entry
from xray_generator.sets.croissant import CROISSANT, croissant
from xray_generator.sets.formats import Format, Outputs
from xray_generator.sets.plan import Series
from xray_generator.sets.summary import Summary
from xray_generator.sets.writing import OPENING, Opening, find_file, read_made
from xray_generator.types import NOTICE, StudioError

LABELS, MANIFEST, CARD = "labels.csv", "manifest.json", "README.md"
TABLES, LOCK = "tables", ".lock"  # a folder that is filled aside; a file while somebody finishes

UNFINISHED = re.compile(r"\..+\.\d+-\d+")  # as `write_file` names them


def finish(folder: Path, series: Series, opening: Opening, formats: Sequence[Format] = ()) -> Summary | None:
    """Write all that describes a complete set; None where another process does so now.

    Raises:
        StudioError: an image is missing or damaged, or the folder cannot be written to.
    """
    try:
        with FileLock(folder / LOCK, timeout=0):
            summary = _finish(folder, series, opening, formats)
            (folder / LOCK).unlink(missing_ok=True)
            return summary
    except Timeout:
        return None


def _sweep(folder: Path) -> None:
    """Remove what processes that were killed while they wrote a file left beside it."""
    for path in folder.rglob(".*"):
        if UNFINISHED.fullmatch(path.name):
            path.unlink(missing_ok=True)


def _finish(folder: Path, series: Series, opening: Opening, formats: Sequence[Format]) -> Summary:
    summary = Summary()
    with staged(folder / TABLES) as place:
        with (
            (place / LABELS).open("w", newline="", encoding="utf-8") as text,
            Outputs(place, formats, series.labels) as outputs,
        ):
            table = csv.writer(text, lineterminator="\n")
            table.writerow(COLUMNS)
            for entry, png in _read(folder, series, summary):
                table.writerow(map(safe_cell, entry.cells()))
                outputs.add(entry, png)
        if not summary.num_images:
            raise StudioError(f"No image of {series.plan.name} passed the gate, so there is no set. {_advise(summary)}")
    _sweep(folder)  # not before: while an image is missing, somebody may be writing it
    # each file takes its place whole; the manifest, which names them all, comes last
    files = _put_in_place(folder / TABLES, folder)
    write_file(folder / CARD, describe_set(series, opening, summary, formats).encode())
    write_json(folder / CROISSANT, croissant(series, summary, sha256(folder / LABELS)))
    hashes = {name: sha256(folder / name) for name in sorted([*files, CARD, CROISSANT, OPENING])}
    write_json(folder / MANIFEST, seal(_facts(opening, summary) | {"files": hashes}))
    return summary


def _read(folder: Path, series: Series, summary: Summary) -> Iterator[tuple[Entry, bytes]]:
    """Each image of the set with its line; one at a time is in memory."""
    for index in range(len(series)):
        item = series.item(index)
        if (path := find_file(folder, item)) is None:
            raise StudioError(f"Image {index:,} of {len(series):,} is not made yet. Run the shards that are missing.")
        data = path.read_bytes()
        try:
            made, recipe = read_made(data), read_recipe(data)
        except StudioError as error:
            raise StudioError(f"{path} is damaged: {error} Remove it and run its shard again.") from None
        is_kept = path == folder / item.path
        summary.add(series, item, made, recipe, is_kept=is_kept)
        if is_kept:
            yield Entry.of(item, made, recipe, hashlib.sha256(data).hexdigest()), data


def _put_in_place(source: Path, folder: Path) -> list[str]:
    """Move every file of a folder to the same place in another; the files' names."""
    names = sorted(path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file())
    for kind in ("parquet", "webdataset"):  # of an earlier finish, perhaps with more files
        shutil.rmtree(folder / kind, ignore_errors=True)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).replace(folder / name)
    shutil.rmtree(source)
    return names


def _advise(summary: Summary) -> str:
    reason, count = summary.reasons.most_common(1)[0]
    return f"The most frequent reason of {summary.draws:,} draws: {reason} ({count:,})."


def _facts(opening: Opening, summary: Summary) -> dict[str, Any]:
    return {
        "name": opening.plan.name,
        "synthetic": True,
        "notice": NOTICE,
        "checkpoint": dump(opening.checkpoint),
        "upscaler": dump(opening.upscaler) if opening.upscaler else None,
        "yardsticks": dump(opening.yardsticks),
        "images": summary.num_images,
        "left_out": summary.left_out,
        "splits": dict(sorted(summary.splits.items())),
        "labels": {
            name: {"asked": count, "images": summary.kept[name]} for name, count in sorted(summary.asked.items())
        },
        "draws": summary.draws,
        "refused": dict(sorted(summary.reasons.items())),
        "judged": summary.judged,
        "agreeing": summary.agreeing,
        "marked_as_copies": summary.marked_copies if opening.yardsticks.space else None,
        "runtimes": [summary.runtimes[key] for key in sorted(summary.runtimes)],
        "commit": code_commit(),
    }
