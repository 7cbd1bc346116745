"""`python -m xray_generator.synthesize`: make a labeled set of images from a plan, or one shard of it.

    python -m xray_generator.synthesize plan.json --real dataset --formats parquet --output_dir DIR
    python -m xray_generator.synthesize prompts.csv checkpoint=chest_xray_256 gate.is_no_copy=off --output_dir DIR
    python -m xray_generator.synthesize plan.json --real dataset --shard 2/4 --output_dir DIR

A plan is made by `plan_set` or by hand, or is a CSV with a column prompt or label. What was killed goes on where it
was. In an array of Slurm, an indexed job of Kubernetes or under torchrun each process makes its own shard. Whichever
sees all images there writes the tables, the card and the manifest; then the last line of the output says so as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from xray_generator.console import exit_code
from xray_generator.devices import pick_device
from xray_generator.sets.finishing import finish
from xray_generator.sets.formats import Format
from xray_generator.sets.making import begin, describe_estimate, describe_progress, find_upscaler
from xray_generator.sets.plan import Series, read_plan
from xray_generator.sets.shards import find_shard, read_shard
from xray_generator.sets.summary import Summary
from xray_generator.sets.writing import count_done, fill, is_complete, measure, open_set, read_opening
from xray_generator.studio import Studio
from xray_generator.types import StudioError

REPORT_EVERY_S = 10.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 on success, 1 with a message on a fault."""
    options = _parser().parse_intermixed_args(arguments)  # values of the plan may stand at the end of the line
    return exit_code(lambda: _run(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m xray_generator.synthesize", description=__doc__.splitlines()[0])
    parser.add_argument("plan", type=Path, help="a JSON plan, or a CSV of prompts or labels")
    parser.add_argument(
        "overrides", nargs="*", help="values of the plan, such as checkpoint=NAME size=512 gate.attempts=8"
    )
    parser.add_argument("--shard", help="i/N; default: as Slurm, Kubernetes or torchrun say, or all")
    parser.add_argument("--real", type=Path, help="the dataset that the checkpoint learned from, to find copies")
    parser.add_argument("--formats", nargs="+", choices=get_args(Format), default=[], help="beside folders and tables")
    parser.add_argument("--estimate", action="store_true", help="only say what it would cost")
    parser.add_argument("--finish", action="store_true", help="draw nothing; write tables and card of a complete set")
    parser.add_argument("--device", help="cpu, cuda, cuda:1; default: CUDA where there is one")
    parser.add_argument("--num_threads", type=int, help="CPU threads")
    parser.add_argument("--output_dir", type=Path, required=True)
    return parser


def _run(options: argparse.Namespace) -> None:
    studio = Studio(device=options.device or _own_device(), num_threads=options.num_threads)
    plan = read_plan(options.plan, options.overrides)
    series, folder = Series(plan, studio.manifest(plan.checkpoint)), options.output_dir
    if options.finish:
        opening = read_opening(folder)
        if (opening.plan, opening.checkpoint) != (plan, series.manifest.ref):
            raise StudioError(f"{folder} holds a set of another plan or other weights.")
        _report(finish(folder, series, opening, options.formats), folder)
        return
    shard = read_shard(options.shard) if options.shard else find_shard(os.environ)
    missing = len(shard.places(len(series))) - count_done(folder, series, shard)
    checkpoint, upscaler = series.manifest.ref.full_name, find_upscaler(studio, series)
    if missing or options.estimate:
        _say(describe_estimate(studio.task(measure, series, missing, checkpoint=checkpoint, upscaler=upscaler)()))
    if options.estimate:
        return
    judge, opening = begin(studio, series, options.real, upscaler)
    open_set(folder, opening)
    due = time.monotonic() + REPORT_EVERY_S
    for progress in studio.task(fill, series, shard, judge, folder, checkpoint=checkpoint, upscaler=upscaler)():
        if time.monotonic() > due or progress.done == progress.total:
            _say(describe_progress(progress))
            due = time.monotonic() + REPORT_EVERY_S
    if is_complete(folder, series):
        _report(finish(folder, series, opening, options.formats), folder)
    else:
        print(json.dumps({"output_dir": str(folder), "shard": f"{shard.index + 1}/{shard.count}", "complete": False}))  # noqa: T201


def _own_device() -> str | None:
    """The GPU of this process, where torchrun started one for each; None: the studio's choice."""
    rank = os.environ.get("LOCAL_RANK", "")
    return f"cuda:{rank}" if rank.isdecimal() and pick_device().type == "cuda" else None


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)  # noqa: T201


def _report(summary: Summary | None, folder: Path) -> None:
    """The last line: what is in the set; or that another process is writing its tables."""
    if summary is None:
        _say("Another process is finishing this set.")
        return
    line = {
        "output_dir": str(folder),
        "complete": True,
        "images": summary.num_images,
        "left_out": summary.left_out,
        "draws": summary.draws,
        "refused": dict(summary.reasons),
    }
    print(json.dumps(line))  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
