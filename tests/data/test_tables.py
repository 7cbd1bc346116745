"""CSV faults: each is refused in words that name the file, the line and the remedy."""

from pathlib import Path

import pytest

from xray_generator.data.tables import count_names, describe_blanks, read_table, write_table
from xray_generator.types import StudioError

NEEDED = ("uid", "findings")


def _table(folder: Path, data: bytes) -> Path:
    path = folder / "table.csv"
    path.write_bytes(data)
    return path


def test_cells_stay_text(tmp_path: Path) -> None:
    long_uid = "9" * 30
    text = "<script>alert(1)</script> " + "x" * 1_000_000
    rows = [f"007,{text}", f"{long_uid},None", "1,NA", "2,=cmd()", "3,", '4,"two\nlines"']
    lines = read_table(_table(tmp_path, "\n".join(["uid,findings", *rows]).encode()), NEEDED)
    assert [record["uid"] for record in lines] == ["007", long_uid, "1", "2", "3", "4"]
    assert [record["findings"] for record in lines] == [text, "None", "NA", "=cmd()", "", "two\nlines"]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_byte_order_mark_and_blank_lines_are_read(tmp_path: Path, end: bytes) -> None:
    lines = read_table(_table(tmp_path, end.join([b"\xef\xbb\xbfuid,findings", b"", b"1,clear", b""])), NEEDED)
    assert lines[0]["uid"] == "1"
    assert lines[0].number == 3


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"uid,findings\n", "no rows"),
        (b"uid,findings\n1,caf\xe9\n", "line 2: not UTF-8 text (byte 0xe9), perhaps Latin-1"),
        ("uid,findings\n1,a\n".encode("utf-16"), "UTF-16"),
        (b"uid;findings\n1;a\n", "separated by semicolons"),
        (b"uid\tfindings\n1\ta\n", "separated by tabs"),
        (b"uid,findings\n1,a\n2,a,b\n", "line 3: 3 cells under 2 columns"),
        (b'uid,findings\n1,"open\n', "double quote"),
        (b"uid,findings\n1,a\0b\n", "line 2: a NUL byte"),
        (b"uid,uid,findings\n1,1,a\n", "'uid' occurs twice"),
        (b"uid,Findngs\n1,a\n", "missing 'findings' (is it 'Findngs'?). Needed: uid, findings. Found: uid, Findngs."),
    ],
)
def test_fault_is_named(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(StudioError) as error:
        read_table(_table(tmp_path, data), NEEDED)
    assert words in str(error.value)
    assert "table.csv" in str(error.value)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StudioError, match=r"nothing\.csv was not found"):
        read_table(tmp_path / "nothing.csv", NEEDED)


def test_names_are_counted_and_the_first_five_listed() -> None:
    assert count_names("files are missing", []) == ()
    assert count_names("files are missing", list("abcdefg")) == ("7 files are missing: a, b, c, d, e and 2 more",)


@pytest.mark.parametrize("text", ["=HYPERLINK(1)", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
def test_no_cell_that_is_written_is_a_formula(tmp_path: Path, text: str) -> None:
    written = write_table(NEEDED, [(text, "fine")])
    path = tmp_path / "table.csv"
    path.write_text(written, newline="")
    assert [record.cells["uid"] for record in read_table(path, NEEDED)] == [f"'{text}"]


def test_numbers_are_written_as_they_are_and_what_is_not_known_is_empty() -> None:
    assert write_table(NEEDED, [(-0.5, "-1e-05"), (None, "a, b")]) == 'uid,findings\r\n-0.5,-1e-05\r\n,"a, b"\r\n'


def test_nan_is_an_empty_cell_and_words_for_not_known_empty_facts(tmp_path: Path) -> None:
    rows = ["uid,findings,view,age", "1.0,nan,NA,NaN", "2,None,null,3", "007,NA,n/a,", "v1.0, NAN ,PA,44.0"]
    lines = read_table(_table(tmp_path, "\n".join(rows).encode()), NEEDED)
    assert [line["findings"] for line in lines] == ["", "None", "NA", ""]
    assert [line.fact("view") for line in lines] == ["", "", "", "PA"]
    assert [line.integer("age") for line in lines] == [None, 3, None, 44]
    assert [line.identifier("uid") for line in lines] == ["1", "2", "007", "v1.0"]
    assert describe_blanks(lines) == (
        "3 cells of table.csv say nan and were read as empty, in the columns age, findings",
    )


def test_columns_without_a_name_are_left_out_where_they_are_empty(tmp_path: Path) -> None:
    (line,) = read_table(_table(tmp_path, b"uid,findings,,\n1,clear,, \n"), NEEDED)
    assert line["findings"] == "clear"
    with pytest.raises(StudioError, match=r"line 3: column 4 has a value but no name"):
        read_table(_table(tmp_path, b"uid,findings,,\n1,a,,\n2,b,,c\n"), NEEDED)


@pytest.mark.parametrize(
    "header",
    ["UID,Findings", " Uid , FINDINGS ", "\u200buid,\u00a0findings", "\n\nuid,findings", "sep=,\nuid,findings"],
)
def test_a_column_is_found_however_its_name_is_written(tmp_path: Path, header: str) -> None:
    (line,) = read_table(_table(tmp_path, f"{header}\n1,clear\n".encode()), NEEDED)
    assert (line["uid"], line["findings"]) == ("1", "clear")


def test_blanks_in_names_of_columns_and_names_that_would_be_alike(tmp_path: Path) -> None:
    (line,) = read_table(_table(tmp_path, b"Patient ID,View,VIEW,view\np1,a,b,c\n"), ("patient_id",))
    assert (line["patient_id"], line["view"]) == ("p1", "c")


def test_numbers_of_lines_need_no_name(tmp_path: Path) -> None:
    (line,) = read_table(_table(tmp_path, b",uid,findings\n0,1,clear\n"), NEEDED)
    assert line["uid"] == "1"
    for row in (b"x,1,clear", b"0,1,clear,x"):
        header = b",uid,findings" + b"," * (row.count(b",") - 2)
        with pytest.raises(StudioError, match="has a value but no name"):
            read_table(_table(tmp_path, header + b"\n" + row + b"\n"), NEEDED)


@pytest.mark.parametrize("blank", ["NULL", "N/A", "#N/A", "<NA>", "NaT", "nan"])
def test_a_blank_is_no_text(tmp_path: Path, blank: str) -> None:
    (line,) = read_table(_table(tmp_path, f"uid,findings\n{blank},{blank}\n".encode()), NEEDED)
    assert line.text("findings") == line.fact("uid") == ""


@pytest.mark.parametrize("unknown", ["None", "unknown", "?", "-", "missing"])
def test_what_is_not_known_is_no_fact(tmp_path: Path, unknown: str) -> None:
    (line,) = read_table(_table(tmp_path, f"uid,findings\n{unknown},{unknown}\n".encode()), NEEDED)
    assert line.identifier("uid") == "" and line.text("findings") == unknown


def test_a_workbook_is_named(tmp_path: Path) -> None:
    with pytest.raises(StudioError, match="is a workbook of Excel"):
        read_table(_table(tmp_path, b"PK\x03\x04" + bytes(50)), NEEDED)
