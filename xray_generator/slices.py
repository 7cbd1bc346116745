"""`python -m xray_generator.slices`: slices of MRI volumes as a labeled pack, from which every command trains.

    python -m xray_generator.slices --input MRNet-v1.0 --output_dir outputs/mrnet --plane coronal --slices middle:5

Reads MRNet, NIfTI and MRI in DICOM (see `data.volumes`) and writes `images/*.png` and `metadata.csv`: class, split,
patient and plane of each slice. The slices of a patient share a split.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from xray_generator.console import exit_code
from xray_generator.data.captioned import IMAGES, METADATA
from xray_generator.data.ct_series import parse_choice
from xray_generator.data.tables import write_table
from xray_generator.data.volumes import PLANES, count_by_class, find_volumes
from xray_generator.export.files import make_folder, write_file
from xray_generator.images import encode_png
from xray_generator.types import StudioError

COLUMNS = ("image", "label", "split", "patient_id", "view", "source", "license", "orig_width", "orig_height")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 on success, 1 with a message on a fault."""
    options = _parser().parse_args(arguments)
    return exit_code(lambda: _run(options))


def _run(options: argparse.Namespace) -> None:
    if options.output_dir.resolve().is_relative_to(options.input.resolve()):
        raise StudioError("--output_dir must not lie inside --input.")
    choice = parse_choice(options.slices)
    if any((options.output_dir / IMAGES).glob("*")):
        raise StudioError(f"{options.output_dir} holds images already. Choose a new folder.")
    volumes, notes = find_volumes(options.input, options.plane, accept_identified=options.accept_identified)
    make_folder(options.output_dir / IMAGES)
    lines: list[Sequence[object]] = []
    faults = []
    for volume in volumes:
        try:
            slices = volume.read()
        except StudioError as error:
            faults.append(str(error))
            continue
        for place in choice.of(range(len(slices))):
            name, (height, width) = f"{IMAGES}/{volume.name}_{place:03d}.png", slices[place].shape
            write_file(options.output_dir / name, encode_png(slices[place]))
            facts = (volume.label, volume.split, volume.patient_id, volume.plane)
            lines.append((name, *facts, options.source or options.input.resolve().name, options.license, width, height))
    for sentence in (*notes, *faults):
        print(f"note: {sentence}", file=sys.stderr)  # noqa: T201
    if not lines:
        raise StudioError(f"No volume of {options.input} could be read.")
    write_file(options.output_dir / METADATA, write_table(COLUMNS, lines).encode())
    found = {"slices": len(lines), "volumes": len(volumes) - len(faults), "patients": count_by_class(volumes)}
    print(json.dumps(found))  # noqa: T201


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m xray_generator.slices", description=__doc__.splitlines()[0])
    parser.add_argument("--input", type=Path, required=True, help="folder of MRNet, or with NIfTI or DICOM files")
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument(
        "--plane", nargs="+", choices=PLANES, default=(), help="default: all that there are; axial of NIfTI"
    )
    parser.add_argument("--slices", default="middle:5", help="of each volume: middle:5 (default), every:3 or all")
    parser.add_argument("--accept_identified", action="store_true", help="use DICOM files that may name patients")
    parser.add_argument("--source", default="", help="name of the data in tables and cards; default: the folder's")
    parser.add_argument("--license", default="", help="license of the data, for tables and cards")
    return parser


if __name__ == "__main__":
    sys.exit(main())
