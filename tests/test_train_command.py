"""`python -m xray_generator.train` on the sample that ships: both stages, resuming, and every refusal in words."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from pkgutil import resolve_name

import pytest

from xray_generator.checkpoints import read_manifest
from xray_generator.config import dump
from xray_generator.families.latent_diffusion.config import LatentDiffusionConfig
from xray_generator.requests import text_request
from xray_generator.studio import Studio
from xray_generator.train import main

CHECKPOINT = Path("checkpoints") / "latent_diffusion" / "tiny"


@pytest.fixture
def config_file(tiny_config: LatentDiffusionConfig, tmp_path: Path) -> Path:
    path = tmp_path / "tiny.json"
    path.write_text(json.dumps(dump(tiny_config)))
    return path


@pytest.fixture(scope="module")
def small_dataset(dataset_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first lines of every split of the sample."""
    folder = tmp_path_factory.mktemp("dataset")
    (folder / "images").symlink_to(dataset_folder / "images")
    header, *lines = (dataset_folder / "metadata.csv").read_text().splitlines()
    kept = [
        line
        for split, count in (("train", 12), ("val", 4))
        for line in [line for line in lines if f",{split}," in line][:count]
    ]
    (folder / "metadata.csv").write_text("\n".join([header, *kept]) + "\n")
    return folder


@pytest.fixture
def command(config_file: Path, small_dataset: Path, tmp_path: Path) -> list[str]:
    return [
        "--config",
        str(config_file),
        "--dataset_path",
        str(small_dataset),
        "--output_dir",
        str(tmp_path / "outputs"),
        "--num_threads",
        "1",
    ]


