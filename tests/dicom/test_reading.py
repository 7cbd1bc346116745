"""Reading DICOM pixels: right Hounsfield units and gray levels, or an error that names the fault."""

import csv
import struct
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import (
    MPEG2MPML,
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    RLELossless,
)

from tests.ct_files import CT_DATA, HU, ct, needs_ct_data, opened, saved
from tests.test_images import dicom
from xray_generator.dicom import read_header, read_slice
from xray_generator.dicom.reading import AIR
from xray_generator.images import read_image
from xray_generator.types import StudioError


def refused(data: bytes, match: str) -> None:
    for read in (read_slice, read_image):
        with pytest.raises(StudioError, match=match):
            read(data)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless, JPEG2000Lossless]
)
def test_hounsfield_units_are_right_in_every_transfer_syntax(syntax: UID, signed: bool) -> None:
    assert np.array_equal(read_slice(ct(signed=signed, syntax=syntax)).hu, HU)


def test_slope_and_intercept_as_scanners_write_them() -> None:
    data = ct(RescaleSlope="1.0002441", RescaleIntercept="-01.024000E+03", RescaleType="Houndsfield Unit")
    assert np.allclose(read_slice(data).hu, (HU + 1024) * 1.0002441 - 1024, atol=1e-3)


def test_a_file_without_pixel_data_is_refused() -> None:
    refused(ct(without=("PixelData",), Modality="SR"), r"no image in this DICOM file \(modality SR\)")
    with pytest.raises(StudioError, match="no image"):
        read_header(ct(without=("PixelData",)))


@pytest.mark.parametrize(
    "tag", ["Rows", "Columns", "BitsAllocated", "BitsStored", "PixelRepresentation", "PhotometricInterpretation"]
)
def test_a_missing_tag_is_named(tag: str) -> None:
    refused(ct(without=(tag,)), f"lacks {tag}")


def test_a_file_that_is_cut_short_is_refused() -> None:
    data = ct()
    refused(ct(PixelData=b"\0" * 10), "cut short: 10 of 3,072 bytes")
    for end in range(140, len(data) - 1, 7):
        with pytest.raises(StudioError):
            read_slice(data[:end])
        with pytest.raises(StudioError):
            read_header(data[:end])


def test_bytes_after_the_first_frame_are_ignored_and_noted() -> None:
    found = read_slice(ct(PixelData=opened(ct()).PixelData * 3))
    assert np.array_equal(found.hu, HU)
    assert found.notes == ("6,144 bytes after the first frame are ignored",)


@pytest.mark.parametrize("tags", [{"Rows": 65_535, "Columns": 65_535}, {"NumberOfFrames": 1_000_000}])
def test_an_image_of_too_many_pixels_is_refused_by_its_header(tags: dict[str, object]) -> None:
    refused(ct(**tags), "at most 40 megapixels")


def test_a_compressed_stream_larger_than_its_header_is_refused() -> None:
    dataset = opened(ct(np.zeros((512, 512), np.int16), syntax=JPEG2000Lossless))
    dataset.Rows = dataset.Columns = 16
    refused(saved(dataset), "of another size than the header states")


@pytest.mark.parametrize("name", ["JPGExtended.dcm", "MR_small_jpeg_ls_lossless.dcm", "MR_small_jp2klossless.dcm"])
def test_compressed_files_of_real_scanners_are_decoded(name: str) -> None:
    path = Path(get_testdata_file(name, download=False))
    image = read_image(path)
    assert image.shape == pydicom.dcmread(path).pixel_array.shape
    assert image.std() > 0.01


def test_the_package_that_a_compression_needs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    packages = {JPEG2000Lossless: "pylibjpeg-openjpeg", JPEGLosslessSV1: "pylibjpeg-libjpeg"}
    for syntax, package in packages.items():
        decoder = pydicom.pixels.get_decoder(syntax)
        with monkeypatch.context() as patch:
            patch.setattr(decoder, "_available", {})
            dataset = opened(ct(syntax=JPEG2000Lossless))
            refused(saved(dataset, syntax), f"compressed as JPEG .*: pip install pylibjpeg {package}")


def test_an_unsupported_compression_is_named() -> None:
    refused(saved(opened(ct(syntax=RLELossless)), MPEG2MPML), "compressed as MPEG2 .* which is not read")


def test_monochrome1_is_shown_inverted_and_keeps_its_hounsfield_units() -> None:
    values = np.tile(np.arange(32), (16, 1)) * 100
    normal, inverted = read_image(dicom(values)), read_image(dicom(values, "MONOCHROME1"))
    assert np.allclose(normal, values / values.max(), atol=1e-6)
    assert np.allclose(inverted, 1 - normal, atol=1e-6)
    found = read_slice(ct(PhotometricInterpretation="MONOCHROME1"))
    assert np.array_equal(found.hu, HU)
    assert "MONOCHROME1" in found.notes[0]


