"""`python -m xray_generator.preprocess`: squares with their boxes, statistics, and what is corrupt."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

from xray_generator.data.fitting import fit_square
from xray_generator.data.read import read_dataset
from xray_generator.images import read_image
from xray_generator.preprocess import main

SIZES = {"a": [(40, 20), (30, 30)], "b": [(24, 48)] * 6}  # width, height


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Class folders with one corrupt file."""
    root = tmp_path / "raw"
    for label, sizes in SIZES.items():
        (root / label).mkdir(parents=True)
        for i, (width, height) in enumerate(sizes):
            pixels = np.random.default_rng(i).integers(0, 255, (height, width), np.uint8)
            PILImage.fromarray(pixels).save(root / label / f"{label}_{i}.png")
    (root / "a" / "a_9.png").write_bytes(b"rubbish")
    return root


def table(path: Path) -> list[dict[str, str]]:
    """The lines of a CSV file."""
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_statistics_are_those_of_the_readable_files(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--input", str(raw), "--output_dir", str(tmp_path / "out"), "--size", "32"]) == 0
    output = capsys.readouterr()
    assert json.loads(output.out) == {"images": 8, "corrupt": 1}
    assert "a_9.png" in output.err
    lines = {line["label"]: line for line in table(tmp_path / "out" / "raw_image_statistics.csv")}
    everything = [size for sizes in SIZES.values() for size in sizes]
    for label, sizes in (*SIZES.items(), ("all", everything)):
        width, height = np.array(sizes, float).T
        assert int(lines[label]["count"]) == len(sizes)
        for name, values in (("width", width), ("height", height), ("aspect", width / height)):
            assert float(lines[label][f"{name}_mean"]) == pytest.approx(values.mean(), abs=1e-3)
            assert float(lines[label][f"{name}_std"]) == pytest.approx(values.std(), abs=1e-3)
            assert float(lines[label][f"{name}_min"]) == pytest.approx(values.min(), abs=1e-3)
            assert float(lines[label][f"{name}_max"]) == pytest.approx(values.max(), abs=1e-3)
    (corrupt,) = table(tmp_path / "out" / "corrupt_files.csv")
    assert corrupt["file"].endswith("a_9.png") and "not an image" in corrupt["reason"]


def test_squares_hold_the_content_in_the_box_that_the_table_states(raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["--input", str(raw), "--output_dir", str(out), "--size", "64", "32"]) == 0
    lines = table(out / "images.csv")
    assert len(lines) == 16
    for line in lines:
        image = read_image(out / line["image"])
        fitted = fit_square(read_image(raw / line["image"].split("/", 1)[1]), int(line["size"]))
        assert np.abs(image - fitted.image).max() <= 0.5 / 255 + 1e-6
        box = (fitted.top, fitted.left, fitted.height, fitted.width)
        assert tuple(int(line[name]) for name in ("top", "left", "height", "width")) == box
        aspect = int(line["orig_width"]) / int(line["orig_height"])
        assert fitted.width / fitted.height == pytest.approx(aspect, rel=0.05)


def test_each_size_is_a_dataset_with_the_same_labels_and_splits(raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["--input", str(raw), "--output_dir", str(out), "--size", "32"]) == 0
    before = {f"{row.label}/{row.path.name}": row for row in read_dataset(raw).rows if row.path.name != "a_9.png"}
    after = {f"{row.label}/{row.path.name}": row for row in read_dataset(out / "32").rows}
    assert {name: row.split for name, row in after.items()} == {name: row.split for name, row in before.items()}
    assert {row.native_size for row in after.values()} == {20, 30, 24}  # that of the raw image


def test_files_of_one_name_do_not_overwrite_each_other(raw: Path, tmp_path: Path) -> None:
    (raw / "b" / "deep").mkdir()
    PILImage.new("L", (20, 20), 99).save(raw / "b" / "deep" / "b_0.tif")
    out = tmp_path / "out"
    assert main(["--input", str(raw), "--output_dir", str(out), "--size", "16"]) == 0
    assert len(list((out / "16" / "b").iterdir())) == 7
    assert read_image(out / "16" / "b" / "b_0-1.png").mean() == pytest.approx(99 / 255)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--input", "raw", "--output_dir", "raw/out"), "must not lie inside"),
        (("--input", "raw", "--output_dir", "out", "--size", "8"), "--size must be a whole number from 16"),
        (("--input", "absent", "--output_dir", "out"), "does not exist"),
    ],
)
def test_wrong_value_is_one_clear_line(
    raw: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: Sequence[str], words: str
) -> None:
    monkeypatch.chdir(raw.parent)
    assert main(options) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and words in line
    assert not (raw.parent / "out").exists() and not (raw / "out").exists()


def test_set_without_classes_is_named(tmp_path: Path, dataset_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--input", str(dataset_folder), "--output_dir", str(tmp_path / "out")]) == 1
    assert "names no classes" in capsys.readouterr().err
