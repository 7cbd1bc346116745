"""Volumes of MRI, of which slices are exported: MRNet's arrays, NIfTI files and DICOM series.

The units of MRI are arbitrary, so each volume is scaled to [0, 1] by its own least and greatest value.

MRNet (Bien et al. 2018, PLoS Medicine 15(11): e1002699; its terms of use forbid passing it on): `train/` and `valid/`,
in each a folder a plane with one array (slices, 256, 256) an exam, and beside them a table an exam's finding,
`train-abnormal.csv`, `train-acl.csv`, `train-meniscus.csv`, without a header: number of the exam, 0 or 1. Here an exam
is one patient, occurs once however many tables name it, and is of one class (`CLASSES`).

NIfTI: `.nii` and `.nii.gz` at any depth. The class is the folder below the root if there are two or more such folders
and they are not named as patients (`sub-01`, as in BIDS) or splits, which are read as such. Masks are left out.

DICOM: series of modality MR at any depth, in the plane in which they were made; classes and splits by folders, as of
NIfTI. See `dicom_series` for what is refused.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from xray_generator.data.class_folders import class_id
from xray_generator.data.dicom_series import NAMED, SeriesFile, find_series
from xray_generator.data.files import list_files
from xray_generator.data.masks import names_masks
from xray_generator.data.rows import Split, named_split, split_by_patient
from xray_generator.data.tables import count_names, read_text
from xray_generator.dicom import Header, check_placed, read_values
from xray_generator.dicom.header import turn_to_patient
from xray_generator.types import StudioError

Plane = Literal["axial", "coronal", "sagittal"]
PLANES: tuple[Plane, ...] = get_args(Plane)
AXES: Mapping[Plane, int] = MappingProxyType({"sagittal": 0, "coronal": 1, "axial": 2})  # of right, anterior, superior
MRNET_SPLITS: Mapping[str, Split] = MappingProxyType({"train": "train", "valid": "val"})
TASKS = ("abnormal", "acl", "meniscus")
CLASSES: Mapping[tuple[bool, bool], str] = MappingProxyType(  # (acl, meniscus) -> class of an abnormal exam
    {
        (True, True): "acl_and_meniscus_tear",
        (True, False): "acl_tear",
        (False, True): "meniscus_tear",
        (False, False): "other_abnormality",
    }
)
NIFTI = re.compile(r"(.+)\.nii(?:\.gz)?", re.IGNORECASE)
PATIENT = re.compile(r"sub-[a-z0-9]+", re.IGNORECASE)  # as BIDS names a patient's folder and files
MAX_VOXELS = 2**29


@dataclass(frozen=True, slots=True)
class Volume:
    """One scan in one plane; its slices are read on demand."""

    name: str  # that no other volume has
    plane: Plane
    patient_id: str
    split: Split
    label: str  # the class; empty: not known
    read: Callable[[], NDArray[np.float32]]  # (slices, H, W) in [0, 1], as radiologists view them


def find_volumes(
    folder: Path, planes: Sequence[Plane] = (), *, accept_identified: bool = False
) -> tuple[tuple[Volume, ...], tuple[str, ...]]:
    """The volumes of a folder, and sentences on what was left out.

    Args:
        folder: of MRNet, or with NIfTI files, or with DICOM series.
        planes: that are wanted; none: all that MRNet and DICOM have, axial ones of NIfTI.
        accept_identified: use DICOM files that may identify the patient.

    Raises:
        StudioError: no such folder, no volume, or a fault in a table.
    """
    if not folder.is_dir():
        raise StudioError(f"The folder {folder} does not exist.")
    planes = tuple(dict.fromkeys(planes))
    if is_mrnet(folder):
        volumes, notes = _find_mrnet(folder, planes or PLANES)
    elif any(NIFTI.fullmatch(path.name) for path in list_files(folder)):
        volumes, notes = _find_nifti(folder, planes or ("axial",))
    else:
        volumes, notes = _find_dicom(folder, planes or PLANES, accept_identified=accept_identified)
    if not volumes:
        raise StudioError(
            f"{folder} holds no volume: neither the folders and tables of MRNet, nor NIfTI files, nor MRI in DICOM. "
            f"{'; '.join(notes[:NAMED])}".strip()
        )
    return _number_repeated(volumes), notes


def _number_repeated(volumes: Sequence[Volume]) -> tuple[Volume, ...]:
    """Volumes whose names differ, also in file systems that ignore capitals."""
    taken: set[str] = set()
    found = []
    for volume in volumes:
        names = (f"{volume.name}{f'-{i}' if i else ''}" for i in range(len(taken) + 1))
        name = next(name for name in names if name.lower() not in taken)
        taken.add(name.lower())
        found.append(replace(volume, name=name))
    return tuple(found)


def is_mrnet(folder: Path) -> bool:
    """Whether a folder has an array in MRNet's places, and a table of its labels."""
    parts = [folder / split / plane for split in MRNET_SPLITS for plane in PLANES]
    tables = [folder / f"{split}-{task}.csv" for split in MRNET_SPLITS for task in TASKS]
    return any(path.is_file() for path in tables) and any(any(part.glob("*.npy")) for part in parts if part.is_dir())


