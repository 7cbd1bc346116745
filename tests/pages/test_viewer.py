"""The viewer: what reaches the browser, and the geometry of its script, run by node; its gestures are for a browser."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from pages.kit import viewer

KIT = Path(__file__).parents[2] / "pages" / "kit"
GEOMETRY = (KIT / "viewer_geometry.js").read_text()
NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="node is not installed")
BOX, SIZE = {"width": 400, "height": 400}, {"width": 200, "height": 100}  # fits at 2 pixels of the screen for each


def evaluate(expression: str) -> Any:
    """The value of an expression over the geometry's functions."""
    script = f"{GEOMETRY}\nprocess.stdout.write(JSON.stringify({expression}));"
    command = [str(NODE), "--input-type=module", "-"]
    return json.loads(subprocess.run(command, input=script, capture_output=True, text=True, check=True).stdout)


@needs_node
def test_a_point_of_the_screen_is_a_point_of_the_image() -> None:
    def to_image(point: str, view: str) -> Any:
        return evaluate(f"toImage({point}, {json.dumps(SIZE)}, {json.dumps(BOX)}, {view})")

    assert to_image("{x: 0, y: 0}", "{zoom: 1, x: 0, y: 0}") == {"x": 100, "y": 50}
    assert to_image("{x: -100, y: 40}", "{zoom: 2, x: 20, y: 0}") == {"x": 70, "y": 60}
    assert to_image("{x: 900, y: -900}", "{zoom: 1, x: 0, y: 0}") == {"x": 200, "y": 0}  # kept inside


@needs_node
def test_zoom_keeps_the_point_under_it_and_ends_at_its_limits() -> None:
    view = evaluate("zoomAbout({zoom: 2, x: 30, y: -10}, 1.5, {x: 50, y: 20})")
    assert view["zoom"] == 3
    assert (50 - view["x"]) / 3 == pytest.approx((50 - 30) / 2) and (20 - view["y"]) / 3 == pytest.approx(30 / 2)
    assert evaluate("zoomAbout({zoom: 2, x: 9, y: 9}, 0.1, {x: 5, y: 5})") == {"zoom": 1, "x": 0, "y": 0}
    assert evaluate("zoomAbout({zoom: 2, x: 9, y: 9}, 100, {x: 0, y: 0})")["zoom"] == 16
    assert evaluate("zoomAbout({zoom: 1, x: 0, y: 0}, 0.1, {x: 5, y: 5}, 0.5)")["zoom"] == 0.5


@needs_node
def test_two_fingers_keep_what_is_between_them() -> None:
    fingers = "[{x: -50, y: 0}, {x: 50, y: 0}], [{x: -60, y: 30}, {x: 140, y: 30}]"  # twice as far apart, moved
    view = evaluate(f"pinch({{zoom: 1.5, x: 4, y: 8}}, {fingers})")
    before, after = ((0 - 4) / 1.5, (0 - 8) / 1.5), ((40 - view["x"]) / 3, (30 - view["y"]) / 3)
    assert view["zoom"] == 3 and after == pytest.approx(before)


@needs_node
def test_one_to_one_is_a_pixel_of_the_display_for_each_of_the_image() -> None:
    sizes = json.dumps(SIZE), json.dumps(BOX)
    assert evaluate(f"oneToOne({sizes[0]}, {sizes[1]}, 1)") == 0.5
    assert evaluate(f"oneToOne({sizes[0]}, {sizes[1]}, 2)") == 0.25  # a display of twice the density


@needs_node
def test_a_length_is_in_pixels_and_in_mm_where_the_spacing_is_known() -> None:
    points = "{x: 10, y: 10}, {x: 13, y: 14}"
    assert evaluate(f"lengthOf({points}, null)") == {"pixels": 5, "mm": None}
    spaced = evaluate(f"lengthOf({points}, [0.5, 2])")  # 0.5 mm between rows, 2 mm between columns
    assert spaced["mm"] == pytest.approx(np.hypot(4 * 0.5, 3 * 2))
    reduced = evaluate(f"lengthOf({points}, [0.5, 2], 2)")  # two pixels of the original for each that is shown
    assert reduced["pixels"] == 10 and reduced["mm"] == pytest.approx(2 * spaced["mm"])
    assert evaluate("describeLength({pixels: 10.25, mm: null})") == "10.3 pixels"
    assert evaluate("describeLength({pixels: 10, mm: 7.04})") == "7 mm (10 pixels)"


