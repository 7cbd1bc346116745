"""Recipes in words, what differs between them, and chosen images as a labeled ZIP."""

import csv
import io
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from tests.album.pictures import CELLS, blended, cell, drawn, edited, enhanced, keep
from xray_generator.album import export
from xray_generator.album.export import archive
from xray_generator.album.facts import NONE, Difference, differing, facts
from xray_generator.album.folders import Folders
from xray_generator.album.index import Index, Search
from xray_generator.album.notes import change_note
from xray_generator.data.read import read_dataset
from xray_generator.types import AdapterWeight, CheckpointRef, StudioError


def test_a_recipe_is_told_field_by_field_in_words() -> None:
    told = facts(replace(enhanced(drawn("Edema", 7)), runtime={"torch": "2.13"}))
    expected = {"Prompt": "Edema", "Seed": "7", "Steps": "4", "Guidance": "3", "Scheduler": "ddim", "Model": "tiny"}
    assert expected.items() <= told.items() and told["Made with torch"] == "2.13"
    assert told["Weights, SHA-256"] == "ab" * 6 and told["Enhancement"]
    assert not any("." in name or "kind" in name for name in told)


def test_only_what_differs_is_listed() -> None:
    raw = drawn("Edema", 7)
    assert differing([raw, raw]) == ()
    assert differing([raw, drawn("Edema", 8), raw]) == (Difference("Seed", ("7", "8", "7")),)
    found = {row.name: row.values for row in differing([raw, edited(raw, "Normal")])}
    assert found["Edited to"] == (NONE, "Normal") and "Seed" not in found
    assert {"Prompt", "Class", "Model", "Family"} <= {row.name for row in differing([raw, cell()])}


def test_adapters_are_told_by_name_weight_and_hash() -> None:
    one, other = (
        drawn("Edema", 7, adapters=(AdapterWeight(CheckpointRef("lora", "soft", sha256 * 32), 0.5),))
        for sha256 in ("ab", "cd")
    )
    assert facts(one)["Adapters"] == "soft at weight 0.5 (abababababab)"
    assert [row.name for row in differing([one, other])] == ["Adapters"]
    assert differing([drawn("Edema", 7), one])[0].values == (NONE, facts(one)["Adapters"])


def unzip(folder: Path, data: bytes) -> Path:
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        file.extractall(folder)
    return folder


def test_an_export_is_a_dataset_of_what_prompts_say(tmp_path: Path) -> None:
    raw = drawn("PA view. 60-year-old female. Cardiomegaly.", 7)
    names = [keep(tmp_path, recipe) for recipe in (raw, enhanced(raw), drawn("Normal chest X-ray", 8))]
    change_note(tmp_path, names[0], rating=4, is_favorite=True)
    data = archive(Index(Folders(tmp_path)).find(Search()).entries)
    assert archive(Index(Folders(tmp_path)).find(Search()).entries) == data
    rows = read_dataset(unzip(tmp_path / "out", data)).rows
    found = {row.path.name: row for row in rows}
    assert found.keys() == set(names) and (tmp_path / "out" / "NOTICE.txt").read_text().startswith("Synthetic")
    first = found[names[0]]
    assert (first.findings, first.view, first.age, first.sex) == (("cardiomegaly",), "PA", 60, "F")
    assert first.prompt == raw.request.condition.text and first.split == found[names[1]].split
    assert first.patient_id == found[names[1]].patient_id != found[names[2]].patient_id
    assert (tmp_path / "out" / "images" / names[0]).read_bytes() == (tmp_path / names[0]).read_bytes()


def test_an_export_of_classes_is_a_labeled_dataset(tmp_path: Path) -> None:
    for label in ("lymphocyte", "platelet"):
        keep(tmp_path, cell(label))
    rows = read_dataset(unzip(tmp_path / "out", archive(Index(Folders(tmp_path)).find(Search()).entries))).rows
    assert {row.label for row in rows} == {"lymphocyte", "platelet"}
    assert CELLS.full_name in (tmp_path / "out" / "metadata.csv").read_text()


def test_a_blended_image_is_exported_without_a_label(tmp_path: Path) -> None:
    white, platelet = cell("lymphocyte"), cell("platelet", 2)
    for number, made in enumerate((blended(drawn("Edema", 1), drawn("Pneumonia", 2)), blended(white, platelet), white)):
        keep(tmp_path / f"{number}", made)
    for folder, label in (("0", ""), ("1", ""), ("2", "lymphocyte")):
        entries = Index(Folders(tmp_path / folder)).find(Search()).entries
        line = _first_line(unzip(tmp_path / f"out {folder}", archive(entries)) / "metadata.csv")
        assert (line.get("label") or line.get("class", "")) == label and not line.get("caption")
        assert not line.get("labels") and line["kind"] == ("drawn" if label else "blended")


def _first_line(table: Path) -> dict[str, str]:
    with table.open(newline="") as file:
        return next(csv.DictReader(file))


def test_an_export_of_too_many_or_of_a_lost_image_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(tmp_path, drawn())
    entries = Index(Folders(tmp_path)).find(Search()).entries
    entries[0].path.unlink()
    with pytest.raises(StudioError, match="cannot be read"):
        archive(entries)
    monkeypatch.setattr(export, "MAX_EXPORTED", 0)
    with pytest.raises(StudioError, match="At most 0 images"):
        archive(entries)
