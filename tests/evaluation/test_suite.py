"""The steps of the suite on real films that stand in for generated ones."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import pytest
from torch import nn

from xray_generator.data.rows import Row
from xray_generator.evaluation import ablations, suite, sweeps
from xray_generator.evaluation.features import Remembering
from xray_generator.evaluation.image_sets import ImageSet
from xray_generator.evaluation.measures import MEASURES
from xray_generator.evaluation.records import Record
from xray_generator.evaluation.study import Classifiers, Findings, Model, Space, Study, Variant, conditions
from xray_generator.evaluation.suite import Step, run
from xray_generator.types import CheckpointRef, Engine, GenerationRequest, StudioError, TextPrompt


@pytest.fixture
def study(real: ImageSet, radiomics_space: Remembering, tmp_path: Path) -> Study:
    """100 films as generated ones and 100 as real ones; more guidance, more blur."""
    order = np.random.default_rng(0).permutation(len(real))
    drawn, films = real.take(order[:100]), real.take(order[100:])

    def redraw(rows: object, settings: dict[str, float]) -> ImageSet:
        sigma = 0.1 + settings["guidance_scale"] / 2
        return ImageSet("generated", np.stack([cv2.GaussianBlur(image, (0, 0), sigma) for image in drawn.images]))

    model = Model(
        CheckpointRef("family", "name", "0" * 64),
        {"net": nn.Linear(2, 2)},
        GenerationRequest(TextPrompt("film")),
        lambda _: None,
        redraw,
        1.0,
        cast(Engine, object()),
    )
    return Study(drawn, films, "test", 0, Classifiers((Space(radiomics_space, 64),)), tmp_path, model=model)


def test_a_measure_that_fails_gives_a_reason_and_stops_no_other(study: Study) -> None:
    def fail(study: Study, rng: np.random.Generator) -> Findings:
        raise StudioError("It cannot be done.")

    steps = (Step("wrong", ("precision", "recall"), fail), Step("detail", ("sharpness",), suite.find_detail))
    found = run(study, steps).measurements
    assert [(m.measure, m.value, m.reason) for m in found[:2]] == [
        ("precision", None, "It cannot be done."),
        ("recall", None, "It cannot be done."),
    ]
    assert any(m.measure == "sharpness" and m.value for m in found)


def test_a_step_draws_the_same_whatever_ran_before_it(study: Study) -> None:
    detail, diversity = (step for step in suite.QUICK if step.name in ("detail", "diversity"))
    assert run(study, (detail,)).measurements == run(study, (diversity, detail)).measurements[-11:]


def test_a_sweep_shows_what_the_setting_does(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeps, "GUIDANCES", (0.0, 1.0, 4.0))
    found = sweeps.find_guidance(study, np.random.default_rng(0))
    sharpness, distance = (found.curves[f"{name}_by_guidance_scale"] for name in ("sharpness_ratio", "kernel_distance"))
    assert sharpness.x == (0.0, 1.0, 4.0)
    first, second, third = sharpness.lines["generated"]
    assert first > second > third
    assert distance.lines["generated"][0] < distance.lines["generated"][2]
    assert {m.settings["guidance_scale"] for m in found.measurements} == {0.0, 1.0, 4.0}
    assert found.figures.keys() == found.curves.keys()
    assert len(set(distance.lines["real"])) == 1, "the value of real images is the same at every guidance"


def test_each_ablation_is_measured_on_the_same_prompts_beside_its_prediction(study: Study) -> None:
    assert study.model
    model = study.model

    asked: list[list[str]] = []

    def variant(sigma: float) -> Variant:
        def redraw(rows: Sequence[Row]) -> ImageSet:
            asked.append([row.prompt for row in rows])
            return model.redraw(rows, {"guidance_scale": 2 * (sigma - 0.1)})

        return Variant(f"blurred by {sigma:g}", "less sharp", redraw)

    study = replace(study, model=replace(model, variants=(variant(0.1), variant(2.0))))
    sharp, blurred = ablations.find_ablations(study, np.random.default_rng(0)).tables["ablations"]
    first, second = asked
    assert first == second and sorted(first) == sorted(row.prompt for row in study.generated.rows)
    assert (blurred["change"], blurred["predicted"], blurred["n"]) == ("blurred by 2", "less sharp", 100)
    assert sharp["sharpness_ratio"] > 2 * blurred["sharpness_ratio"]
    assert sharp["kernel_distance"] < blurred["kernel_distance"]
    assert sharp["frechet_ratio"] is None  # 46 features need more films than half of these


def test_a_model_without_ablations_says_so(study: Study) -> None:
    with pytest.raises(StudioError, match="no ablations"):
        ablations.find_ablations(study, np.random.default_rng(0))


def test_the_table_of_ablations_becomes_a_section_of_the_card() -> None:
    table = ({"change": "as recommended", "n": 4}, {"change": "DDIM", "n": 4})
    record = Record("model", "full", "2026-01-02T03:04", "abc", None, {}, (), tables={"ablations": table})
    section = "\n".join(ablations.describe(record))
    assert "| DDIM | 4 |" in section and "--suite full` on 2026-01-02, code abc" in section
    assert not ablations.describe(replace(record, tables={}))


def test_conditions_with_enough_images_are_measured(study: Study) -> None:
    found = suite.find_conditions(study, np.random.default_rng(0)).measurements
    counts = {name: len(places) for name, places in conditions(study.real.rows).items()}
    measured = {m.condition for m in found}
    assert measured and all(counts[name] >= 40 for name in measured) and "" not in measured
    assert {m.measure for m in found} <= MEASURES.keys()


def test_enlarged_images_are_left_out_of_a_pair(real: ImageSet, study: Study) -> None:
    native = np.array([row.native_size for row in real.rows])
    sizes = sorted(set(native.tolist()))
    least = next((size for size in sizes if 20 <= (native >= size).sum() < len(native)), None)
    whole = Study(real, real, "test", 0, study.classifiers, study.cache)
    assert least is not None
    generated, films = whole.pair(least)
    assert len(generated) == len(films) == (native >= least).sum()
    assert whole.pair(10_000) == (real, real), "too few are left: all are compared"
