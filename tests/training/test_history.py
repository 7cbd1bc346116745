"""The history of a training: read from a run, thinned into a checkpoint, read again."""

import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from xray_generator.checkpoints import read_manifest, verify
from xray_generator.data.rows import Dataset
from xray_generator.families.latent_diffusion.config import LatentDiffusionConfig
from xray_generator.families.latent_diffusion.engine import load_engine
from xray_generator.families.latent_diffusion.model import LatentDiffusion
from xray_generator.families.latent_diffusion.training import export
from xray_generator.images import encode_png, read_image
from xray_generator.training.history import (
    MAX_BYTES,
    MAX_LINES,
    MAX_PREVIEWS,
    Series,
    export_history,
    fullest_history,
    read_history,
    thin,
)

MakeModel = Callable[[LatentDiffusionConfig], LatentDiffusion]


def make_stage(run: Path, name: str, steps: int, *, every: int = 1, started: float = 0.0, side: int = 32) -> Path:
    """A stage as the loop leaves it: a line a step, a validation and a preview (noise: it compresses worst) now and
    then."""
    folder = run / name
    (folder / "previews").mkdir(parents=True)
    rng = np.random.default_rng(0)
    with (folder / "log.jsonl").open("w") as log:
        for step in range(1, steps + 1):
            log.write(json.dumps({"step": step, "time": started + step, "loss": 1 / 3 + step, "mse": 2 / 3}) + "\n")
            if step % every == 0:
                log.write(json.dumps({"step": step, "time": started + step, "ssim": step / steps}) + "\n")
                image = rng.random((side, 4 * side), dtype=np.float32)
                (folder / "previews" / f"step-{step:08d}.png").write_bytes(encode_png(image))
    return folder


def test_stages_come_in_the_order_of_their_training(tmp_path: Path) -> None:
    make_stage(tmp_path, "second", 2, started=100)
    make_stage(tmp_path, "third", 2, started=200)
    make_stage(tmp_path, "a_later_one", 3, every=2, started=300)
    stages = read_history(tmp_path)
    assert [stage.name for stage in stages] == ["second", "third", "a_later_one"]
    series = stages[-1].series()
    assert series == {
        "loss": Series((1, 2, 3), (4 / 3, 7 / 3, 10 / 3)),
        "mse": Series((1, 2, 3), (2 / 3,) * 3),
        "ssim": Series((2,), (2 / 3,)),
    }
    assert list(stages[-1].previews) == [2] and stages[-1].last_step == 3


def test_what_a_resumed_run_did_again_stands_once(tmp_path: Path) -> None:
    folder = make_stage(tmp_path, "one", 5)
    with (folder / "log.jsonl").open("a") as log:
        log.write(
            '{"step": 4, "time": 9.0, "loss": 0.5}\n{"step": 5, "time": 10.0, "loss": NaN, "mse": 1}\n{"step": 6, "lo'
        )
    (stage,) = read_history(tmp_path)
    series = stage.series()
    assert series["loss"] == Series((1, 2, 3, 4), (4 / 3, 7 / 3, 10 / 3, 0.5))  # not the value that is no number
    assert series["mse"].steps == (1, 2, 3, 5) and stage.last_step == 5


@pytest.mark.parametrize("content", ["", "not JSON\n", "[]\n3\n", '{"loss": 1}\n', '{"step": "x"}\n', "\xff\n"])
def test_a_log_without_a_line_to_read_is_no_history(tmp_path: Path, content: str) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "log.jsonl").write_text(content, encoding="latin-1")
    assert read_history(tmp_path) == ()
    assert read_history(tmp_path / "missing") == ()


