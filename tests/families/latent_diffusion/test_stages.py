"""The stages that may follow: the decoder against a critic, and the adapter for few steps."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from xray_generator.checkpoints import read_manifest, write_manifest
from xray_generator.data.rows import Dataset
from xray_generator.families.latent_diffusion.config import DecoderConfig, FewStepConfig, LatentDiffusionConfig
from xray_generator.families.latent_diffusion.decoder_task import DecoderLoss
from xray_generator.families.latent_diffusion.denoiser_task import text_inputs
from xray_generator.families.latent_diffusion.engine import LatentDiffusionEngine, load_engine
from xray_generator.families.latent_diffusion.few_step_task import DistillationLoss, make_student
from xray_generator.families.latent_diffusion.model import FEW_STEP, LatentDiffusion
from xray_generator.families.latent_diffusion.training import train_run
from xray_generator.generation import edit, generate
from xray_generator.requests import text_request
from xray_generator.types import Edit, Engine, RunOptions, StudioError

MakeModel = Callable[[LatentDiffusionConfig], LatentDiffusion]
WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def all_stages(tiny_config: LatentDiffusionConfig) -> LatentDiffusionConfig:
    training = replace(tiny_config.denoiser_training, num_steps=2, checkpoint_every=3)
    return replace(
        tiny_config,
        autoencoder_training=training,
        denoiser_training=training,
        decoder_training=replace(training, num_steps=3),
        few_step_training=replace(training, num_steps=3),
    )


@pytest.fixture(scope="module")
def trained(all_stages: LatentDiffusionConfig, tiny_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stages")
    train_run(all_stages, tiny_dataset, RunOptions(folder / "run", folder / "tiny"))
    return folder


@pytest.fixture(scope="module")
def engine(trained: Path) -> Engine:
    return load_engine(trained / "tiny", "cpu")


def test_the_decoder_learns_and_the_encoder_stays(trained: Path) -> None:
    before = load_file(trained / "run" / "autoencoder" / "weights" / WEIGHTS)
    after = load_file(trained / "tiny" / "autoencoder" / WEIGHTS)
    for name, value in before.items():
        assert torch.equal(after[name], value.half()) is name.startswith("encoder.")


def test_manifest_and_card_name_all_stages(trained: Path) -> None:
    manifest, card = read_manifest(trained / "tiny"), (trained / "tiny" / "README.md").read_text()
    assert manifest.steps == {"autoencoder": 2, "denoiser": 2, "decoder": 3, "few_step": 3}
    assert manifest.schedulers[-1] == FEW_STEP
    assert "3. **Decoder**, 3 steps of 4 images" in card
    assert "4. **Adapter for 4 steps** (scheduler few_step), 3 steps of 4 images" in card


def test_a_finished_run_makes_the_same_checkpoint_again(
    all_stages: LatentDiffusionConfig, tiny_dataset: Dataset, trained: Path, tmp_path: Path
) -> None:
    train_run(all_stages, tiny_dataset, RunOptions(trained / "run", tmp_path / "again"))
    assert read_manifest(tmp_path / "again").ref == read_manifest(trained / "tiny").ref


def test_few_steps_are_one_pass_each_with_guidance_within(engine: Engine) -> None:
    result = generate(engine, text_request("Normal chest X-ray", seed=1, size=64, scheduler=FEW_STEP, guidance=1.5))
    assert (result.request.num_inference_steps, result.request.guidance_scale) == (4, 5.0)
    assert result.notes == ("Guidance 1.5 was not used: few_step always draws with 5.",)
    with pytest.raises(StudioError, match="1 to 4 steps, not 5"):
        generate(engine, text_request("Normal chest X-ray", seed=1, size=64, scheduler=FEW_STEP, steps=5))
    assert generate(engine, text_request("Normal chest X-ray", seed=1, size=64, scheduler=FEW_STEP)).notes == ()


def test_the_adapter_is_what_draws_four_passes_and_no_more(engine: Engine) -> None:
    assert isinstance(engine, LatentDiffusionEngine) and engine.model.few_step_unet is not None
    passes: list[int] = []
    hook = engine.model.few_step_unet.register_forward_pre_hook(
        lambda _module, _args, kwargs: passes.append(len(kwargs["encoder_hidden_states"])), with_kwargs=True
    )
    request = text_request("Normal chest X-ray", seed=1, size=64, scheduler=FEW_STEP)
    try:
        drawn = generate(engine, request)
    finally:
        hook.remove()
    assert passes == [1, 1, 1, 1]  # no second one without the prompt
    plain = replace(engine, model=replace(engine.model, few_step_unet=engine.model.unet))
    assert not np.array_equal(drawn.images[0], generate(plain, request).images[0])


@pytest.mark.parametrize("scheduler", ["dpm++", "unipc", "ddpm", "ddim", FEW_STEP])
def test_an_edit_to_the_same_words_changes_nothing(engine: Engine, scheduler: str) -> None:
    """Also with solvers that remember the steps before, at a strength that parts the two in the middle."""
    words = "Normal chest X-ray"
    steps = 4 if scheduler == FEW_STEP else 8
    request = text_request(words, seed=3, size=64, steps=steps, scheduler=scheduler)
    made = edit(engine, None, request, Edit(words, 0.7, words, "inversion"))
    assert np.array_equal(made.before, made.after.images[0])
    assert np.array_equal(made.before, generate(engine, request).images[0])


def test_a_given_image_is_edited_along_ddim_whatever_is_asked(engine: Engine) -> None:
    image = np.random.default_rng(0).random((64, 64), np.float32)
    change = Edit("Pneumonia", 0.5, "", "inversion")
    asked = text_request("Pneumonia", seed=0, size=64, steps=6, guidance=2.0, scheduler=FEW_STEP)
    made = edit(engine, image, asked, change).after.request
    assert (made.scheduler, made.num_inference_steps, made.guidance_scale) == ("ddim", 6, 2.0)


def test_an_adapter_that_lacks_a_part_is_refused(trained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    shutil.copytree(trained / "tiny", folder)
    path = next((folder / FEW_STEP).glob("*.safetensors"))
    tensors = load_file(path)
    tensors.pop(next(iter(tensors)))
    save_file(tensors, path)
    write_manifest(folder, read_manifest(folder))
    with pytest.raises(StudioError, match=r"1 of its \d+ layers are not those of its base: unet\.conv_in"):
        load_engine(folder, "cpu")


def test_without_an_adapter_few_steps_are_refused(tiny_checkpoint: Path) -> None:
    engine = load_engine(tiny_checkpoint / "checkpoints" / "latent_diffusion" / "tiny", "cpu")
    with pytest.raises(StudioError, match="no scheduler 'few_step'"):
        generate(engine, text_request("Normal chest X-ray", seed=1, size=64, scheduler=FEW_STEP))


def make_batch(model: LatentDiffusion) -> dict[str, Tensor]:
    latents = torch.randn(2, 16, 4, 4, generator=torch.Generator().manual_seed(0))
    return {"latents": latents, **text_inputs(model.text_encoder, ["normal chest", "pneumonia"])}


@pytest.mark.parametrize(
    "schedule", [{}, {"prediction_type": "epsilon", "beta_schedule": "linear"}, {"prediction_type": "sample"}]
)
def test_the_adapter_begins_as_the_denoiser_and_learns_the_guided_teacher(
    make_model: MakeModel, tiny_config: LatentDiffusionConfig, schedule: dict[str, Any]
) -> None:
    """With guidance 1 and one teacher step the student is the teacher: the loss is zero before any training."""
    model = make_model(replace(tiny_config, schedule=replace(tiny_config.schedule, **schedule)))
    student = make_student(model.unet, 4)
    losses = {}
    for guidance, teacher_steps in ((1.0, 1), (5.0, 2)):
        settings = FewStepConfig(teacher_steps=teacher_steps, guidance_scale=guidance)
        loss = DistillationLoss(model, student, settings)
        losses[guidance] = float(loss(make_batch(model), torch.Generator().manual_seed(0))["loss"].detach())
        assert {name.split(".")[0] for name, p in loss.named_parameters() if p.requires_grad} == {"student"}
        assert all("lora_" in name for name, p in loss.named_parameters() if p.requires_grad)
    assert losses[1.0] < 1e-6 < losses[5.0]


def test_the_teacher_is_guided_within_its_interval_alone(
    make_model: MakeModel, tiny_config: LatentDiffusionConfig
) -> None:
    """Outside the interval guidance changes nothing, so a student equal to the plain model has nothing to learn."""
    schedule = replace(tiny_config.schedule, guidance_interval=(0.0, 0.0))
    model = make_model(replace(tiny_config, schedule=schedule))
    loss = DistillationLoss(model, make_student(model.unet, 4), FewStepConfig(teacher_steps=1, guidance_scale=7.0))
    assert float(loss(make_batch(model), torch.Generator().manual_seed(0))["loss"].detach()) < 1e-6


def test_critic_and_decoder_have_gradients_of_their_own(
    make_model: MakeModel, tiny_config: LatentDiffusionConfig
) -> None:
    config = replace(tiny_config, decoder=DecoderConfig(adversarial_weight=0.02, feature_weight=0.2))
    loss = DecoderLoss(make_model(tiny_config).autoencoder, config)
    assert loss.critic is not None
    images = torch.rand(2, 1, 64, 64) * 2 - 1
    parts = loss({"images": images}, torch.Generator().manual_seed(0))
    critic = torch.autograd.grad(parts["critic"], list(loss.critic.parameters()), retain_graph=True)
    decoder = list(loss.autoencoder.decoder.parameters())
    assert all(gradient.abs().sum() > 0 for gradient in critic[:-1])  # real and fake cancel in the last bias
    assert torch.autograd.grad(parts["critic"], decoder, retain_graph=True, allow_unused=True) == (None,) * len(decoder)
    assert torch.autograd.grad(
        parts["adversarial"], list(loss.critic.parameters()), retain_graph=True, allow_unused=True
    ) == (None,) * len(critic)
    assert any(gradient.abs().sum() > 0 for gradient in torch.autograd.grad(parts["adversarial"], decoder))
