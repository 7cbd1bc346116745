"""Class folders: labels, the stratified split, odd names and damaged files."""

import io
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

from xray_generator.data.class_folders import class_id, has_class_folders, read_class_folders
from xray_generator.data.health import check_health
from xray_generator.data.read import read_dataset
from xray_generator.types import StudioError


def save(path: Path, side: int = 20) -> None:
    """A small random image of the type that the suffix names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(str(path))).integers(0, 255, (side, side + 4), np.uint8)
    PILImage.fromarray(pixels).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes: 30 and 10 images of several types, some deeper."""
    root = tmp_path / "cilia"
    for i in range(30):
        save(root / "Microtub Abnorm" / f"MicrotubAbnorm_{i}{('.png', '.jpg', '.tif')[i % 3]}")
    for i in range(10):
        save(root / "ODA" / ("deep" if i % 2 else ".") / f"ODA_{i}.PNG")
    return root


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("CP 2", "cp_2"),
        ("IDA_Disarranged", "ida_disarranged"),
        ("  No  CP ", "no_cp"),
        ("Café-é", "cafe_e"),
        ("纤毛", ""),
    ],
)
def test_label_is_a_safe_name(name: str, label: str) -> None:
    assert class_id(name) == label


def test_rows_are_read_at_any_depth_and_of_every_type(folder: Path) -> None:
    dataset = read_class_folders(folder)
    assert Counter(row.label for row in dataset.rows) == {"microtub_abnorm": 30, "oda": 10}
    assert {row.path.suffix for row in dataset.rows} == {".png", ".jpg", ".tif", ".PNG"}
    assert {(row.source, row.native_size, row.prompt) for row in dataset.rows} == {("cilia", 20, "")}
    assert dataset.skipped == ()
    assert read_dataset(folder) == dataset


def test_split_is_stratified_and_depends_on_seed_and_names_alone(folder: Path, tmp_path: Path) -> None:
    dataset = read_class_folders(folder)
    counts = Counter((row.label, row.split) for row in dataset.rows)
    assert [counts["microtub_abnorm", split] for split in ("train", "val", "test")] == [24, 3, 3]
    assert [counts["oda", split] for split in ("train", "val", "test")] == [8, 1, 1]

    def splits(root: Path, seed: int = 0) -> dict[str, str]:
        return {row.path.stem: row.split for row in read_class_folders(root, seed).rows}

    folder.rename(tmp_path / "moved")
    (tmp_path / "moved" / "ODA").rename(tmp_path / "moved" / "oda")
    assert splits(tmp_path / "moved") == {row.path.stem: row.split for row in dataset.rows}
    assert splits(tmp_path / "moved", seed=1) != splits(tmp_path / "moved")


def test_split_of_a_small_class_trains_first(tmp_path: Path) -> None:
    for name, count in (("a", 1), ("b", 4), ("c", 5)):
        for i in range(count):
            save(tmp_path / name / f"{i}.png")
    counts = Counter((row.label, row.split) for row in read_class_folders(tmp_path).rows)
    assert counts == {("a", "train"): 1, ("b", "train"): 4, ("c", "train"): 3, ("c", "val"): 1, ("c", "test"): 1}


def test_name_of_another_class_is_listed_and_kept(folder: Path) -> None:
    save(folder / "ODA" / "Microtub_Abnorm_7.png")
    save(folder / "ODA" / "scan_0007.png")  # no class at all: nothing to contradict
    dataset = read_class_folders(folder)
    assert len([row for row in dataset.rows if row.label == "oda"]) == 12
    assert dataset.skipped == ("1 names in ODA/ are those of another class; used as oda: Microtub_Abnorm_7.png",)


def test_numbered_class_does_not_contradict_itself(tmp_path: Path) -> None:
    for name in ("CP", "CP 2"):
        for i in range(3):
            save(tmp_path / name / f"{name}_{i}.png")
    save(tmp_path / "CP 2" / "CP_2.png")
    assert read_class_folders(tmp_path).skipped == ()


