"""`python tests/benchmarks/likelihood.py --output FILE`: how far fast likelihoods lie from exact ones.

Both methods score the same slices of the sample that ships, with the same random probes. The Likelihood page reads the
file where it is outputs/metrics/NAME.likelihood_methods.json.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from xray_generator.config import dump
from xray_generator.data.read import read_dataset
from xray_generator.data.rows import evenly
from xray_generator.experiments.likelihoods import compare_methods, write_comparison
from xray_generator.studio import Studio

SLICES = Path(__file__).parents[2] / "dataset" / "lung_ct"


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare the methods on a few slices; print the comparison as JSON."""
    options = _parser().parse_args(arguments)
    studio = Studio(device="cpu", num_threads=options.num_threads)
    checkpoint = options.checkpoint or studio.checkpoints("likelihood")[0].ref.full_name
    rows = evenly(read_dataset(SLICES).split("test"), 1 if options.quick else options.slices)
    which = f"slices of the test split of the sample that ships (dataset/{SLICES.name})"
    comparison = studio.task(compare_methods, [row.image() for row in rows], which, checkpoint=checkpoint)()
    if options.output:
        write_comparison(options.output, comparison)
    print(json.dumps(dump(comparison), indent=1))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, metavar="JSON")
    parser.add_argument("--num_threads", type=int)
    parser.add_argument("--slices", type=int, default=4, help="how many")
    parser.add_argument("--checkpoint", metavar="NAME", help="default: the first that gives likelihoods")
    parser.add_argument("--quick", action="store_true", help="one slice")
    return parser


if __name__ == "__main__":
    main()
