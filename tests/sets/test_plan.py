"""A plan says of each image, by its number alone, what it is; planners fill up what real images lack."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from xray_generator.checkpoints import Manifest, read_manifest
from xray_generator.plan_set import main
from xray_generator.sets.card import describe_set
from xray_generator.sets.gate import Yardsticks
from xray_generator.sets.plan import Cell, Plan, Series, read_plan
from xray_generator.sets.shards import Shard, find_shard, read_shard
from xray_generator.sets.summary import Summary
from xray_generator.sets.writing import Opening
from xray_generator.types import StudioError


@pytest.fixture
def text_model(tiny_checkpoint: Path) -> Manifest:
    return read_manifest(tiny_checkpoint / "checkpoints" / "latent_diffusion" / "tiny")


def facts(count: int, **asked: object) -> Cell:
    return Cell(count, findings=("cardiomegaly",), **asked)


def test_every_number_is_one_image_of_its_cell_with_seeds_of_its_own(text_model: Manifest) -> None:
    cells = (
        facts(5, view="PA", age_group="adult", sex="F"),
        Cell(0, prompt="none of these"),
        Cell(20, prompt="Normal"),
    )
    series = Series(Plan("set", "tiny", cells), text_model)
    items = [series.item(i) for i in range(len(series))]
    assert len(items) == 25 and len({item.path for item in items}) == 25
    first = items[:5]
    assert {item.label for item in first} == {"cardiomegaly"}
    assert {(item.row.view, item.row.sex, item.row.age_group) for item in first} == {("PA", "F", "adult")}
    assert len({item.row.age for item in first}) > 1
    splits = Counter(item.row.split for item in items[5:])
    assert all(abs(splits[name] - count) <= 1 for name, count in (("train", 16), ("val", 2), ("test", 2)))
    attempts = range(series.plan.gate.attempts)
    seeds = {series.request(item, attempt).seed for item in items for attempt in attempts}
    assert len(seeds) == 25 * len(attempts)
    assert seeds.isdisjoint({Series(replace(series.plan, seed=1), text_model).request(items[0], 0).seed})
    assert [series.item(i) for i in range(25)] == items


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ({"label": "normal"}, "not by class"),
        ({"findings": ["flu"]}, "Unknown finding 'flu'"),
        ({"findings": ["cardiomegaly"], "view": "oblique"}, "no words for the view 'oblique'"),
        ({"findings": ["cardiomegaly"], "label": "normal"}, "is a label, a prompt, or facts"),
        ({"prompt": "x", "count": -1}, "count must be"),
        ({"prompt": "x", "counts": 1}, "cells.0.counts"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_one_sentence(
    text_model: Manifest, tmp_path: Path, cell: dict[str, object], words: str
) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({"name": "set", "checkpoint": "tiny", "cells": [cell]}))
    with pytest.raises(StudioError, match=words):
        Series(read_plan(path), text_model)


def test_a_csv_is_a_plan_and_its_values_can_be_given_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "prompts.csv"
    path.write_text("prompt,count\nNormal chest X-ray,3\nChest X-ray with pneumonia,\n")
    with pytest.raises(StudioError, match="names no checkpoint"):
        read_plan(path)
    plan = read_plan(path, ["checkpoint=tiny", "gate.attempts=2", "seed=7"])
    assert (plan.name, plan.num_images, plan.gate.attempts, plan.seed) == ("prompts", 4, 2, 7)
    path.write_text("prompt,label\nNormal chest X-ray,normal\n")
    with pytest.raises(StudioError, match="line 2: a line needs a prompt or a label"):
        read_plan(path)


def test_a_planner_fills_up_what_real_images_lack(
    tiny_checkpoint: Path,
    dataset_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("OUTPUT_DIR", str(tiny_checkpoint))
    kinds = ["--findings", "no_finding", "cardiomegaly", "--sexes", "F", "M", "--output", str(tmp_path / "plan.json")]
    assert main([*kinds, "--fill_up_to", "60", "--real", str(dataset_folder)]) == 0
    plan = read_plan(tmp_path / "plan.json")
    assert [(cell.findings, cell.sex) for cell in plan.cells] == [
        (("no_finding",), "F"),
        (("no_finding",), "M"),
        (("cardiomegaly",), "F"),
        (("cardiomegaly",), "M"),
    ]
    assert all(cell.count + cell.real == 60 for cell in plan.cells) and any(cell.real for cell in plan.cells)
    assert f"{plan.cells[0].count} to draw, " in capsys.readouterr().out
    assert main([*kinds, "--fill_up_to", "60"]) == 1
    assert "--real DATASET" in capsys.readouterr().err
    assert main([*kinds, "--each", "5", "--age_groups", "centenarian"]) == 1
    assert "age_group" in capsys.readouterr().err


def test_the_card_counts_the_real_images_of_a_label_whether_or_not_any_are_drawn(text_model: Manifest) -> None:
    cells = (facts(0, sex="F", real=200), facts(4, sex="M", real=20), Cell(1, prompt="Normal chest X-ray"))
    series, made = Series(Plan("set", "tiny", cells), text_model), Counter(cardiomegaly=4, no_finding=1)
    assert series.labels == ("cardiomegaly", "no_finding")
    opening = Opening(series.plan, text_model.ref, Yardsticks())
    card = describe_set(series, opening, Summary(made, made, Counter(train=5), 5), ())
    assert "| cardiomegaly | 4 | 4 | 220 |" in card and "| no_finding | 1 | 1 | not counted |" in card


SLURM = {"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_MIN": "5", "SLURM_ARRAY_TASK_COUNT": "4"}
TORCHRUN = {"RANK": "1", "WORLD_SIZE": "2"}


@pytest.mark.parametrize(
    ("environment", "shard"),
    [
        ({}, Shard(0, 1)),
        (SLURM, Shard(2, 4)),
        (SLURM | {"SLURM_ARRAY_TASK_ID": "9", "SLURM_ARRAY_TASK_STEP": "2"}, Shard(2, 4)),
        ({"JOB_COMPLETION_INDEX": "0", "JOB_COMPLETIONS": "3"}, Shard(0, 3)),
        (TORCHRUN, Shard(1, 2)),
        (SLURM | {"RANK": "0", "WORLD_SIZE": "1"}, Shard(2, 4)),
    ],
)
def test_the_environment_says_which_shard(environment: dict[str, str], shard: Shard) -> None:
    assert find_shard(environment) == shard


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"JOB_COMPLETION_INDEX": "0"}, "JOB_COMPLETIONS must be"),
        (SLURM | TORCHRUN, "the Slurm array and torchrun both"),
        (SLURM | {"SLURM_ARRAY_TASK_ID": "x"}, "SLURM_ARRAY_TASK_ID must be"),
    ],
)
def test_an_unclear_environment_is_refused(environment: dict[str, str], words: str) -> None:
    with pytest.raises(StudioError, match=words):
        find_shard(environment)


def test_shards_are_every_image_once() -> None:
    places = [place for i in range(1, 5) for place in read_shard(f"{i}/4").places(10)]
    assert sorted(places) == list(range(10))
    for wrong in ("0/4", "5/4", "1", "1/0", "a/b"):
        with pytest.raises(StudioError, match="shard"):
            read_shard(wrong)
