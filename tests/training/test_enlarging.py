"""What the network sees: crops of images beside their low-resolution versions, and noise levels."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from tests.families.tiny import SUPER_RESOLUTION
from xray_generator.data.rows import Row
from xray_generator.families.super_resolution.config import SuperResolutionConfig
from xray_generator.images import resize_square
from xray_generator.nn.degradation import add_noise, scale_down
from xray_generator.nn.enlarger import build_enlarger
from xray_generator.nn.network_configs import DegradationConfig
from xray_generator.nn.residual_flow import ResidualFlow, draw_sigma, make_condition
from xray_generator.training.enlarging import (
    Crops,
    EnlargingTask,
    FlowLoss,
    draw_degradation,
    measure_enlargement,
    measure_statistics,
)
from xray_generator.training.task import Draw, step_generator


@pytest.fixture
def small_config() -> SuperResolutionConfig:
    return SUPER_RESOLUTION


def test_item_is_a_function_of_row_and_seed(tiny_rows: tuple[Row, ...], small_config: SuperResolutionConfig) -> None:
    crops = Crops(tiny_rows, small_config)
    first = crops[Draw(3, 7)]
    assert first["images"].shape == first["enlarged"].shape == (1, 32, 32)
    for name, value in Crops(tiny_rows, small_config)[Draw(3, 7)].items():
        assert torch.equal(first[name], value)
    assert torch.equal(first["images"], crops[Draw(3, 7)]["images"])  # from the films that are kept
    assert not torch.equal(first["images"], crops[Draw(3, 8)]["images"])
    assert not torch.equal(first["images"], crops[Draw(4, 7)]["images"])


def test_enlarged_image_lies_on_the_original(tiny_rows: tuple[Row, ...], small_config: SuperResolutionConfig) -> None:
    """Recomputed with OpenCV alone; a shift by one pixel would be farther from the film."""
    config = replace(small_config, crop_size=64, degradation=DegradationConfig((2.0, 2.0), clean_share=1.0))
    for index, row in enumerate(tiny_rows):
        item = Crops(tiny_rows, config)[Draw(index, 1)]
        film = np.round(resize_square(row.image(), 64) * 255) / 255
        small = cv2.resize(film, (32, 32), interpolation=cv2.INTER_AREA)
        plain = np.clip(cv2.resize(small, (64, 64), interpolation=cv2.INTER_CUBIC), 0, 1) * 2 - 1
        np.testing.assert_allclose(item["images"][0], film * 2 - 1, atol=1e-5)
        np.testing.assert_allclose(item["enlarged"][0], plain, atol=1e-5)
        assert item["levels"].tolist() == [1, 0, 0]
        for shift in ((0, 1), (1, 0)):
            moved = torch.roll(item["enlarged"], shift, (1, 2))
            assert (item["images"] - item["enlarged"]).abs().mean() < (item["images"] - moved).abs().mean()


def test_degradations_fill_their_ranges() -> None:
    config = DegradationConfig((1.25, 2.5), max_noise=0.04, max_blur=1.2, clean_share=0.5)
    found = [draw_degradation(config, 512, step_generator(seed)) for seed in range(400)]
    sides = [side for side, _ in found]
    assert 205 <= min(sides) < 212 and 398 < max(sides) <= 410
    for values, most in (([d.noise for _, d in found], 0.04), ([d.blur for _, d in found], 1.2)):
        assert 160 < values.count(0.0) < 240
        assert 0.95 * most < max(values) <= most
        assert min(value for value in values if value) < 0.05 * most


def test_blur_and_noise_do_what_they_say() -> None:
    film = np.zeros((64, 64), np.float32)
    film[:, 32:] = 1
    edge = np.diff(scale_down(film, 32, 1.0)[16])
    places = np.arange(len(edge))
    center = (edge * places).sum() / edge.sum()
    assert np.sqrt((edge * (places - center) ** 2).sum() / edge.sum()) == pytest.approx(1.0, abs=0.05)
    gray = np.full((128, 128), 0.5, np.float32)
    assert (add_noise(gray, 0.03, step_generator(0)) - gray).std() == pytest.approx(0.03, rel=0.02)
    assert add_noise(gray, 0.0, step_generator(0)) is gray


def test_noise_levels_begin_at_one_and_are_spread_evenly() -> None:
    sigma, num_ones = draw_sigma(16, 0.25, step_generator(0))
    assert num_ones == 4
    assert sigma[:4].tolist() == [1, 1, 1, 1]
    assert (sigma[4:] * 12).floor().tolist() == list(range(12))
    assert draw_sigma(1, 0.25, step_generator(0))[0].tolist() == [1]


def test_statistics_make_the_residual_of_unit_size(
    tiny_rows: tuple[Row, ...], small_config: SuperResolutionConfig
) -> None:
    crops = Crops(tiny_rows, small_config)
    statistics = measure_statistics(crops, 0)
    items = [crops[Draw(i, i)] for i in range(len(tiny_rows))]
    images, enlarged, levels = (torch.stack([item[key] for item in items]) for key in ("images", "enlarged", "levels"))
    residual = images - enlarged
    scaled = residual / make_condition(enlarged, levels, statistics).scale
    assert scaled.square().mean() == pytest.approx(1, abs=0.01)
    spread, before = (values.square().mean(dim=(1, 2, 3)).log().std() for values in (scaled, residual))
    assert spread < 0.7 * before  # films differ less than they did


def test_loss_falls_and_one_step_beats_interpolation(
    tiny_rows: tuple[Row, ...], small_config: SuperResolutionConfig
) -> None:
    """On the films that it learns from: a fault in target, sign or scale would leave it at 1."""
    config = replace(small_config, crop_size=64, degradation=DegradationConfig((2.0, 2.0), clean_share=1.0))
    crops = Crops(tiny_rows[:4], config)
    torch.manual_seed(0)
    network = build_enlarger(config.network)
    model = ResidualFlow(network, measure_statistics(crops, 0))
    loss = FlowLoss(network, model.statistics, 0.5)
    items = [crops[Draw(i, i)] for i in (0, 1, 2, 3)]
    batch = {name: torch.stack([item[name] for item in items]) for name in items[0]}
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    values = []
    for step in range(60):
        losses = loss(batch, step_generator(0, step))
        optimizer.zero_grad()
        losses["loss"].backward()
        optimizer.step()
        values.append(float(losses["one_step"].detach()))
    assert values[0] == pytest.approx(1, abs=1e-4)  # untrained
    assert sum(values[-5:]) / 5 < 0.9
    quality = measure_enlargement(model, tiny_rows[:4], 64)
    assert quality.psnr_db > quality.bicubic_psnr_db + 0.2


def test_task_measures_and_previews(tiny_rows: tuple[Row, ...], small_config: SuperResolutionConfig) -> None:
    crops = Crops(tiny_rows, small_config)
    model = ResidualFlow(build_enlarger(small_config.network), measure_statistics(crops, 0))
    task = EnlargingTask(small_config, model, tiny_rows, tiny_rows[:2])
    found = task.validate()
    assert found["num_images"] == 2
    assert found["psnr_db"] == pytest.approx(found["bicubic_psnr_db"], abs=1e-3)  # untrained
    assert task.preview().shape == (8, 1, 64, 64)
    assert EnlargingTask(small_config, model, tiny_rows, ()).validate() == {}
