"""What every door calls: engines kept loaded, seeds resolved, images saved with their recipes."""

import gc
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from postprocess.presets import apply, get_preset
from tests.manifests import edit_manifest
from xray_generator.checkpoints import read_manifest
from xray_generator.config import dump
from xray_generator.export.recipe import read_recipe
from xray_generator.images import read_image, to_uint8
from xray_generator.requests import MAX_RANDOM_SEED, resolve_seed, text_request
from xray_generator.studio import MAX_LOADED, Studio
from xray_generator.types import StudioError

PROMPT = "Normal chest X-ray, PA view"
TINY = Path("checkpoints") / "latent_diffusion" / "tiny"


@pytest.fixture(scope="module")
def studio(tiny_checkpoint: Path) -> Studio:
    return Studio(tiny_checkpoint, "cpu")


def test_checkpoints_are_listed_with_what_they_draw(studio: Studio) -> None:
    (manifest,) = studio.checkpoints()
    assert (manifest.family, manifest.name, manifest.sizes) == ("latent_diffusion", "tiny", (64,))
    assert "pneumonia" in studio.vocabulary().words


def test_a_prompt_is_read_as_its_facts(studio: Studio) -> None:
    assert studio.reading("CXR, 60F, no PTX") == "60 years · female · no pneumothorax"
    assert studio.reading("a zebra") == ""


def test_unseen_words_are_named(studio: Studio) -> None:
    assert studio.unseen_words("Normal chest X-ray") == ()
    assert "zebra" in studio.unseen_words("a zebra in the chest")


def test_without_a_checkpoint_the_way_out_is_named(tmp_path: Path) -> None:
    with pytest.raises(StudioError, match=r"no checkpoint.*python -m xray_generator\.train"):
        Studio(tmp_path).generate(text_request(PROMPT, seed=1))


def test_engine_is_loaded_once(studio: Studio) -> None:
    assert studio.engine("tiny") is studio.engine("TINY") is studio.engine()


def test_networks_are_unloaded_and_loaded_again(tiny_checkpoint: Path) -> None:
    studio = Studio(tiny_checkpoint, "cpu")
    assert studio.loaded == ()
    engine = studio.engine()
    assert studio.loaded == (engine.manifest,) and studio.runtime()["dtype"] in ("float32", "bfloat16 autocast")
    studio.unload()
    assert studio.loaded == () and studio.engine() is not engine


def test_loading_leaves_other_threads_alone(tiny_checkpoint: Path) -> None:
    """Networks built beside a load must hold data (diffusers' default load puts them on the meta device)."""
    stop, devices = threading.Event(), set()

    def build() -> None:
        while not stop.is_set():
            devices.update(p.device.type for p in torch.nn.Linear(2, 2).parameters())

    thread = threading.Thread(target=build)
    thread.start()
    for _ in range(3):
        Studio(tiny_checkpoint, "cpu").engine()
    stop.set()
    thread.join()
    assert devices == {"cpu"}


def test_only_the_last_engines_stay_in_memory(tiny_checkpoint: Path, tmp_path: Path) -> None:
    names = [f"copy{i}" for i in range(MAX_LOADED + 1)]
    for name in names:
        copy = tmp_path / "checkpoints" / "latent_diffusion" / name
        shutil.copytree(tiny_checkpoint / TINY, copy)
        edit_manifest(copy, lambda data, name=name: data.update(name=name))
    studio = Studio(tmp_path, "cpu")
    engines = [studio.engine(name) for name in names]
    assert studio.engine(names[-1]) is engines[-1]
    assert studio.engine(names[0]) is not engines[0]


def test_an_engine_that_is_dropped_while_it_draws_draws_on(tiny_checkpoint: Path) -> None:
    studio, request = Studio(tiny_checkpoint, "cpu"), text_request(PROMPT, seed=1, size=64, steps=3)
    expected = studio.generate(request).images[0]
    steps = []

    def drop(step: int, _total: int, _preview: object) -> None:
        steps.append(step)
        studio._engines.clear()
        gc.collect()

    assert np.array_equal(studio.generate(request, on_step=drop).images[0], expected) and len(steps) >= 3


