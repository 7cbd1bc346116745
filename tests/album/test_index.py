"""The index finds what the files say, and is made anew where it is lost."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from tests.album.pictures import DAY_S, IMAGE, NOON, blended, cell, drawn, edited, enhanced, enlarged, keep
from xray_generator.album.folders import Folders
from xray_generator.album.index import FILE, ORDERS, Index, Search
from xray_generator.album.notes import change_note
from xray_generator.images import encode_png
from xray_generator.types import Edit, StudioError

NOON_DAY = datetime.fromtimestamp(NOON).date()
COUNT = (
    "import sys; from pathlib import Path; from xray_generator.album.folders import Folders; "
    "from xray_generator.album.index import Index, Search; "
    "print(Index(Folders(Path(sys.argv[1]))).find(Search()).total)"
)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Four images of a person, with notes on two."""
    folder = tmp_path / "me"
    keep(folder, drawn("Cardiomegaly and edema, 60F", 7))
    normal = keep(folder, drawn("Normal chest X-ray", 70), NOON + DAY_S)
    keep(folder, enhanced(drawn("Normal chest X-ray", 70)), NOON + 2 * DAY_S)
    white = keep(folder, cell("lymphocyte", 8), NOON + 3 * DAY_S)
    change_note(folder, normal, rating=3, collections=("Lungs",))
    change_note(folder, white, rating=5, is_favorite=True)
    return folder


def seeds(index: Index, search: Search) -> list[int]:
    return [entry.recipe.request.seed for entry in index.find(search).entries]


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        (Search(), [8, 70, 70, 7]),
        (Search(order="Oldest"), [7, 70, 70, 8]),
        (Search(order="Best rated"), [8, 70, 70, 7]),
        (Search("CARDIO female"), [7]),
        (Search("cardio lymphocyte"), []),
        (Search("seed:7"), [7]),
        (Search("scheduler:ddim guidance:3 steps:4 size:32"), [8, 70, 70, 7]),
        (Search("100%_"), []),
        (Search(family="cvae"), [8]),
        (Search(checkpoint="latent_diffusion/tiny"), [70, 70, 7]),
        (Search(label="lymphocyte"), [8]),
        (Search(finding="edema"), [7]),
        (Search(kind="enhanced"), [70]),
        (Search(since=NOON_DAY, until=NOON_DAY), [7]),
        (Search(min_rating=4), [8]),
        (Search(only_favorites=True), [8]),
        (Search(collection="Lungs"), [70]),
    ],
)
def test_a_search_finds_what_recipes_and_notes_say(own: Path, search: Search, expected: list[int]) -> None:
    assert seeds(Index(Folders(own)), search) == expected


def test_pages_of_a_search_follow_each_other(own: Path) -> None:
    index = Index(Folders(own))
    whole = index.find(Search()).entries
    assert (*index.find(Search(), 0, 3).entries, *index.find(Search(), 3, 3).entries) == whole
    assert index.find(Search(), 3, 3).total == 4
    assert index.get([whole[2].name, "gone.png", whole[0].name]) == (whole[2], whole[0])


def test_choices_and_prompts_are_what_occurs(own: Path) -> None:
    index = Index(Folders(own))
    found = index.choices()
    assert found.families == ("cvae", "latent_diffusion") and found.labels == ("lymphocyte",)
    assert {"cardiomegaly", "edema", "no_finding"} == set(found.findings) and found.collections == ("Lungs",)
    assert index.prompts() == ("Normal chest X-ray", "Cardiomegaly and edema, 60F")


def everything(own: Path) -> object:
    index = Index(Folders(own))
    return [index.find(Search(order=order)) for order in ORDERS], index.choices(), index.prompts()


