"""What a record tells of the structure of images and of what the model hears: the numbers of one panel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from operator import attrgetter

from xray_generator.dashboards.board import headline
from xray_generator.data.rows import finding_name
from xray_generator.evaluation.records import Curve, Measurement, Record
from xray_generator.evaluation.summary import NOT_MEASURED, known_measure

MEASURES = ("linear_v_error", "latent_fragility", "band_power", "fact_response", "denied_score")
ORIGINS = {"": "from noise", "from middle noise": "from middle noise"}  # end of a band's condition -> line


@dataclass(frozen=True, slots=True)
class Denial:
    """The classifier's mean probability of a finding where the prompt names it, denies it, or says "normal"."""

    finding: str  # in words
    stated: float | None
    denied: float
    normal: float | None
    real: float | None  # of real images without a finding
    n: int

    @property
    def verdict(self) -> str:
        """Whether denying the finding is more like saying "normal" than like naming it, in words."""
        if self.stated is None or self.normal is None:
            return NOT_MEASURED
        if self.stated <= self.normal:
            return "not drawn even where it is named"
        return "left out" if self.denied - self.normal < self.stated - self.denied else "drawn although denied"


@dataclass(frozen=True, slots=True)
class Structure:
    """The measures of `MEASURES` that a record has a value of, and why it has none of the others."""

    whole: Mapping[str, Measurement]  # those over all images
    bands: Curve | None  # ratio to real over the number of the band, a line for each origin
    band_names: tuple[str, ...]  # "4 to 8 cycles"
    responses: Mapping[str, Measurement]  # by what was changed
    denials: tuple[Denial, ...]  # the lowest probability first
    missing: tuple[str, ...]  # "title (reason)"


def read_structure(record: Record) -> Structure:
    """The numbers of a record with its own settings."""
    found = [m for m in headline(record).values() if m.measure in MEASURES]
    measured = [m for m in found if m.value is not None]
    reasons = {m.measure: m.reason for m in reversed(found) if m.value is None}
    lacking = [name for name in MEASURES if name not in {m.measure for m in measured}]
    titles = {name: known_measure(Measurement(name, None, reason=NOT_MEASURED)).title for name in lacking}
    names, bands = _read_bands([m for m in measured if m.measure == "band_power"])
    return Structure(
        {m.measure: m for m in measured if not m.condition},
        bands,
        names,
        {m.condition: m for m in measured if m.measure == "fact_response"},
        tuple(
            sorted(map(_read_denial, (m for m in measured if m.measure == "denied_score")), key=attrgetter("denied"))
        ),
        tuple(f"{title} ({(reasons.get(name) or 'not in this record').rstrip('.')})" for name, title in titles.items()),
    )


def _read_bands(found: list[Measurement]) -> tuple[tuple[str, ...], Curve | None]:
    """The bands from coarse to fine, and their ratios."""
    values: dict[str, dict[str, float | None]] = {}
    for m in found:
        band, _, origin = m.condition.partition(", ")
        values.setdefault(ORIGINS.get(origin, origin), {})[band] = m.value
    names = tuple(sorted({band for line in values.values() for band in line}, key=_lowest))
    if not names:
        return (), None
    lines = {origin: tuple(line.get(band) for band in names) for origin, line in values.items()}
    places = tuple(float(place) for place in range(len(names)))
    return names, Curve("Power by frequency", "cycles an image", "times real", places, lines)


def _lowest(band: str) -> int:
    first = band.split(" ")[0]
    return int(first) if first.isdigit() else 0


def _read_denial(m: Measurement) -> Denial:
    stated, normal = (
        value if isinstance(value, float) else None for value in map(m.settings.get, ("stated", "normal"))
    )
    return Denial(finding_name(m.condition), stated, float(m.value or 0), normal, m.real, m.n)
