"""The Research dashboard as a visitor uses it: without images, every tab, more images, memorization."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from pages.kit.services import job_queue
from tests.pages.generator import TIMEOUT_S, cancel, own_folder, shown
from tests.pages.record_samples import FULL, QUICK, keep
from xray_generator.checkpoints import Manifest, read_manifest
from xray_generator.data.prompts import row_of_prompt
from xray_generator.data.read import read_dataset
from xray_generator.data.rows import Row
from xray_generator.evaluation.records import Measurement
from xray_generator.export.recipe import Recipe, encode_png
from xray_generator.images import resize_square
from xray_generator.types import CheckpointRef, GenerationRequest, Image, TextPrompt

ROOT = Path(__file__).parents[2]
NUM_DRAWN = 12
TABS = (
    "Side by side",
    "Distributions",
    "Spectra",
    "Mean images",
    "Nearest neighbors",
    "Radar",
    "Memorization",
    "Export",
)


@pytest.fixture(autouse=True)
def dataset(output_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The dataset that ships, and nothing cached."""
    monkeypatch.setenv("DATASET_PATH", str(ROOT / "dataset"))
    st.cache_data.clear()


@pytest.fixture
def manifest(output_dir: Path) -> Manifest:
    """The tiny checkpoint's."""
    return read_manifest(output_dir / "checkpoints" / "latent_diffusion" / "tiny")


@pytest.fixture(scope="module")
def films() -> tuple[Row, ...]:
    return read_dataset(ROOT / "dataset").rows


@pytest.fixture
def samples(output_dir: Path, manifest: Manifest, films: tuple[Row, ...]) -> Path:
    """Twelve images of this checkpoint, one of other weights and an enhanced one; the first is a training film."""
    folder = output_dir / "samples" / "tiny"
    folder.mkdir(parents=True)
    train = [row for row in films if row.split == "train"][:NUM_DRAWN]
    rng = np.random.default_rng(0)
    for i, row in enumerate(train):
        image = resize_square(row.image(), 64)
        save(folder, image if i == 0 else rng.random((64, 64)).astype(np.float32), row.prompt, i, manifest.ref)
    save(folder, np.zeros((64, 64), np.float32), "other", 90, CheckpointRef("latent_diffusion", "tiny", "0" * 64))
    save(folder, np.zeros((64, 64), np.float32), "enhanced", 91, manifest.ref, preset={"name": "x", "operations": []})
    return folder


def save(folder: Path, image: Image, prompt: str, seed: int, ref: CheckpointRef, preset: dict | None = None) -> None:
    recipe = Recipe(GenerationRequest(TextPrompt(prompt), 1, 64, 64, 4, 3.0, "ddim", seed), ref, {}, preset)
    (folder / f"{seed:02}.png").write_bytes(encode_png(image, recipe))


def open_page() -> AppTest:
    return checked(AppTest.from_file(str(ROOT / "pages/measure/research.py"), default_timeout=TIMEOUT_S).run())


def checked(page: AppTest) -> AppTest:
    assert not page.exception
    return page


def open_tab(page: AppTest, name: str) -> AppTest:
    page.session_state["research_tab"] = name
    return checked(page.run())


def words(page: AppTest) -> str:
    return f"{shown(page)}\n{' '.join(str(m.value) for m in page.markdown)}".replace("\\", "")


def test_without_generated_images_every_tab_says_what_to_do(output_dir: Path) -> None:
    page = open_page()
    assert "n = 0" in words(page) and "Generate more" in words(page)
    for tab in TABS[1:]:
        text = words(open_tab(page, tab))
        assert any(
            hint in text for hint in ("generated image", "no image of this condition", "8 images on each side")
        ), tab
    assert not page.error


