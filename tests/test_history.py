"""What is kept in a folder is found again: results as they grow, and the form."""

import json
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from postprocess.presets import PRESETS
from xray_generator.config import dump
from xray_generator.export.recipe import recipes
from xray_generator.history import (
    FORM,
    Form,
    keep_form,
    keep_result,
    list_results,
    load_result,
    read_form,
    read_kept,
    result_path,
    without_gone,
)
from xray_generator.images import to_uint8
from xray_generator.requests import text_request
from xray_generator.studio import Studio
from xray_generator.types import Canceled, CheckpointRef, Preview

REQUEST = text_request("Normal chest X-ray", seed=3, num_images=3, size=64, steps=2)


@pytest.fixture(scope="module")
def studio(tiny_checkpoint: Path) -> Studio:
    return Studio(tiny_checkpoint, "cpu")


def draw(studio: Studio, folder: Path, stop_at: int = 99) -> list[int]:
    """Draw into a folder until a step cancels that; return how many images each result had."""

    def on_step(step: int, _total: int, _preview: Preview) -> None:
        if step == stop_at:
            raise Canceled

    sizes: list[int] = []
    with suppress(Canceled):
        sizes.extend(len(result.images) for result in studio.draw(REQUEST, None, PRESETS[0], folder, on_step))
    return sizes


def test_each_image_is_on_disk_when_it_is_shown_and_is_that_of_the_whole_request(
    studio: Studio, tmp_path: Path
) -> None:
    whole, sizes = studio.generate(REQUEST), []
    for result in studio.draw(REQUEST, None, PRESETS[0], tmp_path, lambda *_: None):
        (path,) = list_results(tmp_path, "tiny")
        kept = load_result(path)
        assert kept is not None and path == result_path(result, tmp_path) == result_path(whole, tmp_path)
        assert len(list(tmp_path.glob("*.png"))) == len(result.images) == len(kept.images)
        assert (kept.request, kept.checkpoint, kept.seeds) == (result.request, result.checkpoint, result.seeds)
        assert (kept.latencies_ms, kept.notes, kept.runtime) == (result.latencies_ms, result.notes, result.runtime)
        for first, second, same in zip(kept.images, result.images, whole.images, strict=False):
            assert np.array_equal(to_uint8(first), to_uint8(second)) and np.array_equal(second, same)
        sizes.append(len(result.images))
    assert sizes == [1, 2, 3]


def test_what_was_finished_before_a_cancel_is_found_again(studio: Studio, tmp_path: Path) -> None:
    assert draw(studio, tmp_path, stop_at=5) == [1, 2]
    (path,) = list_results(tmp_path, "tiny")
    kept = load_result(path)
    assert kept is not None and kept.seeds == (3, 4) and kept.request.num_images == 3


def test_the_newest_comes_first_and_only_those_of_the_checkpoint(studio: Studio, tmp_path: Path) -> None:
    first = studio.generate(replace(REQUEST, num_images=1))
    others = [replace(first, checkpoint=CheckpointRef("f", name, "ab" * 32)) for name in ("tiny_ct", "t[i]ny")]
    second = replace(first, request=replace(first.request, seed=9))
    for when, result in enumerate((first, second, *others)):
        os.utime(keep_result(result, tmp_path), (when, when))
    assert list_results(tmp_path, "tiny") == [result_path(second, tmp_path), result_path(first, tmp_path)]
    assert list_results(tmp_path, "t[i]ny") == [result_path(others[1], tmp_path)]
    assert list_results(tmp_path / "none", "tiny") == []


def test_images_that_are_gone_and_foreign_files_are_left_out(studio: Studio, tmp_path: Path) -> None:
    draw(studio, tmp_path)
    (path,) = list_results(tmp_path, "tiny")
    kept = read_kept(path)
    assert kept is not None
    whole = load_result(path)
    gone = tmp_path / kept.files[1]
    aside = gone.rename(tmp_path / "aside")
    result = load_result(path)
    assert whole is not None and result is not None and whole.seeds == (3, 4, 5) and result.seeds == (3, 5)
    assert np.array_equal(result.images[1], whole.images[2])
    assert result.latencies_ms == (whole.latencies_ms[0], whole.latencies_ms[2])
    assert [recipe.request.seed for recipe in recipes(result)] == [3, 5]
    left = without_gone(whole, tmp_path)
    assert left is not None and left.seeds == (3, 5) and without_gone(left, tmp_path) is left
    assert without_gone(whole, tmp_path / "none") is None
    aside.rename(gone)
    assert (again := load_result(path)) is not None and again.seeds == whole.seeds
    outside = replace(kept, files=(f"../{tmp_path.name}/{kept.files[0]}", "../../etc/passwd"))
    path.write_text(json.dumps(dump(outside)))
    assert (result := load_result(path)) is not None and len(result.images) == 1  # by its name alone, in this folder
    for text in ("", "{", "[]", json.dumps({**dump(kept), "more": 1})):
        path.write_text(text)
        assert load_result(path) is None


def test_the_form_is_read_as_it_was_written(tmp_path: Path) -> None:
    form = Form("tiny", REQUEST, "Balanced", has_new_seed=False)
    assert read_form(tmp_path / "of a person") is None
    keep_form(form, tmp_path / "of a person")
    assert read_form(tmp_path / "of a person") == form
    (tmp_path / "of a person" / FORM).write_text('{"checkpoint": "tiny"}')
    assert read_form(tmp_path / "of a person") is None
