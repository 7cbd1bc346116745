"""Which checkpoint is best at what: a rank for each measure, by that measure's own direction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from xray_generator.dashboards.board import CHECKS, Column, headline
from xray_generator.evaluation.records import Measurement, Record
from xray_generator.evaluation.summary import known_measure

RATIO = "× real"  # the unit of measures whose yardstick is 1
RULE = (
    "Rank 1 is best. Where higher (or lower) is better, values are ordered so. Where it is best to be as real images "
    "are, the nearest to the yardstick comes first; of ratios to real, half counts as far off as double. Equal values "
    "share the better rank. The mean rank is over the measures that every row has. Intervals are not looked at: a "
    "difference smaller than they are wide may be chance."
)


@dataclass(frozen=True, slots=True)
class Ranking:
    """Ranks of several records, in their order; None: not measured, or nothing to compare with."""

    by_column: dict[Column, tuple[int | None, ...]]
    mean: tuple[float | None, ...]
    num_common: int  # measures that all have, over which the mean is taken


def rank(records: Sequence[Record], columns: Sequence[Column]) -> Ranking:
    """Rank records by each column; checks of the tests themselves are left out."""
    values = [headline(record) for record in records]
    by_column: dict[Column, tuple[int | None, ...]] = {}
    for column in columns:
        if column.measure not in CHECKS:
            by_column[column] = _ranks([shortfall(found[column]) if column in found else None for found in values])
    common = [ranks for ranks in by_column.values() if None not in ranks]
    sums = [sum(ranks[i] or 0 for ranks in common) for i in range(len(records))]
    return Ranking(by_column, tuple(total / len(common) if common else None for total in sums), len(common))


def shortfall(m: Measurement) -> float | None:
    """How far a value is from the best there can be, for ordering only: less is better; None where nobody can say."""
    measure = known_measure(m)
    if m.value is None:
        return None
    if measure.direction != "real":
        return m.value if measure.direction == "lower" else -m.value
    if measure.unit == RATIO:
        return abs(math.log(m.value)) if m.value > 0 else math.inf
    return None if m.real is None else abs(m.value - m.real)


def _ranks(distances: Sequence[float | None]) -> tuple[int | None, ...]:
    known = [distance for distance in distances if distance is not None]
    return tuple(None if d is None else 1 + sum(other < d for other in known) for d in distances)
