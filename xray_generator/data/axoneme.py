"""A random cilium in cross section, by class: the exact positions of its structures.

No public set of micrographs of cilia has a license, so this phantom replaces one. Proportions in nm:
A tubule 25 across with 13 protofilaments, B tubule with 10, central pair 32 apart (Alberts, Molecular Biology of the
Cell, ch. 16; Nicastro et al., Science 313:944, 2006); nine doublets around two singlets, about 200 across, each
turned about 10 degrees to the tangent, outer and inner dynein arms on the A tubule, clockwise as seen from the base
(Afzelius, J Biophys Biochem Cytol 5:269, 1959; Satir and Christensen, Annu Rev Physiol 69:377, 2007); human airway
cilia of 250 to 300 (Lin et al., Nat Commun 5:5727, 2014). The classes are those of the diagnosis of primary ciliary
dyskinesia (Shoemark et al., Eur Respir J 55:1900725, 2020): an arm is lost when it is absent from at least 7 of 9
doublets, and a normal section shows at least 8 of 9; a disarranged section of 7, 8 or 10 doublets may have as many
exceptions. It is a drawing, no substitute for micrographs of patients.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from xray_generator.types import StudioError

Points = NDArray[np.float64]  # (N, 2): x to the right, y downwards

NUM_DOUBLETS = 9
DOUBLET_TILT = math.radians(10)  # the A tubule is nearer to the center than the B tubule
SPOKE_RADIUS = 60.0  # nm; a doublet nearer to the center has no spoke
MIN_DISTANCE = 45.0  # nm between the centers of two doublets: they never overlap
MAX_LOST, MAX_KEPT = 1, 2  # doublets that may be exceptions to their class
RIPPLES = (2, 3, 4, 5, 7)  # waves around the membrane


@dataclass(frozen=True, slots=True)
class CiliumClass:
    """The structures that the cilia of a class have."""

    title: str
    outer_arms: bool = True
    inner_arms: bool = True
    num_central: int = 2
    disarranged: bool = False


CLASSES: Mapping[str, CiliumClass] = MappingProxyType(
    {
        "normal": CiliumClass("Normal, 9 + 2"),
        "oda": CiliumClass("Outer dynein arms missing", outer_arms=False),
        "ida": CiliumClass("Inner dynein arms missing", inner_arms=False),
        "oda_ida": CiliumClass("Outer and inner dynein arms missing", outer_arms=False, inner_arms=False),
        "cp": CiliumClass("Central pair missing, 9 + 0", num_central=0),
        "cp_one": CiliumClass("One central microtubule missing, 9 + 1", num_central=1),
        "disarranged": CiliumClass("Microtubules disarranged", disarranged=True),
        "ida_disarranged": CiliumClass("Inner arms missing, disarranged", inner_arms=False, disarranged=True),
    }
)


@dataclass(frozen=True, slots=True)
class Doublet:
    """A and B tubule with their arms; x, y is the midpoint between them, in nm from the cilium's center."""

    x: float
    y: float
    angle: float  # radians, of the outward direction; A is clockwise of B
    outer_arm: bool
    inner_arm: bool
    spoke: bool


@dataclass(frozen=True, slots=True)
class Membrane:
    """r(a) = 1 / sqrt((cos a / major)^2 + (sin a / minor)^2) * (1 + ripples), with a measured from `angle`."""

    major: float  # semi-axes in nm
    minor: float
    angle: float  # radians
    ripples: tuple[float, ...]  # amplitude of each of RIPPLES, as a share of the radius
    phases: tuple[float, ...]  # radians

    def outline(self, num_points: int, offset: float = 0.0) -> Points:
        """Points in nm at equal angles, `offset` nm outside the middle of the bilayer."""
        a = np.linspace(0, 2 * math.pi, num_points, endpoint=False)
        radius = 1 / np.hypot(np.cos(a) / self.major, np.sin(a) / self.minor)
        waves = zip(RIPPLES, self.ripples, self.phases, strict=True)
        radius = radius * (1 + sum(size * np.cos(k * a + phase) for k, size, phase in waves)) + offset
        return np.stack([radius * np.cos(a + self.angle), radius * np.sin(a + self.angle)], axis=1)


