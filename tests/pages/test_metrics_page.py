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
from xray_generator.evaluation.summary import GROUPS

PAGE = "measure/metrics.py"
ROOT = Path(__file__).parents[2]


def of_tiny(record: Record, output_dir: Path) -> Record:
    """The record as one of the checkpoint that is here."""
    return replace(record, checkpoint=list_checkpoints(output_dir / "checkpoints")[0].ref)


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
    assert not page.warning and not page.error
    assert [heading.value for heading in page.subheader][: len(GROUPS)] == list(GROUPS.values())


def test_tiles_show_the_encoders_space_with_its_basis_and_why_values_are_missing(output_dir: Path) -> None:
    keep(output_dir, FULL)
    page = open_page(PAGE)
    tiles = {tile.label.replace("\\", ""): tile.value for tile in page.metric}
    assert tiles["Fréchet distance, ratio to real"] == "1.5 × real" and tiles["Precision"] == "0.5"
    assert tiles["Time for one image"] == "500 ms" and tiles["C2ST AUROC"] == "not measured"
    text = words(page)
    assert "95 % interval 0.4 to 0.6; real 0.9 (n = 100); n = 100; classifier@c9d40e0ea6cf" in text
    assert "Not measured: this record of the full suite does not hold it." in text  # of the autoencoder
    assert "Labels measured: 1; not measured: 1" in text


def test_labels_are_counted_once_despite_a_sweep(output_dir: Path) -> None:
    swept = tuple(
        replace(m, settings={"guidance_scale": scale})
        for m in FULL.measurements
        if m.measure == "prompt_accuracy"
        for scale in (1.0, 3.0, 5.0)
    )
    keep(output_dir, replace(FULL, measurements=(*FULL.measurements, *swept)))
    assert "Labels measured: 1; not measured: 1." in words(open_page(PAGE))


def test_every_curve_table_and_number_is_drawn(output_dir: Path) -> None:
    keep(output_dir, FULL)
    page = open_page(PAGE)
    drawn = charts(page)
    for curve in CURVES.values():
        assert curve.title in drawn
    for part in (
        "Precision, in each feature space",
        "Memorization rate, by condition",
        "Planted copies found, by kind of copy",
    ):
        assert part in drawn
    tables = [list(table.value.columns) for table in page.dataframe]
    assert ["component", "parameters"] in tables and ["label", "images", "true_positive"] in tables
    rows = sum(len(table.value) for table in page.dataframe if "Better" in table.value.columns)
    assert rows == len(FULL.measurements)
    reasons = [list(table.value["Reason"]) for table in page.dataframe if "Reason" in table.value.columns]
    assert any("0 test films have it" in column for column in reasons)


@pytest.mark.parametrize(("name", "warning"), [("tiny", "have changed since"), ("longer", "are not here")])
def test_a_stale_record_is_marked(output_dir: Path, name: str, warning: str) -> None:
    keep(output_dir, FULL if name == "tiny" else GONE)
    page = open_page(PAGE)
    assert warning in page.warning[0].value
    assert "weights changed or not here" in page.selectbox(key="metrics_record").options[0]


def test_the_record_of_an_upscaler_that_is_here_is_not_stale(tiny_checkpoint: Path, output_dir: Path) -> None:
    (output_dir / "checkpoints").unlink()
    shutil.copytree(tiny_checkpoint / "checkpoints" / "latent_diffusion", output_dir / "checkpoints/super_resolution")
    edit_manifest(next(output_dir.rglob("manifest.json")).parent, lambda data: data.update(family="super_resolution"))
    keep(output_dir, of_tiny(FULL, output_dir))
    page = open_page(PAGE)
    assert "weights changed" not in page.selectbox[0].options[0] and not page.warning


def test_the_newest_full_record_comes_first_and_the_choice_outlives_a_change_of_page(output_dir: Path) -> None:
    keep(output_dir, QUICK, GONE, FULL)
    page = open_page(PAGE)
    assert page.selectbox(key="metrics_record").value == "tiny_full_films.record.json"
    page.selectbox(key="metrics_record").set_value("tiny_quick_films.record.json").run()
    assert "has no sweep. The full suite makes them" in words(page)
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
