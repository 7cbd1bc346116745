"""Adapters of a text-to-X-ray model: a few per cent of its size, for a style or a finding that it draws poorly."""

from xray_generator.types import Family, TextPrompt

FAMILY = Family(
    title="Adapter of a text-to-X-ray model (LoRA)",
    condition=TextPrompt,
    modality="DX",
    config="config:LoraConfig",
    train="training:train_run",
    load="engine:load_engine",
    factors="engine:load_factors",
    abilities=frozenset({"morph", "edit", "attend", "encode", "predict", "noise_schedule", "ablate", "adapt"}),
)
