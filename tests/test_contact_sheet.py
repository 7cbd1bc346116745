"""`python -m xray_generator.contact_sheet`: labeled rows that say what is synthetic, or one sentence."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

from xray_generator.contact_sheet import main
from xray_generator.data.read import read_dataset
from xray_generator.export.sheet import REAL_NOTICE
from xray_generator.images import read_image
from xray_generator.types import NOTICE

PROMPT = ("--prompt", "Normal chest X-ray")


@pytest.fixture(autouse=True)
def outputs(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTPUT_DIR", str(tiny_checkpoint))
    monkeypatch.setenv("STUDIO_THREADS", "1")


def sheet(path: Path, *more: str) -> str:
    """Make a tiny sheet; what its file says."""
    assert main(["--num_images", "4", "--steps", "1", "--side", "32", "--output", str(path), *more]) == 0
    return str(getattr(PILImage.open(path), "text", {})["Description"])


def test_sheet_of_samples_says_that_they_are_synthetic_and_how_they_were_drawn(tmp_path: Path) -> None:
    words = sheet(tmp_path / "sheet.png", *PROMPT, "--guidance", "1", "--guidance", "7", "--seed", "5")
    first, second = words.splitlines()
    assert first == f"{NOTICE} 4 of tiny, seeds 5 to 8, guidance 1, 1 dpm++ steps: Normal chest X-ray"
    assert second == first.replace("guidance 1", "guidance 7")


def test_adapters_are_added_and_named(
    tmp_path: Path, adapter_checkpoints: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUTPUT_DIR", str(adapter_checkpoints))
    plain, adapted = tmp_path / "plain.png", tmp_path / "adapted.png"
    sheet(plain, *PROMPT)
    assert "4 of tiny with first at weight 2, seeds 1 to 4" in sheet(adapted, *PROMPT, "--adapter", "first:2")
    assert not np.array_equal(read_image(plain)[-32:], read_image(adapted)[-32:])


def test_grid_lays_a_row_out_in_lines(tmp_path: Path) -> None:
    sheet(tmp_path / "line.png", *PROMPT, "--side", "128")
    sheet(tmp_path / "grid.png", *PROMPT, "--side", "128", "--grid", "2")
    line, square = (read_image(tmp_path / name) for name in ("line.png", "grid.png"))
    assert (line.shape[1], square.shape[1]) == (4 * 128, 480)
    assert np.array_equal(line[-128:, :256], square[-256:-128, :256])
    assert np.array_equal(line[-128:, 256:512], square[-128:, :256])


def test_real_images_alone_and_beside_samples_name_their_number_and_split(tmp_path: Path, dataset_folder: Path) -> None:
    real = ("--real", str(dataset_folder))
    label = sheet(tmp_path / "real.png", *real)
    assert label.startswith(f"{REAL_NOTICE} 4 of the ")
    assert label.endswith("of the validation split with 64 pixels or more")
    made, known = sheet(tmp_path / "both.png", *real, *PROMPT).splitlines()
    assert made.startswith(NOTICE)
    assert known == label


def test_captions_of_the_real_images_are_drawn_in_their_order(tmp_path: Path, dataset_folder: Path) -> None:
    path = tmp_path / "sheet.png"
    real = ("--real", str(dataset_folder), "--captions")
    made, known = sheet(path, *real, "--seed", "5", "--side", "128").splitlines()
    assert made.startswith(f"{NOTICE} 4 of tiny, from seed 5 on") and known.startswith(REAL_NOTICE)
    films = [row for row in read_dataset(dataset_folder).split("val") if row.native_size >= 64]
    second = films[len(films) // 4]
    sheet(tmp_path / "second.png", "--prompt", second.prompt, "--seed", "6", "--num_images", "1", "--side", "128")
    image = read_image(tmp_path / "second.png")[-128:, :128]
    lines = read_image(path)[:, 128:256]
    assert any(np.array_equal(lines[top : top + 128], image) for top in range(len(lines) - 128))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--captions",), "Give --real DATASET too"),
        ((), "Give --prompt TEXT or --label CLASS, --real DATASET, or both"),
        ((*PROMPT, "--side", "0"), "--side must be"),
        ((*PROMPT, "--side", "100000"), "from 16 to 1,024"),
        ((*PROMPT, "--num_images", "0"), "--num_images must be"),
        ((*PROMPT, "--grid", "0"), "--grid must be"),
        (("--real", "absent"), "absent does not exist"),
        ((*PROMPT, "--guidance", "99"), "from 0 to 30"),
        ((*PROMPT, "--num_threads", "0"), "number of threads"),
    ],
)
def test_wrong_value_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], words: str
) -> None:
    assert main([*options, "--output", str(tmp_path / "sheet.png")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert words in line
    assert list(tmp_path.iterdir()) == []


def test_dataset_without_a_validation_split_is_named(
    tmp_path: Path, dataset_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").mkdir()
    shutil.copytree(dataset_folder / "images", tmp_path / "data" / "images")
    table = (dataset_folder / "metadata.csv").read_text().replace(",val,", ",train,")
    (tmp_path / "data" / "metadata.csv").write_text(table)
    assert main(["--real", str(tmp_path / "data"), "--output", str(tmp_path / "sheet.png")]) == 1
    assert "no image of 64 pixels or more in its validation split" in capsys.readouterr().err


def test_output_that_cannot_be_written_costs_no_generation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main([*PROMPT, "--steps", "1000", "--output", str(tmp_path / "file" / "sheet.png")]) == 1
    assert capsys.readouterr().err.startswith("error: Cannot write to")
    assert main([*PROMPT, "--steps", "1", "--num_images", "1", "--output", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("error: Cannot write")


def test_classes_are_drawn_beside_real_images_of_them(
    tiny_ct_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OUTPUT_DIR", str(tiny_ct_checkpoint))
    real = ("--real", str(Path(__file__).parents[1] / "dataset" / "lung_ct"))
    classes = ("--label", "normal", "--label", "benign")
    normal, benign, known = sheet(tmp_path / "sheet.png", *classes, *real).splitlines()
    assert normal.startswith(f"{NOTICE} 4 of tiny_ct, seeds 1 to 4") and normal.endswith("steps: normal")
    assert benign == normal.replace("steps: normal", "steps: benign")
    assert known.startswith(REAL_NOTICE) and " of normal, benign of the validation split" in known


def test_a_class_that_the_checkpoint_does_not_know_is_said(
    tiny_ct_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OUTPUT_DIR", str(tiny_ct_checkpoint))
    assert main(["--label", "square", "--output", str(tmp_path / "sheet.png")]) == 1
    assert "knows no class 'square'. Allowed: benign, normal" in capsys.readouterr().err
