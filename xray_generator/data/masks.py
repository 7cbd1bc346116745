"""Masks beside images: pictures of outlines, no images of patients, told by the names of folders and files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

SINGULAR = ("mask", "label", "annotation", "segmentation", "seg", "truth", "groundtruth", "gt", "contour", "overlay")
PLURAL = tuple(f"{word}s" for word in SINGULAR)
WORDS = {*SINGULAR, *PLURAL}
WORD = re.compile(rf"(?<![a-z])(?:{'|'.join(WORDS)})(?![a-z])|masks?(?![a-z])")
SEPARATORS = " _.()[]-"


def are_masks(folder: str, others: Sequence[str]) -> bool:
    """Whether a folder beside those of classes holds masks: "lung masks", or "COVID_mask" beside "COVID".

    A class may be named for a mask ("with_mask"), but hardly for several.
    """
    words = _words(folder)
    rest = [word for word in words if word not in WORDS | {"ground"}]
    return len(rest) < len(words) and (
        not rest or any(word in PLURAL for word in words) or any(rest == _words(other) for other in others)
    )


def split_masks(pictures: Sequence[Path], folder: Path) -> tuple[list[Path], list[Path]]:
    """The pictures below a folder that are images, and those that are masks.

    A mask lies in a folder named so ("segmentation_masks"), or beside its image, whose name it holds ("a_lung_mask").
    """
    stems = {(path.parent, path.stem.casefold()) for path in pictures}
    images: list[Path] = []
    masks: list[Path] = []
    for path in pictures:
        inside = any(map(names_masks, path.relative_to(folder).parts[:-1]))
        beside = any((path.parent, stem) in stems for stem in _masked(path.stem.casefold()))
        (masks if inside or beside else images).append(path)
    return images, masks


def names_masks(name: str) -> bool:
    """Whether one of the words of a name says that masks are meant."""
    return bool(WORDS.intersection(_words(name)))


def _words(name: str) -> list[str]:
    """The words of a name, also of one such as "LungMasks"."""
    return re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower())


def _masked(stem: str) -> Iterator[str]:
    """The names that an image may have, of which this is the name of a mask."""
    for word in WORD.finditer(stem):
        before, after = stem[: word.start()].rstrip(SEPARATORS), stem[word.end() :].lstrip(SEPARATORS)
        yield from (before[:i].rstrip(SEPARATORS) for i in range(1, len(before) + 1) if before[i : i + 1] in SEPARATORS)
        yield from (after[i:] for i in range(len(after)) if i == 0 or after[i - 1] in SEPARATORS)
