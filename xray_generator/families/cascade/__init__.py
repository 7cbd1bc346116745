"""MRI by class, in stages: a diffusion model draws a small image, and two flows enlarge it to twice the side each."""

from xray_generator.types import ClassLabel, Family

FAMILY = Family(
    title="Cascaded super-resolution (brain MRI)",
    condition=ClassLabel,
    modality="MR",
    config="config:CascadeConfig",
    train="training:train_run",
    load="engine:load_engine",
    training_flops="compute:training_flops",
    abilities=frozenset({"noise_schedule", "enlarge"}),
)
