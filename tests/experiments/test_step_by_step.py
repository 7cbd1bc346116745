"""What a model expects at every step: kept from what it reports, and measured again here."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from xray_generator.checkpoints import find_checkpoint
from xray_generator.experiments.step_by_step import (
    MOST_KEPT,
    distance_curve,
    sharpness_curve,
    watch_steps,
)
from xray_generator.generation import generate
from xray_generator.registry import load_engine
from xray_generator.requests import make_request
from xray_generator.types import (
    NO_PREVIEW,
    Canceled,
    CheckpointRef,
    ClassLabel,
    GenerationRequest,
    GenerationResult,
    OnStep,
    Preview,
    Unconditional,
)

RNG = np.random.default_rng(0)
FINISHED = RNG.random((32, 32), np.float32)
REQUEST = GenerationRequest(Unconditional(), height=32, width=32)
RESULT = GenerationResult((FINISHED,), REQUEST, CheckpointRef("cascade", "x", "0"), (1.0,))


def report_estimates(report: OnStep) -> GenerationResult:
    """Two steps of a stage of 16 pixels, and two of 32, as a cascade reports them; the last one is the image."""
    small = [RNG.random((16, 16), np.float32) for _ in range(2)]
    for step, image in enumerate([*small, np.zeros_like(FINISHED), FINISHED], 1):
        report(step, 4, lambda image=image: image)
    return RESULT


def test_each_estimate_is_measured_against_the_finished_image_at_its_size() -> None:
    found = watch_steps(report_estimates)
    assert [one.step for one in found.estimates] == [1, 2, 3, 4] and found.num_steps == 4
    assert found.sides == (16, 32)
    halved = cv2.resize(FINISHED, (16, 16), interpolation=cv2.INTER_AREA)
    targets = (halved, halved, FINISHED, FINISHED)
    expected = [
        float(np.sqrt(np.mean((one.image - target) ** 2))) for one, target in zip(found.estimates, targets, strict=True)
    ]
    assert list(distance_curve(found).lines["estimate"]) == pytest.approx(expected) and expected[-1] == 0
    lines = sharpness_curve(found).lines
    assert lines["estimate, 16 px"][2:] == (None, None) and lines["estimate, 32 px"][:2] == (None, None)
    assert lines["finished image"][0] == lines["estimate, 32 px"][3] > lines["estimate, 32 px"][2] == 0


def test_of_many_steps_those_that_are_kept_are_spread_evenly_and_end_with_the_last() -> None:
    drawn: list[int] = []

    def report_many(report: OnStep) -> GenerationResult:
        report(0, 0, lambda: NO_PREVIEW)  # the models are loaded
        for step in range(1, 251):
            report(step, 250, lambda step=step: drawn.append(step) or FINISHED)
        return RESULT

    steps = [one.step for one in watch_steps(report_many).estimates]
    assert steps == drawn and len(steps) == MOST_KEPT and steps[-1] == 250
    assert set(np.diff(steps)) == {2, 3}


def test_work_without_previews_has_no_estimates_and_can_be_canceled() -> None:
    def report_nothing(report: OnStep) -> GenerationResult:
        report(1, 1, lambda: NO_PREVIEW)
        return RESULT

    found = watch_steps(report_nothing)
    assert not found.estimates and found.num_steps == 1

    def cancel(*_: object) -> None:
        raise Canceled

    with pytest.raises(Canceled):
        watch_steps(report_estimates, cancel)


def test_the_estimates_of_a_model_are_its_previews(tiny_ct_checkpoint: Path) -> None:
    engine = load_engine("flow_matching", find_checkpoint(tiny_ct_checkpoint / "checkpoints"), "cpu")
    request, previews = make_request(ClassLabel("normal"), seed=3, size=32, steps=4), []

    def see(_step: int, _total: int, preview: Preview) -> None:
        previews.append(preview())

    found = watch_steps(lambda report: generate(engine, request, report), see)
    assert len(found.estimates) == 4 == found.num_steps
    assert all(one.image is preview for one, preview in zip(found.estimates, previews, strict=True))
    assert np.array_equal(found.image, generate(engine, request).images[0])
    distances = distance_curve(found).lines["estimate"]
    assert distances[0] > distances[-1]
