"""Findings of report text: negation, doubt, sections and abbreviations."""

import pytest

from xray_generator.data.report import clean_text, expand_abbreviations, read_findings, split_sections
from xray_generator.data.rows import FINDINGS


@pytest.mark.parametrize(
    ("text", "present", "absent"),
    [
        ("no pneumothorax", "", "pneumothorax"),
        ("No pleural effusion or pneumothorax. Mild cardiomegaly.", "cardiomegaly", "pleural_effusion pneumothorax"),
        ("No pneumothorax, mild cardiomegaly.", "cardiomegaly", "pneumothorax"),
        ("No focal consolidation, large effusion, or edema.", "", "consolidation edema pleural_effusion"),
        ("Cardiomegaly without effusion.", "cardiomegaly", "pleural_effusion"),
        ("Effusion has resolved, but a 1.5 cm nodule persists.", "nodule", "pleural_effusion"),
        ("Pneumothorax is not seen.", "", "pneumothorax"),
        ("Effusion, consolidation or edema is not identified.", "", "consolidation edema pleural_effusion"),
        ("No interval change in cardiomegaly.", "cardiomegaly", ""),
        ("Possible pneumonia.", "", ""),
        ("Opacity may represent atelectasis.", "airspace_opacity", ""),
        ("Pneumothorax is possible. Consolidation versus mass.", "", ""),
        ("Cannot exclude a small effusion.", "", ""),
        ("Pneumothorax cannot be excluded.", "", ""),
        ("No findings suggestive of pneumonia.", "no_finding", "pneumonia"),
        ("Likely atelectasis, no effusion.", "", "pleural_effusion"),
        ("No effusion. Small effusion on the left.", "pleural_effusion", ""),
        ("No PTX. RLL PNA.", "pneumonia", "pneumothorax"),
        ("The heart is mildly enlarged.", "cardiomegaly", ""),
        ("Heart size is normal. No acute cardiopulmonary abnormality.", "no_finding", "cardiomegaly"),
        ("Lungs are clear.", "no_finding", "consolidation airspace_opacity"),
        ("Pericardial effusion. Subcutaneous emphysema. Mass effect.", "", ""),
        ("Viral pneumonia", "pneumonia viral_pneumonia", ""),
        ("Endotracheal tube has been removed.", "", "support_devices"),
        ("INDICATION: rule out edema. FINDINGS: No mass. IMPRESSION: Hernia.", "hernia", "mass"),
        ("HISTORY: Pneumonia. IMPRESSION: No mass.", "", "mass"),
        ("", "", ""),
    ],
)
def test_findings(text: str, present: str, absent: str) -> None:
    found = read_findings(text)
    assert found.present == tuple(present.split())
    assert found.absent == tuple(absent.split())


@pytest.mark.parametrize("finding", [name for name in FINDINGS if name != "no_finding"])
def test_every_finding_can_be_stated_and_denied(finding: str) -> None:
    name = {"covid19": "COVID-19", "support_devices": "pacemaker"}.get(finding, finding.replace("_", " "))
    assert finding in read_findings(f"There is {name}.").present
    assert finding in read_findings(f"There is no {name}.").absent


def test_sections() -> None:
    parts = split_sections("Frontal view.\nINDICATION: cough\nFINDINGS: Clear.\n\nIMPRESSION: Normal chest.")
    assert (parts.rest, parts.findings, parts.impression) == ("Frontal view.", "Clear.", "Normal chest.")


def test_abbreviations_keep_other_words() -> None:
    assert expand_abbreviations("PTX w/o ettore") == "pneumothorax without ettore"


def test_deidentification_marks_are_dropped() -> None:
    assert clean_text("XXXX XXXX. Heart size normal , XXXX.  No change XXXX XXXX.") == "Heart size normal, No change."