def be_of_another_version(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("drop table images")
        db.execute("create table images (other)")
        db.execute("pragma user_version = 99")


@pytest.mark.parametrize(
    "harm", [Path.unlink, lambda path: path.write_bytes(b"no database" * 999), be_of_another_version]
)
def test_an_index_that_is_lost_is_made_anew_with_the_same_answers(own: Path, harm: Callable[[Path], object]) -> None:
    before = everything(own)
    harm(own / FILE)
    assert everything(own) == before


def test_an_index_that_is_damaged_while_it_is_used_is_made_anew(own: Path) -> None:
    index = Index(Folders(own))
    before = index.find(Search())
    for path in own.glob(f"{FILE}-*"):
        path.unlink()
    (own / FILE).write_bytes(b"no database" * 999)
    assert index.find(Search()) == before


def test_a_damaged_file_is_skipped_until_it_is_whole(own: Path) -> None:
    name = keep(own, drawn("Pneumonia", 9))
    data = (own / name).read_bytes()
    (own / name).write_bytes(data[: len(data) // 4])
    (own / "foreign.png").write_bytes(encode_png(IMAGE))
    assert Index(Folders(own)).find(Search()).total == 4
    (own / name).write_bytes(data)
    assert 9 in seeds(Index(Folders(own)), Search())


def test_the_index_follows_files_and_notes(own: Path) -> None:
    (first, *others) = Index(Folders(own)).find(Search()).entries
    first.path.unlink()
    change_note(own, others[0].name, collections=("New",))
    index = Index(Folders(own))
    assert index.find(Search()).total == 3 and index.choices().collections == ("Lungs", "New")
    change_note(own, others[0].name, collections=())
    assert Index(Folders(own)).choices().collections == ("Lungs",)


def test_images_of_no_person_are_found_only_where_they_may_be_seen(own: Path) -> None:
    shared = own.parent
    name = keep(shared, drawn("Hernia", 11))
    keep(shared / "another person", drawn("Fibrosis", 12))
    change_note(own, name, rating=4)
    assert seeds(Index(Folders(own, shared)), Search("hernia")) == [11]
    assert seeds(Index(Folders(own, shared)), Search("fibrosis")) == []
    assert Index(Folders(own, shared)).find(Search("hernia")).entries[0].note.rating == 4
    assert seeds(Index(Folders(own)), Search("hernia")) == []
    assert not list(shared.glob(".gallery*"))


def test_several_threads_and_processes_index_the_same_folder(tmp_path: Path) -> None:
    for seed in range(150):
        keep(tmp_path, drawn(seed=seed))
    command = [sys.executable, "-c", COUNT, str(tmp_path)]
    others = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: Index(Folders(tmp_path)).find(Search()).total, range(8)))
    assert found == [150] * 8
    assert [other.communicate()[0].strip() for other in others] == ["150", "150"]


def test_a_folder_that_takes_nothing_is_said(tmp_path: Path) -> None:
    (tmp_path / "me").write_text("in the way")
    with pytest.raises(StudioError, match="Cannot write"):
        Index(Folders(tmp_path / "me"))


def test_lineage_leads_up_and_down(tmp_path: Path) -> None:
    raw, other = drawn(), drawn("Pneumonia", 2)
    made = {
        "raw": raw,
        "other": other,
        "edited": edited(raw, "Edema"),
        "edited, enhanced": enhanced(edited(raw, "Edema")),
        "enlarged": enlarged(raw),
        "blended": blended(raw, other),
        "another seed": drawn(seed=3),
        "uploaded, edited": replace(raw, origin=Edit("Edema", image_sha256="cd" * 32)),  # not from raw
    }
    names = {keep(tmp_path, recipe): title for title, recipe in made.items()}
    index = Index(Folders(tmp_path))
    found = {
        title: {(one.relation, names[one.entry.name]) for one in index.relatives(index.get([name])[0])}
        for name, title in names.items()
    }
    assert found["raw"] == {("Edited to", "edited"), ("Enlarged as", "enlarged"), ("Blended into", "blended")}
    assert found["edited"] == {("Edited from", "raw"), ("Enhanced as", "edited, enhanced")}
    assert found["edited, enhanced"] == {("Enhanced from", "edited")}
    assert found["enlarged"] == {("Enlarged from", "raw")}
    assert found["blended"] == {("Blended from", "raw"), ("Blended from", "other")}
    assert found["other"] == {("Blended into", "blended")}
    assert found["another seed"] == found["uploaded, edited"] == set()


def test_a_file_that_goes_while_it_is_looked_at_is_left_out(own: Path) -> None:
    index = Index(Folders(own))
    first = index.find(Search()).entries[0]
    first.path.unlink()
    assert index.find(Search()).entries == index.find(Search(), 0, 9).entries != ()
    assert index.get([first.name]) == ()
