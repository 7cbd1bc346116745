"""Chosen images as a ZIP with a table of what they show, in a layout that the dataset explorer and training read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import chain

from xray_generator.album.index import Entry
from xray_generator.album.keys import Keys
from xray_generator.data.captioned import IMAGES, METADATA
from xray_generator.data.prompts import row_of_prompt
from xray_generator.data.tables import write_table
from xray_generator.export.files import zip_files
from xray_generator.types import NOTICE, StudioError

MAX_EXPORTED = 1_000
COMMON = (
    "patient_id",
    "split",
    "view",
    "age",
    "sex",
    "source",
    "kind",
    "checkpoint",
    "sha256",
    "seed",
    "size",
    "steps",
    "guidance",
    "scheduler",
    "enhancement",
    "made",
    "rating",
    "favorite",
    "collections",
)


def archive(entries: Sequence[Entry]) -> bytes:
    """A ZIP of images as they are on disk, with their recipes, and `metadata.csv`: a line for each.

    The table is that of a labeled pack where every image is one of a class, else that of a captioned pack. Images of
    one noise have the same `patient_id`, so that they stay in one split.

    Raises:
        StudioError: more than 1,000 images, or one of them is gone.
    """
    if len(entries) > MAX_EXPORTED:
        raise StudioError(f"At most {MAX_EXPORTED:,} images fit into one ZIP, not {len(entries):,}. Choose fewer.")
    notice = f"{NOTICE}\nEach PNG holds its recipe. What they show is in {METADATA}.\n"
    images = ((f"{IMAGES}/{entry.name}", _read(entry)) for entry in entries)
    return zip_files(chain([("NOTICE.txt", notice), (METADATA, _table(entries))], images))


def _read(entry: Entry) -> bytes:
    try:
        return entry.path.read_bytes()
    except OSError as error:
        raise StudioError(f"{entry.name} cannot be read: {error.strerror}.") from error


def _table(entries: Sequence[Entry]) -> str:
    known = [_certain_keys(entry.keys) for entry in entries]
    head: tuple[str, ...] = ("image", "caption", "labels", "class")
    firsts: list[tuple[object, ...]] = [
        (entry.name, keys.prompt, "|".join(keys.findings), keys.label)
        for entry, keys in zip(entries, known, strict=True)
    ]
    if all(keys.label for keys in known):
        head = ("image", "label")
        firsts = [(f"{IMAGES}/{entry.name}", keys.label) for entry, keys in zip(entries, known, strict=True)]
    lines = [(*first, *_facts(entry)) for first, entry in zip(firsts, entries, strict=True)]
    return write_table((*head, *COMMON), lines)


def _certain_keys(keys: Keys) -> Keys:
    """The keys of an image, of a blended one without what it shows: neither of two."""
    return replace(keys, prompt="", findings=(), label="") if keys.second else keys


def _facts(entry: Entry) -> tuple[object, ...]:
    """The values of COMMON."""
    request, checkpoint, note = entry.recipe.request, entry.recipe.checkpoint, entry.note
    row = row_of_prompt(_certain_keys(entry.keys).prompt)
    return (
        entry.keys.stem,
        "",
        row.view,
        row.age,
        row.sex,
        "synthetic",
        entry.keys.kind,
        entry.keys.checkpoint,
        checkpoint.sha256,
        request.seed,
        request.width,
        request.num_inference_steps,
        request.guidance_scale,
        request.scheduler,
        (entry.recipe.preset or {}).get("name", ""),
        datetime.fromtimestamp(entry.made).isoformat(" ", "seconds"),
        note.rating or None,
        int(note.is_favorite),
        "|".join(note.collections),
    )
