"""Requests for images of a class, as every family that draws classes reads them."""

from __future__ import annotations

from dataclasses import replace

from xray_generator.checkpoints import Manifest
from xray_generator.types import ClassLabel, GenerationRequest, StudioError, Unconditional

MOST_STEPS = 200


def resolve_class_request(request: GenerationRequest, manifest: Manifest) -> GenerationRequest:
    """Fill what a request leaves open from the checkpoint's recommendation; without a class, guidance is 1.

    Raises:
        StudioError: a prompt, an unknown class or scheduler, a size that it does not draw, or more than 200 steps.
    """
    name, condition = manifest.name, request.condition
    allowed = f"Allowed: {', '.join(manifest.labels) or 'no class'}."
    if isinstance(condition, ClassLabel) and condition.label not in manifest.labels:
        raise StudioError(f"{name} knows no class {condition.label[:80]!r}. {allowed}")
    if not isinstance(condition, ClassLabel | Unconditional):
        raise StudioError(f"{name} draws a class, not a prompt. {allowed}")
    if isinstance(condition, Unconditional) and not manifest.unconditional:
        raise StudioError(f"{name} must be told a class. {allowed}")
    if request.height != request.width or request.height not in manifest.sizes:
        sizes = ", ".join(f"{size}x{size}" for size in manifest.sizes)
        raise StudioError(f"{name} draws {sizes} pixels, not {request.width}x{request.height}.")
    recommended = manifest.recommended
    steps = request.num_inference_steps or int(recommended["num_inference_steps"])
    if steps > MOST_STEPS:
        raise StudioError(f"At most {MOST_STEPS} steps are allowed, not {steps}.")
    scheduler = str(recommended["scheduler"] if request.scheduler is None else request.scheduler).strip().lower()
    if scheduler not in manifest.schedulers:
        known = ", ".join(manifest.schedulers)
        raise StudioError(f"{name} has no scheduler {scheduler[:80]!r}. Allowed: {known}.")
    guidance = recommended["guidance_scale"] if request.guidance_scale is None else request.guidance_scale
    guidance = 1.0 if isinstance(condition, Unconditional) else float(guidance)
    return replace(request, num_inference_steps=steps, scheduler=scheduler, guidance_scale=guidance)


def class_notes(request: GenerationRequest) -> tuple[str, ...]:
    """What of a request, as it was asked, a model of classes cannot heed, in words."""
    if isinstance(request.condition, Unconditional) and request.guidance_scale not in (None, 1):
        return ("Guidance leads towards a class; without one it was not used.",)
    return ()
