"""The Gallery without a browser: find, look, rate, compare, delete and undo, reuse; and prompts with choices."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from pages.kit.services import studio
from postprocess.presets import PRESETS
from tests.pages.generator import click, open_generator, own_folder, run, shown, viewers, wait
from xray_generator.album.folders import Folders
from xray_generator.album.notes import read_note
from xray_generator.album.prompts import FILE
from xray_generator.album.trash import delete, undo
from xray_generator.config import dump
from xray_generator.export.pictures import Picture, file_name
from xray_generator.export.recipe import Recipe, recipes
from xray_generator.types import Edit, GenerationRequest, TextPrompt

IMAGE = np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64)


@pytest.fixture
def names(output_dir: Path) -> list[str]:
    """The files of three images of this browser: drawn, the same enhanced, and one of another prompt and seed."""
    settings = studio().manifest().recommended
    request = GenerationRequest(TextPrompt("Normal chest X-ray"), 1, 64, 64, 3, 2.0, settings.scheduler, 5)
    raw = Recipe(request, studio().manifest().ref)
    other = replace(raw, request=replace(request, condition=TextPrompt("Cardiomegaly, 60F"), seed=9))
    return [keep(output_dir, recipe) for recipe in (raw, replace(raw, preset=dump(PRESETS[1])), other)]


def keep(output_dir: Path, recipe: Recipe) -> str:
    picture = Picture(IMAGE, recipe)
    folder = own_folder(output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / picture.file_name).write_bytes(picture.png())
    return picture.file_name


@pytest.fixture
def page(names: list[str]) -> AppTest:
    """The Gallery with the image of another prompt opened."""
    app = open_generator()
    app.session_state["gallery_open"] = names[2]
    app.switch_page("create/gallery.py")
    return run(app)


def tiles(app: AppTest) -> list[str]:
    """What is written below each thumbnail of the grid."""
    given = [json.loads(component.proto.json) for component in app.get("bidi_component")]
    grids = [data for data in given if isinstance(data, list)]
    return [tile["label"] for tile in grids[0]] if grids else []


def test_images_are_found_by_words_and_filters(page: AppTest) -> None:
    assert len(tiles(page)) == 3 and "Cardiomegaly, 60F" in shown(page)
    page.text_input(key="gallery_words").set_value("female seed:9")
    assert tiles(run(page)) == ["Cardiomegaly, 60F"]
    page.text_input(key="gallery_words").set_value("")
    page.selectbox(key="gallery_kind").set_value("enhanced")
    assert tiles(run(page)) == ["Normal chest X-ray"]
    page.selectbox(key="gallery_finding").set_value("cardiomegaly")
    assert not tiles(run(page)) and "Nothing was found" in shown(page)


def test_an_empty_gallery_says_where_images_come_from(app: AppTest) -> None:
    app.switch_page("create/gallery.py")
    assert "draw one on the Generator page" in shown(run(app))


def test_stars_favorite_and_collections_are_kept(page: AppTest, names: list[str], output_dir: Path) -> None:
    page.get("feedback")[0].set_value(3)
    run(page)
    click(page, "gallery_favorite")
    page.multiselect(key=f"gallery_collections {names[2]}").set_value(["Hearts"])
    run(page)
    note = read_note(own_folder(output_dir), names[2])
    assert (note.rating, note.is_favorite, note.collections) == (4, True, ("Hearts",))
    assert "♥ Cardiomegaly, 60F" in tiles(page)
    page.selectbox(key="gallery_collection").set_value("Hearts")
    assert tiles(run(page)) == ["♥ Cardiomegaly, 60F"]


def test_settings_or_the_seed_are_reused(page: AppTest) -> None:
    click(page, "gallery_reuse")
    assert page.title[0].value == "Generator" and "The form is filled" in shown(page)
    name = studio().manifest().name
    assert page.text_area(key="prompt").value == "Cardiomegaly, 60F" and not page.toggle(key="new_seed").value
    assert page.number_input(key="seed").value == 9 and page.number_input(key=f"steps of {name}").value == 3
    page.text_area(key="prompt").set_value("Normal chest radiograph")
    run(page).switch_page("create/gallery.py")
    click(run(page), "gallery_seed")
    assert page.text_area(key="prompt").value == "Normal chest radiograph"
    assert page.number_input(key="seed").value == 9


def test_a_deletion_is_undone(page: AppTest, names: list[str], output_dir: Path) -> None:
    click(page, "gallery_delete")
    assert len(tiles(page)) == 2 and "1 image deleted." in shown(page)
    assert not (own_folder(output_dir) / names[2]).exists()
    click(page, "gallery_undo")
    assert len(tiles(page)) == 3 and "deleted" not in shown(page)


def test_a_deleted_image_is_gone_from_the_generator_too(app: AppTest, output_dir: Path) -> None:
    app.number_input(key="num_images").set_value(2)
    click(run(app), "generate")
    result = wait(app).result
    files, folders = [file_name(recipe) for recipe in recipes(result)], Folders(own_folder(output_dir))
    first = delete(files[:1], folders)
    assert f"Seed {result.seeds[1]}" in viewers(run(app))[0]["panes"][0]["label"]
    delete(files[1:], folders)
    assert "no longer in" in shown(run(app)) and not viewers(app)
    undo(first.id, folders)
    assert f"Seed {result.seeds[0]}" in viewers(run(app))[0]["panes"][0]["label"]


def test_marked_images_are_compared_and_put_into_a_collection(page: AppTest, names: list[str]) -> None:
    page.session_state["gallery_marked"] = [names[0], names[2]]
    page.session_state["gallery_view"] = "Selection"
    run(page)
    (given,) = viewers(page)
    assert [pane["label"] for pane in given["panes"]] == ["1: seed 5", "2: seed 9"]
    table = page.dataframe[0].value
    assert set(table["Field"]) == {"Prompt", "Seed"} and list(table["2: seed 9"]) == ["Cardiomegaly, 60F", "9"]
    page.toggle(key="gallery_slide").set_value(True)
    assert not viewers(run(page))
    click(page, "gallery_favorite_all")
    assert sum(label.startswith("♥") for label in tiles(page)) == 2
    click(page, "gallery_delete_all")
    assert len(tiles(page)) == 1 and "2 images deleted." in shown(page)


def test_lineage_and_a_foreign_origin(page: AppTest, names: list[str], output_dir: Path) -> None:
    page.session_state["gallery_open"] = names[1]
    run(page)
    assert "Enhanced from" in lineage(page) and not [b for b in page.button if b.key.startswith("gallery_send")]
    request = GenerationRequest(TextPrompt("Normal chest X-ray"), 1, 64, 64, 3, 2.0, "ddim", 5)
    edit = Recipe(request, studio().manifest().ref, origin=Edit("Pneumonia", source_prompt="Normal chest X-ray"))
    page.session_state["gallery_open"] = keep(output_dir, edit)
    assert run(page).button(key="gallery_reuse").disabled and "Pneumonia" in shown(page)


def lineage(app: AppTest) -> list[str]:
    given = [json.loads(component.proto.json) for component in app.get("bidi_component")]
    return [tile["label"] for tile in [data for data in given if isinstance(data, list)][-1]]


def test_another_browser_sees_none_of_it(names: list[str], cookies: dict[str, str]) -> None:
    cookies.update(dict.fromkeys(cookies, "another browser"))
    app = open_generator()
    app.switch_page("create/gallery.py")
    assert not tiles(run(app))


def test_choices_in_a_prompt_draw_each_prompt_and_the_recipes_hold_what_was_drawn(
    app: AppTest, output_dir: Path
) -> None:
    app.text_area(key="prompt").set_value("{Normal|Enlarged} heart")
    assert "Draws 2 prompts" in shown(run(app))
    click(app, "generate")
    wait(app)
    app.session_state["prompts_open"] = True
    choice = run(app).selectbox(key="own_prompt")
    assert set(choice.options) == {"Normal heart", "Enlarged heart"}
    choice.set_value("Normal heart")
    assert run(app).text_area(key="prompt").value == "Normal heart"
    click(app, "keep_prompt")
    assert "★ Normal heart" in app.selectbox(key="own_prompt").options
    kept = own_folder(output_dir) / FILE
    kept.unlink()
    kept.mkdir()  # so that it cannot be written
    assert "Cannot write" in click(app, "drop_prompt").error[0].value
    app.text_area(key="prompt").set_value("{1-99} years")
    assert "make 99 prompts" in shown(run(app))
    click(app, "generate")
    assert "99 prompts" in app.error[0].value and len(list(own_folder(output_dir).glob("*.png"))) == 2
