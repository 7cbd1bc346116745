"""What a checkpoint is good and bad at, read from its evaluation record: each point with its value and its n."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from xray_generator.dashboards.board import Board, headline
from xray_generator.dashboards.prompts import condition_title
from xray_generator.data.naming import plain
from xray_generator.evaluation.records import Measurement, Record
from xray_generator.evaluation.summary import NOT_MEASURED, count_text
from xray_generator.types import CheckpointRef

Verdict = Literal["good", "weak", "unsure", "not measured"]
FIDELITY = ("class_accuracy", "prompt_accuracy")  # the first that a record has for conditions
NEAR = 0.9  # of the value of real images: less is not as good, whatever the interval
USABLE = 0.5  # a classifier that is right about fewer real images of a class than this cannot judge it
FOUND = 0.95  # of planted copies: below, the memorization rate says little
SOURCES = {"kermany_pediatric": "Kermany children", "nih_chestxray14": "NIH"}
PAIRS = {"AP": "view", "M": "sex"}  # conditions that stand for a choice of two
MOST_NAMED = 4


@dataclass(frozen=True, slots=True)
class Point:
    """One thing that a checkpoint may be good at, and the measurement that tells."""

    title: str
    verdict: Verdict
    value: str  # with its unit; of "not measured" the reason
    real: str  # the same of real images, where it was measured
    n: int

    def __str__(self) -> str:
        real = f", real {self.real}" if self.real else ""
        return f"{self.title} ({self.value}{real}, n = {self.n:,})"


@dataclass(frozen=True, slots=True)
class Strengths:
    """What a checkpoint's best record tells of it."""

    points: tuple[Point, ...]
    measured_on: str  # the record's date
    is_stale: bool  # whether it was measured on older weights

    def summary(self) -> str:
        """How many of the points that could be judged are good, and which are weak."""
        good, weak, unsure, _ = self._by_verdict()
        judged = len(good) + len(weak) + len(unsure)
        text = f"Like real images in {len(good)} of {count_text(judged, 'point')}."
        return f"{text} Weak: {_name_some(weak)}." if weak else text

    def _by_verdict(self) -> Iterator[list[Point]]:
        return ([point for point in self.points if point.verdict == name] for name in get_args(Verdict))

    def sentences(self) -> Iterator[str]:
        """The points, the weak ones with their values, and who judged."""
        good, weak, unsure, missing = self._by_verdict()
        if good:
            counts = sorted(point.n for point in good)
            n = f"n = {counts[0]:,}" + (f" to {counts[-1]:,}" if counts[-1] > counts[0] else "")
            yield f"Good, as in real images: {'; '.join(point.title for point in good)} ({n})."
        if weak:
            yield f"Weak: {'; '.join(map(str, weak))}."
        if unsure:
            yield f"Too few images to tell: {'; '.join(map(str, unsure))}."
        if missing:
            yield f"{NOT_MEASURED.capitalize()}: {_name_some(missing)}."
        older = ", on older weights" if self.is_stale else ""
        yield f"Judged by a classifier and by measures, not by a doctor; {self.measured_on}{older}."


def _name_some(points: Sequence[Point]) -> str:
    names = [point.title for point in points]
    more = [f"{len(names) - MOST_NAMED} more"] if len(names) > MOST_NAMED + 1 else names[MOST_NAMED:]
    return "; ".join(names[:MOST_NAMED] + more)


def find_strengths(board: Board, ref: CheckpointRef, titles: Mapping[str, str]) -> Strengths | None:
    """What the best record of a checkpoint tells of it; None: there is no record. `titles` are those of its classes."""
    record = board.find(ref)
    if record is None:
        return None
    return Strengths(find_points(record, titles), record.created[:10], record.checkpoint != ref)


def find_points(record: Record, titles: Mapping[str, str]) -> tuple[Point, ...]:
    """How clearly each class, finding or fact is drawn, how sharp the images are, and whether they copy.

    A condition is good where a classifier recognizes it as often as in real images: the 95 % interval reaches their
    value, and the value itself 9 tenths of it. It is weak where the interval lies below, and unsure in between.
    """
    whole = {column.measure: m for column, m in reversed(headline(record).items()) if not column.condition}
    return (*_fidelity(record, titles), *_sharpness(whole), *_copies(whole))


def _fidelity(record: Record, titles: Mapping[str, str]) -> Iterator[Point]:
    measured = headline(record)
    for measure in FIDELITY:
        found: dict[str, Measurement] = {}
        for column, m in measured.items():
            if column.measure == measure and column.condition:
                found.setdefault(column.condition, m)
        if found:
            yield from (_judge(m, _title(condition, titles)) for condition, m in _in_order(found, titles))
            return


def _in_order(found: Mapping[str, Measurement], titles: Mapping[str, str]) -> list[tuple[str, Measurement]]:
    places = {name: place for place, name in enumerate(titles)}
    return sorted(found.items(), key=lambda pair: places.get(pair[0], len(places)))


def _title(condition: str, titles: Mapping[str, str]) -> str:
    name, _, source = condition.partition(", ")
    title = titles.get(condition) or plain(PAIRS.get(name) or condition_title(name))
    return f"{title} ({SOURCES.get(source) or plain(source)})" if source else title


def _judge(m: Measurement, title: str) -> Point:
    if m.value is None or m.interval is None or m.real is None:
        return Point(title, "not measured", m.reason or "no interval, or no real images to compare with", "", m.n)
    if m.measure == "class_accuracy" and m.real < USABLE:
        reason = f"the classifier recognizes only {m.real:.0%} of real ones"
        return Point(title, "not measured", reason, "", m.n)
    reaches = m.interval[1] >= m.real
    verdict: Verdict = "weak" if not reaches else "good" if m.value >= NEAR * m.real else "unsure"
    return Point(title, verdict, f"{m.value:.0%}", f"{m.real:.0%}", m.n)


def _sharpness(whole: Mapping[str, Measurement]) -> Iterator[Point]:
    m = whole.get("sharpness_ratio")
    if m is None or m.value is None:
        yield Point("Sharpness", "not measured", m.reason if m else "the record does not have it", "", m.n if m else 0)
        return
    low, high = m.interval or (m.value, m.value)
    is_near = low <= 1 / NEAR and high >= NEAR
    title = "Sharpness" if is_near else "Too soft" if m.value < 1 else "Too grainy"
    yield Point(title, "good" if is_near else "weak", f"sharpness {m.value:.2f} × real", "", m.n)


def _copies(whole: Mapping[str, Measurement]) -> Iterator[Point]:
    m, planted = whole.get("copy_rate"), whole.get("copies_found")
    if m is None or m.value is None or m.interval is None or m.real is None:
        reason = m.reason if m and m.reason else "the record does not have it"
        yield Point("Copies of training images", "not measured", reason, "", m.n if m else 0)
    elif planted is not None and (planted.value or 0) < FOUND:
        reason = f"the audit found only {planted.value or 0:.0%} of planted copies"
        yield Point("Copies of training images", "not measured", reason, "", m.n)
    else:
        is_copying = m.interval[0] > m.real
        title = "Repeats training images" if is_copying else "No more copies of training images than by chance"
        yield Point(title, "weak" if is_copying else "good", f"{m.value:.1%}", f"{m.real:.1%}", m.n)
