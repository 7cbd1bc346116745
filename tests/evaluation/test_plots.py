from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from xray_generator.evaluation.plots import (
    GENERATED,
    NOT_MEASURED,
    REAL,
    bars,
    curves,
    heat_map,
    histograms,
    image_pairs,
    radar,
    save,
)
from xray_generator.evaluation.records import Curve, Measurement
from xray_generator.types import StudioError


def texts(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_a_figure_becomes_a_file(tmp_path: Path) -> None:
    path = save(histograms(np.arange(5.0), np.arange(9.0), "sharpness"), tmp_path / "new" / "sharpness.png")
    assert Image.open(path).size == (1050, 600)


def test_histograms_count_shares_and_say_how_many_images() -> None:
    axes = histograms(np.array([1.0, 1.0, 2.0]), np.array([0.0, 1.0, 2.0, 9.0]), "entropy").axes[0]
    heights: dict[str, float] = {}
    for patch in axes.patches:
        color = to_hex(patch.get_facecolor()).upper()
        heights[color] = heights.get(color, 0) + patch.get_height()
    assert heights == pytest.approx({REAL: 1, GENERATED: 1})
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["real, n = 4", "generated, n = 3"]
    assert histograms(np.empty(0), np.arange(3.0), "entropy").axes[0].patches


def test_curves_leave_a_gap_where_nothing_was_measured() -> None:
    curve = Curve(
        "Quality", "steps", "ratio", (4.0, 8.0, 20.0), {"generated": (3.0, None, 1.0), "real, test": (1.0,) * 3}
    )
    axes = curves(curve, logarithmic=True).axes[0]
    drawn, real = axes.lines
    np.testing.assert_array_equal(drawn.get_ydata(), [3, np.nan, 1])
    assert (drawn.get_color(), real.get_color()) == (GENERATED, REAL) and axes.get_xscale() == "log"


def test_bars_draw_the_interval_the_yardstick_and_what_is_missing() -> None:
    measured = Measurement("precision", 0.5, 100, (0.4, 0.6), 0.9, 100)
    missing = Measurement("recall", None, reason="too few images")
    axes = bars({"precision": measured, "recall": missing}, "share").axes[0]
    assert [patch.get_height() for patch in axes.patches] == [0.5]
    interval, yardstick = (lines.get_segments()[0] for lines in axes.collections)
    np.testing.assert_allclose(interval[:, 1], (0.4, 0.6))
    np.testing.assert_allclose(yardstick[:, 1], 0.9)
    assert texts(axes) == [NOT_MEASURED]


def test_a_heat_map_writes_each_number() -> None:
    figure = heat_map(["no finding", "mass"], ["precision", "recall"], [[0.25, None], [1.0, 0.5]], "by finding")
    cells = {(text.get_position()[1], text.get_position()[0]): text.get_text() for text in figure.axes[0].texts}
    assert cells == {(0.5, 0.5): "0.25", (0.5, 1.5): "–", (1.5, 0.5): "1", (1.5, 1.5): "0.5"}
    assert texts(heat_map(["mass"], ["recall"], [[None]]).axes[0]) == ["–"]


def test_a_radar_keeps_what_is_far_off_on_its_rim(tmp_path: Path) -> None:
    figure = radar({"sharpness": 0.5, "contrast": None, "noise": 7.0})
    drawn = figure.axes[0].lines[0]
    np.testing.assert_array_equal(drawn.get_ydata(), [0.5, np.nan, 2, 0.5])
    names = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert names == ["sharpness\n0.50", f"contrast\n{NOT_MEASURED}", "noise\n7.00"]
    save(figure, tmp_path / "radar.png")
    with pytest.raises(StudioError, match="three measures"):
        radar({"sharpness": 1.0, "noise": 1.0})


def test_pairs_lie_side_by_side_with_fixed_gray() -> None:
    dark, light = np.zeros((8, 8), np.float32), np.full((8, 8), 0.5, np.float32)
    figure = image_pairs([(dark, light)] * 5, captions=[f"pair {i}" for i in range(5)])
    assert len(figure.axes) == 5 and "pair 4" in figure.axes[4].get_title()
    picture = figure.axes[0].images[0]
    assert picture.get_array().shape == (8, 16) and picture.get_clim() == (0, 1)
    assert image_pairs([]).axes == []
