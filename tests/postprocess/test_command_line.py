"""`python -m postprocess` in this process, on tiny files of every format."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as PILImage
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid

from postprocess.__main__ import main
from postprocess.operations import Window
from postprocess.presets import PRESETS, Preset, apply, get_preset, to_json
from xray_generator.config import dump
from xray_generator.export.recipe import Recipe, encode_png, read_recipe
from xray_generator.images import read_image, to_uint8
from xray_generator.studio import Studio
from xray_generator.types import NOTICE, CheckpointRef, GenerationRequest, Image, TextPrompt


def write_dicom(path: Path, image: Image) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.Rows, dataset.Columns = image.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PixelRepresentation = 1, "MONOCHROME2", 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelData = np.rint(image * 4095).astype("<u2").tobytes()
    dataset.save_as(path, enforce_file_format=True)


@pytest.fixture
def files(tmp_path: Path, chest: Image) -> dict[str, Path]:
    """The same small chest, (48, 64), as 8-bit PNG, 16-bit PNG, JPEG and DICOM."""
    small = np.asarray(cv2.resize(chest, (64, 48), interpolation=cv2.INTER_AREA), np.float32)
    paths = {name: tmp_path / name for name in ("eight.png", "sixteen.png", "photo.jpg", "study.dcm")}
    PILImage.fromarray(to_uint8(small)).save(paths["eight.png"])
    PILImage.fromarray(np.rint(small * 65_535).astype(np.uint16)).save(paths["sixteen.png"])
    PILImage.fromarray(to_uint8(small)).save(paths["photo.jpg"], quality=95)
    write_dicom(paths["study.dcm"], small)
    return paths


def run_lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("bits", [8, 16])
def test_every_format_and_preset(
    files: dict[str, Path], bits: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "out"
    command = [*map(str, files.values()), "--preset", "all", "--output_dir", str(out), "--bits", str(bits)]
    assert main(command) == 0
    lines = run_lines(capsys)
    assert len(lines) == len(files) * len(PRESETS) == len(list(out.iterdir()))
    assert set(lines[0]) >= {"source", "path", "preset", "milliseconds", "saturated_fraction", "ssim_to_raw"}
    for source in files.values():
        raw = read_image(source)
        for preset in PRESETS:
            written = cv2.imread(str(out / f"{source.stem}_{preset.slug}.png"), cv2.IMREAD_UNCHANGED)
            assert written is not None
            assert written.dtype == (np.uint8 if bits == 8 else np.uint16)
            assert np.abs(written / (2**bits - 1) - apply(preset, raw)).max() <= 0.51 / (2**bits - 1)


def test_sixteen_bits_survive_a_window(tmp_path: Path) -> None:
    ramp = np.arange(20_000, 20_000 + 64 * 64, dtype=np.uint16).reshape(64, 64)
    PILImage.fromarray(ramp).save(tmp_path / "ramp.png")
    preset = tmp_path / "soft.json"
    preset.write_text(to_json(Preset("Soft", (Window(),))), encoding="utf-8")
    options = ["--preset-file", str(preset), "--bits", "16", "--output_dir", str(tmp_path / "out")]
    assert main([str(tmp_path / "ramp.png"), *options]) == 0
    written = cv2.imread(str(tmp_path / "out" / "ramp_soft.png"), cv2.IMREAD_UNCHANGED)
    assert written is not None
    assert (np.diff(written.ravel().astype(np.int64)) > 0).all()


def text_of(path: Path) -> dict[str, str]:
    """The text chunks of a PNG file."""
    return dict(getattr(PILImage.open(path), "text", {}))


@pytest.mark.parametrize("bits", ["8", "16"])
def test_image_of_this_studio_keeps_its_recipe_and_its_notice(tmp_path: Path, chest: Image, bits: str) -> None:
    recipe = Recipe(GenerationRequest(TextPrompt("Normal chest X-ray"), seed=3), CheckpointRef("a", "b", "0"))
    (tmp_path / "made.png").write_bytes(encode_png(chest, recipe))
    command = [str(tmp_path / "made.png"), "--preset", "all", "--bits", bits, "--output_dir", str(tmp_path / "out")]
    assert main(command) == 0
    for preset in PRESETS:
        written = tmp_path / "out" / f"made_{preset.slug}.png"
        assert read_recipe(written.read_bytes()).preset == (dump(preset) if preset.operations else None)
        assert text_of(written)["Description"] == NOTICE


def test_other_image_says_what_was_done_and_not_its_name(files: dict[str, Path], tmp_path: Path) -> None:
    assert main([str(files["photo.jpg"]), "--output_dir", str(tmp_path / "out")]) == 0
    text = text_of(tmp_path / "out" / "photo_balanced.png")
    assert json.loads(text["Preset"])["name"] == "Balanced"
    assert "Not for diagnosis" in text["Description"]
    assert "photo" not in " ".join(text.values())


def test_image_of_a_prompt_has_a_recipe_that_draws_it_again(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUTPUT_DIR", str(tiny_checkpoint))
    monkeypatch.setenv("STUDIO_THREADS", "1")
    assert main(["--prompt", "Normal chest X-ray", "--seed", "4", "--output_dir", str(tmp_path)]) == 0
    (written,) = tmp_path.iterdir()
    recipe = read_recipe(written.read_bytes())
    assert text_of(written)["Description"] == NOTICE
    assert (recipe.request.seed, recipe.runtime["threads"]) == (4, 1)
    raw = Studio().generate(recipe.request).images[0]
    assert np.array_equal(to_uint8(read_image(written)), to_uint8(apply(get_preset("Balanced"), raw)))


def test_prompt_heeds_the_number_of_threads(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OUTPUT_DIR", str(tiny_checkpoint))
    monkeypatch.setenv("STUDIO_THREADS", "many")
    assert main(["--prompt", "Normal chest X-ray", "--output_dir", str(tmp_path)]) == 1
    assert "number of threads" in capsys.readouterr().err


def test_a_bad_file_does_not_stop_the_others(
    files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "notes.png"
    text.write_text("not a picture", encoding="utf-8")
    missing = tmp_path / "missing.png"
    sources = [str(text), str(missing), str(files["eight.png"])]
    assert main([*sources, "--output_dir", str(tmp_path / "out")]) == 1
    captured = capsys.readouterr()
    assert f"{text}: This is not an image" in captured.err
    assert f"{missing}: No such file" in captured.err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["eight_balanced.png"]
    assert len(captured.out.splitlines()) == 1


def test_namesakes_and_inputs_are_not_overwritten(
    files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    twin = tmp_path / "deeper" / "eight.jpg"
    twin.parent.mkdir()
    twin.write_bytes(files["photo.jpg"].read_bytes())
    assert main([str(files["eight.png"]), str(twin), "--output_dir", str(tmp_path)]) == 1
    assert f"{twin}: " in capsys.readouterr().err
    earlier = tmp_path / "eight_balanced.png"
    content = earlier.read_bytes()
    assert main([str(files["eight.png"]), str(earlier), "--output_dir", str(tmp_path)]) == 1
    assert earlier.read_bytes() == content


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--preset", "Crisp"], "Choose from: None, Balanced"),
        (["--preset-file", "absent.json"], "absent.json: No such file"),
    ],
)
def test_wrong_options_end_in_one_sentence(
    options: list[str], message: str, files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(files["eight.png"]), *options, "--output_dir", str(tmp_path / "out")]) == 1
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""


@pytest.mark.parametrize("sources", [[], ["a.png", "--prompt", "Normal chest X-ray"]])
def test_files_or_a_prompt_but_not_both(sources: list[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([*sources, "--output_dir", str(tmp_path)])
