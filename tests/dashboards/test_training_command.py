"""The command to train on a dataset: one that the command line takes, with the configuration for its rows."""

import shlex
from pathlib import Path

import pytest

from xray_generator.dashboards.training_command import training_command
from xray_generator.data.places import Place, find_places
from xray_generator.data.rows import LOOSE_IMAGES, Row
from xray_generator.dicom.hounsfield import Window
from xray_generator.train import _parser

DRAWN = {"chest_xray_256": (), "axoneme_224": ("cp", "oda"), "elsewhere": ("ring",)}


def options(rows: tuple[Row, ...], folder: Path | str = "dataset", tables: tuple[Path, ...] = ()) -> dict[str, object]:
    words = shlex.split(training_command(rows, folder, tables, DRAWN).replace("\\\n", ""))
    assert words[:3] == ["python", "-m", "xray_generator.train"]
    return vars(_parser().parse_args(words[3:]))


def row(**facts: object) -> Row:
    return Row(**({"path": Path("a.png"), "prompt": "", "findings": ()} | facts))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rows", "config", "overrides"),
    [
        ((row(prompt="Chest X-ray"),), "chest_xray_256", ["name=my_dataset"]),
        ((row(label="benign"), row(label="malignant"), row(label="normal")), "lung_ct_128", ["name=my_dataset"]),
        ((row(label="cp"), row(label="oda")), "axoneme_224", ["name=my_dataset"]),
        ((row(label="ring"), row(label="disc")), "blood_cells_224", ["name=my_dataset"]),
        ((row(prompt="CT", hu_window=Window(-600, 1500)),), "lung_ct_128", ["name=my_dataset", "labels=[]"]),
    ],
)
def test_the_configuration_fits_the_rows(rows: tuple[Row, ...], config: str, overrides: list[str]) -> None:
    found = options(rows)
    assert (found["config"], found["overrides"]) == (config, overrides)


def test_what_teaches_nothing_has_no_command() -> None:
    assert not training_command((row(source=LOOSE_IMAGES),), "dataset")


def test_odd_names_reach_the_command_line_whole(tmp_path: Path) -> None:
    found = options((row(label="a"),), tmp_path / "My films; $HOME")
    assert found["dataset_path"] == tmp_path / "My films; $HOME" and found["overrides"] == ["name=my_my_films_home"]
    assert "--quick_test" in training_command((row(label="a"),), "x", is_quick=True)


def test_every_dataset_that_ships_is_found_and_its_tables_are_named(dataset_folder: Path) -> None:
    places = find_places(dataset_folder)
    parts = ("blood_cells", "brain_mri", "lung_ct")
    assert places == (Place(dataset_folder), Place(dataset_folder, True), *(Place(dataset_folder / n) for n in parts))
    found = options(places[1].read().rows, places[1].folder, places[1].tables)
    assert found["reports_csv"] == dataset_folder / "indiana_reports.csv"
    assert found["projections_csv"] == dataset_folder / "indiana_projections.csv"


def test_class_folders_are_one_dataset(tmp_path: Path, dataset_folder: Path) -> None:
    for name in ("disc", "ring"):
        (tmp_path / name / "inner").mkdir(parents=True)
        (tmp_path / name / "inner" / "a.jpg").write_bytes(next((dataset_folder / "images").glob("*.jpg")).read_bytes())
    assert find_places(tmp_path) == (Place(tmp_path),)
    assert find_places(tmp_path / "gone") == () == find_places(tmp_path / "disc")