def test_without_a_dataset_one_sentence_says_so(output_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATASET_PATH", str(output_dir / "nowhere"))
    page = open_page()
    assert len(page.error) == 1 and "does not exist" in page.error[0].value


def test_n_of_both_sides_and_what_was_left_out_are_stated(samples: Path, films: tuple[Row, ...]) -> None:
    page = open_page()
    text = words(page)
    unseen = sum(row.split != "train" for row in films)
    assert f"Real · n = {unseen} · val+test" in text and f"Generated (synthetic) · n = {NUM_DRAWN}" in text
    assert "left out: 1 enhanced, 1 of other weights" in text
    page.pills(key="research_sources").set_value([]).run()
    assert "Generated (synthetic) · n = 0" in words(checked(page))


def test_images_made_in_play_are_not_pooled_with_the_samples(
    samples: Path, output_dir: Path, manifest: Manifest
) -> None:
    own_folder(output_dir).mkdir(parents=True)
    save(own_folder(output_dir), np.zeros((64, 64), np.float32), "Chest X-ray", 500, manifest.ref)
    page = open_page()
    assert page.pills(key="research_sources").value == ["Samples that ship"]
    assert f"Generated (synthetic) · n = {NUM_DRAWN}" in words(page)
    assert page.number_input(key="research_seed_501").value == 501  # no image of play is made again
    page.pills(key="research_sources").set_value(["Samples that ship", "Generated here"]).run()
    assert f"Generated (synthetic) · n = {NUM_DRAWN + 1}" in words(checked(page))


def test_every_tab_draws_and_the_numbers_are_those_of_the_images(samples: Path, films: tuple[Row, ...]) -> None:
    page = open_page()
    assert len(page.get("bidi_component")) == 1, "the viewer of the pair"
    for tab in TABS:
        open_tab(page, tab)
        told = [e.value for e in (*page.error, *page.info) if "There is no record" not in e.value]
        assert not told, (tab, told)
        if tab == "Distributions":
            table = page.dataframe[0].value.set_index("Measure")
            unseen = [resize_square(row.image(), 64) for row in films if row.split != "train"]
            brightness = float(np.mean([image.mean() for image in unseen]))
            assert table.loc["Brightness", f"Real (n = {len(unseen)})"] == f"{brightness:.3g}"
            assert "strong evidence of a difference" in table.loc["Sharpness", "In words"]


@pytest.mark.parametrize("tab", ["Radar", "Memorization"])
def test_without_a_record_the_tab_says_how_to_make_one(samples: Path, tab: str) -> None:
    page = open_tab(open_page(), tab)
    assert any("xray_generator.evaluate" in info.value for info in page.info)


def test_a_condition_selects_images_on_both_sides(samples: Path, films: tuple[Row, ...]) -> None:
    page = open_page()
    page.selectbox(key="research_condition").select("no_finding").run()
    text = words(checked(page))
    fitting = [row for row in films if row.split != "train" and "no_finding" in row.findings]
    asked = [row for row in films if row.split == "train"][:NUM_DRAWN]
    expected = sum("no_finding" in row_of_prompt(row.prompt).findings for row in asked)
    assert f"Real · n = {len(fitting)}" in text and f"Generated (synthetic) · n = {expected}" in text


def test_the_blind_test_counts_right_answers_and_reveals(samples: Path) -> None:
    page = open_page()
    page.session_state["blind_seed"] = 3
    page.segmented_control(key="research_mode").set_value("Blind test").run()
    assert words(checked(page)).count("Generated (synthetic)") == 1  # how many there are, but not which one it is
    page.button(key="blind_Left").click().run()
    score, text = page.metric[0].value, words(checked(page))
    assert text.count("Generated (synthetic)") == 2 and page.button(key="blind_Left").disabled
    left_is_real = text.rindex("Real") < text.rindex("Generated (synthetic)")
    assert score == ("1 of 1" if left_is_real else "0 of 1") and len(page.success) == left_is_real
    page.button(key="blind_next").click().run()
    assert not checked(page).button(key="blind_Left").disabled and page.metric[0].value == score


def test_more_images_of_a_condition_are_generated_with_stated_seeds(output_dir: Path, films: tuple[Row, ...]) -> None:
    page = open_page()
    page.selectbox(key="research_condition").select("covid19").run()
    page.number_input(key="research_count").set_value(2).run()
    assert "seeds 0 to 1" in words(page)
    page.button(key="research_draw").click().run()
    job = job_queue().get(page.session_state["research_job"])
    assert job is not None
    while not job.is_over:
        page.run()
    assert job.state == "done" and job.result == 2 and job.step == job.total
    text = words(checked(page.run()))
    assert "Generated (synthetic) · n = 2" in text and "seeds 2 to 3" in text
    assert len(list(own_folder(output_dir).glob("*.png"))) == 2


def test_generating_can_be_canceled(output_dir: Path) -> None:
    page = open_page()
    page.number_input(key="research_count").set_value(32).run()
    page.button(key="research_draw").click().run()
    job = job_queue().get(page.session_state["research_job"])
    assert job is not None
    cancel(page)
    while not job.is_over:
        pass
    assert "Canceled" in words(checked(page.run()))


def test_a_planted_training_image_is_flagged(samples: Path) -> None:
    page = open_tab(open_page(), "Memorization")
    page.button(key="research_check").click().run()
    text = words(checked(page))
    assert f"1 of {NUM_DRAWN} flagged, compared with 140 training images" in text
    assert "Possible copy" in text


def test_a_record_of_replaced_weights_is_shown_with_a_warning(samples: Path, output_dir: Path) -> None:
    (output_dir / "metrics").mkdir()
    (output_dir / "metrics" / "tiny.record.json").write_text(
        '{"subject": "tiny", "suite": "quick", "created": "2026-01-01T00:00:00+00:00", "commit": "x",'
        ' "checkpoint": {"family": "latent_diffusion", "name": "tiny", "sha256": "0"},'
        ' "settings": {"num_images": 5}, "measurements": [{"measure": "copy_rate", "value": 0.25, "n": 5}]}'
    )
    page = open_tab(open_page(), "Memorization")
    assert "measured 2026-01-01" in words(page) and "were replaced" in words(page)
    assert [metric.value for metric in page.metric] == ["0.25"]


def test_the_full_record_of_these_weights_is_preferred(samples: Path, output_dir: Path, manifest: Manifest) -> None:
    other = replace(manifest.ref, family="another")
    control = Measurement("utility_shuffled", 0.5, 100, real=0.5)
    full = replace(FULL, checkpoint=manifest.ref, measurements=(*FULL.measurements, control))
    namesake = replace(full, subject="namesake", checkpoint=other, created="2026-05-01T00:00:00+00:00")
    keep(output_dir, full, replace(QUICK, checkpoint=manifest.ref), namesake)
    (output_dir / "metrics" / "broken.record.json").write_text("{")
    page = open_tab(open_page(), "Radar")
    assert "Full suite" in words(page) and "measured 2026-01-02" in words(page) and not page.warning
    assert "broken.record.json" in page.error[0].value.replace("\\", "")
    table = page.dataframe[-1].value.set_index("Measure")["Times real"]
    # neither the last point of a sweep nor the control
    assert dict(table) == {"Sharpness": "0.50", "Precision": "0.56", "Recall": "0.56"}
