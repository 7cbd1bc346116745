"""`python -m xray_generator.plan_set`: plan a balanced set of images, with the numbers of real images beside it.

    python -m xray_generator.plan_set --checkpoint chest_xray_256 --findings no_finding cardiomegaly --views PA AP \\
        --sexes F M --fill_up_to 100 --real dataset --output plan.json
    python -m xray_generator.plan_set --checkpoint lung_ct_128 --each 500 --output plan.json

Prints the number of images of each kind and writes the plan, which `python -m xray_generator.synthesize` makes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from xray_generator.config import dump
from xray_generator.console import exit_code
from xray_generator.data.read import read_dataset
from xray_generator.data.rows import AGE_GROUPS
from xray_generator.export.files import make_folder, write_json
from xray_generator.sets.plan import Plan, Series
from xray_generator.sets.planning import ask_each, count_real, fill_up, make_cells
from xray_generator.studio import Studio


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 on success, 1 with a message on a fault."""
    options = _parser().parse_args(arguments)
    return exit_code(lambda: _run(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m xray_generator.plan_set", description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", help="name; default: the first one found")
    parser.add_argument("--labels", nargs="+", default=[], help="of a checkpoint of classes; default: all")
    parser.add_argument("--findings", nargs="+", default=[], help="of a checkpoint that reads prompts; several: a+b")
    parser.add_argument("--views", nargs="+", default=[], help="PA, AP, ...; default: left open, as the next two")
    parser.add_argument("--age_groups", nargs="+", default=[], help=", ".join(AGE_GROUPS))
    parser.add_argument("--sexes", nargs="+", default=[], help="F, M")
    parser.add_argument("--real", type=Path, help="a dataset whose training images are counted beside the plan")
    number = parser.add_mutually_exclusive_group(required=True)
    number.add_argument("--each", type=int, help="images of each kind")
    number.add_argument("--fill_up_to", type=int, help="as many of each kind as, with the real ones, make this number")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True, help="the plan, a JSON file")
    return parser


def _run(options: argparse.Namespace) -> None:
    manifest = Studio().manifest(options.checkpoint)
    facts = {"views": options.views, "age_groups": options.age_groups, "sexes": options.sexes}
    cells = make_cells(manifest, options.labels, options.findings, **facts)
    if options.real is not None:
        cells = count_real(cells, read_dataset(options.real).split("train"))
    cells = ask_each(cells, options.each) if options.fill_up_to is None else fill_up(cells, options.fill_up_to)
    plan = Plan(options.output.stem.lower(), manifest.ref.full_name, cells, options.seed)
    Series(plan, manifest)  # refuses what the checkpoint cannot draw before anything is made of it
    make_folder(options.output.parent)
    write_json(options.output, dump(plan))
    for cell in cells:
        real = "not counted" if cell.real is None else f"{cell.real:,}"
        print(f"{cell.count:>9,} to draw, {real:>11} real: {cell.title}")  # noqa: T201
    print(f"{plan.num_images:>9,} in all, in {options.output}")  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
