"""A checkpoint on disk: components in `save_pretrained` layout beside a manifest that names every file's SHA-256.

Only safetensors weights are read. A file that the manifest does not list, or whose hash differs, is refused.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol, TypeVar

from pydantic import AliasChoices, Field
from safetensors import SafetensorError

from xray_generator.config import dump, parse
from xray_generator.dicom.hounsfield import Window
from xray_generator.types import CheckpointRef, Recommendation, StudioError

if TYPE_CHECKING:
    import torch
    from torch import nn

MANIFEST, CARD = "manifest.json", "README.md"
UNLISTED = (MANIFEST, CARD)  # the card may be edited by hand
WEIGHT_SUFFIX = ".safetensors"
FORBIDDEN_SUFFIXES = (".pt", ".pth", ".ckpt", ".bin", ".pkl", ".pickle")  # may hold code
NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")


def check_name(name: str) -> None:
    """Refuse a name that could leave its folder or that some file system cannot hold.

    Raises:
        StudioError: not 1 to 64 of a-z, 0-9, "_", "." and "-", or not begun by a letter or digit.
    """
    if not NAME.fullmatch(name):
        raise StudioError(f"The name {name[:80]!r} must be 1 to 64 of a-z, 0-9, _ . and -, a letter or digit first.")


@dataclass(frozen=True, slots=True)
class DataFacts:
    """What a checkpoint was trained on, validated with and tested on; sources and classes are those of `train`."""

    num_train: int = 0
    num_val: int = 0
    num_test: int = 0
    sources: dict[str, int] = field(default_factory=dict)  # source -> images
    licenses: dict[str, str] = field(default_factory=dict)  # source -> license
    classes: dict[str, int] = field(default_factory=dict)  # class -> images
    num_full_resolution: int | None = None  # images that were not enlarged to the model's size


@dataclass(frozen=True, slots=True)
class Quality:
    """How well images are given back or enlarged, mean over images; None: not measured."""

    num_images: int
    psnr_db: float | None = None
    ssim: float | None = None
    sharpness_ratio: float | None = None  # mean variance of the Laplacian over that of the real images
    bicubic_psnr_db: float | None = None  # of the same images enlarged by bicubic interpolation


@dataclass(frozen=True, slots=True)
class LikelihoodSummary:
    """Bits per dimension of real images under no class; less is more probable."""

    bits_per_dimension: float  # mean
    standard_error: float | None  # of the mean; None: one image
    inversion_rmse: float  # gray 0 to 1, of the images carried to noise and back
    num_images: int
    values: tuple[float, ...] = ()  # sorted, so that nothing tells which image has which


@dataclass(frozen=True, slots=True)
class IntensityHistogram:
    """The share of each gray level among all pixels of the training images at the model's size."""

    edges: tuple[float, ...]
    train: tuple[float, ...]
    n: int  # images


Splits = dict[str, Quality]  # by split


