"""A set is the same however it was made: at once, in shards, or by processes that were killed; and others load it.

The kills are real: SIGKILL, before operations on files that an audit hook counts.
"""

import hashlib
import io
import json
import tracemalloc
from pathlib import Path

import pytest
from PIL import Image as PILImage

from tests.sets.conftest import CT_DATA
from tests.test_kills import run
from xray_generator.checkpoints import read_manifest, seal
from xray_generator.data.class_folders import read_class_folders
from xray_generator.data.read import read_dataset
from xray_generator.data.rows import Row
from xray_generator.data.tables import read_table
from xray_generator.export.recipe import read_recipe
from xray_generator.images import resize_square
from xray_generator.registry import load_engine
from xray_generator.sets.gate import COPY, Judge, Verdict, open_judge
from xray_generator.sets.plan import Gate, Series, read_plan
from xray_generator.sets.shards import Shard
from xray_generator.sets.writing import CHUNK, fill, read_made
from xray_generator.synthesize import main

FORMATS = ("--formats", "parquet", "webdataset")
NUM_IMAGES = 20  # more than are judged together


@pytest.fixture
def plan(ct_studio: Path, tmp_path: Path) -> Path:
    """Twenty images of two classes, marked and not refused: an untrained model draws no class."""
    path = tmp_path / "plan.json"
    cells = [{"label": "benign", "count": 8, "real": 3}, {"label": "normal", "count": NUM_IMAGES - 8}]
    gate = {"agrees": "require", "is_no_copy": "mark", "attempts": 2}
    content = {"name": "made", "checkpoint": "tiny_ct", "cells": cells, "gate": gate, "steps": 2}
    path.write_text(json.dumps(content))
    return path


def synthesize(plan: Path, folder: Path, *more: str) -> int:
    return main([str(plan), *more, "--real", str(CT_DATA), *FORMATS, "--output_dir", str(folder)])


