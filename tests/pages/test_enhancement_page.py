"""The enhancement page as a visitor uses it: every kind of image in, every preset out, presets of one's own."""

import io
import json
import time
from pathlib import Path

import numpy as np
import pytest
import streamlit as st
from PIL import Image as PILImage
from streamlit.testing.v1 import AppTest

from pages.kit.services import job_queue
from postprocess.operations import Clahe, Median, Sharpen, Window
from postprocess.presets import PRESETS, Preset, load_presets, save_preset, to_json
from tests.ct_files import HU, ct
from tests.pages.generator import TIMEOUT_S, click, own_folder, run, viewers
from xray_generator.export.recipe import Recipe, encode_png, read_recipe
from xray_generator.types import CheckpointRef, GenerationRequest, TextPrompt

ROOT = Path(__file__).parents[2]
TITLES = {  # of the editor's operations
    "median": "Median (noise)",
    "equalize": "Equalize (global contrast)",
    "clahe": "CLAHE (local contrast)",
    "window": "Window (gray range)",
    "sharpen": "Sharpen (edges)",
    "vignette": "Vignette (dark corners)",
}
SHOWN = ["Raw", *(preset.name for preset in PRESETS[1:])]
EDITOR, SLIDER = "Edit a preset", "A/B slider"
RAMP = np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64)


