"""An untrained Stable Diffusion draws and is adapted as diffusers' own pipeline does and is."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.families.tiny import TRAINING, Run
from tests.families.tiny_sd import SIZE, make_tiny_sd
from xray_generator.checkpoints import read_manifest
from xray_generator.data.rows import Dataset
from xray_generator.data.texts import read_texts
from xray_generator.devices import initial_noise, seeded_generators
from xray_generator.families.lora.config import LoraConfig
from xray_generator.families.lora.engine import load_base
from xray_generator.families.lora.engine import load_engine as load_adapter
from xray_generator.families.lora.training import train_run
from xray_generator.families.stable_diffusion.engine import StableDiffusionEngine, load_engine
from xray_generator.families.stable_diffusion.model import DISTILLED, USUAL
from xray_generator.generation import generate
from xray_generator.images import encode_png
from xray_generator.nn.adapter import FILE, read_adapter
from xray_generator.nn.diffusion import denoise
from xray_generator.registry import offers
from xray_generator.requests import text_request
from xray_generator.types import RunOptions, StudioError, no_report

PROMPT, STEPS, GUIDANCE = "Normal X-ray", 4, 5.0
BASE = "stable_diffusion/tiny-sd"
Engine = StableDiffusionEngine


@pytest.fixture(scope="module")
def engine(run_of: Callable[[str], Run]) -> Engine:
    return load_engine(run_of("stable_diffusion").options.checkpoint, "cpu")


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory, tiny_dataset: Dataset) -> Path:
    """Trained on films with texts beside them; its base is named by a folder, and imported by the way."""
    root = tmp_path_factory.mktemp("adapter")
    (root / "films").mkdir()
    for i, row in enumerate(tiny_dataset.rows[:6]):
        (root / "films" / f"{i}.png").write_bytes(encode_png(row.image()))
        (root / "films" / f"{i}.txt").write_text("A film\n of film land")
    config = LoraConfig(
        "style",
        replace(TRAINING, learning_rate=0.05, ema_decay=0.0),
        base=str(make_tiny_sd(root / "models" / "tiny-sd")),
        rank=2,
        alpha=4.0,
        dropout=0.1,
        adapts_text_encoder=True,
        prior_weight=0.5,
        num_prior_images=2,
        gradient_checkpointing=True,
    )
    place = root / "checkpoints" / "lora" / "style"
    return train_run(config, read_texts(root / "films"), RunOptions(root / "run", place))


def draw(engine: Any, guidance_scale: float = GUIDANCE) -> Tensor:
    """(1, 1, H, W) by our sampling, in float32 whatever the machine."""
    model, (generator,) = engine.model, seeded_generators(3, 1)
    noise = initial_noise((4, SIZE // 4, SIZE // 4), [generator], engine.device)
    with torch.inference_mode():
        denoiser = model.denoiser(PROMPT, guidance_scale)
        return model.decode(denoise(model.scheduler("dpm++", STEPS), denoiser, noise, generator, no_report))


def draw_plainly(pipeline: Any, guidance_scale: float = GUIDANCE) -> Tensor:
    """The mean of the colors that diffusers draws from the same noise."""
    noise = initial_noise((4, SIZE // 4, SIZE // 4), seeded_generators(3, 1), torch.device("cpu"))
    options = {"num_inference_steps": STEPS, "guidance_scale": guidance_scale, "latents": noise}
    colors: Tensor = pipeline(PROMPT, output_type="pt", **options).images
    return 2 * colors.mean(1, keepdim=True) - 1


def load_pipeline(folder: Path) -> Any:
    pipeline = StableDiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
    settings = pipeline.scheduler.config
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(settings, timestep_spacing="trailing")
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def test_it_draws_what_plain_diffusers_draws(engine: Engine, run_of: Callable[[str], Run]) -> None:
    pipeline = load_pipeline(run_of("stable_diffusion").options.checkpoint)
    for scale in (GUIDANCE, 1.0):
        torch.testing.assert_close(draw(engine, scale), draw_plainly(pipeline, scale), rtol=1e-3, atol=1e-3)
    assert (draw(engine) - draw(engine, 1.0)).abs().max() > 0.01


def test_an_adapter_of_it_changes_plain_diffusers_alike(adapter: Path) -> None:
    manifest = read_manifest(adapter)
    assert manifest.base is not None and manifest.base.full_name == manifest.config["base"] == BASE
    base, adapted = load_base(BASE, adapter, "cpu"), load_adapter(adapter, "cpu")
    assert isinstance(adapted, Engine) and base.manifest.ref == manifest.base
    assert (draw(adapted) - draw(base)).abs().max() > 0.02
    pipeline = load_pipeline(adapter.parents[1] / BASE)
    torch.testing.assert_close(draw_plainly(pipeline), draw(base), rtol=1e-3, atol=1e-3)
    ids = adapted.model.tokenizer(PROMPT, return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        before = pipeline.text_encoder(ids)[0]
        pipeline.load_lora_weights(str(adapter), weight_name=FILE)
        torch.testing.assert_close(pipeline.text_encoder(ids)[0], adapted.model.text_encoder(ids), rtol=1e-3, atol=1e-3)
        assert (pipeline.text_encoder(ids)[0] - before).abs().max() > 0.01
    torch.testing.assert_close(draw_plainly(pipeline), draw(adapted), rtol=1e-3, atol=2e-3)
    assert (adapter / FILE).stat().st_size < 100_000


def test_an_adapter_can_do_what_its_base_can(adapter: Path) -> None:
    manifest, adapted = read_manifest(adapter), load_adapter(adapter, "cpu")
    assert offers(manifest, "encode") and not offers(manifest, "morph")
    assert isinstance(adapted, Engine)
    gray = torch.linspace(-1, 1, SIZE * SIZE).view(1, 1, SIZE, SIZE)
    latents = adapted.encode(gray)
    assert latents.shape == (1, 4, SIZE // 4, SIZE // 4) and adapted.decode(latents).shape == gray.shape
    vae = adapted.model.vae
    with torch.inference_mode():
        colors = vae.encode(torch.cat([gray] * 3, 1)).latent_dist.mean * vae.config.scaling_factor
    torch.testing.assert_close(latents, colors, rtol=0.05, atol=0.05)  # the machine may compute in bfloat16
    with pytest.raises(StudioError, match="draws from a text prompt, not by class"):
        adapted.encode(gray, "normal")


@pytest.mark.parametrize("prefix", ["text_model_", ""])
def test_a_file_of_kohya_is_read(adapter: Path, tmp_path: Path, prefix: str) -> None:
    """With CLIP's layers named as of old and as transformers names them today."""
    base: Any = load_base(BASE, adapter, "cpu")
    named = {}
    for key, value in load_file(adapter / FILE).items():
        layer, _, factor = key.removesuffix(".weight").rpartition(".")
        flat = layer.replace(".", "_").replace("text_encoder_text_model_", f"lora_te_{prefix}")
        flat = f"lora_{flat}" if flat.startswith("unet_") else flat
        named[f"{flat}.{'lora_down' if factor == 'lora_A' else 'lora_up'}.weight"] = value
    save_file(named, tmp_path / "style.safetensors")
    own, kohya = (read_adapter(path, base.adaptable()) for path in (adapter, tmp_path / "style.safetensors"))
    assert {name: set(layers) for name, layers in own.items()} == {name: set(kohya[name]) for name in kohya}
    assert set(own) == {"unet", "text_encoder"} and len(own["text_encoder"]) == 8
    assert all(torch.equal(own["text_encoder"][name][1], up) for name, (_, up) in kohya["text_encoder"].items())


