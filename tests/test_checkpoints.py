"""A checkpoint loads only when every byte of it is what the manifest says; nothing in it can run code."""

import hashlib
import json
import os
import pickle
import random
import re
import shutil
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.manifests import edit_manifest
from xray_generator.checkpoints import find_checkpoint, list_checkpoints, read_manifest, verify, write_manifest
from xray_generator.families.latent_diffusion.engine import load_engine
from xray_generator.requests import text_request
from xray_generator.studio import Studio
from xray_generator.types import StudioError

UNET = "unet/diffusion_pytorch_model.safetensors"
WEIGHTS = (UNET, "autoencoder/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors")
Tensors = dict[str, torch.Tensor]


@pytest.fixture
def folder(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A copy of the tiny checkpoint that a test may spoil."""
    place = Path("checkpoints", "latent_diffusion", "tiny")
    return Path(shutil.copytree(tiny_checkpoint / place, tmp_path / place))


def refuse(folder: Path, words: str) -> str:
    """Load, expect a refusal in one line, and return it."""
    with pytest.raises(StudioError, match=words) as caught:
        load_engine(folder, "cpu")
    assert len(str(caught.value)) < 600
    return str(caught.value)


def edit_weights(folder: Path, name: str, change: Callable[[Tensors], object]) -> None:
    """Change tensors and write an honest manifest, as a maker of another architecture would."""
    tensors = load_file(folder / name)
    change(tensors)
    save_file(tensors, folder / name, metadata={"format": "pt"})
    write_manifest(folder, read_manifest(folder))


def test_whole_checkpoint_loads(folder: Path) -> None:
    verify(folder, read_manifest(folder))
    engine = load_engine(folder, "cpu")
    assert set(engine.components()) == {"autoencoder", "unet", "text_encoder"}
    for network in engine.components().values():
        assert all(p.dtype == torch.float32 and not p.requires_grad for p in network.parameters())
        assert not network.training


def test_manifest_lists_the_sha256_of_every_file(folder: Path) -> None:
    manifest = read_manifest(folder)
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert set(manifest.files) == present - {"manifest.json", "README.md"}
    assert all(hashlib.sha256((folder / name).read_bytes()).hexdigest() == sha for name, sha in manifest.files.items())


def test_reference_names_the_weights_alone(folder: Path) -> None:
    before = read_manifest(folder).ref
    (folder / "unet" / "config.json").write_text((folder / "unet" / "config.json").read_text() + "\n")
    assert write_manifest(folder, read_manifest(folder)).ref == before
    edit_weights(folder, UNET, lambda tensors: next(iter(tensors.values())).view(-1)[:1].fill_(0.5))
    assert read_manifest(folder).ref.sha256 != before.sha256


@pytest.mark.parametrize("name", WEIGHTS)
def test_cut_weights_are_refused(folder: Path, name: str) -> None:
    data = (folder / name).read_bytes()
    rng = random.Random(0)
    for length in (0, 1, 7, 8, len(data) // 2, len(data) - 1, *(rng.randrange(len(data)) for _ in range(5))):
        (folder / name).write_bytes(data[:length])
        refuse(folder, "damaged or was changed.*Get it again")


def test_one_flipped_bit_is_refused(folder: Path) -> None:
    data = bytearray((folder / UNET).read_bytes())
    data[-100] ^= 1
    (folder / UNET).write_bytes(data)
    assert UNET in refuse(folder, "damaged or was changed")


@pytest.mark.parametrize("name", [*WEIGHTS, "unet/config.json", "tokenizer/tokenizer.json"])
def test_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert name in refuse(folder, "incomplete")


@pytest.mark.parametrize("header", [2**63, 200_000_000, 0])
def test_crafted_header_with_an_honest_manifest_is_refused(folder: Path, header: int) -> None:
    (folder / UNET).write_bytes(struct.pack("<Q", header) + b"{}" + b"\0" * 64)
    write_manifest(folder, read_manifest(folder))
    refuse(folder, "cannot be loaded")


@pytest.mark.parametrize("fault", ["overlap", "overflow", "hole", "more"])
def test_offsets_that_do_not_fit_the_data_are_refused(folder: Path, fault: str) -> None:
    data = (folder / UNET).read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    first, second, *_ = sorted(
        (key for key in header if key != "__metadata__"), key=lambda k: header[k]["data_offsets"]
    )
    if fault == "overlap":
        header[second]["data_offsets"] = header[first]["data_offsets"]
    elif fault == "overflow":
        header[first]["shape"] = [2**62, 2**62]
    elif fault == "hole":
        del header[first]
    text = json.dumps(header).encode()
    more = b"\0" * 8 if fault == "more" else b""
    (folder / UNET).write_bytes(struct.pack("<Q", len(text)) + text + data[end:] + more)
    write_manifest(folder, read_manifest(folder))
    refuse(folder, "cannot be loaded")


@pytest.mark.parametrize("name", ["unet/extra.safetensors", "extra.safetensors", "unet/deep/er/x.SAFETENSORS"])
def test_unlisted_weights_are_refused(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(folder / UNET, folder / name)
    refuse(folder, "not in the manifest")


class Canary:
    """Unpickling this creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch '{self.path}'",)


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize(
    "name", ["unet/diffusion_pytorch_model.bin", "model.pt", "a.ckpt", "b.pkl", "text_encoder/pytorch_model.BIN"]
)
def test_files_that_may_hold_code_are_refused_and_never_opened(
    folder: Path, tmp_path: Path, name: str, listed: bool
) -> None:
    torch.save(Canary(tmp_path / "canary"), folder / name)
    if listed:
        write_manifest(folder, read_manifest(folder))
    refuse(folder, "may contain code")
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("form", ["torch", "pickle", "zip", "tar"])
def test_renamed_pickle_is_refused_and_never_run(folder: Path, tmp_path: Path, form: str) -> None:
    canary = Canary(tmp_path / "canary")
    for name in WEIGHTS:
        target = folder / name
        if form == "torch":
            torch.save(canary, target)
        elif form == "pickle":
            target.write_bytes(pickle.dumps(canary))
        elif form == "zip":
            with zipfile.ZipFile(target, "w") as file:
                file.writestr("archive/data.pkl", pickle.dumps(canary))
        else:
            (tmp_path / "data.pkl").write_bytes(pickle.dumps(canary))
            with tarfile.open(target, "w") as file:
                file.add(tmp_path / "data.pkl")
    write_manifest(folder, read_manifest(folder))
    refuse(folder, "cannot be loaded")
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("name", WEIGHTS)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_numbers_are_refused(folder: Path, name: str, value: float) -> None:
    edit_weights(folder, name, lambda tensors: next(iter(tensors.values())).view(-1)[:1].fill_(value))
    refuse(folder, "not numbers")


@pytest.mark.parametrize("name", WEIGHTS)
@pytest.mark.parametrize("change", ["missing", "extra", "shape"])
def test_another_architecture_is_refused(folder: Path, name: str, change: str) -> None:
    def edit(tensors: Tensors) -> None:
        key = next(key for key, value in tensors.items() if value.ndim == 2 or (value.ndim == 4))
        if change == "missing":
            del tensors[key]
        elif change == "extra":
            tensors["unknown.weight"] = torch.zeros(3)
        else:
            tensors[key] = torch.zeros(3, 5, dtype=torch.float16)

    edit_weights(folder, name, edit)
    refuse(folder, "cannot be loaded")


def test_parts_that_do_not_fit_each_other_are_refused(folder: Path) -> None:
    edit_manifest(folder, lambda data: data["preprocessing"].update(latent_mean=[0.0] * 64, latent_std=[1.0] * 64))
    refuse(folder, "cannot be loaded")


@pytest.mark.parametrize("key", ["latent_mean", "latent_std", "latent_axes"])
def test_missing_statistics_are_refused(folder: Path, key: str) -> None:
    edit_manifest(folder, lambda data: data["preprocessing"].pop(key))
    assert key in refuse(folder, "cannot be loaded")


@pytest.mark.parametrize("key", ["scheduler", "num_inference_steps", "guidance_scale"])
def test_missing_recommendation_is_refused(folder: Path, key: str) -> None:
    edit_manifest(folder, lambda data: data["recommended"].pop(key))
    refuse(folder, f"recommended.{key}: Field required")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"\xff\xfe\0",
        b"[" * 100_000,
        b'{"family": ' + b"1" * 5_000 + b"}",
        b'{"family": "x"}',
    ],
)
def test_damaged_manifest_is_refused_and_left_out_of_the_list(folder: Path, content: bytes) -> None:
    (folder / "manifest.json").write_bytes(content)
    refuse(folder, "manifest|configuration")
    assert list_checkpoints(folder.parents[1]) == ()


