"""What the two stages optimize: crops, losses, prompt dropout, latent statistics."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PILImage

from xray_generator.data.rows import Row
from xray_generator.families.latent_diffusion.autoencoder_task import (
    AutoencoderLoss,
    Crops,
    load_images,
    native_rows,
    reconstruction_quality,
    repeat_native,
)
from xray_generator.families.latent_diffusion.config import AutoencoderConfig, LatentDiffusionConfig, ScheduleConfig
from xray_generator.families.latent_diffusion.denoiser_task import (
    DenoiserTask,
    DenoisingLoss,
    cache_latents,
    cache_statistics,
    even_timesteps,
    measure_statistics,
    text_inputs,
)
from xray_generator.families.latent_diffusion.facts import encode_facts
from xray_generator.families.latent_diffusion.model import LatentDiffusion, LatentStatistics
from xray_generator.training.task import Draw, step_generator

MakeModel = Callable[[LatentDiffusionConfig], LatentDiffusion]


@pytest.fixture(scope="module")
def model(make_model: MakeModel, tiny_config: LatentDiffusionConfig) -> LatentDiffusion:
    return make_model(tiny_config)


@pytest.fixture
def ramp(tmp_path: Path) -> Row:
    """200 x 300 pixels, brighter to the right and, half as much, downwards: no crop looks like its mirror image."""
    values = np.linspace(0, 160, 300)[None] + np.linspace(0, 80, 200)[:, None]
    PILImage.fromarray(values.astype(np.uint8)).save(tmp_path / "ramp.png")
    return Row(tmp_path / "ramp.png", "ramp", ())


def test_crop_is_a_function_of_row_and_seed(tiny_rows: tuple[Row, ...]) -> None:
    crops = Crops(tiny_rows, 32, 64)
    first = crops[Draw(3, 7)]["images"]
    assert first.shape == (1, 32, 32)
    assert torch.equal(first, Crops(tiny_rows, 32, 64)[Draw(3, 7)]["images"])
    assert not torch.equal(first, crops[Draw(3, 8)]["images"])
    assert not torch.equal(first, crops[Draw(4, 7)]["images"])


def test_items_lie_in_the_range_of_the_model(tiny_rows: tuple[Row, ...]) -> None:
    loader = torch.utils.data.DataLoader(
        Crops(tiny_rows, 32, 64), batch_sampler=[[Draw(i, i) for i in range(12)]], num_workers=2
    )
    (batch,) = list(loader)
    assert batch["images"].dtype == torch.float32
    assert -1 <= batch["images"].min() < -0.5
    assert 0.2 < batch["images"].max() <= 1


def test_crops_are_never_mirrored(ramp: Row) -> None:
    for seed in range(40):
        crop = Crops([ramp], 64, 128)[Draw(0, seed)]["images"][0]
        assert crop[:, -8:].mean() > crop[:, :8].mean()
        assert crop[-8:].mean() > crop[:8].mean()


def test_crops_keep_the_pixels_of_an_image_that_fits(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (100, 100), dtype=np.uint8)
    PILImage.fromarray(values).save(tmp_path / "noise.png")
    whole = torch.from_numpy(values.astype(np.float32) / 255 * 2 - 1)
    windows = whole.unfold(0, 32, 1).unfold(1, 32, 1)
    for seed in range(5):  # 100 pixels reach neither 256 (no enlargement) nor need a reduction
        crop = Crops([Row(tmp_path / "noise.png", "", ())], 32, 256)[Draw(0, seed)]["images"][0]
        assert ((windows - crop).abs().amax((2, 3)) < 1e-5).sum() == 1


def test_autoencoder_loss_is_the_formula(model: LatentDiffusion, tiny_rows: tuple[Row, ...]) -> None:
    images = load_images(tiny_rows[:2], 64)
    with torch.no_grad():
        settings = AutoencoderConfig(gradient_weight=0.5, kl_weight=0.1)
        losses = AutoencoderLoss(model.autoencoder, settings)({"images": images}, torch.Generator().manual_seed(3))
        posterior = model.autoencoder.encode(images)
        noise = torch.randn(posterior.mean.shape, generator=torch.Generator().manual_seed(3))
        error = model.autoencoder.decode(posterior.mean + (posterior.log_variance / 2).exp() * noise) - images
    across, down = error[..., 1:] - error[..., :-1], error[..., 1:, :] - error[..., :-1, :]
    kl = 0.5 * (posterior.mean**2 + posterior.log_variance.exp() - 1 - posterior.log_variance).mean()
    expected = error.abs().mean() + 0.5 * (across.abs().mean() + down.abs().mean()) + 0.1 * kl
    assert losses["loss"].item() == pytest.approx(expected.item(), rel=1e-4)


def test_reconstruction_quality_is_measured_on_the_image(model: LatentDiffusion, tiny_rows: tuple[Row, ...]) -> None:
    quality = reconstruction_quality(model.autoencoder, tiny_rows[:1], 64)
    with torch.no_grad():
        images = load_images(tiny_rows[:1], 64)
        copies = model.autoencoder.decode(model.autoencoder.encode(images).mean).clamp(-1, 1)
    mse = ((images - copies) / 2).square().mean().item()
    assert quality is not None and quality.num_images == 1
    assert quality.psnr_db == pytest.approx(-10 * np.log10(mse), rel=1e-4)
    assert reconstruction_quality(model.autoencoder, [], 64) is None


def test_image_smaller_than_a_crop_alone_is_enlarged(tmp_path: Path) -> None:
    PILImage.fromarray(np.tile(np.arange(0, 240, 10, dtype=np.uint8), (24, 1))).save(tmp_path / "small.png")
    assert Crops([Row(tmp_path / "small.png", "", ())], 32, 256)[Draw(0, 1)]["images"].shape == (1, 32, 32)


def test_rows_of_full_resolution_are_repeated(tiny_rows: tuple[Row, ...]) -> None:
    small = replace(tiny_rows[0], native_size=128)
    rows = [small, *tiny_rows[1:3]]
    assert repeat_native(rows, 256, 3) == [small, *[tiny_rows[1]] * 3, *[tiny_rows[2]] * 3]
    assert native_rows(rows, 256) == list(tiny_rows[1:3])
    assert native_rows([small], 256) == [small]


@pytest.mark.parametrize("fold", [1, 2])
def test_statistics_whiten_and_back(fold: int) -> None:
    random = np.random.default_rng(0)
    shared = random.normal(size=(50, 1, 8, 8))  # what all channels tell at once must not drown the rest
    latents = (5 * shared + random.normal(size=(50, 3, 8, 8)) * [[[[2.0]], [[0.1]], [[1.0]]]] + 7).astype("f2")
    statistics, z = measure_statistics(latents, fold), torch.from_numpy(latents.astype(np.float32))
    whitened, size = statistics.normalize(z), 3 * fold**2
    assert whitened.shape == (50, size, 8 // fold, 8 // fold)
    assert torch.allclose(statistics.denormalize(whitened), z, atol=1e-3)
    assert torch.allclose(whitened.mean((0, 2, 3)), torch.zeros(size), atol=1e-3)
    assert torch.allclose(torch.cov(whitened.movedim(1, -1).flatten(0, -2).T), torch.eye(size), atol=1e-2)
    assert LatentStatistics.from_json(json.loads(json.dumps(statistics.to_json()))).fold == fold


def test_statistics_of_constant_latents_stay_finite() -> None:
    latents = np.ones((2, 3, 4, 4), np.float16)
    statistics, z = measure_statistics(latents), torch.ones(2, 3, 4, 4)
    assert statistics.normalize(z).isfinite().all()
    assert torch.allclose(statistics.denormalize(statistics.normalize(z)), z)


def test_latents_are_the_posterior_means_and_cached_by_rows(
    model: LatentDiffusion, tiny_rows: tuple[Row, ...], tmp_path: Path
) -> None:
    latents = cache_latents(model.autoencoder, tiny_rows[:3], 64, tmp_path)
    with torch.no_grad():
        expected = model.autoencoder.encode(load_images(tiny_rows[:3], 64)).mean
    assert np.allclose(latents, expected.numpy(), atol=2e-3)
    (file,) = tmp_path.iterdir()
    before = file.stat().st_mtime_ns
    assert np.array_equal(cache_latents(model.autoencoder, tiny_rows[:3], 64, tmp_path), latents)
    assert file.stat().st_mtime_ns == before
    cache_latents(model.autoencoder, tiny_rows[1:4], 64, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    assert cache_latents(model.autoencoder, [], 64, tmp_path).shape == (0, 4, 8, 8)


def test_a_run_keeps_its_first_statistics(model: LatentDiffusion, tiny_rows: tuple[Row, ...], tmp_path: Path) -> None:
    latents = cache_latents(model.autoencoder, tiny_rows[:3], 64, tmp_path)
    first = cache_statistics(latents, 2)
    assert torch.equal(first.axes, measure_statistics(latents).axes)
    (file,) = tmp_path.glob("*.json")
    file.write_text(json.dumps(first.to_json() | {"latent_axes": (-first.axes).tolist()}))  # as another machine's
    assert torch.equal(cache_statistics(latents, 2).axes, -first.axes)
    assert len(cache_statistics(latents, 1).mean) == 4  # of other positions, kept beside them
    assert torch.equal(cache_statistics(latents, 2).axes, -first.axes)


@pytest.mark.parametrize("prediction", ["v_prediction", "epsilon", "sample"])
@pytest.mark.parametrize("gamma", [None, 5.0])
def test_denoising_loss_is_the_formula(model: LatentDiffusion, prediction: str, gamma: float | None) -> None:
    """Salimans & Ho 2022 (v, which also follows from x_0) and Hang et al. 2023 (min-SNR), written out for two."""
    schedule = replace(model.schedule, prediction_type=prediction, min_snr_gamma=gamma, prompt_dropout=0.0)
    loss, latents = DenoisingLoss(model.unet, model.text_encoder, schedule).eval(), torch.randn(2, 16, 4, 4)
    ids, mask = model.text_encoder.tokenize(["normal chest", "pneumonia"])
    facts = encode_facts(["normal chest", "pneumonia"])
    batch = {"latents": latents, "input_ids": ids, "attention_mask": mask, "facts": facts}
    with torch.no_grad():
        value = loss(batch, torch.Generator().manual_seed(9))["loss"].item()
        generator = torch.Generator().manual_seed(9)
        noise = torch.randn(latents.shape, generator=generator)
        t = even_timesteps(2, schedule, generator)
        alpha = loss.noise_scheduler.alphas_cumprod[t][:, None, None, None]
        noisy = alpha.sqrt() * latents + (1 - alpha).sqrt() * noise
        output = model.unet(
            noisy,
            t,
            encoder_hidden_states=model.text_encoder(ids, mask),
            encoder_attention_mask=mask,
            class_labels=facts,
        ).sample
    is_v = prediction != "epsilon"
    target = alpha.sqrt() * noise - (1 - alpha).sqrt() * latents if is_v else noise
    if prediction == "sample":
        output = (alpha.sqrt() * noisy - output) / (1 - alpha).sqrt()
    snr = (alpha / (1 - alpha)).flatten()
    weight = torch.ones(2) if gamma is None else snr.clamp(max=gamma) / (snr + 1 if is_v else snr)
    assert value == pytest.approx((weight * (output - target).square().mean((1, 2, 3))).mean().item(), rel=1e-3)


def test_prompts_are_dropped_one_by_one_and_about_as_often_as_asked(model: LatentDiffusion) -> None:
    loss = DenoisingLoss(model.unet, model.text_encoder, replace(model.schedule, prompt_dropout=0.1))
    ids, mask = (x.repeat(64, 1) for x in model.text_encoder.tokenize(["normal chest x-ray"], length=8))
    batch = {
        "latents": torch.zeros(64, 16, 4, 4),
        "input_ids": ids,
        "attention_mask": mask,
        "facts": encode_facts(["normal chest x-ray"] * 64),
    }
    masks: list[torch.Tensor] = []
    hook = model.text_encoder.register_forward_hook(lambda _module, inputs, _output: masks.append(inputs[1]))
    with torch.no_grad():
        for step in range(10):
            loss(batch, step_generator(0, step))
    hook.remove()
    dropped = torch.stack(masks).sum(2) == 2  # the two ends alone are left of an empty prompt
    assert dropped.float().mean() == pytest.approx(0.1, abs=0.03)
    assert all(0 < int(step.sum()) < 64 for step in dropped)


def test_validation_is_the_same_whenever_it_is_asked(
    model: LatentDiffusion, tiny_config: LatentDiffusionConfig, tiny_rows: tuple[Row, ...], tmp_path: Path
) -> None:
    latents = cache_latents(model.autoencoder, tiny_rows, 64, tmp_path)
    task = DenoiserTask(tiny_config, model, tiny_rows[:8], latents[:8], tiny_rows[8:], latents[8:])
    with torch.no_grad():
        assert task.validate() == task.validate()
        first, second = task.preview(), task.preview()
    assert torch.equal(first, second) and first.shape == (4, 1, 64, 64)
    assert len(task.dataset()) == 8


def test_timesteps_are_spread_evenly() -> None:
    timesteps = even_timesteps(10, ScheduleConfig(), torch.Generator().manual_seed(0))
    assert sorted(timesteps.div(100, rounding_mode="floor").tolist()) == list(range(10))
    assert timesteps.tolist() != sorted(timesteps.tolist())


def test_a_share_of_the_timesteps_lies_where_structure_is_decided() -> None:
    timesteps = even_timesteps(400, ScheduleConfig(high_noise_share=0.5), torch.Generator().manual_seed(0))
    assert ((timesteps >= 500) & (timesteps < 950)).sum() == pytest.approx(200 + 90, abs=2)
    assert timesteps.min() < 10 and timesteps.max() > 985


def test_words_are_heard_without_facts_in_training_alone(model: LatentDiffusion) -> None:
    loss = DenoisingLoss(model.unet, model.text_encoder, replace(model.schedule, prompt_dropout=0.0))
    heard: list[torch.Tensor] = []
    hook = model.unet.register_forward_pre_hook(
        lambda _, __, named: heard.append(named["class_labels"]), with_kwargs=True
    )
    prompts = ["PA chest X-ray, no effusion"] * 200
    batch = {**text_inputs(model.text_encoder, prompts), "latents": torch.zeros(200, 16, 4, 4)}
    with torch.no_grad():
        for is_training in (True, False):
            loss.train(is_training)(batch, step_generator(0))
    hook.remove()
    lacks = [(facts == 0).all(dim=1).float().mean().item() for facts in heard]
    assert lacks[0] == pytest.approx(0.1, abs=0.05) and lacks[1] == 0
    model.unet.eval(), model.text_encoder.eval()


def test_balanced_errors_weigh_channels_alike(model: LatentDiffusion) -> None:
    """A channel of small error counts as much as one of large error, once their usual sizes are known."""
    schedule = replace(model.schedule, balance_errors=True)
    loss = DenoisingLoss(model.unet, model.text_encoder, schedule)
    error = torch.tensor([0.1, 1.0]).expand(4, 2)
    loss.usual_error = torch.ones(16, 2)
    timesteps = torch.tensor([10, 11, 990, 991])
    for _ in range(400):
        usual = loss.running_error(error, timesteps)
    torch.testing.assert_close(usual, error, rtol=0.01, atol=0)
    loss.eval()
    torch.testing.assert_close(loss.running_error(error * 5, timesteps), usual)  # validation leaves it as it is
    assert torch.equal(loss.usual_error[8], torch.ones(2))  # a level that was not seen
