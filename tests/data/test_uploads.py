"""Uploads: everything usable is read, nothing is written outside the folder, nothing grows without bound."""

import gc
import io
import os
import re
import struct
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage
from pydicom.uid import RLELossless

from tests.ct_files import ct, repacked
from tests.data.conftest import COLUMNS, Pixels
from tests.test_images import dicom
from xray_generator.data.rows import LOOSE_IMAGES
from xray_generator.data.uploads import Caps, NamedBytes, UploadFolder, receive
from xray_generator.types import StudioError

MakePixels = Callable[[int], Pixels]
LINE = "{name},PA chest X-ray,pneumonia,PA,40,M,adult,train,p1,here,CC0,64,64"


def png(values: Pixels) -> bytes:
    buffer = io.BytesIO()
    PILImage.fromarray(values).save(buffer, "PNG")
    return buffer.getvalue()


def zipped(members: dict[str, bytes], name: str = "x.zip") -> NamedBytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    return NamedBytes(name, buffer.getvalue())


@pytest.fixture
def image(pixels: MakePixels) -> bytes:
    return png(pixels(1))


def test_images_without_a_table_become_rows_without_a_prompt(image: bytes) -> None:
    upload = receive([NamedBytes("b.png", image), NamedBytes("a.png", image), NamedBytes("notes.csv", b"x")])
    assert [row.path.name for row in upload.dataset.rows] == ["a.png", "b.png"]
    assert {(row.prompt, row.findings, row.source) for row in upload.dataset.rows} == {("", (), LOOSE_IMAGES)}
    assert upload.dataset.rows[0].native_size == 64
    assert upload.dataset.is_loose
    assert upload.dataset.skipped == ("1 tables need a ZIP together with their images: notes.csv",)


def test_captioned_pack_inside_a_folder_of_a_zip(image: bytes) -> None:
    table = "\n".join([COLUMNS, LINE.format(name="a.png"), LINE.format(name="gone.png")]).encode()
    members = {"pack/metadata.csv": table, "pack/images/a.png": image, "pack/images/extra.png": image}
    upload = receive([zipped({**members, "__MACOSX/pack/._a.png": b"x", "pack/.DS_Store": b"x"})])
    (row,) = upload.dataset.rows
    assert (row.prompt, row.findings, row.split) == ("PA chest X-ray", ("pneumonia",), "train")
    assert not upload.dataset.is_loose
    assert upload.root == upload.folder.path / "pack"
    said = "\n".join(upload.dataset.skipped)
    assert "gone.png" in said
    assert "1 images are in no table or class folder, or were left out: extra.png" in said
    assert "DS_Store" not in said


def test_indiana_layout_in_a_zip(image: bytes) -> None:
    reports = b"uid,findings,impression\n7,No effusion.,Cardiomegaly.\n"
    projections = b"uid,filename,projection\n7,7.png,Frontal\n"
    tables = {"indiana_reports.csv": reports, "indiana_projections.csv": projections}
    (row,) = receive([zipped({**tables, "images/7.png": image})]).dataset.rows
    assert "cardiomegaly" in row.findings
    assert row.report
    alone = receive([zipped({"indiana_reports.csv": reports, "images/7.png": image})])
    assert alone.dataset.is_loose
    assert "the Indiana layout needs both: indiana_reports.csv" in alone.dataset.skipped[0]


@pytest.mark.parametrize("above", ["", "mydata/", "a/b/"])
def test_a_folder_in_a_zip_is_a_class(above: str, image: bytes) -> None:
    members = {f"{above}{name}/{name}_{i}.png": image for name in ("COVID 19", "other") for i in range(6)}
    upload = receive([zipped({**members, "notes.txt": b"x", "loose.png": image})])
    rows = upload.dataset.rows
    assert Counter(row.label for row in rows) == {"covid_19": 6, "other": 6}
    assert {row.split for row in rows} == {"train", "val", "test"} and not upload.dataset.is_loose
    assert upload.root == upload.folder.path / above
    assert {row.source for row in rows} == {above.rstrip("/").rpartition("/")[2] or "upload"}
    assert "images are in no table or class folder, or were left out: loose.png" in "\n".join(upload.dataset.skipped)


@pytest.mark.parametrize("names", [("a/1.png", "a/2.png"), ("1.png", "a/2.png"), ("images/1.png", "images128/2.png")])
def test_one_folder_or_those_of_another_layout_are_no_classes(names: tuple[str, str], image: bytes) -> None:
    assert receive([zipped(dict.fromkeys(names, image))]).dataset.is_loose


def test_a_fault_in_a_table_is_named(image: bytes) -> None:
    table = "\n".join([COLUMNS, LINE.format(name="a.png").replace("pneumonia", "pnemonia")]).encode()
    with pytest.raises(StudioError, match=r"metadata\.csv, line 2: unknown label 'pnemonia'; is it 'pneumonia'"):
        receive([zipped({"metadata.csv": table, "images/a.png": image})])


