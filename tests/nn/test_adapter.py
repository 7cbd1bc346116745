"""Adapters in the ways in which tools write them, added to weights, and refused where they do not fit."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from xray_generator.nn.adapter import FILE, adapter_tensors, add_adapter, find_layers, fuse, read_adapter, save_adapter

RANK = 2


class Attention(nn.Module):
    """Names as in diffusers."""

    def __init__(self) -> None:
        super().__init__()
        self.to_q = nn.Linear(6, 4)
        self.to_out = nn.ModuleList([nn.Linear(4, 6), nn.Dropout(0.0)])


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mid_block = nn.ModuleDict({"attn1": Attention()})
        self.conv = nn.Conv2d(3, 5, 3)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


LAYER = "mid_block.attn1.to_q"
DOWN, UP = drawn(RANK, 6), drawn(4, RANK, seed=1)
ALPHA = 4.0  # the scale is 2
Files = dict[str, Any]
FORMS: dict[str, Callable[[Path], Path]] = {}


def form(write: Callable[[Path], Path]) -> Callable[[Path], Path]:
    FORMS[write.__name__] = write
    return write


@form
def diffusers_with_metadata(folder: Path) -> Path:
    tensors = {f"unet.{LAYER}.lora_A.weight": DOWN, f"unet.{LAYER}.lora_B.weight": UP}
    known = json.dumps({"unet.lora_alpha": ALPHA, "unet.r": RANK})
    save_file(tensors, folder / FILE, {"format": "pt", "lora_adapter_metadata": known})
    return folder


@form
def diffusers_before_peft(folder: Path) -> Path:
    save_file({f"unet.{LAYER}.lora.down.weight": DOWN, f"unet.{LAYER}.lora.up.weight": 2 * UP}, folder / FILE)
    return folder / FILE


@form
def diffusers_by_processors(folder: Path) -> Path:
    name = LAYER.replace(".to_q", ".processor.to_q_lora")
    save_file({f"unet.{name}.down.weight": DOWN, f"unet.{name}.up.weight": 2 * UP}, folder / "any.safetensors")
    return folder / "any.safetensors"


@form
def kohya(folder: Path) -> Path:
    name = f"lora_unet_{LAYER.replace('.', '_')}"
    tensors = {f"{name}.lora_down.weight": DOWN, f"{name}.lora_up.weight": UP, f"{name}.alpha": torch.tensor(ALPHA)}
    save_file(tensors, folder / "style.safetensors")
    return folder / "style.safetensors"


@form
def peft(folder: Path) -> Path:
    name = f"base_model.model.{LAYER}"
    save_file({f"{name}.lora_A.weight": DOWN, f"{name}.lora_B.weight": UP}, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA}))
    return folder


@pytest.mark.parametrize("name", FORMS)
def test_every_form_gives_the_same_change(name: str, tmp_path: Path) -> None:
    network = Network()
    factors = read_adapter(FORMS[name](tmp_path), {"unet": network})
    changed = fuse(network, [(factors["unet"], 0.5)])
    before, after = (one.get_submodule(LAYER).weight for one in (network, changed))
    torch.testing.assert_close(after, before + 0.5 * 2 * UP @ DOWN)
    others = [key for key in network.state_dict() if key != f"{LAYER}.weight"]
    assert all(torch.equal(network.state_dict()[key], changed.state_dict()[key]) for key in others)


def test_nothing_is_added_by_weight_zero_and_several_add_up(tmp_path: Path) -> None:
    network = Network()
    factors = read_adapter(kohya(tmp_path), {"unet": network})["unet"]
    assert fuse(network, [(factors, 0.0)]) is network and fuse(network, []) is network
    twice = fuse(network, [(factors, 0.25), (factors, 0.75)])
    torch.testing.assert_close(
        twice.get_submodule(LAYER).weight, fuse(network, [(factors, 1.0)]).get_submodule(LAYER).weight
    )


def test_convolutions_and_last_layers_of_attention_are_found(tmp_path: Path) -> None:
    network, down, up = Network(), drawn(RANK, 3, 3, 3), drawn(5, RANK, 1, 1, seed=1)
    out = "mid_block.attn1.processor.to_out_lora"
    tensors = {
        "unet.conv.lora_A.weight": down,
        "unet.conv.lora_B.weight": up,
        f"unet.{out}.down.weight": drawn(RANK, 4),
        f"unet.{out}.up.weight": drawn(6, RANK),
    }
    save_file(tensors, tmp_path / FILE)
    factors = read_adapter(tmp_path, {"unet": network})["unet"]
    assert set(factors) == {"conv", "mid_block.attn1.to_out.0"}
    x = drawn(1, 3, 8, 8)
    changed = fuse(network, [(factors, 1.0)])
    inner = nn.functional.conv2d(x, down)
    torch.testing.assert_close(changed.conv(x), network.conv(x) + nn.functional.conv2d(inner, up), rtol=1e-4, atol=1e-4)


REFUSED: dict[str, tuple[dict[str, Tensor], str]] = {
    "another layer": ({"unet.x.lora_A.weight": DOWN, "unet.x.lora_B.weight": UP}, "1 of its 1 layers.*unet.x"),
    "another size": (
        {f"unet.{LAYER}.lora_A.weight": drawn(RANK, 7), f"unet.{LAYER}.lora_B.weight": UP},
        f"not those of its base: unet.{LAYER}",
    ),
    "half of a layer": ({f"unet.{LAYER}.lora_A.weight": DOWN}, "not those of its base"),
    "a network that is not there": (
        {f"text_encoder.{LAYER}.lora_A.weight": DOWN, f"text_encoder.{LAYER}.lora_B.weight": UP},
        "not those of its base: text_encoder",
    ),
    "LoHa": ({f"lora_unet_{LAYER}.hada_w1_a": DOWN}, "of the kind LoHa"),
    "DoRA": ({f"unet.{LAYER}.lora_magnitude_vector.weight": DOWN}, "of the kind DoRA"),
    "no adapter": ({"encoder.weight": DOWN}, "1 of its 1 layers are not those of its base: encoder.weight"),
    "nothing": ({}, "it holds no adapter"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_named(case: str, tmp_path: Path) -> None:
    tensors, words = REFUSED[case]
    save_file(tensors, tmp_path / FILE)
    with pytest.raises(ValueError, match=words):
        read_adapter(tmp_path, {"unet": Network()})


@pytest.mark.parametrize("settings", ["{", '{"use_dora": true}', '{"alpha_pattern": {"to_q": 2}}'])
def test_settings_that_would_change_the_scale_are_refused(settings: str, tmp_path: Path) -> None:
    folder = peft(tmp_path)
    (folder / "adapter_config.json").write_text(settings)
    with pytest.raises(ValueError, match="JSON|single layers"):
        read_adapter(folder, {"unet": Network()})


def test_plain_diffusers_draws_with_a_file_of_ours(tmp_path: Path) -> None:
    """The same output from diffusers' own loader as from the fused weights; and an adapter begins without effect."""
    torch.manual_seed(0)
    shape: dict[str, Any] = {
        "block_out_channels": (32, 64),
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "cross_attention_dim": 16,
        "sample_size": 8,
    }
    plain, trained = UNet2DConditionModel(**shape).eval(), UNet2DConditionModel(**shape).eval()
    trained.load_state_dict(plain.state_dict())
    inputs = drawn(1, 4, 8, 8), torch.tensor(3), drawn(1, 5, 16)
    layers = find_layers(plain, ("to_q", "to_out.0"))
    assert len(layers) > 4
    add_adapter(trained, layers, RANK, ALPHA, 0.0)
    with torch.no_grad():
        before = plain(*inputs).sample
        torch.testing.assert_close(trained(*inputs).sample, before)
        for name, value in trained.named_parameters():
            if "lora_" in name:
                nn.init.normal_(value, std=0.3)
        save_adapter(adapter_tensors({"unet": trained}, ALPHA / RANK), tmp_path)
        assert {value.dtype for value in load_file(tmp_path / FILE).values()} == {torch.float16}
        fused = fuse(plain, [(read_adapter(tmp_path, {"unet": plain})["unet"], 1.0)])
        plain.load_lora_adapter(str(tmp_path), prefix="unet", weight_name=FILE)
        ours, theirs = fused(*inputs).sample, plain(*inputs).sample
    assert (ours - before).abs().max() > 0.05
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(ours, trained(*inputs).sample.detach(), rtol=1e-2, atol=2e-2)  # stored in 16 bit