def _find_mrnet(folder: Path, planes: Sequence[Plane]) -> tuple[tuple[Volume, ...], tuple[str, ...]]:
    volumes: list[Volume] = []
    unknown: list[str] = []
    exams = [{path.stem for path in (folder / split).glob("*/*.npy")} for split in MRNET_SPLITS]
    if twice := sorted(exams[0] & exams[1]):
        places = " and in ".join(MRNET_SPLITS)
        raise StudioError(f"The exams {', '.join(twice[:NAMED])} are in {places}; each belongs in one of them.")
    for name, split in MRNET_SPLITS.items():
        labels = {task: _read_labels(folder / f"{name}-{task}.csv") for task in TASKS}
        for plane in planes:
            for path in sorted((folder / name / plane).glob("*.npy")):
                label = _exam_class([labels[task].get(path.stem) for task in TASKS])
                if not label:
                    unknown.append(f"{name}/{plane}/{path.name}")
                read = partial(_read_array, path)
                volumes.append(Volume(f"{path.stem}_{plane}", plane, path.stem, split, label, read))
    return tuple(volumes), count_names(f"exams lack a label in {', '.join(TASKS)}: their class is not known", unknown)


def _exam_class(found: Sequence[bool | None]) -> str:
    """The class of an exam: abnormal, acl, meniscus; empty where one of them is not known."""
    abnormal, acl, meniscus = found
    if abnormal is None or acl is None or meniscus is None:
        return ""
    return CLASSES[acl, meniscus] if abnormal or acl or meniscus else "normal"


def _read_labels(path: Path) -> dict[str, bool]:
    """Exam -> whether it has the finding; nothing where there is no table."""
    if not path.is_file():
        return {}
    labels: dict[str, bool] = {}
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        cells = [cell.strip().strip('"') for cell in line.split(",")]
        if cells == [""]:
            continue
        exam, value = (cells[0].zfill(4), cells[1]) if len(cells) == 2 else ("", "")
        if not exam.isdecimal() or value not in ("0", "1"):
            if number == 1 and not cells[0].isdecimal():
                continue  # a header, which some copies have
            raise StudioError(f"{path.name}, line {number}: not the number of an exam and 0 or 1.")
        if labels.setdefault(exam, value == "1") != (value == "1"):
            raise StudioError(f"{path.name}, line {number}: exam {exam} is 0 and 1.")
    return labels


def _read_array(path: Path) -> NDArray[np.float32]:
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # noqa: BLE001 - foreign bytes: its header is parsed as Python
        raise StudioError(f"{path.name} is not a NumPy array: {_reason(error)}") from None
    if not isinstance(values, np.ndarray):
        raise StudioError(f"{path.name} is an archive of arrays; one array in a file is read.")
    return _scale(_check(values, path))


def _reason(error: Exception) -> str:
    """The first line of what a library says, at most 100 characters."""
    return (next(iter(str(error).splitlines()), "") or type(error).__name__)[:100]


def _find_nifti(folder: Path, planes: Sequence[Plane]) -> tuple[tuple[Volume, ...], tuple[str, ...]]:
    files = [path for path in list_files(folder) if NIFTI.fullmatch(path.name)]
    masks = [path for path in files if any(map(names_masks, (_stem(path), *_parts(path, folder))))]
    files = sorted(set(files) - set(masks))
    labels = _folder_classes(files, folder)
    volumes, nameless = [], []
    for path in files:
        match = PATIENT.search(path.relative_to(folder).as_posix())
        patient_id = match[0] if match else path.relative_to(folder).with_name(_stem(path)).as_posix()
        nameless += [] if match else [path.name]
        name = re.sub(r"[^\w-]+", "_", path.relative_to(folder).with_name(_stem(path)).as_posix())
        split = _split_of(path, folder, patient_id)
        for plane in planes:
            read = partial(_read_nifti, path, plane)
            volumes.append(Volume(f"{name}_{plane}", plane, patient_id, split, labels.get(path, ""), read))
    notes = (
        *count_names("files are masks", [path.name for path in masks]),
        *count_names("files name no patient (sub-01, as in BIDS), so each counts as one", nameless),
    )
    return tuple(volumes), notes


def _find_dicom(
    folder: Path, planes: Sequence[Plane], *, accept_identified: bool
) -> tuple[tuple[Volume, ...], tuple[str, ...]]:
    series, notes = find_series(folder, _check_mr, accept_identified=accept_identified)
    labels = _folder_classes([files[0].path for files in series], folder)
    volumes = []
    for number, files in enumerate(series):
        first = files[0]
        plane, patient_id = first.header.plane, first.patient_id(folder)
        if plane in planes and plane:
            name = re.sub(r"[^\w-]+", "_", f"{patient_id}_{number:03d}_{plane}")
            split, read = _split_of(first.path, folder, patient_id), partial(_read_dicom, files)
            volumes.append(Volume(name, plane, patient_id, split, labels.get(first.path, ""), read))
    return tuple(volumes), notes


