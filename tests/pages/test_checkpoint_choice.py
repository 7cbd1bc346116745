"""The choice of a checkpoint that the pages share, and what is told about it."""

import shutil
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.pages.generator import click, open_generator, run


@pytest.fixture
def output_dir(
    tiny_checkpoint: Path, tiny_ct_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """An OUTPUT_DIR with a checkpoint of X-rays and one of CT."""
    for root in (tiny_checkpoint, tiny_ct_checkpoint):
        shutil.copytree(root / "checkpoints", tmp_path / "checkpoints", dirs_exist_ok=True)
    monkeypatch.setenv("OUTPUT_DIR", str(tmp_path))
    return tmp_path


def turn_to(app: AppTest, page: str) -> AppTest:
    app.switch_page(page)
    return run(app)


def test_a_page_for_some_checkpoints_leaves_the_generators_choice_alone(output_dir: Path) -> None:
    app = open_generator()
    assert app.selectbox(key="checkpoint").value == "tiny"
    turn_to(app, "measure/likelihood.py")
    assert app.selectbox(key="checkpoint of this page").value == "tiny_ct"
    run(app)
    assert turn_to(app, "create/generate.py").selectbox(key="checkpoint").value == "tiny"


def test_a_choice_holds_on_every_page_that_can_use_it(output_dir: Path) -> None:
    app = turn_to(open_generator(), "create/live.py")
    app.selectbox(key="checkpoint of this page").set_value("tiny")
    turn_to(run(app), "create/generate.py")
    app.selectbox(key="checkpoint").set_value("tiny_ct")
    run(app)
    assert app.button_group(key="label of tiny_ct").value == "normal"
    assert turn_to(app, "measure/likelihood.py").selectbox(key="checkpoint of this page").value == "tiny_ct"
    assert turn_to(app, "create/live.py").selectbox(key="checkpoint of this page").value == "tiny"
    assert turn_to(app, "create/generate.py").selectbox(key="checkpoint").value == "tiny_ct"


def test_the_card_says_what_a_model_is_in_plain_words(output_dir: Path) -> None:
    app = open_generator()
    app.selectbox(key="checkpoint").set_value("tiny_ct")
    click(run(app), "card")
    facts, _ = (dict(table.value.to_numpy().tolist()) for table in app.dataframe)
    assert facts["Classes"] == "Normal (normal); Benign (benign)" and facts["Training images"] == "12"
    assert list(facts)[-1] == "SHA-256 of the weights"
    said = "\n".join(e.value for e in [*app.markdown, *app.caption]).replace("\\", "")
    assert "**Lung CT by class, 32 px**" in said and "good and bad at: not measured" in said
