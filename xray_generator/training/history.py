"""What a run logged and drew while it trained, and a small copy of it that travels with the checkpoint.

A run keeps its folder, a checkpoint goes out alone: `<checkpoint>/history/<stage>/` holds the same files, thinned.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from PIL import Image as PILImage

from xray_generator.images import limit_pixels, read_image, to_uint8

HISTORY, LOG, PREVIEWS = "history", "log.jsonl", "previews"
MAX_LINES = 400  # of a stage's log, validation included
MAX_VALIDATIONS = 100
MAX_PREVIEWS = 10  # of a stage
MAX_BYTES = 900_000  # of all stages
PREVIEW_PIXELS = (200_000, 100_000, 50_000, 25_000)  # the first that fits
JPEG_QUALITY = 80
DIGITS = 6
LARGEST = sys.float_info.max

T = TypeVar("T")
LogRow = dict[str, float]  # "step", "time" (seconds since 1970) and what the stage measured, by its own names


@dataclass(frozen=True, slots=True)
class Series:
    """One logged value over the optimizer steps."""

    steps: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Stage:
    """The log and the preview grids of one stage of training."""

    name: str
    rows: tuple[LogRow, ...]  # in the order of the steps
    previews: dict[int, Path]  # step -> image

    @property
    def last_step(self) -> int:
        """The last step that was logged."""
        return int(self.rows[-1]["step"])

    def series(self) -> dict[str, Series]:
        """Each logged value by its name, at the steps where it was logged."""
        names = dict.fromkeys(name for row in self.rows for name in row if name not in ("step", "time"))
        found = {name: [(int(row["step"]), row[name]) for row in self.rows if name in row] for name in names}
        return {name: Series(*map(tuple, zip(*points, strict=True))) for name, points in found.items()}


def read_history(folder: Path) -> tuple[Stage, ...]:
    """The stages of a run's folder, or of a checkpoint's `history`, in the order of their training; none: no history.

    Lines that cannot be read are left out; so are those that a resumed run has overtaken.
    """
    stages = (read_stage(path.parent) for path in sorted(folder.glob(f"*/{LOG}")))
    return tuple(sorted((stage for stage in stages if stage.rows), key=lambda stage: stage.rows[0].get("time", 0)))


def fullest_history(*folders: Path) -> tuple[Path, tuple[Stage, ...]]:
    """The history that reaches furthest, then the one with the most lines and previews; the first of equal ones."""
    found = [(folder, read_history(folder)) for folder in folders]
    return max(found, key=lambda pair: _extent(pair[1]))


def export_history(run: Path, checkpoint: Path) -> None:
    """Write the thinned logs and previews of a run's stages into `<checkpoint>/history/`: under 1 MB in all."""
    stages = read_history(run)
    for stage in stages:
        folder = checkpoint / HISTORY / stage.name
        (folder / PREVIEWS).mkdir(parents=True, exist_ok=True)
        text = "".join(json.dumps(_rounded(row)) + "\n" for row in _thin_rows(stage.rows))
        (folder / LOG).write_text(text, encoding="utf-8")
        steps = thin(sorted(stage.previews), MAX_PREVIEWS)
        images = _encode([stage.previews[step] for step in steps], MAX_BYTES // len(stages) - len(text))
        for step, data in zip(steps, images, strict=True):
            (folder / PREVIEWS / f"step-{step:08d}.jpg").write_bytes(data)


def cut_log(path: Path, step: int) -> None:
    """Leave out of a stage's log what came after a step, from which the run goes on; and lines that cannot be read."""
    if not path.is_file():
        return
    text = path.read_text(errors="replace", encoding="utf-8")
    kept = [line for line in text.split("\n") if (row := _parse(line)) is not None and row["step"] <= step]
    if (cut := "".join(f"{line}\n" for line in kept)) != text:
        staged = path.with_name(f".tmp-{path.name}")
        staged.write_text(cut, encoding="utf-8")
        staged.replace(path)


def thin(items: Sequence[T], most: int) -> list[T]:
    """At most `most` (two or more) of the items, evenly spread, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    return [items[round(i * (len(items) - 1) / (most - 1))] for i in range(most)]


def read_stage(folder: Path) -> Stage:
    """The log and the previews of one stage; OSError where it has no log."""
    rows: list[LogRow] = []
    for line in (folder / LOG).read_text(errors="replace", encoding="utf-8").splitlines():
        row = _parse(line)
        if row is None:
            continue
        while rows and _is_overtaken(rows[-1], row):
            rows.pop()
        rows.append(row)
    return Stage(folder.name, tuple(rows), _previews(folder / PREVIEWS))


def _is_overtaken(earlier: LogRow, row: LogRow) -> bool:
    """Whether the run was stopped after `earlier` was logged, and resumed from a state before it."""
    measured = earlier.keys() & row.keys() - {"step", "time"}
    return earlier["step"] > row["step"] or (earlier["step"] == row["step"] and (bool(measured) or "loss" in row))


def _parse(line: str) -> LogRow | None:
    """The finite numbers of a line; None where it is cut short or has no step."""
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict) or not isinstance(data.get("step"), int):
        return None
    row = {str(k): v for k, v in data.items() if isinstance(v, int | float) and abs(v) <= LARGEST}
    return row if "step" in row else None


def _previews(folder: Path) -> dict[int, Path]:
    paths = sorted(path for path in folder.glob("step-*") if path.suffix in (".png", ".jpg"))
    return {int(number): path for path in paths if (number := path.stem.removeprefix("step-")).isdecimal()}


def _extent(stages: Sequence[Stage]) -> tuple[int, int]:
    """Steps of all stages, and lines and previews of all."""
    return sum(stage.last_step for stage in stages), sum(len(stage.rows) + len(stage.previews) for stage in stages)


def _thin_rows(rows: Sequence[LogRow]) -> list[LogRow]:
    validations = thin([row for row in rows if "loss" not in row], MAX_VALIDATIONS)
    training = thin([row for row in rows if "loss" in row], MAX_LINES - len(validations))
    return sorted([*training, *validations], key=lambda row: row["step"])


def _rounded(row: LogRow) -> LogRow:
    kept = ("step", "time")
    return {k: v if k in kept or isinstance(v, int) else float(f"{v:.{DIGITS}g}") for k, v in row.items()}


def _encode(paths: Sequence[Path], budget: int) -> list[bytes]:
    """JPEGs of the images, as large as `budget` bytes allow."""
    encoded: list[bytes] = []
    for pixels in PREVIEW_PIXELS:
        encoded = [_jpeg(path, pixels) for path in paths]
        if sum(map(len, encoded)) <= budget:
            break
    return encoded


def _jpeg(path: Path, max_pixels: int) -> bytes:
    buffer = io.BytesIO()
    image = to_uint8(limit_pixels(read_image(path), max_pixels))
    PILImage.fromarray(image).save(buffer, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return buffer.getvalue()
