"""A visitor's images, alone or in one ZIP, unpacked into a temporary folder and read as a dataset.

Uploads are not trusted: only files named as images or as a known table are written, under cleaned names, within caps
and never outside the folder. Links, encrypted members and paths that lead elsewhere are left out and listed. Each image
is decoded once, so that unreadable ones are listed at the start.
"""

from __future__ import annotations

import io
import lzma
import os
import re
import shutil
import stat
import tempfile
import unicodedata
import weakref
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import IO

from xray_generator.data.captioned import METADATA, READING
from xray_generator.data.class_folders import find_classes
from xray_generator.data.exploration import relative_name
from xray_generator.data.files import PICTURES, is_clutter
from xray_generator.data.listed import EXTRA
from xray_generator.data.read import PROJECTIONS, REPORTS, read_dataset
from xray_generator.data.rows import LOOSE_IMAGES, Dataset, Row, short_side
from xray_generator.data.tables import count_reasons
from xray_generator.dicom import is_dicom
from xray_generator.images import FORMATS, header_pixels
from xray_generator.types import StudioError

PREFIX = "xray-upload"
UPLOAD = "upload"  # the source of class folders that lie in no folder
MAX_UPLOAD_MB = 200  # as it arrives
MB = 1_000_000
TABLES = (METADATA, "metadata_128.csv", EXTRA, READING, REPORTS, PROJECTIONS)
MAX_NAME_BYTES = 150
MAX_DEPTH = 8
BLOCK = 1 << 16
START = 132  # bytes that tell whether a file is DICOM


