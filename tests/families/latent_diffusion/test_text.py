"""The text encoder: it knows the captions, says what it cannot read, and comes back from disk unchanged."""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import BertConfig, BertModel, GPT2Config, GPT2Model

from xray_generator.data.read import read_dataset
from xray_generator.families.latent_diffusion.config import LatentDiffusionConfig, TextEncoderConfig
from xray_generator.families.latent_diffusion.model import LatentDiffusion
from xray_generator.families.latent_diffusion.text import TextEncoder, build_text_encoder
from xray_generator.types import StudioError

MakeModel = Callable[[LatentDiffusionConfig], LatentDiffusion]
PROMPTS = ["Normal chest X-ray, PA view", "AP chest radiograph of a female patient with COVID-19"]


@pytest.fixture(scope="module")
def encoder(make_model: MakeModel, tiny_config: LatentDiffusionConfig) -> TextEncoder:
    return make_model(tiny_config).text_encoder


@pytest.fixture(scope="module")
def pretrained(encoder: TextEncoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A local folder that stands for BioBERT: BERT weights with a pooler, dropout, and a tokenizer."""
    folder = tmp_path_factory.mktemp("bert")
    torch.manual_seed(0)
    shape = BertConfig(
        vocab_size=len(encoder.tokenizer),
        hidden_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=48,
        max_position_embeddings=64,
    )
    BertModel(shape).save_pretrained(folder)
    encoder.tokenizer.save_pretrained(folder)
    return folder


@torch.no_grad()
def embed(encoder: TextEncoder, prompts: list[str], length: int | None = None) -> Tensor:
    return encoder(*encoder.tokenize(prompts, length))


def test_every_caption_word_is_known(encoder: TextEncoder, dataset_folder: Path) -> None:
    captions = {row.prompt for row in read_dataset(dataset_folder).split("train")}
    unknown = encoder.tokenizer.unk_token_id
    assert captions
    assert not any(unknown in ids for ids in encoder.tokenizer(sorted(captions))["input_ids"])


def test_shipped_vocabulary_holds_every_caption_word_whole(dataset_folder: Path) -> None:
    captions = sorted({row.prompt for row in read_dataset(dataset_folder).split("train")})
    shipped = build_text_encoder(TextEncoderConfig(embedding_size=32, num_layers=1, num_heads=2), captions)
    words = {word for caption in captions for word in re.findall(r"[a-z]+", caption.lower())}
    assert all(len(shipped.tokenizer.tokenize(word)) == 1 for word in words)


def test_vocabulary_is_a_function_of_the_captions(dataset_folder: Path, tmp_path: Path) -> None:
    """Another process must read the same words from the same ids: else a resumed or distributed run is spoilt."""
    captions = [row.prompt for row in read_dataset(dataset_folder).split("train")]
    vocabularies = [
        build_text_encoder(TextEncoderConfig(embedding_size=32, num_layers=1, num_heads=2), given).tokenizer.get_vocab()
        for given in (captions, captions[::-1], captions)
    ]
    assert vocabularies[0] == vocabularies[1] == vocabularies[2]


def test_small_vocabulary_keeps_the_frequent_words_and_spells_the_rest() -> None:
    config = TextEncoderConfig(embedding_size=32, num_layers=1, num_heads=2, vocabulary_size=79)
    tokenizer = build_text_encoder(config, ["lung lung", "lung heart heart", "rib"]).tokenizer
    assert len(tokenizer) == 79
    assert tokenizer.tokenize("Lung heart rib") == ["lung", "heart", "r", "##i", "##b"]


def test_case_and_accents_do_not_matter(encoder: TextEncoder) -> None:
    assert torch.equal(encoder.tokenize(["NORMAL Ch\u00e9st"])[0], encoder.tokenize(["normal chest"])[0])


@pytest.mark.parametrize("text", ["", "?", "\U0001fac1", "عربى", "a" * 2_000, "x-ray " * 300])
def test_any_text_has_a_fixed_shape(encoder: TextEncoder, text: str) -> None:
    ids, mask = encoder.tokenize([text], length=32)
    assert ids.shape == mask.shape == (1, 32)
    assert torch.isfinite(embed(encoder, [text], 32)).all()


def test_ids_do_not_depend_on_the_neighbors(encoder: TextEncoder) -> None:
    together = encoder.tokenize(PROMPTS)[0]
    for i, prompt in enumerate(PROMPTS):
        alone = encoder.tokenize([prompt])[0][0]
        assert torch.equal(together[i, : len(alone)], alone)


def test_padding_does_not_change_the_embeddings(encoder: TextEncoder) -> None:
    short = embed(encoder, PROMPTS[:1])
    padded = embed(encoder, PROMPTS[:1], length=32)
    in_company = embed(encoder, [PROMPTS[0], "word " * 20])
    assert torch.allclose(padded[:, : short.shape[1]], short, atol=1e-5)
    assert torch.allclose(in_company[:1, : short.shape[1]], short, atol=1e-5)


def test_different_prompts_differ(encoder: TextEncoder) -> None:
    first, second = embed(encoder, PROMPTS, length=32)
    assert not torch.allclose(first, second, atol=1e-3)


def test_end_that_is_not_read_is_told(encoder: TextEncoder) -> None:
    assert encoder.ignored_text(PROMPTS[0]) == ""
    prompt = "normal " * 30 + "chest Zebra"
    assert encoder.ignored_text(prompt) == "chest Zebra"  # 32 tokens less the two ends
    assert encoder.ignored_text("normal " * 30) == ""
    assert torch.equal(encoder.tokenize([prompt])[0], encoder.tokenize(["normal " * 30])[0])


def test_saved_encoder_gives_equal_embeddings(encoder: TextEncoder, tmp_path: Path) -> None:
    encoder.save(tmp_path)
    again = TextEncoder.load(tmp_path).eval()
    assert torch.equal(embed(again, PROMPTS), embed(encoder, PROMPTS))
    assert again.max_length == encoder.max_length
    assert not again.is_frozen


def test_pretrained_encoder_is_frozen_and_its_projection_is_not(pretrained: Path) -> None:
    encoder = build_text_encoder(TextEncoderConfig("pretrained", str(pretrained), 32, max_length=32), PROMPTS).train()
    assert encoder.is_frozen
    assert not any(p.requires_grad for p in encoder.transformer.parameters())
    assert [name for name, p in encoder.named_parameters() if p.requires_grad] == [
        "projection.linear.weight",
        "projection.linear.bias",
    ]
    assert embed(encoder, PROMPTS).shape[2] == 32
    assert torch.equal(embed(encoder, PROMPTS), embed(encoder, PROMPTS))  # its dropout is off while training


@pytest.fixture
def saved(pretrained: Path, tmp_path: Path) -> tuple[TextEncoder, Path]:
    """An encoder around a pretrained transformer, and the folder that it was saved in."""
    encoder = build_text_encoder(TextEncoderConfig("pretrained", str(pretrained), 32, max_length=32), PROMPTS).eval()
    encoder.save(tmp_path / "saved")
    return encoder, tmp_path / "saved"


def test_pretrained_encoder_is_saved_as_a_reference(
    saved: tuple[TextEncoder, Path], pretrained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder, folder = saved
    monkeypatch.setenv("TOKENIZER_NAME", str(pretrained))
    again = TextEncoder.load(folder).eval()
    assert torch.equal(embed(again, PROMPTS), embed(encoder, PROMPTS))
    assert {path.name for path in folder.rglob("*.safetensors")} == {"diffusion_pytorch_model.safetensors"}
    assert not any(
        str(pretrained) in path.read_text() for path in folder.rglob("*.json")
    )  # the name alone is passed on
    assert json.loads((folder / "text_encoder" / "pretrained.json").read_text())["name"] == pretrained.name


def test_reference_that_is_not_at_hand_names_the_way_out(saved: tuple[TextEncoder, Path]) -> None:
    with pytest.raises(StudioError, match=r"cannot be loaded \(.*TOKENIZER_NAME=FOLDER to train or draw"):
        TextEncoder.load(saved[1])


def test_another_encoder_of_that_name_is_refused(
    saved: tuple[TextEncoder, Path], pretrained: Path, tmp_path: Path
) -> None:
    shutil.copytree(pretrained, tmp_path / "other")
    weights = load_file(tmp_path / "other" / "model.safetensors")
    weights["embeddings.LayerNorm.weight"][0] += 0.1
    save_file(weights, tmp_path / "other" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(StudioError, match="are not those that this checkpoint was trained with"):
        TextEncoder.load(saved[1], str(tmp_path / "other"))


def test_weights_in_a_pickle_are_read_and_never_run(pretrained: Path, tmp_path: Path) -> None:
    """BioBERT comes as pytorch_model.bin."""
    folder = tmp_path / "bin"
    shutil.copytree(pretrained, folder)
    (folder / "model.safetensors").unlink()
    torch.save(load_file(pretrained / "model.safetensors"), folder / "pytorch_model.bin")
    first, second = (
        build_text_encoder(TextEncoderConfig("pretrained", str(name), 32), PROMPTS) for name in (pretrained, folder)
    )
    for a, b in zip(first.transformer.parameters(), second.transformer.parameters(), strict=True):
        assert torch.equal(a, b)
    torch.save(Canary(tmp_path / "canary"), folder / "pytorch_model.bin")
    with pytest.raises(StudioError, match="cannot be loaded"):
        build_text_encoder(TextEncoderConfig("pretrained", str(folder), 32), PROMPTS)
    assert not (tmp_path / "canary").exists()


class Canary:
    """Unpickling this creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch '{self.path}'",)


@pytest.mark.parametrize("fault", ["lacking", "cut", "no_bert"])
def test_unfit_encoder_is_refused_in_one_sentence(pretrained: Path, tmp_path: Path, fault: str) -> None:
    folder = tmp_path / "unfit"
    shutil.copytree(pretrained, folder)
    path = folder / "model.safetensors"
    if fault == "lacking":  # transformers would fill it with random numbers
        weights = load_file(path)
        del weights["embeddings.LayerNorm.weight"]
        save_file(weights, path, metadata={"format": "pt"})
    elif fault == "cut":
        path.write_bytes(path.read_bytes()[:100])
    else:  # it knows no add_pooling_layer
        GPT2Model(GPT2Config(vocab_size=99, n_positions=16, n_embd=8, n_layer=1, n_head=1)).save_pretrained(folder)
    with pytest.raises(StudioError, match="cannot be loaded"):
        build_text_encoder(TextEncoderConfig("pretrained", str(folder), 32), PROMPTS)


@pytest.mark.parametrize("name", ["no/such-model", "/no/such/folder", "dmis-lab/biobert-base-cased-v1.1", "../x", ""])
def test_missing_pretrained_encoder_names_the_way_out(name: str) -> None:
    with pytest.raises(StudioError, match=r"text_encoder\.name_or_path=FOLDER.*text_encoder\.kind=bert"):
        build_text_encoder(TextEncoderConfig("pretrained", name), PROMPTS)
