"""`python -m xray_generator.export_hub`: a checkpoint as a folder that diffusers loads and draws with.

    python -m xray_generator.export_hub lung_ct_128 outputs/hub/lung_ct_128

    pipeline = DiffusionPipeline.from_pretrained("outputs/hub/lung_ct_128", trust_remote_code=True)
    image = pipeline(label="malignant", generator=torch.Generator().manual_seed(1)).images[0]

The folder holds the checkpoint, its card, and the studio's code, since its models are of its own making. The same seed
gives the studio's image; enlarging, and the marks and the recipe of the studio's files, stay in the studio.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from xray_generator.checkpoints import CARD, Manifest, find_checkpoint, read_manifest, verify
from xray_generator.console import exit_code
from xray_generator.export.files import make_folder
from xray_generator.registry import draws, reads_prompts
from xray_generator.studio import Studio
from xray_generator.types import PURPOSE, StudioError, quote

PACKAGES = Path(__file__).parents[1]
CODE = ("xray_generator", "postprocess")
MODEL, MODULE, PIPELINE = "model", "studio_model", "pipeline"
NEEDED = (
    *("torch", "diffusers", "transformers", "accelerate", "peft", "safetensors", "huggingface-hub", "pydantic"),
    *("numpy", "opencv-python-headless", "einops", "pillow", "pydicom"),
)


def export(studio: Studio, checkpoint: str, folder: Path) -> Path:
    """Write a verified checkpoint into a new or empty folder in the layout of a diffusers pipeline.

    Raises:
        StudioError: there is no such checkpoint, it cannot draw by itself, or the folder holds files.
    """
    source = find_checkpoint(studio.checkpoint_root, checkpoint)
    manifest = read_manifest(source)
    if not draws(manifest.family) or manifest.base is not None:
        raise StudioError(f"{manifest.name} enlarges images or changes another checkpoint, and draws none by itself.")
    verify(source, manifest)
    make_folder(folder)
    if any(folder.iterdir()):
        raise StudioError(f"The folder {quote(str(folder))} is not empty. Choose a new one.")
    own = Path(__file__).parent / "export" / "hub"
    shutil.copytree(source, folder / MODEL / "checkpoint")
    for name in CODE:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PACKAGES / name, folder / MODEL / "code" / name, ignore=ignored)
    shutil.copy(own / f"{MODULE}.py", folder / MODEL)
    shutil.copy(own / f"{PIPELINE}.py", folder)
    (folder / CARD).write_text(_card(source, manifest), encoding="utf-8")
    (folder / "requirements.txt").write_text("".join(f"{name}=={version(name)}\n" for name in NEEDED), encoding="utf-8")
    index = {
        "_class_name": [PIPELINE, "StudioPipeline"],
        "_diffusers_version": version("diffusers"),
        MODEL: [MODULE, "StudioModel"],
    }
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    return folder


def _card(source: Path, manifest: Manifest) -> str:
    """The checkpoint's card, and how it is used with diffusers."""
    asked = 'prompt="Normal chest X-ray"' if reads_prompts(manifest) else f"label={next(iter(manifest.labels), None)!r}"
    card = (source / CARD).read_text(encoding="utf-8") if (source / CARD).is_file() else f"# {manifest.name}\n"
    return f"""{card.rstrip()}

## With diffusers

Needs the packages of `requirements.txt`; the code in this folder is run. {PURPOSE}

```python
import torch
from diffusers import DiffusionPipeline
pipeline = DiffusionPipeline.from_pretrained("FOLDER", trust_remote_code=True)
image = pipeline({asked}, generator=torch.Generator().manual_seed(1)).images[0]
```
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 on success, 1 with a message on a fault."""
    options = _parser().parse_args(arguments)
    return exit_code(lambda: _run(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m xray_generator.export_hub", description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="its name")
    parser.add_argument("folder", type=Path, metavar="DIR", help="a new or empty folder")
    return parser


def _run(options: argparse.Namespace) -> None:
    print(export(Studio(), options.checkpoint, options.folder))  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