@needs_node
def test_a_region_has_the_mean_and_the_deviation_of_its_ellipse() -> None:
    levels = np.random.default_rng(0).integers(0, 256, (40, 60))
    levels[20, 30] = 0
    x, y = np.meshgrid(np.arange(60) + 0.5, np.arange(40) + 0.5)
    inside = levels[((x - 30) / 20) ** 2 + ((y - 20) / 10) ** 2 <= 1]
    found = evaluate(f"regionOf({levels.ravel().tolist()}, 60, {{x: 50, y: 10}}, {{x: 10, y: 30}})")
    assert found["count"] == len(inside)
    assert (found["mean"], found["deviation"]) == pytest.approx((inside.mean(), inside.std()))
    assert (found["black"], found["white"]) == pytest.approx(((inside == 0).mean(), (inside == 255).mean()))


@needs_node
def test_values_are_said_in_the_units_of_the_image() -> None:
    found = "{count: 1200, mean: 51, deviation: 5.1, black: 0, white: 0.25}"
    gray = evaluate(f"describeRegion({found}, {{low: 0, high: 255, unit: ''}})")
    assert gray == "mean 51 of 255, deviation 5.1, 1,200 pixels, 25 % white"
    units = evaluate(f"describeRegion({found}, {{low: -1350, high: 150, unit: ' HU'}})")
    assert units == "mean -1,050 HU, deviation 30 HU, 1,200 pixels, 25 % white (150 HU or beyond)"
    assert "no pixel" in evaluate("describeRegion(regionOf([], 4, {x: 1, y: 1}, {x: 1, y: 1}), {})")


@needs_node
def test_the_scripts_of_each_component_are_one_module(tmp_path: Path) -> None:
    for name, files in viewer.FILES.items():
        path = tmp_path / f"{name}.mjs"
        path.write_text("\n".join((KIT / file).read_text() for file in files))
        subprocess.run([str(NODE), "--check", path], check=True)


def test_every_button_of_the_viewer_does_something() -> None:
    script = (KIT / "viewer.js").read_text()
    for action in re.findall(r'data-do="(\w+)"', viewer.VIEWER):
        assert re.search(rf"\b{action}: |, {action},$", script, re.MULTILINE), action


def page(body: str) -> dict[str, Any]:
    """What a page of this body gives the component."""
    head = "import numpy as np\nfrom pages.kit.viewer import *\nfrom xray_generator.dicom.hounsfield import Window\n"
    app = AppTest.from_string(head + body).run()
    assert not app.exception
    (component,) = app.get("bidi_component")
    return json.loads(component.proto.json)


def test_images_are_marked_and_enhanced_ones_have_no_hounsfield_units() -> None:
    image = "np.zeros((4, 6), np.float32)"
    data = page(
        f"draw_viewer({{'a': {image}, 'b': {image}}}, 'k', space_px=9, real=['a'], unitless=['b'],"
        " window=Window(-600, 1500), spacing_mm=(0.7, 0.8))"
    )
    assert [(pane["label"], pane["mark"], pane["unit"]) for pane in data["panes"]] == [
        ("a", "Real", " HU"),
        ("b", "Synthetic", ""),
    ]
    assert (data["panes"][0]["low"], data["high"], data["spacing"]) == (-1350, 150, [0.7, 0.8])


def test_a_cine_has_every_image_and_its_name() -> None:
    series = "[np.full((4, 4), i / 2, np.float32) for i in range(3)]"
    data = page(f"draw_cine({{'a': {series}, 'b': {series}}}, ['x', 'y', 'z'], 'k', space_px=9, first=1)")
    assert [len(set(pane["frames"])) for pane in data["panes"]] == [3, 3]
    assert data["names"] == ["x", "y", "z"] and data["first"] == 1
