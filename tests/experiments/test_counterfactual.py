"""Edits scored by the classifier that ships: what prompts ask for, and its probabilities on real films."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest

from xray_generator.data.read import read_dataset
from xray_generator.experiments.counterfactual import (
    OTHERS,
    Change,
    Classifier,
    RepeatedEdit,
    Verdict,
    edit_many,
    edit_once,
    effects_csv,
    find_classifier,
    requested_changes,
    score_edits,
    verdict_csv,
)
from xray_generator.generation import EditResult
from xray_generator.images import resize_square
from xray_generator.studio import Studio
from xray_generator.types import CheckpointRef, Edit, GenerationRequest, GenerationResult, Image, TextPrompt

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
    ("source", "target", "requested"),
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
def test_prompts_tell_which_labels_are_to_change(source: str, target: str, requested: dict[str, int]) -> None:
    assert requested_changes(source, target) == requested


def test_only_labels_recognized_on_both_unseen_splits_are_scored(classifier: Classifier, films: list[Image]) -> None:
    verdict = classifier.score(films[0], films[12], {"AP": 1, "covid19": 1, "nodule": 1})
    worst = {
        name: min(classifier.quality[split][name].auroc or 0 for split in ("val", "test"))
        for name in classifier.encoder.labels
    }
    assert {change.label for change in verdict.changes} == {name for name, auroc in worst.items() if auroc >= 0.75}
    assert set(verdict.unscored) == {"covid19", "nodule"}
    assert "AUROC" in verdict.unscored["nodule"] and "not labeled well enough" in verdict.unscored["covid19"]
    assert verdict.changes[0].label == "AP"  # requested ones come first
    sizes = [abs(change.change) for change in verdict.others]
    assert sizes == sorted(sizes, reverse=True)


def test_an_unchanged_film_changes_nothing(classifier: Classifier, films: list[Image]) -> None:
    verdict = classifier.score(films[0], films[0], {"AP": 1})
    assert verdict.mean_other_change == 0
    assert [change.change for change in verdict.requested] == [0]


def test_probabilities_are_those_of_the_encoder(classifier: Classifier, films: list[Image]) -> None:
    verdict = classifier.score(films[0], films[12], {})
    expected = classifier.encoder.probabilities(np.stack([films[0], films[12]]))
    for change in verdict.changes:
        place = classifier.encoder.labels.index(change.label)
        np.testing.assert_allclose([change.before, change.after], expected[:, place], rtol=1e-5)


def test_many_patients_show_the_view_in_which_real_films_differ(films: list[Image]) -> None:
    edit = Edit(WITHOUT.replace("PA", "AP"), source_prompt=WITHOUT)
    edits = tuple(made(before, after) for before, after in zip(films[:12], films[12:], strict=True))
    found = RepeatedEdit(edits, score_edits(edits, edit, ENCODERS, "cpu"))
    first, *_, last = found.effects
    assert (first.label, first.requested, first.n) == ("AP", 1, 12)
    assert first.mean > 0.8  # the encoder recognizes the views of unseen films nearly always
    assert first.interval is not None and first.interval[0] <= first.mean <= first.interval[1]
    assert last.label == OTHERS and 0 < last.mean < first.mean
    lines = list(csv.DictReader(io.StringIO(effects_csv(found))))
    assert lines[0]["label"] == "AP view" and float(lines[0]["mean_change"]) == pytest.approx(first.mean, abs=1e-6)


def test_an_edit_of_many_patients_is_that_of_each_one(tiny_checkpoint: Path, tmp_path: Path) -> None:
    engine, steps = Studio(tiny_checkpoint, "cpu").engine(), []
    request = GenerationRequest(TextPrompt(WITHOUT), height=64, width=64, seed=5)
    edit = Edit(WITH, source_prompt=WITHOUT)
    many = edit_many(engine, request, edit, 2, tmp_path, lambda step, total, _: steps.append((step, total)))
    assert steps == [(i, len(steps)) for i in range(1, len(steps) + 1)] and len(steps) % 2 == 0
    assert [result.after.request.seed for result in many.edits] == [5, 6]
    one = edit_once(engine, None, many.edits[1].after.request, edit, tmp_path)
    np.testing.assert_array_equal(one.edit.after.images[0], many.edits[1].after.images[0])
    for verdict in (one.verdict, *many.verdicts):  # there is no classifier in this folder
        assert "no reference classifier" in verdict.reason
        assert verdict.changes == () and verdict.mean_other_change is None


def test_under_ten_patients_have_no_interval() -> None:
    verdict = Verdict("classifier", (Change("AP", 0.1, 0.5, 1), Change("M", 0.5, 0.4)))
    effects = RepeatedEdit((), (verdict,) * 4).effects
    assert [(e.label, e.interval, e.n) for e in effects] == [("AP", None, 4), ("M", None, 4), (OTHERS, None, 4)]
    np.testing.assert_allclose([e.mean for e in effects], [0.4, -0.1, 0.1])


def test_the_csv_has_a_line_for_each_label() -> None:
    verdict = Verdict("classifier@1", (Change("cardiomegaly", 0.1, 0.6, 1), Change("M", 0.5, 0.4)))
    lines = list(csv.DictReader(io.StringIO(verdict_csv(verdict))))
    assert [(line["label"], line["asked"]) for line in lines] == [("Cardiomegaly", "more"), ("Male", "no change")]
    assert [float(line["change"]) for line in lines] == pytest.approx([0.5, -0.1])
    assert {line["classifier"] for line in lines} == {"classifier@1"}