@dataclass(frozen=True, slots=True)
class Axoneme:
    """One cilium and its place in an image: the ground truth. Lengths in nm, angles in radians, clockwise."""

    label: str
    doublets: tuple[Doublet, ...]
    central: tuple[tuple[float, float], ...]  # centers of the central microtubules
    membrane: Membrane
    x: float  # of the cilium's center, from the middle of the image
    y: float
    obliquity: float  # between the section's normal and the axis
    oblique_angle: float  # the direction in which it smears
    compression: float  # by the knife: remaining share of the length along `compression_angle`
    compression_angle: float
    section_nm: float  # thickness
    field_nm: float  # length of the shorter side of the image
    neighbor_angle: float | None  # direction of the next cilium; None: not visible
    microvillus: tuple[float, float, float] | None  # center and radius, beside the cilium

    def __post_init__(self) -> None:
        if self.label not in CLASSES:
            raise StudioError(f"Unknown class {self.label!r}; allowed: {', '.join(CLASSES)}.")

    def nm_per_pixel(self, height: int, width: int) -> float:
        """The side of a pixel in nm."""
        return self.field_nm / min(height, width)

    def smear_nm(self) -> float:
        """Displacement of a straight microtubule between the two faces of the section, in nm."""
        return self.section_nm * math.tan(self.obliquity)

    def to_pixels(self, points: Points, height: int, width: int) -> Points:
        """nm in the cilium -> pixels of the image (0: middle of the first pixel), compressed by the cut."""
        c, s = math.cos(self.compression_angle), math.sin(self.compression_angle)
        squeeze = np.eye(2) - (1 - self.compression) * np.outer((c, s), (c, s))
        middle = np.array([width - 1, height - 1]) / 2
        return np.asarray((points @ squeeze + (self.x, self.y)) / self.nm_per_pixel(height, width) + middle)


def draw_truth(label: str, rng: np.random.Generator) -> Axoneme:
    """Draw a cilium of one class.

    Raises:
        StudioError: no such class.
    """
    if label not in CLASSES:
        raise StudioError(f"Unknown class {label!r}; allowed: {', '.join(CLASSES)}.")
    kind = CLASSES[label]
    phase = rng.uniform(0, 2 * math.pi)
    membrane = _membrane(rng)
    places = _disarranged_places(phase, rng) if kind.disarranged else _places(phase, NUM_DOUBLETS, 1.2, rng)
    outer, inner = (_choose_arms(len(places), kept, rng) for kept in (kind.outer_arms, kind.inner_arms))
    spokes = [rng.random() < 0.85 and math.hypot(x, y) > SPOKE_RADIUS for x, y, _ in places]
    neighbor_angle = rng.uniform(0, 2 * math.pi) if rng.random() < 0.4 else None
    return Axoneme(
        label=label,
        doublets=tuple(
            Doublet(x, y, angle, bool(o), bool(i), s)
            for (x, y, angle), o, i, s in zip(places, outer, inner, spokes, strict=True)
        ),
        central=_central(places, phase, kind, rng),
        membrane=membrane,
        x=rng.normal(0, 5),
        y=rng.normal(0, 5),
        obliquity=math.radians(abs(rng.normal(0, 1.8))),
        oblique_angle=rng.uniform(0, 2 * math.pi),
        compression=rng.uniform(0.93, 1.0),
        compression_angle=rng.uniform(0, math.pi),
        section_nm=rng.uniform(55, 80),
        field_nm=rng.uniform(345, 430),
        neighbor_angle=neighbor_angle,
        microvillus=_microvillus(membrane, neighbor_angle or 0.0, rng) if rng.random() < 0.3 else None,
    )


def _membrane(rng: np.random.Generator) -> Membrane:
    mean, ratio = rng.uniform(127, 140), rng.uniform(1.0, 1.06)
    ripples = rng.normal(0, 0.012, len(RIPPLES)) / np.sqrt(np.array(RIPPLES) / 2)
    phases = rng.uniform(0, 2 * math.pi, len(RIPPLES))
    return Membrane(
        mean * math.sqrt(ratio),
        mean / math.sqrt(ratio),
        rng.uniform(0, math.pi),
        tuple(map(float, ripples)),
        tuple(map(float, phases)),
    )


