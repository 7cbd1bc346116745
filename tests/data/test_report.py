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


SENTENCES = [  # text, present, absent; as radiologists write them
    # lists
    ("Pleural effusion: none. Pneumothorax: none. Mass: absent.", "", "pleural_effusion mass pneumothorax"),
    ("FINDINGS: Effusion: none. Nodule: none. IMPRESSION: Normal chest.", "no_finding", "pleural_effusion nodule"),
    ("FINDINGS: Effusion: none. IMPRESSION: Normal.", "no_finding", "pleural_effusion"),
    ("Effusion: none\r\nPneumothorax: No\r\nImpression: Normal chest", "no_finding", "pleural_effusion pneumothorax"),
    ("Impression:\nNo acute disease\nEffusion: none\nMass: none", "no_finding", "pleural_effusion mass"),
    ("Lungs: Clear. Pleura: No effusion or mass. Heart: Normal.", "no_finding", "pleural_effusion mass"),
    ("Effusion: No", "", "pleural_effusion"),
    ("Pneumothorax - none", "", "pneumothorax"),
    ("Pneumothorax: negative.", "", "pneumothorax"),
    ("Consolidation: not seen", "", "consolidation"),
    ("Pneumothorax, effusion: none.", "", "pleural_effusion pneumothorax"),
    ("Pneumothorax / effusion: none.", "", "pleural_effusion pneumothorax"),
    ("Nodule or pleural effusion: none.", "", "pleural_effusion nodule"),
    ("Effusion, pneumothorax: both absent.", "", "pleural_effusion pneumothorax"),
    ("Pleura: No effusion.", "", "pleural_effusion"),
    ("Pleura: no\neffusion.", "", "pleural_effusion"),
    ("Pleural effusion: -\nPneumothorax: -\nCardiomegaly: +", "cardiomegaly", "pleural_effusion pneumothorax"),
    ("Effusion (-), pneumothorax (-).", "", "pleural_effusion pneumothorax"),
    ("Pneumothorax: -ve. Effusion: +ve.", "pleural_effusion", "pneumothorax"),
    ("Pneumothorax = 0, effusion = 1", "pleural_effusion", "pneumothorax"),
    ("| Effusion | none |\n| Mass | no |\n| Nodule | 5 mm |", "nodule", "pleural_effusion mass"),
    ("Consolidation \u2013 none; effusion \u2014 no.", "", "consolidation pleural_effusion"),
    ("1. Effusion: none. 2. Nodule, mass: none.", "", "pleural_effusion mass nodule"),
    ("- Effusion: none\n- Nodule: none\n- Atelectasis: left base", "atelectasis", "pleural_effusion nodule"),
    (
        "- Cardiomegaly - Effusion: none - PTX: no - Nodule: 5 mm",
        "cardiomegaly nodule",
        "pleural_effusion pneumothorax",
    ),
    ("Pleural effusion: none Nodule: none Mass: absent", "", "pleural_effusion mass nodule"),
    ("Effusion: no Pneumothorax: no", "", "pleural_effusion pneumothorax"),
    ("PLEURAL EFFUSION: NO\nPNEUMOTHORAX: NO\nNODULE: YES", "nodule", "pleural_effusion pneumothorax"),
    ("Cardiomegaly mild\nEffusion none\nPTX none", "cardiomegaly", "pleural_effusion pneumothorax"),
    ("Pneumothorax: none seen. Infiltrate: nil.", "", "infiltration pneumothorax"),
    ("Infiltrates: None identified. Effusion(s): none.", "", "pleural_effusion infiltration"),
    ("Pneumothorax: absent bilaterally. Effusion: no significant.", "", "pleural_effusion pneumothorax"),
    ("Chest tube: removed. Pneumothorax: resolved since prior.", "", "pneumothorax support_devices"),
    ("Pneumonia: excluded. Edema: has cleared.", "", "edema pneumonia"),
    ("Pleural effusion: No effusion is seen. Mass: There is no mass.", "", "pleural_effusion mass"),
    ("Pneumothorax: The previously seen pneumothorax has resolved.", "", "pneumothorax"),
    ("Pneumothorax: No visible pleural line. Nodule: no cavitation.", "", ""),  # what is denied may be a feature of it
    ("Pneumothorax: not under tension.", "pneumothorax", ""),
    ("PNEUMOTHORAX: Large, under tension. EFFUSION: None.", "pneumothorax", "pleural_effusion"),
    ("Effusion: none, mass: none, edema: mild", "edema", "pleural_effusion mass"),
    ("No effusion, nodule: 0.5 cm.", "nodule", "pleural_effusion"),
    ("Cardiomegaly: no. Edema: yes. Mass: none.", "edema", "cardiomegaly mass"),
    ("Effusion: unchanged. Pneumothorax: no change.", "pleural_effusion pneumothorax", ""),
    ("Effusion: none on the left, small on the right. Mass: none to trace.", "pleural_effusion mass", ""),
    ("COVID-19: negative.", "", "covid19"),
    ("Pericardial effusion: none.", "", ""),
    ("COMPARISON: None. FINDINGS: Left lower lobe pneumonia.", "pneumonia", ""),
    ("FINDINGS: Pneumonia\nIMPRESSION: None", "pneumonia", ""),
    ("Left: effusion. Right: none.", "pleural_effusion", ""),
    ("No evidence of effusion: pneumonia in the left lung.", "pneumonia", "pleural_effusion"),
    # telegram style
    ("PTX neg, effusion neg, mild cardiomegaly.", "cardiomegaly", "pleural_effusion pneumothorax"),
    ("Effusion no, cardiomegaly mild.", "cardiomegaly", "pleural_effusion"),
    ("Pneumothorax N, effusion N, edema nil.", "", "edema pleural_effusion pneumothorax"),
    ("Small left effusion - no pneumothorax.", "pleural_effusion", "pneumothorax"),
    ("Mild cardiomegaly, effusion - none.", "cardiomegaly", "pleural_effusion"),
    ("No effusion - cardiomegaly.", "cardiomegaly", "pleural_effusion"),
    ("Edema resolved. Effusion unchanged.", "pleural_effusion", "edema"),
    ("CXR: no PTX, no PNA, chest tube removed.", "", "pneumonia pneumothorax support_devices"),
    (
        "Atelectasis and effusion, no mass or nodule, hernia absent.",
        "atelectasis pleural_effusion",
        "hernia mass nodule",
    ),
    ("Nodule and infiltrate, cardiomegaly absent.", "infiltration nodule", "cardiomegaly"),
    ("No pneumothorax/effusion/consolidation.", "", "consolidation pleural_effusion pneumothorax"),
    # gone
    ("The left pneumothorax is no longer seen.", "", "pneumothorax"),
    ("Effusion is no longer present.", "", "pleural_effusion"),
    ("No longer any effusion.", "", "pleural_effusion"),
    ("Previously noted opacity is no longer clearly visible.", "", "airspace_opacity"),
    ("Pulmonary edema has cleared.", "", "edema"),
    ("The effusion has completely resolved.", "", "pleural_effusion"),
    ("Mild pulmonary edema has essentially resolved.", "", "edema"),
    ("Effusions and edema have both resolved.", "", "edema pleural_effusion"),
    ("The edema is now gone.", "", "edema"),
    ("Opacity, which has since cleared. Right pneumothorax, now resolved.", "", "pneumothorax airspace_opacity"),
    ("Interval clearing of the right lower lobe pneumonia.", "", "pneumonia"),
    ("Resolution of effusion, edema, and consolidation.", "", "consolidation edema pleural_effusion"),
    ("Interval resolution of edema with atelectasis.", "atelectasis", "edema"),
    ("Patient denies pneumonia.", "", "pneumonia"),
    ("Status post resection of a lung mass.", "", "mass"),
    ("Interval chest tube removal, no pneumothorax.", "", "pneumothorax support_devices"),
    ("After removal of the chest tube, pneumothorax is seen.", "pneumothorax", "support_devices"),
    ("S/p removal of chest tube with small pneumothorax.", "pneumothorax", "support_devices"),
    ("Consolidation, effusion, and mass are not seen.", "", "consolidation pleural_effusion mass"),
    ("Prior right pneumothorax not present today.", "", "pneumothorax"),
    ("Pneumothorax has resolved, effusion unchanged.", "pleural_effusion", "pneumothorax"),
    ("Pneumothorax has resolved and effusion has decreased.", "pleural_effusion", "pneumothorax"),
    ("Effusion is not seen, cardiomegaly is stable.", "cardiomegaly", "pleural_effusion"),
    ("Large left pneumothorax, resolved right effusion.", "pneumothorax", "pleural_effusion"),
    ("Mild edema - resolved pneumonia.", "edema", "pneumonia"),
    ("Left effusion has resolved; right effusion persists.", "pleural_effusion", ""),
    ("PICC has been removed. Pacemaker unchanged.", "support_devices", ""),
    ("No pneumothorax, effusion persists.", "pleural_effusion", "pneumothorax"),
    ("Negative for effusion, positive for pneumonia.", "pneumonia", "pleural_effusion"),
    ("The heart is not enlarged. Film fails to show pneumothorax.", "", "cardiomegaly pneumothorax"),
    ("The film does not show increased opacity.", "", "airspace_opacity"),
    # not gone
    ("The effusion has not resolved.", "pleural_effusion", ""),
    ("Pneumonia has not fully cleared.", "pneumonia", ""),
    ("Pneumonia has not yet completely resolved.", "pneumonia", ""),
    ("Consolidation has improved but not cleared.", "consolidation", ""),
    ("Edema has partially resolved.", "edema", ""),
    ("Pneumothorax has almost completely resolved.", "pneumothorax", ""),
    ("Near-complete resolution of the effusion.", "pleural_effusion", ""),
    ("Incomplete clearing of the consolidation.", "consolidation", ""),
    ("Continued clearing of pneumonia. Edema: resolving.", "edema pneumonia", ""),
    ("Unresolved pneumonia.", "pneumonia", ""),
    ("No resolution of the effusion.", "pleural_effusion", ""),
    ("No change in effusion. Nodule unchanged.", "pleural_effusion nodule", ""),
    ("No significant interval change in the effusion.", "pleural_effusion", ""),
    ("No increase in the effusion. Mass has not changed.", "pleural_effusion mass", ""),
    ("The chest tube has not been removed.", "support_devices", ""),
    ("Right basilar opacity, not seen on the prior study.", "airspace_opacity", ""),
    ("Pneumothorax is not seen to have enlarged.", "pneumothorax", ""),
    ("Pneumothorax is no longer under tension.", "pneumothorax", ""),
    ("Effusion is not absent.", "pleural_effusion", ""),
    # doubt
    ("Pneumonia cannot be excluded.", "", ""),
    ("Pneumonia: cannot be excluded. Effusion: not well seen.", "", ""),
    ("Pneumonia is not ruled out, edema is present.", "edema", ""),
    ("Pneumothorax has not been excluded.", "", ""),
    ("Cannot entirely rule out pneumonia.", "", ""),
    ("Effusion may have resolved. Edema: probably resolved.", "", ""),
    ("Pneumothorax: possible. Edema? Effusion: Yes / No", "", ""),
    ("Pneumonia? No. Effusion? Small.", "", "pneumonia"),
    ("Pneumonia vs. atelectasis.", "", ""),
    ("Patient denies history of pneumonia.", "", ""),
    ("Pneumonia has been ruled out.", "", "pneumonia"),
    ("Atelectasis rather than pneumonia.", "atelectasis", "pneumonia"),
    ("No definite effusion. No new pneumothorax.", "", "pleural_effusion pneumothorax"),
]


