from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

from xray_generator.data.rows import Row
from xray_generator.evaluation.image_sets import ImageSet, common_size, from_folder, groups, matched_splits
from xray_generator.evaluation.inputs import (
    TRAINING_NOTE,
    num_shared,
    prompt_rows,
    read_real,
    read_training_rows,
    spread,
    warnings,
)
from xray_generator.evaluation.pixel_match import thumbnails
from xray_generator.types import StudioError


def blank(num: int, rows: tuple[Row, ...] = ()) -> ImageSet:
    return ImageSet("some", np.zeros((num, 16, 16), np.float32), rows)


def write(folder: Path, name: str, size: tuple[int, int] = (32, 32), mode: str = "L") -> None:
    folder.mkdir(exist_ok=True)
    pixels = np.random.default_rng(len(name)).integers(0, 255, (size[1], size[0], 3), np.uint8)
    PILImage.fromarray(pixels).convert(mode).save(folder / name)


def test_a_mixed_folder_is_read_and_every_change_told(tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    write(folder, "a.png")
    write(folder, "b.png", (48, 40), "RGB")
    write(folder, "c.jpg", (64, 64))
    (folder / "d.png").write_bytes(b"no image")
    (folder / "notes.txt").write_text("not an image's name")
    images = from_folder(folder, common_size(folder, 256), "generated")
    assert images.images.shape == (3, 40, 40) and images.names == ("a.png", "b.png", "c.jpg")
    assert images.skipped == ("d.png: This is not an image. Allowed: PNG, JPEG, TIFF, DICOM.",)
    assert images.notes == (
        "generated: 1 images are stored in colors and were read as gray: b.png.",
        "generated: 3 images were scaled or cropped to 40 x 40 pixels: a.png, b.png, c.jpg.",
    )
    told = warnings(images, images.take([]))
    assert any("1 generated images could not be read" in note for note in told)


@pytest.mark.parametrize("mask", ["masks/a.png", "lung masks/a.png", "a_mask.png"])
def test_masks_are_no_real_images(tmp_path: Path, mask: str) -> None:
    for name in ("a.png", mask):
        write((tmp_path / name).parent, Path(name).name)
    images = from_folder(tmp_path, 40, "real")
    assert images.names == ("a.png",)
    assert images.notes[-1] == f"real: 1 files are masks of images and were left out: {Path(mask).name}."
    if "/" in mask:
        assert len(from_folder(tmp_path / Path(mask).parent, 40, "real")) == 1  # which is what was asked for


def test_some_of_a_folder_are_spread_over_it(tmp_path: Path) -> None:
    for i in range(10):
        write(tmp_path / "many", f"{i}.png")
    images = from_folder(tmp_path / "many", 32, "real", limit=5)
    assert images.names == ("0.png", "2.png", "4.png", "6.png", "8.png")
    assert "5 of 10" in images.notes[0]
    assert len(set(from_folder(tmp_path / "many", 32, "real", limit=11).names)) == 10


@pytest.mark.parametrize(
    ("content", "words"), [(None, "no folder"), (b"", "holds no image"), (b"x", "no readable image")]
)
def test_a_folder_without_images_is_refused(tmp_path: Path, content: bytes | None, words: str) -> None:
    folder = tmp_path / "given"
    if content is not None:
        folder.mkdir()
        if content:
            (folder / "x.png").write_bytes(content)
    with pytest.raises(StudioError, match=words):
        from_folder(folder, 32, "generated")


def test_the_same_images_on_both_sides_are_noticed(tmp_path: Path) -> None:
    for i in range(3):
        write(tmp_path / "one", f"{'x' * (i + 1)}.png")
    images = from_folder(tmp_path / "one", 32, "generated")
    assert num_shared(thumbnails(images.images), thumbnails(images.take([0, 1]).images)) == 2
    assert "3 of 3 generated images are also among the real ones" in warnings(images, images)[-1]


def test_real_images_are_unseen_ones_unless_asked_otherwise(dataset_folder: Path) -> None:
    unseen = read_real(dataset_folder, 32, "unseen", sharp_only=False)
    assert {row.split for row in unseen.images.rows} == {"val", "test"} and unseen.split == "val+test"
    assert {row.split for row in unseen.training} == {"train"}
    assert TRAINING_NOTE in read_real(dataset_folder, 32, "train", sharp_only=False).notes
    assert TRAINING_NOTE not in unseen.notes
    sharp = read_real(dataset_folder, 256, "unseen", sharp_only=True)
    if len(sharp.images) < len(unseen.images):
        assert all(row.native_size >= 256 for row in sharp.images.rows) and "were left out" in sharp.notes[-1]
    folder = read_real(dataset_folder / "images", 32, "unseen", sharp_only=False, limit=4)
    assert len(folder.images) == 4 and not folder.training and not folder.images.rows
    with pytest.raises(StudioError):
        read_training_rows(dataset_folder / "images")


def test_prompts_keep_the_mix_of_the_rows(dataset_folder: Path) -> None:
    rows = read_real(dataset_folder, 32, "unseen", sharp_only=False).images.rows
    share = sum(row.source.startswith("nih") for row in rows) / len(rows)
    for count in (20, 3 * len(rows)):
        chosen = spread(rows, count)
        assert len(chosen) == count
        assert abs(sum(row.source.startswith("nih") for row in chosen) / count - share) < 0.1
    assert set(spread(rows, len(rows))) == set(rows)
    examples = prompt_rows((), ("Chest X-ray with pneumonia",))
    assert examples[0].prompt == "Chest X-ray with pneumonia" and examples[0].findings == ("pneumonia",)
    with pytest.raises(StudioError, match="no prompts"):
        prompt_rows((), ())


def test_splits_are_equally_large_and_share_no_patient(real: ImageSet) -> None:
    for split in matched_splits(blank(60), real, np.random.default_rng(0)):
        assert split.size == 60 and len(set(split.generated)) == len(set(split.real)) == len(set(split.other)) == 60
        one, other = ({real.rows[i].patient_id for i in places} for places in (split.real, split.other))
        assert not one & other
    assert matched_splits(blank(500), real, np.random.default_rng(0))[0].size == len(set(groups(real))) // 2
    assert matched_splits(blank(0), blank(1), np.random.default_rng(0))[0].size == 0


def test_a_split_takes_one_image_of_a_patient_on_every_side(real: ImageSet) -> None:
    rows = tuple(Row(row.path, row.prompt, (), patient_id=str(i // 7)) for i, row in enumerate(real.rows))
    for split in matched_splits(blank(len(rows), rows), blank(len(rows), rows), np.random.default_rng(0)):
        assert split.size == len({row.patient_id for row in rows}) // 2
        for places in (split.generated, np.concatenate([split.real, split.other])):
            assert len({rows[i].patient_id for i in places}) == len(places)
