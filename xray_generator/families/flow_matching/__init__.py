"""Lung CT by class: a continuous normalizing flow from noise to slices, with likelihoods."""

from xray_generator.types import ClassLabel, Family

FAMILY = Family(
    title="Lung CT by class",
    modality="CT",
    condition=ClassLabel,
    config="config:FlowMatchingConfig",
    train="training:train_run",
    load="engine:load_engine",
    abilities=frozenset({"trace", "likelihood"}),
)
