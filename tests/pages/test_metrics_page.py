"""The Metrics page without a browser: what it shows of a record, and without one."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from tests.manifests import edit_manifest
from tests.pages.record_samples import CURVES, FOLDER, FULL, GONE, QUICK, keep, open_page, words
from xray_generator.checkpoints import list_checkpoints
from xray_generator.evaluation.records import Record

PAGE = "measure/metrics.py"
ROOT = Path(__file__).parents[2]


def of_tiny(record: Record, output_dir: Path) -> Record:
    """The record as one of the checkpoint that is here."""
    return replace(record, checkpoint=list_checkpoints(output_dir / "checkpoints")[0].ref)


def open_tab(page: AppTest, name: str) -> AppTest:
    page.session_state["metrics_tab"] = name
    page.run()
    assert not page.exception
    return page


def tabs(page: AppTest) -> list[str]:
    return [tab.label for tab in page.tabs]


def charts(page: AppTest) -> str:
    """The keys of all charts."""
    return "\n".join(chart.proto.id for chart in page.get("plotly_chart"))


def test_without_records_the_page_says_how_to_make_one(output_dir: Path) -> None:
    page = open_page(PAGE)
    assert "There is no record" in page.info[0].value
    assert "python -m xray_generator.evaluate" in page.code[0].value
    assert not page.error and not page.selectbox


def test_the_header_states_what_was_evaluated_on_what_and_when(output_dir: Path) -> None:
    keep(output_dir, of_tiny(FULL, output_dir))
    page = open_page(PAGE)
    text = words(page)
    for part in (
        "latent_diffusion/tiny",
        "dpm++, 20 steps, guidance 3.0",
        "films, val+test split, n = 218",
        "2026-01-02, ",
        "days ago",
        "1234567",
        "Some *processor*, cpu, threads: 2",
        "One film | was *left out*.",
    ):
        assert part in text
    assert "Too soft (sharpness 0.50 × real, n = 100)" in text and "Judged by a classifier" in text
    assert not page.warning and not page.error


def test_tiles_show_the_encoders_space_with_its_basis(output_dir: Path) -> None:
    keep(output_dir, FULL)
    page = open_page(PAGE)
    tiles = {tile.label.replace("\\", ""): tile.value for tile in page.metric}
    assert tiles == {"Fréchet distance, ratio to real": "1.5 × real", "Precision": "0.5"}
    assert "95 % interval 0.4 to 0.6; real 0.9 (n = 100); n = 100; classifier@c9d40e0ea6cf" in words(page)
    open_tab(page, "Speed")
    assert {tile.label: tile.value for tile in page.metric}["Time for one image"] == "0.50 s"
    assert "Labels measured: 1; not measured: 1" in words(open_tab(page, "Prompt or class"))


def test_what_has_no_number_is_named_in_one_line_and_drawn_nowhere(output_dir: Path) -> None:
    keep(output_dir, replace(FULL, curves={"spectrum": replace(CURVES["spectrum"], lines={"generated": (None,) * 3})}))
    page = open_page(PAGE)
    assert tabs(page) == ["Realism", "Sharpness", "Variety", "Prompt or class", "Copies", "Speed"]
    text = words(page)
    absent = "Are they useful for training? Can its structure be learned, and is it drawn?"
    assert f"Not measured in this record of the full suite: {absent}" in text and "guidance and steps change?" in text
    why = page.dataframe[-1].value
    assert why.loc[why["Of"] == "mass", "Reason"].item() == "0 test films have it"
    assert why.loc[why["Of"] == "all", "Measure"].item() == "Fréchet distance, ratio to real"
    drawn = "".join(charts(open_tab(page, name)) for name in tabs(page))
    assert "Generated divided by real" in drawn and "Power spectrum" not in drawn


def test_labels_are_counted_once_despite_a_sweep(output_dir: Path) -> None:
    swept = tuple(
        replace(m, settings={"guidance_scale": scale})
        for m in FULL.measurements
        if m.measure == "prompt_accuracy"
        for scale in (1.0, 3.0, 5.0)
    )
    keep(output_dir, replace(FULL, measurements=(*FULL.measurements, *swept)))
    assert "Labels measured: 1; not measured: 1." in words(open_tab(open_page(PAGE), "Prompt or class"))


def test_every_curve_table_and_number_is_drawn(output_dir: Path) -> None:
    added = {"ablations": ({"change": "none"},), "of_a_later_version": ({"odd": 1},)}
    keep(output_dir, replace(FULL, tables={**FULL.tables, **added}))
    page = open_page(PAGE)
    drawn, found = "", []
    for name in tabs(page):
        open_tab(page, name)
        drawn += charts(page)
        found += [table.value for table in page.dataframe]
    for curve in CURVES.values():
        assert curve.title in drawn
    for part in (
        "Precision, in each feature space",
        "Memorization rate, by condition",
        "Planted copies found, by kind of copy",
    ):
        assert part in drawn
    tables = [list(table.columns) for table in found]
    assert ["component", "parameters"] in tables and ["label", "images", "true_positive"] in tables
    assert ["change"] in tables and ["odd"] in tables
    rows = sum(len(table) for table in found if "Better" in table.columns)
    assert rows == len(FULL.measurements)
    reasons = [list(table["Reason"]) for table in found if {"Reason", "Better"} <= set(table.columns)]
    assert any("0 test films have it" in column for column in reasons)


@pytest.mark.parametrize(("name", "warning"), [("tiny", "have changed since"), ("longer", "are not here")])
def test_a_stale_record_is_marked(output_dir: Path, name: str, warning: str) -> None:
    keep(output_dir, FULL if name == "tiny" else GONE)
    page = open_page(PAGE)
    assert warning in page.warning[0].value
    assert "older weights" in page.selectbox(key="metrics_record").options[0]


def test_the_record_of_an_upscaler_that_is_here_is_not_stale(tiny_checkpoint: Path, output_dir: Path) -> None:
    (output_dir / "checkpoints").unlink()
    shutil.copytree(tiny_checkpoint / "checkpoints" / "latent_diffusion", output_dir / "checkpoints/super_resolution")
    edit_manifest(next(output_dir.rglob("manifest.json")).parent, lambda data: data.update(family="super_resolution"))
    keep(output_dir, of_tiny(FULL, output_dir))
    page = open_page(PAGE)
    assert "older weights" not in page.selectbox[0].options[0] and not page.warning


def test_the_models_fullest_record_comes_first_and_the_choice_outlives_a_change_of_page(output_dir: Path) -> None:
    newer = replace(GONE, created="2027-01-01T00:00:00+00:00")
    keep(output_dir, QUICK, newer, FULL)
    page = open_page(PAGE)
    assert page.selectbox(key="metrics_record").value == "tiny_full_films.record.json"
    page.selectbox(key="metrics_record").set_value("tiny_quick_films.record.json").run()
    assert "What do guidance and steps change?" in words(page)
    page.switch_page("create/enhancement.py").run()
    page.switch_page(PAGE).run()
    assert page.selectbox(key="metrics_record").value == "tiny_quick_films.record.json"
    assert not page.exception


def test_text_of_a_record_is_not_markup(output_dir: Path) -> None:
    keep(output_dir, FOLDER)
    page = open_page(PAGE)
    assert any(element.value == "folder <b>of *others*, images of a folder" for element in page.text)
    assert not page.warning  # nothing is stale about images of unknown origin


def test_damaged_and_odd_records_do_not_stop_the_page(output_dir: Path) -> None:
    keep(output_dir, replace(FULL, settings={"num_images": "many", "threads": [1]}, created="long ago"))
    (output_dir / "metrics" / "broken.record.json").write_text("{")
    page = open_page(PAGE)
    assert "broken.record.json cannot be read" in page.error[0].value.replace("\\", "")
    assert "long ago, date unknown" in words(page) and page.metric


def test_the_gallery_and_the_downloads(output_dir: Path) -> None:
    keep(output_dir, FULL)
    folder = output_dir / "visualizations" / FULL.name
    folder.mkdir(parents=True)
    for name in ("closest_pairs", "spectrum"):
        Image.new("L", (16, 16)).save(folder / f"{name}.png")
    page = open_page(PAGE)
    open_tab(page, "Copies")
    assert len(page.get("image")) == 1
    assert [button.label for button in page.download_button] == [
        "Record as JSON",
        "Summary in plain words",
        "All, with 2 figures",
    ]
    assert all(button.proto.ignore_rerun for button in page.download_button)


def test_the_page_imports_no_torch_and_no_matplotlib(output_dir: Path) -> None:
    keep(output_dir, FULL)
    code = """
import sys
from streamlit.testing.v1 import AppTest
app = AppTest.from_file("pages/measure/metrics.py", default_timeout=60).run()
assert not app.exception and not app.error and app.metric
app = AppTest.from_file("pages/measure/evaluation.py", default_timeout=60).run()
assert not app.exception and not app.error and app.dataframe
print([name for name in ("torch", "diffusers", "matplotlib") if name in sys.modules])
"""
    env = {"OUTPUT_DIR": str(output_dir), "PATH": "", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "[]"
