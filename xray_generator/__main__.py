"""`xray-studio COMMAND ...`, or `python -m xray_generator COMMAND ...`: every command of the studio under one name."""

from __future__ import annotations

import argparse
import os
import runpy
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from xray_generator.types import PRODUCT, PURPOSE

# Command -> the module whose `main(arguments)` runs it, and its line in the help text.
COMMANDS = {
    "generate": ("xray_generator.generate", "generate images from a prompt or a class"),
    "serve": ("xray_generator.serve", "serve the HTTP API to programs"),
    "mcp": ("xray_generator.mcp_server", "serve tools to an agent, by the Model Context Protocol"),
    "worker": ("xray_generator.worker", "draw on one device what servers ask for through a broker"),
    "train": ("xray_generator.train", "train a model from a configuration"),
    "train-packed": (
        "xray_generator.families.latent_diffusion.packed",
        "train the X-ray denoiser on a GPU lent for minutes",
    ),
    "import-model": (
        "xray_generator.families.stable_diffusion.importing",
        "import a Stable Diffusion that others trained",
    ),
    "training-compute": (
        "xray_generator.families.cascade.compute",
        "count the arithmetic of a cascade's training, to compare at equal amounts",
    ),
    "train-encoder": ("xray_generator.train_encoder", "train the reference classifier of the evaluation"),
    "evaluate": ("xray_generator.evaluate", "measure generated images against real ones"),
    "plan-set": ("xray_generator.plan_set", "plan a balanced set of images beside real ones"),
    "synthesize": ("xray_generator.synthesize", "make a labeled set of images from a plan, or a part of it"),
    "contact-sheet": ("xray_generator.contact_sheet", "draw a sheet of images by prompt and guidance"),
    "phantom": ("xray_generator.phantom", "draw phantoms of axonemes with a known ground truth"),
    "slices": ("xray_generator.slices", "export slices of MRI volumes as a dataset"),
    "preprocess": ("xray_generator.preprocess", "fit images of any size into squares"),
    "enhance": ("postprocess.__main__", "enhance image files with presets"),
    "reproduce": ("xray_generator.reproduce", "draw an image again from its recipe, and compare the two"),
    "inspect": ("xray_generator.inspect_image", "say whether an image is marked as synthetic, and how it was made"),
    "export-hub": ("xray_generator.export_hub", "write a checkpoint as a folder that diffusers draws with"),
    "health": ("xray_generator.data.health", "check a dataset before training"),
    "sample": ("xray_generator.data.sample", "make a small sample of a dataset"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command with the arguments that follow its name, and return its exit code.

    The command's module is imported only when it is chosen: the help text costs no torch.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    command = _parser().parse_args(words[:1]).command
    if command == "app":
        return _run_app(words[1:])
    return int(import_module(COMMANDS[command][0]).main(words[1:]))


def _parser() -> argparse.ArgumentParser:
    lines = [f"  {name:16} {summary}" for name, (_, summary) in COMMANDS.items()]
    lines.append(f"  {'app':16} serve the studio to a browser; takes the options of `streamlit run`")
    parser = argparse.ArgumentParser(
        "xray-studio",
        description=f"{PRODUCT}: synthetic medical images. {PURPOSE}",
        usage="xray-studio [-h] COMMAND ...",
        epilog="\n".join(["commands:", *lines, "", "xray-studio COMMAND --help shows the options of a command."]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=[*COMMANDS, "app"], metavar="COMMAND", help="one of the commands below")
    return parser


def _run_app(arguments: Sequence[str]) -> int:
    """Serve the packaged pages with Streamlit until it is stopped."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # idle torch threads sleep instead of spinning
    script = Path(__file__).parents[1] / "pages" / "server.py"  # beside this package, installed or in a checkout
    sys.argv = ["streamlit", "run", str(script), *arguments]
    runpy.run_module("streamlit", run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main())
