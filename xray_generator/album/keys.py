"""What an image is found by: the words and facts of its recipe, and which images were made from which."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Literal

from xray_generator.config import dump
from xray_generator.data.naming import plain
from xray_generator.data.prompts import describe_reading, row_of_prompt
from xray_generator.data.rows import finding_name
from xray_generator.export.recipe import Recipe
from xray_generator.requests import describe_condition
from xray_generator.types import ClassLabel, Edit, GenerationRequest, Morph, TextPrompt

Kind = Literal["drawn", "edited", "blended", "enlarged", "enhanced"]
INVERSE = {
    "Enhanced from": "Enhanced as",
    "Edited from": "Edited to",
    "Blended from": "Blended into",
    "Enlarged from": "Enlarged as",
}  # of relations: what was made from an image
OF_THE_FILE = ("num_images", "height", "width")  # fields of a request that change neither noise nor words


@dataclass(frozen=True, slots=True)
class Keys:
    """What the index keeps of a recipe."""

    prompt: str  # what the image shows, of an edited one the new prompt; empty where it has none
    words: str  # all that a search looks at: lower case, with a space at both ends
    family: str
    checkpoint: str  # family/name
    label: str
    findings: tuple[str, ...]  # that the prompt states
    kind: Kind  # what was done to it last
    stem: str  # a hash of weights and request without its size: the same for what was made from one noise or upload
    second: str  # the stem of what it was blended with
    origin: str  # a hash of how it was edited or blended
    upscaler: str  # a hash of the weights that enlarged it
    preset: str  # a hash of its enhancement

    @classmethod
    def of(cls, recipe: Recipe) -> Keys:
        """The keys of a recipe."""
        condition, origin = recipe.request.condition, recipe.origin
        prompt = condition.text if isinstance(condition, TextPrompt) else ""
        prompt = origin.prompt if isinstance(origin, Edit) else prompt
        findings = row_of_prompt(prompt).findings if prompt else ()
        second = _stem(origin.second, recipe) if isinstance(origin, Morph) else ""
        return cls(
            prompt=prompt,
            words=_words(recipe, prompt, findings),
            family=recipe.checkpoint.family,
            checkpoint=recipe.checkpoint.full_name,
            label=condition.label if isinstance(condition, ClassLabel) else "",
            findings=findings,
            kind=_kind(recipe),
            stem=_stem(recipe.request, recipe, origin.image_sha256 if isinstance(origin, Edit) else ""),
            second=second,
            origin=_digest(dump(origin)) if origin else "",
            upscaler=recipe.upscaler.sha256[:16] if recipe.upscaler else "",
            preset=_digest(recipe.preset) if recipe.preset else "",
        )


def relation(child: Keys, parent: Keys) -> str:
    """How one image was made from another, in words; empty where it was not."""
    same = child.stem == parent.stem
    is_raw = not (parent.origin or parent.upscaler or parent.preset)
    if child.preset:
        made = (child.origin, child.upscaler) == (parent.origin, parent.upscaler) and not parent.preset
        return "Enhanced from" if same and made else ""
    if child.second:
        return "Blended from" if is_raw and parent.stem in (child.stem, child.second) else ""
    if child.origin:
        return "Edited from" if same and is_raw else ""
    return "Enlarged from" if child.upscaler and same and is_raw else ""


def _kind(recipe: Recipe) -> Kind:
    if recipe.preset is not None:
        return "enhanced"
    if recipe.origin is not None:
        return "blended" if isinstance(recipe.origin, Morph) else "edited"
    return "drawn" if recipe.upscaler is None else "enlarged"


def _words(recipe: Recipe, prompt: str, findings: tuple[str, ...]) -> str:
    """Everything that a person may remember of an image; settings as name:value."""
    request, label = recipe.request, getattr(recipe.request.condition, "label", "")
    settings = {
        "seed": request.seed,
        "size": request.width,
        "steps": request.num_inference_steps,
        "guidance": request.guidance_scale,
        "scheduler": request.scheduler,
    }
    words = (
        describe_condition(request.condition),
        prompt,
        plain(label),
        label,
        describe_reading(row_of_prompt(prompt)) if prompt else "",
        *findings,
        *map(finding_name, findings),
        recipe.checkpoint.full_name,
        recipe.checkpoint.name,
        *(one.adapter.name for one in request.adapters),
        str((recipe.preset or {}).get("name", "")),
        _kind(recipe),
        recipe.digest,
        *(f"{name}:{value:g}" if isinstance(value, float) else f"{name}:{value}" for name, value in settings.items()),
    )
    return f" {' '.join(words)} ".casefold()


def _stem(request: GenerationRequest, recipe: Recipe, uploaded: str = "") -> str:
    """`uploaded`: the hash of the image that was edited, in whose place the request draws none."""
    data = {name: value for name, value in dump(request).items() if name not in OF_THE_FILE}
    return _digest([data, recipe.checkpoint.sha256, *filter(None, (uploaded,))])


def _digest(data: object) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]