def test_other_files_are_left_out_and_hidden_ones_ignored(folder: Path) -> None:
    (folder / "ODA" / "notes.txt").write_text("x")
    (folder / "ODA" / ".DS_Store").write_text("x")
    (folder / "truth.csv").write_text("x")
    assert read_class_folders(folder).skipped == ("1 files of ODA/ are not PNG, JPEG or TIFF images: notes.txt",)


def test_damaged_file_is_a_row_that_the_health_check_names(folder: Path) -> None:
    damaged = folder / "ODA" / "ODA_99.png"
    damaged.write_bytes(b"\x89PNG\r\n\x1a\nrubbish")
    stream = io.BytesIO()
    PILImage.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)).save(stream, format="PNG")
    (folder / "ODA" / "ODA_98.png").write_bytes(stream.getvalue()[:300])  # a good header
    dataset = read_class_folders(folder)
    assert {row.native_size for row in dataset.rows if row.path == damaged} == {0}
    unreadable = {i.paths[0].name for i in check_health(dataset).issues if i.kind == "unreadable"}
    assert unreadable == {"ODA_98.png", "ODA_99.png"}


def test_folders_of_other_layouts_are_no_classes(tmp_path: Path) -> None:
    save(tmp_path / "images" / "1.png")
    save(tmp_path / "images128" / "2.png")
    assert not has_class_folders(tmp_path)
    (tmp_path / "images").rename(tmp_path / "normal")
    assert not has_class_folders(tmp_path)
    (tmp_path / "images128").rename(tmp_path / "oda")
    assert has_class_folders(tmp_path)


@pytest.mark.parametrize(
    ("names", "words"), [(("ODA", "oda "), "both mean the class oda"), (("a", "纤毛"), "is no name of a class")]
)
def test_names_that_make_no_two_classes_are_refused(tmp_path: Path, names: tuple[str, str], words: str) -> None:
    for name in names:
        save(tmp_path / name / "1.png")
    with pytest.raises(StudioError, match=words):
        read_class_folders(tmp_path)


def test_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(StudioError, match="no sub-folder with images"):
        read_class_folders(tmp_path)


def test_dicom_files_among_pictures_are_left_out(folder: Path) -> None:
    (folder / "ODA" / "ODA_7.dcm").write_bytes(b"\0" * 128 + b"DICM")  # their headers are checked as series only
    found = read_class_folders(folder)
    assert all(row.path.suffix != ".dcm" for row in found.rows)
    assert any("ODA_7.dcm" in note for note in found.skipped)


@pytest.mark.parametrize("names", [("train", "test", "val"), ("Training", "Validation", "TEST"), ("train", "valid")])
def test_folders_of_splits_hold_the_classes(tmp_path: Path, names: tuple[str, ...]) -> None:
    for split in names:
        for name in ("NORMAL", "PNEUMONIA"):
            save(tmp_path / split / name / f"{name}_{split}.png")
    rows = read_dataset(tmp_path).rows
    assert {row.label for row in rows} == {"normal", "pneumonia"} and len(rows) == 2 * len(names)
    for row in rows:
        assert row.split[:2] == row.path.parts[-3].lower()[:2]


