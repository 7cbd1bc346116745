"""Work is not lost: images come one by one, requests wait in line, and a page that is loaded again finds them."""

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import streamlit as st
from streamlit.runtime.caching import clear_session_resource_cache
from streamlit.testing.v1 import AppTest

from pages.kit import person
from pages.kit.person import COOKIE, presence
from pages.kit.services import job_queue, studio
from tests.pages.generator import BROWSER, cancel, click, open_generator, own_folder, run, shown, viewers, wait
from xray_generator.export.recipe import read_recipe
from xray_generator.images import read_image, to_uint8


@pytest.fixture
def gate(output_dir: Path) -> Iterator[threading.Event]:
    """Holds the model from the second image on until it is set."""
    event = threading.Event()

    def hold(*_: object) -> None:
        if list(own_folder(output_dir).glob("*.png")):
            event.wait(60)

    hook = studio().engine("tiny").components()["unet"].register_forward_hook(hold)
    yield event
    event.set()
    hook.remove()


def ask(app: AppTest, prompt: str, num_images: int = 1) -> AppTest:
    """Press Generate for a prompt."""
    app.text_area(key="prompt").set_value(prompt)
    app.number_input(key="num_images").set_value(num_images)
    run(app)
    return click(app, "generate")


def progress(app: AppTest) -> list[str]:
    """The text of each bar of progress, as it was before it was made safe to draw."""
    return [bar.proto.text.replace("\\", "") for bar in app.get("progress")]


def await_image(output_dir: Path, app: AppTest) -> AppTest:
    """Wait until the first image is on disk, then run."""
    job = job_queue().find(own_folder(output_dir).name)[0]
    while not (job.num_done or job.is_over):
        threading.Event().wait(0.02)
    return run(app)


def test_images_come_one_by_one_and_are_kept_on_cancel(app: AppTest, output_dir: Path, gate: threading.Event) -> None:
    await_image(output_dir, ask(app, "Normal chest X-ray", 3))
    assert len(viewers(app)) == 1
    assert "Raw PNG" in [button.label for button in app.download_button]
    (text,) = progress(app)
    assert text.startswith("Normal chest X-ray · tiny: Running. Image ") and " of 3, step " in text
    cancel(app)
    gate.set()
    job = wait(app)
    assert (job.state, len(job.result.images), job.result.request.num_images) == ("canceled", 1, 3)
    assert "1 of 3 images are finished and kept" in shown(app) and len(viewers(app)) == 1
    (path,) = own_folder(output_dir).glob("*.png")
    assert read_recipe(path.read_bytes()).request.seed == job.result.seeds[0]


def test_several_requests_wait_in_line_each_with_its_cancel(
    app: AppTest, output_dir: Path, gate: threading.Event
) -> None:
    await_image(output_dir, ask(app, "Normal chest X-ray", 2))
    for prompt in ("Pneumonia", "Cardiomegaly"):
        ask(app, prompt)
    first, second, third = job_queue().find(own_folder(output_dir).name)
    texts = progress(app)
    assert [text.split(" · ")[0] for text in texts] == ["Normal chest X-ray", "Pneumonia", "Cardiomegaly"]
    assert "Running" in texts[0] and "Waiting. Next in line" in texts[1] and "Waiting. 2 jobs ahead" in texts[2]
    click(app, f"cancel {second.id}")
    gate.set()
    wait(app)
    assert [job.state for job in (first, second, third)] == ["done", "canceled", "done"]
    choice = app.selectbox(key="result of tiny")
    assert [option.split(" · ")[:2] for option in choice.options] == [
        ["Cardiomegaly", "1 image"],
        ["Normal chest X-ray", "2 images"],
    ]
    assert str(third.result.seeds[0]) in shown(app)
    choice.select_index(1)
    assert str(first.result.seeds[0]) in shown(run(app)) and "2 synthetic images" in shown(app)


def test_form_jobs_and_result_are_there_after_a_reload(app: AppTest, output_dir: Path, gate: threading.Event) -> None:
    app.number_input(key="steps of tiny").set_value(3)
    app.toggle(key="new_seed").set_value(False)
    run(app).number_input(key="seed").set_value(77)
    await_image(output_dir, ask(app, "Pneumonia", 2))
    again = open_generator()
    assert again.text_area(key="prompt").value == "Pneumonia"
    assert (again.number_input(key="num_images").value, again.number_input(key="steps of tiny").value) == (2, 3)
    assert (again.toggle(key="new_seed").value, again.number_input(key="seed").value) == (False, 77)
    assert progress(again) and len(viewers(again)) == 1
    gate.set()
    result = wait(app).result
    assert len(result.images) == 2 and shown(run(again)) == shown(app)
    st.cache_resource.clear()  # a restart: nothing is left in memory
    assert "2 synthetic images" in shown(app) and shown(open_generator()) == shown(app)
    paths = own_folder(output_dir).glob("*.png")
    by_seed = {read_recipe(path.read_bytes()).request.seed: read_image(path) for path in paths}
    for seed, image in zip(result.seeds, result.images, strict=True):
        assert np.array_equal(to_uint8(by_seed[seed]), to_uint8(image))


