from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from xray_generator.data.prompts import row_of_prompt
from xray_generator.data.rewording import reword
from xray_generator.data.rows import Row, repeat_rare

ROW = Row(
    Path("film.png"),
    "PA chest X-ray of a 64-year-old man with edema",
    ("edema", "pneumonia"),
    view="PA",
    age=64,
    sex="M",
    age_group="adult",
)


def test_the_caption_comes_first_and_wordings_are_a_function_of_the_row() -> None:
    wordings = reword(ROW, 40)
    assert wordings[0] == ROW.prompt
    assert len(set(wordings)) > 20
    assert wordings == reword(ROW, 40)


def test_wordings_say_nothing_that_the_row_denies() -> None:
    text = " ".join(reword(ROW, 200)[1:]).lower()
    assert {int(age) for age in re.findall(r"(\d+)-year-old", text)} == {62, 63, 64}  # 65 would be another age group
    for lie in ("woman", "elderly", " ap ", "normal", "boy"):
        assert lie not in text
    for wording in reword(ROW, 200)[1:]:
        assert set(row_of_prompt(wording).findings) in (set(), {"edema", "pneumonia"})  # all findings or none


def test_what_was_looked_for_and_is_not_there_is_denied() -> None:
    row = replace(ROW, source="nih_chestxray14")
    denied = {name for wording in reword(row, 200) for name in row_of_prompt(wording).absent}
    assert {"pneumothorax", "pleural_effusion", "cardiomegaly"} <= denied
    assert denied.isdisjoint({"edema", "pneumonia", "covid19"})
    assert not any(row_of_prompt(wording).absent for wording in reword(ROW, 200))  # its source is not known


def test_unknown_attributes_are_not_invented() -> None:
    bare = Row(Path("film.png"), "A chest X-ray", ())
    assert all(re.search("x-ray|radiograph|cxr|film", wording.lower()) for wording in reword(bare, 20))
    assert not re.search("man|year|view|normal", " ".join(reword(bare, 20)))


def test_a_child_is_called_one() -> None:
    child = replace(ROW, age=9, age_group="child", sex="F")
    assert re.search("girl", " ".join(reword(child, 20))) and "woman" not in " ".join(reword(child, 20))


def test_rare_conditions_are_repeated_and_common_ones_are_not() -> None:
    common = [Row(Path(f"{i}.png"), "", ("no_finding",)) for i in range(96)]
    rare = [Row(Path(f"r{i}.png"), "", ("hernia",)) for i in range(4)]
    drawn = repeat_rare([*common, *rare], [*common, *rare], 3)
    assert drawn.count(common[0]) == 1
    assert drawn.count(rare[0]) == 2  # sqrt((100 / 8) / 4) = 1.8
    assert repeat_rare(rare, [*common, *rare], 1) == rare