def _check_mr(header: Header) -> None:
    if header.modality != "MR":
        raise StudioError(f"The modality is {header.modality or 'not stated'}; only MR is exported.")
    check_placed(header)
    if not header.plane:
        raise StudioError("The slice is oblique; only axial, coronal and sagittal ones are exported.")


def _read_dicom(files: Sequence[SeriesFile]) -> NDArray[np.float32]:
    """Turned to the patient where axial; the other planes as the scanner stored them."""
    values = np.stack([read_values(file.path) for file in files])
    scaled = _scale(_check(values, files[0].path))
    header = files[0].header
    if header.plane == "axial":
        scaled = np.stack([turn_to_patient(one, header.orientation) for one in scaled])
    return np.stack(list(_make_square(scaled, *(header.spacing_mm or (0.0, 0.0)))))


def _split_of(path: Path, folder: Path, patient_id: str) -> Split:
    """The split that a folder names, else that of the patient."""
    stated = [split for split in map(named_split, _parts(path, folder)) if split is not None]
    return stated[0] if stated else split_by_patient(patient_id)


def _stem(path: Path) -> str:
    match = NIFTI.fullmatch(path.name)
    return match[1] if match else path.stem


def _parts(path: Path, folder: Path) -> tuple[str, ...]:
    return path.relative_to(folder).parts[:-1]


def _folder_classes(files: Sequence[Path], folder: Path) -> dict[Path, str]:
    """The class of each file by the first folder that names no split; none where there are not two, or patients."""
    first = {path: next((p for p in _parts(path, folder) if not named_split(p)), "") for path in files}
    names = {name for name in first.values() if name}
    if len(names) < 2 or any(map(PATIENT.fullmatch, names)):
        return {}
    return {path: class_id(name) for path, name in first.items()}


def _read_nifti(path: Path, plane: Plane) -> NDArray[np.float32]:
    """The slices of a plane from the patient's right, back or feet on; pixels are made square."""
    import nibabel

    try:
        stored: Any = nibabel.load(path)
        _check_size(stored.shape, path)  # before its values are read
        image: Any = nibabel.as_closest_canonical(stored)  # type: ignore[no-untyped-call]
        values = np.asarray(image.dataobj)
        values = values[..., 0] if values.ndim == 4 and values.shape[3] == 1 else values
        zooms = [float(zoom) for zoom in image.header.get_zooms()[:3]]
    except StudioError:
        raise
    except Exception as error:  # noqa: BLE001 - foreign bytes: nibabel raises many kinds
        raise StudioError(f"{path.name} cannot be read as NIfTI: {_reason(error)}") from None
    axis = AXES[plane]
    scaled = np.moveaxis(_scale(_check(values, path)), axis, 0)
    turned = scaled.transpose(0, 2, 1)[:, ::-1, ::-1]  # down to the feet or the back, right to the patient's left
    across, down = (zoom for place, zoom in enumerate(zooms) if place != axis)
    return np.stack(list(_make_square(turned, down, across)))


def _make_square(slices: NDArray[np.float32], down: float, across: float) -> Iterator[NDArray[np.float32]]:
    """Enlarge the side along which pixels are longer; millimeters of a pixel, of which 0 or less says nothing."""
    height, width = slices.shape[1:]
    if min(down, across) > 0:
        height, width = round(height * down / min(down, across)), round(width * across / min(down, across))
    for one in slices:
        pixels = np.ascontiguousarray(one)
        if pixels.shape != (height, width):
            pixels = np.clip(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR), 0.0, 1.0)
        yield pixels


def _check(values: NDArray[Any], path: Path) -> NDArray[Any]:
    """Refuse what is no stack of gray slices."""
    if values.ndim != 3 or 0 in values.shape:
        shape = " x ".join(map(str, values.shape)) or "nothing"
        raise StudioError(f"{path.name} holds {shape}; a volume has three sides, and one value at each place.")
    _check_size(values.shape, path)
    if values.dtype.kind not in "iuf" or not np.isfinite(values).all():
        raise StudioError(f"{path.name} holds values that are not numbers.")
    return values


def _check_size(shape: Sequence[int], path: Path) -> None:
    if (size := math.prod(shape)) > MAX_VOXELS:
        raise StudioError(f"{path.name} holds {size:,} values; at most {MAX_VOXELS:,} are read.")


def _scale(values: NDArray[Any]) -> NDArray[np.float32]:
    """A volume in [0, 1] by its least and greatest value; black where they are one."""
    low, high = float(values.min()), float(values.max())
    return np.asarray((values - low) / (high - low) if high > low else np.zeros(values.shape), np.float32)


def count_by_class(volumes: Sequence[Volume]) -> dict[str, int]:
    """Class -> patients, each once."""
    patients: dict[str, set[str]] = defaultdict(set)
    for volume in volumes:
        patients[volume.label or "not known"].add(volume.patient_id)
    return {label: len(ids) for label, ids in sorted(patients.items())}
