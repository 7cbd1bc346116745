"""Any Stable Diffusion 1.x, 2.x or Turbo that others trained: imported, drawn with, and adapted to X-rays."""

from xray_generator.types import Family, TextPrompt

FAMILY = Family(
    title="Stable Diffusion (imported)",
    condition=TextPrompt,
    modality="OT",  # whatever its own images show
    config="config:StableDiffusionConfig",
    load="engine:load_engine",
    import_model="importing:import_model",
    abilities=frozenset({"adapt", "encode"}),
)
