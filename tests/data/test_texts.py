"""Captions in text files beside the images."""

from pathlib import Path

import numpy as np
import pytest

from xray_generator.data.class_folders import read_class_folders
from xray_generator.data.read import read_dataset
from xray_generator.images import encode_png
from xray_generator.types import StudioError


def save(path: Path, text: str | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_png(np.random.default_rng(0).random((8, 8), np.float32)))
    if text is not None:
        path.with_suffix(".txt").write_text(text)


def test_images_of_a_folder_have_the_texts_beside_them(tmp_path: Path) -> None:
    save(tmp_path / "a.png", "PA film,\n  normal \n")
    save(tmp_path / "b.png", None)
    save(tmp_path / "deep" / "c.png", " \n")
    save(tmp_path / "a_mask.png", None)
    dataset = read_dataset(tmp_path)
    assert {row.path.name: row.prompt for row in dataset.rows} == {"a.png": "PA film, normal", "b.png": "", "c.png": ""}
    assert {(row.label, row.source, row.native_size) for row in dataset.rows} == {("", tmp_path.name, 8)}
    assert dataset.skipped == (
        "2 images have no text beside them: b.png, c.png",
        "1 files are masks of images: a_mask.png",
    )


def test_images_of_classes_may_have_texts_too(tmp_path: Path) -> None:
    for name in ("benign", "normal"):
        save(tmp_path / name / f"{name}_1.png", f"A {name} slice")
    dataset = read_class_folders(tmp_path)
    assert {row.label: row.prompt for row in dataset.rows} == {"benign": "A benign slice", "normal": "A normal slice"}
    assert dataset.skipped == () and read_dataset(tmp_path) == dataset


def test_a_text_that_is_none_is_named(tmp_path: Path) -> None:
    save(tmp_path / "a.png", None)
    (tmp_path / "a.txt").write_bytes(b"caf\xe9")
    with pytest.raises(StudioError, match="a.txt, line 1: not UTF-8 text"):
        read_dataset(tmp_path)
