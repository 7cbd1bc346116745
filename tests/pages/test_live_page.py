"""The Live page without a browser: each control changes the image, equal settings never do, and nothing piles up."""

import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from pages.kit.services import job_queue, studio
from tests.manifests import edit_manifest
from tests.pages.generator import FRAME, TIMEOUT_S, click, run, settle, shown, viewers
from xray_generator.evaluation.summary import time_text
from xray_generator.families import latent_diffusion
from xray_generator.types import GenerationResult, Image

JOB = "live_job"
GUIDANCE, STEPS = "live_guidance of tiny", "live_steps of tiny"


@pytest.fixture
def live(output_dir: Path) -> AppTest:
    """The Live page with its first image."""
    return open_live()


def open_live(state: str = "done") -> AppTest:
    app = run(AppTest.from_file(FRAME, default_timeout=TIMEOUT_S))
    app.switch_page("create/live.py")
    return settle(run(app), JOB, state)


def result(app: AppTest) -> GenerationResult:
    """What is shown."""
    return app.session_state["live_shown"]


def image(app: AppTest) -> Image:
    return result(app).images[0]


def change(app: AppTest, kind: str, key: str, value: Any) -> AppTest:
    getattr(app, kind)(key=key).set_value(value)
    return settle(run(app), JOB)


def open_two(app: AppTest) -> AppTest:
    app.session_state["live_mode"] = "Between two"
    return settle(run(app), JOB)


def test_the_first_image_is_shown_with_its_latency(live: AppTest) -> None:
    assert live.title[0].value == "Live" and not live.error
    assert f"Drawn by tiny in **{time_text(result(live).latencies_ms[0])}**" in shown(live)
    assert live.download_button(key="live_png")


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        ("text_input", "live_prompt", "Chest X-ray with cardiomegaly"),
        ("slider", "live_seed", 7),
        ("slider", GUIDANCE, 9.0),
        ("slider", STEPS, 1),
    ],
)
def test_every_control_changes_the_image_and_changing_it_back_restores_it(
    live: AppTest, kind: str, key: str, value: Any
) -> None:
    first, before = image(live), getattr(live, kind)(key=key).value
    change(live, kind, key, value)
    assert not np.array_equal(image(live), first)
    drawn = live.session_state["live_job"]
    change(live, kind, key, before)
    assert np.array_equal(image(live), first)
    assert live.session_state["live_job"] == drawn  # kept, not drawn again
    st.cache_resource.clear()
    live.session_state["live_shown"] = None
    assert np.array_equal(image(settle(run(live), JOB)), first)  # and drawn again it is the same


def test_the_prompt_is_sent_while_one_types(live: AppTest) -> None:
    assert live.text_input(key="live_prompt").proto.live_debounce_ms == 250


def test_next_seed(live: AppTest) -> None:
    first = result(live).request.seed
    settle(click(live, "live_next"), JOB)
    assert result(live).request.seed == first + 1


WOMAN = "PA chest X-ray of a 58-year-old woman with cardiomegaly and small pleural effusion"


def chips(app: AppTest) -> tuple[Any, ...]:
    return tuple(app.session_state[f"live_{name}"] for name in ("view", "sex", "age", "findings"))


def test_chips_follow_the_prompt_and_change_their_own_words_alone(live: AppTest) -> None:
    change(live, "text_input", "live_prompt", WOMAN)
    assert chips(live) == ("PA", "F", 58, ["cardiomegaly", "pleural_effusion"])
    change(live, "button_group", "live_findings", ["cardiomegaly", "pleural_effusion", "pneumothorax"])
    assert live.text_input(key="live_prompt").value == f"{WOMAN} and pneumothorax"
    change(live, "button_group", "live_sex", "M")
    change(live, "select_slider", "live_age", 60)
    prompt = live.text_input(key="live_prompt").value
    assert prompt == f"{WOMAN} and pneumothorax".replace("58", "60").replace("woman", "man")
    assert result(live).request.condition.text == prompt and chips(live)[1:3] == ("M", 60)
    change(live, "button_group", "live_findings", [])
    assert live.text_input(key="live_prompt").value.startswith("Normal ") and chips(live)[3] == []


def test_chips_of_a_prompt_that_says_nothing_are_blank(live: AppTest) -> None:
    change(live, "text_input", "live_prompt", "Chest X-ray of a zebra")
    assert "words that the model does not know: zebra" in shown(live)
    assert chips(live) == (None, None, None, [])
    change(live, "button_group", "live_view", "AP")
    assert live.text_input(key="live_prompt").value == "AP chest X-ray of a zebra"


def test_what_chips_did_is_taken_back_one_by_one(live: AppTest) -> None:
    assert live.button(key="live_undo").disabled
    change(live, "text_input", "live_prompt", WOMAN)
    change(live, "button_group", "live_findings", ["pleural_effusion"])
    change(live, "button_group", "live_view", "AP")
    settle(click(live, "live_undo"), JOB)
    assert live.text_input(key="live_prompt").value == WOMAN.replace("cardiomegaly and small ", "small ")
    settle(click(live, "live_undo"), JOB)
    assert live.text_input(key="live_prompt").value == WOMAN == result(live).request.condition.text
    assert chips(live)[3] == ["cardiomegaly", "pleural_effusion"] and live.button(key="live_undo").disabled


