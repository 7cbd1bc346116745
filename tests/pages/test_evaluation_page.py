"""The Evaluation page without a browser: records side by side, ranks, figures and exports."""

from dataclasses import replace
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.pages.record_samples import FOLDER, FULL, GONE, QUICK, keep, open_page, words

PAGE = "measure/evaluation.py"
SHARPNESS = "Sharpness, ratio to real"


@pytest.fixture
def page(output_dir: Path) -> AppTest:
    """The page over three full records and a quick one."""
    keep(output_dir, FULL, GONE, FOLDER, QUICK)
    return open_page(PAGE)


def open_tab(page: AppTest, name: str) -> AppTest:
    page.session_state["board_tab"] = name
    page.run()
    assert not page.exception
    return page


def charts(page: AppTest) -> str:
    return "\n".join(chart.proto.id for chart in page.get("plotly_chart"))


def test_without_records_the_page_says_how_to_make_one(output_dir: Path) -> None:
    page = open_page(PAGE)
    assert "There is no record" in page.info[0].value and "xray_generator.evaluate" in page.code[0].value


def test_a_row_for_each_record_of_the_suite(page: AppTest) -> None:
    table = page.dataframe[0].value
    assert list(table["Record"]) == ["tiny", "longer", "folder <b>of *others*"]
    assert list(table[SHARPNESS]) == pytest.approx([0.5, 0.45, 0.4])
    assert table[f"{SHARPNESS}, basis"][0] == "0.4 × real to 0.6 × real; n = 100"
    assert list(table["Weights"]) == ["older weights", "older weights", "unknown origin"]
    assert "have changed since" in words(page) and "not here" in words(page)


def test_ranks_follow_each_measures_direction(page: AppTest) -> None:
    table = page.dataframe[1].value
    assert list(table[SHARPNESS]) == [1, 2, 3]  # best as on real images
    assert list(table["Time for one image"]) == [3, 2, 1]  # best when lower
    assert "Rank 1 is best" in words(page) and not page.info
    assert list(page.dataframe[0].value["Time for one image"]) == pytest.approx([0.5, 0.45, 0.4])  # seconds


def test_values_of_different_n_are_not_ranked(output_dir: Path) -> None:
    fewer = replace(
        GONE,
        settings={**GONE.settings, "num_images": 50},
        measurements=tuple(replace(m, n=50) if m.measure == "sharpness_ratio" else m for m in GONE.measurements),
    )
    keep(output_dir, FULL, fewer)
    page = open_page(PAGE)
    table = page.dataframe[1].value
    assert SHARPNESS not in table and list(table["Time for one image"]) == [2, 1]
    assert "only values of equal n are ranked" in words(page)
    assert f"on different numbers of images: {SHARPNESS}" in words(page)


def test_one_record_alone_is_not_ranked(page: AppTest) -> None:
    page.selectbox(key="board_group").set_value("quick suite, real images: films").run()
    assert not page.exception
    assert "Ranks need two or more records" in words(page) and len(page.dataframe) == 1
    assert list(page.dataframe[0].value["Record"]) == ["tiny"]
    assert "Not measured: Kernel distance over steps; Kernel distance over seconds per image" in words(page)
    assert "board kernel_distance" not in charts(page) and "board sharpness_ratio steps" in charts(page)


def test_a_measure_without_a_number_has_no_column(output_dir: Path) -> None:
    nothing = tuple(
        replace(m, value=None, interval=None, reason="too few images") if m.measure == "sharpness_ratio" else m
        for m in FULL.measurements
    )
    keep(output_dir, replace(FULL, measurements=nothing))
    page = open_page(PAGE)
    assert SHARPNESS not in page.dataframe[0].value
    assert f"Not measured in any of these records: {SHARPNESS}" in words(page)


def test_each_space_of_a_measure_is_chosen_by_itself(page: AppTest) -> None:
    measures = page.multiselect[0]
    assert {"Precision · classifier", "Precision · radiomics 1"} <= set(measures.options)
    assert "Precision · classifier" in measures.value and "Precision · radiomics 1" not in measures.value
    measures.set_value(["Precision · radiomics 1"]).run()
    assert not page.exception
    assert list(page.dataframe[0].value["Precision · radiomics 1"]) == [0.01] * 3
    page.multiselect[0].set_value([]).run()
    assert page.info[0].value == "Choose a measure."


def test_sweeps_conditions_and_radar_are_drawn(page: AppTest) -> None:
    drawn = charts(page)
    assert all(f"board {name}" in drawn for name in ("sharpness_ratio steps", "sharpness_ratio time"))
    assert "board kernel_distance guidance" in drawn and "board kernel_distance steps" not in drawn
    open_tab(page, "Conditions")
    assert "board_heat" in charts(page)
    page.selectbox(key="board_condition").set_value("Precision · classifier").run()
    assert not page.exception
    assert "board_heat" in charts(page)
    open_tab(page, "Radar")
    assert charts(page).count("board radar") == 3


def test_exports_do_not_rerun_the_page(page: AppTest) -> None:
    assert [button.label for button in page.download_button] == ["All values as CSV", "Report as HTML"]
    assert all(button.proto.ignore_rerun for button in page.download_button)


def test_a_deleted_record_takes_its_measures_along(page: AppTest, output_dir: Path) -> None:
    page.selectbox(key="board_group").set_value("quick suite, real images: films").run()
    keep(output_dir, FULL)
    page.run()
    assert not page.exception
    assert page.selectbox(key="board_group").value == "full suite, real images: films"


def test_differences_from_a_chosen_record_are_judged(page: AppTest) -> None:
    open_tab(page, "Differences")
    shown = page.dataframe[-1].value
    assert {"longer less tiny", "folder <b>of *others* less tiny"} <= set(shown.columns)
    sharpness = shown.set_index("measure").loc[SHARPNESS]
    assert sharpness["longer less tiny"].endswith("within chance") and sharpness["tiny"].startswith("0.5 × real")
    page.selectbox(key="board_first").set_value("longer").run()
    assert not page.exception
    assert "tiny less longer" in page.dataframe[-1].value.columns and "not over trainings" in words(page)
