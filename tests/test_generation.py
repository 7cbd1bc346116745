"""Image i is a function of the request and seed + i alone: in any batch, on any thread, in any run."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from xray_generator.devices import seeded_generators
from xray_generator.families.latent_diffusion.engine import load_engine
from xray_generator.generation import attend, generate
from xray_generator.nn.diffusion import SCHEDULERS
from xray_generator.requests import text_request
from xray_generator.studio import Studio
from xray_generator.types import (
    MAX_SEED,
    Canceled,
    ClassLabel,
    Engine,
    GenerationRequest,
    Image,
    Preview,
    StudioError,
    TextPrompt,
)

PROMPT = "Normal chest X-ray, PA view"


@pytest.fixture(scope="module")
def studio(tiny_checkpoint: Path) -> Studio:
    return Studio(tiny_checkpoint, "cpu")


@pytest.fixture(scope="module")
def engine(studio: Studio) -> Engine:
    return studio.engine("tiny")


def same(first: Image, second: Image) -> bool:
    return bool(np.array_equal(first, second))


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_image_of_a_batch_equals_the_image_alone_whatever_the_global_random_state(
    engine: Engine, tiny_checkpoint: Path, scheduler: str
) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    batch = generate(engine, text_request(PROMPT, seed=10, num_images=3, size=64, steps=3, scheduler=scheduler))
    assert torch.equal(torch.get_rng_state(), before)
    assert len(batch.images) == len(batch.latencies_ms) == 3 and batch.seeds == (10, 11, 12)
    assert not same(batch.images[0], batch.images[1])
    other = Studio(tiny_checkpoint, "cpu").engine()
    torch.manual_seed(2)
    for image, seed in zip(batch.images, batch.seeds, strict=True):
        alone = generate(other, text_request(PROMPT, seed=seed, size=64, steps=3, scheduler=scheduler))
        assert same(image, alone.images[0])
        assert image.shape == (64, 64) and image.dtype == np.float32
        assert 0 <= image.min() < image.max() <= 1


def test_guidance_and_prompt_reach_the_image(engine: Engine) -> None:
    def draw(prompt: str = PROMPT, guidance: float = 1.0) -> Image:
        return generate(engine, text_request(prompt, seed=1, size=64, steps=4, guidance=guidance)).images[0]

    assert np.abs(draw() - draw(guidance=7.0)).mean() > 1e-3
    assert not same(draw(guidance=3.0), draw("Cardiomegaly", 3.0))


def test_threads_with_different_requests_do_not_mix(studio: Studio) -> None:
    requests = [
        text_request(PROMPT, seed=seed, size=64, steps=3 + seed % 3, guidance=1.0 + seed, scheduler=scheduler)
        for seed in range(2)
        for scheduler in SCHEDULERS
    ]
    alone = [studio.generate(request).images[0] for request in requests]
    together: dict[int, Image] = {}
    start = threading.Barrier(2)

    def work(share: range) -> None:
        start.wait()
        for i in share:
            together[i] = studio.generate(requests[i]).images[0]

    threads = [threading.Thread(target=work, args=(range(first, len(requests), 2),)) for first in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(same(together[i], image) for i, image in enumerate(alone))


def test_what_is_left_open_comes_from_the_checkpoint(studio: Studio) -> None:
    resolved = studio.generate(text_request(PROMPT, seed=1, size=64)).request
    recommended = studio.manifest().recommended
    assert resolved.num_inference_steps == recommended.num_inference_steps == 4
    assert resolved.guidance_scale == recommended.guidance_scale == 3.0
    assert resolved.scheduler == recommended.scheduler == "dpm++"


def test_guidance_0_is_heeded_and_not_taken_for_unset(engine: Engine) -> None:
    assert engine.resolve(text_request(PROMPT, size=64, guidance=0.0, seed=1)).guidance_scale == 0.0


def test_scheduler_is_known_in_any_case(engine: Engine) -> None:
    for name in ("DDIM", "Dpm++", "UniPC", "DDPM"):
        request = text_request(PROMPT, size=64, scheduler=name, seed=1)
        assert engine.resolve(request).scheduler == name.lower()


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (GenerationRequest(TextPrompt(PROMPT), height=256, width=256), "draws 64x64 pixels, not 256x256"),
        (GenerationRequest(TextPrompt(PROMPT), height=64, width=128), "draws 64x64 pixels, not 128x64"),
        (text_request(PROMPT, size=64, scheduler="euler", seed=1), "has no scheduler 'euler'. Allowed: ddim, ddpm"),
        (GenerationRequest(ClassLabel("normal"), height=64, width=64), "draws from a text prompt"),
    ],
)
def test_what_the_checkpoint_cannot_do_is_refused(engine: Engine, request_: GenerationRequest, words: str) -> None:
    with pytest.raises(StudioError, match=words):
        generate(engine, request_)


def test_steps_are_counted_over_all_images_and_previews_are_images(engine: Engine) -> None:
    seen: list[tuple[int, int]] = []
    previews: list[Image] = []

    def on_step(step: int, total: int, preview: Preview) -> None:
        seen.append((step, total))
        previews.append(preview())

    result = generate(engine, text_request(PROMPT, seed=1, num_images=3, size=64, steps=4), on_step)
    assert seen == [(i, 12) for i in range(1, 13)]
    assert all(preview.shape == (64, 64) and 0 <= preview.min() <= preview.max() <= 1 for preview in previews)
    assert np.abs(previews[-1] - result.images[-1]).max() < 1e-4
    quiet = generate(engine, text_request(PROMPT, seed=1, num_images=3, size=64, steps=4))
    assert all(same(a, b) for a, b in zip(result.images, quiet.images, strict=True))


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_every_scheduler_draws_with_few_steps_and_callbacks_change_nothing(engine: Engine, scheduler: str) -> None:
    for steps, guidance in ((1, 0.0), (2, 1.0), (5, 15.0)):
        request = text_request(PROMPT, seed=1, size=64, steps=steps, guidance=guidance, scheduler=scheduler)
        quiet = generate(engine, request).images[0]
        previews: list[Image] = []
        watched = generate(engine, request, lambda _step, _total, preview: previews.append(preview())).images[0]  # noqa: B023
        assert np.isfinite(quiet).all() and quiet.std() > 0
        assert len(previews) == steps
        assert same(quiet, watched)


def test_latency_is_the_models_and_not_the_callbacks(engine: Engine) -> None:
    away: list[float] = []

    def on_step(_step: int, _total: int, _preview: Preview) -> None:
        started = time.perf_counter()
        time.sleep(0.05)
        away.append(time.perf_counter() - started)

    started = time.perf_counter()
    result = generate(engine, text_request(PROMPT, seed=1, num_images=2, size=64, steps=2), on_step)
    passed = time.perf_counter() - started
    assert len(away) == 4
    assert sum(result.latencies_ms) / 1_000 < passed - sum(away)


@pytest.mark.parametrize("fast", [True, False])
def test_runtime_is_that_of_the_engine_that_drew(engine: Engine, monkeypatch: pytest.MonkeyPatch, fast: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": fast, "cpu_name": "Some"})
    dtypes: set[torch.dtype] = set()
    network = engine.components()["unet"].get_submodule("conv_in")
    hook = network.register_forward_hook(lambda _module, _inputs, output: dtypes.add(output.dtype))
    runtime = generate(engine, text_request(PROMPT, seed=1, size=64, steps=1)).runtime
    hook.remove()
    assert runtime["device"] == "cpu, Some"
    assert dtypes == {torch.bfloat16 if fast else torch.float32}
    assert runtime["dtype"] == ("bfloat16 autocast" if fast else "float32")


@pytest.mark.parametrize("stop_at", [1, 7])
def test_cancel_takes_effect_within_the_step(engine: Engine, stop_at: int) -> None:
    calls: list[int] = []
    network = engine.components()["unet"]
    hook = network.register_forward_hook(lambda *_: calls.append(1))

    def on_step(step: int, _total: int, _preview: Preview) -> None:
        if step == stop_at:
            raise Canceled

    with pytest.raises(Canceled):
        generate(engine, text_request(PROMPT, seed=1, num_images=2, size=64, steps=5), on_step)
    hook.remove()
    assert len(calls) == stop_at


def test_end_of_a_long_prompt_is_reported(engine: Engine) -> None:
    result = generate(engine, text_request("pneumonia " * 60 + "zebra", seed=1, size=64, steps=1))
    (note,) = result.notes
    assert "exceeds 32 tokens" in note
    assert note.endswith("zebra'")
    assert generate(engine, text_request(PROMPT, seed=1, size=64, steps=1)).notes == ()


def test_overflow_in_the_model_is_an_error_and_no_picture(tiny_checkpoint: Path) -> None:
    engine = load_engine(tiny_checkpoint / "checkpoints" / "latent_diffusion" / "tiny", "cpu")
    with torch.no_grad():
        engine.model.unet.conv_out.bias.fill_(float("nan"))
    with pytest.raises(StudioError, match="not numbers"):
        generate(engine, text_request(PROMPT, seed=1, size=64, steps=2))


@pytest.mark.parametrize(
    "text", ["emoji \U0001fac1", "عربى", "<script>alert(1)</script>", "{{7*7}} %s $HOME", "a" * 2_000, "?", "𝕏-ray"]
)
def test_any_text_makes_an_image(engine: Engine, text: str) -> None:
    result = generate(engine, text_request(text, seed=1, size=64, steps=1))
    assert result.images[0].shape == (64, 64)
    assert result.request.condition == TextPrompt(text)


def test_streams_and_seeds_give_different_numbers() -> None:
    """torch reads 32 bits of a seed: a larger one would repeat a smaller one's image."""
    draws = {
        (seed, stream): torch.randn(4, generator=seeded_generators(seed, 1, stream)[0]).tolist()
        for seed in (0, 1, MAX_SEED)
        for stream in (0, 1)
    }
    assert len({tuple(values) for values in draws.values()}) == len(draws)
    with pytest.raises(StudioError, match="seed"):
        GenerationRequest(TextPrompt("film"), seed=MAX_SEED + 6)


