"""Prompts that follow chips with few words changed, and prompts told apart by what they mean."""

from dataclasses import replace
from typing import Any

import pytest

from tests.data.test_vocabulary import ROWS
from xray_generator.data.amending import amend_prompt, differing_words
from xray_generator.data.prompts import describe_reading, row_of_prompt
from xray_generator.data.vocabulary import build_vocabulary

VOCABULARY = build_vocabulary(ROWS)
WOMAN = "PA chest X-ray of a 58-year-old woman with cardiomegaly and pleural effusion"
FILM = "PA film, 60F, no pneumothorax. Small right effusion."


def amend(prompt: str, **facts: Any) -> str:
    return amend_prompt(prompt, replace(row_of_prompt(prompt), **facts), VOCABULARY)


@pytest.mark.parametrize(
    ("prompt", "facts", "expected"),
    [
        (WOMAN, {"findings": ("cardiomegaly", "pleural_effusion", "nodule")}, f"{WOMAN} and a lung nodule"),
        (WOMAN, {"findings": ("pleural_effusion",)}, "PA chest X-ray of a 58-year-old woman with pleural effusion"),
        (WOMAN, {"findings": ("no_finding",)}, "Normal PA chest X-ray of a 58-year-old woman"),
        (WOMAN, {"sex": "M"}, WOMAN.replace("woman", "man")),
        (WOMAN, {"sex": ""}, WOMAN.replace("woman", "patient")),
        (WOMAN, {"age": 80}, WOMAN.replace("a 58", "an 80")),
        (WOMAN, {"age": None, "age_group": ""}, WOMAN.replace("58-year-old ", "")),
        (WOMAN, {"view": "AP"}, WOMAN.replace("PA", "AP")),
        (WOMAN, {"view": ""}, WOMAN.replace("PA chest", "Chest")),
        (FILM, {"sex": "M"}, "PA film, 60M, no pneumothorax. Small right effusion"),
        (
            FILM,
            {"findings": ("pleural_effusion", "pneumothorax")},
            "PA film, 60F. Small right effusion and pneumothorax",
        ),
        ("Chest X-ray of a zebra", {"findings": ("nodule",)}, "Chest X-ray of a zebra with a lung nodule"),
        ("Normal chest X-ray, PA view", {"findings": ("mass",)}, "Chest X-ray, PA view, mass"),
        ("Chest X-ray, child, AP view", {"age": 30, "age_group": "adult"}, "Chest X-ray, 30-year-old patient, AP view"),
        (
            "Chest X-ray of an 8-year-old boy",
            {"age": 60, "age_group": "older_adult"},
            "Chest X-ray of a 60-year-old man",
        ),
        ("", {"findings": ("nodule",)}, "Chest X-ray, a lung nodule"),
    ],
)
def test_one_fact_changes_and_the_other_words_stay(prompt: str, facts: dict[str, Any], expected: str) -> None:
    assert amend(prompt, **facts) == expected


def test_what_no_small_change_says_is_composed_anew() -> None:
    viral = "Chest radiograph with viral pneumonia, child, AP view"
    assert amend(viral, findings=("pneumonia",)) == "AP chest X-ray of a child with pneumonia"
    assert amend("ICU film with a pacemaker, 60F", sex="").startswith(
        "Chest X-ray of a 60-year-old patient with support"
    )


def test_a_prompt_that_says_it_already_is_kept() -> None:
    assert amend(FILM) == FILM


def test_every_caption_can_be_given_every_finding_and_lose_it_again() -> None:
    for row in ROWS:
        now = row_of_prompt(row.prompt)
        for known in VOCABULARY.findings:
            if known.finding in now.findings:
                continue
            wanted = tuple(name for name in (*now.findings, known.finding) if name != "no_finding")
            text = amend(row.prompt, findings=wanted)
            assert set(row_of_prompt(text).findings) >= set(wanted), text
            lost = amend(text, findings=now.findings)
            assert describe_reading(row_of_prompt(lost)) == describe_reading(now), lost


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (
            "Normal PA chest X-ray of a 50-year-old woman",
            "PA chest X-ray of a 50-year-old woman, no abnormality reported",
            (),
        ),
        ("Chest film, 60F, enlarged heart", "cardiomegaly in a 60-year-old woman, frontal view", ()),
        ("Small effusion, PA", "PA, large effusion", ("small", "large")),
        ("Normal chest X-ray", "Normal chest X-ray, PA", None),
        ("Normal chest X-ray", "Chest X-ray", None),
        ("Chest X-ray, no pneumothorax", "Chest X-ray with pneumothorax", None),
    ],
)
def test_prompts_mean_the_same_where_their_readings_and_other_words_do(
    first: str, second: str, words: tuple[str, ...] | None
) -> None:
    assert differing_words(first, second) == words
