"""The formats of a set beside its folders of images: Parquet and WebDataset, written image by image."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol

import pyarrow as pa
from pyarrow import parquet

from xray_generator.sets.columns import COLUMNS, KINDS, Entry
from xray_generator.sets.plan import IMAGES

Format = Literal["parquet", "webdataset"]
ROWS_IN_GROUP = 100  # so that a reader of one row reads few others
ROWS_IN_TABLE = 10_000  # of a table without images
IMAGES_IN_PARQUET, IMAGES_IN_TAR = 5_000, 1_000  # of a file
ARROW = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
VALUES = {str: "string", int: "int64", float: "float64", bool: "bool"}  # as `datasets` calls them


class Writer(Protocol):
    """Takes the images of one file, one after the other."""

    def add(self, entry: Entry, png: bytes) -> None:
        """The next image."""
        ...

    def close(self) -> None:
        """The file is complete."""
        ...


class ParquetFile:
    """Lines of images, which are encoded PNG beside their columns; `datasets` decodes them without a loading script.

    Without images it is the table that `datasets` reads with the folder in which it lies.
    """

    def __init__(self, path: Path, *, with_images: bool) -> None:
        columns = [pa.field(name, ARROW[KINDS.get(name, str)]) for name in COLUMNS]
        features: dict[str, Any] = {name: {"dtype": VALUES[KINDS.get(name, str)], "_type": "Value"} for name in COLUMNS}
        info = {}
        if with_images:
            columns = [pa.field("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])), *columns]
            info["huggingface"] = json.dumps({"info": {"features": {"image": {"_type": "Image"}, **features}}})
        self._with_images = with_images
        self._file = parquet.ParquetWriter(path, pa.schema(columns, info))
        self._lines: list[dict[str, Any]] = []

    def add(self, entry: Entry, png: bytes) -> None:
        """The next image."""
        if self._with_images:
            self._lines.append({"image": {"bytes": png, "path": Path(entry.file_name).name}, **asdict(entry)})
        else:
            self._lines.append(asdict(entry.inside_split()))
        if len(self._lines) == (ROWS_IN_GROUP if self._with_images else ROWS_IN_TABLE):
            self._flush()

    def close(self) -> None:
        """Write the last lines."""
        self._flush()
        self._file.close()

    def _flush(self) -> None:
        if self._lines:
            self._file.write_table(pa.Table.from_pylist(self._lines, self._file.schema))
        self._lines = []


class TarFile:
    """WebDataset: for each image <key>.png, <key>.json with its columns, and <key>.cls, the place of its label."""

    def __init__(self, path: Path, labels: Sequence[str]) -> None:
        self._tar = tarfile.TarFile(path, "w", format=tarfile.USTAR_FORMAT)
        self._places = {label: place for place, label in enumerate(labels)}

    def add(self, entry: Entry, png: bytes) -> None:
        """The next image."""
        facts = json.dumps(asdict(entry), ensure_ascii=False).encode()
        parts = {"png": png, "json": facts, "cls": str(self._places[entry.label]).encode()}
        for suffix, data in parts.items():
            member = tarfile.TarInfo(f"{entry.key}.{suffix}")  # of no owner and no time: equal sets are equal files
            member.size = len(data)
            self._tar.addfile(member, io.BytesIO(data))

    def close(self) -> None:
        """Write the end of the archive."""
        self._tar.close()


class Rolling:
    """A writer for any number of images: a new file after every `limit` of them, `<name>` with a running number."""

    def __init__(self, name: Callable[[int], Path], make: Callable[[Path], Writer], limit: int) -> None:
        self._name, self._make, self._limit = name, make, limit
        self._count = 0
        self._writer: Writer | None = None

    def add(self, entry: Entry, png: bytes) -> None:
        """The next image."""
        if self._count % self._limit == 0:
            self.close()
            self._writer = self._make(self._name(self._count // self._limit))
        self._count += 1
        if self._writer is not None:
            self._writer.add(entry, png)

    def close(self) -> None:
        """The last file is complete."""
        if self._writer is not None:
            self._writer.close()
        self._writer = None


class Outputs:
    """The writers of each split, opened with its first image; closed at the end of a `with` block."""

    def __init__(self, folder: Path, formats: Sequence[Format], labels: Sequence[str]) -> None:
        self._folder, self._formats, self._labels = folder, formats, labels
        self._writers: dict[str, list[Writer]] = {}

    def __enter__(self) -> Outputs:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for writers in self._writers.values():
            for writer in writers:
                writer.close()

    def add(self, entry: Entry, png: bytes) -> None:
        """The next image."""
        if entry.split not in self._writers:
            self._writers[entry.split] = self._open(entry.split)
        for writer in self._writers[entry.split]:
            writer.add(entry, png)

    def _open(self, split: str) -> list[Writer]:
        metadata = _make_place(self._folder / IMAGES / split) / "metadata.parquet"
        rolling: Mapping[Format, Rolling] = {
            "parquet": Rolling(
                lambda number: _make_place(self._folder / "parquet") / f"{split}-{number:05d}.parquet",
                lambda path: ParquetFile(path, with_images=True),
                IMAGES_IN_PARQUET,
            ),
            "webdataset": Rolling(
                lambda number: _make_place(self._folder / "webdataset") / f"{split}-{number:06d}.tar",
                lambda path: TarFile(path, self._labels),
                IMAGES_IN_TAR,
            ),
        }
        return [ParquetFile(metadata, with_images=False), *(rolling[kind] for kind in self._formats)]


def _make_place(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
