"""A blind study of images that are plain to tell, and readers of it."""

from pathlib import Path

import numpy as np

from xray_generator.checkpoints import Manifest
from xray_generator.experiments.reader_study import Item, Specimen, Study, keep_study
from xray_generator.experiments.readings import Answer, Checklist, Reading, add_answer, finish, next_place, open_reading

PERSON, OTHER = "0123456789abcdef", "fedcba9876543210"
FIRST, SECOND = Checklist(1, 2, 3, 4, 5), Checklist(5, 4, 3, 2, 1)


def specimens(size: int, count: int = 6) -> list[Specimen]:
    """As many flat images, which are generated, as noisy ones, which are real."""
    rng = np.random.default_rng(0)
    flat = [Specimen(np.full((size, size), i / count, np.float32), item(i, True)) for i in range(count)]
    noise = [Specimen(rng.random((size, size), np.float32), item(i, False)) for i in range(count)]
    return [*flat, *noise]


def item(number: int, is_generated: bool) -> Item:
    kind = "generated" if is_generated else "film"
    return Item(is_generated, ("normal" if number % 2 else "mass",), f"{kind} {number}")


def make(root: Path, manifest: Manifest, seed: int = 0) -> Study:
    return keep_study(specimens(manifest.sizes[0]), manifest, seed=seed, owner=PERSON, root=root)


def read_all(root: Path, study: Study, name: str, person: str = PERSON, wrong: int = 0) -> Reading:
    """A reader who is wrong on the first images, and certain of all."""
    reading = open_reading(root, study, person, name)
    while (place := next_place(study, reading)) is not None:
        is_wrong = len(reading.answers) < wrong
        reading = add_answer(root, study, reading, Answer(place, study.items[place].is_generated != is_wrong, 5, 4, 3))
    return finish(root, study, reading, FIRST, SECOND)