@pytest.mark.parametrize("name", ["../evil.png", "a/../../evil.png", "/etc/evil.png", "..\\evil.png", "C:\\evil.png"])
def test_no_member_leaves_the_folder(name: str, image: bytes) -> None:
    upload = receive([zipped({"good.png": image, name: image})])
    assert [row.path.name for row in upload.dataset.rows] == ["good.png"]
    assert "1 members have a path that leads out of the ZIP: evil.png" in upload.dataset.skipped[0]
    assert {path.name for path in upload.folder.path.rglob("*")} == {"good.png"}
    assert not (upload.folder.path.parent / "evil.png").exists()


def test_links_are_left_out(image: bytes) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("good.png", image)
        link = zipfile.ZipInfo("link.png")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    upload = receive([NamedBytes("x.zip", buffer.getvalue())])
    assert upload.dataset.skipped == ("1 members are links or devices: link.png",)
    assert not any(path.is_symlink() for path in upload.folder.path.rglob("*"))


def test_encrypted_members_are_left_out(image: bytes) -> None:
    file = zipped({"a.png": image, "b.png": image})
    data = bytearray(file.data)
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # the flags of the first member
        place = data.index(signature) + offset
        data[place] |= 1
    upload = receive([NamedBytes("x.zip", bytes(data))])
    assert upload.dataset.skipped == ("1 members are encrypted: a.png",)


def test_a_zip_that_unpacks_to_too_much_is_refused(image: bytes) -> None:
    bomb = zipped({f"{i}.png": bytes(300_000) for i in range(4)})
    assert len(bomb.data) < 10_000
    with pytest.raises(StudioError, match=r"would take 1 MB; at most 1 MB"):
        receive([bomb], Caps(total_bytes=1_000_000))
    with pytest.raises(StudioError, match="too many files; at most 3"):
        receive([bomb], Caps(members=3))


def test_a_member_with_a_false_size_is_left_out(image: bytes) -> None:
    file = zipped({"good.png": image, "liar.png": bytes(500_000)})
    data = bytearray(file.data)
    place = data.rindex(b"PK\x01\x02") + 24
    data[place : place + 4] = struct.pack("<I", 10)
    upload = receive([NamedBytes("x.zip", bytes(data))], Caps(total_bytes=100_000))
    assert [row.path.name for row in upload.dataset.rows] == ["good.png"]
    assert "liar.png" in upload.dataset.skipped[0]
    assert not (upload.folder.path / "liar.png").exists()


def test_loose_files_have_limits_too(image: bytes) -> None:
    files = [NamedBytes(f"{i}.png", image) for i in range(3)]
    with pytest.raises(StudioError, match="at most 2 are allowed"):
        receive(files, Caps(members=2))
    with pytest.raises(StudioError, match="the most that is allowed"):
        receive(files, Caps(total_bytes=len(image) * 2))


def test_the_pixels_of_all_images_together_are_limited(image: bytes) -> None:
    files = [NamedBytes(f"{i}.png", image) for i in range(3)]
    upload = receive(files, Caps(total_pixels=64 * 64 * 2))
    assert len(upload.dataset.rows) == 2
    assert "1 images exceed" in upload.dataset.skipped[0]


def test_a_small_upload_is_allowed_fewer_pixels_than_a_large_one(image: bytes) -> None:
    caps = Caps(free_pixels=64 * 64, pixels_per_byte=2)
    flat = png(np.zeros((64, 64), np.uint8))  # of few bytes
    assert len(flat) * 6 < 64 * 64 < len(image) * 2
    assert len(receive([NamedBytes(f"{i}.png", flat) for i in range(3)], caps).dataset.rows) == 1
    assert len(receive([NamedBytes(f"{i}.png", image) for i in range(3)], caps).dataset.rows) == 3
    assert Caps().pixels(2_200_000) == 200_000_000 and Caps().pixels(200_000_000) == 2_000_000_000


@pytest.mark.parametrize("name", ["x" * 296 + ".png", "界" * 60 + ".png", "", "."])
def test_a_file_whose_name_cannot_be_used_is_left_out_alone(name: str, image: bytes) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for member in ("good.png", name):
            with archive.open(zipfile.ZipInfo(member), "w") as file:  # `writestr` writes no empty name
                file.write(image)
    loose = [NamedBytes("good.png", image), NamedBytes(name, image)]
    for files in ([NamedBytes("x.zip", buffer.getvalue())], loose):
        upload = receive(files)
        assert [row.path.name for row in upload.dataset.rows] == ["good.png"]
        assert re.match("1 files (have no name|lie deeper)", upload.dataset.skipped[0])


def test_a_dicom_file_counts_with_its_pixels_not_its_bytes() -> None:
    data = repacked(dicom(np.zeros((256, 256))), RLELossless)
    files = [NamedBytes(f"{i}.dcm", data) for i in range(3)]
    upload = receive(files, Caps(total_pixels=256 * 256 * 2))
    assert len(upload.dataset.rows) == 2 and "1 images exceed" in upload.dataset.skipped[0]