def test_a_model_that_finds_no_memory_is_not_said_to_be_damaged(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio = Studio(tiny_checkpoint, "cpu")
    with monkeypatch.context() as patch:
        patch.setattr(torch.nn.Module, "requires_grad_", lambda *_, **__: torch.empty(2**50, dtype=torch.uint8))
        with pytest.raises(StudioError, match="not enough memory for this"):
            studio.engine()
    assert studio.engine().manifest.name == "tiny"


def test_checkpoint_trained_again_is_loaded_again(tiny_checkpoint: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_checkpoint, tmp_path / "outputs")
    studio = Studio(tmp_path / "outputs", "cpu")
    before = studio.engine()
    weights = tmp_path / "outputs" / TINY / "unet" / "diffusion_pytorch_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    from xray_generator.checkpoints import write_manifest

    write_manifest(tmp_path / "outputs" / TINY, read_manifest(tmp_path / "outputs" / TINY))
    assert studio.engine() is not before
    assert studio.engine().manifest.ref == studio.manifest().ref


def test_threads_are_set_where_the_work_is_done(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, restore_threads: None
) -> None:
    monkeypatch.setenv("STUDIO_THREADS", "2")
    request = text_request(PROMPT, seed=1, size=64, steps=1)
    assert Studio(tiny_checkpoint, "cpu").generate(request).runtime["threads"] == 2
    assert Studio(tiny_checkpoint, "cpu", num_threads=1).generate(request).runtime["threads"] == 1


@pytest.fixture
def restore_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_output_dir_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OUTPUT_DIR", str(tmp_path))
    assert Studio().checkpoint_root == tmp_path / "checkpoints"


def test_unknown_device_is_refused(tiny_checkpoint: Path) -> None:
    for name in ("tpu", "cuda:99", "meta", "cpu:x"):
        with pytest.raises(StudioError, match="device|There is no"):
            Studio(tiny_checkpoint, name).engine()


def test_random_seed_is_resolved_once_and_recorded(studio: Studio, tmp_path: Path) -> None:
    request = text_request(PROMPT, size=64, steps=1)
    assert 0 <= request.seed < MAX_RANDOM_SEED
    assert len({resolve_seed(None) for _ in range(5)}) == 5
    assert resolve_seed(0) == 0
    (saved,) = studio.save(studio.generate(request), tmp_path)
    assert saved.seed == request.seed == read_recipe(saved.path.read_bytes()).request.seed


def test_saved_image_is_the_image_and_can_be_made_again_from_its_file(studio: Studio, tmp_path: Path) -> None:
    result = studio.generate(text_request(PROMPT, seed=21, num_images=2, size=64, steps=3, guidance=5.0))
    for image, saved in zip(result.images, studio.save(result, tmp_path), strict=True):
        assert np.array_equal(to_uint8(read_image(saved.path)), to_uint8(image))
        recipe = read_recipe(saved.path.read_bytes())
        again = studio.generate(recipe.request, f"{recipe.checkpoint.family}/{recipe.checkpoint.name}")
        assert np.array_equal(again.images[0], image)
        assert recipe.checkpoint == studio.manifest().ref


def test_files_of_equal_runs_are_equal_to_the_byte(tiny_checkpoint: Path, tmp_path: Path) -> None:
    files = []
    for run, count in (("a", 1), ("b", 3)):  # alone, and first of a batch
        studio = Studio(tiny_checkpoint, "cpu")
        result = studio.generate(text_request(PROMPT, seed=7, num_images=count, size=64, steps=3))
        files.append(studio.save(result, tmp_path / run)[0].path)
    assert files[0].name == files[1].name
    assert files[0].read_bytes() == files[1].read_bytes()


def test_different_requests_never_share_a_file(studio: Studio, tmp_path: Path) -> None:
    for options in ({}, {"steps": 2}, {"guidance": 2.0}, {"scheduler": "ddim"}):
        studio.save(studio.generate(text_request(PROMPT, seed=7, size=64, **{"steps": 3, **options})), tmp_path)
    studio.save(studio.generate(text_request("Cardiomegaly", seed=7, size=64, steps=3)), tmp_path)
    assert len(list(tmp_path.iterdir())) == 5


def test_preset_is_applied_to_a_copy_beside_the_raw_image(studio: Studio, tmp_path: Path) -> None:
    result, preset = studio.generate(text_request(PROMPT, seed=7, size=64, steps=3)), get_preset("balanced")
    (saved,) = studio.save(result, tmp_path, preset)
    assert saved.enhanced_path is not None
    assert np.array_equal(to_uint8(read_image(saved.path)), to_uint8(result.images[0]))
    enhanced = to_uint8(apply(preset, result.images[0]))
    assert np.array_equal(to_uint8(read_image(saved.enhanced_path)), enhanced)
    recipe = read_recipe(saved.enhanced_path.read_bytes())
    assert recipe.preset == dump(preset)


def test_folder_that_cannot_be_written_is_named(studio: Studio, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = studio.generate(text_request(PROMPT, seed=7, size=64, steps=1))
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StudioError, match="Cannot write"):
            studio.save(result, folder)
