"""The Grid without a browser: from the Generator's form to a labeled sheet."""

import time
from pathlib import Path

from streamlit.testing.v1 import AppTest

from tests.pages.generator import TIMEOUT_S, click, own_folder, run, shown


def open_grid(app: AppTest) -> AppTest:
    app.switch_page("create/grid.py")
    return run(app)


def draw(app: AppTest) -> AppTest:
    """Press the button and wait for the sheet."""
    click(app, "grid_start")
    deadline = time.monotonic() + TIMEOUT_S
    while not has_sheet(app) and time.monotonic() < deadline:
        time.sleep(0.05)
        run(app)
    assert has_sheet(app)
    return app


def has_sheet(app: AppTest) -> bool:
    return "grid_png" in [button.key for button in app.download_button]


def test_a_grid_is_drawn_from_the_generators_form_and_kept(app: AppTest, output_dir: Path) -> None:
    app.text_area(key="prompt").set_value("{Normal|Large} heart")
    run(app)
    app = open_grid(app)
    assert "Normal heart" in shown(app)
    app.selectbox(key="grid_Rows").set_value("Steps")
    run(app)
    app.text_input(key="grid_Rows Steps of tiny").set_value("1, 2")
    assert run(app).button(key="grid_start").label == "Draw 6 images"
    draw(app)
    assert len(list(own_folder(output_dir).glob("*.png"))) == 6 and "each in the gallery" in shown(app)
    app.text_input(key="grid_Rows Steps of tiny").set_value("1, 2, 3")
    draw(run(app))
    assert "6 of them were drawn before" in shown(app)


def test_wrong_values_are_named(app: AppTest) -> None:
    app = open_grid(app)
    app.text_input(key="grid_Columns Guidance of tiny").set_value("1, much")
    assert "much" in run(app).error[0].value
    app.selectbox(key="grid_Columns").set_value("none")
    assert "1 to 3 axes" in run(app).error[0].value
    app.selectbox(key="grid_Columns").set_value("Prompt")
    run(app).text_area(key="grid_Columns Prompt of tiny").set_value("Normal\n\n{mild|severe} edema")
    assert run(app).button(key="grid_start").label == "Draw 3 images"


def test_without_a_form_it_says_where_to_begin(output_dir: Path) -> None:
    app = AppTest.from_file(Path(__file__).parents[2] / "pages" / "frame.py", default_timeout=TIMEOUT_S)
    assert "Open the Generator first" in shown(open_grid(run(app)))
