"""A checkpoint's training: curves of its log, and its previews as an animation."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image as PILImage
from PIL import ImageDraw, ImageFont

from xray_generator.config import read_config
from xray_generator.evaluation.records import Curve
from xray_generator.images import limit_pixels, read_image, to_uint8
from xray_generator.training.history import HISTORY, PREVIEWS, Series, Stage, fullest_history, thin
from xray_generator.types import StudioError

MAX_SHOWN = 12  # previews
FRAME_PIXELS = 300_000
FRAME_MS, LAST_FRAME_MS = 700, 2_000
LABEL_PX = 22
SMOOTHED = 20  # the smoothing window covers 1 / SMOOTHED of the logged values
TITLES = {
    "loss": "Loss",
    "learning_rate": "Learning rate",
    "samples_per_second": "Images per second",
    "grad_norm": "Gradient norm",
    "psnr_db": "Validation: PSNR (dB)",
    "ssim": "Validation: SSIM",
}
VALIDATION, COUNT = "validation_loss", "num_images"
ORDER = ("learning_rate", "samples_per_second", "grad_norm")


@dataclass(frozen=True, slots=True)
class Training:
    """The stages of a training, read from its run or from the copy inside the checkpoint."""

    folder: Path
    is_run: bool
    stages: tuple[Stage, ...]


def is_run_of(run: Path, config: Mapping[str, Any]) -> bool:
    """Whether a run has the configuration of a checkpoint; a newer run may have the same name."""
    saved = run / "config.json"
    try:
        return saved.is_file() and read_config(str(saved)) == config
    except (OSError, StudioError):
        return False


def find_training(checkpoint: Path, run: Path | None) -> Training:
    """The history in a checkpoint's folder, or that of its run if it is longer; no stages if neither exists."""
    folders = (checkpoint / HISTORY,) if run is None else (checkpoint / HISTORY, run)
    folder, stages = fullest_history(*folders)
    return Training(folder, folder == run, stages)


def stamp(*folders: Path) -> int:
    """A number that changes whenever a history in one of the folders does."""
    paths = [path for folder in folders for name in ("log.jsonl", PREVIEWS) for path in folder.glob(f"*/{name}")]
    return max((path.stat().st_mtime_ns for path in paths), default=0)


def loss_curves(stage: Stage) -> tuple[Curve, ...]:
    """The training loss as logged and smoothed; then the validation loss, at steps of its own, if there is one."""
    series = stage.series()
    if "loss" not in series:
        return ()
    loss = series["loss"]
    lines = {"training loss": loss.values, "training loss, smoothed": _smooth(loss.values)}
    curves = [Curve("Loss", "step", "loss", tuple(map(float, loss.steps)), dict(lines))]
    if VALIDATION in series:
        curves.append(_curve("Loss", "loss", series[VALIDATION], "validation loss"))
    return tuple(curves)


def other_curves(stage: Stage) -> tuple[Curve, ...]:
    """A curve for each other value in the log: validation measures, learning rate, speed, gradient norm."""
    series = stage.series()
    loss_steps = series["loss"].steps if "loss" in series else ()
    shown = [name for name in series if name not in ("loss", VALIDATION, COUNT)]
    measures = [name for name in shown if series[name].steps != loss_steps]
    known = [name for name in ORDER if name in shown and name not in measures]
    return tuple(_curve(_title(name), _title(name), series[name], name) for name in [*measures, *known])


def term_curve(stage: Stage) -> Curve | None:
    """The terms of the loss in one figure; None if it has only one."""
    series = stage.series()
    steps = series["loss"].steps if "loss" in series else ()
    terms = {
        name.replace("_", " "): tuple(found.values)
        for name, found in series.items()
        if name not in ("loss", *ORDER) and found.steps == steps and found.values != series["loss"].values
    }
    return Curve("Terms of the loss", "step", "value", tuple(map(float, steps)), dict(terms)) if terms else None


def shown_previews(stage: Stage) -> dict[int, Path]:
    """At most twelve previews, evenly spread over the steps."""
    return {step: stage.previews[step] for step in thin(sorted(stage.previews), MAX_SHOWN)}


def animate(previews: dict[int, Path]) -> bytes:
    """A looping GIF of preview grids, each with its step. StudioError if one cannot be read."""
    frames = list(_frames(previews))
    buffer = io.BytesIO()
    durations = [FRAME_MS] * (len(frames) - 1) + [LAST_FRAME_MS]
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0)
    return buffer.getvalue()


def _frames(previews: dict[int, Path]) -> Iterator[PILImage.Image]:
    for step, path in sorted(previews.items()):
        picture = PILImage.fromarray(to_uint8(limit_pixels(read_image(path), FRAME_PIXELS)))
        frame = PILImage.new("L", (picture.width, picture.height + LABEL_PX))
        frame.paste(picture, (0, LABEL_PX))
        ImageDraw.Draw(frame).text((6, 2), f"step {step:,}", fill=255, font=ImageFont.load_default(14))
        yield frame


def _curve(title: str, label: str, series: Series, name: str) -> Curve:
    return Curve(title, "step", label, tuple(map(float, series.steps)), {name.replace("_", " "): series.values})


def _title(name: str) -> str:
    return TITLES.get(name, name.replace("_", " ").capitalize())


def _smooth(values: Sequence[float]) -> tuple[float, ...]:
    """The mean over a window centered on each value and cut off at the ends."""
    reach = max(1, len(values) // (2 * SMOOTHED))
    windows = (values[max(0, i - reach) : i + reach + 1] for i in range(len(values)))
    return tuple(sum(window) / len(window) for window in windows)
