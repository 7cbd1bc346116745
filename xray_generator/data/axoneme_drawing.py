"""Draw a cilium as a transmission electron micrograph shows it.

Every structure is a chain of Gaussian blobs of mass, in nm. The blobs are smeared through the section by its obliquity,
added to a canvas with bilinear weights, and blurred by their own width and the microscope's; contrast is I = I_0
exp(-mass). Random numbers are in nm and small images are drawn on the canvas of larger ones, so that the same truth and
seed give the same scene at every size of one aspect ratio; another aspect ratio has other noise.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from xray_generator.data.axoneme import Axoneme, Doublet, Membrane, Points
from xray_generator.types import Image

CANVAS = 448  # pixels of the canvas' shorter side, at least
WALL_RADIUS = 10.3  # nm, the middle of a microtubule's wall: 25 across outside
TUBULE_DISTANCE = 17.5  # nm between the centers of A and B
A_WALL = np.arange(13) * (2 * math.pi / 13)  # angles of the protofilaments
B_WALL = np.linspace(math.radians(50), math.radians(310), 10)  # open towards A
DEPTHS = np.linspace(-0.5, 0.5, 7)  # planes of the section to sum over
NEIGHBOR_GAP = (3.0, 30.0)  # nm between two membranes

# Paths in nm from the A tubule's center: clockwise along the tangent, outwards. The dynein arms are hooks.
OUTER_ARM = ((9.5, 7.5), (14.0, 12.0), (19.5, 14.0), (24.0, 12.0), (25.5, 7.5))
INNER_ARM = ((10.0, -7.5), (14.0, -11.5), (18.5, -13.5), (22.5, -11.5))
NEXIN = ((12.5, -3.0), (18.0, -4.5), (27.0, -3.0))
SPOKE = ((1.0, -12.0), (0.0, -28.0), (-1.0, -44.0))


@dataclass(frozen=True, slots=True)
class _Blobs:
    """Gaussians of one width; `mass` is the integral of each over the plane, in nm^2."""

    points: Points  # nm
    mass: NDArray[np.float64]
    sigma: float  # nm


@dataclass(frozen=True, slots=True)
class _Canvas:
    """Pixels on which a scene is drawn; lengths are given in nm."""

    shape: tuple[int, int]
    pixel_nm: float

    def blur(self, image: Image, sigma: float) -> Image:
        """Gaussian blur."""
        return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma / self.pixel_nm), np.float32)

    def noise(self, scale: float, rng: np.random.Generator) -> Image:
        """Noise of mean 0, about unit variance and grain of `scale` nm: the same field at every image size."""
        cell = max(scale, self.pixel_nm * min(self.shape) / CANVAS)  # nm
        cells = [max(2, math.ceil(side * self.pixel_nm / cell - 1e-6)) for side in self.shape]
        height, width = self.shape
        coarse = rng.standard_normal(cells, np.float32)
        return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC))

    def deposit(self, axoneme: Axoneme, blobs: _Blobs) -> Image:
        """Add blobs as points, smeared through the section; the caller blurs them by their width."""
        height, width = self.shape
        smear = axoneme.smear_nm() * np.array([math.cos(axoneme.oblique_angle), math.sin(axoneme.oblique_angle)])
        points = (blobs.points[None] + DEPTHS[:, None, None] * smear).reshape(-1, 2)
        mass = np.tile(blobs.mass, len(DEPTHS)) / (len(DEPTHS) * self.pixel_nm**2)
        pixels = axoneme.to_pixels(points, height, width)
        seen = ((pixels >= 0) & (pixels < (width - 1, height - 1))).all(axis=1)
        pixels, mass = pixels[seen], mass[seen]
        corner = np.floor(pixels).astype(np.int64)
        fx, fy = (pixels - corner).T
        index = corner[:, 1] * width + corner[:, 0]
        corners = np.concatenate([index, index + 1, index + width, index + width + 1])
        shares = np.concatenate([(1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy])
        return np.bincount(corners, shares * np.tile(mass, 4), height * width).reshape(height, width).astype(np.float32)

    def fill(self, axoneme: Axoneme, outline: Points) -> Image:
        """1 inside an outline in nm, 0 outside."""
        mask = np.zeros(self.shape, np.uint8)
        outline = axoneme.to_pixels(outline, *self.shape)
        cv2.fillPoly(mask, [np.rint(outline * 16).astype(np.int32)], 1, shift=4)
        return mask.astype(np.float32)


def render(axoneme: Axoneme, height: int, width: int, rng: np.random.Generator) -> Image:
    """A gray micrograph (height, width) in [0, 1], dense structures dark; `rng` gives stain, focus and noise."""
    scale = max(1.0, CANVAS / min(height, width))
    shape = (round(height * scale), round(width * scale))
    image = _photograph(axoneme, _Canvas(shape, axoneme.nm_per_pixel(*shape)), rng)
    if shape != (height, width):
        image = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.float32)
    return np.clip(image, 0.0, 1.0)


def _photograph(axoneme: Axoneme, canvas: _Canvas, rng: np.random.Generator) -> Image:
    """Mass -> transmitted electrons -> gray level."""
    blur, density, focus = rng.uniform((1.3, 0.85, 0.1), (2.0, 1.1, 0.35))
    cytosol, resin, fine, coarse = rng.uniform((0.30, 0.05, 0.02, 0.015), (0.42, 0.12, 0.04, 0.03))
    black, white = rng.uniform((0.03, 0.72), (0.12, 0.88))
    structure, inside = _scene(axoneme, canvas, blur, rng)

    def noise(scale: float) -> Image:
        return canvas.noise(scale, rng)

    matrix = cytosol * (1 + 0.20 * noise(3.5) + 0.16 * noise(9) + 0.12 * noise(35))
    around = resin * (1 + 0.5 * noise(90) + 0.3 * noise(25) + 0.4 * noise(6))
    mass = (1 + 0.14 * noise(70)) * structure + around + inside * (matrix - around)
    electrons = np.exp(-density * mass)
    electrons += focus * (electrons - canvas.blur(electrons, 5.0))  # underfocus: edges ring
    grain = fine * noise(0.0) + coarse * noise(2.0)
    electrons += grain * np.sqrt(np.clip(electrons, 0.05, 1.0))  # shot noise
    return np.asarray(black + (white - black) / 0.8 * (electrons - 0.12), np.float32)


def _scene(axoneme: Axoneme, canvas: _Canvas, blur: float, rng: np.random.Generator) -> tuple[Image, Image]:
    """The mass of all structures, and a mask of cytosol (1) and resin (0)."""
    layers: list[tuple[float, Image]] = []
    inside = np.zeros(canvas.shape, np.float32)
    for cilium in (axoneme, *_neighbors(axoneme, rng)):
        for membrane, x, y in _membranes(cilium):
            outline = membrane.outline(360) + np.array([x, y])
            np.maximum(inside, canvas.fill(cilium, outline), out=inside)
        groups: dict[float, list[_Blobs]] = defaultdict(list)
        for blobs in _blobs(cilium, rng):
            groups[blobs.sigma].append(blobs)
        for sigma, group in groups.items():
            points, mass = np.concatenate([b.points for b in group]), np.concatenate([b.mass for b in group])
            layers.append((sigma, canvas.deposit(cilium, _Blobs(points, mass, sigma))))
    structure = np.sum([canvas.blur(layer, math.hypot(sigma, blur)) for sigma, layer in layers], axis=0)
    return structure, canvas.blur(inside, 2.0 + 0.3 * axoneme.smear_nm())


def _membranes(axoneme: Axoneme) -> Iterator[tuple[Membrane, float, float]]:
    """Each membrane and its center in nm."""
    yield axoneme.membrane, 0.0, 0.0
    if axoneme.microvillus is not None:
        x, y, radius = axoneme.microvillus
        share = radius / axoneme.membrane.major
        yield replace(axoneme.membrane, major=radius, minor=axoneme.membrane.minor * share), x, y


def _neighbors(axoneme: Axoneme, rng: np.random.Generator) -> Iterator[Axoneme]:
    """A copy of the cilium beside it, of which only the edge is visible."""
    gap = rng.uniform(*NEIGHBOR_GAP)
    if axoneme.neighbor_angle is not None:
        away = axoneme.membrane.major + axoneme.membrane.minor + gap
        x, y = away * math.cos(axoneme.neighbor_angle), away * math.sin(axoneme.neighbor_angle)
        yield replace(axoneme, x=axoneme.x + x, y=axoneme.y + y, neighbor_angle=None, microvillus=None)


def _blobs(axoneme: Axoneme, rng: np.random.Generator) -> Iterator[_Blobs]:
    """The blobs of all structures. Random numbers are drawn for absent ones too, so that the others stay the same."""
    for doublet in axoneme.doublets:
        yield from _doublet(doublet, rng)
    for center in axoneme.central:
        yield _wall(np.array(center), A_WALL, rng.uniform(0.9, 1.1), rng)
    yield from _sheath(axoneme, rng)
    for membrane, x, y in _membranes(axoneme):
        yield from _bilayer(membrane, (x, y), rng)


def _doublet(doublet: Doublet, rng: np.random.Generator) -> Iterator[_Blobs]:
    stain, outer, inner, spoke = rng.uniform((0.85, 0.85, 0.85, 0.6), (1.15, 1.15, 1.15, 1.0))
    bends = rng.normal(0, 0.7, (3, 2))
    outward = np.array([math.cos(doublet.angle), math.sin(doublet.angle)])
    clockwise = np.array([-outward[1], outward[0]])
    frame = np.stack([clockwise, outward])
    middle = np.array([doublet.x, doublet.y])
    a, b = (middle + sign * TUBULE_DISTANCE / 2 * clockwise for sign in (1, -1))
    turn = math.atan2(clockwise[1], clockwise[0])
    yield _wall(a, A_WALL + turn, 1.15 * stain, rng)
    yield _wall(b, B_WALL + turn, 1.05 * stain, rng)
    yield _spots(np.stack([a, b]), np.array([rng.uniform(0.05, 0.3), rng.uniform(0, 0.12)]), 5.0)  # in the lumens
    halo = middle + rng.normal(0, 13, (14, 2)) @ np.diag([1.3, 1.0]) @ frame  # amorphous, around the doublet
    yield _spots(halo, rng.uniform(0, 0.13, 14), 5.0)
    yield _chain(np.array(NEXIN) @ frame + a, 0.20, 1.6)
    if doublet.outer_arm:
        yield from _arm(np.array(OUTER_ARM) + bends[0], a, frame, 0.82 * outer)
    if doublet.inner_arm:
        yield from _arm(np.array(INNER_ARM) + bends[1], a, frame, 0.80 * inner)
    if doublet.spoke:
        path = (np.array(SPOKE) + bends[2]) @ frame + a
        yield _chain(path, 0.42 * spoke, 1.8)
        yield _spots(path[-1:], np.array([0.5 * spoke]), 3.2)


def _arm(path: Points, a: Points, frame: Points, peak: float) -> Iterator[_Blobs]:
    """A hook with a head at its second to last point."""
    place = path @ frame + a
    yield _chain(place, peak, 2.4)
    yield _spots(place[-2:-1], np.array([0.6 * peak]), 3.2)


def _spots(points: Points, peaks: NDArray[np.float64], sigma: float) -> _Blobs:
    """Single blobs; one of width s and peak p holds 2 pi s^2 p."""
    return _Blobs(points, peaks * (2 * math.pi * sigma**2), sigma)


def _wall(center: Points, angles: NDArray[np.floating], peak: float, rng: np.random.Generator) -> _Blobs:
    """Protofilaments on a circle, unequally stained."""
    points = center + WALL_RADIUS * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return _spots(points, peak * rng.uniform(1.0, 1.6, len(points)), 1.8)


def _chain(path: Points, peak: float, sigma: float) -> _Blobs:
    """Blobs 1 nm apart along a path; a line of width s and peak p holds sqrt(2 pi) s p a nm."""
    lengths = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(path, axis=0).T))])
    along = np.linspace(0, lengths[-1], max(2, round(lengths[-1])))
    points = np.stack([np.interp(along, lengths, axis) for axis in path.T], axis=1)
    mass = peak * math.sqrt(2 * math.pi) * sigma * lengths[-1] / len(points)
    return _Blobs(points, np.full(len(points), mass), sigma)


def _sheath(axoneme: Axoneme, rng: np.random.Generator) -> Iterator[_Blobs]:
    """The projections around the central pair, patchy, and the bridge between the two."""
    angles = np.linspace(0, 2 * math.pi, 40, endpoint=False)
    for center in axoneme.central:
        points = np.array(center) + 18.0 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        peaks = np.clip(rng.normal(0.22, 0.22, len(angles)), 0, 0.6)
        for other in axoneme.central:
            if other != center:
                peaks = peaks * (np.hypot(*(points - np.array(other)).T) > 14)
        yield _spots(points, peaks, 2.4)
    if len(axoneme.central) > 1:
        yield _chain(np.array(axoneme.central), 0.2, 2.4)


def _bilayer(membrane: Membrane, center: tuple[float, float], rng: np.random.Generator) -> Iterator[_Blobs]:
    """Two dark leaflets with a light gap, of varying sharpness, and fuzz outside."""
    num_points = 900
    length = math.pi * (membrane.major + membrane.minor) / num_points  # nm from point to point
    slow = np.repeat(rng.uniform(0.45, 1.1, 18), num_points // 18)
    slow = np.convolve(np.concatenate([slow] * 3), np.ones(75) / 75, "same")[num_points : 2 * num_points]
    for offset, peak in ((3.4, 0.95), (-3.4, 0.85)):
        mass = peak * slow * math.sqrt(2 * math.pi) * 1.4 * length
        yield _Blobs(membrane.outline(num_points, offset) + center, mass, 1.4)
    fuzz = membrane.outline(num_points)
    fuzz = fuzz * (1 + (5 + rng.exponential(4.0, num_points)) / np.hypot(*fuzz.T))[:, None]
    yield _Blobs(fuzz + center, rng.uniform(0, 2.0, num_points) * length, 2.4)
