"""Read hand-made CSV files, naming each fault with file, line and remedy; write CSV that is safe in a spreadsheet.

Cells are read as text, so that the id 007 keeps its zeros and a finding written "None" is not lost.
"""

from __future__ import annotations

import csv
import difflib
import io
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from xray_generator.types import MAX_SHOWN, StudioError, quote

MAX_CELL_CHARACTERS = 16_000_000
NAMED_AT_MOST = 5
BLANK = "nan"  # what programs write for an empty cell
NO_VALUE = (BLANK, "na", "n/a", "#n/a", "<na>", "nat", "null", "#null!")  # as programs write it: no word of a language
NOT_KNOWN = (*NO_VALUE, "none", "unknown", "unk", "missing", "nil", "-", "--", "?", ".")  # in columns of facts
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # how formulas begin in spreadsheets


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a table; a column that the file does not have is empty."""

    file: str
    number: int  # in the file; the header is line 1
    cells: dict[str, str]

    def __getitem__(self, column: str) -> str:
        """The cell without surrounding white space; empty where it holds "nan" alone."""
        cell = self.cells.get(column, "").strip()
        return "" if cell.lower() == BLANK else cell

    def text(self, column: str) -> str:
        """The cell of a text or a class: NA, N/A and null are empty as well."""
        return "" if self[column].lower() in NO_VALUE else self[column]

    def fact(self, column: str) -> str:
        """The cell of a fact, such as view or sex: None, unknown and ? are empty as well."""
        return "" if self[column].lower() in NOT_KNOWN else self[column]

    def identifier(self, column: str) -> str:
        """The cell as an id; 17.0, which programs make of the number 17, is 17."""
        return re.sub(r"^(\d+)\.0+$", r"\1", self.fact(column))

    def error(self, reason: str) -> StudioError:
        """An error that names this line."""
        return StudioError(f"{self.file}, line {self.number}: {reason}")

    def integer(self, column: str) -> int | None:
        """The cell as a whole number; None if empty; StudioError if not a number."""
        try:
            return int(float(self.fact(column))) if self.fact(column) else None
        except (ValueError, OverflowError):
            raise self.error(f"{column} {quote(self[column])} is not a number.") from None


def read_table(path: Path, needed: Sequence[str]) -> tuple[Line, ...]:
    """Read a comma-separated UTF-8 file, with or without a byte order mark, that has a header line.

    A column is found whatever its capitals, and with blanks for "_": `Patient ID` is `patient_id`. A first column
    without a name, which programs write to number the lines, is left out.

    Raises:
        StudioError: no such file, not UTF-8, another delimiter, a missing column, a line of another length, an open
            quote, a value in a column without a name, or no rows.
    """
    if not path.is_file():
        raise StudioError(f"{path.name} was not found in {path.parent}.")
    text = read_text(path)
    csv.field_size_limit(MAX_CELL_CHARACTERS)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    lines = []
    try:
        written = _next_header(reader)
        header = _columns(written)
        _check_header(path.name, written, needed)
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                raise StudioError(
                    f"{path.name}, line {reader.line_num}: {len(cells)} cells under {len(header)} columns."
                    " Put a text that contains a comma in double quotes."
                )
            numbered = not header[0] and cells[0].strip().isdecimal()
            if unnamed := [i for i, cell in enumerate(cells, 1) if cell.strip() and not header[i - 1]][numbered:]:
                raise StudioError(f"{path.name}, line {reader.line_num}: column {unnamed[0]} has a value but no name.")
            lines.append(Line(path.name, reader.line_num, dict(zip(header, cells, strict=True))))
    except csv.Error as error:
        raise StudioError(f"{path.name}, line {reader.line_num}: {error}. Is a double quote not closed?") from error
    if not lines:
        raise StudioError(f"{path.name} has a header but no rows.")
    return tuple(lines)


def read_header(path: Path) -> tuple[str, ...]:
    """The column names of a table; () if it cannot be read, which `read_table` reports."""
    try:
        text = read_text(path)
        return tuple(_columns(_next_header(csv.reader(io.StringIO(text, newline="")))))
    except (StudioError, OSError, csv.Error):
        return ()


def write_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Comma-separated text with a header line; None is an empty cell.

    Text that a spreadsheet would run as a formula gets a leading apostrophe; numbers do not.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\r\n")  # so that texts with either character are quoted
    table.writerow(map(safe_cell, header))
    table.writerows(map(safe_cell, row) for row in rows)
    return text.getvalue()


def safe_cell(value: object) -> object:
    """A value as a cell: None is empty, and text that a spreadsheet would run as a formula gets an apostrophe."""
    if isinstance(value, str) and value.startswith(FORMULA) and not _is_number(value):
        return f"'{value}"
    return "" if value is None else value


def count_names(reason: str, names: Sequence[str]) -> tuple[str, ...]:
    """One sentence, "<number> <reason>: <first five names>", or nothing if there are no names."""
    if not names:
        return ()
    more = f" and {len(names) - NAMED_AT_MOST:,} more" if len(names) > NAMED_AT_MOST else ""
    return (f"{len(names):,} {reason}: {', '.join(names[:NAMED_AT_MOST])}{more}",)


def describe_blanks(lines: Iterable[Line]) -> tuple[str, ...]:
    """A sentence on the cells of a table that say "nan" and were read as empty, or nothing if there are none."""
    blank = [(line.file, name) for line in lines for name, cell in line.cells.items() if cell.strip().lower() == BLANK]
    if not blank:
        return ()
    columns = ", ".join(sorted({name for _, name in blank}))
    return (f"{len(blank):,} cells of {blank[0][0]} say nan and were read as empty, in the columns {columns}",)


def count_reasons(left_out: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """`count_names` for each reason."""
    return tuple(sentence for reason, names in left_out.items() for sentence in count_names(reason, names))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _next_header(lines: Iterable[list[str]]) -> list[str]:
    """The names of the columns, which may stand below empty lines and the line "sep=," of Excel."""
    for cells in lines:
        if any(cell.strip() for cell in cells) and not cells[0].lower().startswith("sep="):
            return [name.strip() for name in cells]
    return []


def _columns(names: Sequence[str]) -> list[str]:
    """Names in lower case, with "_" for blanks, without invisible characters; as they are where two would be alike."""
    visible = ("".join(c for c in name if unicodedata.category(c) != "Cf") for name in names)
    plain = [re.sub(r"[\s-]+", "_", name.strip().lower()) for name in visible]
    return [new if plain.count(new) == 1 else old for old, new in zip(names, plain, strict=True)]


def read_text(path: Path) -> str:
    """A file of UTF-8 text, with or without a byte order mark; StudioError says what it is instead."""
    data = path.read_bytes()
    if not data.strip():
        raise StudioError(f"{path.name} is empty.")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise StudioError(f"{path.name} is UTF-16 text. Save it as UTF-8.")
    if data[:4] == b"PK\x03\x04":
        raise StudioError(f"{path.name} is a workbook of Excel or another archive. Save it as CSV in UTF-8.")
    if b"\0" in data:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        raise StudioError(f"{path.name}, line {line}: a NUL byte; the file is damaged, UTF-16 or not text.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise StudioError(
            f"{path.name}, line {line}: not UTF-8 text (byte 0x{data[error.start]:02x}), perhaps Latin-1."
            " Save it as UTF-8."
        ) from error


def _check_header(file: str, header: Sequence[str], needed: Sequence[str]) -> None:
    for delimiter, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
        if len(header) == 1 and delimiter in header[0]:
            raise StudioError(f"{file}, line 1: the columns are separated by {name}. Save the file with commas.")
    repeated = sorted({name for name in header if name and header.count(name) > 1})
    if repeated:
        raise StudioError(f"{file}, line 1: the column {quote(repeated[0])} occurs twice.")
    missing = [name for name in needed if name not in _columns(header)]
    if missing:
        found = (" ".join(name.split())[:MAX_SHOWN] for name in header if name)
        raise StudioError(
            f"{file}, line 1: missing {', '.join(_suggest(name, header) for name in missing)}."
            f" Needed: {', '.join(needed)}. Found: {', '.join(found)}."
        )


def _suggest(name: str, header: Sequence[str]) -> str:
    folded = {column.lower(): column for column in header}
    close = difflib.get_close_matches(name.lower(), folded, n=1)
    return f"{name!r} (is it {quote(folded[close[0]])}?)" if close else repr(name)
