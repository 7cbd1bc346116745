"""Which encoder of a folder is used for which images."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from xray_generator.checkpoints import seal
from xray_generator.config import dump
from xray_generator.data.rows import Row
from xray_generator.dicom.hounsfield import WINDOWS
from xray_generator.reference_encoder.manifest import Calibration, EncoderManifest, EncoderShape, fitting_encoder
from xray_generator.types import StudioError

CILIA, LUNGS = ("cp", "normal", "oda"), ("benign", "malignant", "normal")
CELLS = ("basophil", "platelet")


@pytest.fixture
def encoders(tmp_path: Path) -> Path:
    for name, labels, classes, source in (
        ("axoneme", CILIA, CILIA, "phantoms"),
        ("blood", CELLS, CELLS, "smears"),
        ("chest", ("mass",), (), "nih"),
        ("lung", LUNGS, LUNGS, "iq_oth"),
    ):
        manifest = EncoderManifest(
            name,
            EncoderShape(),
            labels,
            dict.fromkeys(labels, Calibration()),
            {},
            {"sources": {source: 9}},
            {},
            "",
            "",
            classes=classes,
        )
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text(json.dumps(seal(dump(manifest))))
    return tmp_path


def rows(labels: Sequence[str], source: str = "") -> list[Row]:
    return [Row(Path("a.png"), "", (), label=label, source=source) for label in labels]


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ((), "chest"),
        (rows([""]), "chest"),
        (rows(["normal", "malignant", "adenocarcinoma"]), "lung"),
        (rows(["normal", "oda"]), "axoneme"),
        (rows(["normal"], "iq_oth"), "lung"),
        (rows(["platelet"], "smears"), "blood"),
        (rows(["normal", "plaid"], "looms"), None),
        (rows(["plaid", "tartan"]), None),
        ([replace(row, hu_window=WINDOWS["lung"]) for row in rows([""])], None),
    ],
)
def test_the_encoder_trained_on_similar_images_is_chosen(given: list[Row], name: str | None, encoders: Path) -> None:
    found = fitting_encoder(encoders, given)
    assert (found and found.name) == name


def test_without_an_encoder_of_such_images_there_is_none(tmp_path: Path) -> None:
    assert fitting_encoder(tmp_path, rows(["normal"])) is None
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "manifest.json").write_text("{")
    with pytest.raises(StudioError, match="broken"):
        fitting_encoder(tmp_path)
