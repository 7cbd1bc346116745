"""Adapters added to a base by weight: nothing at 0, each its own change, in the recipe by hash."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from tests.manifests import edit_manifest
from xray_generator import generation
from xray_generator.config import dump
from xray_generator.export.recipe import read_recipe
from xray_generator.generate import main
from xray_generator.requests import describe_adapters, text_request
from xray_generator.studio import Studio
from xray_generator.types import AdapterWeight, CheckpointRef, GenerationRequest, StudioError

SAMPLES = Path(__file__).parents[1] / "outputs" / "samples" / "chest_xray_256"
BASE = text_request("Normal chest X-ray", seed=3, size=64, steps=2)


@pytest.fixture(scope="module")
def studio(adapter_checkpoints: Path) -> Studio:
    return Studio(adapter_checkpoints, "cpu")


def adapt(studio: Studio, **weights: float) -> GenerationRequest:
    """The request with adapters by name."""
    refs = {name: studio.manifest(f"lora/{name}").ref for name in weights}
    return replace(BASE, adapters=tuple(AdapterWeight(refs[name], weight) for name, weight in weights.items()))


def test_an_adapter_is_nothing_at_weight_0_and_itself_at_weight_1(studio: Studio) -> None:
    base, engine = studio.generate(BASE, "tiny").images[0], studio.engine("tiny")
    for weights in ({"first": 0.0}, {"first": 0.0, "second": 0.0}):
        assert np.array_equal(studio.generate(adapt(studio, **weights), "tiny").images[0], base)
    drawn = studio.generate(adapt(studio, first=1.0), "tiny").images[0]
    assert np.array_equal(drawn, studio.generate(BASE, "lora/first").images[0])
    assert np.abs(drawn - base).max() > 1e-3
    assert np.array_equal(studio.generate(BASE, "tiny").images[0], base)
    assert Studio(studio.output_dir, "cpu").engine("tiny") is not engine


def test_adapters_are_switched_without_loading_the_base_again(studio: Studio) -> None:
    engine, request = studio.engine("tiny"), adapt(studio, first=0.5)
    adapted = studio.engine("tiny", request.adapters)
    assert studio.engine("tiny") is engine and studio.engine("tiny", request.adapters) is adapted
    other = studio.engine("tiny", adapt(studio, second=0.5).adapters)
    assert other.components()["autoencoder"] is engine.components()["autoencoder"]
    assert studio.engine("tiny", request.adapters) is not adapted  # the last combination alone is kept


def test_each_of_several_adds_its_own_change_by_its_weight(studio: Studio) -> None:
    engines = [studio.engine("tiny"), studio.engine("tiny", adapt(studio, first=-0.5, second=2.0).adapters)]
    before, after = (dict(engine.components()["unet"].named_parameters()) for engine in engines)
    files = [
        load_file(studio.checkpoint_root / "lora" / name / "pytorch_lora_weights.safetensors")
        for name in ("first", "second")
    ]
    layers = [name.removeprefix("unet.").removesuffix(".lora_A.weight") for name in files[0] if "lora_A" in name]
    assert layers
    for layer in layers:
        factors = [(f[f"unet.{layer}.lora_B.weight"].float(), f[f"unet.{layer}.lora_A.weight"].float()) for f in files]
        first, second = (up @ down for up, down in factors)
        expected = before[f"{layer}.weight"] - 0.5 * first + 2 * second
        assert np.allclose(after[f"{layer}.weight"], expected, atol=1e-5)


def test_the_file_names_the_adapters_and_is_enough_to_draw_it_again(studio: Studio, tmp_path: Path) -> None:
    request = adapt(studio, first=0.8, second=-1)
    result = studio.generate(request, "tiny")
    (saved,) = studio.save(result, tmp_path)
    recipe = read_recipe(saved.path.read_bytes())
    assert recipe.checkpoint == studio.manifest("tiny").ref and recipe.request.adapters == request.adapters
    assert np.array_equal(studio.generate(recipe.request, recipe.checkpoint.full_name).images[0], result.images[0])
    assert describe_adapters(request.adapters) == "first at weight 0.8, second at weight -1"


def test_images_without_adapters_keep_the_digest_that_names_their_files() -> None:
    paths = sorted(SAMPLES.glob("*.png"))
    assert paths
    for path in paths:
        recipe = read_recipe(path.read_bytes())
        assert path.stem.endswith(f"_{recipe.digest}") and "adapters" not in dump(recipe)["request"]


def test_every_verb_uses_the_adapters_of_its_request(studio: Studio) -> None:
    request = adapt(studio, first=1.0)
    maps = studio.task(generation.attend, request, checkpoint="tiny")()
    assert np.array_equal(maps.image, studio.generate(request, "tiny").images[0])


def test_what_does_not_belong_to_the_base_is_refused_before_any_work(studio: Studio, tmp_path: Path) -> None:
    (first,) = adapt(studio, first=1.0).adapters
    base = studio.manifest("tiny")
    for ref, words in (
        (base.ref, "latent_diffusion/tiny is no adapter of latent_diffusion/tiny. Allowed: lora/first, lora/second"),
        (replace(first.adapter, sha256="ab" * 32), r"other weights here \(SHA-256 .{12}, not abababababab\)"),
        (CheckpointRef("lora", "gone", "0"), "Unknown checkpoint 'lora/gone'"),
    ):
        with pytest.raises(StudioError, match=words):
            studio.engine("tiny", (AdapterWeight(ref),))
    with pytest.raises(StudioError, match="lora/first is no adapter of lora/second. Allowed: none is here"):
        studio.engine("lora/second", (first,))
    shutil.copytree(studio.checkpoint_root, tmp_path / "checkpoints")
    edit_manifest(tmp_path / "checkpoints" / "lora" / "first", lambda data: data["base"].update(sha256="0" * 64))
    other = Studio(tmp_path, "cpu")
    assert [manifest.name for manifest in other.adapters(base)] == ["second"]
    with pytest.raises(StudioError, match="lora/first was trained on other weights of tiny than those here"):
        other.generate(adapt(other, first=0.0), "tiny")


def test_the_command_takes_adapters_or_says_what_is_wrong(
    adapter_checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OUTPUT_DIR", str(adapter_checkpoints))
    command = ["--prompt", "Normal chest X-ray", "--size", "64", "--steps", "1", "--output_dir", str(tmp_path / "out")]
    for option, words in (
        ("first:much", "An adapter is given as NAME:WEIGHT, such as chest_xray_lora:0.8, not 'first:much'"),
        ("first:3", "must be a number from -2 to 2, not 3.0"),
        ("first:nan", "must be a number from -2 to 2"),
        ("tiny:1", "is no adapter of latent_diffusion/tiny"),
    ):
        assert main([*command, "--adapter", option]) == 1
        assert words in capsys.readouterr().err and not (tmp_path / "out").exists()
    assert main([*command, "--adapter", "first:0.5", "--adapter", "lora/second"]) == 0
    (path,) = (tmp_path / "out").iterdir()
    adapters = read_recipe(path.read_bytes()).request.adapters
    assert [(one.adapter.name, one.weight) for one in adapters] == [("first", 0.5), ("second", 1.0)]
