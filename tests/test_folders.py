"""A folder is replaced whole: whoever looks finds the older one or the newer one, whenever the process was killed."""

from pathlib import Path

import pytest

from xray_generator import folders
from xray_generator.folders import replace_folder, restore_all, staged


def fill(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "file").write_text(text)
    return folder


@pytest.fixture(params=[True, False])
def can_exchange(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the disk swaps two folders in one step."""
    if not request.param:
        monkeypatch.setattr(folders, "exchange", lambda *_: False)
    return request.param


def test_a_folder_takes_the_place_of_an_older_one(tmp_path: Path, can_exchange: bool) -> None:
    for text in ("first", "second", "third"):
        with staged(tmp_path / "deep" / "name") as place:
            (place / "file").write_text(text)
        assert (tmp_path / "deep" / "name" / "file").read_text() == text
        assert [path.name for path in (tmp_path / "deep").iterdir()] == ["name"]


def test_what_fails_while_it_is_filled_replaces_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    fill(tmp_path / "name", "first")
    with pytest.raises(IsADirectoryError), staged(tmp_path / "name") as place:
        place.write_text("second")
    assert [path.name for path in tmp_path.iterdir()] == ["name"]
    assert (tmp_path / "name" / "file").read_text() == "first"


def test_what_was_killed_between_two_renames_is_put_back(tmp_path: Path, can_exchange: bool) -> None:
    fill(tmp_path / ".old-lost", "first")
    fill(tmp_path / ".old-kept", "first")
    fill(tmp_path / "kept", "second")
    restore_all(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"lost", ".old-kept", "kept"}
    assert (tmp_path / "lost" / "file").read_text() == "first"
    replace_folder(fill(tmp_path / "new", "third"), tmp_path / "kept")
    assert {path.name for path in tmp_path.iterdir()} == {"lost", "kept"}
    assert (tmp_path / "kept" / "file").read_text() == "third"


def test_folders_are_swapped_in_one_step_or_not_at_all(tmp_path: Path) -> None:
    one, other = fill(tmp_path / "one", "first"), fill(tmp_path / "other", "second")
    texts = ["second", "first"] if folders.exchange(one, other) else ["first", "second"]
    assert [(path / "file").read_text() for path in (one, other)] == texts
    assert not folders.exchange(one, tmp_path / "gone")