def test_export_is_small_and_keeps_the_ends(tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        make_stage(tmp_path / "run", name, 1_500, every=10, side=64)
        for path in sorted((tmp_path / "run" / name / "previews").iterdir())[25:]:  # more than are kept
            path.unlink()
    large = np.random.default_rng(0).random((700, 1_400), dtype=np.float32)
    for path in (tmp_path / "run" / "one" / "previews").iterdir():
        path.write_bytes(encode_png(large))
    export_history(tmp_path / "run", tmp_path / "checkpoint")
    files = [path for path in tmp_path.joinpath("checkpoint").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= MAX_BYTES
    for stage, kept in zip(
        read_history(tmp_path / "run"), read_history(tmp_path / "checkpoint" / "history"), strict=True
    ):
        assert kept.name == stage.name and len(kept.rows) == MAX_LINES and kept.last_step == stage.last_step
        assert len(kept.previews) == MAX_PREVIEWS
        assert {min(kept.previews), max(kept.previews)} == {min(stage.previews), max(stage.previews)}
        assert kept.series()["ssim"].steps[-1] == 1_500 and len(kept.series()["ssim"].steps) == 100
        assert kept.series()["loss"].values[0] == pytest.approx(stage.series()["loss"].values[0], rel=1e-5)


def test_a_small_preview_keeps_its_size_and_look(tmp_path: Path) -> None:
    folder = make_stage(tmp_path / "run", "one", 1)
    ramp = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (32, 1))
    (folder / "previews" / "step-00000001.png").write_bytes(encode_png(ramp))
    export_history(tmp_path / "run", tmp_path)
    (path,) = read_history(tmp_path / "history")[0].previews.values()
    assert np.abs(read_image(path) - ramp).max() < 0.03 and read_image(path).shape == (32, 64)


def test_the_fuller_history_is_taken(tmp_path: Path) -> None:
    make_stage(tmp_path / "run", "one", 900)
    export_history(tmp_path / "run", tmp_path / "checkpoint")
    copy, run = tmp_path / "checkpoint" / "history", tmp_path / "run"
    assert fullest_history(copy, run)[0] == run
    assert fullest_history(copy, tmp_path / "missing")[0] == copy
    make_stage(tmp_path / "begun_anew", "one", 850)
    assert fullest_history(copy, tmp_path / "begun_anew")[0] == copy
    assert fullest_history(tmp_path / "missing", tmp_path / "none") == (tmp_path / "missing", ())


def test_thinning_is_even() -> None:
    assert thin(range(9), 3) == [0, 4, 8] and thin(range(2), 3) == [0, 1] and thin([], 3) == []
    for _ in range(50):
        count, most = random.randint(2, 200), random.randint(2, 40)
        kept = thin(range(count), most)
        assert len(set(kept)) == len(kept) == min(count, most) and kept == sorted(kept)


def test_a_checkpoint_takes_its_runs_history_along_and_loads(
    tmp_path: Path, tiny_config: LatentDiffusionConfig, make_model: MakeModel, tiny_dataset: Dataset
) -> None:
    make_stage(tmp_path / "run", "denoiser", 4)
    folder = tmp_path / "tiny"
    export(tiny_config, make_model(tiny_config), tiny_dataset, folder, run=tmp_path / "run")
    manifest = read_manifest(folder)
    verify(folder, manifest)
    assert load_engine(folder, "cpu").manifest.ref == manifest.ref
    assert {name for name in manifest.files if name.startswith("history/")} == {
        "history/denoiser/log.jsonl",
        *(f"history/denoiser/previews/step-{step:08d}.jpg" for step in range(1, 5)),
    }
    assert read_history(folder / "history")[0].last_step == 4


def test_reading_a_history_costs_no_torch() -> None:
    code = "import sys; import xray_generator.training.history, xray_generator.dashboards.training_curves; "
    code += "print([name for name in ('torch', 'diffusers', 'transformers') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_state_older_than_the_last_validation_repeats_no_step(tmp_path: Path) -> None:
    folder = make_stage(tmp_path, "one", 4, every=4)  # the loss of step 4, then its validation
    with (folder / "log.jsonl").open("a") as log:
        log.write('{"step": 4, "time": 8.0, "loss": 0.5}\n{"step": 4, "time": 9.0, "ssim": 1.0}\n')
    series = read_history(tmp_path)[0].series()
    assert series["loss"] == Series((1, 2, 3, 4), (4 / 3, 7 / 3, 10 / 3, 0.5)) and series["ssim"] == Series(
        (4,), (1.0,)
    )
