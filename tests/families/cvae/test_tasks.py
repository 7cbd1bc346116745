"""The losses: what counts, what does not, and that training makes them fall."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from xray_generator.data.rows import Dataset, Row
from xray_generator.families.cvae.autoencoder import Autoencoder, class_weights
from xray_generator.families.cvae.autoencoder_task import (
    AutoencoderLoss,
    AutoencoderTask,
    Crops,
    apply_symmetry,
    channel_kl,
    measure_reconstruction,
)
from xray_generator.families.cvae.config import CVAEConfig, NetworkConfig, ReconstructionConfig
from xray_generator.families.cvae.model import (
    CVAE,
    LatentStatistics,
    Prior,
    measure_statistics,
)
from xray_generator.families.cvae.prior_task import (
    LatentRows,
    PriorLoss,
    cache_posteriors,
    latent_mask,
    stratified_sigmas,
)
from xray_generator.nn.compact_autoencoder import LatentDistribution
from xray_generator.training.task import Draw, step_generator
from xray_generator.types import StudioError

LABELS = ("disc", "ring", "stripes")


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def autoencoder(small_config: CVAEConfig) -> Autoencoder:
    torch.manual_seed(0)
    return Autoencoder.build(small_config, LABELS)


def row_of(cells: Dataset, label: str) -> Row:
    return next(row for row in cells.rows if row.label == label)


def crops_batch(crops: Crops, count: int) -> dict[str, Tensor]:
    items = [crops[Draw(i, i)] for i in range(count)]
    return {name: torch.stack([item[name] for item in items]) for name in items[0]}


def test_crops_are_functions_of_row_and_seed(cells: Dataset, small_config: CVAEConfig) -> None:
    crops = Crops(cells.split("train"), LABELS, small_config)
    for index in (0, 9, 20):
        item, again = crops[Draw(index, 3)], Crops(crops.rows, LABELS, small_config)[Draw(index, 3)]
        assert item["images"].shape == item["mask"].shape == (1, 32, 32)
        assert all(torch.equal(item[name], again[name]) for name in item)
        assert LABELS[int(item["label"])] == crops.rows[index].label
    assert not torch.equal(crops[Draw(0, 3)]["images"], crops[Draw(0, 4)]["images"])


def test_symmetries_are_eight_different_ones() -> None:
    image = np.arange(16, dtype=np.float32).reshape(4, 4)
    found = {apply_symmetry(image, symmetry).tobytes() for symmetry in range(8)}
    assert len(found) == 8
    assert np.array_equal(apply_symmetry(image, 0), image)
    assert np.array_equal(apply_symmetry(image, 1), np.rot90(image))


def test_padding_does_not_count(autoencoder: Autoencoder, small_config: CVAEConfig) -> None:
    """Neither the loss nor any gradient depends on what the decoder draws there."""
    config = replace(small_config, beta=0.0, prior=replace(small_config.prior, class_dropout=0.0))
    loss = AutoencoderLoss(autoencoder, config)
    mask = torch.zeros(2, 1, 64, 64)
    mask[:, :, :, 10:50] = 1
    seen: list[Tensor] = []
    change = torch.zeros(())

    def spoil(_module: object, _inputs: object, output: Tensor) -> Tensor:
        output = output + change * (1 - mask)
        output.retain_grad()
        seen.append(output)
        return output

    autoencoder.decoder.register_forward_hook(spoil)
    batch = {"images": drawn(2, 1, 64, 64).clamp(-1, 1), "mask": mask, "label": torch.tensor([0, 1])}
    plain = loss(batch, step_generator(0))
    plain["loss"].backward()
    assert seen[0].grad is not None
    assert (seen[0].grad[mask == 0] == 0).all()
    assert (seen[0].grad[mask == 1] != 0).float().mean() > 0.9
    change = torch.tensor(5.0)
    spoilt = loss(batch, step_generator(0))
    assert all(torch.equal(plain[name], spoilt[name]) for name in plain)


def test_loss_is_what_it_says(autoencoder: Autoencoder, small_config: CVAEConfig) -> None:
    config = replace(
        small_config,
        beta=0.5,
        free_bits=0.0,
        reconstruction=ReconstructionConfig(2.0, 3.0, 0.5, 4.0, 5.0),
        prior=replace(small_config.prior, class_dropout=0.0),
    )
    images = drawn(2, 1, 32, 32).clamp(-1, 1)
    batch = {"images": images, "mask": torch.ones(2, 1, 32, 32), "label": torch.tensor([0, 1])}
    values = AutoencoderLoss(autoencoder, config)(batch, step_generator(0))
    generator = step_generator(0)
    torch.rand(2, generator=generator)
    classes = class_weights([0, 1], 3)
    posterior = autoencoder.encoder(images, classes)
    output = autoencoder.decoder(posterior.sample(generator), classes)
    torch.testing.assert_close(values["l1"], (output - images).abs().mean())
    expected = 2 * values["l1"] + 3 * (output - images).square().mean() + 0.5 * values["gradient_l1"]
    expected = expected + 4 * values["energy_l1"] + 5 * values["lattice"] + 0.5 * posterior.kl()
    torch.testing.assert_close(values["loss"], expected)
    torch.testing.assert_close(values["kl"], posterior.kl())


@pytest.mark.parametrize(("levels", "reduction"), [(1, 4), (2, 8), (3, 16)])
def test_levels_give_the_grid_of_the_latents(small_config: CVAEConfig, levels: int, reduction: int) -> None:
    """Networks of one to three levels train on the smallest crop; a crop that cuts a lattice cell is refused."""
    shape = NetworkConfig((8,) * levels, (1,) * levels, (1,) * levels, (8, 16))
    config = replace(small_config, network=shape)
    assert (config.reduction, config.latent_shape) == (reduction, (4, 64 // reduction, 64 // reduction))
    torch.manual_seed(0)
    small = Autoencoder.build(config, ("a", "b"))
    images = drawn(2, 1, 16, 16).clamp(-1, 1)
    assert small.encoder(images, class_weights([0, 1], 2)).mean.shape == (2, 4, 16 // reduction, 16 // reduction)
    batch = {"images": images, "mask": torch.ones(2, 1, 16, 16), "label": torch.tensor([0, 1])}
    AutoencoderLoss(small, config)(batch, step_generator(0))["loss"].backward()
    with pytest.raises(StudioError, match="crop_size must be a multiple of 16, not 24"):
        replace(config, crop_size=24)


def test_free_bits_leave_channels_that_say_little_alone() -> None:
    mean = torch.zeros(2, 2, 4, 4)
    mean[:, 1] = 2.0
    posterior = LatentDistribution(mean, torch.zeros_like(mean))
    assert channel_kl(posterior).tolist() == [0.0, 2.0]
    assert channel_kl(posterior).clamp(min=0.5).mean() == 1.25


def test_autoencoder_learns_and_is_measured_without_padding(
    autoencoder: Autoencoder, cells: Dataset, small_config: CVAEConfig
) -> None:
    rows = (row_of(cells, "disc"), row_of(cells, "ring"))
    config = replace(
        small_config,
        crop_size=64,
        symmetries="none",
        reconstruction=ReconstructionConfig(energy_weight=0.0, lattice_weight=0.0),
    )
    before = measure_reconstruction(autoencoder, rows, 64)
    loss = AutoencoderLoss(autoencoder, config)
    batch = crops_batch(Crops(rows, LABELS, config), 2)
    optimizer = torch.optim.Adam(loss.parameters(), 3e-3)
    for step in range(60):
        values = loss(batch, step_generator(0, step))
        optimizer.zero_grad()
        values["loss"].backward()
        optimizer.step()
    after = measure_reconstruction(autoencoder, rows, 64)
    assert after.psnr_db > before.psnr_db + 2
    assert after.num_images == 2
    task = AutoencoderTask(config, autoencoder, rows, ())
    assert task.preview().shape == (4, 1, 64, 64)
    assert task.validate() == {}


def test_statistics_are_those_of_draws() -> None:
    posteriors = np.concatenate([drawn(600, 2, 3, 3).numpy() * 2 + 1, np.full((600, 2, 3, 3), np.log(5.0))], axis=1)
    found = measure_statistics(posteriors.astype(np.float16))
    torch.testing.assert_close(found.mean, torch.ones(2), atol=0.1, rtol=0)
    torch.testing.assert_close(found.std, torch.full((2,), 3.0), atol=0.1, rtol=0)  # 2^2 + 5 = 3^2
    latents = drawn(2, 2, 3, 3)
    torch.testing.assert_close(found.denormalize(found.normalize(latents)), latents)
    assert LatentStatistics.from_json(found.to_json()).to_json() == found.to_json()


def test_latents_of_padding_are_masked(cells: Dataset, small_config: CVAEConfig) -> None:
    assert latent_mask(row_of(cells, "disc"), small_config).tolist() == [[1] * 4] * 4
    assert latent_mask(row_of(cells, "ring"), small_config).tolist() == [[0, 1, 1, 0]] * 4  # 44 of 64 columns are image


def test_latents_are_rotated_with_their_masks(
    autoencoder: Autoencoder, cells: Dataset, small_config: CVAEConfig, tmp_path: object
) -> None:
    rows = cells.split("train")
    posteriors = cache_posteriors(autoencoder, rows, small_config, tmp_path)  # type: ignore[arg-type]
    assert posteriors.shape == (48, 8, 4, 4)
    latents = LatentRows(posteriors, rows, measure_statistics(posteriors), LABELS, small_config)
    ring = next(i for i, row in enumerate(rows) if row.label == "ring")
    masks = [latents[Draw(2 * i + variant, 0)]["mask"][0] for i in (ring, ring + 1) for variant in (0, 1)]
    assert {tuple(mask.sum(0).tolist()) for mask in masks} == {(0, 4, 4, 0), (2, 2, 2, 2)}  # upright, and turned
    assert int(latents[Draw(2 * ring, 0)]["label"]) == 1
    assert not torch.equal(latents[Draw(0, 0)]["latents"], latents[Draw(0, 1)]["latents"])


class ToOneImage(Prior):
    """The perfect prior where there is one image only."""

    def __init__(self, latents: Tensor) -> None:
        torch.nn.Module.__init__(self)
        self.latents = latents

    def forward(self, noisy: Tensor, sigma: Tensor, _classes: Tensor) -> Tensor:
        """(x - z) / sigma = noise - z."""
        return (noisy - self.latents) / sigma[:, None, None, None]


@pytest.mark.parametrize("num_steps", [1, 3, 8])
def test_sampling_ends_at_the_latents_where_only_one_fits(autoencoder: Autoencoder, num_steps: int) -> None:
    latents, seen = drawn(1, 4, 4, 4), []
    unit = LatentStatistics(torch.zeros(4), torch.ones(4))
    model = CVAE(autoencoder, ToOneImage(latents), unit)
    classes = autoencoder.classes("disc")
    made = model.draw_latents(drawn(1, 4, 4, 4, seed=1), classes, 3.0, num_steps, lambda *step: seen.append(step))
    torch.testing.assert_close(made, latents, atol=1e-5, rtol=0)
    assert [step[:2] for step in seen] == [(i + 1, num_steps) for i in range(num_steps)]
    for _, _, _, x_0 in seen:
        torch.testing.assert_close(x_0(), latents, atol=1e-5, rtol=0)


def test_prior_loss_ignores_padding(small_config: CVAEConfig) -> None:
    torch.manual_seed(0)
    loss = PriorLoss(Prior(4, small_config), 3, 0.0)
    mask = torch.ones(4, 1, 4, 4)
    mask[..., 2:] = 0
    batch = {"latents": drawn(4, 4, 4, 4, seed=1), "mask": mask, "label": torch.tensor([0, 1, 2, 0])}
    value = loss(batch, step_generator(0))["loss"].detach()
    assert float(value) == pytest.approx(2, abs=0.5)  # an untrained velocity is zero, the wanted one has variance 2
    changed = batch | {"latents": torch.where(mask > 0, batch["latents"], batch["latents"] + 9)}
    assert torch.equal(loss(changed, step_generator(0))["loss"], value)


def test_noise_levels_fill_their_range() -> None:
    sigma = stratified_sigmas(2_000, step_generator(0))
    assert 0 < sigma.min() < 0.05 and 0.95 < sigma.max() < 1
    assert sigma.median() == pytest.approx(0.5, abs=0.01)


def test_prior_learns_the_classes(small_config: CVAEConfig) -> None:
    """Two classes of constant latents, +1 and -1: the class alone decides between them."""
    torch.manual_seed(0)
    prior = Prior(4, small_config)
    loss = PriorLoss(prior, 3, 0.1)
    labels = torch.tensor([0, 1] * 8)
    latents = torch.where(labels == 0, 1.0, -1.0)[:, None, None, None].expand(-1, 4, 4, 4)
    batch = {"latents": latents, "mask": torch.ones(16, 1, 4, 4), "label": labels}
    optimizer = torch.optim.Adam(prior.parameters(), 3e-3)
    for step in range(150):
        optimizer.zero_grad()
        loss(batch, step_generator(0, step))["loss"].backward()
        optimizer.step()
    autoencoder = Autoencoder.build(small_config, LABELS)
    model = CVAE(autoencoder, prior.eval(), LatentStatistics(torch.zeros(4), torch.ones(4)))
    for label, sign in (("disc", 1), ("ring", -1)):
        made = model.draw_latents(drawn(8, 4, 4, 4, seed=7), autoencoder.classes(label), 1.0, 8)
        assert (made.mean(dim=(1, 2, 3)) * sign > 0.5).all()
