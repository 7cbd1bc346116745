"""Blind studies: which images they show, and that nothing but the pixels tells what one is."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

from tests.experiments.readers import PERSON, make, specimens
from xray_generator import images
from xray_generator.checkpoints import Manifest, find_checkpoint, read_manifest
from xray_generator.data.read import read_dataset
from xray_generator.data.rows import Row
from xray_generator.experiments.reader_study import (
    MIN_EACH,
    delete_study,
    draw_study,
    encode_blind,
    keep_study,
    list_real,
    list_samples,
    list_studies,
    match_rows,
    read_blind,
    read_study,
    study_of_samples,
)
from xray_generator.export.recipe import Recipe, encode_png
from xray_generator.images import read_image, to_uint8
from xray_generator.registry import load_engine
from xray_generator.types import Canceled, CheckpointRef, GenerationRequest, Preview, StudioError, TextPrompt


@pytest.fixture(scope="module")
def manifest(tiny_checkpoint: Path) -> Manifest:
    return read_manifest(find_checkpoint(tiny_checkpoint / "checkpoints"))


@pytest.fixture(scope="module")
def films(dataset_folder: Path) -> tuple[Row, ...]:
    return read_dataset(dataset_folder).rows


def chunks(png: bytes) -> list[bytes]:
    """The kinds of a PNG's parts."""
    found, place = [], 8
    while place < len(png):
        found.append(png[place + 4 : place + 8])
        place += 12 + int.from_bytes(png[place : place + 4])
    return found


def test_images_are_alike_as_files_and_hold_their_pixels_alone(tmp_path: Path, manifest: Manifest) -> None:
    study = make(tmp_path, manifest)
    pngs = [read_blind(tmp_path, study, place) for place in range(len(study.items))]
    assert len({len(png) for png in pngs}) == 1
    assert len({len(images.encode_png(read_image(png))) for png in pngs}) > 1  # flat and noisy: compression tells
    assert all(set(chunks(png)) == {b"IHDR", b"IDAT", b"IEND"} for png in pngs)
    for png in pngs:
        with PILImage.open(io.BytesIO(png)) as picture:
            assert (picture.mode, picture.size, picture.info) == ("L", (64, 64), {})
    known = {encode_blind(one.image): one.item for one in specimens(64)}
    assert [known[png] for png in pngs] == list(study.items)
    files = sorted(path.name for path in (tmp_path / study.id).glob("*.png"))
    assert files == [f"{place:03}.png" for place in range(len(pngs))]


def test_the_order_is_drawn_by_lot_and_is_another_for_each_reader(tmp_path: Path, manifest: Manifest) -> None:
    study, again, other = (make(tmp_path, manifest, seed) for seed in (1, 1, 2))
    kinds = [item.is_generated for item in study.items]
    assert kinds not in (sorted(kinds), sorted(kinds, reverse=True))
    assert study.items == again.items and study.items != other.items and len({study.id, again.id, other.id}) == 3
    assert sorted(study.order("AB")) == list(range(len(kinds)))
    assert study.order("AB") == again.order("AB") != study.order("CD")


def test_studies_are_found_again_and_deleted(tmp_path: Path, manifest: Manifest) -> None:
    studies = [make(tmp_path, manifest, seed) for seed in range(2)]
    (tmp_path / "000000000000").mkdir()
    (tmp_path / "000000000000" / "study.json").write_text("{")
    assert list_studies(tmp_path) == tuple(reversed(studies)) and read_study(tmp_path, "../x") is None
    delete_study(tmp_path, studies[0])
    assert list_studies(tmp_path) == (studies[1],)
    with pytest.raises(StudioError, match="Image 1 of this study cannot be read"):
        read_blind(tmp_path, studies[0], 0)


def test_real_images_are_unseen_in_training_and_of_the_kind(manifest: Manifest, films: tuple[Row, ...]) -> None:
    found = list_real(manifest, films)
    assert found and {row.split for row in found} == {"val", "test"}
    assert not list_real(manifest, [replace(row, source="brain_mri") for row in films])
    small = [replace(row, native_size=32) for row in found[:MIN_EACH]]
    assert list_real(manifest, [*small, *found[MIN_EACH:]]) == found[MIN_EACH:]  # 64 pixels are drawn
    assert list_real(manifest, small) == tuple(small)  # better than none


def test_samples_are_raw_images_of_these_weights_at_their_size(tmp_path: Path, manifest: Manifest) -> None:
    image, request = np.zeros((64, 64), np.float32), GenerationRequest(TextPrompt("Normal chest X-ray"), 1, 64, 64)
    recipe = Recipe(request, manifest.ref)
    others = {
        "enhanced": replace(recipe, preset={"name": "x", "operations": []}),
        "enlarged": replace(recipe, upscaler=manifest.ref),
        "of_others": replace(recipe, checkpoint=CheckpointRef("latent_diffusion", "tiny", "0" * 64)),
        "large": replace(recipe, request=replace(request, height=128, width=128)),
    }
    for name, one in {"raw": recipe, **others}.items():
        (tmp_path / f"{name}.png").write_bytes(encode_png(image, one))
    (tmp_path / "no_recipe.png").write_bytes(encode_blind(image))
    (row,) = list_samples(tmp_path, manifest)
    assert (row.path.name, row.findings) == ("raw.png", ("no_finding",))


