"""Architecture and speed, on the tiny real checkpoint."""

from pathlib import Path

import pytest

from xray_generator.checkpoints import find_checkpoint
from xray_generator.evaluation.architecture import attention_sites, component_table, describe, layer_table
from xray_generator.evaluation.measures import MEASURES
from xray_generator.evaluation.speed import count_evaluations, measure_speed, speed_curve
from xray_generator.families.latent_diffusion.engine import load_engine
from xray_generator.generation import generate
from xray_generator.types import Engine, GenerationRequest, TextPrompt

REQUEST = GenerationRequest(TextPrompt("Normal chest X-ray"), height=64, width=64, num_inference_steps=3)


@pytest.fixture(scope="module")
def engine(tiny_checkpoint: Path) -> Engine:
    return load_engine(find_checkpoint(tiny_checkpoint / "checkpoints"), "cpu")


def test_components_count_every_parameter(engine: Engine) -> None:
    parts = describe(engine.components(), depth=2)
    for part in parts:
        module = engine.components()[part.name]
        assert part.parameters == part.trainable == sum(p.numel() for p in module.parameters())
        assert part.memory_mb["float32"] == part.parameters * 4 / 2**20
        depths = [depth for depth, _ in part.layers.flat()]
        assert max(depths) == 2 and sum(child.parameters for child in part.layers.children) <= part.parameters
    assert [row["component"] for row in component_table(parts)] == list(engine.components())
    assert len(layer_table(parts)) == sum(len(list(part.layers.flat())) for part in parts)


def test_a_frozen_text_encoder_is_not_counted_as_trainable(engine: Engine) -> None:
    class Frozen(type(engine.components()["text_encoder"])):
        is_frozen = True

    encoder = engine.components()["text_encoder"]
    kind = encoder.__class__
    encoder.__class__ = Frozen
    try:
        (part,) = describe({"text_encoder": encoder})
    finally:
        encoder.__class__ = kind
    assert part.trainable == part.parameters - sum(p.numel() for p in encoder.transformer.parameters())


def test_attention_is_seen_at_its_resolutions(engine: Engine) -> None:
    sites = attention_sites(engine.components(), lambda: generate(engine, REQUEST))
    assert {site.resolution for site in sites} == {"4 x 4", "2 x 2"}
    assert sum(site.is_cross for site in sites) * 2 == len(sites)
    assert not any(module._forward_pre_hooks for part in engine.components().values() for module in part.modules())


@pytest.mark.parametrize(("guidance", "evaluations"), [(1.0, 3), (3.0, 6)])
def test_guidance_doubles_the_network_evaluations(engine: Engine, guidance: float, evaluations: int) -> None:
    asked = GenerationRequest(
        REQUEST.condition, height=64, width=64, num_inference_steps=3, guidance_scale=guidance, scheduler="ddim"
    )
    assert count_evaluations(engine.components(), lambda: generate(engine, asked)) == evaluations


def test_speed_is_measured_at_each_setting(engine: Engine) -> None:
    found = measure_speed(
        lambda request: generate(engine, request),
        engine.components(),
        engine.resolve(REQUEST),
        (1, 2),
        ("ddim", "unipc"),
        repeats=2,
    )
    assert {m.measure for m in found} <= MEASURES.keys()
    timed = [m for m in found if m.measure == "latency_ms"]
    assert [(m.settings["scheduler"], m.settings["steps"]) for m in timed] == [
        (name, steps) for name in ("ddim", "unipc") for steps in (1, 2, 3)
    ]
    for m in timed:
        assert m.settings["fastest_ms"] <= m.value <= m.settings["slowest_ms"] and m.n == 2 and m.interval is None
    per_second = next(m for m in found if m.measure == "images_per_second")
    assert per_second.settings["steps"] == 3 and per_second.value == 1000 / timed[2].value
    curve = speed_curve(found)
    assert curve.x == (1.0, 2.0, 3.0) and set(curve.lines) == {"ddim", "unipc"}
