"""Arithmetic of a training: what a layer takes by hand, and equal amounts of the configurations that are compared."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from tests.families.tiny import CASCADE
from xray_generator.config import dump, parse, read_config
from xray_generator.families.cascade.compute import equal_steps, main, step_flops, training_flops
from xray_generator.families.cascade.config import CascadeConfig
from xray_generator.nn.flops import count_flops


def read(name: str) -> CascadeConfig:
    return parse(CascadeConfig, read_config(name))


def test_products_convolutions_and_attention_are_counted_as_by_hand() -> None:
    x, query = torch.ones(2, 3, 8, 8), torch.ones(1, 2, 5, 4)  # (B, C, H, W), (B, heads, tokens, channels)
    linear, convolution = nn.Linear(3, 7), nn.Conv2d(3, 4, 3, padding=1)
    with torch.inference_mode():
        assert count_flops(lambda: linear(x.movedim(1, 3))) == 2 * (2 * 8 * 8) * 3 * 7
        assert count_flops(lambda: convolution(x)) == 2 * (2 * 8 * 8) * 4 * 3 * 9
        attention = count_flops(lambda: F.scaled_dot_product_attention(query, query, query))
    assert attention == 2 * (2 * 2 * 5 * 5 * 4)
    backward = count_flops(lambda: convolution(x).sum().backward())  # of the weights, but not of the input
    assert backward == 2 * 2 * (2 * 8 * 8) * 4 * 3 * 9


def test_a_step_takes_twice_as_much_for_twice_the_images_and_a_training_for_twice_the_steps() -> None:
    once = step_flops(CASCADE)
    assert once.keys() == {"base", "sr1"} and all(once.values())
    larger = replace(CASCADE, base_training=replace(CASCADE.base_training, batch_size=8, num_steps=6))
    assert step_flops(larger) == {"base": 2 * once["base"], "sr1": once["sr1"]}
    assert training_flops(larger) == {"base": 12 * once["base"], "sr1": 2 * once["sr1"]}
    single = replace(larger, sr1=None, sr1_training=None)
    assert equal_steps(single, larger) == {"base": round(6 + 2 * once["sr1"] / (2 * once["base"]))}


@pytest.mark.parametrize("name", ["brain_mri_256_plain", "brain_mri_256_single"])
def test_the_configurations_that_are_compared_train_with_equal_arithmetic(name: str) -> None:
    whole, other = read("brain_mri_256"), read(name)
    steps = {"base": other.base_training.num_steps, **{stage: t.num_steps for stage, _, t in other.stages}}
    assert steps == equal_steps(other, whole)
    ratio = sum(training_flops(other).values()) / sum(training_flops(whole).values())
    assert ratio == pytest.approx(1, abs=0.002)


def test_without_swin_nothing_but_the_swin_layers_and_the_steps_differ() -> None:
    whole, plain = dump(read("brain_mri_256")), dump(read("brain_mri_256_plain"))
    for data in (whole, plain):
        for part in (data["base"], data["sr1"]["network"], data["sr2"]["network"]):
            part["window"] = 0
        for stage in ("base", "sr1", "sr2"):
            del data[f"{stage}_training"]["num_steps"]
        del data["name"], data["remarks"]
    assert whole == plain


def test_a_single_stage_differs_in_its_side_and_how_it_is_folded() -> None:
    whole, single = read("brain_mri_256"), read("brain_mri_256_single")
    assert single.sizes == (256,) and single.base.network.fold == 4
    small = replace(single.base, image_size=64, network=replace(single.base.network, fold=2))
    assert small == whole.base and single.labels == whole.labels
    same = {"num_steps": whole.base_training.num_steps, "batch_size": whole.base_training.batch_size}
    assert replace(single.base_training, **same) == whole.base_training


def test_the_command_lists_each_stage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["brain_mri_256"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert [line[1] for line in lines] == ["base", "sr1", "sr2", "all"]
    assert all(line[3] == line[5] for line in lines[:3])  # its own steps are those of equal arithmetic
    assert main(["nothing"]) == 1 and "nothing" in capsys.readouterr().err
