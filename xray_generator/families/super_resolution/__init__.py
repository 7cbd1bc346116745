"""Chest X-rays at 512 and 768 pixels, CT at 256: a flow adds the detail that an enlarged image lacks."""

from xray_generator.types import UpscalerFamily

FAMILY = UpscalerFamily(
    title="Super-resolution of X-rays and CT",
    modality="DX",
    config="config:SuperResolutionConfig",
    train="training:train_run",
    load="engine:load_engine",
)
