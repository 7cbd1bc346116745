"""Figures of a report: data in, a matplotlib figure out, drawn without a window or global state.

Real images are blue and generated ones orange everywhere. What was not measured is labeled so, never drawn as 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.projections.polar import PolarAxes

from xray_generator.evaluation.records import Curve, Measurement
from xray_generator.evaluation.summary import GENERATED, NOT_MEASURED, RADAR_LIMIT, REAL
from xray_generator.reference_encoder.bootstrap import Floats
from xray_generator.types import Image, StudioError

COLORS = (GENERATED, REAL, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
GRAY = "#666666"


def save(figure: Figure, path: Path) -> Path:
    """Write a figure, in the format of the path's suffix, and return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    return path


def histograms(generated: Floats, real: Floats, label: str, num_bins: int = 30) -> Figure:
    """Shares of generated and real images over one scale, with the mean of each."""
    figure, axes = _figure(label, "share of images")
    sets = {f"{name}, n = {len(v)}": v for name, v in (("real", real), ("generated", generated))}
    colors = dict(zip(sets, (REAL, GENERATED), strict=True))
    seaborn.histplot(
        sets, bins=num_bins, stat="proportion", common_norm=False, palette=colors, alpha=0.5, edgecolor=None, ax=axes
    )
    for name, values in sets.items():
        if len(values):
            axes.axvline(float(values.mean()), color=colors[name], linestyle="--")
    return figure


def curves(curve: Curve, logarithmic: bool = False) -> Figure:
    """Lines over x, such as power spectra or quality against steps; a missing value leaves a gap."""
    figure, axes = _figure(curve.x_label, curve.y_label, curve.title)
    others = iter(COLORS[2:] * len(curve.lines))
    for name, values in curve.lines.items():
        color = REAL if name.startswith("real") else GENERATED if name.startswith("generated") else next(others)
        axes.plot(curve.x, np.array(values, float), marker="." if len(values) < 30 else "", color=color, label=name)
    if logarithmic:
        axes.set(xscale="log", yscale="log")
    axes.legend()
    return figure


def bars(measurements: Mapping[str, Measurement], label: str) -> Figure:
    """A bar for each measurement with its 95 % interval, and a blue line at the value of real images."""
    figure, axes = _figure("", label)
    for place, measurement in enumerate(measurements.values()):
        if measurement.value is None:
            axes.text(place, 0, NOT_MEASURED, rotation=90, ha="center", va="bottom", color=GRAY)
            continue
        axes.bar(place, measurement.value, color=GENERATED, width=0.6)
        if measurement.interval:
            axes.vlines(place, *measurement.interval, color="black")
        if measurement.real is not None:
            axes.hlines(measurement.real, place - 0.4, place + 0.4, color=REAL, linewidth=3)
    long = len(measurements) > 4
    axes.set_xticks(
        range(len(measurements)), list(measurements), rotation=45 if long else 0, ha="right" if long else "center"
    )
    axes.set_xlim(-0.6, len(measurements) - 0.4)
    axes.plot([], [], color=REAL, linewidth=3, label="real images")
    axes.plot([], [], color="black", label="95 % interval")
    figure.legend(loc="outside upper right", ncols=2)
    return figure


def heat_map(
    rows: Sequence[str], columns: Sequence[str], values: Sequence[Sequence[float | None]], title: str = ""
) -> Figure:
    """A number in each cell, such as a measure for each condition; "–" where it was not measured."""
    table = np.array(values, float).reshape(len(rows), len(columns))
    figure = Figure(figsize=(2 + 1.1 * len(columns), 2.4 + 0.4 * len(rows)), layout="constrained")
    axes = figure.add_subplot(title=title)
    limits = {} if np.isfinite(table).any() else {"vmin": 0, "vmax": 1}
    seaborn.heatmap(
        table, annot=True, fmt=".3g", cmap="cividis", xticklabels=columns, yticklabels=rows, ax=axes, **limits
    )
    for row, column in np.argwhere(np.isnan(table)):
        axes.text(column + 0.5, row + 0.5, "–", ha="center", va="center")
    axes.set_xticks(axes.get_xticks(), columns, rotation=45, ha="right")
    axes.tick_params("y", rotation=0)
    return figure


def radar(ratios: Mapping[str, float | None]) -> Figure:
    """The ratio of generated to real for each measure, on a spoke; the blue ring marks 1. A gap: not measured.

    Raises:
        StudioError: fewer than three spokes, which enclose no area.
    """
    if len(ratios) < 3:
        raise StudioError(f"A radar chart needs three measures or more, not {len(ratios)}.")
    figure = Figure(figsize=(6, 6), layout="constrained")
    axes = figure.add_subplot(projection="polar")
    assert isinstance(axes, PolarAxes)
    angles = np.linspace(0, 2 * np.pi, len(ratios), endpoint=False)
    radii = np.minimum(np.array(list(ratios.values()), float), RADAR_LIMIT)
    axes.plot(np.append(angles, 0), np.append(radii, radii[0]), color=GENERATED, marker="o", label="generated / real")
    axes.plot(np.linspace(0, 2 * np.pi, 100), np.ones(100), color=REAL, label="as real")
    names = [f"{name}\n{NOT_MEASURED if ratio is None else f'{ratio:.2f}'}" for name, ratio in ratios.items()]
    axes.set_xticks(angles, names)
    axes.tick_params("x", pad=16)
    axes.set_ylim(0, RADAR_LIMIT)
    axes.set_yticks([0.5, 1, 1.5, 2])
    figure.legend(loc="outside lower right")
    return figure


def image_pairs(
    pairs: Sequence[tuple[Image, Image]],
    titles: tuple[str, str] = ("generated", "nearest real"),
    captions: Sequence[str] = (),
    num_columns: int = 4,
) -> Figure:
    """Images side by side, pair by pair, each with its caption below."""
    num_rows = max(1, -(-len(pairs) // num_columns))
    num_columns = max(1, min(num_columns, len(pairs)))
    figure = Figure(figsize=(3.2 * num_columns, 2 * num_rows), layout="constrained")
    for place, (left, right) in enumerate(pairs):
        axes = figure.add_subplot(num_rows, num_columns, place + 1)
        axes.set_axis_off()
        axes.imshow(np.hstack([left, right]), cmap="gray", vmin=0, vmax=1)
        caption = f"\n{captions[place]}" if captions else ""
        axes.set_title(f"{titles[0]} | {titles[1]}{caption}", fontsize=8)
    return figure


def _figure(x_label: str, y_label: str, title: str = "") -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot(xlabel=x_label, ylabel=y_label, title=title)
    seaborn.despine(figure)
    return figure, axes
