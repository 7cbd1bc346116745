"""`python -m xray_generator.evaluate` on the tiny checkpoint, and on folders that anything made."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from xray_generator.data.read import read_dataset
from xray_generator.evaluate import main
from xray_generator.evaluation.measures import MEASURES
from xray_generator.evaluation.records import Record, read_record
from xray_generator.evaluation.suite import FULL, SUITES
from xray_generator.evaluation.summary import summarize
from xray_generator.images import encode_png


@pytest.fixture
def outputs(tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "outputs"
    folder.mkdir()
    (folder / "checkpoints").symlink_to(tiny_checkpoint / "checkpoints", target_is_directory=True)
    monkeypatch.setenv("OUTPUT_DIR", str(folder))
    monkeypatch.setenv("STUDIO_THREADS", "1")
    return folder


def films(folder: Path, rows: int, dataset: Path, *splits: str) -> Path:
    """Real films as loose files, as another generator would leave its images."""
    folder.mkdir()
    for row in [row for row in read_dataset(dataset).rows if row.split in splits][:rows]:
        (folder / f"{row.path.stem}.png").write_bytes(encode_png(row.image()[::2, ::2]))
    return folder


def only(folder: Path) -> Record:
    (record,) = map(read_record, folder.glob("*.record.json"))
    return record


@pytest.mark.slow
def test_a_checkpoint_gets_a_record_figures_and_a_summary(
    outputs: Path, dataset_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "--real",
        str(dataset_folder),
        "--num_images",
        "20",
        "--steps",
        "2",
        "--seed",
        "5",
        "--device",
        "cpu",
        "--output_dir",
        str(outputs / "metrics"),
    ]
    assert main(arguments) == 0
    record = only(outputs / "metrics")
    assert record.subject == "tiny" and record.checkpoint and not record.is_stale([record.checkpoint])
    assert {m.measure for m in record.measurements} <= MEASURES.keys()
    assert {name for step in SUITES["quick"] for name in step.measures} <= {m.measure for m in record.measurements}
    assert record.settings["seeds"] == "5 to 24" and record.settings["split"] == "val+test"
    assert record.get("copies_found").value >= 0.95
    assert "reference encoder" in record.get("prompt_accuracy").reason
    assert record.tables["components"] and record.tables["attention"] and record.curves["speed"]
    assert all(str(part) not in json.dumps(record.settings) for part in (outputs, dataset_folder))
    assert {path.stem for path in (outputs / "visualizations" / record.name).iterdir()} >= {
        "sharpness",
        "closest_pairs",
        "speed",
    }
    assert len(list((outputs / "samples" / "tiny").glob("*.png"))) == 20
    assert record.curves["sharpness_distribution"].lines.keys() == {"real", "generated"}
    lines = capsys.readouterr().out.splitlines()
    assert [Path(line).name for line in lines] == ["tiny_quick_dataset.record.json", "model_summary.md"]
    text = Path(lines[1]).read_text()
    assert text == summarize(record)
    assert "| Memorization rate | all |" in text and "Not measured" in text and "## Notes" in text


@pytest.mark.slow
def test_any_two_folders_are_compared(outputs: Path, tmp_path: Path, dataset_folder: Path) -> None:
    generated = films(tmp_path / "made elsewhere", 30, dataset_folder, "train")
    real = films(tmp_path / "real", 45, dataset_folder, "val", "test")
    (generated / "broken.png").write_bytes(b"no image")
    arguments = ["--generated", str(generated), "--real", str(real), "--size", "64"]
    arguments += ["--output_dir", str(outputs / "metrics")]
    assert main(arguments) == 0
    record = only(outputs / "metrics")
    assert record.subject == "made elsewhere" and record.checkpoint is None
    assert record.get("detectability").value < 0.9, "real films cannot be told from real films"
    assert "--training" in record.get("copy_rate").reason and "no checkpoint" in record.get("latency_ms").reason
    assert any("1 generated images could not be read and were left out: broken.png" in note for note in record.notes)
    assert main([*arguments, "--training", str(dataset_folder)]) == 0
    assert only(outputs / "metrics").get("copy_rate").value > 0.9, "they are training images, at half the size"


def test_few_images_and_equal_folders_give_reasons_and_no_numbers(
    outputs: Path, tmp_path: Path, dataset_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = films(tmp_path / "few", 3, dataset_folder, "test")
    kept = tmp_path / "kept"
    arguments = ["--generated", str(few), "--real", str(few), "--keep_images", str(kept)]
    assert main([*arguments, "--output_dir", str(outputs / "metrics")]) == 0
    assert [len(list((kept / name).glob("*.png"))) for name in ("generated", "real")] == [3, 3]
    assert main([*arguments, "--output_dir", str(outputs / "metrics")]) == 1
    assert "holds files already" in capsys.readouterr().err
    record = only(outputs / "metrics")
    assert any("3 of 3 generated images are also among the real ones" in note for note in record.notes)
    for name in ("frechet_distance", "kernel_distance", "precision", "detectability", "copy_rate"):
        measured = record.get(name)
        assert measured.value is None and re.search(r"\d|training", measured.reason), name


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--generated", "nowhere"], "no folder nowhere"),
        (["--checkpoint", "none"], "Unknown checkpoint 'none'"),
        (["--suite", "enlargement", "--keep_images", "x"], "--keep_images keeps the images of one"),
        (["--checkpoint", "tiny", "none"], "Unknown checkpoint 'none'"),
        (["--real", "nowhere"], "no folder nowhere"),
        (["--training", "nowhere"], "nowhere does not exist"),
        (["--size", "48"], "draws 64x64"),
    ],
)
def test_wrong_input_is_one_sentence(
    more: list[str], words: str, outputs: Path, dataset_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--real", str(dataset_folder), "--output_dir", str(outputs / "metrics"), *more]) == 1
    error = capsys.readouterr().err
    assert words in error and "Traceback" not in error


def test_every_measure_of_the_suites_is_explained() -> None:
    names = {name for step in FULL for name in step.measures}
    assert names <= MEASURES.keys()
    assert len({step.name for step in FULL}) == len(FULL)
    assert np.all([MEASURES[name].help for name in names])
