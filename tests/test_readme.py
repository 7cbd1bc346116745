"""Every command of the README and the tutorials is run at tiny scale, or parsed; trainings first: others use them."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from tests.mrnet import EXAMS, make_mrnet
from xray_generator.__main__ import COMMANDS as SUBCOMMANDS
from xray_generator.types import PRODUCT, PURPOSE

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
TUTORIALS = {path.stem: path.read_text() for path in sorted((ROOT / "docs" / "tutorials").glob("*.md"))}
GUIDES = "\n".join([README, *TUTORIALS.values()])
DOCS = "\n".join([GUIDES, *(path.read_text() for path in sorted((ROOT / "docs").glob("*.md")))])
MODULE = re.compile(r"-m ((?:xray_generator|postprocess)[\w.]*+)(?! \.\.\.)")  # with arguments: a whole command
PARSE_ONLY = None  # several GPUs, weights from a hub, or more than an hour

STAGE = ("num_steps=2", "batch_size=4", "checkpoint_every=2", "log_every=1")
TINY_IMAGES = ("--size", "64", "--steps", "2")
TINY_TRAINING = (
    "image_size=64",
    "native_repeats=1",
    "autoencoder.channels=[8,16]",
    "autoencoder.encoder_blocks=[1,1]",
    "autoencoder.decoder_blocks=[1,1]",
    "autoencoder.latent_channels=4",
    "autoencoder.crop_size=32",
    "text_encoder.embedding_size=32",
    "text_encoder.num_layers=1",
    "text_encoder.num_heads=2",
    "text_encoder.vocabulary_size=500",
    "unet.channels=[32,64]",
    "unet.num_heads=2",
    "detail.channels=[8,16]",
    "detail.blocks=[1,1]",
    "detail.embedding_size=8",
    "detail.crop_size=32",
    *(f"{name}_training.{setting}" for name in ("autoencoder", "detail", "denoiser", "few_step") for setting in STAGE),
)

TINY_FLOW = (
    "image_size=32",
    "num_likelihoods=0",
    "network.channels=[16,32]",
    "network.blocks=1",
    "network.attention_levels=[1]",
    "num_inference_steps=2",
    *(f"training.{setting}" for setting in STAGE),
)
TINY_CVAE = (
    "size=64",
    *(f"{name}_training.{setting}" for name in ("autoencoder", "prior", "grain") for setting in STAGE),
)

TINY_CASCADE = (
    "base.image_size=16",
    "base.network.channels=[16,32]",
    "base.network.attention_levels=[1]",
    *(f"{stage}.{setting}" for stage in ("sr1", "sr2") for setting in ("crop_size=32", "network.channels=[8,16]")),
    *("sr1.image_size=32", "sr2.image_size=64"),
    *(f"{name}_training.{setting}" for name in ("base", "sr1", "sr2") for setting in STAGE),
)

TINY_SINGLE = (
    "base.image_size=64",
    "base.network.channels=[16,32]",
    "base.network.attention_levels=[1]",
    *(f"base_training.{setting}" for setting in STAGE),
)
CT_CLASSES = 'labels=["normal","benign","malignant"]'  # of the sample that stands for a pack of MRI

TINY_ENCODER = (
    "--quick_test",
    "shape.image_size=32",
    *(f"training.{setting}" for setting in (*STAGE, "warmup_steps=1")),
)

# How each command starts -> what is put at its end to make it tiny. No entry: the README test fails.
TINY: dict[str, tuple[str, ...] | None] = {
    'python -m xray_generator.generate --prompt "Normal chest X-ray, PA view"': TINY_IMAGES,
    'python -m xray_generator.generate --prompt "Chest X-ray with pneumonia"': (*TINY_IMAGES, "--num_images", "2"),
    "python -m postprocess dataset/images/hannover_006f3a8a.jpg --preset all": (),
    'python -m postprocess dataset/images/hannover_006f3a8a.jpg --preset "Sharp Detail"': (),
    'python -m postprocess --prompt "Normal chest X-ray"': (),
    "python -m xray_generator.inspect_image": (),
    "python -m xray_generator.reproduce": (),
    "python -m xray_generator.export_hub": (),
    "python -m xray_generator.plan_set": ("--each", "1"),
    "python -m xray_generator.synthesize": ("steps=1", "gate.agrees=off"),
    "python -m xray_generator.contact_sheet --real": ("--num_images", "2", "--steps", "2"),
    "python -m xray_generator.contact_sheet --prompt": ("--num_images", "2", "--steps", "2"),
    "python -m xray_generator.contact_sheet --checkpoint my_cilia": ("--num_images", "2"),
    "python -m xray_generator.train --quick_test": TINY_TRAINING,
    "python -m xray_generator.train --config chest_xray_256 --dataset_path dataset --output_dir": TINY_TRAINING,
    "python -m xray_generator.train --config chest_xray_256 --dataset_path dataset --reports_csv": TINY_TRAINING,
    "python -m xray_generator.train --config chest_xray_256 --resume_from outputs/runs/chest_xray_256": TINY_TRAINING,
    "python -m xray_generator.train --config chest_xray_256 --resume_from outputs/runs/indiana_vae": TINY_TRAINING,
    "python -m xray_generator.train --config chest_xray_256 name=longer": TINY_TRAINING,
    "python -m xray_generator.train --config chest_xray_512": ("--quick_test", "--num_threads", "1", "image_size=256"),
    "python -m xray_generator.train --config lung_ct_128 --dataset_path dataset/lung_ct": TINY_FLOW,
    "python -m xray_generator.generate --checkpoint lung_ct_128": ("--size", "32", "--steps", "2"),
    "python -m xray_generator.train --config lung_ct_128 --dataset_path SERIES": PARSE_ONLY,
    "python -m xray_generator.train --config blood_cells_224": TINY_CVAE,
    "python -m xray_generator.phantom": ("--num_images", "5", "--size", "64"),
    "python -m xray_generator.preprocess": ("--size", "32"),
    "python -m xray_generator.train --config axoneme_224": TINY_CVAE,
    "python -m xray_generator.generate --checkpoint axoneme_224": (
        *("--checkpoint", "my_cilia", "--size", "64"),  # of the tutorial
        *("--num_images", "2"),
    ),
    "python -m xray_generator.train --config chest_xray_lora": tuple(f"training.{setting}" for setting in STAGE),
    "python -m xray_generator.train --config chest_xray_effusion": tuple(f"training.{setting}" for setting in STAGE),
    "python -m xray_generator.evaluate --checkpoint chest_xray_256 chest_xray_effusion": PARSE_ONLY,
    "python -m xray_generator.generate --checkpoint chest_xray_256": TINY_IMAGES,
    "python -m xray_generator.slices": (),
    "python -m xray_generator.train --config brain_mri_256 --dataset_path outputs/mrnet": TINY_CASCADE,
    "python -m xray_generator.train --config brain_mri_256 --dataset_path MRI": (*TINY_CASCADE, CT_CLASSES),
    "python -m xray_generator.train --config brain_mri_256_plain": (*TINY_CASCADE, CT_CLASSES),
    "python -m xray_generator.train --config brain_mri_256_single": (*TINY_SINGLE, CT_CLASSES),
    "torchrun --standalone --nproc_per_node 2 -m xray_generator.train": TINY_TRAINING,
    "accelerate launch --multi_gpu --num_processes 2 -m xray_generator.train": PARSE_ONLY,
    "TOKENIZER_NAME=dmis-lab/biobert-base-cased-v1.1 python -m xray_generator.train": PARSE_ONLY,
    "python -m xray_generator.evaluate --suite quick": ("--num_images", "4", "--steps", "2"),
    "python -m xray_generator.evaluate --checkpoint chest_xray_256 --suite full": PARSE_ONLY,
    "python -m xray_generator.evaluate --checkpoint brain_mri_256": ("--num_images", "4", "--steps", "2"),
    "python -m xray_generator.evaluate --suite enlargement": PARSE_ONLY,
    "python -m xray_generator.evaluate --generated outputs/generated": ("--num_images", "4", "--size", "64"),
    "python -m xray_generator.train_encoder --quick_test": TINY_ENCODER,
    "python -m xray_generator.train_encoder --dataset_path PACK": (*TINY_ENCODER, "name=second"),
    "python -m xray_generator.train_encoder --dataset_path MRI": (*TINY_ENCODER[1:], "min_cases=3"),
    "python -m xray_generator.data.health --dataset_path dataset": (),
    "python -m xray_generator.data.health --dataset_path outputs/axonemes": (),
    "python -m xray_generator.data.sample --pack PACK": (),
}


def readme_commands() -> Iterator[str]:
    """The commands of ours in the shell blocks of the README and the tutorials, each on one line."""
    for block in re.findall(r"```bash\n(.*?)```", GUIDES, re.DOTALL):
        lines = re.sub(r" *\\\n *", " ", block).splitlines()
        yield from (line for line in lines if MODULE.search(line))


FIRST = re.compile(r"xray_generator\.(train|phantom|slices)")
COMMANDS = tuple(sorted(readme_commands(), key=lambda command: not FIRST.search(command)))


def entries(command: str) -> list[str]:
    """The starts in TINY that fit a command."""
    return [start for start in TINY if command.startswith(f"{start} ") or command == start]


def test_every_command_has_one_entry_and_every_entry_a_command() -> None:
    assert {command: len(entries(command)) for command in COMMANDS} == dict.fromkeys(COMMANDS, 1)
    assert {entry for command in COMMANDS for entry in entries(command)} == set(TINY)


def test_no_command_hides_outside_a_shell_block() -> None:
    outside = re.sub(r"```bash\n.*?```", "", GUIDES, flags=re.DOTALL)
    assert not MODULE.findall(outside)


def test_the_product_has_one_name() -> None:
    assert README.startswith(f"# {PRODUCT}\n")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["description"].startswith(f"{PRODUCT}: ") and project["description"].endswith(PURPOSE)


def test_every_subcommand_that_the_documents_name_exists() -> None:
    named = set(re.findall(r"xray-studio ([a-z][\w-]*)", DOCS))
    assert named and named <= {"app", *SUBCOMMANDS}


@pytest.fixture(scope="module")
def workspace(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout in miniature: the sample, and the outputs with one checkpoint, as the README's paths expect them."""
    folder = tmp_path_factory.mktemp("readme")
    for link in ("dataset", "PACK"):
        (folder / link).symlink_to(ROOT / "dataset", target_is_directory=True)
    (folder / "MRI").symlink_to(ROOT / "dataset" / "lung_ct", target_is_directory=True)
    make_mrnet(folder / "MRNET", EXAMS, side=64)
    checkpoints = folder / "outputs" / "checkpoints"
    checkpoints.parent.mkdir()
    shutil.copytree(tiny_checkpoint / "checkpoints", checkpoints)
    return folder


