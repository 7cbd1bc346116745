"""Presets: none burns out a radiograph (T13), names, JSON and files."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from postprocess.cost import measure_cost
from postprocess.operations import Clahe, Equalize, Median, Sharpen, Vignette, Window
from postprocess.presets import (
    PRESETS,
    Preset,
    apply,
    delete_preset,
    from_json,
    get_preset,
    load_presets,
    read_preset,
    save_preset,
    to_json,
)
from xray_generator.types import Image, StudioError

EVERY_OPERATION = Preset("All six", (Window(), Clahe(), Median(), Sharpen(), Equalize(), Vignette()))


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_no_preset_burns_out_more_than_one_percent(preset: Preset, radiographs: tuple[Image, ...]) -> None:
    for raw in radiographs:
        assert measure_cost(raw, apply(preset, raw)).newly_saturated_fraction < 0.01


def test_the_seeds_fixed_window_would_have_failed(radiographs: tuple[Image, ...]) -> None:
    burnt = [
        measure_cost(raw, np.clip((raw - np.float32(0.10)) / np.float32(0.70), 0, 1)).newly_saturated_fraction
        for raw in radiographs
    ]
    assert max(burnt) > 0.01


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_apply_is_pure_and_repeatable(preset: Preset, chest: Image) -> None:
    before = chest.copy()
    first, second = apply(preset, chest), apply(preset, chest)
    assert np.array_equal(chest, before)
    assert not np.shares_memory(first, chest)
    assert np.array_equal(first, second)
    assert first.dtype == np.float32
    assert 0 <= first.min() <= first.max() <= 1
    assert np.array_equal(first, chest) == (preset.name == "None")


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_constant_images_have_a_defined_result(preset: Preset, value: float) -> None:
    assert np.isfinite(apply(preset, np.full((32, 32), value, np.float32))).all()


def test_operations_run_in_the_order_given(chest: Image) -> None:
    one, two = (Window(), Sharpen(2.0)), (Sharpen(2.0), Window())
    assert np.array_equal(apply(Preset("x", one), chest), Sharpen(2.0)(Window()(chest)))
    assert not np.array_equal(apply(Preset("x", one), chest), apply(Preset("x", two), chest))


@pytest.mark.parametrize(
    "image",
    [
        np.full((32, 32), np.nan, np.float32),
        np.full((32, 32), 1.5, np.float32),
        np.zeros((3, 32, 32), np.float32),
        np.zeros((0, 32), np.float32),
        np.zeros((32, 32), np.uint8),
    ],
    ids=["NaN", "above 1", "three axes", "empty", "uint8"],
)
def test_apply_refuses_what_is_no_image(image: Image) -> None:
    with pytest.raises(StudioError, match="The image"):
        apply(PRESETS[1], image)


def test_names_are_found_in_any_case_and_unknown_ones_listed() -> None:
    assert get_preset(" high  CONTRAST ").name == "High Contrast"
    assert get_preset("all six", (EVERY_OPERATION,)) is EVERY_OPERATION
    with pytest.raises(StudioError, match="None, Balanced, High Contrast, Sharp Detail, Radiographic Film"):
        get_preset("Crisp")


@pytest.mark.parametrize("name", ["", "  ", "x" * 61, "All"])
def test_unusable_names_are_refused(name: str) -> None:
    with pytest.raises(StudioError, match="1 to 60"):
        Preset(name)


@pytest.mark.parametrize("preset", [*PRESETS, EVERY_OPERATION], ids=lambda preset: preset.name)
def test_json_round_trip(preset: Preset) -> None:
    assert from_json(to_json(preset)) == preset


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "Invalid JSON"),
        ("[]", "not a preset"),
        ('{"operations": []}', "name"),
        ('{"name": "x", "strength": 1}', "strength: Unexpected"),
        ('{"name": "x", "operations": [{"kind": "blur"}]}', "'blur'.*'window', 'clahe'"),
        ('{"name": "x", "operations": [{"kind": "window", "widht": 1}]}', "widht: Unexpected"),
        ('{"name": "x", "operations": [{"kind": "window", "width": NaN}]}', "0.1 to 2, not nan"),
        ('{"name": "x", "operations": [{"kind": "median", "kernel": "3"}]}', "kernel: Input should be a valid integer"),
        ('{"name": "x", "operations": [{"kind": "median", "kernel": 4}]}', "operations.0.median: .* 3 or 5"),
        (json.dumps({"name": "x", "operations": [{"kind": "median"}] * 21}), "at most 20"),
    ],
)
def test_wrong_json_is_refused_in_words(text: str, message: str) -> None:
    with pytest.raises(StudioError, match=message):
        from_json(text)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_preset_is_read_in_every_encoding_that_editors_write(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "own.json"
    path.write_bytes(to_json(EVERY_OPERATION).encode(encoding))
    assert read_preset(path) == EVERY_OPERATION
    assert from_json("\ufeff" + to_json(EVERY_OPERATION)) == EVERY_OPERATION


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(StudioError, match="no text in UTF-8 or UTF-16"):
        from_json(b'{"name": "\xff"}')


def test_a_full_disk_leaves_nothing_of_a_preset(tmp_path: Path) -> None:
    save_preset(Preset("All six"), tmp_path)
    limit, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, most))
    try:
        with pytest.raises(StudioError, match="The preset cannot be saved: "):
            save_preset(EVERY_OPERATION, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, most))
    assert [path.name for path in tmp_path.iterdir()] == ["all-six.json"]
    assert load_presets(tmp_path) == (Preset("All six"),)


def test_saved_presets_are_loaded_again(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "presets"
    assert load_presets(folder) == ()
    assert save_preset(EVERY_OPERATION, folder).name == "all-six.json"
    changed = Preset("All six", (Median(5),))
    save_preset(changed, folder)
    umlaut = Preset("Lunge: Ödem")
    assert save_preset(umlaut, folder).name == "lunge-odem.json"
    assert load_presets(folder) == (changed, umlaut)
    assert {path.suffix for path in folder.iterdir()} == {".json"}


@pytest.mark.parametrize("name", ["../../escape", "/etc/passwd", "..", "肺野", "a\\b:c*?", "\u202eabc"])
def test_a_name_never_leaves_the_folder(name: str, tmp_path: Path) -> None:
    path = save_preset(Preset(name), tmp_path)
    assert path.parent == tmp_path
    assert path.stem.replace("-", "").isalnum()
    assert path.stem.isascii()


@pytest.mark.parametrize("name", ["Balanced", "high contrast", "Sharp-Detail!", "NONE"])
def test_built_in_names_are_protected(name: str, tmp_path: Path) -> None:
    with pytest.raises(StudioError, match="built-in"):
        save_preset(Preset(name), tmp_path)
    (tmp_path / "mine.json").write_text(to_json(Preset(name)), encoding="utf-8")
    with pytest.raises(StudioError, match="mine.json: .*built-in"):
        load_presets(tmp_path)


def test_two_names_do_not_share_a_file(tmp_path: Path) -> None:
    save_preset(Preset("My film"), tmp_path)
    with pytest.raises(StudioError, match="too close to the saved preset 'My film'"):
        save_preset(Preset("My-film!"), tmp_path)
    (tmp_path / "other.json").write_text(to_json(Preset("my FILM")), encoding="utf-8")
    with pytest.raises(StudioError, match="other.json: there is already"):
        load_presets(tmp_path)


def test_a_broken_or_huge_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{", encoding="utf-8")
    with pytest.raises(StudioError, match="a.json: This is not a preset"):
        load_presets(tmp_path)
    (tmp_path / "a.json").write_text(" " * 70_000, encoding="utf-8")
    with pytest.raises(StudioError, match="a.json: .*64 kB"):
        load_presets(tmp_path)


def test_presets_load_no_torch() -> None:
    code = "import sys, postprocess.cost, postprocess.presets; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == 0


def test_deleted_preset_is_gone_and_others_stay(tmp_path: Path) -> None:
    save_preset(Preset("Mine"), tmp_path)
    save_preset(Preset("Other"), tmp_path).rename(tmp_path / "renamed by hand.json")
    delete_preset(Preset("Other"), tmp_path)
    delete_preset(Preset("Never saved"), tmp_path)
    assert [preset.name for preset in load_presets(tmp_path)] == ["Mine"]
