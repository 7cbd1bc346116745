"""Grids: every combination in order, finished cells are not drawn again, and one labeled sheet."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from postprocess.presets import PRESETS
from xray_generator.album.grids import (
    CHECKPOINT,
    CLASS,
    ENHANCEMENT,
    GUIDANCE,
    PROMPT,
    SEED,
    STEPS,
    Axis,
    Cell,
    DrawnGrid,
    draw_cells,
    encode_grid,
    fit_request,
    plan_cells,
    read_numbers,
)
from xray_generator.checkpoints import Manifest
from xray_generator.export.recipe import read_recipe
from xray_generator.images import read_image, to_uint8
from xray_generator.requests import text_request
from xray_generator.studio import Studio
from xray_generator.types import AdapterWeight, CheckpointRef, StudioError, no_report

BASE = Cell(text_request("Normal chest X-ray", seed=5, num_images=3, size=64, steps=2), "tiny", PRESETS[0])
KNOWN = {preset.name: preset for preset in PRESETS}


@pytest.fixture(scope="module")
def studio(tiny_checkpoint: Path) -> Studio:
    return Studio(tiny_checkpoint, "cpu", num_threads=1)


@pytest.fixture(scope="module")
def manifests(studio: Studio) -> dict[str, Manifest]:
    return {"tiny": studio.manifest("tiny")}


@pytest.mark.parametrize(
    ("text", "is_whole", "expected"),
    [("1-3, 9 2", True, (1, 2, 3, 9)), ("1, 2.5; 1", False, (1.0, 2.5)), ("", True, ()), ("007", True, (7,))],
)
def test_numbers_are_read(text: str, is_whole: bool, expected: tuple[float, ...]) -> None:
    assert read_numbers(text, is_whole=is_whole) == expected


@pytest.mark.parametrize(
    ("text", "is_whole"), [("1.5", True), ("x", True), ("-1", False), ("0-64", True), ("1-3", False)]
)
def test_what_is_no_number_is_named(text: str, is_whole: bool) -> None:
    with pytest.raises(StudioError, match=text):
        read_numbers(text, is_whole=is_whole)


def test_cells_follow_the_axes(manifests: dict[str, Manifest]) -> None:
    axes = [Axis(GUIDANCE, (1.0, 3.5)), Axis(SEED, (7, 8)), Axis(PROMPT, ("Edema", "Mass"))]
    cells = plan_cells(BASE, axes, manifests, KNOWN)
    found = [(cell.request.guidance_scale, cell.request.seed, cell.request.condition.text) for cell in cells]
    assert found[:5] == [(1.0, 7, "Edema"), (3.5, 7, "Edema"), (1.0, 8, "Edema"), (3.5, 8, "Edema"), (1.0, 7, "Mass")]
    assert len(cells) == 8 and cells[1].labels == ("guidance 3.5", "seed 7", "prompt Edema")
    assert {cell.request.num_images for cell in cells} == {1}
    assert plan_cells(BASE, [Axis(CHECKPOINT, ("tiny",))], manifests, KNOWN)[0].checkpoint == "tiny"


@pytest.mark.parametrize(
    ("axes", "said"),
    [
        ([], "1 to 3 axes"),
        ([Axis(SEED, (1,)), Axis(SEED, (2,))], "another setting"),
        ([Axis(SEED, ())], "Give values for the axis Seed"),
        ([Axis(SEED, tuple(range(65)))], "at most 64 images, not 65"),
        ([Axis(STEPS, (0,))], "steps must be"),
        ([Axis(GUIDANCE, (31.0,))], "guidance must be"),
        ([Axis(CLASS, ("normal",))], "text prompt, not by class"),
    ],
)
def test_a_grid_that_is_not_allowed_is_refused(axes: list[Axis], said: str, manifests: dict[str, Manifest]) -> None:
    with pytest.raises(StudioError, match=said):
        plan_cells(BASE, axes, manifests, KNOWN)


def test_adapters_and_several_models_do_not_go_together(manifests: dict[str, Manifest]) -> None:
    adapters = (AdapterWeight(CheckpointRef("lora", "soft", "0")),)
    adapted = replace(BASE, request=replace(BASE.request, adapters=adapters))
    assert plan_cells(adapted, [Axis(SEED, (1,))], manifests, KNOWN)[0].request.adapters == adapters
    with pytest.raises(StudioError, match="Adapters belong to one model"):
        plan_cells(adapted, [Axis(CHECKPOINT, ("tiny",))], manifests, KNOWN)


def test_a_size_or_scheduler_that_a_model_lacks_becomes_its_own(manifests: dict[str, Manifest]) -> None:
    request = replace(BASE.request, height=512, width=512, scheduler="gone", eta=0.5)
    fitted = fit_request(request, manifests["tiny"])
    own = manifests["tiny"].recommended.scheduler
    assert fitted == replace(request, height=64, width=64, scheduler=own, eta=0.0)
    assert fit_request(replace(request, scheduler="ddim"), manifests["tiny"]).eta == 0.5


def test_finished_cells_are_not_drawn_again(studio: Studio, manifests: dict[str, Manifest], tmp_path: Path) -> None:
    axes = [Axis(SEED, (5, 6)), Axis(ENHANCEMENT, (PRESETS[0].name, PRESETS[1].name))]
    cells = plan_cells(BASE, axes, manifests, KNOWN)
    first = draw_cells(cells, 2, studio, tmp_path, no_report)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(files) == 2 and first.num_reused == 2  # the enhanced ones share the raw images
    assert {read_recipe(path.read_bytes()).request.seed for path in files} == {5, 6}
    again = draw_cells(cells, 2, studio, tmp_path, no_report)
    assert again.num_reused == 4 and {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == files
    assert all(
        np.array_equal(to_uint8(a), to_uint8(b)) for a, b in zip(first.images[:2], again.images[:2], strict=True)
    )
    next(iter(files)).unlink()
    assert draw_cells(cells[:2], 2, studio, tmp_path, no_report).num_reused == 1


def test_a_sheet_has_a_row_for_each_value_and_says_what_it_shows(
    studio: Studio, manifests: dict[str, Manifest], tmp_path: Path
) -> None:
    cells = plan_cells(BASE, [Axis(SEED, (5, 6)), Axis(STEPS, (1, 2))], manifests, KNOWN)
    sheet = encode_grid(draw_cells(cells, 2, studio, tmp_path, no_report))
    assert read_image(sheet).shape[0] > 2 * 64
    assert b"Synthetic image." in sheet and b"seed 5 | seed 6" in sheet
    assert b"steps 2, Normal chest X-ray: seed 5" in sheet  # and no seed of the row, whose images have several
    cells = plan_cells(BASE, [Axis(PROMPT, ("Edema", "Mass"))], manifests, KNOWN)
    sheet = encode_grid(DrawnGrid(cells, (np.zeros((32, 32), np.float32),) * 2, 0, 2))
    assert b" seed 5: prompt Edema | prompt Mass" in sheet and sheet.count(b"Edema") == 1