def test_another_person_sees_nothing_of_it(app: AppTest, output_dir: Path, cookies: dict[str, str]) -> None:
    wait(ask(app, "Pneumonia"))
    cookies[COOKIE] = "another browser"
    other = open_generator()
    assert other.text_area(key="prompt").value != "Pneumonia" and not viewers(other)
    assert not job_queue().find(own_folder(output_dir, "another browser").name)
    other.switch_page("create/enhancement.py")
    run(other).button_group(key="enhancement_source").set_value("Generated")
    assert "You have not generated an image yet" in run(other).info[0].value
    cookies.clear()  # a browser that takes none: each tab is a person
    assert not viewers(open_generator())


def test_a_result_stands_beside_the_form_of_its_own_model_only(
    tiny_ct_checkpoint: Path, tiny_checkpoint: Path, output_dir: Path
) -> None:
    (output_dir / "checkpoints").unlink()
    for root in (tiny_checkpoint, tiny_ct_checkpoint):
        shutil.copytree(root / "checkpoints", output_dir / "checkpoints", dirs_exist_ok=True)
    app = open_generator()
    wait(ask(app, "Pneumonia"))
    app.selectbox(key="checkpoint").set_value("tiny_ct")
    assert not viewers(run(app)) and "The images appear here." in shown(app)
    wait(click(app, "generate"))
    assert "Lung CT by class, 32 px · tiny_ct · synthetic" in shown(app).replace("\\", "")
    app.selectbox(key="checkpoint").set_value("tiny")
    assert "Chest X-ray from text, 64 px · tiny · synthetic" in shown(run(app)).replace("\\", "")
    assert len(viewers(app)) == 1


def test_a_job_whose_tab_is_gone_does_not_hold_up_others(
    app: AppTest, output_dir: Path, gate: threading.Event, cookies: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    await_image(output_dir, ask(app, "Normal chest X-ray", 8))
    (gone,) = job_queue().find(own_folder(output_dir).name)
    monkeypatch.setattr(person, "GRACE_S", 0.0)
    clear_session_resource_cache("test session id")  # what Streamlit does when a tab disconnects
    assert not presence().is_here(gone.owner)
    cookies[COOKIE] = "another browser"
    other = ask(open_generator(), "Pneumonia")
    gate.set()
    assert wait(other).state == "done"
    assert (gone.state, gone.num_done) == ("canceled", 1)
    cookies[COOKIE] = BROWSER
    assert "because its page was closed and others were waiting" in shown(open_generator())


def test_other_pages_list_what_waits_and_can_cancel_it(app: AppTest, output_dir: Path, gate: threading.Event) -> None:
    await_image(output_dir, ask(app, "Normal chest X-ray", 3))
    (job,) = job_queue().find(own_folder(output_dir).name)
    app.switch_page("explore/dataset.py")
    (text,) = progress(run(app))
    assert text.startswith("Normal chest X-ray · tiny: Running. Image ")
    click(app, f"cancel {job.id} queue")
    gate.set()
    while not job.is_over:
        threading.Event().wait(0.02)
    assert job.state == "canceled" and not progress(run(app))


def test_a_server_that_starts_again_draws_what_was_asked(app: AppTest, output_dir: Path, gate: threading.Event) -> None:
    await_image(output_dir, ask(app, "Normal chest X-ray", 2))
    ask(app, "Pneumonia")
    owner = own_folder(output_dir).name
    ended = job_queue()
    assert ended._store is not None
    ended._store.close()
    for job in ended.find(owner):
        ended._jobs.pop(job.id)  # what waits is not begun by the old worker
    job_queue.clear()
    first, second = job_queue().find(owner)
    assert first is not ended.find(owner) and (second.state, second.title) == ("queued", "Pneumonia · tiny")
    gate.set()
    while not second.is_over:
        threading.Event().wait(0.02)
    assert len(viewers(open_generator())) == 1
    assert (first.state, first.attempts, second.state) == ("done", 2, "done")
    assert len(list(own_folder(output_dir).glob("*.png"))) == 3