def test_few_steps_without_guidance_are_recommended_for_a_turbo(engine: Engine) -> None:
    for settings, expected in (
        ({}, USUAL),
        ({"timestep_spacing": "trailing"}, DISTILLED),
        ({"timestep_spacing": "trailing", "prediction_type": "v_prediction"}, USUAL),
        ({"timestep_spacing": "trailing", "rescale_betas_zero_snr": True}, USUAL),
    ):
        model = replace(engine.model, schedule={**engine.model.schedule, **settings})
        assert model.recommendation == expected


def test_guidance_of_0_is_none_and_the_end_of_a_long_prompt_is_said_to_be_lost(engine: Engine) -> None:
    request = text_request("a" * 20 + " and the end", seed=1, size=SIZE, steps=2, guidance=0.0)
    result = generate(engine, request)
    assert result.request.guidance_scale == 1.0 and result.images[0].shape == (SIZE, SIZE)
    assert result.notes == ("The prompt exceeds 24 tokens; this end was not read: 'd the end'",)
    assert engine.notes(text_request(PROMPT, seed=0, size=SIZE)) == ()


def test_a_base_that_is_nowhere_is_said(adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTPUT_DIR", str(tmp_path))
    config = LoraConfig("style", TRAINING, base="someone/absent")
    options = RunOptions(tmp_path / "run", tmp_path / "checkpoints" / "lora" / "style")
    with pytest.raises(StudioError, match="is not here.*cannot be imported either.*Hugging Face cache"):
        train_run(config, read_texts(adapter.parents[2] / "films"), options)