def test_an_image_of_another_checkpoint_is_not_shown(live: AppTest) -> None:
    of_another = replace(result(live), checkpoint=replace(result(live).checkpoint, sha256="0" * 64))
    live.session_state["live_shown"] = of_another
    change(live, "text_input", "live_prompt", " ")  # nothing new is drawn
    assert "The image appears here" in shown(live) and not viewers(live)


def test_a_newer_change_cancels_the_older_one(live: AppTest) -> None:
    is_free = threading.Event()
    other = job_queue().submit(lambda _: is_free.wait(TIMEOUT_S))  # another visitor's
    first = image(live)
    live.slider(key="live_seed").set_value(3)
    older = job_queue().get(run(live).session_state["live_job"])
    assert older is not None and older.state == "queued"
    assert np.array_equal(image(live), first) and "Next in line" in shown(live)
    live.slider(key="live_seed").set_value(4)
    run(live)
    assert older.state == "canceled"
    is_free.set()
    settle(live, JOB)
    assert other.state == "done" and result(live).request.seed == 4


def test_an_empty_prompt_is_said_and_the_image_stays(live: AppTest) -> None:
    first = image(live)
    change(live, "text_input", "live_prompt", "  ")
    assert "prompt is empty" in live.error[0].value
    assert np.array_equal(image(live), first) and live.download_button(key="live_png")


def test_no_checkpoint_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTPUT_DIR", str(tmp_path))
    assert "no checkpoint" in open_live().error[0].value


def test_a_vocabulary_that_cannot_be_read_is_said(tiny_checkpoint: Path, output_dir: Path) -> None:
    (output_dir / "checkpoints").unlink()
    shutil.copytree(tiny_checkpoint / "checkpoints", output_dir / "checkpoints")
    edit_manifest(next(output_dir.rglob("manifest.json")).parent, lambda data: data.update(vocabulary={}))
    app = open_live()
    assert not app.exception and "no readable vocabulary" in app.error[0].value


def test_weight_0_is_a_and_weight_1_is_b(live: AppTest) -> None:
    a = image(settle(click(live, "live_use_A"), JOB))
    change(live, "text_input", "live_prompt", "Chest X-ray with pneumothorax")
    b = image(change(live, "slider", "live_seed", 5))
    click(live, "live_use_B")
    middle = image(open_two(live))
    assert not np.array_equal(middle, a) and not np.array_equal(middle, b)
    assert result(live).origin is not None and not [x for x in live.button if x.key == "live_open"]
    assert np.array_equal(image(change(live, "slider", "live_weight", 0.0)), a)
    assert np.array_equal(image(change(live, "slider", "live_weight", 1.0)), b)
    change(live, "text_input", "live_prompt_B", "Normal chest X-ray")
    assert not np.array_equal(image(live), b)


def test_the_strip_goes_from_a_to_b(live: AppTest) -> None:
    a = image(open_two(live))
    change(live, "select_slider", "live_count", 5)
    a, b = (image(change(live, "slider", "live_weight", weight)) for weight in (0.0, 1.0))
    key = f"live_strip_job {studio().manifest('tiny').ref.sha256}"
    settle(click(live, "live_strip"), key)
    results = job_queue().get(live.session_state[key]).result
    assert len(results) == 5
    assert np.array_equal(results[0].images[0], a) and np.array_equal(results[-1].images[0], b)
    assert [x.label for x in live.download_button] == ["PNG", "Strip PNG", "GIF"]
    assert "5 synthetic images" in shown(live)
    cine = viewers(live)[1]
    assert len(cine["panes"][0]["frames"]) == 5 and cine["names"][1] == "25% of the way from A to B"


def test_a_checkpoint_that_cannot_interpolate_still_draws_one_image(
    output_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latent_diffusion, "FAMILY", replace(latent_diffusion.FAMILY, abilities=frozenset()))
    live = open_live()
    first = image(live)
    open_two(live)
    assert "cannot interpolate" in live.info[0].value and not live.error
    assert np.array_equal(image(live), first)


def test_open_in_generator_fills_its_form(live: AppTest) -> None:
    change(live, "text_input", "live_prompt", "Chest X-ray with emphysema")
    change(live, "slider", GUIDANCE, 4.5)
    change(live, "slider", "live_seed", 12)
    run_button = live.button(key="live_open").click()
    run(live)
    assert run_button and live.title[0].value == "Generator"
    assert live.text_area(key="prompt").value == "Chest X-ray with emphysema"
    assert live.number_input(key="seed").value == 12 and not live.toggle(key="new_seed").value
    assert live.number_input(key="guidance of tiny").value == 4.5


def test_a_few_step_sampler_is_used_where_there_is_one(tiny_checkpoint: Path, output_dir: Path) -> None:
    (output_dir / "checkpoints").unlink()
    shutil.copytree(tiny_checkpoint / "checkpoints", output_dir / "checkpoints")
    distilled = {"schedulers": ["dpm++", "few_step"], "few_steps": {"few_step": 4}}
    edit_manifest(next(output_dir.rglob("manifest.json")).parent, lambda data: data.update(distilled))
    request = open_live("failed").session_state["live_job_drawings"][0].request  # its weights are not there
    assert request.scheduler == "few_step" and request.num_inference_steps == 4


def test_page_change_keeps_words_and_sliders(live: AppTest) -> None:
    change(live, "slider", "live_seed", 9)
    first = image(live)
    live.switch_page("create/enhancement.py").run()
    live.switch_page("create/live.py")
    run(live)
    assert live.slider(key="live_seed").value == 9 and np.array_equal(image(live), first)
