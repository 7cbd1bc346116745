"""The components, noise schedule and latency of the tiny real checkpoint."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from xray_generator.checkpoints import find_checkpoint
from xray_generator.experiments.inspection import dissect, probe_request, time_images, view_noise
from xray_generator.families.latent_diffusion.engine import LatentDiffusionEngine
from xray_generator.generation import generate
from xray_generator.registry import load_engine
from xray_generator.types import (
    Canceled,
    ClassLabel,
    Engine,
    GenerationRequest,
    Preview,
    StudioError,
    TextPrompt,
    Unconditional,
)


@pytest.fixture(scope="module")
def engine(tiny_checkpoint: Path) -> Engine:
    return load_engine("latent_diffusion", find_checkpoint(tiny_checkpoint / "checkpoints"), "cpu")


@pytest.fixture(scope="module")
def flow_engine(tiny_ct_checkpoint: Path) -> Engine:
    return load_engine("flow_matching", find_checkpoint(tiny_ct_checkpoint / "checkpoints"), "cpu")


def test_every_layer_is_counted_and_attention_layers_are_found(engine: LatentDiffusionEngine) -> None:
    anatomy = dissect(engine, probe_request(engine.manifest))
    assert {part.name for part in anatomy.components} == {"autoencoder", "unet", "text_encoder"}
    leaves = sum(1 for part in engine.components().values() for _ in part.modules())
    assert sum(1 for part in anatomy.components for _ in part.layers.flat()) >= leaves
    assert {site.resolution for site in anatomy.attention} == {"4 x 4", "2 x 2"} and anatomy.depth > 3


def test_a_probe_uses_the_recommended_settings_and_the_first_example(engine: LatentDiffusionEngine) -> None:
    manifest = engine.manifest
    request = probe_request(manifest)
    assert request.condition == TextPrompt(manifest.vocabulary["example_prompts"][0])
    assert (request.height, request.num_inference_steps) == (64, manifest.recommended.num_inference_steps)
    by_class = replace(manifest, family="flow_matching", labels=("normal", "pneumonia"))
    assert probe_request(by_class).condition == ClassLabel("normal")
    assert probe_request(replace(by_class, labels=(), unconditional=True)).condition == Unconditional()


def test_noise_schedule_is_the_cosine_one(engine: LatentDiffusionEngine) -> None:
    view = view_noise(engine, "ddim", 5)
    assert len(view.shares.x) == 1_000
    t = np.arange(1, 1_001) / 1_000  # Nichol & Dhariwal 2021, arXiv:2102.09672, eq. 17; beta is cut off at 0.999
    alpha_bar = np.cos((t + 0.008) / 1.008 * np.pi / 2) ** 2 / np.cos(0.008 / 1.008 * np.pi / 2) ** 2
    signal, log_snr = np.array(view.shares.lines["signal"]), np.array(view.log_snr.lines["log SNR"])
    np.testing.assert_allclose(signal[:-1], alpha_bar[:-1], rtol=2e-4)
    np.testing.assert_allclose(np.array(view.shares.lines["noise"]), 1 - signal, atol=1e-12)
    np.testing.assert_allclose(log_snr[:-1], np.log(alpha_bar / (1 - alpha_bar))[:-1], atol=2e-3)
    assert view.visited_shares.x == (999, 799, 599, 399, 199)
    assert view.visited_log_snr.lines["log SNR"] == tuple(log_snr[[999, 799, 599, 399, 199]])


@pytest.mark.parametrize("scheduler", ["ddim", "ddpm", "dpm++", "unipc"])
def test_visited_timesteps_are_those_of_the_sampling(engine: LatentDiffusionEngine, scheduler: str) -> None:
    seen: list[float] = []
    hook = engine.model.unet.register_forward_pre_hook(lambda _, arguments: seen.append(float(arguments[1])))
    request = GenerationRequest(TextPrompt("Chest"), 1, 64, 64, 7, 1.0, scheduler)
    try:
        generate(engine, request)
    finally:
        hook.remove()
    assert engine.visited_timesteps(scheduler, 7) == tuple(seen)


def test_what_a_schedule_cannot_do_is_an_error(engine: Engine, flow_engine: Engine) -> None:
    with pytest.raises(StudioError, match="At most 1000 steps"):
        view_noise(engine, "ddim", 1_001)
    with pytest.raises(StudioError, match="Unknown scheduler"):
        view_noise(engine, "heun", 5)
    with pytest.raises(StudioError, match="tiny_ct has no noise schedule"):
        view_noise(flow_engine, "euler", 5)


def test_latency_reports_every_step_and_stops_when_canceled(engine: LatentDiffusionEngine) -> None:
    request, heard = probe_request(engine.manifest), list[int]()

    def listen(step: int, total: int, preview: Preview) -> None:
        assert total == 2 * (1 + 2 + 4) and preview().size == 1  # 4 steps are the recommended ones
        heard.append(step)

    found = time_images(engine, request, (1, 2), 1, listen)
    assert heard == list(range(1, 15))
    assert [m.settings["steps"] for m in found if m.measure == "latency_ms"] == [1, 2, 4]

    def stop(step: int, _total: int, _preview: Preview) -> None:
        if step == 3:
            raise Canceled

    with pytest.raises(Canceled):
        time_images(engine, request, (1, 2), 1, stop)
    assert not any(module._forward_pre_hooks for part in engine.components().values() for module in part.modules())