def files(folder: Path) -> dict[str, bytes]:
    """Every file of a set, hidden ones among them."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def images(folder: Path) -> list[Path]:
    return sorted([*folder.glob("images/*/*/*.png"), *folder.glob("left_out/*.png")])


def test_a_set_is_the_same_after_three_kills_and_in_four_shards(plan: Path, tmp_path: Path) -> None:
    straight, killed, shared = (tmp_path / name for name in ("straight", "killed", "shared"))
    count = run(lambda: synthesize(plan, straight), straight)
    expected = files(straight)
    assert count > 2 * NUM_IMAGES and "manifest.json" in expected and len(images(straight)) == NUM_IMAGES
    numbers = [0]
    for share in (4, 4, 3):
        assert run(lambda: synthesize(plan, killed), killed, kill_at=count // share) == 0
        numbers.append(len(images(killed)))
    assert numbers == sorted(numbers) and 0 < numbers[1] < NUM_IMAGES
    assert "manifest.json" not in files(killed)
    assert synthesize(plan, killed) == 0
    assert files(killed) == expected
    for shard in ("3/4", "1/4", "4/4", "2/4"):
        assert "manifest.json" not in files(shared)
        assert synthesize(plan, shared, "--shard", shard) == 0
    assert files(shared) == expected


def test_a_set_says_what_it_holds_and_what_it_took(
    plan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "set"
    assert synthesize(plan, folder, "--estimate") == 0
    assert "20 images to draw" in capsys.readouterr().err and not folder.exists()
    assert synthesize(plan, folder) == 0
    out, err = capsys.readouterr()
    told, manifest = json.loads(out.splitlines()[-1]), json.loads((folder / "manifest.json").read_bytes())
    assert "20 of 20 images" in err
    assert seal(manifest) == manifest
    assert manifest["files"].keys() == files(folder).keys() - {"manifest.json", *_names(folder)}
    for name, digest in manifest["files"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    lines = read_table(folder / "labels.csv", ("file_name", "sha256"))
    assert len(lines) == told["images"] == manifest["images"] == NUM_IMAGES - manifest["left_out"]
    assert {line["file_name"] for line in lines} == {name for name in _names(folder) if name.startswith("images")}
    draws, refused = 0, 0
    for path in images(folder):
        data = path.read_bytes()
        made = read_made(data)
        draws, refused = draws + len(made.verdicts), refused + sum(not verdict.agrees for verdict in made.verdicts)
        assert read_recipe(data).request.condition.label in ("benign", "normal")
        assert made.verdicts[-1].agrees == (path.parent.name != "left_out") and made.index == int(path.stem)
    assert manifest["draws"] == draws and sum(manifest["refused"].values()) == refused
    for line in lines:
        assert hashlib.sha256((folder / line["file_name"]).read_bytes()).hexdigest() == line["sha256"]
        assert Path(line["file_name"]).parts[1:3] == (line["split"], line["label"])
    assert manifest["yardsticks"]["num_training"] == 32 and manifest["marked_as_copies"] is not None
    card = (folder / "README.md").read_text()
    assert "Synthetic" in card and "| benign | 8 |" in card and "looks like" in card
    found = read_class_folders(folder / "images")
    assert {row.label for row in found.rows} <= {"benign", "normal"}


def _names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in images(folder)}


def test_datasets_webdataset_and_mlcroissant_load_a_set(plan: Path, tmp_path: Path) -> None:
    import datasets
    import mlcroissant
    import webdataset
    from pyarrow import parquet

    folder = tmp_path / "set"
    assert synthesize(plan, folder, "gate.agrees=mark") == 0
    lines = {Path(line["file_name"]).stem: line for line in read_table(folder / "labels.csv", ("file_name",))}
    assert len(lines) == NUM_IMAGES
    tars = {kind: str(folder / "webdataset" / f"{kind}-*.tar") for kind in ("train", "test")}
    loads = {
        "card": {"path": str(folder)},
        "folders": {"path": "imagefolder", "data_dir": str(folder / "images")},
        "tars": {"path": "webdataset", "data_files": {**tars, "validation": str(folder / "webdataset" / "val-*.tar")}},
    }
    for name, options in loads.items():
        loaded = datasets.load_dataset(**options, cache_dir=str(tmp_path / name))
        rows = [row for split in loaded.values() for row in split]
        assert len(rows) == NUM_IMAGES and set(loaded) == {"train", "validation", "test"}
        assert {row["png" if name == "tars" else "image"].size for row in rows} == {(32, 32)}
        facts = [row["json"] if name == "tars" else row for row in rows]
        assert {one["sha256"] for one in facts} == {line["sha256"] for line in lines.values()}
    (part,) = folder.glob("parquet/train-*.parquet")
    assert parquet.ParquetFile(part).metadata.row_group(0).num_rows <= 100
    (tar,) = folder.glob("webdataset/train-*.tar")
    samples = list(webdataset.WebDataset(str(tar), shardshuffle=False).decode("pil").to_tuple("png", "json", "cls"))
    assert [facts["split"] for _, facts, _ in samples] == ["train"] * len(samples)
    assert {(facts["label"], place) for _, facts, place in samples} == {("benign", 0), ("normal", 1)}
    metadata = mlcroissant.Dataset(folder / "croissant.json")
    assert not metadata.metadata.ctx.issues.errors
    assert [row["labels/sha256"].decode() for row in metadata.records("labels")] == [
        one["sha256"] for one in lines.values()
    ]
    assert {row["images/image"].size for row in metadata.records("images")} == {(32, 32)}
    assert main([str(plan), "gate.agrees=mark", "--finish", "--output_dir", str(folder)]) == 0
    assert not (folder / "parquet").exists() and not (folder / "webdataset").exists()
    assert datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "again"))["train"][0]["image"].size == (32, 32)


def test_another_plan_or_an_incomplete_set_is_refused(
    plan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "set"
    assert synthesize(plan, folder, "--shard", "1/20") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["complete"] is False
    unfinished = folder / ".00000007.png.12-34"  # that another process is writing
    unfinished.touch()
    for more, words in (
        (("seed=9",), "holds a set of another plan"),
        (("--finish",), "is not made yet"),
        (("--finish", "seed=9"), "holds a set of another plan"),
        (("size=48",), "draws images of 32"),
    ):
        assert synthesize(plan, folder, *more) == 1
        assert words in capsys.readouterr().err
    assert unfinished.is_file()
    assert main([str(plan), "--output_dir", str(tmp_path / "other"), "gate.is_no_copy=require"]) == 1
    assert "--real DATASET" in capsys.readouterr().err


def test_the_judge_tells_a_copy_and_a_class(ct_studio: Path) -> None:
    manifest = read_manifest(ct_studio / "checkpoints" / "flow_matching" / "tiny_ct")
    rows = read_dataset(CT_DATA).rows
    places = {"encoders": ct_studio / "encoders", "cache": ct_studio / "cache", "real": CT_DATA, "device": "cpu"}
    judge = open_judge(Gate(), manifest, 128, **places)
    pictures = {split: [resize_square(r.image(), 128) for r in rows if r.split == split] for split in ("train", "val")}
    asked = Row(Path(), "", (), label="normal")
    copies = judge(pictures["train"][:6], [asked] * 6)
    assert all(verdict.is_copy for verdict in copies)
    unseen = judge(pictures["val"], [asked] * len(pictures["val"]))
    assert sum(verdict.is_copy for verdict in unseen) <= 1
    seen = {reason for verdict in copies for reason in verdict.disagreements}
    assert seen <= {"looks like benign", "looks like malignant"}
    assert judge(pictures["train"][:1], [asked])[0].copy_score == copies[0].copy_score
    refused = Verdict(("looks like benign",), 9.0, True)
    assert refused.reasons(Gate()) == ("looks like benign", COPY)
    assert refused.reasons(Gate("mark", "off")) == ()


def test_memory_stays_flat(ct_studio: Path, tmp_path: Path) -> None:
    folder = ct_studio / "checkpoints" / "flow_matching" / "tiny_ct"
    engine, peaks = load_engine("flow_matching", folder, "cpu"), []
    for count in (2 * CHUNK, 8 * CHUNK):
        cells = [{"label": "normal", "count": count}]
        gate = {"agrees": "off", "is_no_copy": "off"}
        path = tmp_path / f"{count}.json"
        path.write_text(json.dumps({"name": "flat", "checkpoint": "tiny_ct", "cells": cells, "gate": gate, "steps": 1}))
        series = Series(read_plan(path), read_manifest(folder))
        tracemalloc.start()
        *_, progress = fill(engine, series, Shard(), Judge(), tmp_path / str(count))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert progress.done == count == len(images(tmp_path / str(count)))
    assert peaks[1] < 1.2 * peaks[0]


def test_prompts_of_a_table_become_a_set(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUTPUT_DIR", str(tiny_checkpoint))
    table, folder = tmp_path / "prompts.csv", tmp_path / "set"
    table.write_text('prompt,count\n"PA chest X-ray of a 60-year-old man with cardiomegaly",2\nNormal chest X-ray,1\n')
    gates = ("gate.agrees=off", "gate.is_no_copy=off", "steps=1")
    assert main([str(table), "checkpoint=tiny", *gates, "--output_dir", str(folder)]) == 0
    lines = read_table(folder / "labels.csv", ("label",))
    assert [line["label"] for line in lines] == ["cardiomegaly", "cardiomegaly", "no_finding"]
    assert (lines[0]["age"], lines[0]["sex"], lines[0]["view"], lines[0]["is_copy"]) == ("60", "M", "PA", "")
    first = PILImage.open(io.BytesIO((folder / lines[0]["file_name"]).read_bytes()))
    assert first.size == (64, 64)
    assert "not measured" in (folder / "README.md").read_text()
