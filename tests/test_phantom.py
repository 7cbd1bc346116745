"""`python -m xray_generator.phantom`: class folders with a truth, the same for the same seed."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

from xray_generator.data.axoneme import CLASSES
from xray_generator.data.read import read_dataset
from xray_generator.images import read_image
from xray_generator.phantom import draw_phantom, main
from xray_generator.types import NOTICE


def table(path: Path) -> list[dict[str, str]]:
    """The lines of a CSV file."""
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_folders_hold_every_class_and_their_truth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--output_dir", str(tmp_path), "--num_images", "2", "--size", "64"]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 2 * len(CLASSES)
    dataset = read_dataset(tmp_path)
    assert {row.label for row in dataset.rows} == set(CLASSES)
    assert dataset.skipped == ("1 images lie in no folder of a class: contact_sheet.png",)
    lines = table(tmp_path / "truth.csv")
    assert {line["image"] for line in lines} == {f"{row.label}/{row.path.name}" for row in dataset.rows}
    for line in lines:
        with PILImage.open(tmp_path / line["image"]) as picture:
            assert (picture.mode, picture.size) == ("L", (64, 64))
        phantom = draw_phantom(line["label"], int(line["image"][-8:-4]), 0, 64)
        assert int(line["outer_arms"]) == sum(d.outer_arm for d in phantom.truth.doublets)
        assert int(line["central_microtubules"]) == len(phantom.truth.central)
        assert float(line["nm_per_pixel"]) == pytest.approx(phantom.truth.field_nm / 64, abs=1e-3)
        assert np.abs(read_image(tmp_path / line["image"]) - phantom.image).max() < 1 / 255
    with PILImage.open(tmp_path / "contact_sheet.png") as sheet:
        labels = getattr(sheet, "text", {})["Description"].splitlines()
    assert len(labels) == len(CLASSES) and all(label.startswith(NOTICE) for label in labels)


def test_image_depends_on_seed_class_and_number_alone(tmp_path: Path) -> None:
    def run(name: str, *more: str) -> Path:
        assert main(["--output_dir", str(tmp_path / name), "--size", "64", *more]) == 0
        return tmp_path / name

    few = run("few", "--num_images", "1", "--classes", "cp")
    many = run("many", "--num_images", "2", "--classes", "oda", "cp")
    other = run("other", "--num_images", "1", "--classes", "cp", "--seed", "1")
    first = (few / "cp/cp_0001.png").read_bytes()
    assert first == (many / "cp/cp_0001.png").read_bytes()
    assert first != (other / "cp/cp_0001.png").read_bytes()
    assert not (few / "oda").exists()


def test_native_sizes_differ_and_show_the_same_cilium() -> None:
    native = [draw_phantom("normal", number, 0, None) for number in (1, 2, 3)]
    assert len({phantom.image.shape for phantom in native}) == 3
    assert all(min(phantom.image.shape) >= 150 for phantom in native)
    assert [p.truth for p in native] == [draw_phantom("normal", number, 0, 64).truth for number in (1, 2, 3)]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--size", "20"), "--size must be a whole number from 64"),
        (("--num_images", "0"), "--num_images must be"),
        (("--classes", "normal", "kartagener"), "Unknown class 'kartagener'"),
        (("--seed", "-1"), "--seed must be"),
    ],
)
def test_wrong_value_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: Sequence[str], words: str
) -> None:
    assert main(["--output_dir", str(tmp_path / "out"), *options]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and words in line
    assert list(tmp_path.iterdir()) == []
