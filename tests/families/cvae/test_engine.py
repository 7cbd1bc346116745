"""Sampling, morphing, traversing and encoding with a checkpoint, and what it refuses."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from xray_generator.abilities import Autoencoding, Morphing, Traversing
from xray_generator.checkpoints import read_manifest, write_manifest
from xray_generator.devices import seeded_generators
from xray_generator.families.cvae.engine import CVAEEngine, load_engine
from xray_generator.generation import generate, morph
from xray_generator.types import (
    Cancelled,
    ClassLabel,
    Condition,
    Engine,
    GenerationRequest,
    Morph,
    OnStep,
    Preview,
    StudioError,
    TextPrompt,
    Unconditional,
)

DISC, RING = ClassLabel("disc"), ClassLabel("ring")
UNSEEN: OnStep = lambda *_: None  # noqa: E731


def ask(condition: Condition = DISC, seed: int = 5, **settings: object) -> GenerationRequest:
    return GenerationRequest(condition, height=64, width=64, seed=seed, **settings)  # type: ignore[arg-type]


def test_images_of_a_batch_are_those_made_alone(lively: CVAEEngine) -> None:
    made: Engine = lively  # the protocol fits
    request = made.resolve(ask(num_images=3))
    batch = made.sample(request, seeded_generators(5, 3), UNSEEN)
    assert batch.shape == (3, 1, 64, 64)
    assert -1 <= batch.min() < batch.max() <= 1
    for i in range(3):
        assert torch.equal(made.sample(request, seeded_generators(5 + i, 1), UNSEEN)[0], batch[i])
    assert not torch.equal(batch[0], batch[1])


def test_same_request_makes_the_same_image_in_range(lively: CVAEEngine) -> None:
    first, again = (generate(lively, ask()).images[0] for _ in range(2))
    assert np.array_equal(first, again)
    assert first.dtype == np.float32
    assert 0 <= first.min() < first.max() <= 1


def test_class_guidance_and_steps_matter(lively: CVAEEngine) -> None:
    images = [
        generate(lively, request).images[0]
        for request in (
            ask(),
            ask(RING),
            ask(Unconditional()),
            ask(guidance_scale=1.0),
            ask(guidance_scale=0.0),
            ask(num_inference_steps=5),
        )
    ]
    for i, one in enumerate(images):
        for other in images[i + 1 :]:
            assert np.abs(one - other).max() > 1e-3


def test_guidance_is_not_used_without_a_class(lively: CVAEEngine) -> None:
    result = generate(lively, ask(Unconditional(), guidance_scale=4.0))
    assert result.request.guidance_scale == 1
    assert "Guidance leads towards a class" in result.notes[0]
    assert np.array_equal(result.images[0], generate(lively, ask(Unconditional())).images[0])


def test_every_step_is_reported_with_a_preview(engine: CVAEEngine) -> None:
    seen: list[tuple[int, int, tuple[int, ...]]] = []
    generate(engine, ask(), lambda done, total, preview: seen.append((done, total, preview().shape)))
    assert seen == [(i, 3, (64, 64)) for i in (1, 2, 3)]

    def stop(done: int, _total: int, _preview: Preview) -> None:
        if done == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        generate(engine, ask(), stop)


def test_morph_begins_and_ends_at_the_plain_samples(lively: CVAEEngine) -> None:
    assert isinstance(lively, Morphing)
    first, second = ask(DISC, 1), ask(RING, 2, guidance_scale=1.5)

    def at(weight: float, other: GenerationRequest = second) -> np.ndarray:
        return morph(lively, first, Morph(other, weight)).images[0]

    assert np.array_equal(at(0), generate(lively, first).images[0])
    assert np.array_equal(at(1), generate(lively, second).images[0])
    between = at(0.5)
    assert np.abs(between - at(0)).max() > 1e-3 and np.abs(between - at(1)).max() > 1e-3
    same_noise = at(0.5, replace(first, condition=RING))  # a class morph at fixed noise
    assert np.abs(same_noise - at(0)).max() > 1e-3


def test_traversal_leaves_from_the_sample_along_orthogonal_directions(lively: CVAEEngine) -> None:
    assert isinstance(lively, Traversing)
    directions = lively.directions("disc", 3)
    vectors = np.stack([direction.vector.ravel() for direction in directions]).astype(np.float64)
    products = vectors @ vectors.T
    np.testing.assert_allclose(products - np.diag(np.diag(products)), 0, atol=1e-4 * products.max())
    shares = [direction.share for direction in directions]
    assert shares == sorted(shares, reverse=True) and 0 < sum(shares) <= 1
    for one, again in zip(directions, lively.directions("disc", 3), strict=True):
        assert np.array_equal(one.vector, again.vector)
    request = lively.resolve(ask())
    images = lively.traverse(request, directions[0], (-2.0, 0.0, 2.0), UNSEEN)
    assert images.shape == (3, 1, 64, 64)
    (plain,) = lively.sample(request, seeded_generators(5, 1), UNSEEN)
    torch.testing.assert_close(images[1], plain, atol=1e-5, rtol=0)
    assert (images[0] - images[2]).abs().max() > 1e-3
    with pytest.raises(StudioError, match="From 1 to 63 directions"):
        lively.directions("disc", 64)


def test_images_to_latents_and_back_heed_the_class(lively: CVAEEngine) -> None:
    assert isinstance(lively, Autoencoding)
    images = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    latents = lively.encode(images, "disc")
    assert latents.shape == (2, 4, 4, 4)
    assert not torch.equal(latents, lively.encode(images, "ring"))
    copies = lively.decode(latents, "disc")
    assert copies.shape == images.shape and copies.abs().max() <= 1
    assert not torch.equal(copies, lively.decode(latents, None))
    with pytest.raises(StudioError, match=r"no class 'square'. Allowed: disc, ring, stripes\."):
        lively.encode(images, "square")


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (ask(ClassLabel("square")), r"no class 'square'. Allowed: disc, ring, stripes\."),
        (ask(TextPrompt("a disc")), "draws a class, not a prompt. Allowed: disc"),
        (ask(scheduler="ddim"), "no scheduler 'ddim'. Allowed: euler"),
        (ask(num_inference_steps=201), "At most 200"),
        (replace(ask(), height=48), "draws 64x64 pixels, not 64x48"),
    ],
)
def test_what_cannot_be_done_is_said(engine: CVAEEngine, request_: GenerationRequest, words: str) -> None:
    with pytest.raises(StudioError, match=words):
        generate(engine, request_)


def test_model_without_class_dropout_must_be_told_a_class(engine: CVAEEngine) -> None:
    strict = replace(engine, manifest=replace(engine.manifest, unconditional=False))
    with pytest.raises(StudioError, match="must be told a class. Allowed: disc, ring"):
        generate(strict, ask(Unconditional()))


def test_damaged_checkpoints_are_refused(straight: Path, tmp_path: Path) -> None:
    folder = tmp_path / "small"
    shutil.copytree(straight / "checkpoints" / "cvae" / "small", folder)
    weights = folder / "prior" / "model.safetensors"
    tensors = load_file(weights)
    name = next(iter(tensors))
    for changed, words in (
        (tensors | {name: tensors[name] * float("nan")}, "not numbers"),
        ({key: value for key, value in tensors.items() if key != name}, "cannot be loaded"),
    ):
        save_file(changed, weights)
        with pytest.raises(StudioError, match="SHA-256"):
            load_engine(folder, "cpu")
        write_manifest(folder, read_manifest(folder))
        with pytest.raises(StudioError, match=words):
            load_engine(folder, "cpu")


def test_images_have_grain_that_copies_have_not(lively: CVAEEngine) -> None:
    request, (generator,) = lively.resolve(ask()), seeded_generators(5, 1)
    drawn = lively.sample(request, seeded_generators(5, 1), UNSEEN)
    classes, (noise, grain) = lively.model.classes("disc"), lively._noises(generator)
    assert request.guidance_scale and request.num_inference_steps
    latents = lively.model.draw_latents(
        noise, classes, request.guidance_scale, request.num_inference_steps, lambda *_: None
    )
    smooth = lively.model.decode(latents, classes)
    torch.testing.assert_close(lively.model.decode(latents, classes, grain), drawn, atol=1e-5, rtol=0)
    assert (drawn - smooth).abs().mean() > 1e-3
    bare = replace(lively, model=replace(lively.model, grain=None))
    torch.testing.assert_close(bare.sample(request, seeded_generators(5, 1), UNSEEN), smooth, atol=1e-5, rtol=0)
    assert set(bare.components()) == {"encoder", "decoder", "prior"}
