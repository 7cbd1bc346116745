"""What a person asks for at any door: settings by quality, conditions in words."""

from dataclasses import replace

from xray_generator.checkpoints import DataFacts, Manifest
from xray_generator.requests import describe_condition, fast_settings
from xray_generator.types import ClassLabel, Recommendation

MANIFEST = Manifest("cvae", "cells", {}, DataFacts(), "", "", {}, Recommendation("ddim", 9, 3.0), (64,))


def test_fast_is_the_distilled_scheduler_or_half_the_steps() -> None:
    assert fast_settings(MANIFEST) == Recommendation("ddim", 4, 3.0)
    assert fast_settings(replace(MANIFEST, recommended=Recommendation("ddim", 1, 3.0))).num_inference_steps == 1
    distilled = replace(MANIFEST, schedulers=("ddim", "few", "fewest"), few_steps={"few": 8, "fewest": 2})
    assert fast_settings(distilled) == Recommendation("fewest", 2, 3.0)


def test_a_class_is_called_by_its_title_where_there_is_one() -> None:
    assert describe_condition(ClassLabel("oda"), {"oda": "Outer dynein arms missing"}) == "Outer dynein arms missing"
    assert describe_condition(ClassLabel("cp_one"), {}) == describe_condition(ClassLabel("cp_one")) == "cp one"
