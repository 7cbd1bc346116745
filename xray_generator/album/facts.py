"""A recipe in plain words, field by field, and what differs between several."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from xray_generator.config import dump
from xray_generator.data.naming import plain
from xray_generator.export.recipe import Recipe
from xray_generator.requests import describe_adapters

ADAPTERS = "request.adapters"
NONE = "–"  # where a recipe has no such field
NAMES = {
    "request.condition.text": "Prompt",
    "request.condition.label": "Class",
    "request.seed": "Seed",
    "request.height": "Height",
    "request.width": "Width",
    "request.num_inference_steps": "Steps",
    "request.guidance_scale": "Guidance",
    "request.scheduler": "Scheduler",
    "request.eta": "Eta",
    ADAPTERS: "Adapters",
    "checkpoint.name": "Model",
    "checkpoint.family": "Family",
    "checkpoint.sha256": "Weights, SHA-256",
    "preset.name": "Enhancement",
    "preset.operations": "Operations",
    "origin.prompt": "Edited to",
    "origin.source_prompt": "Edited from",
    "origin.strength": "Strength of the edit",
    "origin.method": "Method of the edit",
    "origin.image_sha256": "Edited image, SHA-256",
    "origin.weight": "Weight of the second image",
    "upscaler.name": "Enlarged by",
    "upscaler.family": "Family of what enlarged it",
    "upscaler.sha256": "Weights of what enlarged it, SHA-256",
}
OMITTED = ("request.num_images", ADAPTERS, "synthetic", "notice")  # the same in all, or told otherwise
SHA_CHARACTERS = 12


@dataclass(frozen=True, slots=True)
class Difference:
    """A field in which recipes differ."""

    name: str
    values: tuple[str, ...]  # one for each recipe


def facts(recipe: Recipe) -> dict[str, str]:
    """Every field of a recipe that says something of its image: a name in words, and the value."""
    found = {_name(key): _text(key, value) for key, value in _flat(dump(recipe)) if value not in (None, "", [])}
    added = recipe.request.adapters
    words = ", ".join(f"{describe_adapters([one])} ({one.adapter.sha256[:SHA_CHARACTERS]})" for one in added)
    return found | ({NAMES[ADAPTERS]: words} if added else {})


def differing(recipes: Sequence[Recipe]) -> tuple[Difference, ...]:
    """The fields that are not the same in all recipes."""
    each = [facts(recipe) for recipe in recipes]
    names = dict.fromkeys(name for one in each for name in one)
    rows = (Difference(name, tuple(one.get(name, NONE) for one in each)) for name in names)
    return tuple(row for row in rows if len(set(row.values)) > 1)


def _flat(data: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in data.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}.")
        elif key != "kind" and name not in OMITTED:
            yield name, value


def _name(key: str) -> str:
    if second := key.partition("origin.second.")[2]:
        return f"{_name(f'request.{second}')} of the second image"
    if made_with := key.partition("runtime.")[2]:
        return f"Made with {plain(made_with).lower()}"
    return NAMES.get(key) or plain(key.replace(".", " "))


def _text(key: str, value: object) -> str:
    if key.endswith("sha256"):
        return str(value)[:SHA_CHARACTERS]
    if isinstance(value, float):
        return f"{value:g}"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | bool) else str(value)
