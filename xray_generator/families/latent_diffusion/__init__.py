"""Text-to-chest-X-ray latent diffusion."""

from xray_generator.types import Family, TextPrompt

FAMILY = Family(
    title="Text to chest X-ray",
    modality="DX",
    condition=TextPrompt,
    config="config:LatentDiffusionConfig",
    train="training:train_run",
    load="engine:load_engine",
    accepts=frozenset({"autoencoder_only", "autoencoder_from"}),
    abilities=frozenset({"morph", "edit", "attend", "encode", "predict", "noise_schedule", "ablate", "adapt"}),
)
