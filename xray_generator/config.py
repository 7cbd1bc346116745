"""JSON -> frozen dataclass, strictly: unknown keys and wrong types are refused; dotted overrides; back to JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from xray_generator.types import MAX_SHOWN, StudioError, normalize_text, quote

T = TypeVar("T")
MAX_DEPTH = 16  # of groups and lists in a configuration


def config_names() -> tuple[str, ...]:
    """Names of the configurations that the package ships."""
    folder = resources.files("xray_generator") / "configs"
    return tuple(sorted(entry.name.removesuffix(".json") for entry in folder.iterdir() if entry.name.endswith(".json")))


def read_config(name_or_path: str) -> dict[str, Any]:
    """The JSON object of a shipped configuration (any case) or of a file.

    Raises:
        StudioError: there is none of that name, or it is not a JSON object.
    """
    shipped, given = {name.lower(): name for name in config_names()}, quote(name_or_path[2 - MAX_SHOWN :])
    try:
        if name_or_path.lower() in shipped:
            name = f"{shipped[name_or_path.lower()]}.json"
            content = (resources.files("xray_generator") / "configs" / name).read_bytes()
        else:
            content = Path(name_or_path).read_bytes()
    except (OSError, ValueError):  # there is none, or it is no name of a file
        names = ", ".join(config_names())
        raise StudioError(f"No configuration {given} can be read. Give a JSON file or one of: {names}.") from None
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise StudioError(f"The configuration {given} is not JSON: {error}.") from None
    if not isinstance(data, dict):
        raise StudioError(f"The configuration {given} must be a JSON object.")
    _check_depth(data)
    return data


def override(data: dict[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """Apply `a.b=value` assignments (value as JSON, else as text) to a copy of a nested object.

    Raises:
        StudioError: an assignment has no "=", sets a part of a value, or nests too deeply.
    """
    result: dict[str, Any] = json.loads(json.dumps(data))
    for assignment in assignments:
        key, separator, text = assignment.partition("=")
        if not separator or not key:
            raise StudioError(f"Cannot read {quote(assignment)}; overrides look like denoiser_training.num_steps=100.")
        *parents, leaf = key.split(".")
        node = result
        for parent in parents:
            node = node.setdefault(parent, {})
            if not isinstance(node, dict):
                raise StudioError(f"Cannot set {quote(key)}: {quote(parent)} is a value, not a group.")
        try:
            node[leaf] = json.loads(text)
        except (ValueError, RecursionError):
            node[leaf] = text
    _check_depth(result)
    return result


def _check_depth(data: object) -> None:
    level = [data]
    for _ in range(MAX_DEPTH):
        groups = [one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list)]
        level = [inner for group in groups for inner in group]
    if level:
        raise StudioError(f"The configuration is nested more than {MAX_DEPTH} groups deep.")


def parse(kind: type[T], data: object) -> T:
    """Validate plain data as a dataclass.

    Raises:
        StudioError: names every field that is missing, unknown or of the wrong type.
    """
    try:
        value: T = _adapter(cast(Any, kind)).validate_python(data, extra="forbid")
    except ValidationError as error:
        faults = "; ".join(
            f"{normalize_text('.'.join(map(str, e['loc'])))[:MAX_SHOWN] or kind.__name__}: "
            f"{normalize_text(e['msg'].removeprefix('Value error, '))}"
            for e in error.errors()
        )
        raise StudioError(f"The configuration is wrong. {faults}") from None
    return value


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:  # noqa: ANN401 - a type
    """Kept, since making one takes many times as long as using it."""
    return TypeAdapter(kind)


def check_ranges(settings: object, ranges: Mapping[str, tuple[float, float]]) -> None:
    """Compare fields of a dataclass, or each item of a tuple, with their least and greatest value; None passes.

    Raises:
        StudioError: names the field and what is allowed.
    """
    for name, (least, most) in ranges.items():
        field = getattr(settings, name)
        for value in field if isinstance(field, tuple) else (field,):
            if value is not None and not least <= value <= most:  # NaN compares false too
                allowed = f"{least:,} or more" if most == math.inf else f"from {least:,} to {most:,}"
                raise StudioError(f"{name} must be {allowed}, not {quote(value)}.")


def dump(value: object) -> dict[str, Any]:
    """A dataclass as plain JSON data."""
    data: dict[str, Any] = _adapter(cast(Any, type(value))).dump_python(value, mode="json")
    return data