def test_splits_within_the_classes_count_as_well(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for split in ("train", "test"):
            save(tmp_path / name / split / f"{name}_1.png")
    rows = read_class_folders(tmp_path).rows
    assert all(row.split == row.path.parent.name for row in rows) and len(rows) == 4


def test_one_class_beside_folders_of_splits_is_no_layout_of_classes(tmp_path: Path) -> None:
    save(tmp_path / "train" / "1.png")
    save(tmp_path / "test" / "2.png")
    assert not has_class_folders(tmp_path)


def test_a_class_called_test_is_a_class(tmp_path: Path) -> None:
    for name in ("test", "control"):
        save(tmp_path / name / "1.png")
    assert {row.label for row in read_class_folders(tmp_path).rows} == {"test", "control"}


@pytest.mark.parametrize(
    "mask", ["{0}/masks/{0}_1.png", "{0}/lung masks/{0}_1.png", "{0}/{0}_1_mask.png", "{0}/{0}_1_mask_1.png"]
)
def test_masks_are_no_images_of_a_class(tmp_path: Path, mask: str) -> None:
    for name in ("benign", "malignant"):
        save(tmp_path / name / ("images" if "/masks/" in mask else ".") / f"{name}_1.png")
        save(tmp_path / mask.format(name))
    dataset = read_class_folders(tmp_path)
    assert [row.label for row in dataset.rows] == ["benign", "malignant"]
    assert len(dataset.skipped) == 2 and "1 files of benign/ are masks of images" in dataset.skipped[0]


def test_a_class_named_for_a_mask_stays(tmp_path: Path) -> None:
    for name in ("with_mask", "without_mask"):
        save(tmp_path / name / "1.png")
    save(tmp_path / "masks" / "1.png")
    dataset = read_class_folders(tmp_path)
    assert {row.label for row in dataset.rows} == {"with_mask", "without_mask"}
    assert dataset.skipped == ("1 folders hold masks and are no classes: masks",)


def test_names_of_inner_folders_are_said_not_to_count(folder: Path) -> None:
    for name in ("mild", "severe"):
        save(folder / "ODA" / name / "x.png")
    (note,) = read_class_folders(folder).skipped
    assert note == "3 folders in ODA/ are read as that class, whatever their names: deep, mild, severe"


def test_linked_class_folders_are_read(folder: Path, tmp_path: Path) -> None:
    save(tmp_path / "store" / "scan" / "0.png")
    (folder / "ODA" / "batch2").symlink_to(tmp_path / "store" / "scan")
    assert sum(row.label == "oda" for row in read_class_folders(folder).rows) == 11


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (("train_set", "test_set"), "train test"),
        (("Training Data", "validate", "holdout"), "train val test"),
        (("images_train", "eval"), "train val"),
        (("train/images", "test/images"), "train test"),
        (("train", "test", "notes"), "train test"),
    ],
)
def test_splits_have_many_names(tmp_path: Path, names: tuple[str, ...], splits: str) -> None:
    for split in names:
        for name in ("a", "b"):
            save(tmp_path / split / name / f"{name}_{split.replace('/', '_')}.png")
    dataset = read_dataset(tmp_path)
    assert [row.label for row in dataset.rows] == ["a"] * len(splits.split()) + ["b"] * len(splits.split())
    assert {row.split for row in dataset.rows} == set(splits.split())
    assert any("2 images lie in no folder of a class: notes/" in note for note in dataset.skipped) == ("notes" in names)


@pytest.mark.parametrize("names", [("fold_1", "fold_2"), ("Batch 1", "Batch 2", "Batch 10"), ("part1", "part2")])
def test_numbered_parts_are_no_classes(tmp_path: Path, names: tuple[str, ...]) -> None:
    for part in names:
        for name in ("a", "b"):
            save(tmp_path / part / name / f"{part}.png")
    assert Counter(row.label for row in read_dataset(tmp_path).rows) == {"a": len(names), "b": len(names)}


def test_images_outside_of_classes_are_counted(tmp_path: Path) -> None:
    for name in ("train/a/1.png", "train/b/1.png", "test/1.png", "cover.png"):
        save(tmp_path / name)
    (note,) = read_dataset(tmp_path).skipped
    assert note == "2 images lie in no folder of a class: cover.png, test/1.png"


def test_names_that_differ_in_their_ending_are_said(tmp_path: Path) -> None:
    for name in ("a/1.jpg", "a/1.png", "b/1.png"):
        save(tmp_path / name)
    assert "2 images of a/ differ only in the ending of their name" in read_class_folders(tmp_path).skipped[0]


@pytest.mark.parametrize("above", ["data", "data/v1", "images"])
def test_the_folder_to_give_is_named(tmp_path: Path, above: str) -> None:
    for name in ("a", "b"):
        save(tmp_path / above / name / "1.png")
    with pytest.raises(StudioError, match=rf"Give .*/{above}, whose sub-folders are classes"):
        read_dataset(tmp_path)
