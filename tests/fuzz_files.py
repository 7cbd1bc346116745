"""Fuzzed files: checkpoints, states of a training, tables, folders of classes, presets, configurations, records."""

import hashlib
import io
import json
import random
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import torch

from postprocess.presets import PRESETS, apply, from_json, load_presets, read_preset
from tests.evaluation.test_records import RECORD
from tests.fuzz_images import PICTURE, REF, REQUEST
from tests.fuzzing import VALUES, WORDS, Parser, mutate_bytes, mutate_data, mutate_json, mutate_text
from tests.training.toy import Toy
from xray_generator.checkpoints import list_checkpoints, read_manifest, read_manifest_of, seal, write_manifest
from xray_generator.config import config_names, dump, override, parse, read_config
from xray_generator.dashboards.board import age, label_entries, read_board
from xray_generator.data.class_folders import read_class_folders
from xray_generator.data.ct_series import CtOptions
from xray_generator.data.read import read_dataset
from xray_generator.data.record import RECORD as DATA_RECORD
from xray_generator.data.record import DataRecord, read_record
from xray_generator.data.volumes import PLANES, TASKS, find_volumes
from xray_generator.evaluation.records import SUFFIX, write_record
from xray_generator.experiments.likelihoods import SUFFIX as COMPARISON
from xray_generator.experiments.likelihoods import find_comparison
from xray_generator.export.recipe import Recipe
from xray_generator.families.flow_matching.engine import load_engine
from xray_generator.history import FORM, Form, KeptResult, list_results, load_result, read_form
from xray_generator.reference_encoder.manifest import Calibration, EncoderManifest, EncoderShape
from xray_generator.registry import config_type
from xray_generator.training.history import LOG, cut_log, export_history, read_history
from xray_generator.training.state import load_newest_state, save_state
from xray_generator.types import StudioError

REPORT = "FINDINGS: No effusion; heart size is normal. IMPRESSION: Mild cardiomegaly, no pneumothorax."
TABLES = {
    "captioned": (
        "metadata.csv",
        "image,caption,labels,view,age,sex,age_group,split,patient_id,source,license,orig_width,orig_height\n"
        'a.png,"PA X-ray, normal",no_finding,PA,58.0,F,adult,train,p1,here,CC0,640,599\n'
        "b.png,AP X-ray,mass|nodule,AP,,m,,val,p2,here,CC0,,\n",
    ),
    "labeled": (
        "metadata.csv",
        "image,caption,label,split,source,license,orig_width,patient_id\n"
        "images/a.png,a slice,Malignant,train,here,CC BY 4.0,512,p1\nimages/b.png,,normal,,here,,,\n",
    ),
    "owners": ("extra.csv", "image,group,patient_id\nimages/a.png,g1,\nimages/b.png,,p1\n"),
    "readings": ("rsna_reading.csv", "image,contradicted\na.png,1\nb.png,0\n"),
    "reports": ("indiana_reports.csv", f'uid,findings,impression\n7,"{REPORT}",Normal chest.\n8.0,Clear,XXXX normal\n'),
    "projections": ("indiana_projections.csv", "uid,filename,projection\n7,a.png,Frontal\n8,b.png,Frontal\n"),
}
Written = Mapping[str, bytes]  # file -> content
CONFIGS = {name: read_config(name) for name in config_names()}


def file_parsers(folder: Path, checkpoint: Path) -> dict[str, Parser]:
    """By name; `folder` is for files, `checkpoint` the folder of a whole checkpoint of flow matching."""
    return {
        "weights": _weights(folder, checkpoint),
        "manifest": _manifest(folder, checkpoint),
        "state": _state(folder),
        "table": _tables(folder),
        "volumes": Parser(_volumes, lambda made: _read_volumes(made, folder), 10),
        "class folders": Parser(_class_names, lambda names: _read_classes(names, folder), 4),
        "preset": Parser(_preset, lambda data: _read_preset(data, folder), 20),
        "configuration": Parser(_configuration, lambda made: _read_configuration(*made, folder), 30),
        "records": Parser(_records, lambda made: _read_records(made, folder), 30),
        "log": Parser(_log, lambda data: _read_log(data, folder), 12),
    }


