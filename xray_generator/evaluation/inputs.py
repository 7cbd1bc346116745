"""The inputs of an evaluation: real images from a dataset or a folder, the rows to draw images for, and warnings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from xray_generator.data.captioned import METADATA
from xray_generator.data.class_folders import has_class_folders, read_class_folders
from xray_generator.data.read import REPORTS, read_dataset
from xray_generator.data.report import read_findings
from xray_generator.data.rows import Row, Split, class_names, known_conditions, row_conditions
from xray_generator.data.tables import count_names
from xray_generator.evaluation.image_sets import ImageSet, from_folder, from_rows
from xray_generator.evaluation.pixel_match import Thumbnails, thumbnails
from xray_generator.evaluation.study import MIN_IMAGES
from xray_generator.types import StudioError

SPLITS: Mapping[str, tuple[Split, ...]] = MappingProxyType(
    {"unseen": ("val", "test"), "val": ("val",), "test": ("test",), "train": ("train",)}
)
TRAINING_NOTE = (
    "The real images are those of the training split, which a generator may have memorized: comparisons flatter it."
)


@dataclass(frozen=True, slots=True, eq=False)
class RealData:
    """Real images, the split that they come from, and the training rows of the same dataset."""

    images: ImageSet
    split: str  # "val+test"; empty for a folder of images
    training: tuple[Row, ...]
    notes: tuple[str, ...]


def read_real(
    path: Path, size: int, split: str, *, sharp_only: bool, limit: int | None = None, condition: str = ""
) -> RealData:
    """The real images of a dataset's split, or of a folder of images.

    Args:
        path: a dataset in one of the layouts of `read_dataset`, or any folder of images.
        size: pixels a side of all images.
        split: a key of `SPLITS`; ignored for a folder.
        sharp_only: leave out images enlarged to `size`, where enough others are left.
        limit: the most images to read of a folder.
        condition: see `halves`; empty: all images.

    Raises:
        StudioError: there is no readable image, or not some that meet the condition and some that do not.
    """
    tables = (path / METADATA, path / REPORTS)
    if not path.is_dir() or not (any(table.is_file() for table in tables) or has_class_folders(path)):
        if condition:
            raise StudioError(
                f"{path.name} is a folder of images alone: which of them meet {condition!r} is not known."
            )
        images = from_folder(path, size, "real", limit)
        return RealData(images, "", (), ())
    dataset = read_dataset(path)
    rows = [row for name in SPLITS[split] for row in dataset.rows if row.split == name]
    sharp = [row for row in rows if row.native_size == 0 or row.native_size >= size]
    notes = list(dataset.skipped)
    if sharp_only and len(sharp) >= MIN_IMAGES and len(sharp) < len(rows):
        notes.append(f"{len(rows) - len(sharp):,} real images of less than {size} pixels a side were left out.")
        rows = sharp
    if condition:
        rows = halves(rows, condition)
    if split == "train":
        notes.append(TRAINING_NOTE)
    label = "+".join(SPLITS[split])
    images = from_rows(rows, size, f"real, {label}")
    if not len(images):
        raise StudioError(f"{path.name} holds no readable image of the split {label}.")
    return RealData(images, label, dataset.split("train"), tuple(notes))


def read_training_rows(path: Path) -> tuple[Row, ...]:
    """The training rows of a dataset; StudioError where it is none or has none."""
    rows = read_dataset(path).split("train")
    if not rows:
        raise StudioError(f"{path.name} has no rows of the split train.")
    return rows


def halves(rows: Sequence[Row], condition: str) -> list[Row]:
    """As many rows that meet a condition, named as by `row_conditions`, as others; each half has the mix of its kind.

    Raises:
        StudioError: all rows meet it, or none.
    """
    found = [row for row in rows if condition in row_conditions(row)]
    others = [row for row in rows if condition not in row_conditions(row)]
    if not found or not others:
        known = ", ".join(known_conditions(rows)) or "none"
        raise StudioError(
            f"{'All' if found else 'None'} of the real images meet {condition!r}. Known of them: {known}."
        )
    count = min(len(found), len(others))
    return [*spread(found, count), *spread(others, count)]


def prompt_rows(rows: Sequence[Row], examples: Sequence[str]) -> tuple[Row, ...]:
    """The rows that have a prompt; where there are none, a row for each example prompt of the checkpoint.

    Raises:
        StudioError: neither.
    """
    found = tuple(row for row in rows if row.prompt) or tuple(
        Row(Path(f"example {i}"), prompt, read_findings(prompt).present) for i, prompt in enumerate(examples)
    )
    if not found:
        raise StudioError("There are no prompts: the real images have none, and the checkpoint names no examples.")
    return found


@dataclass(frozen=True, slots=True)
class Classes:
    """The classes that a checkpoint without prompts can draw."""

    labels: tuple[str, ...]
    unconditional: bool  # whether it also draws images without a class

    def knows(self, row: Row) -> bool:
        """Whether it can draw an image like that of a row."""
        return row.label in self.labels if row.label else self.unconditional

    def rows(self, rows: Sequence[Row]) -> tuple[Row, ...]:
        """The rows that it can draw images for, or one row per class where none are given.

        Raises:
            StudioError: it can draw none of the rows.
        """
        if not rows:
            return tuple(Row(Path(f"class {label}"), "", (), label=label) for label in self.labels)
        if not (found := tuple(row for row in rows if self.knows(row))):
            raise StudioError(
                f"The real images are of other classes ({', '.join(class_names(rows)) or 'none'}) than the checkpoint's"
                f" ({', '.join(self.labels)})."
            )
        return found

    def part(self, real: RealData) -> RealData:
        """Only the real images of its classes; a note counts the others.

        All training rows stay: it may have memorized images of other classes.
        """
        if not real.images.rows:
            return real
        self.rows(real.images.rows)  # raises where all are of other classes
        places = [place for place, row in enumerate(real.images.rows) if self.knows(row)]
        left = [row for row in real.images.rows if not self.knows(row)]
        others, count = sorted({row.label or "no class" for row in left}), len(left)
        if not count:
            return real
        note = f"{count:,} real images of classes that the checkpoint does not draw were left out: {', '.join(others)}."
        return replace(real, images=real.images.take(places), notes=(*real.notes, note))


def add_class_rows(images: ImageSet, folder: Path, classes: Sequence[str]) -> ImageSet:
    """A set read from a folder, with a row for each image if the folder consists of class folders of these classes.

    Images outside these folders, such as a contact sheet, are then left out.
    """
    if not has_class_folders(folder):
        return images
    rows = {row.path.relative_to(folder).as_posix(): row for row in read_class_folders(folder).rows}
    if not {row.label for row in rows.values()} <= set(classes):
        return images
    inside = images.take([place for place, name in enumerate(images.names) if name in rows])
    beside = sorted(set(images.names) - set(rows))
    others = count_names(f"{images.name} images lie in no class folder and were left out", beside)
    return replace(inside, rows=tuple(rows[name] for name in inside.names), notes=(*images.notes, *others))


def spread(rows: Sequence[Row], count: int) -> tuple[Row, ...]:
    """`count` rows with the mix of all: evenly in order of source, class, findings and view; repeated if necessary."""
    ordered = sorted(rows, key=lambda row: (row.source, row.label, row.findings, row.view, row.sex, row.path.name))
    return tuple(ordered[i * len(ordered) // count] for i in range(count))


def warnings(generated: ImageSet, real: ImageSet) -> tuple[str, ...]:
    """What a reader must know of the images: unreadable ones, changes, and images that are in both sets."""
    notes = [*generated.notes, *real.notes]
    for images in (generated, real):
        notes += count_names(f"{images.name} images could not be read and were left out", images.skipped)
    both = num_shared(thumbnails(generated.images), thumbnails(real.images))
    if both:
        notes.append(
            f"{both:,} of {len(generated):,} generated images are also among the real ones: the set is compared with "
            "itself."
        )
    return tuple(notes)


def num_shared(some: Thumbnails, others: Thumbnails) -> int:
    """How many thumbnails of the first set occur unchanged in the second."""
    known = {other.tobytes() for other in others}
    return sum(thumbnail.tobytes() in known for thumbnail in some)
