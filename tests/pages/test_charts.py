"""Charts take names from data: each is drawn as it was written, and no tag in it is read."""

import json

import plotly.graph_objects as go
import pytest

from pages.kit import charts
from xray_generator.evaluation.records import Curve, Measurement

FOREIGN = "<a href=x>R&D</a>"
SAFE = "&lt;a href=x&gt;R&amp;D&lt;/a&gt;"
FIGURES = {
    "lines": charts.lines(Curve("t", FOREIGN, FOREIGN, (1.0,), {FOREIGN: (1.0,)})),
    "areas": charts.areas(Curve("t", FOREIGN, FOREIGN, (1.0,), {FOREIGN: (1.0,)})),
    "bars": charts.bars({FOREIGN: Measurement("ssim", 0.5, 3, real=0.4, real_n=2)}, FOREIGN),
    "counts": charts.counts({FOREIGN: 1}, FOREIGN),
    "heat map": charts.heat_map([FOREIGN], [FOREIGN], [[1.0]], FOREIGN),
    "scatter": charts.scatter([1.0], [1.0], [FOREIGN], [FOREIGN], (FOREIGN, FOREIGN)),
}


@pytest.mark.parametrize("figure", FIGURES.values(), ids=FIGURES)
def test_no_tag_of_a_name_is_read(figure: go.Figure) -> None:
    drawn = json.dumps([figure.to_plotly_json()["data"], figure.to_plotly_json()["layout"]], default=list)
    assert "<a" not in drawn and drawn.count(SAFE) >= 2


def test_a_spoke_is_escaped_line_by_line() -> None:
    names = charts.radar({"<b>bold</b>": 1.0, "two words and more": 1.2}).data[1].theta
    assert list(names) == ["&lt;b&gt;bold&lt;/b&gt;", "two words and<br>more", "&lt;b&gt;bold&lt;/b&gt;"]


def test_a_far_mark_does_not_hide_the_rest() -> None:
    figure = charts.strips({"real": (20.0, 22.0)}, {"near": 23.0, "noise": 560.0, "blank": -3.0}, "bits")
    real, near, noise, blank = figure.data
    low, high = figure.layout.xaxis.range
    assert list(real.x) == [20, 22] and set(near.x) == {23} and 19 < low < 20 and 23 < high < 24
    assert [(trace.x[0], trace.text[0]) for trace in (noise, blank)] == [(23, "noise: 560.0"), (20, "blank: -3.0")]
    assert [trace.marker.symbol for trace in (noise, blank)] == ["triangle-right", "triangle-left"]
    assert "560" in noise.hovertemplate


def test_a_scale_has_a_width_however_few_values_there_are() -> None:
    for value in (9.0, 0.0, -2.0):
        for groups, marks in (({"real": (value,)}, {}), ({}, {"image": value}), ({"real": (value,)}, {"image": value})):
            low, high = charts.strips(groups, marks, "bits").layout.xaxis.range
            assert low < value < high
