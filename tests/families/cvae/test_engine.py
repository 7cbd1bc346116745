"""Sampling, morphing, traversing and encoding with a checkpoint, and requests that it refuses."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from xray_generator.abilities import Autoencoding, Morphing, Traversing
from xray_generator.devices import seeded_generators
from xray_generator.families.cvae.engine import CVAEEngine
from xray_generator.generation import generate, morph
from xray_generator.types import (
    ClassLabel,
    Condition,
    GenerationRequest,
    Morph,
    StudioError,
    TextPrompt,
    Unconditional,
    no_report,
)

DISC, RING = ClassLabel("disc"), ClassLabel("ring")


def ask(condition: Condition = DISC, seed: int = 5, **settings: object) -> GenerationRequest:
    return GenerationRequest(condition, height=64, width=64, seed=seed, **settings)  # type: ignore[arg-type]


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
    assert "Guidance needs a class" in result.notes[0]
    assert np.array_equal(result.images[0], generate(lively, ask(Unconditional())).images[0])


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
    images = lively.traverse(request, directions[0], (-2.0, 0.0, 2.0), no_report)
    assert images.shape == (3, 1, 64, 64)
    (plain,) = lively.sample(request, seeded_generators(5, 1), no_report)
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
    decoded = lively.decode(latents, "disc")
    assert decoded.shape == images.shape and decoded.abs().max() <= 1
    assert not torch.equal(decoded, lively.decode(latents, None))
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
def test_an_impossible_request_is_refused(engine: CVAEEngine, request_: GenerationRequest, words: str) -> None:
    with pytest.raises(StudioError, match=words):
        generate(engine, request_)


def test_model_without_class_dropout_needs_a_class(engine: CVAEEngine) -> None:
    strict = replace(engine, manifest=replace(engine.manifest, unconditional=False))
    with pytest.raises(StudioError, match="needs a class. Allowed: disc, ring"):
        generate(strict, ask(Unconditional()))


def test_images_have_grain_that_reconstructions_lack(lively: CVAEEngine) -> None:
    request, (generator,) = lively.resolve(ask()), seeded_generators(5, 1)
    image = lively.sample(request, seeded_generators(5, 1), no_report)
    classes, (noise, grain) = lively.model.autoencoder.classes("disc"), lively._noises(generator)
    assert request.guidance_scale and request.num_inference_steps
    latents = lively.model.draw_latents(noise, classes, request.guidance_scale, request.num_inference_steps)
    smooth = lively.model.decode(latents, classes)
    torch.testing.assert_close(lively.model.decode(latents, classes, grain), image, atol=1e-5, rtol=0)
    assert (image - smooth).abs().mean() > 1e-3
    bare = replace(lively, model=replace(lively.model, grain=None))
    torch.testing.assert_close(bare.sample(request, seeded_generators(5, 1), no_report), smooth, atol=1e-5, rtol=0)
    assert set(bare.components()) == {"encoder", "decoder", "prior"}
