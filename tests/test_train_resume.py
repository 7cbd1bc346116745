"""A run that goes on: with its own data, its own settings, and alone in its folder."""

import json
import shutil
from pathlib import Path

import pytest

from xray_generator.config import dump
from xray_generator.families.latent_diffusion.config import LatentDiffusionConfig
from xray_generator.train import main
from xray_generator.training.state import locked


@pytest.fixture
def pack(dataset_folder: Path, tmp_path: Path) -> Path:
    """The first four images of the sample."""
    folder = tmp_path / "pack"
    folder.mkdir()
    (folder / "images").symlink_to(dataset_folder / "images")
    lines = (dataset_folder / "metadata.csv").read_text().splitlines()
    (folder / "metadata.csv").write_text("\n".join(lines[:5]) + "\n")
    return folder


@pytest.fixture
def command(tiny_config: LatentDiffusionConfig, tmp_path: Path) -> list[str]:
    (tmp_path / "tiny.json").write_text(json.dumps(dump(tiny_config)))
    options = ["--config", tmp_path / "tiny.json", "--output_dir", tmp_path / "outputs", "--num_threads", "1"]
    return [*map(str, options), "--train_vae_only"]


@pytest.fixture
def run(command: list[str], pack: Path, tmp_path: Path) -> Path:
    """A run whose first stage is trained."""
    assert main([*command, "--dataset_path", str(pack)]) == 0
    return tmp_path / "outputs" / "runs" / "tiny"


def content(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_run_goes_on_with_its_own_data(
    command: list[str], run: Path, pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = json.loads((run / "dataset.json").read_text())
    assert (record["dataset_path"], record["num_rows"]) == (str(pack), 4)
    monkeypatch.setenv("DATASET_PATH", str(tmp_path / "nowhere"))  # for a new run, not for this one
    assert main([*command, "--resume_from", str(run)]) == 0
    pack.rename(tmp_path / "moved")
    assert main([*command, "--resume_from", str(run), "--dataset_path", str(tmp_path / "moved")]) == 0
    moved = json.loads((run / "dataset.json").read_text())
    assert moved == record | {"dataset_path": str(tmp_path / "moved")}


def test_damaged_images_are_left_out_by_name_and_the_run_ends(command: list[str], pack: Path, tmp_path: Path) -> None:
    images = pack / "images"
    names = [line.split(",")[0] for line in (pack / "metadata.csv").read_text().splitlines()[1:]]
    whole = {name: (images / name).read_bytes() for name in names}
    images.unlink()
    images.mkdir()
    for number, (name, data) in enumerate(whole.items()):
        (images / name).write_bytes(data[:300] if number == 1 else data)
    assert main([*command, "--dataset_path", str(pack)]) == 0
    issues = json.loads((tmp_path / "outputs" / "runs" / "tiny" / "health.json").read_text())["issues"]
    assert [Path(path).name for issue in issues if issue["kind"] == "unreadable" for path in issue["paths"]] == [
        names[1]
    ]


@pytest.mark.parametrize("change", ["caption", "split", "row", "order"])
def test_other_data_are_refused_and_the_run_stays_as_it_was(
    command: list[str], run: Path, pack: Path, capsys: pytest.CaptureFixture[str], change: str
) -> None:
    before, (header, first, *rest) = content(run), (pack / "metadata.csv").read_text().splitlines()
    changed = {
        "caption": [first.replace("chest", "thorax", 1), *rest],
        "split": [first.replace(",train,", ",val,"), *rest],
        "row": rest,
        "order": [*rest, first],
    }[change]
    (pack / "metadata.csv").write_text("\n".join([header, *changed]) + "\n")
    assert main([*command, "--resume_from", str(run)]) == 1
    error = capsys.readouterr().err
    assert f"{run} was begun with other data: its 4 rows of {pack}" in error
    assert content(run) == before


def test_run_that_keeps_no_record_is_accepted_and_given_one(command: list[str], run: Path, pack: Path) -> None:
    record = (run / "dataset.json").read_bytes()
    (run / "dataset.json").unlink()
    assert main([*command, "--resume_from", str(run), "--dataset_path", str(pack)]) == 0
    assert (run / "dataset.json").read_bytes() == record


def test_setting_that_a_run_did_not_know_has_its_default(command: list[str], run: Path, pack: Path) -> None:
    saved = json.loads((run / "config.json").read_text())
    del saved["autoencoder_training"]["keep_checkpoints"], saved["schedule"]["min_snr_gamma"]
    (run / "config.json").write_text(json.dumps(saved))
    assert main([*command, "--resume_from", str(run)]) == 0


def test_quick_test_does_not_empty_a_folder_in_use(
    command: list[str], run: Path, pack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = run.with_name("tiny_quick_test")
    shutil.copytree(run, quick)
    before = content(quick)
    with locked(quick):
        assert main([*command, "--quick_test", "--dataset_path", str(pack)]) == 1
    assert f"Another training uses {quick}" in capsys.readouterr().err
    assert content(quick) == before
    assert main([*command, "--quick_test", "--dataset_path", str(pack)]) == 0
    assert content(quick)[quick / "autoencoder" / "log.jsonl"] != before[quick / "autoencoder" / "log.jsonl"]
