"""Drawing an image again from its file: equal bits, what is said where they are not, and what cannot be drawn."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

from postprocess.presets import PRESETS
from xray_generator import generation
from xray_generator.dicom import read_header
from xray_generator.export.archive import encode_enhanced
from xray_generator.export.pictures import Picture, pictures
from xray_generator.export.recipe import encode_png, read_recipe, recipe_chunks
from xray_generator.gallery import read_source
from xray_generator.images import encode_png as encode_bare_png
from xray_generator.images import from_uint8, to_uint8
from xray_generator.reproduce import DIFFERS, Reproduction, main, reproduce
from xray_generator.requests import make_request, text_request
from xray_generator.studio import Studio
from xray_generator.types import (
    AdapterWeight,
    CheckpointRef,
    ClassLabel,
    Edit,
    GenerationResult,
    Image,
    Morph,
    StudioError,
)

REQUEST = text_request("Normal chest X-ray, PA view", seed=3, size=64, steps=2, guidance=3.0)
OTHER = replace(REQUEST, seed=8)
CHANGE = "AP chest X-ray with pleural effusion"


@pytest.fixture(scope="module")
def studio(tiny_checkpoint: Path) -> Studio:
    return Studio(tiny_checkpoint, "cpu")


@pytest.fixture(scope="module")
def drawn(studio: Studio) -> Picture:
    return pictures(studio.generate(REQUEST), 0)[0]


@pytest.fixture(scope="module")
def film(tiny_rows: tuple) -> Image:  # type: ignore[type-arg]
    image: Image = tiny_rows[0].image()
    return image


def again(studio: Studio, data: bytes, source: Image | None = None) -> Reproduction:
    return reproduce(studio, read_recipe(data), data, source)


def png_of(result: GenerationResult) -> bytes:
    return pictures(result, 0)[0].png()


def changed(picture: Picture, levels: int) -> bytes:
    """The PNG of a picture, one pixel of which was changed by some gray levels."""
    gray = to_uint8(picture.image)
    gray[5, 7] = gray[5, 7] + levels if gray[5, 7] < 128 else gray[5, 7] - levels
    return encode_bare_png(from_uint8(gray), recipe_chunks(picture.recipe))


def test_an_image_a_dicom_file_and_enhanced_images_are_drawn_again_bit_by_bit(studio: Studio, drawn: Picture) -> None:
    enhanced = pictures(studio.generate(REQUEST), 0, PRESETS[1])[1]
    of_the_file = encode_enhanced(read_source(drawn.png(), ""), PRESETS[2])  # 8 bits
    deep = encode_bare_png(drawn.image, recipe_chunks(drawn.recipe), 16)
    for data in (drawn.png(), drawn.dicom(None), enhanced.png(), of_the_file, deep):
        found = again(studio, data)
        assert found.verdict == "bit-identical: all 4,096 pixels are equal" and found.causes == () and found.is_near
        assert found.picture.recipe == read_recipe(data)


def test_a_ct_slice_in_hounsfield_units_is_drawn_again(tiny_ct_checkpoint: Path) -> None:
    studio = Studio(tiny_ct_checkpoint, "cpu")
    result = studio.generate(make_request(ClassLabel("normal"), seed=2, size=32, steps=2))
    (picture,) = pictures(result, 0)
    assert again(studio, picture.dicom(studio.manifest().hu_window)).num_different == 0
    enhanced = pictures(result, 0, PRESETS[1])[1].dicom(studio.manifest().hu_window)
    assert again(studio, enhanced).num_different == 0 and read_header(enhanced).modality == "OT"  # no Hounsfield units
    darker = replace(picture, image=picture.image * np.float32(0.9))
    found = again(studio, darker.dicom(studio.manifest().hu_window))
    assert 2 < found.largest <= 26 and not found.is_near


def test_morphs_and_edits_are_drawn_again(studio: Studio, film: Image) -> None:
    morph = studio.task(generation.morph, REQUEST, Morph(OTHER, 0.4))()
    edit = studio.task(generation.edit, None, REQUEST, Edit(CHANGE, 0.6))()
    for result in (morph, edit.after):
        assert again(studio, png_of(result)).num_different == 0
    upload = read_source(encode_bare_png(film), "uploaded").image
    for method in ("inversion", "noise"):
        result = studio.task(generation.edit, upload, REQUEST, Edit(CHANGE, 0.6, method=method))().after
        data = png_of(result)
        assert again(studio, data, upload).num_different == 0
    with pytest.raises(StudioError, match="give that image as --source"):
        again(studio, data)
    with pytest.raises(StudioError, match="not the image that was edited"):
        again(studio, data, 1 - upload)
    with pytest.raises(StudioError, match="leave out --source"):
        again(studio, png_of(morph), upload)


def test_an_image_with_an_adapter_is_drawn_again_and_a_missing_one_is_named(
    adapter_checkpoints: Path, studio: Studio
) -> None:
    adapted = Studio(adapter_checkpoints, "cpu")
    weights = (AdapterWeight(adapted.manifest("lora/first").ref, 0.7),)
    data = png_of(adapted.generate(replace(REQUEST, adapters=weights), "tiny"))
    assert again(adapted, data).num_different == 0
    with pytest.raises(StudioError, match="Unknown checkpoint 'lora/first'"):
        again(studio, data)


def test_a_changed_pixel_is_measured_and_the_likely_cause_named(studio: Studio, drawn: Picture) -> None:
    near = again(studio, changed(drawn, 2))
    assert near.verdict == "near: 1 of 4,096 pixels differ, by 2 of 255 gray levels at most" and near.is_near
    assert len(near.causes) == 1 and "file was changed" in near.causes[0]
    elsewhere = replace(drawn, recipe=replace(drawn.recipe, runtime=drawn.recipe.runtime | {"torch": "0.1"}))
    far = again(studio, changed(elsewhere, 60))
    assert far.verdict.startswith("different: 1 of 4,096") and far.largest == pytest.approx(60, abs=0.01)
    assert len(far.causes) == 1 and "Made with torch 0.1" in far.causes[0]


def test_other_weights_and_files_that_cannot_be_drawn_are_named(studio: Studio, drawn: Picture) -> None:
    ref = drawn.recipe.checkpoint
    found = again(studio, encode_png(1 - drawn.image, replace(drawn.recipe, checkpoint=replace(ref, sha256="ab" * 32))))
    assert not found.is_near and "abababababab) are not here" in found.causes[0]
    gone = replace(drawn.recipe, checkpoint=replace(ref, name="gone"))
    with pytest.raises(StudioError, match="latent_diffusion/gone.* are not here"):
        again(studio, encode_png(drawn.image, gone))
    enlarged = replace(drawn.recipe, upscaler=CheckpointRef("super_resolution", "large", "cd" * 32))
    with pytest.raises(StudioError, match="enlarged this image .*large.* are not here"):
        again(studio, encode_png(drawn.image, enlarged))
    with pytest.raises(StudioError, match="48 x 64 pixels and its recipe draws 64 x 64: it was scaled or cropped"):
        again(studio, encode_png(drawn.image[:, :48], drawn.recipe))


def test_the_command_says_what_it_found_and_keeps_the_image(
    studio: Studio,
    drawn: Picture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("OUTPUT_DIR", str(studio.output_dir))
    path, kept = tmp_path / "x.png", tmp_path / "new" / "again.dcm"
    path.write_bytes(drawn.png())
    assert main([str(path), "--output", str(kept)]) == 0
    assert capsys.readouterr().out == f"{path}: bit-identical: all 4,096 pixels are equal\n"
    assert kept.read_bytes() == drawn.dicom(None)
    path.write_bytes(changed(drawn, 60))
    assert main([str(path), "--output", str(tmp_path / "again.png")]) == DIFFERS
    assert "likely cause: " in capsys.readouterr().out
    assert (tmp_path / "again.png").read_bytes() == drawn.png()
    path.write_bytes(encode_bare_png(drawn.image))
    for arguments in ([str(path)], [str(tmp_path / "absent.png")], [str(path), "--output", "x.jpg"]):
        assert main(arguments) == 1
        assert capsys.readouterr().err.count("\n") == 1
    assert PILImage.open(io.BytesIO(drawn.png())).size == (64, 64)
