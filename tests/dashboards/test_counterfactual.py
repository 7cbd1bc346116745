"""What a classifier makes of an edit: asked of the prompts' words, judged by the encoder that ships on real films."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest

from xray_generator.dashboards.counterfactual import Change, Classifier, Verdict, asked_changes, find_classifier
from xray_generator.dashboards.edit_runs import OTHERS, Counterfactual, Repeated, edit_many, edit_once, effects_csv
from xray_generator.dashboards.edit_runs import verdict_csv as to_csv
from xray_generator.data.read import read_dataset
from xray_generator.generation import EditResult
from xray_generator.images import resize_square
from xray_generator.types import CheckpointRef, Edit, GenerationRequest, GenerationResult, Image, OnStep, TextPrompt

ENCODERS = Path(__file__).parents[2] / "outputs" / "encoders"
WITHOUT = "Normal PA chest X-ray of a 58-year-old woman"
WITH = "PA chest X-ray of a 58-year-old woman with cardiomegaly"
REQUEST = GenerationRequest(TextPrompt(WITHOUT), seed=5)


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    found = find_classifier(ENCODERS, "cpu")
    assert found is not None
    return found


@pytest.fixture(scope="module")
def films(dataset_folder: Path) -> list[Image]:
    """Twelve unseen PA films and twelve AP ones."""
    rows = [row for row in read_dataset(dataset_folder).rows if row.split != "train"]
    views = [[row for row in rows if row.view[:2] == view][:12] for view in ("PA", "AP")]
    assert [len(some) for some in views] == [12, 12]
    return [resize_square(row.image(), 128) for some in views for row in some]


def made(before: Image, after: Image, request: GenerationRequest = REQUEST) -> EditResult:
    result = GenerationResult((after,), request, CheckpointRef("latent_diffusion", "x", "0"), (1.0,))
    return EditResult(before, result)


@pytest.mark.parametrize(
    ("source", "target", "asked"),
    [
        (WITHOUT, WITH, {"cardiomegaly": 1, "no_finding": -1}),
        (WITH, WITHOUT, {"cardiomegaly": -1, "no_finding": 1}),
        (WITH, WITH.replace("with ", "without "), {"cardiomegaly": -1}),
        ("", WITH, {"cardiomegaly": 1}),
        (WITH, WITH, {}),
        (WITH, WITH.replace("PA", "AP").replace("woman", "man"), {"AP": 1, "M": 1}),
        (WITH, WITH.replace("58", "70"), {"adult": -1, "older_adult": 1}),
        (WITH, "Chest X-ray with cardiomegaly", {}),  # what is left open stays
    ],
)
def test_the_words_say_what_is_asked(source: str, target: str, asked: dict[str, int]) -> None:
    assert asked_changes(source, target) == asked


def test_only_labels_that_the_classifier_tells_on_both_unseen_splits_are_judged(
    classifier: Classifier, films: list[Image]
) -> None:
    verdict = classifier.verdict(films[0], films[12], {"AP": 1, "covid19": 1, "nodule": 1})
    worst = {
        name: min(classifier.quality[split][name].auroc or 0 for split in ("val", "test"))
        for name in classifier.encoder.labels
    }
    assert {change.label for change in verdict.changes} == {name for name, auroc in worst.items() if auroc >= 0.75}
    assert set(verdict.unjudged) == {"covid19", "nodule"}
    assert "AUROC" in verdict.unjudged["nodule"] and "cannot teach" in verdict.unjudged["covid19"]
    assert verdict.changes[0].label == "AP"  # what was asked for comes first
    sizes = [abs(change.change) for change in verdict.kept]
    assert sizes == sorted(sizes, reverse=True)


def test_an_unchanged_film_changes_nothing(classifier: Classifier, films: list[Image]) -> None:
    verdict = classifier.verdict(films[0], films[0], {"AP": 1})
    assert verdict.others == 0
    assert [change.change for change in verdict.asked] == [0]


def test_probabilities_are_those_of_the_encoder(classifier: Classifier, films: list[Image]) -> None:
    verdict = classifier.verdict(films[0], films[12], {})
    expected = classifier.encoder.probabilities(np.stack([films[0], films[12]]))
    for change in verdict.changes:
        place = classifier.encoder.labels.index(change.label)
        np.testing.assert_allclose([change.before, change.after], expected[:, place], rtol=1e-5)


def test_many_patients_show_the_view_that_real_films_differ_in(films: list[Image]) -> None:
    steps = []

    def draw(request: GenerationRequest, on_step: OnStep) -> EditResult:
        for step in (1, 2):
            on_step(step, 2, lambda: films[0])
        place = request.seed - REQUEST.seed
        return made(films[place], films[12 + place], request)

    def on_step(step: int, total: int, preview: object) -> None:
        steps.append((step, total))

    edit = Edit(WITHOUT.replace("PA", "AP"), source_prompt=WITHOUT)
    found = edit_many(draw, REQUEST, edit, 12, ENCODERS, "cpu", on_step)
    assert steps == [(i, 24) for i in range(1, 25)]
    first, *_, last = found.effects
    assert (first.label, first.asked, first.n) == ("AP", 1, 12)
    assert first.mean > 0.8  # the encoder tells the views of unseen films nearly always
    assert first.interval is not None and first.interval[0] <= first.mean <= first.interval[1]
    assert last.label == OTHERS and 0 < last.mean < first.mean
    lines = list(csv.DictReader(io.StringIO(effects_csv(found))))
    assert lines[0]["label"] == "AP view" and float(lines[0]["mean_change"]) == pytest.approx(first.mean, abs=1e-6)


def test_under_ten_patients_have_no_interval() -> None:
    verdict = Verdict("classifier", (Change("AP", 0.1, 0.5, 1), Change("M", 0.5, 0.4)))
    effects = Repeated((), (verdict,) * 4).effects
    assert [(e.label, e.interval, e.n) for e in effects] == [("AP", None, 4), ("M", None, 4), (OTHERS, None, 4)]
    np.testing.assert_allclose([e.mean for e in effects], [0.4, -0.1, 0.1])


def test_without_an_encoder_it_is_not_judged_and_says_why(tmp_path: Path) -> None:
    image = np.zeros((32, 32), np.float32)
    found = edit_once(lambda *_: made(image, image), REQUEST, Edit(WITH), tmp_path, "cpu", lambda *_: None)
    assert isinstance(found, Counterfactual)
    assert "no reference encoder" in found.verdict.reason
    assert found.verdict.changes == () and found.verdict.others is None


def test_the_csv_has_a_line_for_each_label() -> None:
    verdict = Verdict("classifier@1", (Change("cardiomegaly", 0.1, 0.6, 1), Change("M", 0.5, 0.4)))
    lines = list(csv.DictReader(io.StringIO(to_csv(verdict))))
    assert [(line["label"], line["asked"]) for line in lines] == [("Cardiomegaly", "more"), ("Male", "no change")]
    assert [float(line["change"]) for line in lines] == pytest.approx([0.5, -0.1])
    assert {line["classifier"] for line in lines} == {"classifier@1"}
