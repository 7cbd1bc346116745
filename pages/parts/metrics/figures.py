"""The figures of each question, drawn from a record's curves and measurements: title -> figure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import plotly.graph_objects as go

from pages.parts.charts import REAL, areas, bars, label, lines
from xray_generator.dashboards.series import by_space, in_conditions
from xray_generator.evaluation.measures import MEASURES
from xray_generator.evaluation.records import Curve, Measurement, Record
from xray_generator.evaluation.summary import NOT_MEASURED

Figures = dict[str, go.Figure]
SWEEP = "_by_"  # in the name of a curve over guidance or steps
DISTRIBUTION = "_distribution"
MANY = 6  # bars: from here the marks of real images are drawn shorter
CURVES = {"spectrum": "detail", "utility": "use", "speed": "speed"}
RATIOS = ("sharpness_ratio", "contrast_ratio", "brightness_ratio", "entropy_ratio", "snr_ratio")
SPACES = {"realism": ("frechet_ratio", "precision", "density", "detectability"), "diversity": ("recall", "coverage")}
CONDITIONS = {
    "realism": ("frechet_ratio", "kernel_distance"),
    "detail": ("sharpness_ratio",),
    "diversity": ("ms_ssim",),
    "prompts": ("prompt_accuracy", "prompt_auroc", "prompt_accuracy_share"),
    "copies": ("copy_rate", "copies_found"),
    "use": ("utility_synthetic", "utility_ratio"),
}


def figures_of(record: Record, group: str) -> Figures:
    """All figures of a question; none where nothing was measured for it."""
    found = {curve.title: _curve(name, curve) for name, curve in record.curves.items() if group_of(name) == group}
    if group == "detail":
        found = _ratios(record) | found
    for measure in SPACES.get(group, ()):
        if len(spaces := by_space(record, measure)) > 1:
            figure = _bars(spaces, measure)
            if measure == "frechet_ratio":
                figure.update_yaxes(type="log")
            found[f"{MEASURES[measure].title}, in each feature space"] = figure
    for measure in CONDITIONS.get(group, ()):
        if conditions := in_conditions(record, measure):
            found[f"{MEASURES[measure].title}, {_by(measure)}"] = _bars(conditions, measure)
    return found


def group_of(curve: str) -> str:
    """The question that a curve belongs to: "settings" for sweeps, "other" for those of a later version."""
    if SWEEP in curve:
        return "settings"
    return "detail" if curve.endswith(DISTRIBUTION) else CURVES.get(curve, "other")


def _curve(name: str, curve: Curve) -> go.Figure:
    draw: Callable[[Curve], go.Figure] = areas if name.endswith(DISTRIBUTION) else lines
    figure = lines(curve, log_x=True, log_y=True) if name == "spectrum" else draw(curve)
    if name == "spectrum":
        figure.update_xaxes(dtick="D2")
        figure.update_yaxes(exponentformat="power", dtick=2)
    if name.startswith("speed"):
        figure.update_yaxes(rangemode="tozero")
    if name.startswith(("sharpness_ratio", "prompt_fidelity")):
        figure.add_hline(1, line_color=REAL, line_dash="dot")  # as real
    return figure


def _bars(measurements: Mapping[str, Measurement], measure: str) -> go.Figure:
    named = {name.replace(", ", ",<br>"): m for name, m in measurements.items()}
    figure = bars(named, MEASURES[measure].unit)
    figure.update_layout(showlegend=any(m.real is not None for m in measurements.values()))
    if len(named) > MANY:
        figure.update_traces(marker_size=12, selector={"name": "real"})
    for name in (name for name, m in named.items() if m.value is None):
        figure.add_annotation(
            x=label(name), y=0, yref="paper", yanchor="bottom", text=NOT_MEASURED, textangle=-90, showarrow=False
        )
    if measure in ("frechet_ratio", "prompt_accuracy_share", "utility_ratio", "sharpness_ratio"):
        figure.add_hline(1, line_color=REAL, line_dash="dot")  # as real
    return figure


def _ratios(record: Record) -> Figures:
    found = {MEASURES[name.removesuffix("_ratio")].title: m for name in RATIOS if (m := record.get(name)) is not None}
    return {"Generated divided by real": _bars(found, "sharpness_ratio")} if found else {}


def _by(measure: str) -> str:
    return "by kind of copy" if measure == "copies_found" else "by condition"
