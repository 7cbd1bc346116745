import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.textures import Loom
from xray_generator.checkpoints import find_checkpoint
from xray_generator.data.rows import Row
from xray_generator.evaluation.drawing import draw_rows, keep_samples, load_model
from xray_generator.export.recipe import read_recipe
from xray_generator.families.latent_diffusion.engine import load_engine
from xray_generator.requests import make_request, text_request
from xray_generator.types import ClassLabel, Engine, StudioError, Unconditional

TEMPLATE = text_request("Chest X-ray", seed=7, size=64, steps=2)


@pytest.fixture(scope="module")
def engine(tiny_checkpoint: Path) -> Engine:
    return load_engine(find_checkpoint(tiny_checkpoint / "checkpoints"), "cpu")


def test_a_class_is_asked_of_what_draws_by_class(tmp_path: Path) -> None:
    template = make_request(ClassLabel("across_wide"), seed=3, size=48, steps=1)
    rows = [Row(Path("a"), "a caption", (), label=label) for label in ("along_fine", "", "across_wide")]
    drawn = draw_rows(Loom(), rows, template, tmp_path)
    conditions = [read_recipe((tmp_path / name).read_bytes()).request.condition for name in drawn.names]
    assert conditions == [ClassLabel("along_fine"), Unconditional(), ClassLabel("across_wide")]
    assert drawn.rows == tuple(rows) and drawn.images.shape == (3, 48, 48)
    with pytest.raises(StudioError, match="knows no class"):
        draw_rows(Loom(), [Row(Path("a"), "", (), label="plaid")], template, tmp_path)


def test_each_image_is_drawn_once_and_a_lost_one_again(
    engine: Engine, tiny_rows: tuple[Row, ...], tmp_path: Path
) -> None:
    whole = draw_rows(engine, tiny_rows[:4], TEMPLATE, tmp_path)
    paths = [tmp_path / name for name in whole.names]
    recipes = [read_recipe(path.read_bytes()) for path in paths]
    assert [recipe.request.seed for recipe in recipes] == [7, 8, 9, 10]
    assert [recipe.request.condition.text for recipe in recipes] == [row.prompt for row in tiny_rows[:4]]
    for path in paths:
        os.utime(path, ns=(1, 1))
    paths[1].unlink()
    paths[2].write_bytes(paths[2].read_bytes()[:100])
    again = draw_rows(engine, tiny_rows[:4], TEMPLATE, tmp_path)
    assert np.array_equal(whole.images, again.images) and whole.names == again.names and again.rows == tiny_rows[:4]
    assert [path.stat().st_mtime_ns == 1 for path in paths] == [True, False, False, True]
    assert sorted(tmp_path.iterdir()) == sorted(paths)


def test_other_settings_are_other_images(engine: Engine, tiny_rows: tuple[Row, ...], tmp_path: Path) -> None:
    model = load_model(engine, TEMPLATE, tmp_path)
    plain, guided = (model.redraw(tiny_rows[:1], {"guidance_scale": scale}) for scale in (1.0, 9.0))
    assert not np.array_equal(plain.images, guided.images) and len(list(tmp_path.iterdir())) == 2
    assert model.request.num_inference_steps == 2 and model.peak_memory_mb > 0


def test_a_folder_that_cannot_be_written_to_is_named(
    engine: Engine, tiny_rows: tuple[Row, ...], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StudioError, match="Cannot write"):
        draw_rows(engine, tiny_rows[:1], TEMPLATE, tmp_path / "file" / "cache")


def test_samples_gather_until_the_weights_change(engine: Engine, tiny_rows: tuple[Row, ...], tmp_path: Path) -> None:
    drawn = draw_rows(engine, tiny_rows[:5], TEMPLATE, tmp_path / "drawn")
    kept = tmp_path / "samples"
    keep_samples(drawn.names[:2], tmp_path / "drawn", kept, engine.manifest.ref)
    keep_samples(drawn.names[2:3], tmp_path / "drawn", kept, engine.manifest.ref)
    assert {path.name for path in kept.iterdir()} == set(drawn.names[:3])
    assert (kept / drawn.names[2]).read_bytes() == (tmp_path / "drawn" / drawn.names[2]).read_bytes()
    keep_samples(drawn.names[3:4], tmp_path / "drawn", kept, replace(engine.manifest.ref, sha256="0"))
    assert {path.name for path in kept.iterdir()} == {drawn.names[3]}


def test_a_model_with_an_autoencoder_reconstructs_images(
    engine: Engine, tiny_rows: tuple[Row, ...], tmp_path: Path
) -> None:
    model = load_model(engine, TEMPLATE, tmp_path)
    images = draw_rows(engine, tiny_rows[:3], TEMPLATE, tmp_path)
    assert model.reconstruct is not None
    copies = model.reconstruct(images)
    assert copies.shape == images.images.shape and copies.min() >= 0 and copies.max() <= 1
    assert np.allclose(model.reconstruct(images.take([1])), copies[1:2], atol=1e-5)
