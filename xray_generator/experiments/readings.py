"""What the readers of a blind study say: kept after every answer, so that neither a reload nor a restart loses one."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from xray_generator.config import dump, parse
from xray_generator.experiments.reader_study import Study
from xray_generator.export.files import make_folder, write_file
from xray_generator.types import StudioError, normalize_text, quote

FOLDER = "readings"  # in that of a study
MAX_RATING, MAX_NAME_CHARACTERS = 5, 40


def _check_ratings(one: object, names: Sequence[str]) -> None:
    for name in names:
        if not 1 <= getattr(one, name) <= MAX_RATING:
            raise StudioError(f"A rating is 1 to {MAX_RATING}, not {quote(getattr(one, name))} ({name}).")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a reader says of one image; StudioError where a rating is not 1 to 5."""

    place: int  # of the image in the study
    says_generated: bool
    confidence: int  # 1 a guess, 5 certain
    quality: int  # 1 very poor, 5 excellent
    plausibility: int  # 1 impossible, 5 as in a patient

    def __post_init__(self) -> None:
        _check_ratings(self, ("confidence", "quality", "plausibility"))


@dataclass(frozen=True, slots=True)
class Checklist:
    """What a reader says of a set of images, 1 to 5, more is better; StudioError where a rating is not 1 to 5."""

    realism: int
    anatomy: int
    diversity: int
    artifacts: int  # 5: none
    relevance: int

    def __post_init__(self) -> None:
        _check_ratings(self, [one.name for one in fields(self)])


@dataclass(frozen=True, slots=True)
class Reading:
    """What one reader has said of a study so far."""

    reader: str  # a name or initials
    person: str  # at whose browser
    began: float  # seconds since 1970
    answers: tuple[Answer, ...] = ()  # in the order of the reader
    real: Checklist | None = None  # of all real images
    generated: Checklist | None = None

    @property
    def is_over(self) -> bool:
        """Whether the reader is through, and may see what the images are."""
        return self.real is not None and self.generated is not None


@dataclass(frozen=True, slots=True)
class Sets:
    """The places of a study's images of either kind, in an order that does not tell which is which."""

    first: tuple[int, ...]
    second: tuple[int, ...]
    is_first_generated: bool


def open_reading(root: Path, study: Study, person: str, name: str) -> Reading:
    """The reading of a reader at a person's browser, a new one where there is none.

    Raises:
        StudioError: not 1 to 40 characters, or someone at another browser has this name in the study.
    """
    reader = normalize_text(name)
    if not 0 < len(reader) <= MAX_NAME_CHARACTERS:
        raise StudioError(f"Give a name or initials of 1 to {MAX_NAME_CHARACTERS} characters, not {quote(name)}.")
    for one in list_readings(root, study):
        if one.reader.casefold() == reader.casefold():
            if one.person == person:
                return one
            raise StudioError(f"A reader at another browser is called {quote(one.reader)}. Choose another name.")
    return _write(root, study, Reading(reader, person, time.time()))


def list_readings(root: Path, study: Study) -> tuple[Reading, ...]:
    """All readings of a study that can be read, in the order of their beginning."""
    found = map(_read, (root / study.id / FOLDER).glob("*.json"))
    return tuple(sorted((reading for reading in found if reading), key=lambda reading: reading.began))


def next_place(study: Study, reading: Reading) -> int | None:
    """The place of the image that comes next for a reader; None: all are judged."""
    done = len(reading.answers)
    return study.order(reading.reader)[done] if done < len(study.items) else None


def add_answer(root: Path, study: Study, reading: Reading, answer: Answer) -> Reading:
    """Keep the answer to the next image. One to another image, such as a second press of a button, changes nothing.

    Raises:
        StudioError: the study's folder takes none.
    """
    now = _reread(root, study, reading)
    if answer.place != next_place(study, now):
        return now
    return _write(root, study, replace(now, answers=(*now.answers, answer)))


def take_back(root: Path, study: Study, reading: Reading) -> Reading:
    """Forget the last answer, as long as the reader is not through all images; StudioError as for `add_answer`."""
    now = _reread(root, study, reading)
    if not now.answers or next_place(study, now) is None:
        return now
    return _write(root, study, replace(now, answers=now.answers[:-1]))


def split_sets(study: Study, reader: str) -> Sets:
    """The two sets that a reader compares at the end, real and generated images, in an order of their own."""
    generated = tuple(place for place, item in enumerate(study.items) if item.is_generated)
    real = tuple(place for place, item in enumerate(study.items) if not item.is_generated)
    is_first_generated = bool(study.rng(f"sets of {reader}").integers(2))
    return Sets(generated, real, True) if is_first_generated else Sets(real, generated, False)


def finish(root: Path, study: Study, reading: Reading, first: Checklist, second: Checklist) -> Reading:
    """Keep what a reader who has judged all images says of the sets; after that it cannot be changed.

    Raises:
        StudioError: the study's folder takes none.
    """
    now = _reread(root, study, reading)
    if now.is_over or next_place(study, now) is not None:
        return now
    is_swapped = split_sets(study, now.reader).is_first_generated
    real, generated = (second, first) if is_swapped else (first, second)
    return _write(root, study, replace(now, real=real, generated=generated))


def _path(root: Path, study: Study, reading: Reading) -> Path:
    name = hashlib.sha256(reading.reader.casefold().encode()).hexdigest()[:16]  # whatever a name holds
    return root / study.id / FOLDER / f"{reading.person}_{name}.json"


def _reread(root: Path, study: Study, reading: Reading) -> Reading:
    """As it is on disk now: another tab may have gone on."""
    return _read(_path(root, study, reading)) or reading


def _read(path: Path) -> Reading | None:
    try:
        return parse(Reading, json.loads(path.read_bytes()))
    except (OSError, ValueError, RecursionError):  # gone, damaged, or of another version
        return None


def _write(root: Path, study: Study, reading: Reading) -> Reading:
    path = _path(root, study, reading)
    make_folder(path.parent)
    write_file(path, json.dumps(dump(reading), ensure_ascii=False, indent=1).encode())
    return reading