@pytest.mark.parametrize(("text", "present", "absent"), SENTENCES)
def test_denials_behind_a_finding(text: str, present: str, absent: str) -> None:
    found = read_findings(text)
    assert set(found.present) == set(present.split())
    assert set(found.absent) == set(absent.split())


MORE_SENTENCES = [
    # sides
    ("Effusion: L none, R none", "", "pleural_effusion"),
    ("Pneumothorax: R: none. L: none.", "", "pneumothorax"),
    ("Pleural effusion: right - none, left - none.", "", "pleural_effusion"),
    ("Pleural effusions: none on either side. Edema, mass: negative for both.", "", "edema pleural_effusion mass"),
    ("Effusion: R small, L none", "pleural_effusion", ""),
    ("Effusion: none right, small left.", "pleural_effusion", ""),
    ("[ ] Effusion [x] Pneumothorax. Mass: ( ) yes (x) no", "pneumothorax", "mass"),
    # other words for no
    ("Nil effusion. Zero evidence of pneumothorax.", "", "pleural_effusion pneumothorax"),
    ("Nothing to suggest pneumonia. No suspicion of mass.", "", "pneumonia mass"),
    ("(-) PTX. \u00d8 effusion.", "", "pleural_effusion pneumothorax"),
    ("Pneumothorax has not recurred. ETT removed without edema.", "", "edema pneumothorax support_devices"),
    # no denial
    ("There is no absence of effusion. No longer without edema.", "edema pleural_effusion", ""),
    ("No more than minimal edema.", "edema", ""),
    ("No abnormality other than cardiomegaly.", "cardiomegaly", ""),
    ("Not rotated, cardiomegaly. Heart is not displaced, small effusion.", "cardiomegaly pleural_effusion", ""),
    ("No fracture, effusion is present.", "pleural_effusion", ""),
    ("No pneumothorax post chest tube placement.", "support_devices", "pneumothorax"),
    ("No post biopsy pneumothorax.", "", "pneumothorax"),
    ("Pneumothorax has resolved after chest tube placement.", "support_devices", "pneumothorax"),
    # doubt
    ("?PNA. Blunted angle, ? effusion. LLL opacity ? mass.", "airspace_opacity", ""),
    ("Query pneumonia. Equivocal nodule. Presumed edema. Doubt effusion.", "", ""),
    ("DDx: PNA, aspiration, edema.", "", ""),
    ("Mass is in the differential. Edema is a consideration. Consider pneumonia.", "", ""),
    ("Correlate clinically for pneumonia. Assess for effusion. Follow up mass.", "", ""),
    ("Pneumonia is less likely. Edema is not favored.", "", ""),
    ("Effusion cannot be assessed. Nodule difficult to evaluate.", "", ""),
    ("Little or no effusion. Minimal if any edema. Trace mass, if any. Likely no nodule.", "", ""),
    ("Opacity worrisome for pneumonia, c/f edema. Mass until proven otherwise.", "airspace_opacity", ""),
    ("S/p lobectomy for mass. Prior film showed pneumonia, but nodule persists.", "nodule", ""),
    ("Previous pneumonia with residual atelectasis.", "atelectasis pneumonia", ""),
    ("Reason for exam: pneumonia. FINDINGS: Edema.", "edema", ""),
    # normal
    ("Heart size normal, lungs clear.", "no_finding", "cardiomegaly consolidation airspace_opacity"),
    ("Lungs are not clear. This is not a normal chest radiograph.", "", ""),
    ("The left lung is clear. Lungs are otherwise clear. Upper lungs are clear.", "", ""),
]


