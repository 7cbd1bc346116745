"""Rows: whatever the layout on disk, a dataset is a tuple of rows whose images are read on demand."""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeVar, get_args

from PIL import Image as PILImage

from xray_generator.dicom import read_slice
from xray_generator.dicom.hounsfield import Window
from xray_generator.images import read_image
from xray_generator.types import Image, StudioError

Split = Literal["train", "val", "test"]
SPLIT_NAMES: Mapping[str, Split] = MappingProxyType(
    {
        **dict.fromkeys(("train", "training"), "train"),
        **dict.fromkeys(("val", "valid", "validate", "validation", "dev", "development", "eval", "evaluation"), "val"),
        **dict.fromkeys(("test", "testing", "holdout"), "test"),
    }
)
SPLIT_NAME = re.compile(
    rf"(?:(?:data|images)[ _-]*)?({'|'.join(SPLIT_NAMES)})(?:[ _-]*(?:sets?|data|images|imgs|splits?))?"
)
SEX_NAMES = MappingProxyType({"F": "female", "M": "male"})
T = TypeVar("T")
LOOSE_IMAGES = "images without a table"  # the source of rows of which only the image is known
COMMON = 1 / 8  # share of the rows above which a condition is never repeated

FINDINGS = (
    "no_finding",
    "atelectasis",
    "cardiomegaly",
    "consolidation",
    "edema",
    "pleural_effusion",
    "emphysema",
    "fibrosis",
    "hernia",
    "infiltration",
    "mass",
    "nodule",
    "pleural_thickening",
    "pneumonia",
    "pneumothorax",
    "bacterial_pneumonia",
    "viral_pneumonia",
    "fungal_pneumonia",
    "covid19",
    "ards",
    "airspace_opacity",
    "support_devices",
)
SUBTYPES = ("bacterial_pneumonia", "viral_pneumonia", "fungal_pneumonia")  # always labeled together with pneumonia
SEARCHED = {  # the findings that a source states for every labeled image: absent where not listed
    "nih_chestxray14": FINDINGS[: FINDINGS.index("pneumothorax") + 1],
    "kermany_pediatric": ("no_finding", "pneumonia", "bacterial_pneumonia", "viral_pneumonia"),
}
AGE_GROUPS = {"child": (0, 12), "adolescent": (13, 17), "adult": (18, 64), "older_adult": (65, 120)}  # years


@dataclass(frozen=True, slots=True)
class Row:
    """One image and what is known about it; an empty string or None means "not known"."""

    path: Path
    prompt: str
    findings: tuple[str, ...]  # present, from FINDINGS
    absent: tuple[str, ...] = ()  # explicitly denied, from FINDINGS; all other findings are unknown
    view: str = ""  # AP, PA, AP Supine
    age: int | None = None  # years
    sex: Literal["M", "F", ""] = ""
    age_group: str = ""  # one of AGE_GROUPS
    patient_id: str = ""
    split: Split = "train"
    source: str = ""
    license: str = ""
    report: str = ""  # findings and impression, where there is a report
    native_size: int = 0  # short side in pixels of the file or the original, whichever is smaller; 0: not known
    label: str = ""  # the class, in a dataset with classes
    hu_window: Window | None = None  # maps a CT slice from Hounsfield units to [0, 1]

    def image(self, notes: list[str] | None = None) -> Image:
        """Read the image: (H, W) in [0, 1], with `notes` as for `read_image`; StudioError with the file's name."""
        try:
            if self.hu_window is not None:
                return self.hu_window.apply(read_slice(self.path).hu)
            return read_image(self.path, notes)
        except (StudioError, OSError) as error:
            raise StudioError(f"{self.path.name}: {error}") from error


@dataclass(frozen=True, slots=True)
class Dataset:
    """Rows, and a sentence for each reason why files were left out."""

    rows: tuple[Row, ...]
    skipped: tuple[str, ...] = ()

    @property
    def is_loose(self) -> bool:
        """Whether only the images are known: they came without a table and without class folders."""
        return all(row.source == LOOSE_IMAGES for row in self.rows)

    def split(self, name: Split) -> tuple[Row, ...]:
        """The rows of one split."""
        return tuple(row for row in self.rows if row.split == name)

    def head(self, count: int) -> Dataset:
        """At most `count` rows of each split, taking classes in turn."""
        rows = tuple(row for name in get_args(Split) for row in _in_turn(self.split(name))[:count])
        return Dataset(rows, self.skipped)

    def meeting(self, conditions: Iterable[str]) -> Dataset:
        """The images that meet one of the conditions, named as by `row_conditions`; without conditions, all of them.

        Raises:
            StudioError: a condition that no image meets.
        """
        wanted = set(conditions)
        if not wanted:
            return self
        known = known_conditions(self.rows)
        if unknown := sorted(wanted.difference(known)):
            raise StudioError(f"No image is of {unknown[0]!r}. The data hold: {', '.join(known) or 'nothing'}.")
        return Dataset(tuple(row for row in self.rows if wanted.intersection(row_conditions(row))), self.skipped)

    def without(self, paths: Iterable[Path], reason: str) -> Dataset:
        """The dataset without some files, which are listed as skipped."""
        dropped = set(paths)
        kept = tuple(row for row in self.rows if row.path not in dropped)
        return Dataset(kept, (*self.skipped, *(f"{path.name}: {reason}" for path in sorted(dropped))))