@dataclass(frozen=True, slots=True)
class Metrics:
    """What was measured when a checkpoint was released; what was not is left out."""

    reconstruction: Annotated[
        Splits, Field(validation_alias=AliasChoices("reconstruction", "autoencoder_reconstruction"))
    ] = field(default_factory=dict)
    grain: Splits = field(default_factory=dict)
    enlargement: Splits = field(default_factory=dict)
    likelihood: dict[str, LikelihoodSummary] = field(default_factory=dict)  # by split
    likelihood_references: dict[str, float] = field(default_factory=dict)  # bits per dimension of artificial images
    intensity: IntensityHistogram | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a checkpoint is, where it came from, and the hash of each of its files."""

    family: str
    name: str
    config: dict[str, Any]
    data: DataFacts
    commit: str  # of the code that trained it
    license: str  # of the data
    preprocessing: dict[str, Any]  # size, range, and the family's own statistics, which travel with the weights
    recommended: Recommendation
    sizes: tuple[int, ...]  # sides in pixels that the model draws
    steps: dict[str, int] = field(default_factory=dict)  # optimizer steps by stage
    vocabulary: dict[str, Any] = field(default_factory=dict)  # of its training captions
    metrics: Metrics = field(default_factory=Metrics)
    files: dict[str, str] = field(default_factory=dict)  # path -> SHA-256
    schedulers: tuple[str, ...] = ("ddim", "ddpm", "dpm++", "unipc")  # that it samples with; these where none is named
    few_steps: dict[str, int] = field(default_factory=dict)  # distilled scheduler without guidance -> its most steps
    modality: str = ""  # DICOM code of its images; empty: the family's
    labels: tuple[str, ...] = ()  # classes that it draws
    unconditional: bool = False  # whether it also draws without a class
    hu_window: Window | None = None  # of CT: the Hounsfield units that gray 0 to 1 stand for

    def __post_init__(self) -> None:
        check_name(self.family)
        check_name(self.name)
        if not self.sizes:
            raise StudioError(f"The manifest of {self.name} names no size.")
        if self.recommended.scheduler not in self.schedulers:
            known = ", ".join(self.schedulers)
            raise StudioError(f"The manifest of {self.name} must recommend one of its schedulers: {known}.")

    @property
    def ref(self) -> CheckpointRef:
        """Family, name and one hash over the hashes of the weights."""
        return CheckpointRef(self.family, self.name, weights_sha256(self.files))

    @property
    def reads_facts(self) -> bool:
        """Whether the model is given the facts that are read from a prompt, beside its words."""
        return bool(self.preprocessing.get("reads_facts"))


class Listing(Protocol):
    """A manifest of any kind: it names each file of its folder with the hash."""

    @property
    def files(self) -> dict[str, str]:
        """Path -> SHA-256."""
        ...


ManifestKind = TypeVar("ManifestKind", bound=Listing)
ConfigT = TypeVar("ConfigT")
ModelT = TypeVar("ModelT")
NetworkT = TypeVar("NetworkT", bound="nn.Module")


def weights_sha256(files: dict[str, str]) -> str:
    """One hash over the hashes of the weights among `files`."""
    weights = "".join(f"{name}:{sha}\n" for name, sha in sorted(files.items()) if name.endswith(WEIGHT_SUFFIX))
    return hashlib.sha256(weights.encode()).hexdigest()


def sha256(path: Path) -> str:
    """The file's SHA-256 in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_manifest(folder: Path, manifest: ManifestKind) -> ManifestKind:
    """Hash every file of the folder into the manifest and write it, last and atomically."""
    files = {
        name: sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and (name := path.relative_to(folder).as_posix()) not in (*UNLISTED, f".{MANIFEST}")
    }
    complete = parse(type(manifest), dump(manifest) | {"files": files})
    staged = folder / f".{MANIFEST}"
    staged.write_text(json.dumps(dump(complete), indent=1, ensure_ascii=False) + "\n")
    staged.replace(folder / MANIFEST)
    return complete


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a checkpoint folder; errors as in `read_manifest_of`."""
    return parse(Manifest, _without_empty_groups(_read_json(folder)))


def read_manifest_of(folder: Path, kind: type[ManifestKind]) -> ManifestKind:
    """The manifest, of a given kind, of a folder.

    Raises:
        StudioError: missing, damaged or of another layout.
    """
    return parse(kind, _read_json(folder))


def _read_json(folder: Path) -> object:
    path = folder / MANIFEST
    if not path.is_file():
        raise StudioError(f"{folder.name} is not a checkpoint: it has no {MANIFEST}.")
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise StudioError(f"The {MANIFEST} of {folder.name} is damaged: {error}.") from None


def _without_empty_groups(data: object) -> object:
    """An empty group says that nothing is known, as if it were left out; what `config` holds is a family's own."""
    if not isinstance(data, dict):
        return data
    kept = {key: value if key == "config" else _without_empty_groups(value) for key, value in data.items()}
    return {key: value for key, value in kept.items() if value != {} or key == "config"}


def verify(folder: Path, manifest: Listing) -> None:
    """Compare every file with the manifest before anything is loaded.

    Raises:
        StudioError: a file is missing, changed, outside the folder, not listed, or of a format that holds code.
    """
    for path in folder.rglob("*"):
        if path.suffix.lower() in FORBIDDEN_SUFFIXES:
            raise StudioError(f"{folder.name}/{path.name} may contain code and is refused; use safetensors weights.")
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in manifest.files and name not in UNLISTED and not path.name.startswith("."):
            raise StudioError(f"{folder.name}/{name} is not in the manifest and is refused.")
    for name, expected in manifest.files.items():
        path = folder / name
        if not path.is_file() or not path.resolve().is_relative_to(folder.resolve()):
            raise StudioError(f"The checkpoint {folder.name} is incomplete: {name} is missing. Get it again.")
        if sha256(path) != expected:
            raise StudioError(
                f"{folder.name}/{name} is damaged or was changed: its SHA-256 is not the manifest's. Get it again."
            )


