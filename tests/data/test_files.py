"""The one walk over a data folder, and the files that a table names in another way."""

import os
import unicodedata
from pathlib import Path

import pytest

from xray_generator.data.files import Finder, is_inside, list_files, list_folders
from xray_generator.types import StudioError


def put(folder: Path, *names: str) -> None:
    """Write files of one byte."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def names(folder: Path) -> list[str]:
    """What the walk finds."""
    return [path.relative_to(folder).as_posix() for path in list_files(folder)]


def test_links_are_followed_and_clutter_is_left_out(tmp_path: Path) -> None:
    put(tmp_path, "set/own.png", "store/scan/0.png", "store/scan/1.png", "store/file.png")
    put(tmp_path, "set/.hidden.png", "set/.cache/a.png", "set/__MACOSX/b.png", "set/@eaDir/c.png", "set/Thumbs.db")
    (tmp_path / "set" / "linked").symlink_to(tmp_path / "store" / "scan")
    (tmp_path / "set" / "linked.png").symlink_to(tmp_path / "store" / "file.png")
    (tmp_path / "set" / "gone.png").symlink_to(tmp_path / "nowhere")
    assert names(tmp_path / "set") == ["linked/0.png", "linked/1.png", "linked.png", "own.png"]


def test_a_link_to_a_folder_above_ends_the_walk(tmp_path: Path) -> None:
    put(tmp_path, "a/1.png", "b/2.png")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "b" / "a").symlink_to(tmp_path / "a")
    assert set(names(tmp_path)) == {"a/1.png", "b/2.png", "b/a/1.png"}


COMPOSED = "Lunge_Größe.png"
DECOMPOSED = unicodedata.normalize("NFD", COMPOSED)


@pytest.mark.parametrize("name", ["batch 1\\a.png", "batch 1/a.png", "./batch 1/a.png", COMPOSED, DECOMPOSED])
def test_a_file_is_found_however_its_name_is_written(tmp_path: Path, name: str) -> None:
    put(tmp_path, "batch 1/a.png", DECOMPOSED)
    finder = Finder(tmp_path)
    found = finder.find(name)
    assert found is not None and found.is_file() and finder.other_case == []


def test_capitals_may_differ_where_one_file_can_be_meant(tmp_path: Path) -> None:
    put(tmp_path, "Scan.PNG", "twice.png", "TWICE.png")
    finder = Finder(tmp_path)
    assert finder.find("scan.png") == tmp_path / "Scan.PNG"
    assert finder.find("Twice.png") is None and finder.find("twice.png") == tmp_path / "twice.png"
    assert finder.other_case == ["scan.png"]


def test_a_name_that_is_no_text_is_said(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xc4rzte.png")).write_bytes(b"x")  # Latin-1
    for walk in (list_files, list_folders):
        with pytest.raises(StudioError, match=r"holds a name that is no UTF-8 text: '.udcc4rzte\.png'"):
            walk(tmp_path)


@pytest.mark.parametrize("name", ["x" * 300, "", "../a.png", "a/../../b.png", "/etc/hostname", "..\\a.png", "gone.png"])
def test_nothing_is_found_outside(tmp_path: Path, name: str) -> None:
    put(tmp_path, "in/a.png", "a.png")
    assert Finder(tmp_path / "in").find(name) is None
    assert is_inside(name) == (name in ("gone.png", "x" * 300))


@pytest.mark.parametrize(
    "clutter", ["@Recycle", "#recycle", "__pycache__", "~$a.png", "ehthumbs.db", "Icon\r", "._a.png"]
)
def test_what_systems_and_programs_leave_behind_is_clutter(tmp_path: Path, clutter: str) -> None:
    put(tmp_path, "a.png", f"{clutter}/b.png")
    assert names(tmp_path) == ["a.png"]


def test_a_link_to_a_folder_above_the_start_ends_the_walk(tmp_path: Path) -> None:
    put(tmp_path, "set/a/1.png", "set/b/2.png")
    (tmp_path / "set" / "a" / "up").symlink_to(tmp_path)
    assert names(tmp_path / "set" / "a") == ["1.png"]


@pytest.mark.parametrize("name", ["a.png", "C:\\data\\A.PNG", "/data/a.png", "images/b/a.png"])
def test_a_name_that_is_not_found_is_said_to_lie_elsewhere(tmp_path: Path, name: str) -> None:
    put(tmp_path, "b/a.png", "c/twice.png", "d/twice.png")
    finder = Finder(tmp_path)
    assert finder.find(name) is None and finder.elsewhere(name) == " (there is b/a.png)"
    assert finder.elsewhere("twice.png") == finder.elsewhere("gone.png") == ""
