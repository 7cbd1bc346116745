"""Files are written whole or not at all, whoever else writes them."""

import io
import json
import math
import resource
import threading
import zipfile
from pathlib import Path

import pytest

from xray_generator.export.files import make_folder, write_file, write_json, zip_files
from xray_generator.types import StudioError


def test_a_file_that_many_write_at_once_is_one_of_theirs(tmp_path: Path) -> None:
    contents = [bytes([number]) * 200_000 for number in range(8)]
    threads = [threading.Thread(target=write_file, args=(tmp_path / "a.png", data)) for data in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "a.png").read_bytes() in contents
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_a_full_disk_leaves_the_older_file(tmp_path: Path) -> None:
    write_file(tmp_path / "a.png", b"older")
    limit, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, most))
    try:
        with pytest.raises(StudioError, match="Cannot write .*a.png: File too large"):
            write_file(tmp_path / "a.png", bytes(50_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, most))
    assert (tmp_path / "a.png").read_bytes() == b"older" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("name", ["file/below", "x" * 300])
def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StudioError, match="Cannot write to .*: (Not a directory|File name too long)"):
        make_folder(tmp_path / name)


def test_equal_contents_give_equal_json_and_zips(tmp_path: Path) -> None:
    data = {"words": "“ä”", "numbers": [1, 2.5], "nothing": None}
    assert json.loads(write_json(tmp_path / "a.json", data).read_bytes()) == data
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "b.json", math.nan)  # which is no JSON
    files = [("b/x.txt", "ä"), ("a.png", b"\0" * 9)]
    assert zip_files(files) == zip_files(iter(files))
    with zipfile.ZipFile(io.BytesIO(zip_files(files))) as archive:
        assert archive.namelist() == ["b/x.txt", "a.png"] and archive.read("b/x.txt").decode() == "ä"
