"""Drawing with a checkpoint, and its likelihoods."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.families.tiny import Run
from xray_generator.data.rows import Dataset
from xray_generator.experiments.likelihoods import SUFFIX, compare_methods, find_comparison, write_comparison
from xray_generator.families.flow_matching.engine import FlowMatchingEngine
from xray_generator.families.flow_matching.likelihood import NUM_PASSES, NUM_PROBES, NUM_STEPS
from xray_generator.generation import generate, likelihood_seconds, trace
from xray_generator.requests import make_request, read_condition
from xray_generator.studio import Studio
from xray_generator.types import Canceled, ClassLabel, GenerationRequest, StudioError, TextPrompt, Unconditional

NORMAL = make_request(ClassLabel("normal"), seed=5, size=32)


@pytest.mark.parametrize("solver", ["euler", "heun", "dopri5"])
def test_every_solver_draws_in_any_number_of_steps(smooth: FlowMatchingEngine, solver: str) -> None:
    for steps in (1, 3):
        request = make_request(ClassLabel("benign"), seed=1, size=32, steps=steps, scheduler=solver)
        reported: list[int] = []
        result = generate(smooth, request, lambda step, *_: reported.append(step))  # noqa: B023
        assert reported == list(range(1, steps + 1))
        assert result.request.scheduler == solver and result.images[0].std() > 0


def test_class_and_guidance_change_the_image(engine: FlowMatchingEngine) -> None:
    def draw(label: str, guidance: float) -> np.ndarray:
        request = make_request(ClassLabel(label) if label else Unconditional(), seed=1, size=32, guidance=guidance)
        return generate(engine, request).images[0]

    images = [draw("normal", 1.0), draw("normal", 4.0), draw("malignant", 1.0), draw("", 1.0)]
    assert len({image.tobytes() for image in images}) == len(images)
    assert np.array_equal(draw("", 1.0), draw("", 4.0))


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (make_request(ClassLabel("cat"), size=32), "no class 'cat'. Allowed: benign, malignant, normal"),
        (make_request(TextPrompt("a lung"), size=32), "a class, not a prompt"),
        (make_request(ClassLabel("normal"), size=64), "draws 32x32 pixels, not 64x64"),
        (make_request(ClassLabel("normal"), size=32, steps=201), "At most 200 steps"),
        (make_request(ClassLabel("normal"), size=32, scheduler="ddim"), "Allowed: euler, heun, dopri5"),
    ],
)
def test_an_impossible_request_is_refused(engine: FlowMatchingEngine, request_: GenerationRequest, words: str) -> None:
    with pytest.raises(StudioError, match=words):
        generate(engine, request_)


def test_guidance_without_a_class_is_noted(engine: FlowMatchingEngine) -> None:
    assert "not used" in generate(engine, make_request(Unconditional(), size=32, guidance=3.0)).notes[0]
    assert not generate(engine, make_request(Unconditional(), size=32)).notes


def test_the_trajectory_goes_from_the_noise_to_the_image(engine: FlowMatchingEngine) -> None:
    path = trace(engine, NORMAL)
    noise = torch.randn((1, 32, 32), generator=torch.Generator().manual_seed(5)).numpy()[0]
    assert len(path) == 4
    assert np.allclose(path[0], np.clip(noise / 2 + 0.5, 0, 1), atol=1e-6)
    assert np.array_equal(path[-1], generate(engine, NORMAL).images[0])


def test_a_likelihood_is_reproducible_and_tells_slices_from_noise(smooth: FlowMatchingEngine, slices: Dataset) -> None:
    image = slices.rows[0].image()
    found, again = (smooth.likelihood(image, None, torch.Generator().manual_seed(0)) for _ in range(2))
    assert found.bits_per_dimension == again.bits_per_dimension
    assert found.is_sound and found.noise.shape == found.image.shape == (32, 32)
    speckle = np.random.default_rng(0).integers(0, 2, (32, 32)).astype(np.float32)
    of_speckle = smooth.likelihood(speckle, None, torch.Generator().manual_seed(0))
    assert of_speckle.bits_per_dimension > found.bits_per_dimension
    with pytest.raises(StudioError, match="no class 'cat'"):
        smooth.likelihood(image, "cat", torch.Generator())


def test_every_pass_of_the_network_is_reported_and_can_be_the_last(
    smooth: FlowMatchingEngine, slices: Dataset, coarse: None
) -> None:
    image = slices.rows[0].image()
    calls: list[object] = []
    hook = smooth.model.network.register_forward_hook(lambda *_: calls.append(None))
    try:
        for method in ("fast", "exact"):
            steps: list[tuple[int, int]] = []
            calls.clear()
            report = lambda step, total, _: steps.append((step, total))  # noqa: B023, E731
            found = smooth.likelihood(image, "normal", torch.Generator(), method, report)
            assert [step for step, _ in steps] == list(range(1, found.num_passes + 1))
            assert steps[-1][0] == steps[-1][1] and all(step <= total for step, total in steps)
            assert len(calls) < found.num_passes < (1 + NUM_PROBES) * len(calls)  # some calls with backward passes
            if method == "fast":
                assert {total for _, total in steps} == {NUM_PASSES} and len(calls) == 2 * 4 * NUM_STEPS

        def cancel(step: int, *_: object) -> None:
            if step == 5:
                raise Canceled

        for method in ("fast", "exact"):
            calls.clear()
            with pytest.raises(Canceled):
                smooth.likelihood(image, None, torch.Generator(), method, cancel)
            assert len(calls) == 2
    finally:
        hook.remove()


def test_the_comparison_of_the_methods_is_kept(
    smooth: FlowMatchingEngine, slices: Dataset, tmp_path: Path, coarse: None
) -> None:
    found = compare_methods(smooth, [slices.rows[0].image()], "made slices")
    ((fast,), (exact,)) = found.fast, found.exact
    assert found.differences == (fast.bits_per_dimension - exact.bits_per_dimension,)
    assert fast.bits_per_dimension == pytest.approx(exact.bits_per_dimension, rel=0.1)  # untrained, at a low tolerance
    assert found.slowdown == exact.num_passes / fast.num_passes
    (tmp_path / f"a{SUFFIX}").write_text("no JSON")
    write_comparison(tmp_path / f"b{SUFFIX}", found)
    assert find_comparison(tmp_path, smooth.manifest.ref) == found
    assert find_comparison(tmp_path, replace(smooth.manifest.ref, sha256="0")) is None
    with pytest.raises(StudioError, match="no image"):
        compare_methods(smooth, [], "none")


def test_the_duration_comes_from_the_time_of_an_evaluation(smooth: FlowMatchingEngine) -> None:
    steps: list[int] = []
    started = time.perf_counter()
    seconds = likelihood_seconds(smooth, lambda step, *_: steps.append(step))
    spent = time.perf_counter() - started
    assert steps == [1, 2, 3] and 0 < seconds < spent * NUM_PASSES


def test_the_studio_draws_it_by_class(run: Run, tmp_path: Path) -> None:
    studio = Studio(output_dir=run.output_dir)
    manifest = studio.manifest("small")
    request = make_request(read_condition(manifest, label="benign"), seed=3, size=32)
    (saved,) = studio.save(studio.generate(request, "small"), tmp_path)
    assert saved.path.is_file() and studio.sizes("small") == (32,)
    assert read_condition(manifest) == Unconditional()
    for prompt, label, words in (("lung", None, "a class, not a prompt"), (None, "cat", "no class 'cat'")):
        with pytest.raises(StudioError, match=words):
            read_condition(manifest, prompt, label)