def test_unreadable_files_are_listed_with_the_reason(image: bytes) -> None:
    files = {"good.png": image, "bad.png": b"nothing", "cut.png": image[:200], "tool.py": b"import os", "many.csv": b""}
    upload = receive([zipped(files)])
    assert [row.path.name for row in upload.dataset.rows] == ["good.png"]
    said = "\n".join(upload.dataset.skipped)
    assert "images cannot be read (This is not an image. Allowed: PNG, JPEG, TIFF, DICOM): bad.png" in said
    assert "cut short" in said
    assert "1 files are not images: tool.py" in said
    assert "tables are not named metadata.csv" in said


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("a<b>:c.png", "a_b__c.png"),
        ("rtl\u202e.png", "rtl_.png"),
        ("dir/.hidden.png", "hidden.png"),
        ("dot.png.", "dot.png"),
        ("cafe\u0301 \U0001fac1.png", "caf\u00e9 \U0001fac1.png"),
    ],
)
def test_names_are_cleaned(name: str, kept: str, image: bytes) -> None:
    (row,) = receive([NamedBytes(name, image)]).dataset.rows
    assert row.path.name == kept


def test_a_name_composed_in_two_ways_is_one_name(image: bytes) -> None:
    upload = receive([NamedBytes("caf\u00e9.png", image), NamedBytes("cafe\u0301.png", image)])
    assert len(upload.dataset.rows) == 1 and "files repeat a name" in upload.dataset.skipped[0]


def test_a_repeated_name_is_used_once(image: bytes) -> None:
    upload = receive([NamedBytes("a/x.png", image), NamedBytes("b/x.png", image)])
    assert len(upload.dataset.rows) == 1
    assert upload.dataset.skipped == ("1 files repeat a name: x.png",)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([], "Nothing was uploaded"),
        ([NamedBytes("x.zip", b"no zip")], "damaged or cut short"),
        ([NamedBytes("x.zip", b"PK\x05\x06" + bytes(18))], "no readable image"),
        ([zipped({"a.txt": b"x"})], "no readable image"),
        ([zipped({"inner.zip": zipped({"a.png": b"x" * 200}).data})], "1 files are not images: inner.zip"),
        ([zipped({"a.txt": b"x"}), NamedBytes("b.png", b"x")], "one ZIP alone"),
        ([NamedBytes("a.png", b"x")], "no readable image"),
    ],
)
def test_a_useless_upload_is_refused_and_leaves_no_file(
    files: list[NamedBytes], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(StudioError, match=said):
        receive(files)
    assert list(tmp_path.iterdir()) == []


def test_the_next_upload_removes_folders_of_killed_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    for name in (f"xray-upload-{int(ended.stdout)}-a", f"xray-upload-{os.getpid()}-b", "xray-upload-x-c", "other"):
        (tmp_path / name).mkdir()
    folder = UploadFolder()
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {f"xray-upload-{os.getpid()}-b", "xray-upload-x-c", "other", folder.path.name}


def test_the_folder_is_removed_when_it_is_closed_or_garbage_collected(image: bytes) -> None:
    folder = UploadFolder()
    folder.close()
    assert not folder.path.exists()
    upload = receive([NamedBytes("a.png", image)])
    path = upload.folder.path
    assert path.is_dir()
    del upload
    gc.collect()
    assert not path.exists()


def test_folders_of_windows_are_folders(image: bytes) -> None:
    table = "\n".join([COLUMNS, LINE.format(name="a.png")]).encode()
    members = {"pack\\": b"", "pack\\images\\": b"", "pack\\metadata.csv": table, "pack\\images\\a.png": image}
    upload = receive([zipped(members)])
    assert [row.path.name for row in upload.dataset.rows] == ["a.png"] and not upload.dataset.skipped


def test_dicom_is_known_by_its_content(image: bytes) -> None:
    members = {"1.3.6.1.4.100": ct(), "IM1.IMA": ct(), "IM2": ct(), "notes.doc": b"x" * 200, "a.png": image}
    upload = receive([zipped(members)])
    assert {row.path.name for row in upload.dataset.rows} == {"1.3.6.1.4.100", "IM1.IMA", "IM2", "a.png"}
    assert upload.dataset.skipped == ("1 files are not images: notes.doc",)


@pytest.mark.parametrize("name", ["a.png", "b\\a.png"])
def test_patients_of_the_second_table_come_along(name: str, image: bytes) -> None:
    members = {name.replace("\\", "/"): image, "metadata.csv": f"image,label\n{name},normal\n".encode()}
    upload = receive([zipped({**members, "extra.csv": f"image,patient_id\n{name},p1\n".encode()})])
    assert [row.patient_id for row in upload.dataset.rows] == ["p1"] and upload.dataset.skipped == ()