def test_a_slice_without_a_valid_rescale_is_refused() -> None:
    for tag in ("RescaleSlope", "RescaleIntercept"):
        with pytest.raises(StudioError, match=f"lacks {tag}"):
            read_slice(ct(without=(tag,)))
    refused(ct(RescaleSlope=0), "slope")
    for tags in ({"RescaleSlope": -1}, {"RescaleSlope": "nan"}, {"RescaleType": "OD"}):
        with pytest.raises(StudioError):
            read_slice(ct(**tags))
    with pytest.raises(StudioError, match="modality is MR"):
        read_slice(ct(Modality="MR"))


@pytest.mark.parametrize("signed", [False, True])
def test_unused_high_bits_are_dropped(signed: bool) -> None:
    hu = (np.arange(512, dtype=np.int16).reshape(16, 32) - 256) * (4 if signed else 2) + (0 if signed else 500)
    stored = (hu if signed else hu + 1024).astype(np.int64) & 0xFFF
    dirty = stored | np.random.default_rng(0).integers(0, 16, stored.shape) << 12
    data = ct(hu, signed=signed, BitsStored=12, HighBit=11, PixelData=dirty.astype("<u2").tobytes())
    assert np.array_equal(read_slice(data).hu, hu)
    refused(ct(BitsStored=12, HighBit=15), "HighBit")


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("padding", [-2000, 63_536])
def test_padding_is_air_and_metal_is_clipped(padding: int, syntax: UID) -> None:
    hu = HU.copy()
    hu[0, :5], hu[1, :3], hu[2, :2] = -2000, 30_000, -1500
    dataset = opened(ct(hu, signed=True))
    dataset.add_new("PixelPaddingValue", "SS" if padding < 0 else "US", padding)
    found = read_slice(saved(dataset, syntax))
    assert (found.hu[0, :5] == AIR).all() and (found.hu[2, :2] == AIR).all() and (found.hu[1, :3] == 3071).all()
    assert np.array_equal(found.hu[3:], HU[3:])
    assert found.notes == (
        "7 pixels outside the field of view are set to air (-1000 HU)",
        "3 pixels above 3071 HU, metal or overflow, are clipped",
    )


def test_a_range_of_large_padding_values_is_air() -> None:
    hu = HU.copy()
    hu[0] = np.arange(2000, 2048)
    data = ct(hu, signed=True, PixelPaddingValue=2000, PixelPaddingRangeLimit=2047)
    assert (read_slice(data).hu[0] == AIR).all()


def test_padding_does_not_stretch_the_gray_levels() -> None:
    values = np.tile(np.arange(32) + 1000, (16, 1))
    padded = values.copy()
    padded[:, :4] = 0
    image = read_image(dicom(padded, PixelPaddingValue=0))
    assert np.allclose(image[:, 4:], (values[:, 4:] - 1004) / 27, atol=1e-6)
    assert (image[:, :4] == 0).all()


@pytest.mark.parametrize(
    "tags",
    [
        {"NumberOfFrames": 2},
        {"SamplesPerPixel": 3},
        {"PhotometricInterpretation": "RGB"},
        {"PhotometricInterpretation": "YBR_FULL"},
        {"PhotometricInterpretation": "PALETTE COLOR"},
    ],
)
def test_several_frames_and_colors_are_refused(tags: dict[str, object]) -> None:
    refused(ct(**tags), "Only single-frame|Only gray")


@pytest.mark.parametrize("data", [b"", b"\0" * 400, b"DICOM" * 50, ct()[128:], ct()[132:]])
def test_a_file_without_the_dicom_mark_is_refused(data: bytes) -> None:
    with pytest.raises(StudioError, match="not a DICOM file"):
        read_slice(data)


@pytest.mark.parametrize("mark", [b"MZ", b"\x7fELF", b"PK\3\4", b"#!/bin/sh"])
def test_a_program_or_archive_in_the_preamble_is_refused(mark: bytes) -> None:
    refused(mark + ct()[len(mark) :], "begins as a .*it is not read")


@pytest.mark.parametrize("depth", [200, 5_000])
@pytest.mark.parametrize("place", [0x0008_1140, 0x0099_1000])
def test_deeply_nested_sequences_are_refused(depth: int, place: int) -> None:
    data = ct()
    tag = struct.pack("<HH", place >> 16, place & 0xFFFF)
    item = tag + b"SQ\0\0" + b"\xff" * 4 + b"\xfe\xff\x00\xe0" + b"\xff" * 4
    end = b"\xfe\xff\x0d\xe0\0\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0"
    start = data.index(struct.pack("<HH", 0x0008, 0x0060) + b"CS")
    bomb = data[:start] + item * depth + end * depth + data[start:]
    refused(bomb, "nested too deeply")


