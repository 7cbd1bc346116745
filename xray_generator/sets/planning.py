"""Plan a balanced set: every combination of some facts or classes, and how many images each lacks beside real ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import product

from xray_generator.checkpoints import Manifest
from xray_generator.config import parse
from xray_generator.data.rows import Row
from xray_generator.registry import reads_prompts
from xray_generator.sets.plan import Cell
from xray_generator.types import StudioError

TOGETHER = "+"  # between findings of one image: "cardiomegaly+edema"


def fact_cells(
    findings: Sequence[str], views: Sequence[str] = (), age_groups: Sequence[str] = (), sexes: Sequence[str] = ()
) -> tuple[Cell, ...]:
    """A cell for each finding (or several, joined by "+") in each view, age group and sex; none given: left open.

    Raises:
        StudioError: no finding, or an unknown age group or sex.
    """
    if not findings:
        raise StudioError("Say which findings the images are to show; no_finding is a normal image.")
    kinds = product(findings, views or [""], age_groups or [""], sexes or [""])
    return tuple(
        parse(Cell, {"findings": finding.split(TOGETHER), "view": view, "age_group": age_group, "sex": sex, "count": 0})
        for finding, view, age_group, sex in kinds
    )


def make_cells(
    manifest: Manifest, labels: Sequence[str], findings: Sequence[str], **facts: Sequence[str]
) -> tuple[Cell, ...]:
    """The cells for a checkpoint: of its classes, all where none is named, or of facts as `fact_cells` takes them.

    Raises:
        StudioError: facts for a checkpoint of classes or classes for one that reads prompts; and as `fact_cells`.
    """
    if reads_prompts(manifest):
        if labels:
            raise StudioError(f"{manifest.name} draws from a prompt: say findings, and no labels.")
        return fact_cells(findings, **facts)
    if findings or any(facts.values()):
        raise StudioError(f"{manifest.name} draws classes: say labels, and no findings, views, ages or sexes.")
    return tuple(Cell(0, label) for label in labels or manifest.labels)


def count_real(cells: Iterable[Cell], rows: Sequence[Row]) -> tuple[Cell, ...]:
    """The cells with the number of real images that show what each asks for."""
    return tuple(replace(cell, real=sum(_shows(row, cell) for row in rows)) for cell in cells)


def ask_each(cells: Iterable[Cell], count: int) -> tuple[Cell, ...]:
    """The cells, each with as many images."""
    return tuple(replace(cell, count=count) for cell in cells)


def fill_up(cells: Iterable[Cell], target: int) -> tuple[Cell, ...]:
    """The cells with what each lacks so that real and drawn images together are `target`; 0 where there are more.

    Raises:
        StudioError: the real images are not counted, or no cell lacks any.
    """
    filled = tuple(replace(cell, count=max(0, target - _counted(cell))) for cell in cells)
    if not any(cell.count for cell in filled):
        raise StudioError(f"There are {target:,} real images or more of each kind already.")
    return filled


def _counted(cell: Cell) -> int:
    if cell.real is None:
        raise StudioError("To fill up beside real images, say which: --real DATASET.")
    return cell.real


def _shows(row: Row, cell: Cell) -> bool:
    """Whether a real image is known to show what a cell asks for; what the cell leaves open may be anything."""
    if cell.label:
        return row.label == cell.label
    return (
        set(cell.findings) <= set(row.findings)
        and row.view.startswith(cell.view)
        and cell.age_group in ("", row.age_group)
        and cell.sex in ("", row.sex)
    )
