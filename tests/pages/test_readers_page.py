"""The reader study without a browser: made, read blind, left and resumed, finished, and its results."""

import base64
import io
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import streamlit as st
from PIL import Image as PILImage
from streamlit.testing.v1 import AppTest

from pages.kit.person import COOKIE
from pages.kit.services import job_queue, studio
from tests.pages.generator import TIMEOUT_S, click, own_folder, run, shown, viewers
from xray_generator.data.read import read_dataset
from xray_generator.experiments.reader_study import Study, list_studies
from xray_generator.experiments.readings import list_readings
from xray_generator.export.recipe import Recipe, encode_png
from xray_generator.types import GenerationRequest, TextPrompt

ROOT = Path(__file__).parents[2]
NUM_SAMPLES = 6


@pytest.fixture(autouse=True)
def samples(output_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six images of the tiny checkpoint, of the captions of unseen films."""
    monkeypatch.setenv("DATASET_PATH", str(ROOT / "dataset"))
    st.cache_data.clear()
    folder = output_dir / "samples" / "tiny"
    folder.mkdir(parents=True)
    rows = [row for row in read_dataset(ROOT / "dataset").rows if row.split != "train"][:NUM_SAMPLES]
    rng = np.random.default_rng(0)
    for seed, row in enumerate(rows):
        recipe = Recipe(GenerationRequest(TextPrompt(row.prompt), 1, 64, 64, seed=seed), studio().manifest().ref)
        (folder / f"tiny_seed{seed}.png").write_bytes(encode_png(rng.random((64, 64), np.float32), recipe))
    return folder


def open_page() -> AppTest:
    return run(AppTest.from_file(ROOT / "pages/measure/readers.py", default_timeout=TIMEOUT_S))


def make_study(page: AppTest, output_dir: Path, count: int = 5) -> Study:
    page.number_input(key=next(n.key for n in page.number_input if n.key.startswith("readers_count"))).set_value(count)
    click(run(page), "readers_make")
    (job,) = job_queue().find(own_folder(output_dir).name)
    while not job.is_over:
        time.sleep(0.02)
    run(page)
    assert job.state == "done", job.error
    (study,) = list_studies(output_dir / "reader_studies")
    return study


def begin(page: AppTest, name: str) -> AppTest:
    page.text_input[0].set_value(name)
    run(page)
    return click(page, "readers_begin")


def answer(page: AppTest, kind: str = "Synthetic") -> AppTest:
    for group in page.button_group:
        group.set_value(kind if group.label == "This image is" else 4)
    return click(run(page), "readers_next")


def finish(page: AppTest) -> AppTest:
    for group in page.button_group:
        group.set_value(3)
    return click(run(page), "readers_finish")


def frames(page: AppTest) -> list[bytes]:
    """The images that the page shows in viewers, as their bytes."""
    panes = [pane for viewer in viewers(page) for pane in viewer["panes"]]
    return [base64.b64decode(frame.partition(",")[2]) for pane in panes for frame in pane["frames"]]


def sent(page: AppTest) -> str:
    """All that the browser is given, but for the bytes of images."""
    return "\n".join(str(node.proto) for node in page.main if getattr(node, "proto", None) is not None)


def secrets(study: Study) -> Iterator[str]:
    """What would tell an image: names of files, sources, prompts and seeds."""
    yield from ("tiny_seed", "seed ", "kermany", "hannover", "nih_chest", "prompt")
    for item in study.items:
        yield item.origin.partition(",")[0]


def test_nothing_tells_what_an_image_is_before_the_end(output_dir: Path) -> None:
    page = open_page()
    study = make_study(page, output_dir)
    begin(page, "AB")
    pictures = []
    for _ in study.items:
        (png,) = frames(page)
        pictures.append(png)
        with PILImage.open(io.BytesIO(png)) as picture:
            assert (picture.mode, picture.size, picture.info) == ("L", (64, 64), {})
        text = sent(page)
        assert not [word for word in secrets(study) if word.lower() in text.lower()]
        assert viewers(page)[0]["panes"][0]["mark"] == "Given"
        answer(page)
    assert len({len(png) for png in pictures}) == 1 and len(set(pictures)) == len(study.items) == 10
    assert not [word for word in secrets(study) if word.lower() in sent(page).lower()]  # the two sets
    assert len(frames(page)) == 2 and len({len(png) for png in frames(page)}) == 1
    finish(page)
    text = "\n".join([shown(page), *(element.value for element in page.markdown)]).replace("\\", "")
    assert "10 answers, 50%" in text and "within chance" in text and not page.error
    assert {"readers_csv", "readers_json"} <= {button.key for button in page.download_button}
    page.toggle(key="readers_truth").set_value(True)
    run(page)
    assert all(item.origin.partition(",")[0] in sent(page).replace("\\", "") for item in study.items)


def test_a_reload_goes_on_with_the_next_image(output_dir: Path, cookies: dict[str, str]) -> None:
    page = open_page()
    study = make_study(page, output_dir)
    begin(page, "AB")
    assert page.button(key="readers_next").disabled and page.button(key="readers_back").disabled
    for _ in range(3):
        answer(page, "Real")
    (before,) = frames(page)
    again = open_page()
    assert frames(again) == [before] and "image 4 of 10" in again.get("progress")[0].proto.text
    click(again, "readers_back")
    assert "image 3 of 10" in again.get("progress")[0].proto.text
    click(again, "readers_leave")
    assert not viewers(again) and "0 readers of 1 through" in shown(again)
    cookies[COOKIE] = "another browser"
    other = begin(open_page(), "ab")
    assert "another browser" in other.error[0].value.replace("\\", "") and not viewers(other)
    begin(other, "CD")
    assert len(frames(other)) == 1 and frames(other) != [before]
    assert [len(one.answers) for one in list_readings(output_dir / "reader_studies", study)] == [2, 0]


def test_several_readers_are_compared(output_dir: Path) -> None:
    page = open_page()
    study = make_study(page, output_dir)
    for name in ("AB", "CD"):
        begin(page, name)
        for place in study.order(name):
            is_generated = study.items[place].is_generated
            answer(page, "Synthetic" if is_generated or (name == "CD" and place == 0) else "Real")
        finish(page)
    tables = [table.value.astype(str) for table in page.dataframe]
    assert tables[0]["Reader"].tolist() == ["all readers", "AB", "CD"] and tables[0]["Answers"].tolist()[0] == "20"
    assert any("Cohen's kappa" in table.columns for table in tables)
    assert "can be told apart" in "".join(element.value for element in page.markdown)
    begin(page, "AB")
    assert "AB has read this study" in page.error[0].value.replace("\\", "")
    click(page, "readers_delete")
    assert not list_studies(output_dir / "reader_studies") and "no study yet" in shown(page)


def test_images_are_drawn_where_there_are_no_samples(output_dir: Path, samples: Path) -> None:
    for path in samples.glob("*.png"):
        path.unlink()
    page = open_page()
    (source,) = [group for group in page.button_group if group.label == "Synthetic images"]
    assert source.options == ["Drawn for this study"]
    study = make_study(page, output_dir)
    assert sum(item.is_generated for item in study.items) == 5
    assert not list(own_folder(output_dir).glob("*.png"))  # the gallery would show them


def test_without_real_images_one_sentence_says_so(
    output_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = (ROOT / "dataset" / "metadata.csv").read_text().splitlines()
    folder = tmp_path / "only_train"
    folder.mkdir()
    (folder / "images").symlink_to(ROOT / "dataset" / "images")
    (folder / "metadata.csv").write_text("\n".join([lines[0], *(line for line in lines if ",train," in line)]) + "\n")
    monkeypatch.setenv("DATASET_PATH", str(folder))
    page = open_page()
    (message,) = page.info
    assert "needs 5 real images" in message.value and "hold 0" in message.value and not page.error
