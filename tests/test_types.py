"""The borders of a request: every wrong value is refused in words that name what is allowed."""

import math

import pytest

from xray_generator.config import dump, parse
from xray_generator.types import (
    MAX_SEED,
    AdapterWeight,
    CheckpointRef,
    GenerationRequest,
    StudioError,
    TextPrompt,
    normalize_text,
)

PROMPT = TextPrompt("Normal chest X-ray")


@pytest.mark.parametrize("text", ["", "   \n\t ", "\0\x07", "\u200b\u2060", "\ud800"])
def test_empty_prompt_is_refused(text: str) -> None:
    with pytest.raises(StudioError, match="empty"):
        TextPrompt(text)


def test_long_prompt_is_refused_with_the_limit() -> None:
    with pytest.raises(StudioError, match=r"10,000 characters; at most 2,000"):
        TextPrompt("x" * 10_000)
    assert len(TextPrompt("x" * 2_000).text) == 2_000


@pytest.mark.parametrize("text", [None, 7, b"text", ["a"]])
def test_prompt_must_be_text(text: object) -> None:
    with pytest.raises(StudioError, match="must be text"):
        TextPrompt(text)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\0b\x1b[31m", "ab[31m"),
        ("lone \ud800 surrogate", "lone surrogate"),
        ("zero\u200bwidth \u202eRTL", "zerowidth RTL"),
        ("cafe\u0301", "caf\u00e9"),
        ("two\u00a0\u2003 blanks\r\n", "two blanks"),
        ("emoji \U0001fac1 stays", "emoji \U0001fac1 stays"),
        ("<script>alert('x')</script> {{7*7}}", "<script>alert('x')</script> {{7*7}}"),
    ],
)
def test_text_is_normalized(text: str, expected: str) -> None:
    assert normalize_text(text) == expected
    assert normalize_text(expected) == expected


@pytest.mark.parametrize("seed", [-1, MAX_SEED, 2**63, 2**64, 10**30, 1.5, math.nan, "7", True, None])
def test_wrong_seed(seed: object) -> None:
    with pytest.raises(StudioError, match="seed must be a whole number from 0"):
        GenerationRequest(PROMPT, seed=seed)  # type: ignore[arg-type]


def test_every_image_of_the_largest_seed_has_a_valid_seed() -> None:
    request = GenerationRequest(PROMPT, num_images=64, seed=MAX_SEED - 64)
    assert request.seed + request.num_images - 1 <= MAX_SEED
    with pytest.raises(StudioError, match="seed"):
        GenerationRequest(PROMPT, num_images=64, seed=MAX_SEED - 63)


@pytest.mark.parametrize("steps", [0, -1, 1_001, 10**6, 20.0, "20", True])
def test_wrong_steps(steps: object) -> None:
    with pytest.raises(StudioError, match="steps must be a whole number from 1 to 1,000"):
        GenerationRequest(PROMPT, num_inference_steps=steps)  # type: ignore[arg-type]


@pytest.mark.parametrize("guidance", [math.nan, math.inf, -math.inf, -1, 30.1, 10**400, "7", True])
def test_wrong_guidance(guidance: object) -> None:
    with pytest.raises(StudioError, match="guidance must be a number from 0 to 30"):
        GenerationRequest(PROMPT, guidance_scale=guidance)  # type: ignore[arg-type]


@pytest.mark.parametrize(("side", "nearest"), [(250, 256), (33, 32), (17, 16), (1_000, 992)])
def test_side_off_the_grid_names_the_nearest(side: int, nearest: int) -> None:
    for sides in ({"height": side}, {"width": side}):
        with pytest.raises(StudioError, match=f"multiple of 16, not {side}; the nearest is {nearest}"):
            GenerationRequest(PROMPT, **sides)


@pytest.mark.parametrize("side", [0, -16, 1, 100_000, 256.0, "256", True])
def test_side_out_of_range(side: object) -> None:
    with pytest.raises(StudioError, match="height must be a whole number from 16 to 1,024"):
        GenerationRequest(PROMPT, height=side)  # type: ignore[arg-type]


@pytest.mark.parametrize("number", [0, -1, 65, 10**6, 1.0, "2", True])
def test_wrong_number_of_images(number: object) -> None:
    with pytest.raises(StudioError, match="number of images must be a whole number from 1 to 64"):
        GenerationRequest(PROMPT, num_images=number)  # type: ignore[arg-type]


def test_none_means_the_recommendation() -> None:
    request = GenerationRequest(PROMPT)
    assert (request.num_inference_steps, request.guidance_scale, request.scheduler) == (None, None, None)


@pytest.mark.parametrize("weight", [math.nan, math.inf, -2.1, 2.1, 10**400, "1", True, None])
def test_wrong_weight_of_an_adapter(weight: object) -> None:
    with pytest.raises(StudioError, match="weight of an adapter must be a number from -2 to 2"):
        AdapterWeight(CheckpointRef("lora", "a", "0"), weight)  # type: ignore[arg-type]


def test_adapters_are_few_and_each_is_named_once() -> None:
    several = [AdapterWeight(CheckpointRef("lora", name, "0")) for name in "abcde"]
    assert len(GenerationRequest(PROMPT, adapters=tuple(several[:4])).adapters) == 4
    with pytest.raises(StudioError, match="At most 4 adapters can be used at once, not 5"):
        GenerationRequest(PROMPT, adapters=tuple(several))
    with pytest.raises(StudioError, match="'lora/b' is named twice"):
        GenerationRequest(PROMPT, adapters=(several[1], several[0], several[1]))


@pytest.mark.parametrize("eta", [math.nan, -0.1, 1.1, "1", True, None])
def test_wrong_eta(eta: object) -> None:
    with pytest.raises(StudioError, match="The eta must be a number from 0 to 1"):
        GenerationRequest(PROMPT, eta=eta)  # type: ignore[arg-type]


def test_an_eta_of_0_is_in_no_file_so_that_older_recipes_keep_their_digest() -> None:
    assert "eta" not in dump(GenerationRequest(PROMPT))
    request = GenerationRequest(PROMPT, eta=0.5)
    assert dump(request)["eta"] == 0.5 and parse(GenerationRequest, dump(request)) == request
