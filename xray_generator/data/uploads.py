"""A visitor's images, alone or in one ZIP, unpacked into a folder of its own and read as a dataset.

How foreign files get there safely is the matter of `uploads_unpacking`; here they are read, and each image is decoded
once, so that what cannot be read is known at the start.
"""

from __future__ import annotations

import io
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from xray_generator.data.captioned import METADATA
from xray_generator.data.exploration import LOOSE_IMAGES, relative_name
from xray_generator.data.read import PROJECTIONS, REPORTS, read_dataset
from xray_generator.data.rows import Dataset, Row, short_side
from xray_generator.data.uploads_unpacking import MB, TABLES, Caps, Intake, unpack, write
from xray_generator.images import FORMATS, header_pixels
from xray_generator.types import StudioError

PREFIX = "xray-upload"
MAX_UPLOAD_MB = 200  # as it arrives


@dataclass(frozen=True, slots=True)
class NamedBytes:
    """An uploaded file."""

    name: str
    data: bytes


class UploadFolder:
    """A temporary folder that is removed when it is closed, or forgotten, or the program ends.

    Its name holds the process, so that what a killed one left behind goes when the next folder is made.
    """

    def __init__(self) -> None:
        for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}-*-*"):
            if not _is_running(path.name.split("-")[2]):
                shutil.rmtree(path, ignore_errors=True)
        self.path = Path(tempfile.mkdtemp(prefix=f"{PREFIX}-{os.getpid()}-"))
        self.close = weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Upload:
    """What an upload holds, and the folder that keeps it alive."""

    folder: UploadFolder
    root: Path  # of the dataset, at or below the folder
    dataset: Dataset
    has_table: bool


def receive(files: Sequence[NamedBytes], caps: Caps | None = None) -> Upload:
    """Take in one ZIP, or any number of images; what cannot be used is listed in `dataset.skipped`.

    Raises:
        StudioError: nothing, a ZIP beside other files, a damaged or too large ZIP, a fault in a table, or not one
            readable image.
    """
    if not files:
        raise StudioError("Nothing was uploaded. Choose one ZIP, or image files.")
    zipped = [file for file in files if _is_zip(file)]
    if zipped and len(files) > 1:
        raise StudioError("Upload one ZIP alone, or image files without a ZIP.")
    folder = UploadFolder()
    try:
        intake = Intake(folder.path, caps or Caps())
        if zipped:
            unpack(zipped[0].data, intake)
        else:
            _take_files(files, intake)
        return _read(folder, intake)
    except (OSError, StudioError) as error:
        folder.close()
        if isinstance(error, OSError):
            raise StudioError(f"The upload could not be kept: {error.strerror or type(error).__name__}.") from error
        raise


def _is_running(process: str) -> bool:
    """Whether a process of this number runs; also where that cannot be told."""
    if os.name != "posix" or not process.isdecimal():
        return True
    try:
        os.kill(int(process), 0)  # asks, and sends nothing
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _is_zip(file: NamedBytes) -> bool:
    return PurePosixPath(file.name).suffix.lower() == ".zip" or file.data[:4] in (b"PK\x03\x04", b"PK\x05\x06")


def _take_files(files: Sequence[NamedBytes], intake: Intake) -> None:
    if len(files) > intake.caps.members:
        raise StudioError(f"{len(files):,} files were uploaded; at most {intake.caps.members:,} are taken.")
    for file in files:
        name = PurePosixPath(file.name.replace("\\", "/")).name
        if name.lower().endswith(".csv"):
            intake.leave_out("tables need a ZIP together with their images", name)
        else:
            write(name, io.BytesIO(file.data), intake)


def _read(folder: UploadFolder, intake: Intake) -> Upload:
    root = _find_root(intake.written)
    if root is None:
        tables = [path.name for path in intake.written if path.name in TABLES]
        if tables:
            intake.left_out["tables stand alone: the Indiana layout needs both"] = tables
        images = sorted(path for path in intake.written if path.name not in TABLES)
        dataset = Dataset(tuple(map(_loose_row, images)))
    else:
        dataset = read_dataset(root)
        rows = {row.path for row in dataset.rows}
        unlisted = [path.name for path in intake.written if path.name not in TABLES and path not in rows]
        if unlisted:
            intake.left_out["images stand in no table, or their row was left out"] = unlisted
    dataset = _readable(dataset, intake)
    if not dataset.rows:
        raise StudioError(f"The upload holds no readable image ({', '.join(FORMATS)}). {'; '.join(dataset.skipped)}")
    return Upload(folder, root or folder.path, dataset, has_table=root is not None)


def _find_root(paths: Iterable[Path]) -> Path | None:
    """The outermost folder that holds a layout, the first by name; None where there are only images."""
    tables: dict[Path, set[str]] = {}
    for path in paths:
        tables.setdefault(path.parent, set()).add(path.name)
    roots = [folder for folder, names in tables.items() if METADATA in names or {REPORTS, PROJECTIONS} <= names]
    return min(roots, key=lambda folder: (len(folder.parts), folder.name), default=None)


def _loose_row(path: Path) -> Row:
    return Row(path, "", (), source=LOOSE_IMAGES, native_size=short_side(path))


def _readable(dataset: Dataset, intake: Intake) -> Dataset:
    """The rows whose images can be decoded; decoding ends where the pixels of all images exceed the cap."""
    rows = []
    pixels, most = 0, intake.caps.total_pixels
    for row in dataset.rows:
        name = relative_name(row.path, intake.folder)
        pixels += header_pixels(row.path)
        if pixels > most:
            intake.leave_out(f"images are beyond the {most / MB:,.0f} megapixels that are taken in all", name)
            continue
        try:
            row.image()
            rows.append(row)
        except StudioError as error:
            reason = str(error).removeprefix(f"{row.path.name}: ").rstrip(".")
            intake.leave_out(f"images cannot be read ({reason})", name)
    return Dataset(tuple(rows), (*dataset.skipped, *intake.skipped()))
