"""The Edit page and the panel of words, as a visitor uses them, with the tiny checkpoint and the shipped classifier."""

import io
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage
from streamlit.testing.v1 import AppTest

from pages.kit.services import job_queue, studio
from tests.pages.generator import TIMEOUT_S, click, run, shown, viewers, wait
from xray_generator.experiments.counterfactual import Counterfactual, RepeatedEdit
from xray_generator.export.pictures import pictures
from xray_generator.export.recipe import read_recipe
from xray_generator.types import Edit

ROOT = Path(__file__).parents[2]
PAGE = "create/edit.py"
SOURCE, EFFUSION = "Normal PA chest X-ray of a 50-year-old woman", "pleural_effusion"
TARGET = "PA chest X-ray of a 50-year-old woman with pleural effusion"


@pytest.fixture
def page(output_dir: Path) -> AppTest:
    """The page after its first run, with the classifier that ships at hand."""
    (output_dir / "encoders").symlink_to(ROOT / "outputs" / "encoders")
    return run(AppTest.from_file(str(ROOT / "pages" / PAGE), default_timeout=TIMEOUT_S))


def ended(page: AppTest, key: str = "edit_job") -> object:
    """The result of the session's job, once it is over and drawn."""
    job = job_queue().get(page.session_state[key])
    assert job is not None
    deadline = time.monotonic() + TIMEOUT_S
    while not job.is_over and time.monotonic() < deadline:
        time.sleep(0.02)
    assert job.state == "done", job.error
    run(page)
    return job.result


def describe(page: AppTest, source: str = SOURCE, target: str = TARGET) -> AppTest:
    page.text_area(key="edit_now").set_value(source)
    page.text_area(key="edit_target").set_value(target)
    return run(page)


def said(page: AppTest) -> str:
    return shown(page).replace("\\", "")


def upload(page: AppTest, data: bytes) -> AppTest:
    page.segmented_control(key="edit_kind").set_value("Upload").run()
    page.file_uploader(key="edit_upload").upload("x.png", data, "image/png")
    return run(page)


def png(height: int, width: int) -> bytes:
    buffer = io.BytesIO()
    PILImage.linear_gradient("L").resize((width, height)).save(buffer, format="PNG")
    return buffer.getvalue()


def test_first_visit_has_two_prompts_that_differ_in_a_finding_alone(page: AppTest) -> None:
    assert not page.error
    now, target = page.text_area(key="edit_now").value, page.text_area(key="edit_target").value
    assert now.startswith("Normal ") and now != target
    assert page.pills(key="edit_with").value == [EFFUSION]
    assert "appear here" in said(page)


def test_switching_a_finding_writes_the_same_patient_with_and_without(page: AppTest) -> None:
    describe(page)
    assert page.pills(key="edit_with").value == [EFFUSION]
    page.pills(key="edit_with").set_value([EFFUSION, "cardiomegaly"])
    run(page)
    target = page.text_area(key="edit_target").value
    assert target.startswith("PA chest X-ray of a 50-year-old woman with ")
    assert "cardiomegaly" in target and "effusion" in target
    page.pills(key="edit_with").set_value([])
    run(page)
    assert page.text_area(key="edit_target").value == SOURCE
    assert page.text_area(key="edit_now").value == SOURCE


def test_a_prompt_in_other_words_can_be_worded_alike(page: AppTest) -> None:
    describe(page, source="Frontal view of a man of 60 years old, PA, with cardiomegaly")
    click(page, "edit_alike")
    assert page.text_area(key="edit_now").value.startswith("PA chest X-ray of a ")
    assert not [button for button in page.button if button.key == "edit_alike"]


def test_a_generated_patient_is_edited_scored_and_downloadable(page: AppTest) -> None:
    describe(page)
    page.slider(key="edit_strength").set_value(0.5)
    click(page, "edit")
    found = ended(page)
    assert isinstance(found, Counterfactual) and not page.error
    request, edit = found.edit.after.request, found.edit.after.origin
    np.testing.assert_array_equal(found.edit.before, studio().generate(request).images[0])
    assert edit == Edit(TARGET, 0.5, SOURCE)
    assert not np.array_equal(found.edit.before, found.edit.after.images[0])
    assert read_recipe(pictures(found.edit.after, 0)[0].png()).origin == edit
    titles = [metric.label for metric in page.metric]
    assert titles == ["No finding", "Pleural effusion", "Other findings"]
    assert "should appear" in said(page) and "Changes are in percentage points" in said(page)
    assert f"tiny · synthetic · seed {request.seed} · strength 50%" in said(page)  # what a screenshot says
    assert "n = 1 image" in said(page) and found.verdict.classifier in said(page)
    assert {button.label for button in page.download_button} == {
        "PNG after",
        "Strip of all three",
        "Probabilities as CSV",
    }


def test_without_the_classifier_the_images_are_shown_and_the_rest_is_not_measured(
    page: AppTest, output_dir: Path
) -> None:
    (output_dir / "encoders").unlink()
    describe(page)
    click(page, "edit")
    assert isinstance(ended(page), Counterfactual)
    assert "not measured. There is no reference classifier" in said(page)
    assert not page.metric
    assert "Mean absolute difference" in said(page)


