"""The captioned pack: rows, ranges, orientation and the faults of its table."""

import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PILImage

from xray_generator.data.captioned import read_captioned
from xray_generator.data.read import read_dataset
from xray_generator.types import StudioError

Pixels = NDArray[np.uint8]
MakePack = Callable[..., Path]
MakePixels = Callable[[int], Pixels]
LINE = "{image},Normal PA chest X-ray,no_finding,PA,58.0,F,adult,{split},007,nih,free,1024,50"


def test_row_holds_every_column(make_pack: MakePack, pixels: MakePixels) -> None:
    folder = make_pack([LINE.format(image="a.png", split="val")], {"a.png": pixels(0)})
    (row,) = read_captioned(folder).rows
    assert (row.prompt, row.findings, row.view, row.age, row.sex) == (
        "Normal PA chest X-ray",
        ("no_finding",),
        "PA",
        58,
        "F",
    )
    assert (row.patient_id, row.split, row.source, row.license, row.age_group) == ("007", "val", "nih", "free", "adult")
    assert row.native_size == 50  # of the original, which the 64x64 file enlarges


def test_unknown_is_not_made_up(make_pack: MakePack, pixels: MakePixels) -> None:
    folder = make_pack(["a.png,Chest X-ray,,p1,"], {"a.png": pixels(0)}, "image,caption,labels,patient_id,split")
    (row,) = read_captioned(folder).rows
    assert (row.findings, row.view, row.age, row.sex, row.absent, row.native_size) == ((), "", None, "", (), 64)
    assert row.split in ("train", "val", "test")


def test_resolution_is_the_files_own_whatever_the_folder(make_pack: MakePack, pixels: MakePixels) -> None:
    columns, lines = "image,caption,labels,patient_id,split", ["large.png,c,,p,train", "cut.png,c,,p,train"]
    folder = make_pack(lines, {"large.png": np.tile(pixels(0), (5, 8))}, columns)
    (folder / "images" / "cut.png").write_bytes(b"no image")
    assert [row.native_size for row in read_captioned(folder).rows] == [320, 0]


def test_missing_repeated_and_unsafe_files_are_left_out_and_counted(make_pack: MakePack, pixels: MakePixels) -> None:
    names = ["a.png", "a.png", "gone.png", "../metadata.csv", "/etc/hostname"]
    folder = make_pack([LINE.format(image=name, split="train") for name in names], {"a.png": pixels(0)})
    dataset = read_captioned(folder)
    assert len(dataset.rows) == 1
    assert dataset.skipped == (
        "3 images of metadata.csv are missing in images/: gone.png, ../metadata.csv, /etc/hostname",
        "1 rows of metadata.csv repeat an image: a.png",
    )


def test_pipe_in_place_of_an_image_does_not_hang(make_pack: MakePack, pixels: MakePixels) -> None:
    lines = [LINE.format(image=name, split="train") for name in ("a.png", "pipe.png")]
    folder = make_pack(lines, {"a.png": pixels(0)})
    os.mkfifo(folder / "images" / "pipe.png")
    assert "pipe.png" in read_captioned(folder).skipped[0]


def test_no_image_left_is_refused(make_pack: MakePack) -> None:
    with pytest.raises(StudioError, match="no readable image"):
        read_captioned(make_pack([LINE.format(image="gone.png", split="train")], {}))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a.png,c,nodul,PA,,,,train,p,s,l,,", "line 2: unknown label 'nodul'; is it 'nodule'?"),
        ("a.png,c,,PA,,,,learning,p,s,l,,", "split 'learning'; allowed: train, val, test"),
        ("a.png,c,,PA,old,,,train,p,s,l,,", "age 'old' is not a number"),
        ("a.png,c,,PA,414,,,train,p,s,l,,", "age '414'; allowed: 0 to 120"),
        ("a.png,c,,PA,inf,,,train,p,s,l,,", "age 'inf' is not a number"),
        ("a.png,c,,PA,,X,,train,p,s,l,,", "sex 'X'; allowed: M, F"),
    ],
)
def test_bad_cell_is_named_with_its_line(make_pack: MakePack, pixels: MakePixels, line: str, words: str) -> None:
    with pytest.raises(StudioError) as error:
        read_captioned(make_pack([line], {"a.png": pixels(0)}))
    assert words in str(error.value)


def test_sample_that_ships_is_whole(sample_folder: Path) -> None:
    dataset = read_dataset(sample_folder)
    assert not dataset.skipped
    assert [len(dataset.split(name)) for name in ("train", "val", "test")] == [140, 30, 30]
    assert {row.source for row in dataset.rows} == {"nih_chestxray14", "kermany_pediatric", "hannover_covid"}
    assert sorted({row.native_size for row in dataset.rows}) == [128, 256]
    assert all(row.license and row.prompt for row in dataset.rows)


def test_images_are_unflipped_and_in_range(sample_folder: Path) -> None:
    """Left stays left: each image equals an independent decoder's, and never its mirror image."""
    for row in read_dataset(sample_folder).rows:
        image = row.image()
        assert image.dtype == np.float32
        assert image.shape == (row.native_size, row.native_size)
        assert 0.0 <= image.min() < image.max() <= 1.0
        reference = cv2.imread(str(row.path), cv2.IMREAD_GRAYSCALE).astype(np.float32) / 255
        assert np.abs(image - reference).mean() < 1 / 255
        assert np.abs(image - reference[:, ::-1]).mean() > 4 / 255


def test_16_bit_images_are_in_range(make_pack: MakePack, pixels: MakePixels) -> None:
    folder = make_pack([LINE.format(image="a.png", split="train")], {})
    PILImage.fromarray(pixels(0).astype(np.uint16) * 257).save(folder / "images" / "a.png")
    image = read_captioned(folder).rows[0].image()
    np.testing.assert_allclose(image, pixels(0) / 255, atol=1e-6)


def test_head_keeps_the_first_rows_of_each_split(dataset_folder: Path) -> None:
    dataset = read_captioned(dataset_folder)
    head = dataset.head(5)
    assert [len(head.split(name)) for name in ("train", "val", "test")] == [5, 5, 5]
    assert head.split("val") == dataset.split("val")[:5]


def test_images_that_meet_a_condition(dataset_folder: Path) -> None:
    dataset = read_captioned(dataset_folder)
    chosen = dataset.meeting(("pneumonia", "older_adult"))
    assert 0 < len(chosen.rows) < len(dataset.rows)
    for row in dataset.rows:
        assert (row in chosen.rows) == ("pneumonia" in row.findings or row.age_group == "older_adult")
    assert dataset.meeting(()) is dataset
    with pytest.raises(StudioError, match="No image is of 'pnemonia'. The data hold: .*pneumonia"):
        dataset.meeting(("pneumonia", "pnemonia"))


def test_contradicted_label_is_not_known(make_pack: MakePack, pixels: MakePixels) -> None:
    lines = [LINE.format(image=name, split="train") for name in ("a.png", "b.png")]
    folder = make_pack(lines, {"a.png": pixels(0), "b.png": pixels(1)})
    reading = "image,rsna_class,contradicted\na.png,Lung Opacity,1\nb.png,Normal,0\nelsewhere.png,Lung Opacity,1\n"
    (folder / "rsna_reading.csv").write_text(reading)
    first, second = read_captioned(folder).rows
    assert (first.prompt, first.findings, first.age, first.sex) == (
        "PA chest X-ray of a 58-year-old woman",
        (),
        58,
        "F",
    )
    assert (second.prompt, second.findings) == ("Normal PA chest X-ray", ("no_finding",))
