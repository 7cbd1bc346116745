"""The index of a gallery: SQLite over the files, which alone hold what is true. Lost or damaged, it is made anew.

Each image is a PNG with its recipe, each note a small file; the index follows both by their times of writing.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import astuple, dataclass, fields
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TypeVar
from zlib import crc32

from xray_generator.album.folders import Folders
from xray_generator.album.keys import INVERSE, Keys, relation
from xray_generator.album.notes import SUFFIX, Note, read_note
from xray_generator.export.files import make_folder
from xray_generator.export.recipe import Recipe
from xray_generator.gallery import read_recipe
from xray_generator.types import GenerationRequest, StudioError

FILE = ".gallery.sqlite"
CHUNK = 100  # images that are written at a time: others wait that long
WAIT_S = 30  # for another process that writes
MAX_PROMPTS = 500
MAX_RELATIVES = 24
ORDERS = {
    "Newest": "made desc, name",
    "Oldest": "made, name",
    "Best rated": "rating desc, favorite desc, made desc, name",
}
KEYS = tuple(field.name for field in fields(Keys))
COLUMNS = ("name", "stamp", "place", "made", "rating", "favorite", "collections", *KEYS)
READ = (2, COLUMNS, [field.name for field in (*fields(Recipe), *fields(GenerationRequest))])
VERSION = crc32(repr(READ).encode()) >> 1  # of the table, and of what is read from a recipe: 31 bits
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for; an empty value allows all."""

    words: str = ""  # that all occur, or settings such as seed:7
    family: str = ""
    checkpoint: str = ""  # family/name
    label: str = ""
    finding: str = ""
    kind: str = ""  # one of keys.Kind
    since: date | None = None  # the first and the last day
    until: date | None = None
    min_rating: int = 0
    only_favorites: bool = False
    collection: str = ""
    order: str = "Newest"  # one of ORDERS


@dataclass(frozen=True, slots=True)
class Entry:
    """An image of the gallery."""

    path: Path
    recipe: Recipe
    keys: Keys
    made: float  # seconds since 1970
    note: Note

    @property
    def name(self) -> str:
        """The name of its file, by which it is known here."""
        return self.path.name


@dataclass(frozen=True, slots=True)
class Found:
    """A part of what a search found."""

    entries: tuple[Entry, ...]
    total: int


@dataclass(frozen=True, slots=True)
class Choices:
    """What occurs in a gallery, each in alphabetical order."""

    families: tuple[str, ...]
    checkpoints: tuple[str, ...]
    labels: tuple[str, ...]
    findings: tuple[str, ...]
    collections: tuple[str, ...]
    kinds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Relative:
    """An image that another was made from, or that was made from it."""

    relation: str  # "Edited from", or "Edited to"
    entry: Entry


