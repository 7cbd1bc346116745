"""The command that trains the encoder, the folder that it writes, and what is refused; all at tiny scale."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.manifests import edit_manifest
from xray_generator.checkpoints import read_manifest_of
from xray_generator.data.read import read_dataset
from xray_generator.images import resize_square, to_uint8
from xray_generator.reference_encoder.manifest import MAX_FEATURES, EncoderManifest, EncoderShape
from xray_generator.reference_encoder.model import build_network, load_reference_encoder
from xray_generator.reference_encoder.training import EncoderConfig, quality
from xray_generator.train_encoder import main
from xray_generator.types import StudioError

TINY = (
    "shape.image_size=32",
    "shape.channels=[8,16]",
    "shape.blocks=[1,1]",
    "shape.stem_channels=8",
    "training.batch_size=8",
    "training.num_steps=4",
    "training.checkpoint_every=4",
)
NAME = "chest_xray_128_quick_test"


@pytest.fixture(scope="module")
def command(dataset_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    output_dir = tmp_path_factory.mktemp("outputs")
    arguments = ["--dataset_path", str(dataset_folder), "--output_dir", str(output_dir), "--quick_test"]
    return [*arguments, "--num_threads", "1", *TINY]


@pytest.fixture(scope="module")
def trained(command: list[str]) -> Path:
    assert main(command) == 0
    return Path(command[3]) / "encoders" / NAME


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    return copytree(trained, tmp_path / NAME)


@pytest.fixture
def films() -> np.ndarray:
    return np.random.default_rng(0).random((5, 48, 48), dtype=np.float32)


def test_command_writes_an_encoder_that_loads(trained: Path, films: np.ndarray) -> None:
    encoder = load_reference_encoder(trained, "cpu")
    features, probabilities = encoder(films), encoder.probabilities(films)
    assert features.shape == (5, encoder.dimension) == (5, 16)
    assert probabilities.shape == (5, len(encoder.labels))
    assert ((probabilities > 0) & (probabilities < 1)).all()
    assert np.allclose(encoder(films[2:3]), features[2:3], atol=1e-5)  # alone or among others
    assert encoder(films[:0]).shape == (0, 16)


def test_weights_are_16_bit_and_named_in_the_space(trained: Path, command: list[str]) -> None:
    weights = load_file(trained / "model.safetensors")
    assert {value.dtype for value in weights.values() if value.is_floating_point()} == {torch.float16}
    name, _, digits = load_reference_encoder(trained, "cpu").name.partition("@")
    assert name == NAME
    assert len(digits) == 12
    run = Path(command[3]) / "runs" / NAME / "encoder"
    assert list((run / "previews").glob("*.png"))
    assert "auroc" in (run / "log.jsonl").read_text()


def test_shipped_size_keeps_within_its_budget() -> None:
    config = EncoderConfig()
    network = build_network(config.shape, [str(i) for i in range(25)])
    assert sum(p.numel() for p in network.parameters()) * 2 < 12e6
    assert network.config.hidden_sizes[-1] <= MAX_FEATURES


def test_card_and_manifest_give_what_the_encoder_does_on_unseen_patients(trained: Path, dataset_folder: Path) -> None:
    manifest = read_manifest_of(trained, EncoderManifest)
    test = read_dataset(dataset_folder).split("test")
    encoder = load_reference_encoder(trained, "cpu")
    size = manifest.shape.image_size
    images = np.stack([to_uint8(resize_square(row.image(), size)) for row in test])
    again = quality(encoder, test, images)
    assert manifest.metrics["test"].keys() == again.keys() == set(manifest.labels)
    for label, found in manifest.metrics["test"].items():
        assert found.positives + found.negatives <= len(test)
        assert found.auroc == pytest.approx(again[label].auroc)
    card = (trained / "README.md").read_text()
    assert "Not for diagnosis" in card
    assert all(f"| {label} |" in card for label in manifest.labels)
    assert "NIH Clinical Center" in card
    assert manifest.data["num_train"] == 64


def test_finished_run_exports_the_same_again(command: list[str], trained: Path) -> None:
    before = load_reference_encoder(trained, "cpu").name
    run = Path(command[3]) / "runs" / NAME
    assert main([*command, "--resume_from", str(run)]) == 0
    assert load_reference_encoder(trained, "cpu").name == before


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (["--resume_from", "elsewhere"], "continued where it is"),
        (["shape.chanels=[8]"], "chanels"),
        (["shape.channels=[8,512]"], "256 or less"),
        (["min_cases=1000"], "No label"),
        (["name=../x"], "name"),
        (["training.num_steps=0"], "num_steps"),
    ],
)
def test_fault_is_one_clear_line(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], extra: list[str], words: str
) -> None:
    options = [value for value in extra if "=" not in value]
    overrides = [value for value in extra if "=" in value]
    assert main([*command[:3], str(tmp_path), *command[4:7], *options, *TINY, *overrides]) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert words in line


def _flip(folder: Path) -> None:
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "model.safetensors").write_bytes(data)


def _edit(change: Callable[[dict], object]) -> Callable[[Path], None]:
    return lambda folder: edit_manifest(folder, change)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_flip, "SHA-256"),
        (lambda folder: (folder / "extra.safetensors").write_bytes(b""), "not in the manifest"),
        (lambda folder: (folder / "model.safetensors").unlink(), "missing"),
        (lambda folder: (folder / "manifest.json").unlink(), "has no manifest.json"),
        (_edit(lambda data: data["shape"].update(channels=[8, 24])), "cannot be loaded"),
        (_edit(lambda data: data["calibration"].pop(data["labels"][0])), "calibration"),
    ],
)
def test_damaged_folder_is_refused(folder: Path, damage: Callable[[Path], object], words: str) -> None:
    damage(folder)
    with pytest.raises(StudioError, match=words):
        load_reference_encoder(folder, "cpu")


def test_shape_is_checked() -> None:
    with pytest.raises(StudioError, match="equally many"):
        replace(EncoderShape(), blocks=(1, 1))
