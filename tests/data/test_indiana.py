"""The Indiana layout: the merge on uid, what is left out and why, and the labels from text."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PILImage

from xray_generator.data.indiana import read_indiana
from xray_generator.data.read import read_dataset
from xray_generator.data.rows import split_by_patient
from xray_generator.types import MAX_PROMPT_CHARACTERS, StudioError

MakePixels = Callable[[int], NDArray[np.uint8]]
REPORT_HEADER = "uid,MeSH,Problems,image,indication,comparison,findings,impression"
REPORTS = (
    "007,normal,normal,Xray Chest PA and Lateral,cough,None,Heart size XXXX normal. No effusion.,No acute disease.",
    "8,Cardiomegaly,Cardiomegaly,Chest,XXXX,,Mild cardiomegaly. No pneumothorax.,Cardiomegaly.",
    "8,twice,twice,Chest,,,Other.,Other.",
    "9,,,Chest,,,,Only an impression.",
    "10,,,Chest,,,Clear lungs.,Normal chest.",
    "11,,,Chest,,,Clear lungs.,Normal chest.",
)
PROJECTIONS = (
    "007,007_IM-0001-4001.dcm.png,Frontal",
    "007,007_IM-0001-3001.dcm.png,Lateral",
    "8,8_IM-0002-1001.dcm.png,Frontal",
    "9,9_IM-0003-1001.dcm.png,Frontal",
    "10,10_IM-0004-1001.dcm.png,Frontal",
    "12,12_IM-0005-1001.dcm.png,Frontal",
)


def _write(folder: Path, pixels: MakePixels, reports: Sequence[str] = REPORTS) -> Path:
    images = folder / "images" / "images_normalized"
    images.mkdir(parents=True)
    for number, name in enumerate(("007_IM-0001-4001", "007_IM-0001-3001", "8_IM-0002-1001", "9_IM-0003-1001")):
        PILImage.fromarray(pixels(number)).save(images / f"{name}.dcm.png")
    (folder / "indiana_reports.csv").write_text("\n".join([REPORT_HEADER, *reports]))
    (folder / "indiana_projections.csv").write_text("\n".join(["uid,filename,projection", *PROJECTIONS]))
    return folder


def test_merge_keeps_frontal_views_with_full_reports(tmp_path: Path, pixels: MakePixels) -> None:
    dataset = read_dataset(_write(tmp_path, pixels))
    first, second = dataset.rows
    assert first.patient_id == "007"
    assert first.path.name == "007_IM-0001-4001.dcm.png"
    assert first.prompt == "No acute disease. Heart size normal. No effusion."
    assert (first.findings, first.absent) == (("no_finding",), ("cardiomegaly", "pleural_effusion"))
    assert (second.findings, second.absent) == (("cardiomegaly",), ("pneumothorax",))
    assert second.split == split_by_patient("8")
    assert second.native_size == 64  # of the file, by its header


def test_what_is_left_out_is_counted(tmp_path: Path, pixels: MakePixels) -> None:
    assert read_dataset(_write(tmp_path, pixels)).skipped == (
        "1 reports repeat a uid (the first is used): 8",
        "1 views are not frontal: 007_IM-0001-3001.dcm.png",
        "1 frontal views have no findings or no impression; uid: 9",
        "1 image files are missing: 10_IM-0004-1001.dcm.png",
        "1 frontal views have no report; uid: 12",
        "1 reports have no projection; uid: 11",
    )


@pytest.mark.parametrize("blank", ["nan", "NULL", "None", "N/A", "#N/A"])
def test_a_blank_is_no_report(tmp_path: Path, pixels: MakePixels, blank: str) -> None:
    folder = _write(tmp_path, pixels, [f"8,,,Chest,,,{blank},{blank}"])
    with pytest.raises(StudioError, match="have no findings or no impression; uid: 8"):
        read_dataset(folder)


def test_nothing_left_is_refused(tmp_path: Path, pixels: MakePixels) -> None:
    folder = _write(tmp_path, pixels, ["99,,,Chest,,,Clear.,Normal."])
    with pytest.raises(StudioError, match="No frontal image with a full report"):
        read_dataset(folder)


def test_long_reports_are_cut_at_a_sentence(tmp_path: Path, pixels: MakePixels) -> None:
    folder = _write(tmp_path, pixels, [f"8,,,Chest,,,{'The lungs are clear. ' * 500},Normal chest."])
    (row,) = read_dataset(folder).rows
    assert len(row.prompt) <= MAX_PROMPT_CHARACTERS
    assert row.prompt.endswith("clear.")


def test_split_by_patient_is_stable_and_about_90_5_5() -> None:
    splits = [split_by_patient(str(number)) for number in range(10_000)]
    assert splits == [split_by_patient(str(number)) for number in range(10_000)]
    assert [round(splits.count(name) / 100) for name in ("train", "val", "test")] == [90, 5, 5]


def test_sample_in_the_indiana_layout(sample_folder: Path) -> None:
    dataset = read_indiana(
        sample_folder / "images" / "images_normalized",
        sample_folder / "indiana_reports.csv",
        sample_folder / "indiana_projections.csv",
    )
    assert not dataset.skipped
    assert [len(dataset.split(name)) for name in ("train", "val", "test")] == [18, 3, 3]
    assert all(row.findings and row.image().shape == (256, 256) for row in dataset.rows)


def test_the_two_layouts_agree_on_the_split(sample_folder: Path) -> None:
    """An image that one layout tests on must not be trained on in the other."""
    reports, projections = sample_folder / "indiana_reports.csv", sample_folder / "indiana_projections.csv"
    splits = {row.image().tobytes(): row.split for row in read_dataset(sample_folder).rows}
    for row in read_dataset(sample_folder, reports, projections).rows:
        assert splits[row.image().tobytes()] == row.split


def test_unknown_layout_names_both(tmp_path: Path) -> None:
    with pytest.raises(StudioError, match=r"metadata\.csv.*indiana_reports\.csv"):
        read_dataset(tmp_path)
    with pytest.raises(StudioError, match="does not exist"):
        read_dataset(tmp_path / "gone")
    with pytest.raises(StudioError, match="both CSV files"):
        read_dataset(tmp_path, reports_csv=tmp_path / "indiana_reports.csv")