def _microvillus(membrane: Membrane, neighbor: float, rng: np.random.Generator) -> tuple[float, float, float]:
    """Center and radius, outside the cilium and away from its neighbor."""
    radius = rng.uniform(32, 48)
    away, angle = membrane.major * 1.07 + radius + rng.uniform(6, 30), neighbor + rng.uniform(1.1, 2 * math.pi - 1.1)
    return away * math.cos(angle), away * math.sin(angle), radius


def _place(radius: float, around: float, turn: float = 0.0) -> tuple[float, float, float]:
    """x, y and the outward direction, which the tilt turns so that A comes nearer to the center."""
    return radius * math.cos(around), radius * math.sin(around), around + DOUBLET_TILT + turn


def _places(phase: float, count: int, spread: float, rng: np.random.Generator) -> list[tuple[float, float, float]]:
    """A ring of doublets; `spread` is the standard deviation of their positions, in nm."""
    radius = rng.uniform(88, 93) * (1 + (count - NUM_DOUBLETS) * 0.04)
    return [
        _place(
            radius + rng.normal(0, spread),
            phase + 2 * math.pi * k / count + rng.normal(0, spread / radius),
            rng.normal(0, 0.035 * spread),
        )
        for k in range(count)
    ]


def _disarranged_places(phase: float, rng: np.random.Generator) -> list[tuple[float, float, float]]:
    """Doublets out of place: one in the center of the other eight, two inside, or not nine; and one displaced."""
    moved = int(rng.choice([0, 1, 1, 1, 2]))
    count = NUM_DOUBLETS if moved else int(rng.choice([7, 8, 10]))
    while True:
        places = _places(phase, count - moved, 3.0, rng)
        slipped = int(rng.integers(len(places)))
        x, y, angle = places[slipped]
        share = rng.uniform(0.72, 0.86)
        places[slipped] = (x * share, y * share, angle + rng.uniform(-0.6, 0.6))
        away = rng.uniform(0, 2 * math.pi)
        for k in range(moved):
            radius = rng.uniform(2, 14) if moved == 1 else rng.uniform(24, 32)
            places.append(_place(radius, away + math.pi * k, rng.uniform(-math.pi, math.pi)))
        if min(math.dist(p[:2], q[:2]) for p, q in itertools.combinations(places, 2)) > MIN_DISTANCE:
            return places


def _choose_arms(count: int, kept: bool, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which doublets show an arm: all but at most MAX_LOST if kept, else at most MAX_KEPT."""
    exceptions = int(rng.choice([0, 0, MAX_LOST] if kept else [0, 0, 1, MAX_KEPT]))
    shown = np.full(count, kept)
    shown[rng.choice(count, exceptions, replace=False)] = not kept
    return shown


def _central(
    places: list[tuple[float, float, float]], phase: float, kind: CiliumClass, rng: np.random.Generator
) -> tuple[tuple[float, float], ...]:
    """Centers of the central microtubules; beside a doublet that moved to the center, or none."""
    axis, apart = phase + math.pi / 2 + rng.normal(0, 0.15), rng.uniform(31, 34)
    x, y = rng.normal(0, 2.5), rng.normal(0, 2.5)
    count = kind.num_central
    inside = [(px, py) for px, py, _ in places if math.hypot(px, py) < 40]
    if kind.disarranged:
        count = 0 if len(inside) > 1 else int(rng.choice([1, 2, 2])) if not inside else int(rng.choice([0, 1]))
        axis = rng.uniform(0, 2 * math.pi)
    if inside and count:  # opposite the doublet
        px, py = inside[0]
        around = math.atan2(py, px) + math.pi
        return ((px + 38 * math.cos(around), py + 38 * math.sin(around)),)
    half = apart / 2 if count == 2 else rng.uniform(0, 8)
    dx, dy = half * math.cos(axis), half * math.sin(axis)
    return ((x + dx, y + dy), (x - dx, y - dy))[:count]


def draw_native_size(rng: np.random.Generator) -> tuple[int, int]:
    """Random height and width in pixels, as of real micrographs: width 525 +- 174, width / height 1.04 +- 0.117."""
    width = round(float(np.clip(rng.normal(525, 174), 224, 1000)))
    return round(width / float(np.clip(rng.normal(1.04, 0.117), 0.75, 1.35))), width
