"""What a checkpoint tells of itself: anatomy, noise schedule, reconstruction, times; on the tiny real checkpoint."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from xray_generator.checkpoints import find_checkpoint, read_manifest
from xray_generator.dashboards.model_report import dissect, probe_request, time_images, view_noise
from xray_generator.dashboards.timings import compare_times, stored_times, time_curve
from xray_generator.evaluation.records import Measurement, Record
from xray_generator.families.latent_diffusion.engine import LatentDiffusionEngine
from xray_generator.families.latent_diffusion.loading import load_engine
from xray_generator.generation import generate
from xray_generator.types import (
    Cancelled,
    CheckpointRef,
    ClassLabel,
    Engine,
    GenerationRequest,
    OnStep,
    Preview,
    StudioError,
    TextPrompt,
    Unconditional,
)


@pytest.fixture(scope="module")
def engine(tiny_checkpoint: Path) -> LatentDiffusionEngine:
    return load_engine(find_checkpoint(tiny_checkpoint / "checkpoints"), "cpu")


class Plain:
    """An engine with nothing but what every engine has."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.checkpoint, self.device = engine, engine.checkpoint, engine.device

    def resolve(self, request: GenerationRequest) -> GenerationRequest:
        return self.engine.resolve(request)

    def sample(self, request: GenerationRequest, generators: Sequence[torch.Generator], on_step: OnStep) -> Tensor:
        return self.engine.sample(request, generators, on_step)

    def notes(self, request: GenerationRequest) -> tuple[str, ...]:
        return self.engine.notes(request)

    def components(self) -> Mapping[str, nn.Module]:
        return self.engine.components()


def test_anatomy_counts_every_layer_and_sees_the_attention(engine: LatentDiffusionEngine) -> None:
    manifest = engine.manifest
    anatomy = dissect(engine, partial(generate, engine), probe_request(manifest, TextPrompt))
    assert {part.name for part in anatomy.components} == {"autoencoder", "unet", "text_encoder"}
    leaves = sum(1 for part in engine.components().values() for _ in part.modules())
    assert sum(1 for part in anatomy.components for _ in part.layers.flat()) >= leaves
    assert {site.resolution for site in anatomy.attention} == {"4 x 4", "2 x 2"} and anatomy.depth > 3


def test_a_probe_asks_what_the_checkpoint_recommends(engine: LatentDiffusionEngine) -> None:
    manifest = engine.manifest
    request = probe_request(manifest, TextPrompt)
    assert request.condition == TextPrompt(manifest.vocabulary["example_prompts"][0])
    assert (request.height, request.num_inference_steps) == (64, manifest.recommended.num_inference_steps)
    assert probe_request(manifest, Unconditional).condition == Unconditional()
    labeled = replace(manifest, labels=("normal", "pneumonia"))
    assert probe_request(labeled, ClassLabel).condition == ClassLabel("normal")
    assert probe_request(manifest, ClassLabel).condition == Unconditional()
    for wrong in (None, "many"):
        with pytest.raises(StudioError, match="steps"):
            probe_request(
                replace(manifest, recommended=manifest.recommended | {"num_inference_steps": wrong}), TextPrompt
            )


def test_noise_schedule_is_the_cosine_one(engine: LatentDiffusionEngine) -> None:
    view = view_noise(engine, "ddim", 5)
    assert view is not None and len(view.shares.x) == 1_000
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


def test_what_a_schedule_cannot_do_is_said(engine: LatentDiffusionEngine) -> None:
    with pytest.raises(StudioError, match="At most 1000 steps"):
        view_noise(engine, "ddim", 1_001)
    with pytest.raises(StudioError, match="Unknown scheduler"):
        view_noise(engine, "heun", 5)


def test_an_engine_without_a_noise_schedule_has_no_view_of_it(engine: LatentDiffusionEngine) -> None:
    assert view_noise(Plain(engine), "ddim", 5) is None


def test_times_report_every_step_and_stop_when_asked(engine: LatentDiffusionEngine) -> None:
    request, heard = probe_request(engine.manifest, TextPrompt), list[int]()

    def listen(step: int, total: int, preview: Preview) -> None:
        assert total == 2 * (1 + 2 + 4) and preview().shape == (64, 64)  # 4 steps are the recommended ones
        heard.append(step)

    found = time_images(engine, partial(generate, engine), request, (1, 2), 1, listen)
    assert heard == list(range(1, 15))
    assert [m.settings["steps"] for m in found if m.measure == "latency_ms"] == [1, 2, 4]

    def stop(step: int, _total: int, _preview: Preview) -> None:
        if step == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        time_images(engine, partial(generate, engine), request, (1, 2), 1, stop)
    assert not any(module._forward_pre_hooks for part in engine.components().values() for module in part.modules())


def latency(value: float, steps: int, scheduler: str = "ddim") -> Measurement:
    return Measurement("latency_ms", value, 3, settings={"steps": steps, "scheduler": scheduler})


def test_times_stand_beside_those_of_the_record() -> None:
    ref = CheckpointRef("latent_diffusion", "tiny", "ab")
    stored = (latency(20.0, 4), latency(50.0, 8), latency(1.0, 8, "unipc"))
    record = Record("tiny", "quick", "2026-01-01", "abc", ref, {}, stored)
    others = (replace(record, checkpoint=replace(ref, sha256="old")), replace(record, measurements=()))
    assert stored_times((*others, record), ref) is record and stored_times(others, ref) is None
    timings = compare_times([latency(10.0, 4), latency(5.0, 2)], record, "ddim")
    values = [(t.steps, t.here and t.here.value, t.stored and t.stored.value) for t in timings]
    assert values == [(2, 5.0, None), (4, 10.0, 20.0), (8, None, 50.0)]
    assert time_curve(timings).lines == {"here": (5.0, 10.0, None), "record": (None, 20.0, 50.0)}
    assert set(time_curve(compare_times([], record, "ddim")).lines) == {"record"}


def test_the_shipped_checkpoint_carries_its_history(dataset_folder: Path) -> None:
    manifest = read_manifest(find_checkpoint(dataset_folder.parent / "outputs" / "checkpoints", "chest_xray_256"))
    assert {name.split("/")[1] for name in manifest.files if name.startswith("history/")} == set(manifest.steps)
