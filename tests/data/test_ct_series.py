"""CT series: slices in anatomical order whatever the files are called, and every refusal listed."""

import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from tests.ct_files import CT_DATA, HU, ct, needs_ct_data
from tests.test_images import dicom
from xray_generator.data.ct_series import CtOptions, SliceChoice, holds_ct, parse_choice, read_ct_series
from xray_generator.data.read import read_dataset
from xray_generator.data.record import RECORD, read_record
from xray_generator.data.rows import split_by_patient
from xray_generator.dicom.hounsfield import WINDOWS, Window
from xray_generator.train import common_parser, opened_run
from xray_generator.types import StudioError

ALL = SliceChoice("all")


def put(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def series(folder: Path, patient: str = "CASE-1", num: int = 7, uid: str = "1.2.3", **tags: object) -> None:
    """Slices 2 mm apart; the file names run against the body, and have no suffix."""
    for i in range(num):
        facts = {"PatientID": patient, "SeriesInstanceUID": uid, "ImagePositionPatient": [0, 0, 2 * i], **tags}
        put(folder / f"slice{num - i:03}", ct(HU + i, **facts))


@pytest.fixture
def qin(tmp_path: Path) -> Path:
    """`QIN LUNG CT 1..47`, of which three, each with a folder of its own name below."""
    for i in range(1, 4):
        series(tmp_path / f"QIN LUNG CT {i}" / f"study-{i}", f"QIN-{i}", uid=f"1.2.{i}")
    return tmp_path


def test_the_middle_slices_of_each_patient_in_the_order_of_the_body(qin: Path) -> None:
    dataset = read_dataset(qin)
    assert dataset.skipped == ()
    assert [row.patient_id for row in dataset.rows] == ["QIN-1"] * 5 + ["QIN-2"] * 5 + ["QIN-3"] * 5
    assert [row.path.name for row in dataset.rows[:5]] == [f"slice{i:03}" for i in (6, 5, 4, 3, 2)]
    row = dataset.rows[1]
    assert (row.hu_window, row.split, row.native_size) == (WINDOWS["lung"], split_by_patient("QIN-1"), 32)
    assert row.prompt == "Axial chest CT, lung window."
    image = row.image()
    assert np.allclose(image, WINDOWS["lung"].apply((HU + 2).astype(np.float32)), atol=1e-6)
    assert len(np.unique(image)) > 256  # no 8-bit step on the way


def test_other_windows_and_choices(qin: Path) -> None:
    dataset = read_dataset(qin, ct=CtOptions(SliceChoice("every", 3), Window(50, 350)))
    assert [row.path.name for row in dataset.rows[:3]] == ["slice007", "slice004", "slice001"]
    assert dataset.rows[0].prompt == "Axial chest CT, window level 50, width 350 HU."
    assert len(read_ct_series(qin, CtOptions(ALL)).rows) == 21


def test_slice_choices() -> None:
    slices = list(range(10))
    assert SliceChoice("middle", 4).of(slices) == (3, 4, 5, 6)
    assert SliceChoice("middle", 5).of(slices[:3]) == (0, 1, 2)
    assert SliceChoice("every", 4).of(slices) == (0, 4, 8)
    assert ALL.of(slices) == tuple(slices) and ALL.of([]) == ()
    assert [parse_choice(text) for text in ("middle:5", "EVERY:3", "all")] == [
        SliceChoice(),
        SliceChoice("every", 3),
        ALL,
    ]
    for text in ("", "middle", "middle:0", "every:-1", "all:3", "first:2", "middle:1.5", "middle:99999"):
        with pytest.raises(StudioError):
            parse_choice(text)
    for values in (("middle", 0), ("every", True), ("every", 1.5), ("first", 1)):
        with pytest.raises(StudioError):
            SliceChoice(*values)  # type: ignore[arg-type]


def test_the_patient_is_the_header_s_else_the_folder_s(tmp_path: Path) -> None:
    series(tmp_path / "P 7" / "deep", patient="")
    assert {row.patient_id for row in read_ct_series(tmp_path).rows} == {"P 7"}


def test_unreadable_files_are_listed_and_never_rows(tmp_path: Path) -> None:
    series(tmp_path / "a")
    whole = ct()
    put(tmp_path / "a" / "cut.dcm", whole[: len(whole) // 2])
    put(tmp_path / "a" / "empty.dcm", b"")
    put(tmp_path / "a" / "notes.txt", b"hello")
    put(tmp_path / "a" / "scout", ct(ImageOrientationPatient=[1, 0, 0, 0, 0, -1]))
    put(tmp_path / "a" / "report", ct(Modality="SR", without=("PixelData",)))
    put(tmp_path / "a" / "film", dicom(np.zeros((32, 32)), Modality="DX"))
    put(tmp_path / ".hidden" / "x", ct())
    os.mkfifo(tmp_path / "a" / "pipe")
    dataset = read_ct_series(tmp_path, CtOptions(ALL))
    assert len(dataset.rows) == 7
    text = "\n".join(dataset.skipped)
    for part in (
        "2 files are not DICOM: a/empty.dcm, a/notes.txt",
        "cut short: its pixels end early): a/cut.dcm",
        "coronal; only axial chest CT is read): a/scout",
        "(modality SR)",
        "modality is DX",
        "a/film",
    ):
        assert part in text
    assert not any(row.path.name in text for row in dataset.rows)


def test_damaged_pixels_raise_when_the_image_is_read(tmp_path: Path) -> None:
    series(tmp_path, num=1)
    (row,) = read_ct_series(tmp_path).rows
    row.path.write_bytes(row.path.read_bytes()[:-100])
    with pytest.raises(StudioError, match="slice001: The DICOM file is cut short"):
        row.image()


def test_identifying_tags_block_until_confirmed(tmp_path: Path) -> None:
    series(tmp_path / "clean")
    series(tmp_path / "named", "4711", uid="1.2.9", PatientName="Doe^Jane", PatientIdentityRemoved="NO")
    series(tmp_path / "burned", "CASE-3", uid="1.2.8", BurnedInAnnotation="YES")
    dataset = read_ct_series(tmp_path)
    assert {row.patient_id for row in dataset.rows} == {"CASE-1"}
    text = "\n".join(dataset.skipped)
    assert "7 files may identify the patient (PatientName, PatientID; confirm with --accept_identified)" in text
    assert "(burned-in text; confirm" in text and "Doe" not in text and "4711" not in text
    accepted = read_ct_series(tmp_path, CtOptions(accept_identified=True))
    patients = {row.patient_id for row in accepted.rows}
    assert len(patients) == 3 and "4711" not in patients  # a hash stands in for the number
    assert "Doe" not in repr(accepted)


def test_files_that_do_not_state_burned_in_text_are_noted(tmp_path: Path) -> None:
    series(tmp_path, without=("BurnedInAnnotation",))
    dataset = read_ct_series(tmp_path)
    assert len(dataset.rows) == 5
    assert dataset.skipped[0].startswith("7 files do not say whether text is burned into their pixels")


@pytest.mark.parametrize(
    ("tags", "match"),
    [
        ({"PatientID": "CASE-2"}, r"2 patients \(groups of 7, 1 slices\)"),
        ({"PixelSpacing": [0.8, 0.8]}, r"2 pixel spacings \(0.7 x 0.7 in 7 slices, 0.8 x 0.8 in 1 slices\)"),
        ({"SliceThickness": 5}, "2 slice thicknesses"),
        ({"ImagePositionPatient": [0, 0, 2]}, "at one position"),
        ({"ImageOrientationPatient": [-1, 0, 0, 0, -1, 0]}, "2 orientations"),
    ],
)
def test_a_mixed_series_is_refused(tmp_path: Path, tags: dict[str, object], match: str) -> None:
    series(tmp_path / "good", "CASE-9", uid="1.2.9")
    series(tmp_path / "mixed")
    put(tmp_path / "mixed" / "odd", ct(**{"ImagePositionPatient": [0, 0, 99], **tags}))
    dataset = read_ct_series(tmp_path)
    assert {row.patient_id for row in dataset.rows} == {"CASE-9"}
    (message,) = dataset.skipped
    assert message.startswith("series in mixed/ (…1.2.3): refused as a stack of 8 slices: ")
    with pytest.raises(StudioError, match=match):
        read_ct_series(tmp_path / "mixed")


@pytest.mark.parametrize("tags", [{"PixelSpacing": [0.70000001, 0.7]}, {"SliceThickness": 2.5000001}])
def test_a_difference_in_the_last_digit_is_none(tmp_path: Path, tags: dict[str, object]) -> None:
    series(tmp_path)
    put(tmp_path / "odd", ct(**{"ImagePositionPatient": [0, 0, 99], **tags}))
    assert len(read_ct_series(tmp_path, CtOptions(SliceChoice("all"))).rows) == 8


def test_a_series_with_a_repeated_object_is_refused(tmp_path: Path) -> None:
    series(tmp_path)
    put(tmp_path / "copy", (tmp_path / "slice001").read_bytes())
    with pytest.raises(StudioError, match="1 SOPInstanceUID occur more than once"):
        read_ct_series(tmp_path)


def test_a_missing_slice_is_noted(tmp_path: Path) -> None:
    series(tmp_path)
    (tmp_path / "slice004").unlink()
    dataset = read_ct_series(tmp_path, CtOptions(ALL))
    assert len(dataset.rows) == 6
    assert "the distance between slices varies from 2 to 4 mm; some may be missing" in dataset.skipped[0]


def test_synthetic_files_are_refused_unless_accepted(tmp_path: Path) -> None:
    series(tmp_path, SyntheticData="YES")
    with pytest.raises(StudioError, match="No CT slice .* 7 files say that they are synthetic"):
        read_dataset(tmp_path)
    assert len(read_dataset(tmp_path, ct=CtOptions(accept_synthetic=True)).rows) == 5


def test_folders_of_mostly_ct_files_are_recognized(qin: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert holds_ct(qin)
    films = tmp_path_factory.mktemp("films")
    put(films / "a" / "1.dcm", dicom(np.zeros((32, 32)), Modality="DX"))
    assert not holds_ct(films)
    for i in range(30):
        put(qin / f"{i}.png", b"many pictures and a few CT files are a set of pictures")
    assert not holds_ct(qin)


@dataclass(frozen=True)
class _Config:
    name: str = "x"


def test_a_resumed_run_reads_the_same_slices(qin: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    run, parser = tmp_path_factory.mktemp("run"), common_parser("train", "")
    given = ["--dataset_path", str(qin), "--slices", "every:3", "--window", "40,400", "--accept_synthetic"]
    with opened_run(parser.parse_args(given), _Config(), run) as first:
        assert len(first.rows) == 9
    kept = read_record(run)
    assert kept is not None
    assert kept.ct == CtOptions(SliceChoice("every", 3), Window(40, 400), accept_synthetic=True)
    (run / "stage").mkdir()
    with opened_run(parser.parse_args(["--resume_from", str(run)]), _Config(), run) as again:
        assert again == first
    for other in (["--window", "lung"], ["--slices", "all"]):
        options = parser.parse_args(["--resume_from", str(run), *other])
        with pytest.raises(StudioError, match="begun with other data"), opened_run(options, _Config(), run):
            pass
    assert "ct" in (run / RECORD).read_text()


def test_wrong_options_are_named(qin: Path, tmp_path: Path) -> None:
    for option, value in (("--slices", "first:3"), ("--window", "liver")):
        options = common_parser("train", "").parse_args(["--dataset_path", str(qin), option, value])
        with pytest.raises(StudioError, match=value), opened_run(options, _Config(), tmp_path / "run"):
            pass
    assert asdict(replace(CtOptions(), window=WINDOWS["bone"]))["window"] == {"level": 400.0, "width": 1800.0}


@needs_ct_data
def test_real_files_of_four_vendors() -> None:
    dataset = read_dataset(CT_DATA / "dicom", ct=CtOptions(ALL))
    assert len(dataset.rows) == 45
    assert len({row.patient_id for row in dataset.rows}) == 18
    text = "\n".join(dataset.skipped)
    assert "sagittal" in text and "coronal" in text and "refused" not in text
    lidc = [row.path.name for row in dataset.rows if row.patient_id == "LIDC-IDRI-0001"]
    assert lidc == [f"{i:03}.dcm" for i in range(59, 43, -1)]  # from the feet to the head
    for row in dataset.rows[::6]:
        image = row.image()
        assert image.shape == (512, 512) and 0.3 < image.mean() < 0.7 and len(np.unique(image)) > 256
