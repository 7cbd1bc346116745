"""The text encoder behind one interface: a small BERT of our own, or a frozen pretrained one with a projection.

The small one takes its WordPiece vocabulary from the training captions and is trained with the denoiser. The
pretrained one (BioBERT, Lee et al. 2020) stays frozen; only a linear projection to the denoiser's width is trained, and
a checkpoint holds its name and the hash of its weights in their place.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle  # for the name of an error alone
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from safetensors import SafetensorError
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor, nn
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel, PreTrainedTokenizerFast
from transformers.utils.logging import disable_progress_bar

from xray_generator.checkpoints import Stored
from xray_generator.families.latent_diffusion.config import TextEncoderConfig
from xray_generator.types import StudioError

FAULTS = (OSError, ValueError, RuntimeError, KeyError, SafetensorError, pickle.UnpicklingError)  # of a foreign folder
SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
# diffusers' default builds a network under a patch of torch that other threads see: theirs would hold no data
LOADING: dict[str, Any] = {"use_safetensors": True, "low_cpu_mem_usage": False, "torch_dtype": torch.float32}
REFERENCE = "pretrained.json"  # in place of a pretrained transformer's weights: its name and their hash


class TextProjection(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """(B, L, in_features) -> (B, L, out_features)."""

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, states: Tensor) -> Tensor:
        """One linear map, token by token."""
        return cast(Tensor, self.linear(states))


class TextEncoder(nn.Module):
    """Prompts -> one embedding per token."""

    def __init__(self, transformer: nn.Module, tokenizer: Any, max_length: int, projection: nn.Module | None) -> None:  # noqa: ANN401
        super().__init__()
        self.transformer, self.tokenizer, self.max_length = transformer, tokenizer, max_length
        self.projection = projection
        if projection is not None:
            transformer.requires_grad_(requires_grad=False)

    def tokenize(self, prompts: Sequence[str], length: int | None = None) -> tuple[Tensor, Tensor]:
        """Token ids and mask, each (B, L): padded to the longest prompt or to `length`, cut at `max_length`."""
        tokens = self.tokenizer(
            list(prompts),
            padding="max_length" if length else "longest",
            truncation=True,
            max_length=length or self.max_length,
            return_tensors="pt",
        )
        return tokens["input_ids"], tokens["attention_mask"]

    def ignored_text(self, prompt: str) -> str:
        """The end of a prompt that exceeds `max_length` tokens; empty where all of it is read."""
        offsets = self.tokenizer(prompt, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        room = self.max_length - self.tokenizer.num_special_tokens_to_add()
        return prompt[offsets[room][0] :] if len(offsets) > room else ""

    def offsets(self, prompt: str) -> list[tuple[int, int]]:
        """First and last character of each token that is read; equal for tokens that stand for no text."""
        tokens = self.tokenizer(prompt, truncation=True, max_length=self.max_length, return_offsets_mapping=True)
        return [(int(first), int(last)) for first, last in tokens["offset_mapping"]]

    @property
    def words(self) -> nn.Embedding:
        """The embeddings of the tokens."""
        return cast(nn.Embedding, cast(Any, self.transformer).get_input_embeddings())

    @property
    def is_frozen(self) -> bool:
        """Whether the transformer is a pretrained one, so that its states can be computed once and cached."""
        return self.projection is not None

    def train(self, mode: bool = True) -> TextEncoder:
        """Training mode, which a frozen transformer never enters: its dropout stays off."""
        super().train(mode)
        if self.is_frozen:
            self.transformer.eval()
        return self

    def states(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """The transformer's last hidden states (B, L, its width)."""
        return cast(Tensor, self.transformer(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state)

    def project(self, states: Tensor) -> Tensor:
        """Hidden states -> embeddings (B, L, embedding_size)."""
        return cast(Tensor, states if self.projection is None else self.projection(states))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Embeddings (B, L, embedding_size)."""
        return self.project(self.states(input_ids, attention_mask))

    def save(self, folder: Path) -> None:
        """Write text_encoder/, tokenizer/ and, for a pretrained transformer, text_projection/."""
        self.tokenizer.save_pretrained(folder / "tokenizer")
        if self.projection is None:
            cast(Any, self.transformer).save_pretrained(folder / "text_encoder")
        else:
            cast(Any, self.projection).save_pretrained(folder / "text_projection")
            (folder / "text_encoder").mkdir(parents=True, exist_ok=True)
            name = public_name(cast(Any, self.transformer).name_or_path)
            reference = {"name": name, "sha256": _weights_sha256(self.transformer), "max_length": self.max_length}
            (folder / "text_encoder" / REFERENCE).write_text(json.dumps(reference, indent=2) + "\n", encoding="utf-8")

    def stored(self) -> Stored:
        """The tensors that `save` writes, by their folder."""
        if self.projection is None:
            return {"text_encoder": self.transformer.state_dict()}
        return {"text_projection": self.projection.state_dict()}

    @classmethod
    def load(cls, folder: Path, pretrained: str | None = None) -> TextEncoder:
        """The inverse of `save`; a pretrained transformer is `pretrained`, else TOKENIZER_NAME, else what it is called.

        Raises:
            StudioError: the pretrained transformer is not at hand, or is another one.
        """
        disable_progress_bar()  # for one small file it only clutters a command's messages
        reference = folder / "text_encoder" / REFERENCE
        if reference.is_file():
            data = json.loads(reference.read_text(encoding="utf-8"))
            projection = TextProjection.from_pretrained(folder / "text_projection", **LOADING)
            name = pretrained or os.environ.get("TOKENIZER_NAME") or data["name"]
            transformer = _pretrained(name)
            if _weights_sha256(transformer) != data["sha256"]:
                raise StudioError(
                    f"The weights of the text encoder {name!r} are not those that this checkpoint was trained with "
                    f"({data['name']!r}, SHA-256 {data['sha256']}). Give the right one as TOKENIZER_NAME=FOLDER."
                )
            return cls(transformer, _tokenizer(folder / "tokenizer"), data["max_length"], projection)
        transformer = BertModel.from_pretrained(
            folder / "text_encoder", add_pooling_layer=False, use_safetensors=True, dtype=torch.float32
        )
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder / "tokenizer")
        return cls(transformer, tokenizer, transformer.config.max_position_embeddings, None)


def build_text_encoder(config: TextEncoderConfig, captions: Sequence[str]) -> TextEncoder:
    """A new text encoder; the small BERT's vocabulary comes from `captions`.

    Raises:
        StudioError: the pretrained transformer is neither a local folder nor to be had from the hub.
    """
    if config.kind == "pretrained":
        transformer, tokenizer = _pretrained(config.name_or_path), _tokenizer(config.name_or_path)
        projection = TextProjection(transformer.config.hidden_size, config.embedding_size)
        return TextEncoder(transformer, tokenizer, config.max_length, projection)
    tokenizer = _build_tokenizer(captions, config.vocabulary_size, config.max_length)
    shape = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=config.embedding_size,
        num_hidden_layers=config.num_layers,
        num_attention_heads=config.num_heads,
        intermediate_size=4 * config.embedding_size,
        max_position_embeddings=config.max_length,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    return TextEncoder(BertModel(shape, add_pooling_layer=False), tokenizer, config.max_length, None)


def public_name(name_or_path: str) -> str:
    """A hub name as it is, of a local folder the last part alone: what may stand in a file that is passed on."""
    path = Path(name_or_path)
    return path.name if path.is_absolute() or path.is_dir() else name_or_path


def _pretrained(name_or_path: str) -> Any:  # noqa: ANN401 - transformers models share no typed base
    """A BERT in float32, from safetensors where there are any.

    BioBERT comes as pytorch_model.bin alone, a pickle: torch reads it with `weights_only`, which runs none of its code.
    """
    try:
        transformer, report = AutoModel.from_pretrained(
            name_or_path,
            add_pooling_layer=False,
            weights_only=True,
            trust_remote_code=False,
            dtype=torch.float32,
            output_loading_info=True,
        )
        if report["missing_keys"]:
            raise ValueError(f"its files lack {', '.join(sorted(report['missing_keys'])[:3])}")
    except (*FAULTS, TypeError) as error:
        raise _not_at_hand(name_or_path, error) from error
    return transformer


def _tokenizer(name_or_path: str | Path) -> Any:  # noqa: ANN401
    try:
        return AutoTokenizer.from_pretrained(name_or_path, trust_remote_code=False)
    except FAULTS as error:
        raise _not_at_hand(str(name_or_path), error) from error


def _not_at_hand(name_or_path: str, error: Exception) -> StudioError:
    reason = next(iter(str(error).splitlines()), type(error).__name__)[:200]
    return StudioError(
        f"The text encoder {name_or_path!r} cannot be loaded ({reason}). It must be a BERT in a local folder or on the "
        "Hugging Face hub. Without a network, download it elsewhere and give its folder (text_encoder.name_or_path="
        "FOLDER to train, TOKENIZER_NAME=FOLDER to train or draw), or train with text_encoder.kind=bert."
    )


def _weights_sha256(transformer: nn.Module) -> str:
    """Over names and 16-bit values, so that it is the same whatever file and number format they were read from."""
    sha = hashlib.sha256()
    for name, value in sorted(transformer.state_dict().items()):
        sha.update(name.encode() + value.half().cpu().numpy().tobytes())
    return sha.hexdigest()


def _build_tokenizer(captions: Sequence[str], vocabulary_size: int, max_length: int) -> PreTrainedTokenizerFast:
    """WordPiece over the most frequent words of `captions`; letters spell all others.

    Not by WordPieceTrainer of tokenizers: its vocabulary differs from run to run (hash order), so that a resumed run or
    a second process would read other words from the same ids.
    """
    normalizer, splitter = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    counts = Counter(
        word for caption in captions for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(caption))
    )
    spelling = [*LETTERS, *(f"##{letter}" for letter in LETTERS)]
    words = sorted(counts.keys() - set(LETTERS), key=lambda word: (-counts[word], word))
    tokens = [*SPECIAL_TOKENS, *spelling, *words][: max(vocabulary_size, len(SPECIAL_TOKENS) + len(spelling))]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, splitter
    ends = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=max_length,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )
