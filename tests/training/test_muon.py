"""Muon: what is orthogonalized, what is left to AdamW, and that it learns."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.training.toy import CONFIG, Toy, digest, log, terminate_at
from xray_generator.training.loop import TrainingStopped, make_optimizer, train
from xray_generator.training.muon import Muon, orthogonalize, parameter_groups


@pytest.mark.parametrize("shape", [(8, 40), (40, 8), (16, 16)])
def test_singular_values_become_about_one(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonalize(torch.randn(shape) * 7))
    assert values.min() > 0.3 and values.max() < 1.3


def test_kernels_between_hidden_layers_are_matrices_and_all_else_is_not() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv_in, self.middle, self.conv_out = (nn.Conv2d(4, 4, 3) for _ in range(3))
            self.time_embedding, self.frozen = nn.Linear(4, 4), nn.Linear(4, 4).requires_grad_(requires_grad=False)

    net = Net()
    others, matrices = parameter_groups(net, 0.02)
    assert [id(p) for p in matrices["params"]] == [id(net.middle.weight)] and matrices["lr"] == 0.02
    assert len(others["params"]) == 2 + 1 + 2 + 2


def test_a_step_moves_each_kernel_by_its_rate_and_the_rest_as_adamw_does() -> None:
    torch.manual_seed(0)
    net, plain = (nn.Sequential(nn.Conv2d(3, 3, 3), nn.Conv2d(3, 6, 1)) for _ in range(2))
    plain.load_state_dict(net.state_dict())
    config = replace(CONFIG, optimizer="muon", learning_rate=1e-2, muon_rate=0.1, weight_decay=0.0)
    optimizers = make_optimizer(net, config), make_optimizer(plain, replace(config, optimizer="adamw"))
    before, images = net[1].weight.detach().clone(), torch.randn(2, 3, 8, 8)
    for one, optimizer in zip((net, plain), optimizers, strict=True):
        one(images).square().mean().backward()
        optimizer.step()
    assert isinstance(optimizers[0], Muon) and len(optimizers[0].param_groups) == 2
    torch.testing.assert_close(net[1].bias, plain[1].bias)
    moved = torch.linalg.svdvals((net[1].weight - before).flatten(1)).detach()
    assert moved.max() < 0.1 * 2**0.5 * 1.3 and moved.min() > 0.1 * 2**0.5 * 0.3


def test_it_learns_and_resumes_to_the_bit(tmp_path: Path) -> None:
    config = replace(CONFIG, optimizer="muon", muon_rate=0.05, num_steps=40, checkpoint_every=20)
    train(Toy(), config, tmp_path / "straight")
    losses = [entry["loss"] for entry in log(tmp_path / "straight") if "loss" in entry]
    assert losses[-1] < 0.5 * losses[0]
    with pytest.raises(TrainingStopped):
        train(Toy(terminate_at(25)), config, tmp_path / "resumed")
    train(Toy(), config, tmp_path / "resumed")
    assert digest(tmp_path / "resumed") == digest(tmp_path / "straight")
