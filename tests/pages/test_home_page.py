"""The home page: a tile for each subject with a sample, and one click to the first image."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from pages.kit.services import studio
from tests.manifests import edit_manifest
from tests.pages.generator import FRAME, TIMEOUT_S, click, run, shown, wait
from xray_generator.export.recipe import Recipe, encode_png
from xray_generator.types import PRODUCT, PURPOSE, CheckpointRef, GenerationRequest, TextPrompt

IMAGE = np.full((64, 64), 0.5, np.float32)


def open_home() -> AppTest:
    return run(AppTest.from_file(FRAME, default_timeout=TIMEOUT_S))


def words(app: AppTest) -> str:
    return "\n".join([shown(app), *(element.value for element in app.markdown)]).replace("\\", "")


def keep_sample(output_dir: Path, checkpoint: CheckpointRef) -> None:
    folder = output_dir / "samples" / "tiny"
    folder.mkdir(parents=True)
    recipe = Recipe(GenerationRequest(TextPrompt("Normal *chest* X-ray"), 1, 64, 64), checkpoint)
    (folder / "a.png").write_bytes(encode_png(IMAGE, recipe))


def test_the_first_page_says_what_the_product_is_and_what_it_draws(output_dir: Path) -> None:
    app = open_home()
    assert app.title[0].value == PRODUCT and PURPOSE in words(app) and not app.error
    assert "Chest X-ray" in words(app) and "From your own words." in words(app) and "No sample yet" in words(app)
    assert [button.label for button in app.button] == ["Draw one"]


def test_a_sample_is_shown_if_these_weights_drew_it(output_dir: Path) -> None:
    keep_sample(output_dir, studio().manifest().ref)
    app = open_home()
    (picture,) = app.get("image")
    assert "Synthetic: Normal *chest* X-ray" in picture.proto.imgs[0].caption.replace("\\", "")
    assert "No sample yet" not in words(app)


def test_a_sample_of_other_weights_is_not_shown(output_dir: Path) -> None:
    keep_sample(output_dir, replace(studio().manifest().ref, sha256="ab" * 32))
    assert not open_home().get("image")


def test_other_samples_are_shown_small_and_each_is_of_another_condition(output_dir: Path) -> None:
    checkpoint = studio().manifest().ref
    keep_sample(output_dir, checkpoint)
    for seed, words_ in enumerate(("Pneumonia", "Pneumonia", "Edema", "Hernia", "Mass"), 1):
        recipe = Recipe(GenerationRequest(TextPrompt(words_), 1, 64, 64, seed=seed), checkpoint)
        (output_dir / "samples" / "tiny" / f"{seed}.png").write_bytes(encode_png(IMAGE, recipe))
    assert len(open_home().get("image")) == 4


def test_it_says_how_far_the_images_can_be_trusted(output_dir: Path) -> None:
    text = words(open_home())
    assert "none is evidence" in text and "good and bad at: not measured" in text


def test_one_click_draws_the_first_image_and_a_second_visit_none(output_dir: Path) -> None:
    app = open_home()
    click(app, "draw tiny")
    assert app.title[0].value == "Generator"
    first = wait(app)
    assert first.state == "done" and first.result.request.seed == app.number_input(key="seed").value
    app.switch_page("home.py")
    run(app)
    app.switch_page("create/generate.py")
    assert wait(run(app)) is first


def test_checkpoints_of_one_subject_share_a_tile(tiny_checkpoint: Path, output_dir: Path) -> None:
    (output_dir / "checkpoints").unlink()
    root = output_dir / "checkpoints" / "latent_diffusion"
    for name in ("tiny", "another"):
        shutil.copytree(tiny_checkpoint / "checkpoints" / "latent_diffusion" / "tiny", root / name)
    edit_manifest(root / "another", lambda data: data.update({"name": "another"}))
    app = open_home()
    assert [button.label for button in app.button] == ["Draw one, another", "Draw one, tiny"]
    click(app, "draw tiny")
    assert app.selectbox(key="checkpoint").value == "tiny" and wait(app).result.checkpoint.name == "tiny"


def test_without_a_checkpoint_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTPUT_DIR", str(tmp_path))
    app = open_home()
    assert "no checkpoint" in app.error[0].value and not app.button


def test_every_other_page_is_linked(output_dir: Path) -> None:
    app = open_home()
    links = {link.proto.page for link in app.get("page_link")}
    create = {"batch", "live", "edit", "latent", "adapters", "enlarge", "enhancement", "gallery", "grid"}
    measure = {"metrics", "evaluation", "research", "model_analysis", "likelihood", "readers"}
    assert create | measure | {"dataset", "settings"} <= links