@pytest.mark.parametrize(("target", "message"), [(SOURCE, "Both prompts are the same"), (" ", "The prompt is empty")])
def test_an_edit_that_changes_nothing_is_refused_in_words(page: AppTest, target: str, message: str) -> None:
    describe(page, target=target)
    click(page, "edit")
    assert message in said(page)
    assert "edit_job" not in page.session_state
    assert message not in said(run(page))  # said once


@pytest.mark.parametrize(
    ("target", "said_so"),
    [
        (TARGET, ""),
        ("PA chest X-ray of a 50-year-old woman, no abnormality reported", "Both prompts mean the same"),
        ("Normal blurred PA chest X-ray, woman of 50, 50F", "read alike (PA · 50 years · female · normal)"),
        ("PA film of a 50-year-old woman with zebras", "does not know these words; they change the image at random"),
    ],
)
def test_prompts_that_ask_for_no_change_are_pointed_at(page: AppTest, target: str, said_so: str) -> None:
    describe(page, target=target)
    doubts = [element.value.replace("\\", "") for element in [*page.warning, *page.info]]
    assert any(said_so in doubt for doubt in doubts) if said_so else not doubts


def test_switching_the_one_finding_off_says_that_nothing_would_change(page: AppTest) -> None:
    page.pills(key="edit_with").set_value([])
    assert "Both prompts mean the same" in run(page).warning[0].value


def test_an_upload_is_edited_by_either_method_and_not_repeated(page: AppTest) -> None:
    upload(page, png(90, 120))
    assert "120 x 90 pixels; its central square is used" in said(page)
    assert "edit_count" not in {group.key for group in page.button_group}
    assert page.number_input(key="edit_seed").disabled  # inversion draws no noise
    click(page, "edit")
    found = ended(page)
    assert isinstance(found, Counterfactual)
    edit = found.edit.after.origin
    assert isinstance(edit, Edit) and (edit.method, edit.source_prompt) == ("inversion", "")
    assert len(edit.image_sha256) == 64
    assert "Uploaded image without a description" in said(page)
    page.segmented_control(key="edit_method").set_value("noise")
    run(page)
    assert not page.number_input(key="edit_seed").disabled


def test_a_result_stands_beside_its_own_form_alone(page: AppTest) -> None:
    describe(page)
    click(page, "edit")
    ended(page)
    assert len(viewers(page)) == 1
    page.segmented_control(key="edit_kind").set_value("Upload")
    assert not viewers(run(page)) and "appear here" in said(page)
    page.segmented_control(key="edit_kind").set_value("Generated")
    assert len(viewers(run(page))) == 1


def test_a_file_that_is_no_image_is_answered_in_words(page: AppTest) -> None:
    upload(page, b"a text")
    assert "This is not an image. Allowed: PNG, JPEG, TIFF, DICOM." in said(page)


def test_upload_needs_a_file_first(page: AppTest) -> None:
    page.segmented_control(key="edit_kind").set_value("Upload")
    run(page)
    assert page.button(key="edit").disabled


def test_many_patients_have_their_mean_change_and_no_interval_under_ten(page: AppTest) -> None:
    describe(page)
    page.segmented_control(key="edit_count").set_value(4)
    run(page)
    assert page.button(key="edit").label == "Edit 4 patients"
    click(page, "edit")
    found = ended(page)
    assert isinstance(found, RepeatedEdit)
    seeds = [made.after.request.seed for made in found.edits]
    assert seeds == list(range(seeds[0], seeds[0] + 4))
    assert "No interval: it needs 10 patients or more, and there are 4." in said(page)
    assert [button.label for button in page.download_button] == ["Mean changes as CSV"]
    (cine,) = viewers(page)
    assert [len(pane["frames"]) for pane in cine["panes"]] == [4, 4] and cine["names"][1] == f"seed {seeds[1]}"
    page.segmented_control(key="edit_count").set_value(1)
    click(page, "edit")
    assert isinstance(ended(page), Counterfactual)
    assert [tab.label for tab in page.tabs] == ["One patient", "Many patients"]


def test_the_generators_image_is_taken_with_its_settings(app: AppTest) -> None:
    app.number_input(key="num_images").set_value(2)
    app.text_area(key="prompt").set_value(SOURCE)
    run(app)
    click(app, "generate")
    result = wait(app).result
    app.session_state["selected_image"] = 1
    app.switch_page(PAGE)
    run(app)
    click(app, "edit_take")
    assert app.text_area(key="edit_now").value == SOURCE
    assert app.text_area(key="edit_target").value == TARGET
    assert app.number_input(key="edit_seed").value == result.seeds[1]
    click(app, "edit")
    found = ended(app)
    assert isinstance(found, Counterfactual)
    np.testing.assert_array_equal(found.edit.before, result.images[1])


def test_words_are_drawn_over_the_very_image_that_is_shown(app: AppTest) -> None:
    app.text_area(key="prompt").set_value(TARGET)
    run(app)
    click(app, "generate")
    result = wait(app).result
    assert not [pills for pills in app.pills if "words" in str(pills.key)]  # nothing is computed unasked
    click(app, "words_start")
    key = f"words {pictures(result, 0)[0].recipe.digest}"
    maps = ended(app, key)
    assert not app.exception and not app.warning
    words = app.pills(key=f"{key} chosen")
    assert [word.replace("\\", "") for word in words.options] == list(maps.words) == TARGET.split()
    assert len(words.value) == 1
    words.set_value([])
    assert "Choose one or more words." in said(run(app))
    assert "does not prove that a finding is present" in said(app)
