"""From what a person says at any door, a prompt or the name of a class, to a validated and resolved request."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from xray_generator.checkpoints import Manifest
from xray_generator.registry import draws, reads_prompts
from xray_generator.types import (
    AdapterWeight,
    ClassLabel,
    Condition,
    GenerationRequest,
    Recommendation,
    StudioError,
    TextPrompt,
    Unconditional,
    quote,
)

MAX_RANDOM_SEED = 2**31 - 1
STOCHASTIC = "ddim"  # the scheduler that draws noise anew as far as `eta` says
MAX_FLOW_STEPS = 200  # of a flow; more change nothing that can be seen


def resolve_seed(seed: int | None) -> int:
    """The seed itself, or a random one for None; resolved once, here, so that it can be recorded."""
    return secrets.randbelow(MAX_RANDOM_SEED) if seed is None else seed


def make_request(
    condition: Condition,
    *,
    seed: int | None = None,
    num_images: int = 1,
    size: int = 256,
    steps: int | None = None,
    guidance: float | None = None,
    scheduler: str | None = None,
    adapters: tuple[AdapterWeight, ...] = (),
    eta: float = 0.0,
) -> GenerationRequest:
    """A validated request for square images; a seed of None becomes a random one."""
    resolved = resolve_seed(seed)
    return GenerationRequest(condition, num_images, size, size, steps, guidance, scheduler, resolved, adapters, eta)


def text_request(prompt: str, **settings: Any) -> GenerationRequest:  # noqa: ANN401 - those of `make_request`
    """A validated request for images of a prompt; settings as for `make_request`."""
    return make_request(TextPrompt(prompt), **settings)


def read_condition(manifest: Manifest, prompt: str | None = None, label: str | None = None) -> Condition:
    """The condition that a prompt, the name of a class, or neither gives a checkpoint.

    Raises:
        StudioError: the checkpoint cannot draw it; the text says what it can.
    """
    if not draws(manifest.family):
        raise StudioError(f"{manifest.name} enlarges images and draws none by itself. Choose another checkpoint.")
    if reads_prompts(manifest) and (prompt is None or label is not None):
        raise StudioError(f"{manifest.name} draws from a prompt: give a prompt, and no class.")
    if prompt is not None:
        condition: Condition = TextPrompt(prompt)
    elif label is None:
        condition = Unconditional()
    else:
        condition = ClassLabel(label) if label in manifest.labels else _refuse_class(manifest, label)
    check_condition(manifest, condition)
    return condition


def check_condition(manifest: Manifest, condition: Condition) -> None:
    """Do nothing where a checkpoint that draws images can draw for a condition; else StudioError says what it can."""
    is_prompted = reads_prompts(manifest)
    if is_prompted != isinstance(condition, TextPrompt):
        if is_prompted:
            raise StudioError(f"{manifest.name} draws from a text prompt, not by class.")
        raise StudioError(f"{manifest.name} draws a class, not a prompt. {_allowed_classes(manifest)}")
    if isinstance(condition, ClassLabel) and condition.label not in manifest.labels:
        _refuse_class(manifest, condition.label)
    if isinstance(condition, Unconditional) and not manifest.unconditional:
        raise StudioError(f"{manifest.name} needs a class. {_allowed_classes(manifest)}")


def _refuse_class(manifest: Manifest, label: str) -> ClassLabel:
    raise StudioError(f"{manifest.name} knows no class {quote(label)}. {_allowed_classes(manifest)}")


def _allowed_classes(manifest: Manifest) -> str:
    return f"Allowed: {', '.join(manifest.labels) or 'no class'}."


def resolve_request(
    request: GenerationRequest, manifest: Manifest, max_steps: int, *, takes_eta: bool = False
) -> GenerationRequest:
    """Fill what a request leaves open from the checkpoint's recommendation; without a class, guidance is 1.

    A distilled scheduler (`Manifest.few_steps`) runs its own number of steps unless fewer are asked for.

    Raises:
        StudioError: a condition, size, scheduler or eta that the checkpoint does not draw with, or too many steps.
    """
    check_condition(manifest, request.condition)
    if request.height != request.width or request.height not in manifest.sizes:
        sizes = ", ".join(f"{size}x{size}" for size in manifest.sizes)
        raise StudioError(f"{manifest.name} draws {sizes} pixels, not {request.width}x{request.height}.")
    recommended = manifest.recommended
    scheduler = recommended.scheduler if request.scheduler is None else request.scheduler.strip().lower()
    if scheduler not in manifest.schedulers:
        known = ", ".join(manifest.schedulers)
        raise StudioError(f"{manifest.name} has no scheduler {quote(scheduler)}. Allowed: {known}.")
    if request.eta and not takes_eta:
        raise StudioError(f"{manifest.name} takes no eta. Leave it out.")
    if request.eta and scheduler != STOCHASTIC:
        raise StudioError(f"Only the scheduler {STOCHASTIC} takes an eta, not {scheduler}. Leave it out.")
    most = manifest.few_steps.get(scheduler)
    steps = request.num_inference_steps or most or recommended.num_inference_steps
    if most is not None and steps > most:
        raise StudioError(f"{scheduler} draws in 1 to {most} steps, not {steps}.")
    if steps > max_steps:
        raise StudioError(f"At most {max_steps} steps are allowed, not {steps}.")
    guidance = recommended.guidance_scale if request.guidance_scale is None else request.guidance_scale
    guidance = 1.0 if isinstance(request.condition, Unconditional) else float(guidance)
    eta = float(request.eta)
    return replace(request, num_inference_steps=steps, scheduler=scheduler, guidance_scale=guidance, eta=eta)


def fast_settings(manifest: Manifest) -> Recommendation:
    """Settings for a quicker and rougher image: the distilled scheduler, or where there is none half the steps."""
    recommended = manifest.recommended
    if manifest.few_steps:
        scheduler, steps = min(manifest.few_steps.items(), key=lambda pair: pair[1])
        return replace(recommended, scheduler=scheduler, num_inference_steps=steps)
    return replace(recommended, num_inference_steps=max(1, recommended.num_inference_steps // 2))


def unused_guidance(request: GenerationRequest) -> tuple[str, ...]:
    """A note where guidance was asked for without a class."""
    if isinstance(request.condition, Unconditional) and request.guidance_scale not in (None, 1):
        return ("Guidance needs a class; without one it was not used.",)
    return ()


def describe_condition(condition: Condition, titles: Mapping[str, str] = MappingProxyType({})) -> str:
    """A condition in words; `titles` are those of classes."""
    match condition:
        case TextPrompt(text):
            return text
        case ClassLabel(label):
            return titles.get(label) or label.replace("_", " ")
        case Unconditional():
            return "any class"


def describe_adapters(adapters: Sequence[AdapterWeight]) -> str:
    """Adapters in words: "cilia at weight 0.8, soft at weight -1"; empty where there is none."""
    return ", ".join(f"{one.adapter.name} at weight {one.weight:g}" for one in adapters)