def lack(kind: str) -> None:
    """Run out of memory as CPUs, GPUs and NumPy do."""
    if kind == "cpu":
        torch.empty(2**50, dtype=torch.uint8)
    elif kind == "cuda":
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
    else:
        np.empty(2**50, np.uint8)


@pytest.mark.parametrize("kind", ["cpu", "cuda", "numpy"])
@pytest.mark.parametrize("through_task", [False, True])
def test_one_lack_of_memory_is_overcome_and_two_are_told_and_the_next_image_is_drawn(
    studio: Studio, engine: Engine, kind: str, through_task: bool
) -> None:
    request, lacks = text_request(PROMPT, seed=3, size=64, steps=2), 0

    def draw() -> Image:
        if through_task:
            return studio.task(attend, request, checkpoint="tiny")().image
        return generate(engine, request).images[0]

    def hook(*_: object) -> None:
        nonlocal lacks
        if lacks:
            lacks -= 1
            lack(kind)

    expected = draw()
    handle = engine.components()["unet"].register_forward_hook(hook)
    try:
        lacks = 1
        assert same(draw(), expected)
        lacks = 2
        with pytest.raises(StudioError, match="not enough memory for this"):
            draw()
        assert lacks == 0 and same(draw(), expected)
    finally:
        handle.remove()


def test_a_fault_that_is_no_lack_of_memory_is_not_tried_again(engine: Engine) -> None:
    calls = []

    def fail(*_: object) -> None:
        calls.append(1)
        raise RuntimeError("shapes differ")

    handle = engine.components()["unet"].register_forward_hook(fail)
    try:
        with pytest.raises(RuntimeError, match="shapes differ"):
            generate(engine, text_request(PROMPT, seed=3, size=64, steps=2))
    finally:
        handle.remove()
    assert len(calls) == 1
