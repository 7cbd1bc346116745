"""Take foreign files into a folder: a ZIP's members or single files, under cleaned names and within caps.

Nothing of them is trusted: only what is named as an image or as a known table is written, never outside the folder;
links, encrypted members and paths that lead elsewhere are left out and counted.
"""

from __future__ import annotations

import io
import lzma
import re
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from xray_generator.data.captioned import METADATA
from xray_generator.data.read import PROJECTIONS, REPORTS
from xray_generator.data.tables import counted
from xray_generator.types import StudioError

MB = 1_000_000
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm", ".dicom", "")  # many DICOM files have none
TABLES = (METADATA, "metadata_128.csv", REPORTS, PROJECTIONS)
CLUTTER = ("__macosx", ".ds_store", "thumbs.db", "desktop.ini")
MAX_NAME_BYTES = 150
MAX_DEPTH = 8
BLOCK = 1 << 16


@dataclass(frozen=True, slots=True)
class Caps:
    """How much of an upload is taken."""

    members: int = 12_000
    total_bytes: int = 1_000 * MB  # uncompressed
    table_bytes: int = 30 * MB
    total_pixels: int = 2_000 * MB  # of all images together; one alone: images.MAX_PIXELS


@dataclass(slots=True)
class Intake:
    """Files on their way to disk, and what is left out with the reason."""

    folder: Path
    caps: Caps
    written: list[Path] = field(default_factory=list)
    left_out: dict[str, list[str]] = field(default_factory=dict)
    num_bytes: int = 0

    def leave_out(self, reason: str, name: str) -> None:
        """Note a file that is not taken."""
        self.left_out.setdefault(reason, []).append(
            _clean(PurePosixPath(name.replace("\\", "/")).name[-MAX_NAME_BYTES:])
        )

    def skipped(self) -> tuple[str, ...]:
        """A sentence for each reason, with the number of files and the first names."""
        return tuple(line for reason, names in self.left_out.items() for line in counted(reason, names))


def unpack(data: bytes, intake: Intake) -> None:
    """Write the images and tables of a ZIP; StudioError where it is damaged or exceeds the caps as a whole."""
    if data.count(b"PK\x01\x02") > 2 * intake.caps.members:  # each entry of the index: before it is read
        raise _too_many(intake.caps)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            _check_size(members, intake.caps)
            for member in members:
                if reason := _refusal(member, intake.caps):
                    intake.leave_out(reason, member.filename)
                elif not _is_clutter(member.filename):
                    _write_member(archive, member, intake)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError) as error:
        if isinstance(error, StudioError):
            raise
        raise StudioError("The ZIP is damaged or cut short. Pack it again and upload it once more.") from error


def _check_size(members: Sequence[zipfile.ZipInfo], caps: Caps) -> None:
    if len(members) > caps.members:
        raise _too_many(caps)
    total = sum(member.file_size for member in members)
    if total > caps.total_bytes:
        raise StudioError(
            f"Unpacked, the ZIP would take {total / MB:,.0f} MB; at most {caps.total_bytes / MB:,.0f} MB are taken."
        )


def _too_many(caps: Caps) -> StudioError:
    return StudioError(f"The ZIP holds too many files; at most {caps.members:,} are taken.")


def _refusal(member: zipfile.ZipInfo, caps: Caps) -> str:
    """Why a member of a ZIP is not written; empty where it is."""
    name, kind = PurePosixPath(member.filename.replace("\\", "/")), stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        return "members are links or devices"
    if member.flag_bits & 0x1:
        return "members are encrypted"
    if name.is_absolute() or ".." in name.parts or re.match(r"[A-Za-z]:", member.filename):
        return "members have a path that leads out of the ZIP"
    if len(name.parts) > MAX_DEPTH or any(len(part.encode(errors="replace")) > MAX_NAME_BYTES for part in name.parts):
        return f"members lie deeper than {MAX_DEPTH} folders or have a name of more than {MAX_NAME_BYTES} bytes"
    if name.suffix.lower() == ".csv":
        if name.name not in TABLES:
            return f"tables have another name than {', '.join(TABLES)}"
        return "tables are too large" if member.file_size > caps.table_bytes else ""
    return "" if name.suffix.lower() in SUFFIXES or _is_clutter(member.filename) else "files are no images"


def _is_clutter(name: str) -> bool:
    """What a computer packs along by itself: left out without a word."""
    return any(part in CLUTTER or part.startswith("._") for part in PurePosixPath(name.lower()).parts)


def _write_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, intake: Intake) -> None:
    try:
        with archive.open(member) as stream:
            write(member.filename.replace("\\", "/"), stream, intake)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error, lzma.LZMAError, EOFError):
        intake.leave_out("members are damaged or packed by a method that is not known here", member.filename)


def write(name: str, stream: IO[bytes], intake: Intake) -> None:
    """Write one file under its cleaned name, stopping where it grows beyond what is left to take."""
    target = intake.folder.joinpath(*(_clean(part) for part in PurePosixPath(name).parts))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            try:
                while block := stream.read(BLOCK):
                    intake.num_bytes += len(block)
                    if intake.num_bytes > intake.caps.total_bytes:
                        most = f"{intake.caps.total_bytes / MB:,.0f} MB"
                        raise StudioError(f"The upload takes more than {most}, which is the most that is taken.")
                    file.write(block)
            except BaseException:
                target.unlink()
                raise
    except (FileExistsError, NotADirectoryError):
        intake.leave_out("files repeat a name", name)
    else:
        intake.written.append(target)


def _clean(part: str) -> str:
    """A file name without control signs, and without what some system takes for more than a letter."""
    kept = "".join("_" if c in '<>:"/\\|?*' or unicodedata.category(c)[0] == "C" else c for c in part)
    return kept.strip(". ") or "_"
