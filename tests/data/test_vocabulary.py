"""The vocabulary of the captions, unseen words, and prompts in the captions' template."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from xray_generator.data.read import read_dataset
from xray_generator.data.report import read_findings
from xray_generator.data.rows import Row
from xray_generator.data.vocabulary import Vocabulary, build_vocabulary, compose_prompt, unseen_words
from xray_generator.types import StudioError


def _row(prompt: str, findings: str, age: int | None = None) -> Row:
    return Row(Path("a.png"), prompt, tuple(findings.split()), view="PA", sex="F", age=age, age_group="adult")


ROWS = (
    _row("Normal PA chest X-ray of a 30-year-old woman", "no_finding"),
    _row("Normal chest X-ray of a child, frontal view", "no_finding"),
    _row("PA chest X-ray of an 80-year-old man with cardiomegaly", "cardiomegaly"),
    _row("Cardiomegaly on PA chest radiograph, 60-year-old woman", "cardiomegaly"),
    _row("AP chest X-ray: cardiomegaly", "cardiomegaly"),
    _row("AP chest X-ray: cardiomegaly and pleural effusion", "cardiomegaly pleural_effusion"),
    _row("Pleural effusion on AP chest radiograph", "pleural_effusion"),
    _row("PA chest X-ray showing a lung nodule in a 40-year-old man", "nodule"),
    _row("Chest X-ray, AP view, a lung nodule", "nodule"),
    _row("AP chest X-ray of a 41-year-old woman: a lung nodule", "nodule"),
    _row("PA chest X-ray with a lung nodule", "nodule"),
    _row("PA chest X-ray of a 42-year-old man with a lung nodule", "nodule"),
    _row("Bacterial pneumonia on frontal chest radiograph, young child", "pneumonia bacterial_pneumonia"),
    _row("AP chest radiograph of a male patient with COVID-19", "covid19"),
    _row("AP chest X-ray, COVID-19, intensive care patient", "covid19"),
)


@pytest.fixture
def vocabulary() -> Vocabulary:
    """The vocabulary of the made-up captions."""
    return build_vocabulary(ROWS)


def test_facts(vocabulary: Vocabulary) -> None:
    assert (vocabulary.num_captions, vocabulary.min_age, vocabulary.max_age) == (15, 30, 80)
    assert vocabulary.words["chest"] == 15
    assert not any("year-old" in word for word in vocabulary.words)
    assert (vocabulary.views, vocabulary.sexes, vocabulary.age_groups) == (("PA",), ("F",), ("adult",))
    assert len(vocabulary.example_prompts) == 12
    assert set(vocabulary.example_prompts) <= {row.prompt for row in ROWS}


def test_phrases_are_the_captions_own(vocabulary: Vocabulary) -> None:
    assert vocabulary.phrase("nodule") == "a lung nodule"
    assert vocabulary.phrase("covid19") == "COVID-19"
    assert {known.finding: known.count for known in vocabulary.findings}["cardiomegaly"] == 4
    with pytest.raises(StudioError, match="not trained on 'hernia'"):
        vocabulary.phrase("hernia")


def test_phrases_of_the_sample(sample_folder: Path) -> None:
    vocabulary = build_vocabulary(read_dataset(sample_folder).split("train"))
    for known in vocabulary.findings:
        assert known.finding in read_findings(known.phrase).present
        assert unseen_words(vocabulary, known.phrase) == ()
    assert vocabulary.phrase("bacterial_pneumonia") == "bacterial pneumonia"


def test_json_round_trip(vocabulary: Vocabulary) -> None:
    adapter = TypeAdapter(Vocabulary)
    assert adapter.validate_json(adapter.dump_json(vocabulary)) == vocabulary


def test_no_captions_are_refused() -> None:
    with pytest.raises(StudioError, match="No row has a prompt"):
        build_vocabulary([_row(" ", "")])


@pytest.mark.parametrize(
    ("prompt", "unseen"),
    [
        ("Normal PA chest X-ray of a 58-year-old woman.", ()),
        ("chest xrays, lung nodules; pleural-effusion (COVID19)", ()),
        ("45 years old man", ()),
        ("a 99-year-old man", ("99-year-old",)),
        ("The heart is a red dinosaur dinosaur", ("heart", "is", "red", "dinosaur")),
        ("Thorax eines Kindes", ("thorax", "eines", "kindes")),
        ("", ()),
    ],
)
def test_unseen_words(vocabulary: Vocabulary, prompt: str, unseen: tuple[str, ...]) -> None:
    assert unseen_words(vocabulary, prompt) == unseen


def test_words_of_every_wording_and_of_the_reader_are_known(sample_folder: Path) -> None:
    vocabulary = build_vocabulary(read_dataset(sample_folder).split("train"), variants=8)
    assert unseen_words(vocabulary, "CXR of an elderly gentleman, 70M, clear lungs, no PNA") == ()
    assert unseen_words(vocabulary, "CHF, RLL opacity") == (
        "congestive",
        "failure",
        "right",
        "lower",
        "lobe",
        "opacity",
    )


@pytest.mark.parametrize(
    ("view", "age", "sex", "findings", "age_group", "prompt"),
    [
        (
            "PA",
            58,
            "F",
            ["pleural_effusion", "cardiomegaly"],
            "",
            "PA chest X-ray of a 58-year-old woman with cardiomegaly and pleural effusion",
        ),
        ("PA", 80, "M", [], "", "Normal PA chest X-ray of an 80-year-old man"),
        ("PA", 11, "M", ["no_finding"], "", "Normal PA chest X-ray of an 11-year-old boy"),
        ("PA", 5, "", [], "", "Normal PA chest X-ray of a 5-year-old child"),
        ("frontal", None, "", [], "child", "Normal frontal chest X-ray of a child"),
        (
            "Frontal",
            None,
            "",
            ["pneumonia", "bacterial_pneumonia"],
            "child",
            "Frontal chest X-ray of a child with bacterial pneumonia",
        ),
        ("AP", None, "M", ["covid19"], "", "AP chest X-ray of a male patient with COVID-19"),
        ("AP", None, "", [], "adolescent", "Normal adolescent AP chest radiograph"),
        ("AP", None, "", ["covid19"], "adolescent", "AP adolescent chest X-ray, COVID-19"),
        ("", None, "", [], "", "Normal chest radiograph"),
        ("", None, "", ["covid19"], "", "Chest X-ray, COVID-19"),
    ],
)
def test_composed_prompts(
    vocabulary: Vocabulary, view: str, age: int | None, sex: str, findings: Sequence[str], age_group: str, prompt: str
) -> None:
    assert compose_prompt(view, age, sex, findings, vocabulary, age_group) == prompt


def test_composed_prompt_states_its_findings(sample_folder: Path) -> None:
    """A report reader finds in each built prompt the very findings it was built from."""
    rows = read_dataset(sample_folder).rows
    vocabulary = build_vocabulary(rows)
    for row in filter(lambda row: row.findings, rows):
        prompt = compose_prompt(row.view, row.age, row.sex, row.findings, vocabulary, row.age_group)
        assert set(read_findings(prompt).present) == set(row.findings), prompt


def test_contradiction_and_unknown_findings_are_refused(vocabulary: Vocabulary) -> None:
    with pytest.raises(StudioError, match="cannot be combined"):
        compose_prompt("PA", 50, "F", ["no_finding", "nodule"], vocabulary)
    with pytest.raises(StudioError, match="Unknown finding 'broken arm'"):
        compose_prompt("PA", 50, "F", ["broken arm"], vocabulary)
