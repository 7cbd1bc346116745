"""The reference classifier trained by the command, on an engine that draws by class and on class folders."""

from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.textures import CLASSES, Loom, draw, every_class, write_pack
from xray_generator.checkpoints import read_manifest_of
from xray_generator.data.rows import Row
from xray_generator.evaluate import main as evaluate
from xray_generator.evaluation import suite
from xray_generator.evaluation.drawing import load_model
from xray_generator.evaluation.image_sets import ImageSet
from xray_generator.evaluation.inputs import Classes, read_real, spread
from xray_generator.evaluation.measures import MEASURES
from xray_generator.evaluation.records import read_record
from xray_generator.evaluation.study import NO_ENCODER, Study, find_classifiers
from xray_generator.images import encode_png
from xray_generator.reference_encoder.manifest import EncoderManifest
from xray_generator.reference_encoder.model import load_reference_encoder
from xray_generator.requests import make_request
from xray_generator.train_encoder import main as train_encoder
from xray_generator.types import ClassLabel, StudioError

COUNT = 48  # images of a class: 24, 12, 12


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pack(tmp_path_factory.mktemp("data") / "stripes", COUNT, np.random.default_rng(1))


@pytest.fixture(scope="module")
def outputs(pack: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An OUTPUT_DIR with an encoder of stripes."""
    folder = tmp_path_factory.mktemp("outputs")
    arguments = [
        "--dataset_path",
        str(pack),
        "--output_dir",
        str(folder),
        "--num_threads",
        "1",
        "name=stripes",
        "subject=woven stripes",
        "shape.image_size=48",
        "shape.channels=[16,32]",
        "shape.blocks=[1,1]",
        "shape.stem_channels=16",
        "training.num_steps=150",
        "training.batch_size=32",
        "training.warmup_steps=5",
        "training.checkpoint_every=150",
        "training.learning_rate=0.01",
        "min_cases=5",
    ]
    assert train_encoder(arguments) == 0
    return folder


def test_the_classifier_learns_the_classes_and_its_card_mentions_no_x_ray(outputs: Path) -> None:
    folder = outputs / "encoders" / "stripes"
    manifest = read_manifest_of(folder, EncoderManifest)
    assert manifest.labels == manifest.classes == tuple(sorted(CLASSES)) and manifest.subject == "woven stripes"
    quality = manifest.class_quality["test"]
    assert quality.n == COUNT // 4 * 8 and quality.accuracy > 0.9 and quality.interval is not None
    assert quality.recalls.keys() == set(CLASSES)
    assert load_reference_encoder(folder, "cpu").classes == manifest.classes
    card = (folder / "README.md").read_text()
    assert "woven stripes" in card and f"| test | {quality.n} | {quality.accuracy:.3f}" in card
    assert not any(word in card.lower() for word in ("x-ray", "film", "nih", "covid", "of 1 patients"))
    log = (outputs / "runs" / "stripes" / "encoder" / "log.jsonl").read_text()
    assert '"accuracy"' in log


def test_an_engine_that_draws_by_class_is_measured_by_class(outputs: Path, pack: Path, tmp_path: Path) -> None:
    real = read_real(pack, 48, "unseen", sharp_only=True)
    model = load_model(Loom(), make_request(ClassLabel(CLASSES[0]), seed=5, size=48), tmp_path / "drawn")
    classes = Classes(CLASSES[:6], unconditional=False)
    part, rows = classes.part(real), classes.rows(real.images.rows)
    generated = model.redraw(spread(rows, 120), {})
    classifiers = find_classifiers(part.images, outputs / "encoders", "cpu", pretrained=False)
    assert classifiers.encoder is not None and classifiers.encoder.name.startswith("stripes@") and not classifiers.notes
    study = Study(generated, part.images, part.split, 0, classifiers, tmp_path / "cache", part.training, model)
    steps = [
        step for step in suite.FULL if step.name in ("speed", "prompts", "similarity", "few real images", "utility")
    ]
    found = suite.run(study, steps)
    assert {m.measure for m in found.measurements} <= MEASURES.keys()
    values = {(m.measure, m.condition): m for m in found.measurements}
    whole = values["class_accuracy", ""]
    assert whole.value is not None and whole.value > 0.85 and whole.n == 120 and whole.real_n == 6 * 12
    assert values["class_accuracy", CLASSES[7]].value is None
    assert len(found.tables["class_confusion"]) == 16 and values["latency_ms", ""].value
    assert set(found.curves["few_real_images"].lines) == {"real alone", "both", "generated alone"}
    assert values["nearest_psnr", "to training images"].value and values["utility_ratio", CLASSES[0]].value


def test_real_images_of_other_classes_are_left_out_with_a_note(pack: Path) -> None:
    real = read_real(pack, 48, "unseen", sharp_only=True)
    part = Classes(CLASSES[:6], unconditional=True).part(real)
    assert {row.label for row in part.images.rows} == set(CLASSES[:6])
    assert len(part.images) == 6 * 24 and len(part.training) > 6 * 24  # any of them may have been copied
    (note,) = part.notes
    assert note.startswith("48 real images") and all(name in note for name in CLASSES[6:])
    assert Classes(CLASSES, unconditional=False).part(real) == real
    unlabeled = Row(Path("a"), "", ())
    assert Classes((), unconditional=True).knows(unlabeled) and not Classes(CLASSES, False).knows(unlabeled)
    with pytest.raises(StudioError, match="other classes"):
        Classes(("plaid",), unconditional=True).rows(real.images.rows)
    assert [row.label for row in Classes(CLASSES, True).rows(())] == list(CLASSES)


def test_half_of_the_real_images_meet_a_condition(pack: Path) -> None:
    name, per_class = CLASSES[0], COUNT // 2
    real = read_real(pack, 48, "unseen", sharp_only=True, condition=name)
    labels = [row.label for row in real.images.rows]
    assert labels.count(name) == per_class and len(labels) == 2 * per_class and set(labels) == set(CLASSES)
    with pytest.raises(StudioError, match=f"None of the real images meet 'plaid'. Known of them: .*{name}"):
        read_real(pack, 48, "unseen", sharp_only=True, condition="plaid")
    with pytest.raises(StudioError, match="a folder of images alone"):
        read_real(pack / "images", 48, "unseen", sharp_only=True, condition=name)


def test_a_classifier_of_stripes_is_not_used_on_x_rays(outputs: Path, real: ImageSet) -> None:
    classifiers = find_classifiers(real, outputs / "encoders", "cpu", pretrained=False)
    assert classifiers.encoder is None and classifiers.notes == (NO_ENCODER,)


@pytest.mark.slow
def test_class_folders_from_any_source_are_measured_by_class(
    outputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUTPUT_DIR", str(outputs))
    rng = np.random.default_rng(4)
    pack = write_pack(tmp_path / "real", 16, rng, CLASSES[:3])  # the audit compares all pairs, in four turns
    made = tmp_path / "made"
    for i, label in enumerate(every_class(12, CLASSES[:3])):
        (made / label).mkdir(parents=True, exist_ok=True)
        (made / label / f"{label}_{i}.png").write_bytes(encode_png(draw(label, rng)))
    (made / "sheet.png").write_bytes(encode_png(draw(CLASSES[0], rng)))
    arguments = ["--generated", str(made), "--real", str(pack), "--size", "48", "--device", "cpu", "--num_threads", "1"]
    assert evaluate([*arguments, "--output_dir", str(tmp_path / "metrics")]) == 0
    (record,) = map(read_record, (tmp_path / "metrics").glob("*.record.json"))
    found = record.get("class_accuracy")
    assert found and found.value is not None and found.value > 0.85 and found.n == 36
    assert any("no class folder" in note and "sheet.png" in note for note in record.notes)
    text = (tmp_path / "metrics" / record.name / "model_summary.md").read_text()
    assert "Class fidelity" in text and "Confusion matrix of the classifier" in text
