"""Masks are told from images by the names of folders and files."""

from pathlib import Path

import pytest

from xray_generator.data.masks import are_masks, split_masks

OTHERS = ("COVID", "Lung Opacity", "with_mask")


@pytest.mark.parametrize(
    "folder",
    ["masks", "GT", "Ground Truth", "segmentation_masks", "lung masks", "LungMasks", "labelsTr", "contours"],
)
def test_folders_of_masks(folder: str) -> None:
    assert are_masks(folder, OTHERS)
    images, masks = split_masks([Path("n") / folder / "1.png", Path("n/images/1.png")], Path("n"))
    assert [path.parent.name for path in images] == ["images"] and len(masks) == 1


@pytest.mark.parametrize(("folder", "is_mask"), [("COVID_mask", True), ("lung-opacity mask", True)])
def test_a_folder_named_for_that_of_a_class(folder: str, is_mask: bool) -> None:
    assert are_masks(folder, OTHERS) == is_mask and not are_masks(folder, ["other"])


@pytest.mark.parametrize("folder", ["with_mask", "without_mask", "COVID", "unlabeled", "segmented", "gtx"])
def test_folders_of_classes(folder: str) -> None:
    assert not are_masks(folder, OTHERS)


@pytest.mark.parametrize(
    "mask",
    [
        *("im_1_mask", "im_1-mask", "mask_im_1", "im_1mask", "im_1.mask", "im_1 (mask)", "im_1_lung_mask"),
        *("im_1_mask_left", "IM_1_MASK", "im_1_seg_0", "im_1_gt", "lung_mask_im_1"),
    ],
)
def test_a_mask_beside_its_image(mask: str) -> None:
    paths = [Path("n/im_1.jpg"), Path(f"n/{mask}.png"), Path("n/im_2.png")]
    assert split_masks(paths, Path("n")) == ([paths[0], paths[2]], [paths[1]])
    assert split_masks(paths[1:], Path("n"))[1] == []  # without the image it may be one itself


def test_names_of_a_class_that_is_named_for_masks() -> None:
    paths = [Path(f"with_mask/with_mask_{i}.png") for i in range(3)] + [Path("with_mask/label.png")]
    assert split_masks(paths, Path("with_mask"))[1] == []
