"""Contact sheets: labels are drawn, wrapped and repeated in the file's text."""

import io

import numpy as np
from PIL import Image as PILImage

from xray_generator.export.sheet import SheetRow, encode_sheet
from xray_generator.images import read_image


def test_the_label_is_drawn_wrapped_and_written_as_text() -> None:
    image = np.zeros((16, 16), np.float32)
    labels = ("few", "many words " * 40)
    short, long = (encode_sheet([SheetRow(label, [image])], 1) for label in labels)
    assert read_image(short).max() > 0.5
    assert read_image(long).shape[0] > read_image(short).shape[0] + 40
    assert getattr(PILImage.open(io.BytesIO(short)), "text", {})["Description"] == "few"