def test_pairs_are_of_one_condition_and_as_many_as_there_can_be() -> None:
    any_pa, edema = Row(Path("g1"), "", (), view="PA"), Row(Path("g2"), "", ("edema",), view="PA")
    real_edema, real_mass = Row(Path("r1"), "", ("edema",), view="PA"), Row(Path("r2"), "", ("mass",), view="PA")
    other = Row(Path("r3"), "", ("edema",), view="AP")
    assert match_rows((any_pa, edema), (other, real_edema, real_mass)) == ((any_pa, real_mass), (edema, real_edema))
    assert match_rows((edema,), (other,)) == match_rows((), (other,)) == match_rows((edema,), ()) == ()


def test_a_study_of_samples_shows_each_image_once(tmp_path: Path, manifest: Manifest, films: tuple[Row, ...]) -> None:
    folder, real = tmp_path / "samples", list_real(manifest, films)[:12]
    folder.mkdir()
    for seed, row in enumerate(real):
        request = GenerationRequest(TextPrompt(row.prompt), 1, 64, 64, seed=seed)
        image = np.full((64, 64), seed / 12, np.float32)
        (folder / f"{seed}.png").write_bytes(encode_png(image, Recipe(request, manifest.ref)))
    pairs = match_rows(list_samples(folder, manifest), real)
    assert len(pairs) == 12
    study = study_of_samples(manifest, pairs, 7, seed=3, owner=PERSON, root=tmp_path / "studies")
    assert sum(item.is_generated for item in study.items) == 7 and len(study.items) == 14
    assert len({read_blind(tmp_path / "studies", study, place) for place in range(14)}) == 14
    (folder / "0.png").unlink()
    gone = [pair for pair in pairs if pair[0].path.name == "0.png"]
    with pytest.raises(StudioError, match="5 images or more of each kind; 4 can be read"):
        study_of_samples(manifest, [*gone, *pairs[-4:]], 5, seed=3, owner=PERSON, root=tmp_path / "studies")
    assert list_studies(tmp_path / "studies") == (study,)


@pytest.mark.parametrize(("outputs", "data"), [("tiny_checkpoint", "."), ("tiny_ct_checkpoint", "lung_ct")])
def test_images_are_drawn_for_what_real_ones_show(
    outputs: str, data: str, request: pytest.FixtureRequest, dataset_folder: Path, tmp_path: Path
) -> None:
    folder = find_checkpoint(request.getfixturevalue(outputs) / "checkpoints")
    engine = load_engine(folder.parent.name, folder, "cpu")
    labels = engine.manifest.labels
    rows = [row for row in read_dataset(dataset_folder / data).rows if not labels or row.label in labels]
    steps: list[tuple[int, int, tuple[int, ...]]] = []

    def note(step: int, total: int, preview: Preview) -> None:
        steps.append((step, total, preview().shape))

    real = list_real(engine.manifest, rows)
    study = draw_study(engine, real, MIN_EACH, seed=1, owner=PERSON, root=tmp_path, on_step=note)
    side = engine.manifest.sizes[0]
    drawn = [place for place, item in enumerate(study.items) if item.is_generated]
    assert len(drawn) == MIN_EACH and study.size == side and study.checkpoint == engine.manifest.ref
    found = [read_image(read_blind(tmp_path, study, place)) for place in drawn]
    assert {image.shape for image in found} == {(side, side)}
    assert len({to_uint8(image).tobytes() for image in found}) == MIN_EACH
    assert {shape for _, _, shape in steps} == {(1, 1)}  # a preview would tell
    assert [step for step, _, _ in steps] == list(range(1, steps[0][1] + 1))
    if labels:
        generated, shown = ([i.conditions for i in study.items if i.is_generated is kind] for kind in (True, False))
        assert sorted(generated) == sorted(shown) and {name for names in generated for name in names} <= set(labels)

    def stop(*_: object) -> None:
        raise Canceled

    with pytest.raises(Canceled):
        draw_study(engine, real, MIN_EACH, seed=2, owner=PERSON, root=tmp_path, on_step=stop)
    with pytest.raises(StudioError, match="4 can be read"):
        draw_study(engine, real[:4], MIN_EACH, seed=2, owner=PERSON, root=tmp_path)
    assert list_studies(tmp_path) == (study,)


def test_images_of_one_kind_alone_are_no_study(tmp_path: Path, manifest: Manifest) -> None:
    generated = [one for one in specimens(64) if one.item.is_generated]
    with pytest.raises(StudioError, match="of each kind; 0 can be read"):
        keep_study(generated, manifest, seed=0, owner=PERSON, root=tmp_path)
