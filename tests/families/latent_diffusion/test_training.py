"""Both real stages at tiny size: stopped and resumed equals straight to the bit; what is frozen stays frozen."""

import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import BertConfig, BertModel

from xray_generator.checkpoints import Manifest, read_manifest
from xray_generator.config import dump, parse
from xray_generator.data.rows import Dataset
from xray_generator.families.latent_diffusion.autoencoder_task import AutoencoderLoss
from xray_generator.families.latent_diffusion.config import LatentDiffusionConfig, TextEncoderConfig
from xray_generator.families.latent_diffusion.denoiser_task import DenoisingLoss
from xray_generator.families.latent_diffusion.engine import load_engine
from xray_generator.families.latent_diffusion.model import LatentDiffusion
from xray_generator.families.latent_diffusion.text import TextEncoder, build_text_encoder
from xray_generator.families.latent_diffusion.training import begin_with, train_run
from xray_generator.generation import generate
from xray_generator.nn.diffusion import SCHEDULERS
from xray_generator.requests import text_request
from xray_generator.training.loop import TrainingStopped
from xray_generator.training.state import saved_states
from xray_generator.types import RunOptions, StudioError

MakeModel = Callable[[LatentDiffusionConfig], LatentDiffusion]


@contextmanager
def terminated_at(step: int, stage: type[nn.Module]) -> Iterator[None]:
    """Send this process SIGTERM in the `step`-th forward pass of a stage's training."""
    calls = 0

    def count(module: nn.Module, _inputs: object, _output: object) -> None:
        nonlocal calls
        calls += isinstance(module, stage) and module.training
        if calls == step and isinstance(module, stage):
            os.kill(os.getpid(), signal.SIGTERM)

    hook = nn.modules.module.register_module_forward_hook(count)
    try:
        yield
    finally:
        hook.remove()


@pytest.fixture(scope="module")
def four_steps(tiny_config: LatentDiffusionConfig) -> LatentDiffusionConfig:
    return replace(
        tiny_config,
        autoencoder_training=replace(tiny_config.autoencoder_training, num_steps=4),
        denoiser_training=replace(tiny_config.denoiser_training, num_steps=4),
    )