def fresh(folder: Path, files: Written) -> Path:
    """The folder with these files alone."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def _weights(folder: Path, checkpoint: Path) -> Parser:
    """Damage is found by its hash; weights that an attacker changed, with all hashes right, load or are refused."""
    (name,) = (path.relative_to(checkpoint) for path in checkpoint.rglob("*.safetensors"))
    whole = (checkpoint / name).read_bytes()
    copy = folder / "weights" / checkpoint.name
    shutil.copytree(checkpoint, copy, dirs_exist_ok=True)
    manifest = read_manifest(checkpoint)

    def make(rng: random.Random) -> tuple[bytes, bool]:
        head = rng.random() < 0.5  # the 8 bytes of its length and the JSON
        length = 8 + int.from_bytes(whole[:8], "little")
        damaged = mutate_bytes(rng, whole[:length]) + whole[length:] if head else mutate_bytes(rng, whole)
        return damaged, rng.random() < 0.5

    def read(made: tuple[bytes, bool]) -> None:
        data, is_honest = made
        (copy / name).write_bytes(data)
        shutil.copy(checkpoint / "manifest.json", copy)
        if is_honest:
            write_manifest(copy, manifest)
        engine = load_engine(copy, "cpu")
        assert is_honest or data == whole
        assert all(p.isfinite().all() for net in engine.components().values() for p in net.parameters())

    return Parser(make, read, 4)


def _manifest(folder: Path, checkpoint: Path) -> Parser:
    """Changed bytes give the same manifest or none; fields that were changed and sealed again are still checked."""
    whole = (checkpoint / "manifest.json").read_bytes()
    data, known = json.loads(whole), read_manifest(checkpoint)
    encoder = EncoderManifest(
        "e", EncoderShape(), ("normal",), {"normal": Calibration()}, {}, {"sources": {"here": 2}}, {}, "", ""
    )

    def make(rng: random.Random) -> tuple[bytes, bool]:
        if rng.random() < 0.4:
            return mutate_bytes(rng, whole), False
        changed = mutate_data(rng, rng.choice((data, dump(encoder))))
        sealed = seal(changed) if isinstance(changed, dict) else changed
        return json.dumps(sealed).encode(), True

    def read(made: tuple[bytes, bool]) -> None:
        place = fresh(folder / "manifests" / "flow_matching" / "x", {"manifest.json": made[0]})
        found = list_checkpoints(folder / "manifests")
        if made[1]:
            _either(lambda: read_manifest_of(place, EncoderManifest), lambda: read_manifest(place).ref)
        else:
            assert read_manifest(place) == known and found == (known,)

    return Parser(make, read, 25)


def _either(*reads: Callable[[], object]) -> None:
    """All but the last may refuse."""
    for read in reads[:-1]:
        try:
            read()
        except StudioError:
            continue
    reads[-1]()


def _state(folder: Path) -> Parser:
    """Damaged, and damaged with a right hash; the state before is found."""
    states = folder / "states"
    values = {"module": Toy().module.state_dict(), "rng": torch.get_rng_state(), "lr_scheduler": {"a": [1.5]}}
    for step in (1, 2):
        save_state(states, step, values | {"step": step}, keep=2)
    newest = states / "step-00000002"
    whole, manifest = (newest / "state.pt").read_bytes(), (newest / "manifest.json").read_bytes()

    def make(rng: random.Random) -> tuple[bytes, bytes | None]:
        if rng.random() < 0.3:
            return whole, mutate_json(rng, json.loads(manifest))
        return mutate_bytes(rng, whole), None if rng.random() < 0.8 else manifest

    def read(made: tuple[bytes, bytes | None]) -> None:
        (newest / "state.pt").write_bytes(made[0])
        honest = json.dumps({"sha256": hashlib.sha256(made[0]).hexdigest()}).encode()
        (newest / "manifest.json").write_bytes(honest if made[1] is None else made[1])
        found, skipped = load_newest_state(states)
        assert found is not None and all("\n" not in words for words in skipped)
        assert not skipped or found["step"] == 1

    return Parser(make, read, 12)


def _tables(folder: Path) -> Parser:
    picture = folder / "picture.png"
    PICTURE.save(picture)

    def make(rng: random.Random) -> Written:
        layout = rng.choice((("captioned", "readings", "owners"), ("labeled", "owners"), ("reports", "projections")))
        files = {}
        for key in layout:
            name, text = TABLES[key]
            changed = mutate_text(rng, text) if rng.random() < 0.4 else text
            data = changed.encode(rng.choice(("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16")), "surrogatepass")
            files[name] = mutate_bytes(rng, data) if rng.random() < 0.2 else data
        return files

    def read(made: Written) -> None:
        pictures = {f"images/{name}.png": picture.read_bytes() for name in "ab"}
        dataset = read_dataset(fresh(folder / "pack", {**pictures, **made}))
        assert all(row.path.is_relative_to(folder / "pack") and row.image().size for row in dataset.rows)

    return Parser(make, read, 40)


def _volumes(rng: random.Random) -> dict[str, bytes]:
    """An exam of MRNet with its tables, or a NIfTI file, one of them changed."""
    array, nifti = io.BytesIO(), nibabel.Nifti1Image(np.arange(60, dtype=np.int16).reshape(5, 4, 3), np.eye(4))
    np.save(array, np.arange(60, dtype=np.uint8).reshape(3, 4, 5))
    exam = {f"train-{task}.csv": b"0000,1\n0001,0\n" for task in TASKS} | {"train/axial/0000.npy": array.getvalue()}
    files = rng.choice((exam, {"sub-01_T1w.nii": nifti.to_bytes()}))
    name = rng.choice(list(files))
    return {**files, name: mutate_bytes(rng, files[name])}


def _read_volumes(made: Written, folder: Path) -> None:
    place = fresh(folder / "volumes", made)
    for volume in find_volumes(place, PLANES)[0]:
        slices = volume.read()
        assert slices.ndim == 3 and 0 <= slices.min() <= slices.max() <= 1


def _class_names(rng: random.Random) -> tuple[str, ...]:
    names = [f"{label}/{label}_{i}.png" for label in ("normal", "oda ida", "Ärzte") for i in range(3)]
    words = [*WORDS, "train/", "masks/", "_mask", "images", "test/", ".dcm", "Thumbs.db", "normal/"]
    return tuple(mutate_text(rng, name, words) for name in names)


def _read_classes(names: tuple[str, ...], folder: Path) -> None:
    place = fresh(folder / "classes", {})
    for name in names:
        path = place / name.replace("\0", "").replace("..", "").lstrip("/")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
        except (OSError, UnicodeError):  # no such file can be
            continue
    _either(lambda: read_class_folders(place), lambda: read_dataset(place))


def _preset(rng: random.Random) -> bytes:
    return mutate_json(rng, dump(replace(rng.choice(PRESETS), name="Mine")))


def _read_preset(data: bytes, folder: Path) -> None:
    place = fresh(folder / "presets", {"x.json": data})
    image = np.asarray(PICTURE, np.float32) / 255

    def use() -> None:
        enhanced = apply(from_json(data), image)
        assert np.isfinite(enhanced).all() and 0 <= enhanced.min() <= enhanced.max() <= 1

    _either(use, lambda: read_preset(place / "x.json"), lambda: load_presets(place))


def _configuration(rng: random.Random) -> tuple[bytes, tuple[str, ...], str]:
    data = CONFIGS[rng.choice(list(CONFIGS))]
    words = [*WORDS, *map(str, VALUES), "image_size", "name", "denoiser_training.num_steps", "window.level", "schedule"]
    pairs = tuple(
        mutate_text(rng, f"{rng.choice(['name', *data, 'a.b'])}={rng.choice(words)}", words)
        for _ in range(rng.randrange(3))
    )
    return mutate_json(rng, data) if rng.random() < 0.7 else json.dumps(data).encode(), pairs, str(data["family"])


def _read_configuration(content: bytes, pairs: tuple[str, ...], family: str, folder: Path) -> None:
    path = fresh(folder / "configs", {"x.json": content}) / "x.json"
    kind = config_type(family)
    config = parse(kind, override(read_config(str(path)), pairs))
    assert parse(kind, json.loads(json.dumps(dump(config)))) == config


def _records(rng: random.Random) -> Written:
    """What a person left behind, the record of an evaluation, a comparison of likelihoods and the data of a run."""
    kept = KeptResult(Recipe(REQUEST, REF), (1.5,), ("A note.",), ("a.png",))
    form = Form("tiny", REQUEST, "Balanced", has_new_seed=False)
    data = DataRecord(Path("data"), None, None, 3, "ab" * 32, CtOptions())
    comparison = {"checkpoint": dump(REF), "fast": [1.5], "exact": [1.4]}
    made = {
        "tiny_01234567.result.json": mutate_json(rng, dump(kept)),
        FORM: mutate_json(rng, dump(form)),
        f"x{SUFFIX}": mutate_json(rng, dump(RECORD)),
        f"x{COMPARISON}": mutate_json(rng, comparison),
        DATA_RECORD: mutate_json(rng, dump(data)),
    }
    return dict([rng.choice(list(made.items()))])


def _read_records(made: Written, folder: Path) -> None:
    place = fresh(folder / "left", made)
    PICTURE.save(place / "a.png")
    for path in list_results(place, "tiny"):
        load_result(path)
    read_form(place)
    find_comparison(place, REF)
    board = read_board(place, ())
    label_entries(board.entries)
    for entry in board.entries:
        age(entry.record.created)
        write_record(entry.record, folder / "written")
    read_record(place)


def _log(rng: random.Random) -> bytes:
    lines = [{"step": step, "time": 1.5, "loss": 0.5, "learning_rate": 1e-4} for step in (2, 4, 6)]
    text = b"\n".join(mutate_json(rng, line) if rng.random() < 0.4 else json.dumps(line).encode() for line in lines)
    return mutate_bytes(rng, text) if rng.random() < 0.3 else text + b"\n"


def _read_log(data: bytes, folder: Path) -> None:
    run = fresh(folder / "run", {f"stage/{LOG}": data})
    for stage in read_history(run):
        stage.series()
    export_history(run, folder / "thinned")
    cut_log(run / "stage" / LOG, 4)
    assert all(stage.last_step <= 4 for stage in read_history(run))
