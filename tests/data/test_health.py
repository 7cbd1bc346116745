"""The health check finds planted faults, and none in a sound dataset."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from xray_generator.data.health import NEAR_CORRELATION, check_health, main, thumbnail
from xray_generator.data.read import read_dataset
from xray_generator.data.rows import LOOSE_IMAGES, Dataset
from xray_generator.images import from_uint8, to_uint8
from xray_generator.types import Image

Pixels = NDArray[np.uint8]
MakePack = Callable[..., Path]
MakePixels = Callable[[int], Pixels]
LINE = "{image},{caption},no_finding,PA,,,,{split},{patient},s,l,,"


def _line(image: str, patient: str, split: str = "train", caption: str = "Chest X-ray") -> str:
    return LINE.format(image=image, caption=caption, split=split, patient=patient)


def test_planted_faults_are_found(make_pack: MakePack, pixels: MakePixels) -> None:
    base = pixels(1)
    brighter = np.clip(base.astype(np.float32) * 0.9 + 10, 0, 255).astype(np.uint8)
    images = {"a.png": base, "copy.png": base, "near.png": brighter, "b.png": pixels(2), "c.png": pixels(3)}
    images |= {"flat.png": np.full((64, 64), 7, np.uint8), "same.png": pixels(3), "broken.png": base}
    lines = [
        _line("a.png", "p1"),
        _line("copy.png", "p2", "val"),
        _line("near.png", "p3", "test"),
        _line("b.png", "p4"),
        _line("c.png", "p5"),
        _line("same.png", "p5"),
        _line("flat.png", "p6", caption=""),
        _line("broken.png", "p4", "test"),
        _line("gone.png", "p7"),
    ]
    folder = make_pack(lines, images)
    (folder / "images" / "broken.png").write_bytes((folder / "images" / "broken.png").read_bytes()[:200])
    report = check_health(read_dataset(folder))
    found = {(issue.kind, tuple(path.name for path in issue.paths)) for issue in report.issues}
    assert found == {
        ("left_out", ()),
        ("unreadable", ("broken.png",)),
        ("constant", ("flat.png",)),
        ("duplicate_across_splits", ("a.png", "copy.png")),
        ("duplicate", ("c.png", "same.png")),
        ("near_duplicate_across_splits", ("a.png", "near.png")),
        ("near_duplicate_across_splits", ("copy.png", "near.png")),
        ("patient_in_several_splits", ("b.png", "broken.png")),
        ("no_prompt", ("flat.png",)),
    }
    assert report.num_images == 8


def test_equal_patient_ids_of_two_sources_are_two_patients(make_pack: MakePack, pixels: MakePixels) -> None:
    folder = make_pack([_line("a.png", "1"), _line("b.png", "1", "test")], {"a.png": pixels(1), "b.png": pixels(2)})
    first, second = read_dataset(folder).rows
    assert check_health(Dataset((first, second))).counts() == {"patient_in_several_splits": 1}
    assert not check_health(Dataset((first, replace(second, source="other")))).issues


def test_an_image_of_a_class_needs_no_prompt(make_pack: MakePack, pixels: MakePixels) -> None:
    (row,) = read_dataset(make_pack([_line("a.png", "1")], {"a.png": pixels(1)})).rows
    silent = replace(row, prompt="")
    assert check_health(Dataset((silent,))).counts() == {"no_prompt": 1}
    assert not check_health(Dataset((replace(silent, label="disc"),))).issues


def test_equal_images_of_two_classes_are_told(make_pack: MakePack, pixels: MakePixels) -> None:
    folder = make_pack([_line("a.png", "p1"), _line("b.png", "p2")], {"a.png": pixels(1), "b.png": pixels(1)})
    rows = read_dataset(folder).rows
    (issue,) = check_health(Dataset((replace(rows[0], label="ill"), replace(rows[1], label="well")))).issues
    assert issue.kind == "duplicate" and issue.message.endswith("Their classes differ: ill, well.")


def test_images_of_which_nothing_is_known_lack_no_prompt(make_pack: MakePack, pixels: MakePixels) -> None:
    (row,) = read_dataset(make_pack([_line("a.png", "1")], {"a.png": pixels(1)})).rows
    assert not check_health(Dataset((replace(row, prompt="", source=LOOSE_IMAGES),))).issues


@pytest.mark.parametrize("reports", [False, True])
def test_sample_that_ships_has_no_issue(sample_folder: Path, reports: bool) -> None:
    csvs = (
        (sample_folder / "indiana_reports.csv", sample_folder / "indiana_projections.csv") if reports else (None, None)
    )
    assert check_health(read_dataset(sample_folder, *csvs)).issues == ()


def _jpeg(image: Image) -> Image:
    data = cv2.imencode(".jpg", to_uint8(image), [cv2.IMWRITE_JPEG_QUALITY, 40])[1]
    return from_uint8(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE))


@pytest.mark.parametrize(
    "change",
    [
        _jpeg,
        lambda image: image**1.3,
        lambda image: cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    ],
    ids=["jpeg", "gamma", "half_size"],
)
def test_altered_versions_of_real_films_are_near_duplicates(
    sample_folder: Path, change: Callable[[Image], Image]
) -> None:
    for row in read_dataset(sample_folder).rows:
        image = row.image()
        assert thumbnail(image) @ thumbnail(change(image)) > NEAR_CORRELATION


def test_empty_dataset_is_healthy() -> None:
    assert check_health(Dataset(())).issues == ()


def test_command_line(make_pack: MakePack, pixels: MakePixels, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_pack([_line("a.png", "1"), _line("b.png", "1", "val")], {"a.png": pixels(1), "b.png": pixels(2)})
    assert main(["--dataset_path", str(folder)]) == 0
    assert "Patient 1 has images in train, val." in capsys.readouterr().out
    assert main(["--dataset_path", str(folder), "--json", "--strict"]) == 1
    assert json.loads(capsys.readouterr().out)["issues"][0]["kind"] == "patient_in_several_splits"
    assert main(["--dataset_path", str(folder / "gone")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "does not exist" in error


def test_an_image_of_fewer_bits_than_its_file_is_doubtful(make_pack: MakePack, pixels: MakePixels) -> None:
    folder = make_pack([_line("a.png", "p1")], {"a.png": pixels(0).astype(np.uint16) * 16})
    (issue,) = check_health(read_dataset(folder)).issues
    assert issue.kind == "doubtful" and issue.message.startswith("Its values end at ")