@pytest.mark.parametrize("command", COMMANDS)
def test_the_command_works(command: str, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (entry,) = entries(command)
    monkeypatch.chdir(workspace)
    for name in ("OUTPUT_DIR", "DATASET_PATH", "TOKENIZER_NAME"):
        monkeypatch.delenv(name, raising=False)
    if command.startswith("torchrun "):
        words = [sys.executable, "-m", "torch.distributed.run", *shlex.split(command)[1:], *TINY_TRAINING]
        subprocess.run(words, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True)
        return
    module, _, rest = command.partition("-m ")[2].partition(" ")
    arguments = [*shlex.split(rest), *(TINY[entry] or ())]
    door = import_module(f"{module}.__main__" if module == "postprocess" else module)
    if TINY[entry] is PARSE_ONLY:
        door._parser().parse_args(arguments)
        return
    assert door.main(arguments) == 0


@pytest.mark.parametrize("name", [name for name, text in TUTORIALS.items() if "```python" in text])
def test_the_code_of_the_tutorial_works(name: str, workspace: Path, tmp_path: Path) -> None:
    """It reads what the commands of its tutorial made."""
    (code,) = re.findall(r"```python\n(.*?)```", TUTORIALS[name], re.DOTALL)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HOME": str(tmp_path)}
    output = subprocess.run(
        [sys.executable, "-c", code], cwd=workspace, env=environment, check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    assert re.fullmatch(r"AUROC on \d+ real films: [01]\.\d\d\n", output)
