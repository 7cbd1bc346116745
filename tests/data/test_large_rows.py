"""Films of the captioned pack that are kept larger in a second folder."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from xray_generator.data.captioned import large_rows, read_captioned

Pixels = NDArray[np.uint8]
MakePack = Callable[..., Path]
MakePixels = Callable[[int], Pixels]


def test_large_rows_take_the_file_of_images512(make_pack: MakePack, pixels: MakePixels) -> None:
    names = ("both.png", "small.png", "large.png", "odd.png")
    folder = make_pack(
        [f"{name},c,,p,val" for name in names],
        {name: pixels(i) if name != "large.png" else np.tile(pixels(i), (2, 2)) for i, name in enumerate(names)},
        "image,caption,labels,patient_id,split",
    )
    (folder / "images512").mkdir()
    PILImage.fromarray(np.tile(pixels(0), (3, 2))).save(folder / "images512" / "both.png")
    PILImage.fromarray(pixels(3)).save(folder / "images512" / "odd.png")
    found = {row.path.relative_to(folder).as_posix(): row for row in large_rows(read_captioned(folder).rows, 128)}
    assert list(found) == ["images512/both.png", "images/large.png"]
    row = found["images512/both.png"]
    assert (row.native_size, row.split, row.image().shape) == (128, "val", (192, 128))