@dataclass(frozen=True, slots=True)
class NamedBytes:
    """An uploaded file."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Caps:
    """Limits of an upload."""

    members: int = 12_000
    total_bytes: int = 1_000 * MB  # uncompressed
    table_bytes: int = 30 * MB
    total_pixels: int = 2_000 * MB  # of all images together; of one image: dicom.MAX_PIXELS
    free_pixels: int = 200 * MB  # of these, whatever the upload's size: more only as its bytes allow
    pixels_per_byte: int = 50  # X-rays have up to 20: a small upload must not cost minutes of decoding

    def pixels(self, num_bytes: int) -> int:
        """How many pixels are decoded of an upload of so many bytes as it arrived."""
        return min(self.total_pixels, max(self.free_pixels, self.pixels_per_byte * num_bytes))


class UploadFolder:
    """A temporary folder, removed when it is closed or garbage-collected, or when the program ends.

    Its name holds the process id; making a folder also removes those that killed processes left behind.
    """

    def __init__(self) -> None:
        for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}-*-*"):
            if not _is_running(path.name.split("-")[2]):
                shutil.rmtree(path, ignore_errors=True)
        self.path = Path(tempfile.mkdtemp(prefix=f"{PREFIX}-{os.getpid()}-"))
        self.close = weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Upload:
    """An uploaded dataset, and the folder that exists as long as this object does."""

    folder: UploadFolder
    root: Path  # of the dataset, at or below the folder
    dataset: Dataset


@dataclass(slots=True)
class Intake:
    """Files written to `folder` so far, and the names of those left out, by reason."""

    folder: Path
    caps: Caps
    written: list[Path] = field(default_factory=list)
    left_out: dict[str, list[str]] = field(default_factory=dict)
    num_bytes: int = 0

    def leave_out(self, reason: str, name: str) -> None:
        """Note a file that is not used."""
        name = PurePosixPath(name.replace("\\", "/")).name[-MAX_NAME_BYTES:]
        self.left_out.setdefault(reason, []).append(_clean(name))


def receive(files: Sequence[NamedBytes], caps: Caps | None = None) -> Upload:
    """Take in one ZIP, or any number of images; `dataset.skipped` lists what cannot be used.

    Raises:
        StudioError: no file, a ZIP together with other files, a damaged or too large ZIP, a fault in a table, or not
            one readable image.
    """
    if not files:
        raise StudioError("Nothing was uploaded. Choose one ZIP, or image files.")
    zipped = [file for file in files if _is_zip(file)]
    if zipped and len(files) > 1:
        raise StudioError("Upload one ZIP alone, or image files without a ZIP. Remove the others from the list first.")
    folder = UploadFolder()
    try:
        intake = Intake(folder.path, caps or Caps())
        if zipped:
            _unpack(zipped[0].data, intake)
        else:
            _take_files(files, intake)
        return _read(folder, intake, intake.caps.pixels(sum(len(file.data) for file in files)))
    except (OSError, StudioError) as error:
        folder.close()
        if isinstance(error, OSError):
            raise StudioError(f"The upload could not be stored: {error.strerror or type(error).__name__}.") from error
        raise


def _is_running(process: str) -> bool:
    """Whether a process of this id runs; True where that cannot be determined."""
    if os.name != "posix" or not process.isdecimal():
        return True
    try:
        os.kill(int(process), 0)  # signal 0 only checks
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _is_zip(file: NamedBytes) -> bool:
    return PurePosixPath(file.name).suffix.lower() == ".zip" or file.data[:4] in (b"PK\x03\x04", b"PK\x05\x06")


def _take_files(files: Sequence[NamedBytes], intake: Intake) -> None:
    if len(files) > intake.caps.members:
        raise StudioError(f"{len(files):,} files were uploaded; at most {intake.caps.members:,} are allowed.")
    for file in files:
        name = PurePosixPath(file.name.replace("\\", "/")).name
        if reason := _name_fault(PurePosixPath(name)):
            intake.leave_out(reason, name)
        elif name.lower().endswith(".csv"):
            intake.leave_out("tables need a ZIP together with their images", name)
        else:
            _write(name, io.BytesIO(file.data), intake)


def _unpack(data: bytes, intake: Intake) -> None:
    """Write the images and tables of a ZIP; StudioError where it is damaged or exceeds the caps as a whole."""
    caps = intake.caps
    too_many = StudioError(f"The ZIP holds too many files; at most {caps.members:,} are allowed.")
    if data.count(b"PK\x01\x02") > 2 * caps.members:  # entries of the index, counted before it is parsed
        raise too_many
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [member for member in archive.infolist() if not member.filename.endswith(("/", "\\"))]
            if len(members) > caps.members:
                raise too_many
            total = sum(member.file_size for member in members) / MB
            if total * MB > caps.total_bytes:
                most = f"at most {caps.total_bytes / MB:,.0f} MB are allowed"
                raise StudioError(f"Unpacked, the ZIP would take {total:,.0f} MB; {most}.")
            for member in members:
                if reason := _refusal(member, caps):
                    intake.leave_out(reason, member.filename)
                elif not _is_clutter(member.filename):
                    _write_member(archive, member, intake)
    except StudioError:
        raise
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError) as error:
        raise StudioError("The ZIP is damaged or cut short. Create it again and upload it once more.") from error


def _refusal(member: zipfile.ZipInfo, caps: Caps) -> str:
    """Why a member of a ZIP is not written; empty where it may be."""
    name, kind = PurePosixPath(member.filename.replace("\\", "/")), stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        return "members are links or devices"
    if member.flag_bits & 0x1:
        return "members are encrypted"
    if name.is_absolute() or ".." in name.parts or re.match(r"[A-Za-z]:", member.filename):
        return "members have a path that leads out of the ZIP"
    if reason := _name_fault(name):
        return reason
    if name.suffix.lower() == ".csv":
        if name.name not in TABLES:
            return f"tables are not named {', '.join(TABLES)}"
        return "tables are too large" if member.file_size > caps.table_bytes else ""
    return ""


def _name_fault(name: PurePosixPath) -> str:
    """Why no file is written under this path; empty where one may be."""
    if not name.parts:
        return "files have no name"
    if len(name.parts) > MAX_DEPTH or any(len(part.encode(errors="replace")) > MAX_NAME_BYTES for part in name.parts):
        return f"files lie deeper than {MAX_DEPTH} folders or have a name of more than {MAX_NAME_BYTES} bytes"
    return ""


def _is_clutter(name: str) -> bool:
    """Whether a file is hidden or added by an operating system: it is left out without a note."""
    return any(map(is_clutter, PurePosixPath(name.replace("\\", "/")).parts))


def _write_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, intake: Intake) -> None:
    try:
        with archive.open(member) as stream:
            name = PurePosixPath(member.filename.replace("\\", "/"))
            start = b"" if name.suffix.lower() in (*PICTURES, ".csv") else stream.read(START)
            if start and not is_dicom(start):
                intake.leave_out("files are not images", member.filename)
            else:
                _write(str(name), stream, intake, start)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error, lzma.LZMAError, EOFError):
        intake.leave_out("members are damaged or compressed by an unknown method", member.filename)


def _write(name: str, stream: IO[bytes], intake: Intake, start: bytes = b"") -> None:
    """Write `start` and the stream under a cleaned name; StudioError when the upload exceeds its bytes."""
    target = intake.folder.joinpath(*(_clean(part) for part in PurePosixPath(name).parts))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            try:
                while block := start + stream.read(BLOCK):
                    start = b""
                    intake.num_bytes += len(block)
                    if intake.num_bytes > intake.caps.total_bytes:
                        most = f"{intake.caps.total_bytes / MB:,.0f} MB"
                        raise StudioError(f"The upload is larger than {most}, the most that is allowed.")
                    file.write(block)
            except BaseException:
                target.unlink()
                raise
    except (FileExistsError, NotADirectoryError):
        intake.leave_out("files repeat a name", name)
    else:
        intake.written.append(target)


def _clean(part: str) -> str:
    """A file name without control characters, and without those that are special to some operating system."""
    part = unicodedata.normalize("NFC", part)
    kept = "".join("_" if c in '<>:"/\\|?*' or unicodedata.category(c)[0] == "C" else c for c in part)
    return kept.strip(". ") or "_"


def _read(folder: UploadFolder, intake: Intake, max_pixels: int) -> Upload:
    root = _find_root(intake.written) or find_classes(folder.path)
    images = [path for path in intake.written if path.name not in TABLES]
    if root is None:
        if tables := [path.name for path in intake.written if path.name in TABLES]:
            intake.left_out["tables stand alone: the Indiana layout needs both"] = tables
        loose = (Row(path, "", (), source=LOOSE_IMAGES, native_size=short_side(path)) for path in sorted(images))
        dataset = Dataset(tuple(loose))
    else:
        dataset = read_dataset(root)
        if root == folder.path:  # class folders name their source by their parent: here by the server's own
            named = (replace(row, source=UPLOAD) if row.source == root.name else row for row in dataset.rows)
            dataset = Dataset(tuple(named), dataset.skipped)
        listed = {row.path for row in dataset.rows}
        if unlisted := [path.name for path in images if path not in listed]:
            intake.left_out["images are in no table or class folder, or were left out"] = unlisted
    rows = _decode(dataset.rows, intake, max_pixels)
    dataset = Dataset(rows, (*dataset.skipped, *count_reasons(intake.left_out)))
    if not rows:
        raise StudioError(f"The upload holds no readable image ({', '.join(FORMATS)}). {'; '.join(dataset.skipped)}")
    return Upload(folder, root or folder.path, dataset)


def _find_root(paths: Iterable[Path]) -> Path | None:
    """The outermost folder that holds the tables of a layout, the first by name; None where there are only images."""
    tables: dict[Path, set[str]] = {}
    for path in paths:
        tables.setdefault(path.parent, set()).add(path.name)
    roots = [folder for folder, names in tables.items() if METADATA in names or {REPORTS, PROJECTIONS} <= names]
    return min(roots, key=lambda folder: (len(folder.parts), folder.name), default=None)


def _decode(rows: Iterable[Row], intake: Intake, max_pixels: int) -> tuple[Row, ...]:
    """The rows whose images can be decoded, until the pixels of all images exceed `max_pixels`."""
    readable = []
    pixels = 0
    for row in rows:
        name = relative_name(row.path, intake.folder)
        pixels += header_pixels(row.path)
        if pixels > max_pixels:
            intake.leave_out(f"images exceed the {max_pixels / MB:,.0f} megapixels allowed for so many bytes", name)
            continue
        try:
            notes: list[str] = []
            row.image(notes)
            readable.append(row)
            for note in notes:
                intake.leave_out(f"images are used, though {note}", name)
        except StudioError as error:
            reason = str(error).removeprefix(f"{row.path.name}: ").rstrip(".")
            intake.leave_out(f"images cannot be read ({reason})", name)
    return tuple(readable)