@pytest.fixture
def output_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty OUTPUT_DIR, with the dataset that ships and nothing cached."""
    monkeypatch.setenv("OUTPUT_DIR", str(tmp_path))
    monkeypatch.setenv("DATASET_PATH", str(ROOT / "dataset"))
    st.cache_resource.clear()
    st.cache_data.clear()
    return tmp_path


@pytest.fixture
def page(output_dir: Path) -> AppTest:
    """The page after its first run."""
    return run_page()


def run_page() -> AppTest:
    page = AppTest.from_file(str(ROOT / "pages/create/enhancement.py"), default_timeout=60).run()
    assert not page.exception
    return page


def png(picture: PILImage.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()


def upload(page: AppTest, data: bytes) -> AppTest:
    page.segmented_control(key="enhancement_source").set_value("Upload").run()
    page.file_uploader(key="enhancement_upload").upload("image.png", data, "image/png").run()
    assert not page.exception
    return page


def open_tab(page: AppTest, name: str) -> AppTest:
    page.session_state["enhancement_tab"] = name
    page.run()
    assert not page.exception
    return page


def names(page: AppTest) -> list[str]:
    """The names of the images side by side."""
    return [pane["label"] for viewer in viewers(page) for pane in viewer["panes"]]


def marks(page: AppTest) -> set[str]:
    return {pane["mark"] for viewer in viewers(page) for pane in viewer["panes"]}


def costs(page: AppTest) -> dict[str, list[str]]:
    return page.dataframe[0].value.to_dict("list")


def captions(page: AppTest) -> str:
    return "\n".join(element.value for element in page.caption).replace("\\", "")


def test_dataset_image_goes_through_every_preset_with_its_cost(page: AppTest) -> None:
    assert page.segmented_control(key="enhancement_source").value == "Dataset"
    assert names(page) == SHOWN == costs(page)["Preset"] and marks(page) == {"Real"}
    assert all(0 < float(value) < 1 for value in costs(page)["SSIM"][1:])
    assert "Good: an SSIM near 1" in captions(page)


def test_downloads_do_not_run_the_page_again(page: AppTest) -> None:
    assert len(page.download_button) == 1 + len(PRESETS)
    assert all(button.proto.ignore_rerun for button in page.download_button)


def test_dataset_is_filtered_by_finding_and_view(page: AppTest) -> None:
    page.selectbox(key="enhancement_finding").set_value("covid19")
    page.selectbox(key="enhancement_view").set_value("PA").run()
    rows = page.selectbox(key="enhancement_row").options
    assert rows
    assert all("COVID-19" in row and "PA" in row.split(" · ") for row in rows)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"This is a text file.", "This is not an image. Allowed: PNG, JPEG, TIFF, DICOM."),
        (png(PILImage.new("L", (64, 64)))[:60], "damaged or cut short"),
        (png(PILImage.new("L", (8, 8))), "each side must be 16 or more"),
    ],
    ids=["text", "cut", "tiny"],
)
def test_wrong_upload_is_answered_in_words(page: AppTest, data: bytes, message: str) -> None:
    upload(page, data)
    assert [message in error.value.replace("\\", "") for error in page.error] == [True]
    assert not viewers(page)


@pytest.mark.parametrize(
    "picture",
    [
        PILImage.fromarray((RAMP * 65_535).astype(np.uint16)),
        PILImage.fromarray(np.dstack([np.uint8(RAMP * 255)] * 3 + [np.full((64, 64), 255, np.uint8)]), "RGBA"),
    ],
    ids=["16 bit", "RGBA"],
)
def test_16_bit_and_rgba_uploads_are_read_as_they_look(page: AppTest, picture: PILImage.Image) -> None:
    upload(page, png(picture))
    assert not page.error
    assert names(page) == SHOWN and marks(page) == {"Given"}
    assert "uploaded image · 64 x 64 pixels" in captions(page)
    assert costs(page)["White"][0].startswith("0.")  # a ramp; a white image would be 100 %


def test_large_upload_is_scaled_down_and_says_so(page: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xray_generator.gallery.MAX_PIXELS", 10_000)  # the real limit takes many seconds
    upload(page, png(PILImage.linear_gradient("L").resize((300, 200))))
    assert "scaled down from 300 x 200 pixels · 122 x 81 pixels" in captions(page)


def test_lengths_are_those_of_the_image_where_the_page_shows_it_smaller(page: AppTest) -> None:
    upload(page, png(PILImage.linear_gradient("L").resize((1_200, 1_200))))
    assert viewers(page)[0]["reduction"] == pytest.approx(1.2)


def test_a_ct_file_has_its_hounsfield_units_windows_and_millimeters(page: AppTest) -> None:
    upload(page, ct())
    (viewer,) = viewers(page)
    assert (viewer["low"], viewer["high"], viewer["spacing"]) == (-1350, 150, [0.7, 0.7])
    assert [pane["unit"] for pane in viewer["panes"]] == [" HU", *[""] * (len(SHOWN) - 1)]
    assert "uploaded image, Hounsfield units" in captions(page) and "training" not in captions(page)
    assert costs(page)["Black"][0] == "0.00%"  # air is not below the lung window
    window = next(group for group in page.button_group if group.label == "Window")
    assert window.value == "lung"
    window.set_value("mediastinum").run()
    air_and_lung = (HU < -160 + 200 / 255).mean()
    assert float(costs(page)["Black"][0].rstrip("%")) / 100 == pytest.approx(air_and_lung, abs=0.01)
    window = next(group for group in page.button_group if group.label == "Window")
    window.set_value("full range").run()
    assert costs(page)["Black"][0] == costs(page)["White"][0] == "0.00%" and viewers(page)[0]["low"] == -1024


def test_upload_outlives_a_change_of_page_until_it_is_removed(output_dir: Path) -> None:
    frame = AppTest.from_file(ROOT / "pages" / "frame.py", default_timeout=60).run()
    page = upload(frame.switch_page("create/enhancement.py").run(), png(PILImage.linear_gradient("L")))
    page.switch_page("create/generate.py").run()
    page.switch_page("create/enhancement.py").run()
    assert "uploaded image · 256 x 256 pixels" in captions(page)
    page.file_uploader(key="enhancement_upload").upload("x.png", png(PILImage.new("L", (64, 64))), "image/png").run()
    assert "64 x 64 pixels" in captions(page)


def test_generated_images_come_first_and_enhanced_ones_are_left_out(output_dir: Path) -> None:
    folder = own_folder(output_dir)
    folder.mkdir(parents=True)
    recipe = Recipe(
        GenerationRequest(TextPrompt("Normal *chest*"), seed=7), CheckpointRef("latent_diffusion", "x", "0")
    )
    enhanced = Recipe(recipe.request, recipe.checkpoint, preset={"name": "Balanced", "operations": []})
    (folder / "raw.png").write_bytes(encode_png(RAMP, recipe))
    (folder / "enhanced.png").write_bytes(encode_png(RAMP, enhanced))
    (folder / "foreign.png").write_bytes(png(PILImage.new("L", (64, 64))))
    page = run_page()
    assert page.segmented_control(key="enhancement_source").value == "Generated"
    (option,) = page.selectbox(key="enhancement_generated").options
    assert option.startswith("Normal *chest* · seed 7 · ")
    assert names(page) == SHOWN and marks(page) == {"Synthetic"}


def draw(page: AppTest) -> AppTest:
    """Ask for the image of the form and wait for it."""
    before = set(job_queue()._jobs)
    click(page, "enhancement_draw")
    (job,) = (job for name, job in job_queue()._jobs.items() if name not in before)
    deadline = time.monotonic() + TIMEOUT_S
    while not job.is_over and time.monotonic() < deadline:
        time.sleep(0.02)
    assert job.state == "done", job.error
    return run(page)


def open_draw(output_dir: Path, checkpoint: Path) -> AppTest:
    (output_dir / "checkpoints").symlink_to(checkpoint / "checkpoints")
    page = run_page()
    page.segmented_control(key="enhancement_source").set_value("Draw").run()
    assert not page.exception and not viewers(page)
    return page


def test_an_image_is_drawn_from_a_prompt_and_kept(output_dir: Path, tiny_checkpoint: Path) -> None:
    page = open_draw(output_dir, tiny_checkpoint)
    page.text_input(key="enhancement_prompt").set_value("Chest X-ray with pneumonia")
    page.number_input(key="enhancement_seed").set_value(5).run()
    assert names(draw(page)) == SHOWN and marks(page) == {"Synthetic"}
    assert "generated by tiny with seed 5" in captions(page)
    (path,) = own_folder(output_dir).glob("*.png")
    assert read_recipe(path.read_bytes()).request.condition == TextPrompt("Chest X-ray with pneumonia")
    page.text_input(key="enhancement_prompt").set_value(" ")
    assert "prompt is empty" in click(page, "enhancement_draw").error[0].value


def test_a_drawn_ct_image_has_the_units_of_its_model(output_dir: Path, tiny_ct_checkpoint: Path) -> None:
    page = draw(open_draw(output_dir, tiny_ct_checkpoint))
    assert (viewers(page)[0]["low"], viewers(page)[0]["unit"]) == (-1350, " HU")
    assert "were cut off in the training data" in captions(page)
    next(group for group in page.button_group if group.label == "Window").set_value("bone").run()
    assert viewers(page)[0]["high"] == 1300 and "-500 to 1,300 HU" in captions(page)
    assert marks(page) == {"Synthetic"}


def test_without_generated_images_the_page_says_where_to_make_one(page: AppTest) -> None:
    page.segmented_control(key="enhancement_source").set_value("Generated").run()
    assert "You have not generated an image yet" in page.info[0].value


def test_slider_compares_any_two_presets(page: AppTest) -> None:
    open_tab(page, SLIDER)
    assert page.selectbox(key="enhancement_Left").value == "None"
    page.selectbox(key="enhancement_Right").set_value("Radiographic Film").run()
    assert not page.exception
    assert captions(page).count("SSIM 0.") == 1


def test_editor_saves_a_custom_preset_that_the_grid_shows(page: AppTest, output_dir: Path) -> None:
    open_tab(page, EDITOR)
    page.toggle(key="preset_0_balanced_0").set_value(False)  # the median
    page.slider(key="preset_0_balanced_4_amount").set_value(0.5).run()
    page.text_input(key="preset_name_balanced").set_value("Mine [x](y)")
    page.button(key="preset_save").click().run()
    assert not page.exception
    assert not page.error
    assert page.toast[0].value.startswith("Saved.")
    assert page.selectbox(key="preset_base").value == "Mine [x](y)"
    expected = Preset("Mine [x](y)", (*PRESETS[1].operations[1:4], Sharpen(0.5, 0.8), PRESETS[1].operations[5]))
    assert load_presets(output_dir / "presets") == (expected,)
    assert names(open_tab(page, "Side by side")) == [*SHOWN, "Mine [x](y)"]


def test_switching_an_operation_off_and_on_keeps_its_slider(page: AppTest) -> None:
    open_tab(page, EDITOR)
    page.slider(key="preset_0_balanced_4_amount").set_value(0.5).run()
    page.toggle(key="preset_0_balanced_4").set_value(False).run()
    assert "preset_0_balanced_4_amount" not in {slider.key for slider in page.slider}
    page.toggle(key="preset_0_balanced_4").set_value(True).run()
    assert page.slider(key="preset_0_balanced_4_amount").value == 0.5
    page.button(key="preset_reset").click().run()
    assert page.slider(key="preset_1_balanced_4_amount").value == 0.3


@pytest.mark.parametrize("name", ["Balanced", "high contrast", "none", "all", "  "])
def test_protected_and_empty_names_are_refused(page: AppTest, output_dir: Path, name: str) -> None:
    open_tab(page, EDITOR)
    page.text_input(key="preset_name_balanced").set_value(name)
    page.button(key="preset_save").click().run()
    assert len(page.error) == 1
    assert "name" in page.error[0].value
    assert not (output_dir / "presets").exists()


def test_custom_preset_is_deleted(output_dir: Path) -> None:
    save_preset(Preset("Mine", (Median(5),)), output_dir / "presets")
    page = open_tab(run_page(), EDITOR)
    page.selectbox(key="preset_base").set_value("Mine").run()
    page.button(key="preset_delete").click().run()
    assert not page.exception
    assert load_presets(output_dir / "presets") == ()
    assert page.selectbox(key="preset_base").value == "Balanced"


def test_preset_file_is_imported_and_a_wrong_one_is_refused(page: AppTest, output_dir: Path) -> None:
    open_tab(page, EDITOR)
    wrong = json.dumps({"name": "X", "operations": [{"kind": "clahe", "clip_limit": 99}]}).encode()
    page.file_uploader(key="preset_upload").set_value(("x.json", wrong, "application/json")).run()
    page.button(key="preset_import").click().run()
    assert "clip limit must be a number from 0.1 to 40" in page.error[0].value.replace("\\", "")
    right = Preset("Imported", (Window(0.6, 0.7), Clahe(3.0, (4, 6))))
    page.file_uploader(key="preset_upload").set_value(("x.json", to_json(right).encode(), "application/json")).run()
    page.button(key="preset_import").click().run()
    assert not page.exception
    assert load_presets(output_dir / "presets") == (right,)
    assert page.selectbox(key="preset_base").value == "Imported"


def test_damaged_preset_file_leaves_the_built_in_presets(output_dir: Path) -> None:
    (output_dir / "presets").mkdir()
    (output_dir / "presets" / "bad.json").write_text("{")
    page = run_page()
    assert "bad.json" in page.error[0].value.replace("\\", "")
    assert names(page) == SHOWN


def test_editor_offers_every_operation_in_the_order_of_the_preset(output_dir: Path) -> None:
    save_preset(Preset("odd", (Sharpen(), Median(), Sharpen(1.0))), output_dir / "presets")
    page = open_tab(run_page(), EDITOR)
    for preset in (*PRESETS, *load_presets(output_dir / "presets")):
        page.selectbox(key="preset_base").set_value(preset.name).run()
        switched_on = [toggle.label for toggle in page.toggle if toggle.value]
        assert switched_on == [TITLES[operation.kind] for operation in preset.operations]
        assert {toggle.label for toggle in page.toggle} == set(TITLES.values()) and len(TITLES) == 6
