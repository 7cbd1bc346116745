"""A Stable Diffusion becomes a checkpoint, from a folder or the hub's cache, or is refused in words."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from tests.families.tiny_sd import SIZE, make_tiny_sd
from xray_generator.checkpoints import read_manifest
from xray_generator.data.vocabulary import NO_VOCABULARY
from xray_generator.families.stable_diffusion.engine import load_engine
from xray_generator.families.stable_diffusion.importing import main
from xray_generator.registry import import_model
from xray_generator.studio import Studio
from xray_generator.train import main as train
from xray_generator.types import StudioError


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_sd(tmp_path_factory.mktemp("models") / "Tiny SD")


def test_a_folder_is_imported_once_and_named_after_itself(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(source), "--output_dir", str(tmp_path)]) == 0
    place = tmp_path / "checkpoints" / "stable_diffusion" / "tiny_sd"
    assert capsys.readouterr().out == f"Finished: {place}\n"
    manifest = read_manifest(place)
    assert manifest.config["source"] == "Tiny SD" and str(source) not in (place / "manifest.json").read_text()
    assert (manifest.sizes, manifest.recommended.scheduler) == ((SIZE,), "dpm++")
    assert import_model(str(source), tmp_path / "checkpoints", "another") == place
    studio = Studio(tmp_path)
    assert studio.vocabulary() == NO_VOCABULARY and studio.unseen_words("Normal chest X-ray") == ()
    other = make_tiny_sd(tmp_path / "tiny_sd", seed=1)
    with pytest.raises(StudioError, match="stable_diffusion/tiny_sd is here already, with other weights"):
        import_model(str(other), tmp_path / "checkpoints")


def test_a_model_in_the_cache_of_the_hub_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the kind 2.x, in files of 16 bits whose tensors are named as those of 2022."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    repository = tmp_path / "hub" / "models--someone--tiny-sd-2"
    folder = repository / "snapshots" / "a1"
    make_tiny_sd(folder, variant="fp16", pad="!", prediction_type="v_prediction", beta_end=0.013)
    vae = folder / "vae" / "diffusion_pytorch_model.fp16.safetensors"
    save_file({_old_name(key): value for key, value in load_file(vae).items()}, vae, {"format": "pt"})
    text = folder / "text_encoder" / "model.fp16.safetensors"
    extra = {"text_model.embeddings.position_ids": torch.arange(24)[None]}
    save_file(load_file(text) | extra, text, {"format": "pt"})
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a1")
    engine = load_engine(import_model("someone/tiny-sd-2", tmp_path), "cpu")
    assert engine.manifest.ref.full_name == "stable_diffusion/tiny-sd-2"
    assert engine.manifest.config["source"] == "someone/tiny-sd-2"
    assert engine.model.scheduler("ddim").config.prediction_type == "v_prediction"
    assert engine.model.scheduler("unipc").config.beta_end == 0.013
    assert engine.model.tokenizer.pad_token == "!"
    query = engine.model.vae.encoder.mid_block.attentions[0].to_q.weight
    assert torch.equal(query.half(), load_file(vae)["encoder.mid_block.attentions.0.query.weight"].half())


def _old_name(key: str) -> str:
    for new, old in (("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn")):
        key = key.replace(f".{new}.", f".{old}.")
    return key


def test_what_cannot_be_imported_is_said(source: Path, tmp_path: Path) -> None:
    xl, bare, pickled, cut, wide = (
        shutil.copytree(source, tmp_path / name) for name in ("xl", "bare", "pickled", "cut", "wide")
    )
    index = json.loads((source / "model_index.json").read_text())
    (xl / "model_index.json").write_text(json.dumps(index | {"_class_name": "StableDiffusionXLPipeline"}))
    (bare / "model_index.json").unlink()
    weights = Path("unet", "diffusion_pytorch_model.safetensors")
    (pickled / weights).rename((pickled / weights).with_suffix(".bin"))
    (cut / weights).write_bytes((cut / weights).read_bytes()[:-9])
    settings = wide / "vae" / "config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"latent_channels": 16}))
    single = tmp_path / "sd.safetensors"
    single.write_bytes(b"")
    for given, words in {
        xl: "xl is of the kind 'StableDiffusionXLPipeline'. Stable Diffusion 1.x, 2.x and Turbo",
        bare: "bare is no model in diffusers layout",
        pickled: "unet are in no file diffusion_pytorch_model.safetensors.*may contain code",
        cut: "checkpoint cut cannot be loaded",
        wide: "checkpoint wide cannot be loaded",
        single: "sd.safetensors is a single file",
        "someone/absent": "'someone/absent' is neither a folder nor a model in the Hugging Face cache.*hf download",
        "no name/of/a model": "is neither a folder nor",
    }.items():
        with pytest.raises(StudioError, match=words):
            import_model(str(given), tmp_path / "checkpoints")
    assert not list(tmp_path.glob("checkpoints/*/*"))


def test_it_is_not_trained_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "sd.json"
    path.write_text(json.dumps({"family": "stable_diffusion", "name": "x", "source": "x", "source_sha256": ""}))
    assert train(["--config", str(path), "--output_dir", str(tmp_path)]) == 1
    assert "is not trained here. Import it" in capsys.readouterr().err
