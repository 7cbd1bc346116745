"""The smallest family: what it takes to add one, beside the formulas of its model."""

from xray_generator.types import Family, Unconditional

FAMILY = Family(
    title="Toy",
    modality="DX",
    condition=Unconditional,
    config="config:ToyConfig",
    train="training:train_run",
    load="engine:load_engine",
)
