"""The labeled pack: one class a row, patients from a second table, and its sample."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

from xray_generator.data.labeled import read_labeled
from xray_generator.data.read import read_dataset
from xray_generator.data.rows import class_names, row_conditions, split_by_patient
from xray_generator.data.sample import main as sample
from xray_generator.types import StudioError

HEADER = "image,caption,label,split,source,license,orig_width,orig_height\n"


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """Four images in images/, two classes, one image of neither."""
    (tmp_path / "images").mkdir()
    for name in "abcd":
        PILImage.fromarray(np.full((40, 32), 90, np.uint8)).save(tmp_path / "images" / f"{name}.png")
    (tmp_path / "metadata.csv").write_text(
        HEADER + "images/a.png,a slice,Malignant,train,here,CC BY 4.0,512,512\n"
        "images/b.png,,normal,,here,CC BY 4.0,,\n"
        "images/c.png,,unlabeled,test,there,,,\n"
        "images/d.png,,normal,,here,CC BY 4.0,,\n"
    )
    (tmp_path / "extra.csv").write_text(
        "image,group,patient_id\nimages/b.png,g1,\nimages/d.png,g1,\nimages/a.png,,p1\n"
    )
    return tmp_path


def test_rows_have_class_split_and_owner(pack: Path) -> None:
    rows = {row.path.name: row for row in read_dataset(pack).rows}
    assert [rows[f"{name}.png"].label for name in "abcd"] == ["malignant", "normal", "", "normal"]
    assert rows["a.png"].patient_id == "p1" and rows["a.png"].split == "train" and rows["c.png"].split == "test"
    assert rows["b.png"].split == rows["d.png"].split  # one group is never parted
    assert rows["a.png"].native_size == 32 and rows["a.png"].prompt == "a slice"
    assert class_names(rows.values()) == ("malignant", "normal")
    assert row_conditions(rows["a.png"]) == ("malignant",)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("images/a.png,,two words,train,,,,", "line 6: label 'two words'"),
        ("images/a.png,,normal,learn,,,,", "line 6: split 'learn'"),
        ("images/a.png,,normal,train,,,wide,", "line 6: orig_width 'wide' is not a number"),
    ],
)
def test_a_fault_is_named_with_its_line(pack: Path, line: str, words: str) -> None:
    table = pack / "metadata.csv"
    table.write_text(table.read_text().replace("images/a.png", "images/z.png") + line + "\n")
    with pytest.raises(StudioError, match=words):
        read_labeled(pack)


def test_missing_repeated_and_unsafe_files_are_left_out(pack: Path) -> None:
    table = pack / "metadata.csv"
    more = ("images/a.png,,normal,,,,,", "../secret.png,,normal,,,,,", "images/none.png,,normal,,,,,")
    table.write_text(table.read_text() + "\n".join(more) + "\n")
    found = read_labeled(pack)
    assert len(found.rows) == 4
    assert found.skipped[0].startswith("2 images of metadata.csv are missing: ../secret.png, images/none.png")
    assert found.skipped[1].startswith("1 rows of metadata.csv repeat an image: images/a.png")


def test_a_pack_without_images_is_refused(pack: Path) -> None:
    for path in (pack / "images").iterdir():
        path.unlink()
    with pytest.raises(StudioError, match="holds no readable image"):
        read_labeled(pack)


def test_the_first_rows_hold_every_class(pack: Path) -> None:
    table = pack / "metadata.csv"
    table.write_text(table.read_text().replace(",normal,,", ",normal,train,"))
    assert {row.label for row in read_dataset(pack).head(2).split("train")} == {"malignant", "normal"}


def test_a_sample_holds_some_of_each_class_and_split(pack: Path, tmp_path: Path) -> None:
    assert sample(["--pack", str(pack), "--output_dir", str(tmp_path / "sample")]) == 0
    rows = read_dataset(tmp_path / "sample").rows
    assert sorted(row.label for row in rows) == ["malignant", "normal"]  # c has no class, b and d are one patient's
    assert all(row.image().shape == (40, 32) for row in rows)


@pytest.mark.parametrize("column", ["patient_id", "group"])
def test_images_of_one_patient_share_a_split(tmp_path: Path, column: str) -> None:
    lines = [f"image,label,{column},split"]
    for i in range(24):
        PILImage.fromarray(np.full((32, 32), 9 * i, np.uint8)).save(tmp_path / f"{i}.png")
        lines.append(f"{i}.png,{('normal', 'other')[i % 2]},p{i // 4},")
    lines[5] += "test"  # of p1, whose other images state none
    (tmp_path / "metadata.csv").write_text("\n".join(lines) + "\n")
    rows = read_labeled(tmp_path).rows
    owners = {row.patient_id for row in rows}
    assert len(owners) == 6
    assert all(len({row.split for row in rows if row.patient_id == owner}) == 1 for owner in owners)
    assert {row.split for row in rows if row.patient_id == "p1"} == {"test"}


def test_facts_of_a_patient_are_read_and_a_column_that_is_not_is_named(tmp_path: Path) -> None:
    PILImage.fromarray(np.zeros((32, 32), np.uint8)).save(tmp_path / "1.png")
    (tmp_path / "metadata.csv").write_text("image,label,labels,age,sex,view\n1.png,normal,nodule,61,F,PA\n")
    dataset = read_labeled(tmp_path)
    assert [(row.age, row.sex, row.view) for row in dataset.rows] == [(61, "F", "PA")]
    assert dataset.skipped[0].startswith("the column labels of metadata.csv is not read")


@pytest.mark.parametrize("column", ["Patient ID", "PatientID", "patientId", "subject", "Subject-ID", "MRN", "case_id"])
@pytest.mark.parametrize("table", ["metadata.csv", "extra.csv"])
def test_patients_have_many_names(pack: Path, column: str, table: str) -> None:
    lines = [f"image,label,{column}", "images/a.png,x,p1", "images/b.png,y,p1", "images/c.png,y,p2"]
    (pack / "extra.csv").unlink()
    (pack / "metadata.csv").write_text("image,label\nimages/a.png,x\nimages/b.png,y\nimages/c.png,y\n")
    (pack / table).write_text("\n".join(lines) + "\n")
    dataset = read_labeled(pack)
    assert [row.patient_id for row in dataset.rows] == ["p1", "p1", "p2"]
    assert any("is read as that of patients" in note for note in dataset.skipped) == (column != "Patient ID")


@pytest.mark.parametrize("name", ["images\\a.png", "Images/A.PNG", "./images/a.png"])
def test_patients_of_the_second_table_are_found_like_images(pack: Path, name: str) -> None:
    (pack / "extra.csv").write_text(f"image,patient_id\n{name},p9\nb.png,p9\n")
    dataset = read_labeled(pack)
    assert [row.patient_id for row in dataset.rows][:2] == ["p9", ""]
    assert dataset.skipped == ("1 images of extra.csv are missing: b.png (there is images/b.png)",)


@pytest.mark.parametrize(("ids", "note"), [("007 7", "007 and 7"), ("P7 p7", "P7 and p7"), ("7.0 7", ""), ("a b", "")])
def test_ids_that_are_alike_are_said(pack: Path, ids: str, note: str) -> None:
    first, second = ids.split()
    (pack / "extra.csv").write_text(f"image,patient_id\nimages/a.png,{first}\nimages/c.png,{second}\n")
    (pack / "metadata.csv").write_text("image,label\nimages/a.png,x\nimages/c.png,y\n")
    expected = (f"1 ids of patients are alike and count as two: {note}",) if note else ()
    assert read_labeled(pack).skipped == expected


@pytest.mark.parametrize(
    ("split", "meant"), [("Training", "train"), ("valid", "val"), ("TESTING", "test"), ("?", None)]
)
def test_splits_of_a_table_have_many_names(pack: Path, split: str, meant: str | None) -> None:
    (pack / "metadata.csv").write_text(f"Image,Label,Split\nimages/c.png,NA,{split}\n")
    (row,) = read_labeled(pack).rows
    assert row.label == "" and row.split == (meant or split_by_patient("c.png"))
