"""Where the words acted: cross-attention of the denoiser, recorded while it draws (Tang et al. 2023, arXiv:2210.04885).

Every attention layer of a loaded UNet can be recorded, which costs nothing while nobody does. The recorder is a context
variable, so that two threads that share the network do not record each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import cast

import numpy as np
import torch
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

_recorder: ContextVar[AttentionRecorder | None] = ContextVar("attention recorder", default=None)


class AttentionRecorder:
    """The attention of each position to each token of the last prompt of a batch, mean over layers, heads and steps."""

    def __init__(self, side: int) -> None:
        self.side, self.total, self.count = side, torch.zeros(0), 0

    def add(self, attention: Attention, positions: Tensor, text: Tensor, bias: Tensor | None) -> None:
        """One layer at one step: positions (B, h w, C), text (B, L, D), bias (B, 1, L) as diffusers passes them."""
        query = attention.head_to_batch_dim(attention.to_q(positions[-1:]))
        key = attention.head_to_batch_dim(attention.to_k(text[-1:]))
        if bias is not None:
            bias = bias[-1:].repeat_interleave(len(query), 0)
        shares = attention.get_attention_scores(query, key, bias).mean(0)  # (h w, L)
        side = int(len(shares) ** 0.5)
        maps = rearrange(shares, "(h w) tokens -> 1 tokens h w", h=side).float()
        maps = F.interpolate(maps, (self.side, self.side), mode="bilinear", align_corners=False)[0]
        self.total = maps if self.count == 0 else self.total + maps
        self.count += 1

    def maps(self) -> NDArray[np.float32]:
        """(L, side, side); at each position they sum to 1."""
        return cast(NDArray[np.float32], (self.total / max(self.count, 1)).cpu().numpy())


class RecordableAttention(AttnProcessor2_0):  # type: ignore[misc]
    """diffusers' attention, whose weights are computed once more where they are recorded."""

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        """As `AttnProcessor2_0`."""
        recorder = _recorder.get()
        if recorder is not None and encoder_hidden_states is not None:
            recorder.add(attn, hidden_states, encoder_hidden_states, attention_mask)
        output = super().__call__(attn, hidden_states, encoder_hidden_states, attention_mask, temb)
        return cast(Tensor, output)


@contextmanager
def record_attention(side: int) -> Iterator[AttentionRecorder]:
    """Record the attention of every loaded UNet that this thread calls; `side` is that of the finest maps."""
    recorder = AttentionRecorder(side)
    token = _recorder.set(recorder)
    try:
        yield recorder
    finally:
        _recorder.reset(token)


def word_maps(
    prompt: str, offsets: list[tuple[int, int]], maps: NDArray[np.float32]
) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """The words of a prompt, split at spaces, and the sum of their tokens' maps; a word that was not read has none.

    Args:
        prompt: the text.
        offsets: first and last character of each token; equal for one that stands for no text.
        maps: (tokens, h, w).
    """
    words, sums, start = [], [], 0
    for word in prompt.split():
        start = prompt.index(word, start)
        end = start + len(word)
        own = [i for i, (first, last) in enumerate(offsets) if first < last and start <= first < end]
        if own:
            words.append(word)
            sums.append(maps[own].sum(0))
        start = end
    empty: NDArray[np.float32] = np.zeros((0, *maps.shape[1:]), np.float32)
    return tuple(words), np.stack(sums) if sums else empty
