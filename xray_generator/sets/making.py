"""Begin a set with the studio: what judges it, what enlarges it, and how far it is in words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from xray_generator.evaluation.summary import count_text, rough_time
from xray_generator.export.files import zip_files
from xray_generator.sets.finishing import finish
from xray_generator.sets.gate import Judge, open_judge
from xray_generator.sets.plan import Series
from xray_generator.sets.shards import Shard
from xray_generator.sets.writing import Estimate, Opening, Progress, fill, open_set
from xray_generator.studio import Studio
from xray_generator.types import Engine, OnStep, Upscaler


def find_upscaler(studio: Studio, series: Series) -> Upscaler | None:
    """What enlarges the images of a plan; None where the checkpoint draws their size.

    Raises:
        StudioError: no model here gives images of that size.
    """
    studio.check_size(series.manifest, series.size)
    return studio.upscaler_for(series.manifest, series.size)


def begin(studio: Studio, series: Series, real: Path | None, upscaler: Upscaler | None) -> tuple[Judge, Opening]:
    """The judge of a set, and what it is made from; `real` is the dataset that the checkpoint learned from.

    Raises:
        StudioError: the gate needs a classifier or a dataset that is not there.
    """
    judge = open_judge(
        series.plan.gate,
        series.manifest,
        series.size,
        encoders=studio.encoder_root,
        cache=studio.cache_dir / "evaluation",
        real=real,
        device=studio.device,
    )
    enlarged_by = upscaler.manifest.ref if upscaler else None
    return judge, Opening(series.plan, series.manifest.ref, judge.yardsticks, enlarged_by)


def make_set(
    engine: Engine, studio: Studio, series: Series, folder: Path, real: Path | None, on_step: OnStep | None = None
) -> Iterator[Progress]:
    """The work of a job: begin a set or go on with it, and finish it; after each image yield how far it is.

    Raises:
        StudioError: as `begin` and `finish`.
    """
    upscaler = find_upscaler(studio, series)
    judge, opening = begin(studio, series, real, upscaler)
    open_set(folder, opening)
    yield from fill(engine, series, Shard(), judge, folder, on_step, upscaler=upscaler)
    finish(folder, series, opening)


def zip_set(folder: Path) -> bytes:
    """A ZIP of the files of a set; equal sets give equal archives."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return zip_files((path.relative_to(folder).as_posix(), path.read_bytes()) for path in paths)


def describe_estimate(estimate: Estimate) -> str:
    """What images that are not made yet cost, in words."""
    number = count_text(estimate.images, "image")
    return (
        f"{number} to draw: {estimate.seconds_each:.3g} s an image, measured here, about "
        f"{rough_time(estimate.seconds)}, and {estimate.num_bytes / 1e6:,.1f} MB; what is judged and drawn again "
        "comes on top."
    )


def describe_progress(progress: Progress) -> str:
    """How far a shard is, in words."""
    left = (progress.total - progress.done) / progress.rate if progress.made else None
    parts = [f"{progress.done:,} of {count_text(progress.total, 'image')}", f"{progress.rate:.3g} images/s"]
    if progress.yield_share is not None:
        parts += [f"{progress.yield_share:.0%} of {count_text(progress.draws, 'draw')} kept"]
    parts += [f"{progress.left_out:,} left out"] if progress.left_out else []
    parts += [f"about {rough_time(left)} left"] if left else []
    return ", ".join(parts)
