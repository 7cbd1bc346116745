"""Images of one class each, cells above all: a class-conditional variational autoencoder with a learned prior."""

from xray_generator.types import ClassLabel, Family

FAMILY = Family(
    title="Cells by class",
    modality="SM",
    condition=ClassLabel,
    config="config:CVAEConfig",
    train="training:train_run",
    load="engine:load_engine",
    accepts=frozenset({"autoencoder_only"}),
    abilities=frozenset({"morph", "encode", "traverse"}),
)