def test_both_stages_make_a_checkpoint_that_draws(
    command: list[str], dataset_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--dataset_path", str(dataset_folder)]) == 0
    assert f"Finished: {tmp_path / 'outputs' / CHECKPOINT}" in capsys.readouterr().out
    run = tmp_path / "outputs" / "runs" / "tiny"
    assert json.loads((run / "config.json").read_text())["name"] == "tiny"
    assert json.loads((run / "health.json").read_text())
    for stage in ("autoencoder", "denoiser"):
        entries = [json.loads(line) for line in (run / stage / "log.jsonl").read_text().splitlines()]
        assert [entry["step"] for entry in entries if "loss" in entry] == [1, 2]
        assert list((run / stage / "previews").glob("*.png"))
    result = Studio(tmp_path / "outputs", "cpu").generate(text_request("Normal chest X-ray", seed=1, size=64))
    assert result.images[0].shape == (64, 64)


def test_stage_1_alone_then_continued_equals_both_at_once(command: list[str], tmp_path: Path) -> None:
    run = tmp_path / "outputs" / "runs" / "tiny"
    assert main([*command, "--train_vae_only"]) == 0
    assert not (tmp_path / "outputs" / "checkpoints").exists()
    assert not (run / "denoiser").exists()
    stage_1 = (run / "autoencoder" / "log.jsonl").read_text()
    assert main([*command, "--resume_from", str(run)]) == 0
    assert (run / "autoencoder" / "log.jsonl").read_text() == stage_1
    at_once = [*command[:4], "--output_dir", str(tmp_path / "at_once"), "--num_threads", "1"]
    assert main(at_once) == 0
    first, second = (read_manifest(tmp_path / name / CHECKPOINT) for name in ("outputs", "at_once"))
    assert first.ref == second.ref


def test_autoencoder_of_one_run_serves_another(command: list[str], tmp_path: Path) -> None:
    assert main([*command, "--train_vae_only"]) == 0
    source = tmp_path / "outputs" / "runs" / "tiny"
    assert main([*command, "--resume_from", str(source), "name=second", "denoiser_training.num_steps=1"]) == 0
    weights = "autoencoder/weights/diffusion_pytorch_model.safetensors"
    assert (source / weights).read_bytes() == (source.parent / "second" / weights).read_bytes()
    assert not (source.parent / "second" / "autoencoder" / "states").exists()


def test_occupied_folder_is_refused_and_left_as_it_was(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--train_vae_only"]) == 0
    run = tmp_path / "outputs" / "runs" / "tiny"
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    capsys.readouterr()
    assert main(command) == 1
    assert f"Continue it with --resume_from {run}" in capsys.readouterr().err
    assert main([*command, "--resume_from", str(run), "unet.num_heads=4"]) == 1
    assert "configuration differs" in capsys.readouterr().err
    (run / "config.json").write_text("{")
    assert main([*command, "--resume_from", str(run)]) == 1
    assert "config.json' is not JSON" in capsys.readouterr().err
    (run / "config.json").write_bytes(before[run / "config.json"])
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--config", "nonsense"], "No configuration 'nonsense'"),
        (["--dataset_path", "nowhere"], "does not exist"),
        (["--reports_csv", "x.csv"], "needs both CSV files"),
        (["--resume_from", "nowhere"], "holds no autoencoder"),
        (["unet.chanels=[32,64]"], "unet.chanels"),
        (["denoiser_training.num_steps=0"], "num_steps must be 1 or more"),
        (["autoencoder_training.batch_size=x"], "batch_size"),
        (["name=../../escape"], "name"),
        (["family=unknown"], "Unknown model family"),
        (["image_size"], "Cannot read 'image_size'"),
        (["--num_threads", "-4"], "number of threads"),
        (["--output_dir", "/dev/null"], "Cannot write to"),
        (["text_encoder.kind=pretrained", "text_encoder.name_or_path=/none", "--resume_from", "WEIGHTS"], "kind=bert"),
    ],
)
def test_fault_is_one_clear_line_and_the_next_start_is_free(
    command: list[str],
    tmp_path: Path,
    tiny_checkpoint: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    arguments = [str(tiny_checkpoint / CHECKPOINT) if value == "WEIGHTS" else value for value in arguments]
    options = [value for value in arguments if "=" not in value and value != "image_size"]
    assert main([*command, *options, *(value for value in arguments if value not in options)]) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert words in errors[0]
    assert not (tmp_path / "escape").exists()


def test_failed_start_does_not_occupy_the_folder(command: list[str]) -> None:
    assert main([*command, "--resume_from", "nowhere"]) == 1
    assert main([*command, "--train_vae_only"]) == 0


def test_paths_come_from_the_environment(
    command: list[str], dataset_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATASET_PATH", str(dataset_folder))
    monkeypatch.setenv("OUTPUT_DIR", str(tmp_path / "elsewhere"))
    assert main([*command[:2], "--train_vae_only"]) == 0
    assert (tmp_path / "elsewhere" / "runs" / "tiny" / "autoencoder" / "weights").is_dir()


TWO_PROCESSES = """
import json, os, sys
import torch
from xray_generator.devices import process_state
from xray_generator.train import main
kept = []
torch.nn.modules.module.register_module_forward_hook(
    lambda module, *_: kept.append(module) if type(module).__name__ == "DenoisingLoss" else None
)
code = main(sys.argv[2:])
weights = [float(p.detach().double().abs().sum()) for p in kept[-1].parameters()]
found = {"code": code, "world": process_state().num_processes, "rank": process_state().process_index, "sums": weights}
with open(f"{sys.argv[1]}/rank{found['rank']}.json", "w") as file:
    json.dump(found, file)
torch.distributed.destroy_process_group()
"""


def test_two_processes_train_one_model(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "two.py").write_text(TWO_PROCESSES)
    root = Path(__file__).parents[1]
    environment = {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    process = subprocess.run(
        [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--nproc_per_node",
            "2",
            "--standalone",
            str(tmp_path / "two.py"),
            str(tmp_path),
            *command,
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=root,
        env=os.environ | environment,
    )
    assert process.returncode == 0, process.stderr[-3_000:]
    first, second = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1))
    assert first["world"] == second["world"] == 2
    assert first["code"] == second["code"] == 0
    assert first["sums"] == second["sums"]
    studio = Studio(tmp_path / "outputs", "cpu")
    assert studio.generate(text_request("Normal chest X-ray", seed=1, size=64)).images[0].shape == (64, 64)


@pytest.mark.parametrize("phase", ["xray_generator.train.read_dataset", "xray_generator.training.release.write_card"])
def test_a_signal_while_data_are_read_or_a_checkpoint_is_written_ends_the_command(
    command: list[str], tmp_path: Path, phase: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = resolve_name(phase)

    def interrupted(*arguments: object) -> object:
        os.kill(os.getpid(), signal.SIGTERM)
        return work(*arguments)

    monkeypatch.setattr(phase, interrupted)
    with pytest.raises(SystemExit) as stopped:
        main(command)
    monkeypatch.undo()
    assert stopped.value.code == 143
    run, checkpoints = tmp_path / "outputs" / "runs" / "tiny", tmp_path / "outputs" / "checkpoints"
    assert not [path for path in checkpoints.rglob("*") if path.is_file()]
    assert main([*command, "--resume_from", str(run)] if run.exists() else command) == 0
    assert read_manifest(tmp_path / "outputs" / CHECKPOINT).steps == {"autoencoder": 2, "denoiser": 2}
