"""`xray-studio import-model`: a Stable Diffusion in diffusers layout becomes a checkpoint of the studio.

    python -m xray_generator import-model stabilityai/sd-turbo --output_dir outputs     from the Hugging Face cache
    python -m xray_generator import-model FOLDER --name sd15                            from a folder

Nothing is downloaded: fetch a model first (`hf download NAME`). The checkpoint holds the weights in 16 bit, without the
filter of images ("safety checker"), in diffusers layout too.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import try_to_load_from_cache
from huggingface_hub.errors import HFValidationError
from safetensors.torch import save_file

from xray_generator.checkpoints import (
    CARD,
    DataFacts,
    Manifest,
    code_commit,
    list_checkpoints,
    loading_faults,
    sha256,
    weights_sha256,
    write_manifest,
)
from xray_generator.config import dump
from xray_generator.console import exit_code
from xray_generator.data.vocabulary import NO_VOCABULARY
from xray_generator.families.stable_diffusion.config import StableDiffusionConfig
from xray_generator.families.stable_diffusion.engine import load_engine
from xray_generator.families.stable_diffusion.model import (
    SCHEDULER,
    TEXT,
    TOKENIZER,
    UNET,
    VAE,
    WEIGHTS,
    StableDiffusion,
    find_variant,
    read_model,
    weight_file,
)
from xray_generator.folders import staged
from xray_generator.nn.diffusion import SCHEDULERS
from xray_generator.training.release import half_precision
from xray_generator.types import StudioError, quote

FAMILY = "stable_diffusion"  # a checkpoint lies in <root>/<family>/<name>
INDEX, PIPELINE = "model_index.json", "StableDiffusionPipeline"
LEFT_OUT = ("safety_checker", "feature_extractor", "image_encoder")  # of a pipeline
ADVICE = "Nothing is downloaded while the studio runs: fetch it first with `hf download NAME`, or give a folder."


def import_model(source: str, root: Path, name: str | None = None) -> Path:
    """Make a checkpoint of a Stable Diffusion below `root`; one of the same weights that is there already is kept.

    Args:
        source: a folder in diffusers layout, or the name of a model on the hub that is in the Hugging Face cache.
        root: where checkpoints are found.
        name: of the checkpoint; None: the last part of the source's.

    Raises:
        StudioError: it is not at hand, of another kind, damaged, or of a name that other weights have.
    """
    folder = _find(source)
    shown = folder.name if Path(source).is_dir() else source  # no path of this machine goes into a checkpoint
    _check_kind(folder, shown)
    with loading_faults(folder, shown):
        names = {part: weight_file(part, find_variant(folder, part)) for part in WEIGHTS}
    source_sha256 = weights_sha256(
        {f"{part}/{weight_file(part)}": sha256(folder / part / names[part]) for part in names}
    )
    for manifest in list_checkpoints(root, FAMILY):
        if manifest.config.get("source_sha256") == source_sha256:
            return root / FAMILY / manifest.name
    config = StableDiffusionConfig(name or _name_of(shown), shown, source_sha256)
    place = root / FAMILY / config.name
    if place.exists():
        raise StudioError(f"{config.family}/{config.name} is here already, with other weights. Give another name.")
    with loading_faults(folder, shown):
        model = read_model(folder)
        manifest = _draft_manifest(config, model)
    with staged(place) as aside:
        _save(model, folder, aside)
        write_manifest(aside, manifest)
        load_engine(aside, "cpu")
    return place


def _find(source: str) -> Path:
    folder = Path(source)
    if folder.is_dir():
        return folder.resolve()
    if folder.is_file():
        raise StudioError(f"{folder.name} is a single file. Give a folder in diffusers layout, with {INDEX}.")
    try:
        found = try_to_load_from_cache(source, INDEX)
    except HFValidationError:  # no name of a model
        found = None
    if not isinstance(found, str):
        raise StudioError(f"{quote(source)} is neither a folder nor a model in the Hugging Face cache. {ADVICE}")
    return Path(found).parent


def _check_kind(folder: Path, shown: str) -> None:
    try:
        index = json.loads((folder / INDEX).read_bytes())
        kind = index["_class_name"]
    except (OSError, ValueError, KeyError, TypeError):
        raise StudioError(f"{shown} is no model in diffusers layout: it has no readable {INDEX}.") from None
    if kind != PIPELINE:
        raise StudioError(
            f"{shown} is of the kind {quote(kind)}. Stable Diffusion 1.x, 2.x and Turbo ({PIPELINE}) can be imported."
        )


def _name_of(source: str) -> str:
    return re.sub(r"[^a-z0-9_.-]+", "_", Path(source).name.lower()).strip("._-")


def _draft_manifest(config: StableDiffusionConfig, model: StableDiffusion) -> Manifest:
    size = model.image_size
    return Manifest(
        family=config.family,
        name=config.name,
        config=dump(config),
        data=DataFacts(),
        commit=code_commit(),
        license="",
        preprocessing={"size": size, "range": [-1.0, 1.0], "gray": "three equal channels; their mean comes out"},
        recommended=model.recommendation,
        sizes=(size,),
        vocabulary=dump(NO_VOCABULARY),
        schedulers=tuple(SCHEDULERS),
    )


def _save(model: StableDiffusion, source: Path, folder: Path) -> None:
    for part in (UNET, VAE):
        half_precision(model.networks()[part]).save_pretrained(folder / part)
    model.text_encoder.text_model.config.save_pretrained(folder / TEXT)
    text = {key: value.contiguous() for key, value in half_precision(model.text_encoder).state_dict().items()}
    save_file(text, folder / TEXT / weight_file(TEXT), {"format": "pt"})
    model.tokenizer.save_pretrained(folder / TOKENIZER)
    (folder / SCHEDULER).parent.mkdir()
    shutil.copyfile(source / SCHEDULER, folder / SCHEDULER)
    index = json.loads((source / INDEX).read_bytes())
    index |= {part: [None, None] for part in LEFT_OUT if part in index} | {"requires_safety_checker": False}
    (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    if (source / CARD).is_file():
        shutil.copyfile(source / CARD, folder / CARD)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 on success, 1 with a message on a fault."""
    parser = argparse.ArgumentParser(
        "python -m xray_generator.families.stable_diffusion.importing", description=__doc__.splitlines()[0]
    )
    parser.add_argument("source", help="a folder in diffusers layout, or a name on the hub")
    parser.add_argument("--name", help="of the checkpoint (default: the last part of the source)")
    parser.add_argument("--output_dir", type=Path, default=Path(os.environ.get("OUTPUT_DIR", "outputs")))
    options = parser.parse_args(arguments)
    root = options.output_dir / "checkpoints"
    return exit_code(lambda: print(f"Finished: {import_model(options.source, root, options.name)}"))  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
