"""The order of the data is a pure function of (seed, position)."""

from collections import Counter
from typing import Any

import pytest
import torch

from xray_generator.training.settings import TrainingConfig
from xray_generator.training.task import Draw, StepBatches, step_generator
from xray_generator.types import StudioError


def batches(first: int = 0, last: int = 30, rank: int = 0, world: int = 1, seed: int = 7) -> list[list[Draw]]:
    return list(StepBatches(10, 4, seed, first, last, rank, world))


def test_every_epoch_is_a_permutation_of_its_own() -> None:
    order = [draw.index for batch in batches() for draw in batch]
    epochs = [order[i : i + 10] for i in range(0, 120, 10)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 12


@pytest.mark.parametrize("start", [0, 1, 2, 3, 5, 17])
def test_resumed_order_is_the_rest_of_the_straight_one(start: int) -> None:
    assert batches(first=start) == batches()[start:]
    assert len(StepBatches(10, 4, 7, start, 30, 0, 1)) == 30 - start


@pytest.mark.parametrize("world", [2, 4])
def test_processes_share_every_batch(world: int) -> None:
    shares = [batches(rank=rank, world=world) for rank in range(world)]
    for i, whole in enumerate(batches()):
        parts = [draw for share in shares for draw in share[i]]
        assert len(parts) == len(whole)
        assert set(parts) == set(whole)


def test_seeds_of_augmentation_never_repeat_and_depend_on_the_run() -> None:
    seeds = Counter(draw.seed for batch in batches() for draw in batch)
    assert max(seeds.values()) == 1
    assert batches(seed=8) != batches(seed=7)


def test_batch_larger_than_the_dataset() -> None:
    (batch,) = StepBatches(3, 8, 0, 0, 1, 0, 1)
    assert Counter(draw.index for draw in batch).most_common()[0][1] == 3
    assert sorted(draw.index for draw in batch[:3]) == [0, 1, 2]


def test_faults_are_told() -> None:
    with pytest.raises(StudioError, match="no training images"):
        StepBatches(0, 4, 0, 0, 1, 0, 1)
    with pytest.raises(StudioError, match="multiple of the number of processes, 3"):
        StepBatches(10, 4, 0, 0, 1, 0, 3)


def test_generators_differ_in_every_counter_and_only_there() -> None:
    def draw(*counters: int) -> tuple[float, ...]:
        return tuple(torch.randn(3, generator=step_generator(*counters)).tolist())

    keys = [(seed, step, rank) for seed in range(5) for step in range(20) for rank in range(3)]
    assert len({draw(*key) for key in keys}) == len(keys)
    assert draw(1, 2, 3) == draw(1, 2, 3)


@pytest.mark.parametrize(
    "change",
    [
        {"num_steps": 0},
        {"batch_size": 0},
        {"learning_rate": 0},
        {"learning_rate": 1},
        {"checkpoint_every": 0},
        {"learning_rate": float("nan")},
        {"log_every": -1},
        {"gradient_accumulation_steps": 0},
        {"keep_checkpoints": 0},
        {"warmup_steps": -1},
        {"num_workers": -1},
        {"ema_decay": 1.5},
        {"max_grad_norm": 0.0},
        {"seed": -1},
        {"seed": 2**32},
        {"adam_beta2": 1.0},
        {"weight_decay": -0.1},
    ],
)
def test_senseless_settings_are_refused(change: dict[str, Any]) -> None:
    (name,) = change
    with pytest.raises(StudioError, match=name):
        TrainingConfig(**{"num_steps": 1, "batch_size": 1, "learning_rate": 0.1} | change)
