"""Slices of volumes: MRNet in its exact layout, NIfTI in known orientations, and what is refused."""

import json
from collections import Counter
from pathlib import Path

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.ct_files import ct
from tests.mrnet import CLASSES, EXAMS, make_mrnet
from xray_generator.data.read import read_dataset
from xray_generator.data.volumes import PLANES, Volume, find_volumes
from xray_generator.images import read_image
from xray_generator.slices import main
from xray_generator.types import StudioError


@pytest.fixture
def mrnet(tmp_path: Path) -> Path:
    return make_mrnet(tmp_path / "MRNet-v1.0", EXAMS)


def export(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def test_mrnet_gives_each_exam_once_with_one_class(mrnet: Path, tmp_path: Path) -> None:
    assert export("--input", mrnet, "--output_dir", tmp_path / "out", "--plane", "coronal", "--license", "MRNet") == 0
    rows = read_dataset(tmp_path / "out").rows
    assert (
        len(rows) == 6 * 5 and {row.view for row in rows} == {"coronal"} and {row.license for row in rows} == {"MRNet"}
    )
    assert {row.patient_id: row.label for row in rows} == dict(zip((*EXAMS, "1130"), (*CLASSES, "normal"), strict=True))
    assert Counter(row.split for row in rows) == {"train": 25, "val": 5}
    assert len({row.path for row in rows}) == len(rows) and {row.native_size for row in rows} == {256}


def test_slices_are_the_middle_ones_scaled_by_their_volume(mrnet: Path, tmp_path: Path) -> None:
    export("--input", mrnet, "--output_dir", tmp_path / "out", "--slices", "middle:3", "--plane", "sagittal")
    volume = np.load(mrnet / "train" / "sagittal" / "0001.npy").astype(float)  # 18 slices
    for place in (7, 8, 9):
        expected = (volume[place] - volume.min()) / (volume.max() - volume.min())
        assert (
            np.abs(read_image(tmp_path / "out" / f"images/0001_sagittal_{place:03d}.png") - expected).max()
            < 0.5 / 255 + 1e-6
        )
    assert not (tmp_path / "out" / "images" / "0001_sagittal_010.png").exists()


def test_all_planes_of_mrnet_stay_with_their_exam(mrnet: Path) -> None:
    volumes, notes = find_volumes(mrnet)
    assert len(volumes) == 18 and notes == ()
    assert len({(volume.patient_id, volume.split, volume.label) for volume in volumes}) == 6
    assert volumes[0].read().shape == (17, 256, 256)


def test_an_exam_without_a_label_has_no_class_and_is_named(mrnet: Path) -> None:
    table = mrnet / "train-acl.csv"
    table.write_text("\n".join(line for line in table.read_text().splitlines() if not line.startswith("0003")))
    volumes, notes = find_volumes(mrnet, ("axial",))
    assert {volume.patient_id: volume.label for volume in volumes}["0003"] == ""
    assert notes == ("1 exams lack a label in abnormal, acl, meniscus: their class is not known: train/axial/0003.npy",)


@pytest.mark.parametrize(
    ("line", "words"),
    [("0000,1", "line 6: exam 0000 is 0 and 1"), ("0009,2", "line 6: not the number"), ("1", "line 6: not the number")],
)
def test_a_table_that_contradicts_itself_is_refused(mrnet: Path, line: str, words: str) -> None:
    with (mrnet / "train-meniscus.csv").open("a") as stream:
        stream.write(f"{line}\n")
    with pytest.raises(StudioError, match=words):
        find_volumes(mrnet)


def body() -> NDArray[np.int16]:
    """(right, anterior, superior) 12 x 10 x 6: bright at the right, in front and at the head."""
    x, y, z = np.meshgrid(np.arange(12), np.arange(10), np.arange(6), indexing="ij")
    return (100 * x + 10 * y + z).astype(np.int16)


def save_nifti(
    path: Path, flip: tuple[int, int, int] = (1, 1, 1), zooms: tuple[float, float, float] = (1, 1, 1)
) -> Path:
    """A file whose axes run as `flip` says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.diag([*(sign * zoom for sign, zoom in zip(flip, zooms, strict=True)), 1.0])
    data = body()[tuple(slice(None, None, sign) for sign in flip)]
    nibabel.save(nibabel.Nifti1Image(data, affine), path)
    return path


@pytest.mark.parametrize("flip", [(1, 1, 1), (-1, 1, 1), (1, -1, -1)])
def test_nifti_is_shown_as_radiologists_view_it_however_it_is_stored(
    tmp_path: Path, flip: tuple[int, int, int]
) -> None:
    save_nifti(tmp_path / "in" / "a.nii.gz", flip)
    found = {volume.plane: volume.read() for volume in find_volumes(tmp_path / "in", PLANES)[0]}
    values = (body() - body().min()) / (body().max() - body().min())
    assert np.allclose(found["axial"][2], values[::-1, ::-1, 2].T, atol=1e-6)  # left edge: the right; top: the front
    assert np.allclose(found["coronal"][4], values[::-1, 4, ::-1].T, atol=1e-6)  # top: the head
    assert np.allclose(found["sagittal"][7], values[7, ::-1, ::-1].T, atol=1e-6)  # left edge: the front


def test_pixels_of_thick_slices_are_made_square(tmp_path: Path) -> None:
    save_nifti(tmp_path / "in" / "a.nii", zooms=(1.0, 1.0, 4.0))
    shapes = {volume.plane: volume.read().shape for volume in find_volumes(tmp_path / "in", PLANES)[0]}
    assert shapes == {"axial": (6, 10, 12), "coronal": (10, 24, 12), "sagittal": (12, 24, 10)}


def test_folders_are_classes_splits_or_patients_and_masks_are_left_out(tmp_path: Path) -> None:
    for name in (
        "train/Glioma/a.nii",
        "test/glioma/b.nii",
        "train/Healthy/c.nii",
        "train/Healthy/c_seg.nii",
        "masks/a.nii",
    ):
        save_nifti(tmp_path / "classes" / name)
    volumes, notes = find_volumes(tmp_path / "classes")
    assert [(v.label, v.split) for v in volumes] == [("glioma", "test"), ("glioma", "train"), ("healthy", "train")]
    assert notes[0] == "2 files are masks: a.nii, c_seg.nii" and "3 files name no patient" in notes[1]
    for name in ("sub-01/anat/sub-01_T1w.nii.gz", "sub-01/anat/sub-01_T2w.nii.gz", "sub-02/anat/sub-02_T1w.nii.gz"):
        save_nifti(tmp_path / "bids" / name)
    patients = find_volumes(tmp_path / "bids")[0]
    assert [(v.patient_id, v.label) for v in patients] == [("sub-01", "")] * 2 + [("sub-02", "")]
    assert patients[0].split == patients[1].split and len({v.name for v in patients}) == 3


def save_series(folder: Path, rows_first: bool = True, **tags: object) -> None:
    """An axial or sagittal MR series of three slices that brighten, named against their order."""
    folder.mkdir(parents=True)
    for place in range(3):
        hu = np.full((12, 16), 100 * place, np.int16)
        hu[:, :4] += 7 * (place + 1)
        orientation, position = ([1, 0, 0, 0, 1, 0], [0, 0, 5.0 * place])
        if not rows_first:
            orientation, position = [0, 1, 0, 0, 0, -1], [5.0 * place, 0, 0]
        data = ct(
            hu,
            signed=True,
            without=("RescaleSlope", "RescaleIntercept"),
            Modality="MR",
            ImageOrientationPatient=orientation,
            ImagePositionPatient=position,
            SOPInstanceUID=f"1.2.3.{place}",
            **tags,
        )
        (folder / f"{9 - place}").write_bytes(data)


def test_series_of_mri_in_dicom_are_ordered_by_place_and_scaled_as_one(tmp_path: Path) -> None:
    save_series(tmp_path / "in" / "a", PatientID="p1", SeriesInstanceUID="1.1")
    save_series(tmp_path / "in" / "b", rows_first=False, PatientID="p2", SeriesInstanceUID="1.2")
    axial, sagittal = find_volumes(tmp_path / "in")[0]
    assert (axial.plane, axial.patient_id, axial.label) == ("axial", "p1", "a")
    assert (sagittal.plane, sagittal.patient_id, sagittal.label) == ("sagittal", "p2", "b")
    stack = axial.read()
    assert stack.shape == (3, 12, 16) and stack[:, 0, 8].tolist() == pytest.approx([0, 100 / 221, 200 / 221])
    assert stack[2, 0, 0] == 1  # the left edge of the file is the patient's right, which is shown left
    assert [volume.plane for volume in find_volumes(tmp_path / "in", ("sagittal",))[0]] == ["sagittal"]


def test_dicom_of_another_kind_or_with_a_name_is_refused_in_words(tmp_path: Path) -> None:
    save_series(tmp_path / "named", PatientName="Doe^Jane", PatientIdentityRemoved="NO")
    with pytest.raises(StudioError, match="may identify the patient"):
        find_volumes(tmp_path / "named")
    assert len(find_volumes(tmp_path / "named", accept_identified=True)[0]) == 1
    (tmp_path / "ct").mkdir()
    (tmp_path / "ct" / "1.dcm").write_bytes(ct())
    with pytest.raises(StudioError, match="The modality is CT; only MR is exported"):
        find_volumes(tmp_path / "ct")


def test_no_image_is_written_over_another(mrnet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a/b.nii", "a_b.nii", "A_B.nii.gz"):
        save_nifti(tmp_path / "in" / name)
    assert export("--input", tmp_path / "in", "--output_dir", tmp_path / "out", "--plane", "axial", "axial") == 0
    rows = read_dataset(tmp_path / "out").rows
    assert len({row.path.name.lower() for row in rows}) == len(rows) == 15
    assert "3 files name no patient" in capsys.readouterr().err
    assert export("--input", tmp_path / "in", "--output_dir", tmp_path / "out") == 1
    assert "holds images already" in capsys.readouterr().err
    (mrnet / "train" / "axial" / "0000.npy").rename(mrnet / "train" / "axial" / "1130.npy")
    assert export("--input", mrnet, "--output_dir", tmp_path / "second") == 1
    assert "The exams 1130 are in train and in valid" in capsys.readouterr().err


def spoil_archive(root: Path) -> None:
    path = root / "train" / "axial" / "0000.npy"
    np.savez(path.with_suffix(".npz"), np.zeros((3, 8, 8)))
    path.with_suffix(".npz").replace(path)


def test_a_table_in_another_encoding_is_refused(mrnet: Path) -> None:
    (mrnet / "train-acl.csv").write_bytes("0000,1\nÄ,0\n".encode("latin-1"))
    with pytest.raises(StudioError, match=r"train-acl\.csv, line 2: not UTF-8"):
        find_volumes(mrnet)


def spoil_array(root: Path) -> None:
    (root / "train" / "axial" / "0000.npy").write_bytes(b"\x93NUMPY rubbish")


def spoil_shape(root: Path) -> None:
    np.save(root / "train" / "axial" / "0000.npy", np.zeros((256, 256), np.uint8))


def spoil_code(root: Path) -> None:
    np.save(root / "train" / "axial" / "0000.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)


def spoil_numbers(root: Path) -> None:
    np.save(root / "train" / "axial" / "0000.npy", np.full((3, 8, 8), np.nan))


@pytest.mark.parametrize("spoil", [spoil_array, spoil_archive, spoil_shape, spoil_code, spoil_numbers])
def test_a_volume_that_cannot_be_read_is_named_and_the_others_are_exported(
    mrnet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], spoil: object
) -> None:
    assert callable(spoil)
    spoil(mrnet)
    assert export("--input", mrnet, "--output_dir", tmp_path / "out", "--plane", "axial") == 0
    output = capsys.readouterr()
    assert "note: 0000.npy" in output.err and json.loads(output.out)["volumes"] == 5


def test_files_that_are_no_nifti_or_hold_a_film_are_refused(tmp_path: Path) -> None:
    (tmp_path / "rubbish.nii").write_bytes(b"rubbish" * 100)
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 4, 4, 3), np.int16), np.eye(4)), tmp_path / "film.nii")
    reads: dict[str, Volume] = {volume.name: volume for volume in find_volumes(tmp_path)[0]}
    with pytest.raises(StudioError, match=r"rubbish\.nii cannot be read as NIfTI"):
        reads["rubbish_axial"].read()
    with pytest.raises(StudioError, match=r"film\.nii holds 4 x 4 x 4 x 3; a volume has three sides"):
        reads["film_axial"].read()


def test_a_folder_without_volumes_and_an_output_within_it_are_refused(
    tmp_path: Path, mrnet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert export("--input", tmp_path / "empty", "--output_dir", tmp_path / "out") == 1
    assert export("--input", tmp_path / "none", "--output_dir", tmp_path / "out") == 1
    assert export("--input", mrnet, "--output_dir", mrnet / "out") == 1
    assert export("--input", mrnet, "--output_dir", tmp_path / "out", "--slices", "first") == 1
    errors = capsys.readouterr().err
    for words in ("holds no volume", "does not exist", "must not lie inside", "middle:5, every:3 or all"):
        assert words in errors