def _in_turn(rows: Sequence[Row]) -> list[Row]:
    """The first row of each class, then the second of each class, and so on."""
    seen: Counter[str] = Counter()
    turns = []
    for row in rows:
        turns.append(seen[row.label])
        seen[row.label] += 1
    return [row for _, row in sorted(zip(turns, rows, strict=True), key=lambda pair: pair[0])]


def row_conditions(row: Row) -> tuple[str, ...]:
    """The conditions that a row meets: its class, findings, view (AP or PA), sex and age group."""
    return tuple(name for name in (row.label, *row.findings, row.view[:2], row.sex, row.age_group) if name)


def known_conditions(rows: Iterable[Row]) -> tuple[str, ...]:
    """Every condition that one of the rows meets, in alphabetical order."""
    return tuple(sorted({name for row in rows for name in row_conditions(row)}))


def denied_findings(row: Row) -> tuple[str, ...]:
    """The findings that a row is known to lack: denied, or searched for by its source and not found."""
    searched = SEARCHED.get(row.source, ()) if row.findings else ()
    return tuple(name for name in FINDINGS if name in (*row.absent, *searched) and name not in row.findings)


def class_names(rows: Iterable[Row]) -> tuple[str, ...]:
    """The classes of the rows, in alphabetical order."""
    return tuple(sorted({row.label for row in rows if row.label}))


def require_classes(rows: Iterable[Row], labels: Iterable[str]) -> None:
    """StudioError where one of the labels is the class of no row."""
    found = class_names(rows)
    if missing := sorted(set(labels) - set(found)):
        known = ", ".join(found) or "no class"
        raise StudioError(f"No training image is of the class {missing[0]!r}. The data hold: {known}.")


def repeat_rare(drawn: Sequence[Row], rows: Sequence[Row], repeats: int) -> list[Row]:
    """Repeat the rows of rare conditions: each of `drawn` sqrt(COMMON / share) times, from 1 to `repeats`.

    `share` is that of the row's rarest condition among `rows`.
    """
    counts = Counter(name for row in rows for name in row_conditions(row))

    def times(row: Row) -> int:
        rarest = min((counts[name] for name in row_conditions(row)), default=len(rows))
        return max(1, min(repeats, round(math.sqrt(COMMON * len(rows) / rarest))))

    return [row for row in drawn for _ in range(times(row))]


def evenly(items: Sequence[T], count: int) -> tuple[T, ...]:
    """At most `count` items, evenly spaced, starting with the first."""
    count = min(count, len(items))
    return tuple(items[i * len(items) // count] for i in range(count))


def short_side(path: Path) -> int:
    """The shorter side of a PNG, JPEG or TIFF file in pixels, from its header; 0 if that cannot be read."""
    try:
        with PILImage.open(path, formats=["PNG", "JPEG", "TIFF"]) as picture:
            return min(picture.size)
    except (OSError, ValueError, SyntaxError, PILImage.DecompressionBombError):  # DICOM, or damaged: see data.health
        return 0


def named_split(name: str) -> Split | None:
    """The split that a name states, such as "valid", "Training" or "test_set"; None where it names no split."""
    match = SPLIT_NAME.fullmatch(name.strip().lower())
    return SPLIT_NAMES[match[1]] if match else None


def split_by_patient(patient_id: str) -> Split:
    """The split of a patient, about 90 / 5 / 5, by the SHA-1 of the id: independent of machine and order."""
    share = int.from_bytes(hashlib.sha1(patient_id.encode(), usedforsecurity=False).digest()[:4]) / 2**32
    return "train" if share < 0.90 else "val" if share < 0.95 else "test"


def finding_name(finding: str) -> str:
    """The words for a finding of FINDINGS: "pleural effusion", "COVID-19"."""
    return {"covid19": "COVID-19", "ards": "ARDS"}.get(finding, finding.replace("_", " "))
