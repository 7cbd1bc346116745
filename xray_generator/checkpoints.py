"""A checkpoint on disk: components in `save_pretrained` layout beside a manifest that names every file's SHA-256.

Only safetensors weights are read. A manifest whose own hash differs is refused, and so is a file that it does not list
or whose hash differs, and a file of weights that does not hold exactly the tensors of its network.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, Protocol, TypeVar

from pydantic import AliasChoices, Field
from safetensors import SafetensorError, safe_open

from xray_generator.config import dump, parse
from xray_generator.devices import is_out_of_memory
from xray_generator.dicom.hounsfield import Window
from xray_generator.folders import restore_all
from xray_generator.types import CheckpointRef, LikelihoodMethod, Recommendation, StudioError, quote

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

MANIFEST, CARD = "manifest.json", "README.md"
UNLISTED = (MANIFEST, CARD)  # the card may be edited by hand
WEIGHT_SUFFIX = ".safetensors"
FLOATS = ("float16", "bfloat16", "float32")  # the formats that weights may have; all are read as float32
OWN_HASH = "sha256"  # of a manifest
FORBIDDEN_SUFFIXES = (".pt", ".pth", ".ckpt", ".bin", ".pkl", ".pickle")  # may hold code
NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")


def check_name(name: str) -> None:
    """Refuse a name that could leave its folder or that some file system cannot hold.

    Raises:
        StudioError: not 1 to 64 of a-z, 0-9, "_", "." and "-", or not begun by a letter or digit.
    """
    if not NAME.fullmatch(name):
        raise StudioError(f"The name {quote(name)} must be 1 to 64 of a-z, 0-9, _ . and -, a letter or digit first.")


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
    method: LikelihoodMethod = "exact"  # of all whose manifest does not say


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
    base: CheckpointRef | None = None  # of an adapter: the weights that it changes

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
Stored = Mapping[str, Mapping[str, "Tensor"]]  # folder of weights in a checkpoint -> the tensors that they must be


def weights_sha256(files: dict[str, str]) -> str:
    """One hash over the hashes of the weights among `files`."""
    weights = "".join(f"{name}:{sha}\n" for name, sha in sorted(files.items()) if name.endswith(WEIGHT_SUFFIX))
    return hashlib.sha256(weights.encode()).hexdigest()


def sha256(path: Path) -> str:
    """The file's SHA-256 in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_manifest(folder: Path, manifest: ManifestKind) -> ManifestKind:
    """Hash every file of the folder into the manifest and write it with its own hash, last and atomically."""
    files = {
        name: sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and (name := path.relative_to(folder).as_posix()) not in (*UNLISTED, f".{MANIFEST}")
    }
    complete = parse(type(manifest), dump(manifest) | {"files": files})
    staged = folder / f".{MANIFEST}"
    staged.write_text(json.dumps(seal(dump(complete)), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    staged.replace(folder / MANIFEST)
    return complete


def seal(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a manifest with their own hash: over the others as JSON with sorted keys and without spaces.

    It tells damage and edits by hand; whoever means to deceive can compute it too.
    """
    others = {key: value for key, value in fields.items() if key != OWN_HASH}
    text = json.dumps(others, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return others | {OWN_HASH: hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()}


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a checkpoint folder; errors as in `read_manifest_of`."""
    return parse(Manifest, _without_empty_groups(_read_json(folder)))


def read_manifest_of(folder: Path, kind: type[ManifestKind]) -> ManifestKind:
    """The manifest, of a given kind, of a folder.

    Raises:
        StudioError: missing, damaged, changed or of another layout.
    """
    return parse(kind, _read_json(folder))


def _read_json(folder: Path) -> object:
    path = folder / MANIFEST
    if not path.is_file():
        raise StudioError(f"{folder.name} is not a checkpoint: it has no {MANIFEST}.")
    try:
        data = json.loads(path.read_bytes())
        if not isinstance(data, dict):
            raise ValueError("it is no JSON object")
        sealed = seal(data)
    except (ValueError, RecursionError) as error:
        raise StudioError(f"The {MANIFEST} of {folder.name} is damaged: {error}.") from None
    if data.get(OWN_HASH) != sealed.pop(OWN_HASH):
        raise StudioError(
            f"The {MANIFEST} of {folder.name} is damaged or was changed: its fields do not give the SHA-256 that it "
            "states. Get the checkpoint again."
        )
    return sealed


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
        if lack := _find_lack(path, folder):
            raise StudioError(f"The checkpoint {folder.name} is incomplete: {name[:80]} {lack}. Get it again.")
        if sha256(path) != expected:
            raise StudioError(
                f"{folder.name}/{name} is damaged or was changed: its SHA-256 is not the manifest's. Get it again."
            )


def _find_lack(path: Path, folder: Path) -> str:
    """Why a path is no file of the folder; empty where it is one."""
    try:
        if path.is_file() and path.resolve().is_relative_to(folder.resolve()):
            return ""
        return "is a link that leads out of it" if path.is_symlink() else "is missing"
    except OSError:  # the name is too long
        return "is missing"


def open_checkpoint(
    folder: Path, config_type: type[ConfigT], build: Callable[[Manifest, ConfigT], tuple[ModelT, Stored]]
) -> tuple[Manifest, ConfigT, ModelT]:
    """Verify a checkpoint folder, parse its configuration and build its model from the two.

    `build` also says which tensors each folder of weights must hold; see `check_weights`.

    Raises:
        StudioError: damaged, incomplete, or not of this architecture; whatever a library raised while building, but for
            a lack of memory.
    """
    manifest = read_manifest(folder)
    verify(folder, manifest)
    config = parse(config_type, manifest.config)
    return manifest, config, load_weights(folder, manifest, lambda: build(manifest, config))


def load_weights(folder: Path, manifest: Listing, build: Callable[[], tuple[ModelT, Stored]]) -> ModelT:
    """Build a model from the verified files of a folder, and compare its tensors with them; errors as above."""
    with loading_faults(folder, folder.name):
        model, stored = build()
        check_weights(folder, manifest, stored)
    return model


@contextmanager
def loading_faults(folder: Path, name: str) -> Iterator[None]:
    """Whatever a library raises while it reads a folder becomes a StudioError that calls it `name`.

    A lack of memory passes: it is no fault of the files.
    """
    try:
        yield
    except StudioError:
        raise
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        if is_out_of_memory(error):
            raise
        text = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        for place in (folder.resolve(), folder.absolute(), folder):  # a path of this machine is nobody's business
            text = text.replace(str(place), folder.name)
        raise StudioError(f"The checkpoint {name} cannot be loaded ({' '.join(text.split())[:200]}).") from error


def check_weights(folder: Path, manifest: Listing, stored: Stored) -> None:
    """Each folder of weights must hold exactly the tensors of its network, of finite numbers in a known format.

    The libraries do not see to that: they fill what is missing with random numbers, pass over what they do not know,
    and read whole numbers as if they were weights.

    Raises:
        ValueError: names what is missing, unknown, not finite or of another format.
    """
    found: dict[str, dict[str, str]] = {}  # folder -> tensor -> its format
    for path in map(PurePosixPath, manifest.files):
        if path.suffix == WEIGHT_SUFFIX:
            formats = found.setdefault(path.parent.as_posix(), {})
            with safe_open(folder / path, "pt") as file:
                for key in file.keys():  # noqa: SIM118 - no mapping
                    value = file.get_tensor(key)
                    if not value.isfinite().all():
                        raise ValueError(f"{key} of {path.parent} holds values that are not numbers")
                    formats[key] = str(value.dtype).removeprefix("torch.")
    if found.keys() != stored.keys():
        raise ValueError(f"its weights are in {_some(found)}, not in {_some(stored)}")
    for name, tensors in stored.items():
        formats = found[name]
        missing, unknown = tensors.keys() - formats, formats.keys() - tensors
        if missing or unknown:
            raise ValueError(
                f"{name} lacks {len(missing)} tensors and has {len(unknown)} unknown: {_some(missing | unknown)}"
            )
        for key, value in tensors.items():
            if (formats[key] in FLOATS) != value.is_floating_point():
                raise ValueError(f"{key} of {name} is stored as {formats[key]}, which its network does not take")


def _some(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)[:3])


def freeze(network: NetworkT, device: torch.device, *, channels_last: bool = True) -> NetworkT:
    """A loaded network ready for inference: without gradients, on the device.

    `channels_last` is the layout that CPUs convolve fastest; it decides the last bits of an image.
    """
    import torch

    network.eval().requires_grad_(requires_grad=False)
    network.to(device)
    layout: Any = torch.channels_last if channels_last else torch.contiguous_format
    return network.to(memory_format=layout)  # type: ignore[call-overload, no-any-return]


def list_checkpoints(root: Path, family: str | None = None) -> tuple[Manifest, ...]:
    """Readable checkpoints under root/<family>/<name>/, by folder; damaged ones and links to elsewhere are left out."""
    return tuple(_readable(root, family).values())


def _readable(root: Path, family: str | None = None) -> dict[Path, Manifest]:
    found = {}
    for folder in _folders(root, family):
        try:
            found[folder] = read_manifest(folder)
        except StudioError:
            continue
    return found


def _folders(root: Path, family: str | None = None) -> list[Path]:
    folders = [folder for parent in sorted(root.glob(family or "*")) for folder in folders_with_manifest(parent)]
    return [folder for folder in folders if (folder / MANIFEST).resolve().is_relative_to(root.resolve())]


def folders_with_manifest(parent: Path) -> list[Path]:
    """The folders in `parent` that have a manifest, by name; hidden ones are put back or passed over."""
    restore_all(parent)
    return sorted(path.parent for path in parent.glob(f"*/{MANIFEST}") if not path.parent.name.startswith("."))


def find_checkpoint(root: Path, name: str | None = None) -> Path:
    """The folder of a checkpoint by name (any case) or `family/name`; the first one where no name is given.

    Raises:
        StudioError: there is none of that name, and the text lists those there are; or it is damaged.
    """
    found = {manifest.ref.full_name: folder for folder, manifest in _readable(root).items()}
    for key, folder in found.items():
        if name is None or name.lower() in (key.lower(), key.split("/")[1].lower()):
            return folder
    for folder in _folders(root):
        if folder not in found.values() and (name is None or name.lower() == folder.name.lower()):
            read_manifest(folder)  # says what is wrong with it
    if not found:
        raise StudioError(f"There is no checkpoint in {root}. Train one with `python -m xray_generator.train`.")
    raise StudioError(f"Unknown checkpoint {quote(name)}. Allowed: {', '.join(found)}.")


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
