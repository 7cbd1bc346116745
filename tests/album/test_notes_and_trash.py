"""Notes on images, images that are deleted and brought back, kept prompts."""

import time
from pathlib import Path

import pytest

from tests.album.pictures import drawn, keep
from xray_generator.album import trash
from xray_generator.album.folders import Folders
from xray_generator.album.index import Index, Search
from xray_generator.album.notes import Note, change_note, note_path, read_note
from xray_generator.album.prompts import FILE, MAX_KEPT, drop_prompt, keep_prompt, read_library
from xray_generator.album.trash import delete, empty_trash, list_deletions, undo
from xray_generator.types import StudioError


def test_a_note_changes_field_by_field_and_goes_when_it_is_empty(tmp_path: Path) -> None:
    change_note(tmp_path, "a.png", rating=4)
    change_note(tmp_path, "a.png", collections=("  b ", "a", "b"))
    assert read_note(tmp_path, "a.png") == Note(4, collections=("a", "b"))
    change_note(tmp_path, "a.png", rating=0, collections=())
    assert not list(tmp_path.iterdir()) and read_note(tmp_path, "a.png") == Note()


@pytest.mark.parametrize("wrong", [{"rating": 6}, {"rating": -1}, {"collections": ("",)}, {"collections": ("x" * 61,)}])
def test_a_note_that_is_not_allowed_is_refused(tmp_path: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(StudioError, match="rating|collection"):
        change_note(tmp_path, "a.png", **wrong)


@pytest.mark.parametrize("data", [b"", b"[]", b'{"rating": 9}', b"\xff", b"[" * 100_000])
def test_a_damaged_note_says_nothing(tmp_path: Path, data: bytes) -> None:
    note_path(tmp_path, "a.png").write_bytes(data)
    assert read_note(tmp_path, "a.png") == Note()


def test_a_deletion_takes_image_and_note_away_and_undo_brings_them_back(tmp_path: Path) -> None:
    folders = Folders(tmp_path / "me", tmp_path)
    mine, theirs = keep(folders.own, drawn(seed=1)), keep(tmp_path, drawn(seed=2))
    change_note(folders.own, mine, rating=5)
    before = Index(folders).find(Search())
    deletion = delete([mine, theirs, "gone.png", f"../{mine}"], folders)
    assert deletion.names == tuple(sorted((mine, theirs))) and list_deletions(folders) == [deletion]
    assert Index(folders).find(Search()).total == 0 and not note_path(folders.own, mine).exists()
    assert undo(deletion.id, folders) == deletion
    assert Index(folders).find(Search()) == before and list_deletions(folders) == []
    assert undo(deletion.id, folders).names == ()


def test_the_trash_is_emptied_after_a_month_or_when_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders, now = Folders(tmp_path), time.time()
    first, second = keep(tmp_path, drawn(seed=1)), keep(tmp_path, drawn(seed=2))
    delete([first], folders)
    monkeypatch.setattr(trash, "KEPT_DAYS", -1)
    assert delete([], folders).names == () and list_deletions(folders) == []
    monkeypatch.undo()
    assert delete([second], folders).at >= now - 1
    empty_trash(folders)
    assert [one.names for one in list_deletions(folders)] == [(second,)]
    empty_trash(folders, all_of_it=True)
    assert list_deletions(folders) == [] and not list(tmp_path.rglob("*.png"))


def test_prompts_are_kept_the_last_first_and_each_once(tmp_path: Path) -> None:
    for prompt in ("one", "two ", "one"):
        keep_prompt(tmp_path, prompt)
    assert read_library(tmp_path).prompts == ("one", "two")
    drop_prompt(tmp_path, "one")
    assert read_library(tmp_path).prompts == ("two",)
    with pytest.raises(StudioError, match="empty"):
        keep_prompt(tmp_path, " ")
    for number in range(MAX_KEPT - 1):
        keep_prompt(tmp_path, f"prompt {number}")
    with pytest.raises(StudioError, match=f"At most {MAX_KEPT}"):
        keep_prompt(tmp_path, "one more")
    (tmp_path / FILE).write_bytes(b"damaged")
    assert read_library(tmp_path).prompts == ()
