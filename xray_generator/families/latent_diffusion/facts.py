"""The facts of a prompt as numbers that the denoiser is given beside the words.

A text encoder that is learned from a few thousand captions hears the age, a finding and above all a denial only
faintly. Read by rules (`data.prompts`), in training as in use, they reach every layer with the noise level.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from xray_generator.data.prompts import row_of_prompt
from xray_generator.data.rows import AGE_GROUPS, FINDINGS, Row

VIEWS, SEXES = ("AP", "PA"), ("M", "F")
AGE_PERIODS = (200.0, 100.0, 50.0, 25.0)  # years, of the waves that stand for an age
NUM_FACTS = len(VIEWS) + len(SEXES) + len(AGE_GROUPS) + 1 + 2 * len(AGE_PERIODS) + 2 * len(FINDINGS)


def encode_facts(prompts: Sequence[str]) -> Tensor:
    """(B, NUM_FACTS) of what each prompt states; 0 throughout for one that states nothing."""
    facts = {prompt: _encode(row_of_prompt(prompt)) for prompt in dict.fromkeys(prompts)}
    return torch.tensor([facts[prompt] for prompt in prompts]).reshape(len(prompts), NUM_FACTS)


def _encode(row: Row) -> list[float]:
    """View, sex and age group (1 where it is that one), age, findings present (1) and findings denied (1)."""
    return [
        *(float(row.view[:2] == view) for view in VIEWS),
        *(float(row.sex == sex) for sex in SEXES),
        *(float(row.age_group == group) for group in AGE_GROUPS),
        *_encode_age(row.age),
        *(float(finding in row.findings) for finding in FINDINGS),
        *(float(finding in row.absent) for finding in FINDINGS),
    ]


def _encode_age(age: int | None) -> list[float]:
    """1 and a sine and a cosine of each period; 0 throughout where the age is not stated."""
    if age is None:
        return [0.0] * (1 + 2 * len(AGE_PERIODS))
    phases = [2 * math.pi * age / period for period in AGE_PERIODS]
    return [1.0, *map(math.sin, phases), *map(math.cos, phases)]