def open_checkpoint(
    folder: Path, config_type: type[ConfigT], build: Callable[[Manifest, ConfigT], ModelT]
) -> tuple[Manifest, ConfigT, ModelT]:
    """Verify a checkpoint folder, parse its configuration and build its model from the two.

    Raises:
        StudioError: damaged, incomplete, or not of this architecture; whatever a library raised while building.
    """
    manifest = read_manifest(folder)
    verify(folder, manifest)
    config = parse(config_type, manifest.config)
    try:
        return manifest, config, build(manifest, config)
    except StudioError:
        raise
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise StudioError(f"The checkpoint {folder.name} cannot be loaded ({reason}).") from error


def freeze(network: NetworkT, device: torch.device, name: str, *, channels_last: bool = True) -> NetworkT:
    """A loaded network ready for inference: finite, without gradients, on the device.

    `channels_last` is the layout that CPUs convolve fastest; it decides the last bits of an image.

    Raises:
        StudioError: it holds values that are not numbers; `name` is the checkpoint's.
    """
    import torch

    if not all(bool(value.isfinite().all()) for value in network.state_dict().values()):
        raise StudioError(f"The weights of {name} are damaged: they hold values that are not numbers.")
    network.eval().requires_grad_(requires_grad=False)
    network.to(device)
    layout: Any = torch.channels_last if channels_last else torch.contiguous_format
    return network.to(memory_format=layout)  # type: ignore[call-overload, no-any-return]


def replace_folder(staged: Path, folder: Path) -> None:
    """Put a finished folder in the place of an older one, which goes last."""
    old = folder.with_name(f".old-{folder.name}")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.replace(old)
    staged.replace(folder)
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """An empty folder to fill, which takes the place of `folder` once all went well."""
    place = folder.with_name(f".tmp-{folder.name}")
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    yield place
    replace_folder(place, folder)


def list_checkpoints(root: Path, family: str | None = None) -> tuple[Manifest, ...]:
    """Readable checkpoints under root/<family>/<name>/, by folder; damaged ones and links to elsewhere are left out."""
    return tuple(_readable(root, family).values())


def _readable(root: Path, family: str | None = None) -> dict[Path, Manifest]:
    found = {}
    for path in _manifests(root, family):
        try:
            found[path.parent] = read_manifest(path.parent)
        except StudioError:
            continue
    return found


def _manifests(root: Path, family: str | None = None) -> list[Path]:
    paths = sorted(root.glob(f"{family or '*'}/*/{MANIFEST}"))
    return [p for p in paths if not p.parent.name.startswith(".") and p.resolve().is_relative_to(root.resolve())]


def find_checkpoint(root: Path, name: str | None = None) -> Path:
    """The folder of a checkpoint by name (any case) or `family/name`; the first one where no name is given.

    Raises:
        StudioError: there is none of that name, and the text lists those there are; or it is damaged.
    """
    found = {manifest.ref.full_name: folder for folder, manifest in _readable(root).items()}
    for key, folder in found.items():
        if name is None or name.lower() in (key.lower(), key.split("/")[1].lower()):
            return folder
    for path in _manifests(root):
        if path.parent not in found.values() and (name is None or name.lower() == path.parent.name.lower()):
            read_manifest(path.parent)  # says what is wrong with it
    if not found:
        raise StudioError(f"There is no checkpoint in {root}. Train one with `python -m xray_generator.train`.")
    raise StudioError(f"Unknown checkpoint {name!r}. Allowed: {', '.join(found)}.")


def code_commit() -> str:
    """The git commit of the running code, "-dirty" where files differ from it, or "unknown" outside a repository."""
    folder = Path(__file__).parent
    try:
        output = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],  # noqa: S607 - git from the user's PATH
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return output.stdout.strip() or "unknown"
