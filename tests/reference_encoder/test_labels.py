"""What is known of a film, and what its prompt leaves open."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from xray_generator.data.rows import Row
from xray_generator.reference_encoder.labels import (
    LABELS,
    class_places,
    labels_of,
    learnable_labels,
    patients,
    prompt_targets,
    targets,
)

NIH = Row(
    Path("a.png"),
    "PA chest X-ray of a 50-year-old woman with a lung nodule",
    ("nodule",),
    view="PA",
    sex="F",
    age_group="adult",
    patient_id="7",
    source="nih_chestxray14",
)
CHILD = Row(
    Path("b.png"),
    "Frontal chest X-ray of a young child with viral pneumonia",
    ("pneumonia", "viral_pneumonia"),
    view="AP",
    age_group="child",
    source="kermany_pediatric",
)
UNREAD = replace(NIH, prompt="PA chest X-ray of a woman", findings=())  # another reader contradicts its label
COVID = Row(Path("c.png"), "AP chest X-ray with COVID-19", ("covid19",), view="AP Supine", source="hannover_covid")


def known(row: Row, label: str) -> float:
    return float(targets([row], [label])[0, 0])


@pytest.mark.parametrize(
    ("row", "label", "value"),
    [
        (NIH, "nodule", 1),
        (NIH, "mass", 0),
        (NIH, "no_finding", 0),
        (NIH, "bacterial_pneumonia", None),
        (NIH, "covid19", None),
        (NIH, "AP", 0),
        (NIH, "M", 0),
        (NIH, "adult", 1),
        (NIH, "child", 0),
        (UNREAD, "mass", None),
        (UNREAD, "no_finding", None),
        (UNREAD, "AP", 0),
        (CHILD, "viral_pneumonia", 1),
        (CHILD, "bacterial_pneumonia", 0),
        (CHILD, "no_finding", 0),
        (CHILD, "pleural_effusion", None),
        (CHILD, "M", None),
        (CHILD, "AP", 1),
        (COVID, "covid19", 1),
        (COVID, "pneumonia", None),
        (COVID, "no_finding", None),
        (COVID, "AP", 1),
        (COVID, "adult", None),
        (replace(NIH, source=""), "mass", None),
        (replace(NIH, view="lateral"), "AP", None),
        (replace(NIH, source="", absent=("mass",)), "mass", 0),
    ],
)
def test_only_what_somebody_looked_for_is_known(row: Row, label: str, value: int | None) -> None:
    found = known(row, label)
    assert np.isnan(found) if value is None else found == value


def test_a_prompt_asks_only_for_what_its_words_say() -> None:
    labels = ("AP", "M", "child", "viral_pneumonia")
    assert np.isnan(prompt_targets([CHILD], labels)[0]).tolist() == [True, True, False, False]
    assert not np.isnan(prompt_targets([NIH], ("AP", "M", "adult"))).any()
    assert np.isnan(prompt_targets([replace(NIH, prompt="Chest X-ray, nodule")], ("AP", "M", "adult"))).all()
    for word in ("pediatric", "paediatric", "child"):
        assert prompt_targets([replace(CHILD, prompt=f"{word} chest X-ray")], ("child",))[0, 0] == 1
    assert prompt_targets([], labels).shape == (0, 4)


def test_a_label_that_no_image_is_known_to_lack_is_not_learned() -> None:
    rows = [NIH, replace(NIH, findings=("mass",)), COVID, COVID, CHILD, replace(CHILD, findings=("no_finding",))]
    assert "covid19" not in learnable_labels(rows, 1)  # else its opposite would be another hospital
    assert {"nodule", "mass", "viral_pneumonia", "AP"} <= set(learnable_labels(rows, 1))
    assert learnable_labels(rows, 7) == ()


def scan(label: str, source: str) -> Row:
    return Row(Path(f"{label}.png"), "", (), label=label, source=source)


CLASSES = ("adenocarcinoma", "benign", "malignant", "normal")
SCANS = (
    *(scan(label, "one") for label in CLASSES[1:]),
    scan("adenocarcinoma", "two"),
    scan("normal", "three"),
    scan("", "one"),
    scan("", "four"),
)


def test_a_class_is_known_to_be_absent_only_beside_others_of_its_source() -> None:
    assert labels_of(SCANS) == (*LABELS, *CLASSES) and labels_of([NIH]) == LABELS
    known = targets(SCANS, CLASSES)
    assert np.array_equal(known[:3, 1:], np.eye(3)) and np.isnan(known[:3, 0]).all()
    assert np.isnan(known[3:]).all(), "alone in its source, or of no class"
    assert np.array_equal(prompt_targets(SCANS, CLASSES), known, equal_nan=True)
    assert class_places(SCANS, CLASSES).tolist() == [1, 2, 3, -1, -1, -1, -1]
    assert class_places(SCANS, ()).tolist() == [-1] * 7


def test_a_class_that_fills_its_source_is_not_learned() -> None:
    assert learnable_labels(SCANS, 1) == CLASSES[1:]
    assert learnable_labels(SCANS * 5, 6) == ()


def test_a_class_named_as_a_finding_is_one_label() -> None:
    rows = [scan("pneumonia", "folders"), scan("normal", "folders")]
    assert labels_of(rows) == (*LABELS, "normal") and targets(rows, ("pneumonia",)).tolist() == [[1], [0]]


def test_without_a_patient_each_image_is_its_own() -> None:
    assert patients([NIH, CHILD]).tolist() == ["7", "b.png"]