def test_a_dicomdir_is_refused() -> None:
    dataset = opened(ct())
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = UID("1.2.840.10008.1.3.10")
    refused(saved(dataset), "DICOMDIR")


@needs_ct_data
def test_real_slices_equal_the_rescaled_values_of_pydicom() -> None:
    lines = list(csv.DictReader((CT_DATA / "dicom_index.csv").read_text().splitlines()))
    assert len(lines) == 47
    planes = []
    for line in lines:
        path = CT_DATA / line["file"]
        header = read_header(path)
        planes.append(header.plane)
        assert header.patient_id == line["patient_id"] and header.is_deidentified and not header.identifying
        dataset = pydicom.dcmread(path)
        expected = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
        assert expected.min() == pytest.approx(float(line["hu_min"]), abs=0.1)
        if header.plane != "axial":
            with pytest.raises(StudioError, match=header.plane):
                read_slice(path)
            continue
        if line["orientation"].startswith("[-1"):  # prone
            expected = expected[::-1, ::-1]
        inside = (expected >= -1024) & (expected <= 3071)
        found = read_slice(path)
        assert np.abs(found.hu - expected)[inside].max() < 1e-3
        assert (found.hu[~inside & (expected < 0)] == AIR).all()
    assert sorted(planes) == ["axial"] * 45 + ["coronal", "sagittal"]


@pytest.mark.parametrize(
    "tags",
    [
        {"Rows": 65_535, "Columns": 65_535},
        {"NumberOfFrames": 2},
        {"SamplesPerPixel": 3},
        {"PixelData": b"\0" * 10},
        {"RescaleSlope": "nan", "RescaleIntercept": 0},
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_faulty_radiographs_are_refused(tags: dict[str, object]) -> None:
    with pytest.raises(StudioError):
        read_image(dicom(np.tile(np.arange(32), (16, 1)), **tags))


def test_padding_of_an_inverted_image_stays_black() -> None:
    values = np.tile(np.arange(0, 3_200, 100, dtype=np.uint16), (32, 1))
    values[:, :8] = 4_095
    dataset = opened(dicom(values, "MONOCHROME1"))
    dataset.PixelPaddingValue = 4_095
    shown = read_image(saved(dataset))
    assert (shown[:, :8] == 0).all() and shown[0, 8] == 1 and shown[0, -1] == 0


def test_a_window_of_width_0_is_ignored() -> None:
    dataset = opened(dicom(np.tile(np.arange(32, dtype=np.uint16), (32, 1))))
    dataset.WindowCenter, dataset.WindowWidth = 10, 0
    shown = read_image(saved(dataset))
    assert shown.min() == 0 and shown.max() == 1


@pytest.mark.parametrize(
    ("tags", "mean"),
    [
        ({"WindowCenter": [0, 16], "WindowWidth": [0, 32]}, 0.5),  # the second has a width
        ({"WindowCenter": 1, "WindowWidth": 1, "RescaleSlope": 0.0625, "RescaleIntercept": 0}, 0.5),
        ({"WindowCenter": 16, "WindowWidth": 32, "VOILUTFunction": ""}, 0.5),
    ],
)
def test_windows_that_converters_write(tags: dict[str, object], mean: float) -> None:
    notes: list[str] = []
    shown = read_image(dicom(np.tile(np.arange(33, dtype=np.uint16), (32, 1)), **tags), notes)
    assert shown.mean() == pytest.approx(mean, abs=0.02) and notes == []


@pytest.mark.parametrize(
    ("value", "tags", "note"),
    [
        (0, {"WindowCenter": 5, "WindowWidth": -3}, "its window has no width and is not used"),
        (0, {"WindowCenter": 9_000, "WindowWidth": 10}, "its window shows all of its pixels alike"),
        (4_000, {}, "a few bright pixels leave the rest in the darkest quarter"),
    ],
)
def test_a_doubtful_window_is_noted(value: int, tags: dict[str, object], note: str) -> None:
    values, notes = np.tile(np.arange(64, dtype=np.uint16), (32, 1)), list[str]()
    values[0, 0] = value
    read_image(dicom(values, **tags), notes)
    assert len(notes) == 1 and note in notes[0]


def test_a_few_dark_pixels_are_noted() -> None:
    values, notes = np.full((32, 64), 4_000, np.uint16), list[str]()
    values[0, 0] = 0
    read_image(dicom(values), notes)
    assert "a few dark pixels leave the rest in the brightest quarter" in notes[0]