@pytest.fixture(scope="module")
def straight(
    four_steps: LatentDiffusionConfig, tiny_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("straight")
    train_run(four_steps, tiny_dataset, RunOptions(folder / "run", folder / "tiny"))
    return folder


def newest(stage: Path) -> dict[str, object]:
    return torch.load(saved_states(stage / "states")[-1] / "state.pt", weights_only=True)


def assert_equal(first: object, second: object) -> None:
    if isinstance(first, torch.Tensor):
        assert torch.equal(first, second)  # type: ignore[arg-type]
    elif isinstance(first, dict):
        assert first.keys() == second.keys()  # type: ignore[attr-defined]
        for key in first:
            assert_equal(first[key], second[key])  # type: ignore[index]
    elif isinstance(first, list):
        for a, b in zip(first, second, strict=True):  # type: ignore[call-overload]
            assert_equal(a, b)
    else:
        assert first == second


@pytest.mark.parametrize("step", [1, 3])
def test_both_stages_stopped_and_resumed_equal_straight(
    four_steps: LatentDiffusionConfig, tiny_dataset: Dataset, straight: Path, tmp_path: Path, step: int
) -> None:
    for stage in (AutoencoderLoss, DenoisingLoss):
        with terminated_at(step, stage), pytest.raises(TrainingStopped):
            train_run(four_steps, tiny_dataset, RunOptions(tmp_path / "run", tmp_path / "tiny"))
    train_run(four_steps, tiny_dataset, RunOptions(tmp_path / "run", tmp_path / "tiny"))
    for stage in ("autoencoder", "denoiser"):
        assert_equal(newest(tmp_path / "run" / stage), newest(straight / "run" / stage))
    first, second = read_manifest(tmp_path / "tiny"), read_manifest(straight / "tiny")
    assert first.ref == second.ref
    a, b = ({k: v for k, v in m.files.items() if not k.startswith("history/")} for m in (first, second))
    assert a == b  # the history tells how long the steps took


def test_checkpoint_holds_the_averaged_weights_and_says_what_it_is(
    four_steps: LatentDiffusionConfig, straight: Path
) -> None:
    manifest = read_manifest(straight / "tiny")
    assert manifest.steps == {"autoencoder": 4, "denoiser": 4}
    assert manifest.data.num_train == 12
    assert manifest.sizes == (64,)
    assert manifest.commit != ""
    assert not any(str(straight) in path.read_text() for path in (straight / "tiny").rglob("*.json"))
    assert manifest.metrics.reconstruction["val"].num_images == 4
    state = newest(straight / "run" / "denoiser")
    names = [name for name in state["module"] if name.startswith("unet.")]  # type: ignore[attr-defined]
    stored = load_file(straight / "tiny" / "unet" / "diffusion_pytorch_model.safetensors")
    averaged = state["ema"]["shadow_params"][: len(names)]  # type: ignore[index]
    for name, value in zip(names, averaged, strict=True):
        assert torch.equal(stored[name.removeprefix("unet.")], value.half())
    card = (straight / "tiny" / "README.md").read_text()
    assert "Not for diagnosis" in card
    assert "12 images of the `train` split" in card


def test_card_says_what_a_reader_must_know(straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card, manifest = (straight / "tiny" / "README.md").read_text(), read_manifest(straight / "tiny")
    measured = manifest.metrics.reconstruction["val"]
    for words in (
        "## Out of scope",
        "- Diagnosis",
        "Intended use: to see, teach and study",
        "12 images of the `train` split",
        "4 more were used for validation",
        "CC BY 3.0",
        "doi:10.6084/m9.figshare.12275009",
        "4 steps of 4 images, AdamW, learning rate 0.001 (cosine), seed 0",
        "Mean squared error of v, on latents folded 2x2 and whitened",
        "10% of the prompts are dropped",
        manifest.commit,
        f"| val | 4 | {measured.psnr_db:.4g} | {measured.ssim:.4g} | {measured.sharpness_ratio:.4g} |",
    ):
        assert words in card
    shutil.copytree(straight / "tiny", tmp_path / "outputs" / "checkpoints" / "latent_diffusion" / "tiny")
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    exec(code, {})
    assert len(list((tmp_path / "outputs" / "generated").glob("tiny_seed1_*.png"))) == 1


def test_manifest_names_the_schedulers(straight: Path) -> None:
    data = dump(read_manifest(straight / "tiny"))
    assert data.pop("schedulers") == ["ddim", "ddpm", "dpm++", "unipc"]
    assert parse(Manifest, data).schedulers == tuple(SCHEDULERS)  # an older one names none
    with pytest.raises(StudioError, match="must recommend one of its schedulers: euler"):
        parse(Manifest, data | {"schedulers": ["euler"]})


def test_small_images_alone_are_trained_with_a_warning(
    tiny_config: LatentDiffusionConfig, tiny_dataset: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    small = Dataset(tuple(replace(row, native_size=32) for row in tiny_dataset.rows))
    for name, dataset in (("small", small), ("full", tiny_dataset)):
        caplog.clear()
        train_run(tiny_config, dataset, RunOptions(tmp_path / name, tmp_path / "x", autoencoder_only=True))
        assert ("no training image reaches 64 pixels" in caplog.text) == (name == "small")


def test_autoencoder_of_another_run_is_taken_over_unchanged(
    tiny_config: LatentDiffusionConfig, tiny_dataset: Dataset, straight: Path, tmp_path: Path
) -> None:
    for i, source in enumerate((straight / "run", straight / "run" / "autoencoder" / "weights")):
        options = RunOptions(tmp_path / str(i), tmp_path / "x", autoencoder_from=source, autoencoder_only=True)
        folder = train_run(tiny_config, tiny_dataset, options)
        name = "diffusion_pytorch_model.safetensors"
        assert_equal(load_file(folder / name), load_file(straight / "run" / "autoencoder" / "weights" / name))
        assert not (tmp_path / str(i) / "autoencoder" / "states").exists()
    with pytest.raises(StudioError, match="holds no autoencoder"):
        train_run(tiny_config, tiny_dataset, RunOptions(tmp_path / "y", tmp_path / "x", autoencoder_from=tmp_path))


def test_dataset_without_validation_rows_is_trained(
    tiny_config: LatentDiffusionConfig, tiny_dataset: Dataset, tmp_path: Path
) -> None:
    one_row = Dataset(tiny_dataset.split("train")[:1])
    folder = train_run(tiny_config, one_row, RunOptions(tmp_path / "run", tmp_path / "tiny"))
    assert load_engine(folder, "cpu").manifest.data.num_val == 0


def test_dataset_without_training_rows_is_refused(
    tiny_config: LatentDiffusionConfig, tiny_dataset: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(StudioError, match="no training images"):
        train_run(tiny_config, Dataset(tiny_dataset.split("val")), RunOptions(tmp_path / "run", tmp_path / "tiny"))


def test_row_that_breaks_after_the_check_fails_the_run(
    tiny_config: LatentDiffusionConfig, tiny_dataset: Dataset, tmp_path: Path
) -> None:
    (tmp_path / "cut.png").write_bytes(tiny_dataset.rows[0].path.read_bytes()[:500])
    broken = Dataset((replace(tiny_dataset.rows[0], path=tmp_path / "cut.png"), *tiny_dataset.rows[1:2]))
    with pytest.raises(StudioError, match=r"cut\.png"):
        train_run(tiny_config, broken, RunOptions(tmp_path / "run", tmp_path / "tiny"))


def test_projection_is_trained_and_the_pretrained_transformer_is_not(
    tiny_config: LatentDiffusionConfig,
    tiny_dataset: Dataset,
    make_model: MakeModel,
    straight: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tokenizer = make_model(tiny_config).text_encoder.tokenizer
    bert = BertModel(
        BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=24,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=48,
            max_position_embeddings=64,
        )
    )
    bert.save_pretrained(tmp_path / "bert")
    tokenizer.save_pretrained(tmp_path / "bert")
    config = replace(
        tiny_config, text_encoder=TextEncoderConfig("pretrained", str(tmp_path / "bert"), 32, max_length=32)
    )
    options = RunOptions(tmp_path / "run", tmp_path / "tiny", autoencoder_from=straight / "run")
    folder = train_run(config, tiny_dataset, options)
    state = newest(tmp_path / "run" / "denoiser")
    module = state["module"]
    for name, value in bert.state_dict().items():
        if not name.startswith("pooler."):
            assert torch.equal(module[f"text_encoder.transformer.{name}"], value)  # type: ignore[index]
    names = [name for name in module if not name.startswith("text_encoder.transformer.")]  # type: ignore[attr-defined]
    moments = state["optimizer"]["state"]  # type: ignore[index]
    assert len(moments) == len(names) == len(state["ema"]["shadow_params"])  # type: ignore[index]
    projection = [i for i, name in enumerate(names) if "projection" in name]
    assert len(projection) == 2
    assert all(moments[i]["exp_avg"].abs().sum() > 0 for i in projection)
    assert not any(str(tmp_path) in path.read_text() for path in folder.rglob("*.*") if path.suffix in (".json", ".md"))
    monkeypatch.setenv("TOKENIZER_NAME", str(tmp_path / "bert"))
    engine = load_engine(folder, "cpu")
    assert generate(engine, text_request("Normal chest X-ray", seed=1, size=64)).images[0].shape == (64, 64)


def test_training_begins_with_what_fits_of_another_model(
    tiny_config: LatentDiffusionConfig, tiny_checkpoint: Path, make_model: MakeModel
) -> None:
    folder = tiny_checkpoint / "checkpoints" / "latent_diffusion" / "tiny"
    config = replace(tiny_config, begin_with=str(folder), unet=replace(tiny_config.unet, fold=1))
    torch.manual_seed(7)
    model = make_model(config)
    model = replace(model, text_encoder=build_text_encoder(config.text_encoder, ["pneumonia zebra chest"]))
    before = {name: value.clone() for name, value in model.unet.state_dict().items()}
    begin_with(model, config)
    stored = load_file(folder / "unet" / "diffusion_pytorch_model.safetensors")
    for name, value in model.unet.state_dict().items():
        if name.startswith("conv_") and stored[name].shape != value.shape:
            assert torch.equal(value, before[name])  # of other latents
            continue
        both = tuple(slice(min(sides)) for sides in zip(value.shape, stored[name].shape, strict=True))
        assert torch.equal(value[both], stored[name][both].float()), name
        rest = torch.ones_like(value, dtype=torch.bool)
        rest[both] = False
        assert torch.equal(value[rest], before[name][rest]), name
    words, other = model.text_encoder.tokenizer.get_vocab(), TextEncoder.load(folder)
    known = other.tokenizer.get_vocab()
    assert torch.equal(model.text_encoder.words.weight[words["pneumonia"]], other.words.weight[known["pneumonia"]])
    assert "zebra" in words and "zebra" not in known
