"""What a changed fact changes, and what becomes of a denied finding."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from xray_generator.data.prompts import row_of_prompt
from xray_generator.data.rows import Row
from xray_generator.evaluation.image_sets import ImageSet
from xray_generator.evaluation.prompt_response import (
    CHANGES,
    PER_PROMPT,
    deniable_findings,
    measure_negation,
    measure_response,
)
from xray_generator.reference_encoder.manifest import LabelQuality


class Hearing:
    """Predicts the noise, and adds a tenth of it for a woman: it hears nothing else."""

    def diffusion_latents(self, images: torch.Tensor) -> torch.Tensor:
        return images

    def predict(self, _latents: torch.Tensor, noise: torch.Tensor, _level: float, prompt: str) -> torch.Tensor:
        return noise * (1.1 if "woman" in prompt else 1.0)


def test_the_response_is_the_share_that_moves() -> None:
    real = ImageSet("real", np.random.default_rng(0).random((20, 8, 8), np.float32))
    found = measure_response(Hearing(), real, np.random.default_rng(0), "val")
    values = {m.condition: m.value for m in found}
    assert list(values) == list(CHANGES) and values.pop("man to woman") == pytest.approx(0.1, rel=1e-5)
    assert set(values.values()) == {0.0}


def test_the_prompts_differ_in_what_is_said_to_change() -> None:
    read = {change: tuple(map(row_of_prompt, prompts)) for change, prompts in CHANGES.items()}
    assert [row.age for row in read["age 2 to 40"]] == [2, 40]
    assert [row.view for row in read["PA to AP"]] == ["PA", "AP"]
    assert [row.absent for row in read["effusion to no effusion"]] == [(), ("pleural_effusion",)]


@dataclass
class Judge:
    """Sees a finding in bright images."""

    labels: tuple[str, ...] = ("nodule", "pleural_effusion", "mass")
    name: str = "judge"
    quality: dict[str, Any] = field(
        default_factory=lambda: {
            name: LabelQuality(9, 9, value, None, None, None, {})
            for name, value in (("nodule", 0.6), ("pleural_effusion", 0.8), ("mass", 0.8))
        }
    )

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        return np.repeat(images.mean(axis=(1, 2))[:, None], 3, axis=1).astype(np.float64)


def test_only_what_the_classifier_can_judge_is_denied() -> None:
    judge: Any = Judge()
    assert deniable_findings(judge, ["nodule", "pleural_effusion", "hernia"]) == ("pleural_effusion",)


def test_a_model_that_does_not_hear_a_denial_is_found_out() -> None:
    """It draws bright images wherever the word occurs."""
    asked: list[str] = []

    def redraw(rows: Sequence[Row]) -> ImageSet:
        asked.extend(row.prompt for row in rows)
        light = [0.9 if "effusion" in row.prompt else 0.1 for row in rows]
        return ImageSet("generated", np.array(light, np.float32)[:, None, None] * np.ones((1, 8, 8), np.float32))

    judge: Any = Judge()
    normal = ImageSet("real", np.full((30, 8, 8), 0.1, np.float32))
    template = Row(Path("x"), "", ())
    (found,) = measure_negation(judge, ["pleural_effusion"], redraw, template, normal, np.random.default_rng(0))
    assert (found.value, found.real) == (pytest.approx(0.9), pytest.approx(0.1))
    assert found.settings == {"stated": 0.9, "normal": 0.1} and found.n == PER_PROMPT
    assert len(asked) == 3 * PER_PROMPT and len(set(asked)) == 3