def test_missing_manifest_is_refused(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    refuse(folder, "not a checkpoint")


def test_every_change_of_a_manifest_is_refused(folder: Path) -> None:
    path, rng = folder / "manifest.json", random.Random(0)
    whole = path.read_bytes()
    places = [found.start() for found in re.finditer(rb"[a-z]|(?<= )\d", whole)]  # letters, and the first of digits
    for place in rng.sample(places, 200):
        changed = b"7" if whole[place : place + 1] != b"7" else b"8"
        path.write_bytes(whole[:place] + changed + whole[place + 1 :])
        with pytest.raises(StudioError, match="damaged"):
            read_manifest(folder)
    for changed in (whole.replace(b"tiny", b"tidy", 1), json.dumps(json.loads(whole) | {"labels": ["a"]}).encode()):
        path.write_bytes(changed)
        refuse(folder, "its fields do not give the SHA-256")
    path.write_text(json.dumps(json.loads(whole)))  # the same fields in another layout
    load_engine(folder, "cpu")


def test_a_manifest_without_a_hash_of_its_own_is_refused(folder: Path) -> None:
    data = json.loads((folder / "manifest.json").read_text())
    del data["sha256"]
    (folder / "manifest.json").write_text(json.dumps(data))
    refuse(folder, "its fields do not give the SHA-256")


def test_a_fault_while_loading_names_no_folder_of_this_machine(folder: Path) -> None:
    (folder / "unet" / "config.json").unlink()
    write_manifest(folder, read_manifest(folder))
    said = refuse(folder, "cannot be loaded")
    assert "tiny/unet" in said and str(folder.parent) not in said


@pytest.mark.parametrize("key", ["name", "family"])
@pytest.mark.parametrize("value", ["../../etc", "/etc", "", "a/b", "a" * 65, "NUL\0", ".hidden", "C:\\x"])
def test_name_that_leaves_its_folder_is_refused(folder: Path, key: str, value: str) -> None:
    edit_manifest(folder, lambda data: data.update({key: value}))
    refuse(folder, "name")
    assert list_checkpoints(folder.parents[1]) == ()


@pytest.mark.parametrize("name", ["../../../../etc/passwd", "/etc/passwd", "a\0b", "x" * 300, "unet/" + "x" * 9_000])
def test_listed_file_outside_the_folder_is_refused(folder: Path, name: str) -> None:
    edit_manifest(folder, lambda data: data["files"].update({name: "0" * 64}))
    refuse(folder, "incomplete")


def test_symlink_to_the_outside_is_refused(folder: Path, tmp_path: Path) -> None:
    shutil.move(folder / UNET, tmp_path / "outside.safetensors")
    (folder / UNET).symlink_to(tmp_path / "outside.safetensors")
    refuse(folder, "incomplete: unet.* is a link that leads out of it")


def test_checkpoint_folder_that_links_to_the_outside_is_not_found(folder: Path, tmp_path: Path) -> None:
    shutil.move(folder, tmp_path / "outside")
    folder.symlink_to(tmp_path / "outside")
    assert list_checkpoints(tmp_path / "checkpoints") == ()
    with pytest.raises(StudioError, match="no checkpoint"):
        find_checkpoint(tmp_path / "checkpoints")


@pytest.mark.parametrize(
    "name", ["../../etc", "/etc/passwd", "http://169.254.169.254", "a/b/c", "C:\\x", "a\0b", "x" * 10_000, "", ".", "*"]
)
def test_unknown_name_is_refused_before_any_file_is_opened(folder: Path, name: str) -> None:
    with pytest.raises(StudioError, match="Unknown checkpoint.*Allowed: latent_diffusion/tiny"):
        find_checkpoint(folder.parents[1], name)


@pytest.mark.parametrize("name", [None, "tiny", "TINY", "latent_diffusion/tiny", "Latent_Diffusion/Tiny"])
def test_known_name_is_found_in_any_case(folder: Path, name: str | None) -> None:
    assert find_checkpoint(folder.parents[1], name) == folder


def test_renamed_folder_is_still_found_by_its_manifest(folder: Path) -> None:
    folder.rename(folder.with_name("renamed"))
    assert find_checkpoint(folder.parents[1], "tiny") == folder.with_name("renamed")


def test_one_damaged_checkpoint_hides_no_other(folder: Path) -> None:
    shutil.copytree(folder, folder.with_name("aaa"))
    (folder.with_name("aaa") / "manifest.json").write_text("{")
    assert [manifest.name for manifest in list_checkpoints(folder.parents[1])] == ["tiny"]
    assert find_checkpoint(folder.parents[1]) == folder


@pytest.mark.parametrize("name", [None, "tiny", "Tiny"])
def test_a_damaged_checkpoint_is_not_said_to_be_missing(folder: Path, name: str | None) -> None:
    (folder / "manifest.json").write_text("{")
    with pytest.raises(StudioError, match="damaged"):
        find_checkpoint(folder.parents[1], name)


def test_missing_weights_are_never_a_picture(folder: Path) -> None:
    shutil.rmtree(folder / "unet")
    with pytest.raises(StudioError, match="incomplete"):
        Studio(folder.parents[2], "cpu").generate(text_request("Normal chest X-ray", size=64, seed=1))


def test_files_replaced_on_disk_do_not_change_a_loaded_model(folder: Path) -> None:
    studio, request = Studio(folder.parents[2], "cpu"), text_request("Normal chest X-ray", size=64, seed=1, steps=2)
    before = studio.generate(request).images[0]
    for name in WEIGHTS:
        (folder / name).write_bytes(b"\xff" * (folder / name).stat().st_size)
    assert (studio.generate(request).images[0] == before).all()


def test_a_nested_file_of_a_reserved_name_is_listed_and_verified(folder: Path) -> None:
    (folder / "tokenizer" / "README.md").write_text("notes")
    verify(folder, write_manifest(folder, read_manifest(folder)))
