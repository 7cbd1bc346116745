"""Choices in prompts: every combination once, and braces that make no sense are named."""

import pytest

from xray_generator.data.choices import expand_prompt, expand_request
from xray_generator.requests import make_request, text_request
from xray_generator.types import StudioError, TextPrompt, Unconditional


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("Edema, PA view", ("Edema, PA view",)),
        ("{mild|severe} edema", ("mild edema", "severe edema")),
        ("{a|b} {1-2}", ("a 1", "a 2", "b 1", "b 2")),
        ("{3-1}", ("3", "2", "1")),
        ("{large |}heart", ("large heart", "heart")),
        ("{a|a}", ("a",)),
        ("60-year-old | {x|y}", ("60-year-old | x", "60-year-old | y")),
    ],
)
def test_choices_are_drawn_in_order(prompt: str, expected: tuple[str, ...]) -> None:
    assert expand_prompt(prompt) == expected


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("{a|b", "no partner"),
        ("a}", "no partner"),
        ("{a|{b|c}}", "no partner"),
        ("{}", "no choice"),
        ("{word}", "no choice"),
        ("{1-65}", "65 prompts; at most 64"),
        ("{0-9999}{0-9999}{0-9999}", "1,000,000,000,000 prompts"),
    ],
)
def test_a_wrong_choice_is_one_clear_sentence(prompt: str, said: str) -> None:
    with pytest.raises(StudioError, match=said):
        expand_prompt(prompt)


def test_a_request_becomes_several_with_the_same_seed() -> None:
    first, second = expand_request(text_request("{mild|severe} edema", seed=3, num_images=2, size=64))
    assert (first.condition, second.condition) == (TextPrompt("mild edema"), TextPrompt("severe edema"))
    assert first.seed == second.seed == 3 and first.num_images == second.num_images == 2
    request = make_request(Unconditional(), seed=1)
    assert expand_request(request, 1) == (request,)