class Index:
    """Finds the images of a gallery. Safe to share between threads and processes.

    Every method raises StudioError where the person's folder cannot be written to.
    """

    def __init__(self, folders: Folders) -> None:
        self._folders = folders
        self._run(self._follow)

    def find(self, search: Search, first: int = 0, count: int = MAX_RELATIVES) -> Found:
        """At most `count` images that a search finds, from the `first` on."""
        where, values = _where(search)
        order = ORDERS.get(search.order, ORDERS["Newest"])

        def read(db: sqlite3.Connection) -> tuple[int, list[sqlite3.Row]]:
            (total,) = db.execute(f"select count(*) from images where {where}", values).fetchone()  # noqa: S608
            query = f"select * from images where {where} order by {order} limit ? offset ?"  # noqa: S608
            return total, db.execute(query, [*values, count, first]).fetchall()

        total, rows = self._run(read)
        return Found(tuple(self._entries(rows)), total)

    def get(self, names: Sequence[str]) -> tuple[Entry, ...]:
        """The images of these file names, in their order; those that are gone are left out."""
        marks = ", ".join("?" * len(names))
        query = f"select * from images where kind != '' and name in ({marks})"  # noqa: S608
        found = {entry.name: entry for entry in self._entries(self._all(query, names))}
        return tuple(found[name] for name in names if name in found)

    def choices(self) -> Choices:
        """What a search can ask for."""

        def distinct(column: str, source: str = "images") -> tuple[str, ...]:
            query = f"select distinct {column} from {source} where kind != '' and {column} != '' order by {column}"  # noqa: S608
            return tuple(value for (value,) in self._all(query))

        return Choices(
            distinct("family"),
            distinct("checkpoint"),
            distinct("label"),
            distinct("value", "images, json_each(findings)"),
            distinct("value", "images, json_each(collections)"),
            distinct("kind"),
        )

    def prompts(self) -> tuple[str, ...]:
        """The prompts that images were drawn from, the last one first; at most 500."""
        query = "select prompt from images where prompt != '' group by prompt order by max(made) desc limit ?"
        return tuple(text for (text,) in self._all(query, (MAX_PROMPTS,)))

    def relatives(self, entry: Entry) -> tuple[Relative, ...]:
        """What an image was made from, then what was made from it; at most 24."""
        own = entry.keys
        query = (
            "select * from images where kind != '' and name != ? and (stem = ? or second = ? or stem = ?)"
            " order by made limit 500"
        )
        related = list(self._entries(self._all(query, (entry.name, own.stem, own.stem, own.second or own.stem))))
        above = [Relative(how, other) for other in related if (how := relation(own, other.keys))]
        below = [Relative(INVERSE[how], other) for other in related if (how := relation(other.keys, own))]
        return (*above, *below)[:MAX_RELATIVES]

    def _all(self, query: str, values: Sequence[object] = ()) -> list[sqlite3.Row]:
        return self._run(lambda db: db.execute(query, values).fetchall())

    def _run(self, act: Callable[[sqlite3.Connection], T]) -> T:
        """Do something with the database; where it is damaged, with a new one."""
        try:
            return self._attempt(act)
        except sqlite3.OperationalError as error:
            raise StudioError(f"The index of the gallery cannot be used: {error}.") from error
        except sqlite3.DatabaseError:
            for ending in ("", "-wal", "-shm"):
                (self._folders.own / f"{FILE}{ending}").unlink(missing_ok=True)
            self._attempt(self._follow)
            return self._attempt(act)

    def _attempt(self, act: Callable[[sqlite3.Connection], T]) -> T:
        make_folder(self._folders.own)
        with closing(sqlite3.connect(self._folders.own / FILE, timeout=WAIT_S)) as db:
            db.row_factory = sqlite3.Row
            with suppress(sqlite3.OperationalError):  # another process is just doing the same
                db.execute("pragma journal_mode = wal")
            if _version(db) != VERSION:
                with db:
                    db.execute("begin immediate")
                    if _version(db) != VERSION:  # still
                        db.execute("drop table if exists images")
                        db.execute(f"create table images ({', '.join(COLUMNS)}, primary key (name))")
                        db.execute(f"pragma user_version = {VERSION}")
            return act(db)

    def _follow(self, db: sqlite3.Connection) -> None:
        """Bring the index to what the files say now."""
        files = self._stamps()
        known: dict[str, str] = dict(db.execute("select name, stamp from images").fetchall())
        changed = [name for name, (_, stamp) in files.items() if known.get(name) != stamp]
        with db:
            db.executemany("delete from images where name = ?", [(name,) for name in known.keys() - files.keys()])
        statement = f"insert or replace into images values ({', '.join('?' * len(COLUMNS))})"  # noqa: S608
        for start in range(0, len(changed), CHUNK):
            rows = [row for name in changed[start : start + CHUNK] if (row := self._row(name, *files[name]))]
            with db:
                db.executemany(statement, rows)

    def _stamps(self) -> dict[str, tuple[str, str]]:
        """Name of each image -> the name of its folder, and what changes when it or the note on it is written."""
        found, notes = {}, {}
        for place, folder in self._folders.places():
            for file in os.scandir(folder) if folder.is_dir() else ():
                with suppress(FileNotFoundError):  # it went since
                    if file.name.endswith(SUFFIX) and place == "own":
                        notes[file.name.removesuffix(SUFFIX)] = file.stat().st_mtime_ns
                    elif file.name.endswith(".png") and not file.name.startswith(".") and file.is_file():
                        status = file.stat()
                        found[file.name] = (place, f"{place} {status.st_mtime_ns} {status.st_size}")
        return {name: (place, f"{stamp} {notes.get(name, '')}") for name, (place, stamp) in found.items()}

    def _row(self, name: str, place: str, stamp: str) -> tuple[object, ...] | None:
        """What the index keeps of a file, with an empty kind where that is no image of ours; None: it is gone."""
        path = self._path(place, name)
        try:
            recipe, made = read_recipe(path), path.stat().st_mtime
        except OSError:
            return None
        note = read_note(self._folders.own, name)
        about = (name, stamp, place, made, note.rating, note.is_favorite, json.dumps(note.collections))
        if recipe is None:
            return (*about, *("[]" if name == "findings" else "" for name in KEYS))
        keys = astuple(Keys.of(recipe))
        return (*about, *(json.dumps(value) if isinstance(value, tuple) else value for value in keys))

    def _path(self, place: str, name: str) -> Path:
        return dict(self._folders.places())[place] / name

    def _entries(self, rows: Sequence[sqlite3.Row]) -> Iterator[Entry]:
        for row in rows:
            path = self._path(row["place"], row["name"])
            try:
                recipe = read_recipe(path)
            except OSError:  # gone since
                continue
            if recipe is not None:
                keys = Keys(**{name: row[name] for name in KEYS} | {"findings": tuple(json.loads(row["findings"]))})
                note = Note(row["rating"], bool(row["favorite"]), tuple(json.loads(row["collections"])))
                yield Entry(path, recipe, keys, row["made"], note)


def _version(db: sqlite3.Connection) -> int:
    version: int = db.execute("pragma user_version").fetchone()[0]
    return version


def _where(search: Search) -> tuple[str, list[object]]:
    """The condition of a search in SQL, with its values."""
    parts, values = ["kind != ''"], list[object]()
    for word in search.words.casefold().split():
        parts.append("instr(words, ?) > 0")
        values.append(f" {word} " if ":" in word else word)
    for name in ("family", "checkpoint", "label", "kind"):
        if value := getattr(search, name):
            parts.append(f"{name} = ?")
            values.append(value)
    for column, value in (("findings", search.finding), ("collections", search.collection)):
        if value:
            parts.append(f"exists (select 1 from json_each({column}) where value = ?)")  # noqa: S608
            values.append(value)
    if search.since:
        parts.append("made >= ?")
        values.append(_midnight(search.since))
    if search.until:
        parts.append("made < ?")
        values.append(_midnight(search.until + timedelta(days=1)))
    if search.min_rating:
        parts.append("rating >= ?")
        values.append(search.min_rating)
    if search.only_favorites:
        parts.append("favorite")
    return " and ".join(parts), values


def _midnight(day: date) -> float:
    return datetime.combine(day, datetime.min.time()).timestamp()
