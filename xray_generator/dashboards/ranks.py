"""Which checkpoint is best at what: a rank for each measure, by that measure's own direction."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from xray_generator.dashboards.board import CHECKS, Column, column_names, headline
from xray_generator.evaluation.records import Measurement, Record
from xray_generator.evaluation.summary import known_measure

RATIO = "× real"  # the unit of measures whose yardstick is 1
RULE = (
    "Rank 1 is best. Where higher (or lower) is better, values are ordered so. Where it is best to be as real images "
    "are, the nearest to the yardstick comes first; of ratios to real, half counts as far off as double. Equal values "
    "share the better rank. Only numbers of equally many images are ranked: distances and their ratios to real change "
    "with n, whatever the quality. The mean rank is over the measures that every row has. Intervals are not looked at: "
    "a difference smaller than they are wide may be chance."
)


@dataclass(frozen=True, slots=True)
class Ranking:
    """Ranks of several records, in their order; None: not measured, of another n, or nothing to compare with."""

    by_column: dict[Column, tuple[int | None, ...]]
    mean: tuple[float | None, ...]
    num_common: int  # measures that all have, over which the mean is taken
    reason: str = ""  # why measured numbers have no rank; empty where all have one


def rank(records: Sequence[Record], columns: Sequence[Column]) -> Ranking:
    """Rank records by each column; checks of the tests themselves are left out."""
    values = [headline(record) for record in records]
    by_column: dict[Column, tuple[int | None, ...]] = {}
    unequal: list[Column] = []
    for column in columns:
        if column.measure not in CHECKS:
            measured = [found.get(column) for found in values]
            n = _common_n(measured)
            by_column[column] = _ranks([shortfall(m) if m and m.n == n else None for m in measured])
            unequal += [column] if any(m and m.value is not None and m.n != n for m in measured) else []
    common = [ranks for ranks in by_column.values() if None not in ranks]
    sums = [sum(ranks[i] or 0 for ranks in common) for i in range(len(records))]
    means = tuple(total / len(common) if common else None for total in sums)
    return Ranking(by_column, means, len(common), _reason(unequal))


def shortfall(m: Measurement) -> float | None:
    """How far a value is from the best there can be, for ordering only: less is better; None where nobody can say."""
    measure = known_measure(m)
    if m.value is None:
        return None
    if measure.direction in ("lower", "higher"):
        return m.value if measure.direction == "lower" else -m.value
    if measure.unit == RATIO:
        return abs(math.log(m.value)) if m.value > 0 else math.inf
    return None if m.real is None else abs(m.value - m.real)


def _common_n(measured: Sequence[Measurement | None]) -> int | None:
    """How many images most of the numbers are of; None where several numbers are each of another n."""
    counts = Counter(m.n for m in measured if m is not None and m.value is not None)
    n, times = max(counts.items(), key=lambda pair: (pair[1], pair[0]), default=(None, 0))
    return n if times > 1 or len(counts) == 1 else None


def _reason(unequal: Sequence[Column]) -> str:
    names = "; ".join(column_names(unequal).values())
    return f"No rank (–), since the records measured it on different numbers of images: {names}." if names else ""


def _ranks(distances: Sequence[float | None]) -> tuple[int | None, ...]:
    known = [distance for distance in distances if distance is not None]
    return tuple(None if d is None else 1 + sum(other < d for other in known) for d in distances)
