"""The compact autoencoder: shapes, its KL, and that a crop is treated like the whole image."""

import math

import pytest
import torch
from torch import Tensor

from xray_generator.nn.compact_autoencoder import (
    ChannelNorm,
    CompactAutoencoder,
    LatentDistribution,
    ResidualBlock,
)


@pytest.fixture(scope="module")
def autoencoder() -> CompactAutoencoder:
    """Random weights in every layer; the residual branches begin at zero otherwise."""
    torch.manual_seed(0)
    network = CompactAutoencoder((8, 16), (1, 1), (1, 1), latent_channels=4).eval()
    for module in network.modules():
        if isinstance(module, ResidualBlock):
            torch.nn.init.normal_(module.conv2.weight, std=0.1)
    return network


def images(count: int, height: int, width: int) -> Tensor:
    return torch.rand(count, 1, height, width, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.mark.parametrize(("height", "width"), [(16, 16), (64, 64), (64, 128), (48, 16), (256, 256)])
def test_shapes(autoencoder: CompactAutoencoder, height: int, width: int) -> None:
    with torch.no_grad():
        posterior = autoencoder.encode(images(2, height, width))
        assert posterior.mean.shape == posterior.log_variance.shape == (2, 4, height // 8, width // 8)
        assert autoencoder.decode(posterior.mean).shape == (2, 1, height, width)


def test_kl_is_the_formula() -> None:
    mean, log_variance = torch.tensor([[0.5, -1.0]]), torch.tensor([[0.3, -2.0]])
    terms = [
        0.5 * (m**2 + math.exp(v) - 1 - v)
        for m, v in zip(mean.flatten().tolist(), log_variance.flatten().tolist(), strict=True)
    ]
    assert LatentDistribution(mean, log_variance).kl().item() == pytest.approx(sum(terms) / 2, rel=1e-5)
    assert LatentDistribution(torch.zeros(3), torch.zeros(3)).kl() == 0
    normal, unit = torch.distributions.Normal(mean, (0.5 * log_variance).exp()), torch.distributions.Normal(0.0, 1.0)
    assert torch.allclose(
        LatentDistribution(mean, log_variance).kl(), torch.distributions.kl_divergence(normal, unit).mean()
    )


def test_sample_has_the_mean_and_the_spread() -> None:
    posterior = LatentDistribution(torch.full((20_000,), 2.0), torch.full((20_000,), math.log(0.25)))
    samples = posterior.sample(torch.Generator().manual_seed(0))
    assert samples.mean() == pytest.approx(2.0, abs=0.02)
    assert samples.std() == pytest.approx(0.5, abs=0.02)
    assert torch.equal(samples, posterior.sample(torch.Generator().manual_seed(0)))


def test_channel_norm_gives_unit_mean_square() -> None:
    x = torch.randn(2, 8, 3, 5) * 7
    y = ChannelNorm(8)(x)
    assert torch.allclose((y**2).mean(1), torch.ones(2, 3, 5), atol=1e-4)
    assert torch.allclose(y, x / (x**2).mean(1, keepdim=True).sqrt(), atol=1e-4)


def test_residual_block_begins_as_identity() -> None:
    x = torch.randn(1, 8, 4, 4)
    assert torch.equal(ResidualBlock(8)(x), x)


def test_crop_is_treated_like_the_whole(autoencoder: CompactAutoencoder) -> None:
    whole = images(1, 256, 256)
    with torch.no_grad():
        latents = autoencoder.encode(whole).mean
        crop = autoencoder.encode(whole[..., 64:192, 64:192]).mean
        assert torch.allclose(crop[..., 5:11, 5:11], latents[..., 13:19, 13:19], atol=1e-4)
        decoded = autoencoder.decode(latents)
        part = autoencoder.decode(latents[..., 8:24, 8:24])
        assert torch.allclose(part[..., 48:80, 48:80], decoded[..., 112:144, 112:144], atol=1e-4)


def test_batch_does_not_mix(autoencoder: CompactAutoencoder) -> None:
    pair = images(2, 64, 64)
    with torch.no_grad():
        together = autoencoder.decode(autoencoder.encode(pair).mean)
        alone = autoencoder.decode(autoencoder.encode(pair[1:]).mean)
    assert torch.allclose(together[1:], alone, atol=1e-5)


def test_saved_network_is_the_same_network(
    autoencoder: CompactAutoencoder, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("autoencoder")
    autoencoder.save_pretrained(folder)
    assert {path.name for path in folder.iterdir()} == {"config.json", "diffusion_pytorch_model.safetensors"}
    again = CompactAutoencoder.from_pretrained(folder, use_safetensors=True)
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), autoencoder.parameters(), strict=True))


def test_it_learns_to_copy() -> None:
    torch.manual_seed(0)
    network = CompactAutoencoder((8, 16), (1, 1), (1, 1), latent_channels=4)
    smooth = torch.nn.functional.interpolate(images(8, 4, 4), size=(32, 32), mode="bicubic").clamp(-1, 1)
    optimizer, errors = torch.optim.AdamW(network.parameters(), 3e-3), []
    for _ in range(60):
        error = (network.decode(network.encode(smooth).mean) - smooth).abs().mean()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        errors.append(error.item())
    assert errors[-1] < 0.3 * errors[0]