@pytest.mark.parametrize(("text", "present", "absent"), MORE_SENTENCES)
def test_what_is_neither_present_nor_absent_stays_unsaid(text: str, present: str, absent: str) -> None:
    found = read_findings(text)
    assert set(found.present) == set(present.split())
    assert set(found.absent) == set(absent.split())


@pytest.mark.parametrize("finding", [name for name in FINDINGS if name != "no_finding"])
def test_every_finding_can_be_stated_and_denied(finding: str) -> None:
    name = {"covid19": "COVID-19", "support_devices": "pacemaker"}.get(finding, finding.replace("_", " "))
    assert finding in read_findings(f"There is {name}.").present
    for denial in (
        "There is no {}.",
        "{}: none",
        "{} - none.",
        "{} absent, PA view",
        "{} has cleared.",
        "{}: No {} seen.",
    ):
        assert finding in read_findings(denial.format(name, name)).absent, denial


def test_sections() -> None:
    parts = split_sections("Frontal view.\nINDICATION: cough\nFINDINGS: Clear.\n\nIMPRESSION: Normal chest.")
    assert (parts.rest, parts.findings, parts.impression) == ("Frontal view.", "Clear.", "Normal chest.")


def test_abbreviations_keep_other_words() -> None:
    assert expand_abbreviations("PTX w/o ettore") == "pneumothorax without ettore"


def test_deidentification_marks_are_dropped() -> None:
    assert clean_text("XXXX XXXX. Heart size normal , XXXX.  No change XXXX XXXX.") == "Heart size normal, No change."


def test_a_text_that_is_no_report_takes_no_time_without_bound() -> None:
    text = "FINDINGS: Cardiomegaly. " + "clearing of pneumothorax XXXX" * 1_000
    assert "cardiomegaly" in read_findings(text).present
    assert read_findings(text * 1_000) == read_findings(text)
