"""Filling the form from a PNG's recipe."""

import numpy as np
from streamlit.testing.v1 import AppTest

from pages.kit.services import studio
from tests.pages.generator import click, run, shown, wait
from xray_generator.export.pictures import pictures
from xray_generator.export.recipe import Recipe, encode_png
from xray_generator.types import CheckpointRef, GenerationRequest, TextPrompt


def restore(app: AppTest, png: bytes) -> AppTest:
    """Fill the form from a PNG."""
    app.file_uploader(key="recipe_file").upload("x.png", png, "image/png")
    return run(app)


def test_recipe_of_a_png_fills_the_form(app: AppTest) -> None:
    app.text_area(key="prompt").set_value("Normal chest radiograph")
    run(app)
    click(app, "generate")
    result = wait(app).result
    app.text_area(key="prompt").set_value("something else")
    run(app)
    restore(app, pictures(result, 0)[0].png())
    assert app.text_area(key="prompt").value == "Normal chest radiograph"
    assert app.number_input(key="seed").value == result.seeds[0]
    assert not app.toggle(key="new_seed").value
    assert "makes this image again" in shown(app)
    assert not app.session_state["recipe_open"]  # the upload no longer covers the form


def test_recipe_that_does_not_hold_here_says_why(app: AppTest) -> None:
    name = studio().manifest().name
    request = GenerationRequest(TextPrompt("Chest"), 1, 512, 512, 7, 2.0, "heun", 5)
    recipe = Recipe(request, CheckpointRef("latent_diffusion", "gone", "ab" * 32), {"torch": "0.1"})
    restore(app, encode_png(np.zeros((64, 64), np.float32), recipe))
    said = shown(app).replace("\\", "")
    for words in (
        "(gone, SHA-256 abababababab)",
        "512 x 512 pixels",
        "'heun'",
        "torch 0.1, here",
        "may come out differently",
    ):
        assert words in said
    assert app.number_input(key=f"steps of {name}").value == 7
    assert app.selectbox(key=f"size of {name}").value == 64
    assert app.selectbox(key=f"scheduler of {name}").value != "heun"


def test_a_png_without_a_recipe_is_refused_in_words(app: AppTest) -> None:
    restore(app, b"not a PNG")
    assert "not a PNG with a recipe" in shown(app).replace("\\", "")


def test_eta_is_asked_for_where_the_scheduler_takes_it_and_comes_back_from_a_file(app: AppTest) -> None:
    name = studio().manifest().name
    assert f"eta of {name}" not in [slider.key for slider in app.slider]
    app.selectbox(key=f"scheduler of {name}").set_value("ddim")
    run(app)
    app.slider(key=f"eta of {name}").set_value(0.5)
    run(app)
    click(app, "generate")
    result = wait(app).result
    assert result.request.eta == 0.5
    assert "send Edit" not in [button.key for button in app.button]  # whose form has no eta
    app.selectbox(key=f"scheduler of {name}").set_value("dpm++")
    run(app)
    click(app, "generate")
    assert wait(app).result.request.eta == 0
    restore(app, pictures(result, 0)[0].png())
    assert "makes this image again" in shown(app) and app.slider(key=f"eta of {name}").value == 0.5
