"""The Generator page without a browser: what it says, what it keeps, and that it paints before torch is imported."""

import io
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from pages.kit.services import escape_markdown, job_queue, studio
from postprocess.presets import get_preset
from tests.manifests import edit_manifest
from tests.pages.generator import TIMEOUT_S, cancel, click, open_generator, own_folder, run, shown, wait
from tests.pages.record_samples import FULL, keep
from xray_generator.export.pictures import archive, pictures
from xray_generator.export.recipe import read_recipe
from xray_generator.images import from_uint8, to_uint8
from xray_generator.types import NOTICE

ROOT = Path(__file__).parents[2]
SCHEDULERS = ("ddim", "ddpm", "dpm++", "unipc")


def has_result(app: AppTest) -> bool:
    """Whether a finished result is drawn."""
    return any(button.label == "Raw PNG" for button in app.download_button)


def test_first_paint_imports_no_torch(tiny_checkpoint: Path) -> None:
    code = """
import sys
from streamlit.testing.v1 import AppTest
app = AppTest.from_file("pages/frame.py", default_timeout=60).run()
assert not app.exception and not app.error and app.button(key="draw tiny")
app.switch_page("create/generate.py").run()
assert not app.exception and not app.error and app.button(key="generate")
print([name for name in ("torch", "diffusers", "transformers") if name in sys.modules])
"""
    env = {"OUTPUT_DIR": str(tiny_checkpoint), "PATH": "", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=True, timeout=TIMEOUT_S
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_page_says_what_it_is(app: AppTest) -> None:
    assert app.title[0].value == "Generator"
    assert any("Not for diagnosis" in element.value for element in app.markdown)
    assert not app.error


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("vocabulary", {}, "vocabulary"),
        ("recommended", {"scheduler": "dpm++", "num_inference_steps": "many", "guidance_scale": 3.0}, "valid integer"),
        ("recommended", {"scheduler": "dpm++", "num_inference_steps": None, "guidance_scale": 3.0}, "recommend"),
    ],
)
def test_a_damaged_manifest_is_explained(
    tiny_checkpoint: Path, output_dir: Path, part: str, value: object, message: str
) -> None:
    (output_dir / "checkpoints").unlink()
    shutil.copytree(tiny_checkpoint / "checkpoints", output_dir / "checkpoints")
    edit_manifest(next(output_dir.rglob("manifest.json")).parent, lambda data: data.update({part: value}))
    app = open_generator()
    assert message in app.error[0].value.replace("\\", "").lower()


def test_damaged_preset_file_is_said_and_the_form_stays(output_dir: Path) -> None:
    (output_dir / "presets").mkdir()
    (output_dir / "presets" / "bad.json").write_text("{")
    app = open_generator()
    assert "bad.json" in app.error[0].value.replace("\\", "")
    assert app.button(key="generate")


def test_no_checkpoint_is_said_and_no_picture_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTPUT_DIR", str(tmp_path))
    app = open_generator()
    assert "no checkpoint" in app.error[0].value
    assert not app.get("imgs") and "generate" not in [button.key for button in app.button]


def test_defaults_are_the_checkpoints_own(app: AppTest) -> None:
    manifest = studio().manifest()
    recommended = manifest.recommended
    assert app.number_input(key=f"steps of {manifest.name}").value == recommended.num_inference_steps
    assert app.number_input(key=f"guidance of {manifest.name}").value == recommended.guidance_scale
    assert app.selectbox(key=f"scheduler of {manifest.name}").value == recommended.scheduler
    assert app.text_area(key="prompt").value in studio().vocabulary().example_prompts


def test_empty_and_overlong_prompts_are_refused_in_words(app: AppTest, output_dir: Path) -> None:
    app.text_area(key="prompt").set_value("   ")
    click(app, "generate")
    assert "prompt is empty" in app.error[0].value
    assert not job_queue().find(own_folder(output_dir).name)
    app.text_area(key="prompt").set_value("word " * 1_000)
    assert not run(app).error
    click(app, "generate")
    assert "4,999 characters; at most 2,000" in app.error[0].value.replace("\\", "")


def test_unseen_word_is_pointed_out(app: AppTest) -> None:
    assert not app.warning
    app.text_area(key="prompt").set_value("Normal chest X-ray of a zebra")
    run(app)
    assert "zebra" in app.warning[0].value and "chest" not in app.warning[0].value


def test_the_reading_of_the_prompt_is_shown(app: AppTest) -> None:
    app.text_area(key="prompt").set_value("CXR, 60F, no PTX")
    run(app)
    assert "Read as: 60 years · female · no pneumothorax" in shown(app)


def test_generate_shows_and_saves_the_result(app: AppTest, output_dir: Path) -> None:
    app.number_input(key="num_images").set_value(2)
    run(app)
    click(app, "generate")
    job = wait(app)
    assert job.state == "done", job.error
    assert has_result(app)
    assert str(job.result.seeds[0]) in shown(app)
    thumbnails = [image.url for element in app.get("image") for image in element.proto.imgs]
    assert len(thumbnails) == 2 and all(url.endswith(".png") for url in thumbnails)  # JPEG would change the pixels
    click(app, "image 1")
    assert str(job.result.seeds[1]) in shown(app)
    saved = [read_recipe(path.read_bytes()) for path in own_folder(output_dir).glob("*.png")]
    assert {recipe.request.seed for recipe in saved} == set(job.result.seeds)


def test_the_result_says_which_model_drew_it_and_that_it_was_not_measured(app: AppTest) -> None:
    click(app, "generate")
    wait(app)
    said = shown(app).replace("\\", "")
    assert "Chest X-ray from text, 64 px · tiny · synthetic" in said
    assert "good and bad at: not measured" in said


def test_the_result_says_what_the_record_of_its_model_tells(app: AppTest, output_dir: Path) -> None:
    keep(output_dir, FULL)
    click(app, "generate")
    wait(app)
    said = shown(app).replace("\\", "")
    assert "Too few images to tell: Pneumonia (70%, real 80%, n = 89)" in said and "on older weights" in said


def test_an_image_is_measured_beside_real_ones_of_its_size(app: AppTest, output_dir: Path) -> None:
    keep(output_dir, replace(FULL, settings={**FULL.settings, "image_size": 64}))
    click(app, "generate")
    image = from_uint8(to_uint8(wait(app).result.images[0]))  # as it is stored and measured
    said = shown(app)
    assert f"{image.std(dtype='float64'):.3g} (real: not measured)" in said  # the record has no contrast
    assert "(real: 100 gray levels², n = 218)" in said
    keep(output_dir, FULL)  # of no known size
    assert "n = 218)" not in shown(run(app)) and said.count("real: ") == 4


def test_quality_fills_the_advanced_settings_and_is_open_where_they_differ(app: AppTest) -> None:
    steps, quality = app.number_input(key="steps of tiny"), app.button_group(key="quality of tiny")
    assert (steps.value, quality.value) == (4, "Standard")
    quality.set_value("Fast")
    run(app)
    assert app.number_input(key="steps of tiny").value == 2
    app.number_input(key="steps of tiny").set_value(9)
    assert run(app).button_group(key="quality of tiny").value is None
    app.button_group(key="quality of tiny").set_value("Standard")
    assert run(app).number_input(key="steps of tiny").value == 4


def test_locked_seed_makes_the_same_image_again(app: AppTest) -> None:
    click(app, "generate")
    first = wait(app).result
    click(app, "lock_seed")
    assert not app.toggle(key="new_seed").value
    click(app, "generate")
    again = wait(app).result
    assert again.seeds == first.seeds
    assert (again.images[0] == first.images[0]).all()


def test_cancel_ends_the_job_and_the_next_one_runs(app: AppTest) -> None:
    name = studio().manifest().name
    app.number_input(key=f"steps of {name}").set_value(1000)
    app.number_input(key="num_images").set_value(64)
    run(app)
    click(app, "generate")
    cancel(app)
    assert wait(app).state == "canceled"
    assert "Canceled" in shown(app) and not has_result(app)
    app.number_input(key=f"steps of {name}").set_value(2)
    app.number_input(key="num_images").set_value(1)
    run(app)
    click(app, "generate")
    assert wait(app).state == "done"
    assert has_result(app)


def test_a_failed_job_says_why(app: AppTest, output_dir: Path) -> None:
    shutil.rmtree(output_dir / "generated")
    (output_dir / "generated").write_text("in the way")
    click(app, "generate")
    assert wait(app).state == "failed"
    assert "Cannot write" in app.error[0].value and not has_result(app)


def test_a_failed_job_leaves_the_result_before_it(app: AppTest, output_dir: Path) -> None:
    click(app, "generate")
    first = wait(app).result
    (output_dir / "generated").rename(output_dir / "elsewhere")
    (output_dir / "generated").write_text("in the way")
    click(app, "generate")
    assert wait(app).state == "failed"
    assert "Cannot write" in app.error[0].value and str(first.seeds[0]) in shown(app)


def test_download_does_not_empty_the_page(app: AppTest) -> None:
    click(app, "generate")
    wait(app)
    before = shown(app)
    for button in app.download_button:
        button.click()
        run(app)
        assert has_result(app)
        assert shown(app) == before


def test_enhancement_shows_measured_figures_beside_the_raw_image(app: AppTest) -> None:
    click(app, "generate")
    wait(app)
    assert "SSIM to raw" not in shown(app)
    app.selectbox(key="preset").set_value("Balanced")
    run(app)
    assert "SSIM to raw" in shown(app)
    assert [button.label for button in app.download_button] == ["Raw PNG", "Enhanced PNG", "Raw DICOM", "All as ZIP"]


def test_page_change_keeps_form_and_result(app: AppTest) -> None:
    app.text_area(key="prompt").set_value("Normal chest radiograph")
    app.number_input(key="num_images").set_value(2)
    run(app)
    click(app, "generate")
    wait(app)
    app.switch_page("create/enhancement.py").run()
    assert not has_result(app)
    app.switch_page("create/generate.py")
    run(app)
    assert has_result(app)
    assert app.text_area(key="prompt").value == "Normal chest radiograph"
    assert app.number_input(key="num_images").value == 2


def test_example_and_builder_fill_the_prompt(app: AppTest) -> None:
    example = studio().vocabulary().example_prompts[-1]
    app.selectbox(key="example").set_value(example)
    run(app)
    assert app.text_area(key="prompt").value == example
    finding = studio().vocabulary().findings[0]
    app.multiselect(key="build_findings").set_value([finding.finding])
    run(app)
    click(app, "build_use")
    assert finding.phrase in app.text_area(key="prompt").value
    assert not app.warning


def test_the_zip_holds_each_image_with_its_recipe(app: AppTest) -> None:
    click(app, "generate")
    result = wait(app).result
    preset = get_preset("Balanced")
    with zipfile.ZipFile(io.BytesIO(archive(result, preset))) as file:
        found = [read_recipe(file.read(name)) for name in file.namelist() if name.endswith(".png")]
        assert NOTICE in file.read("NOTICE.txt").decode()
    assert found == [picture.recipe for picture in pictures(result, 0, preset)]
    assert [recipe.preset and recipe.preset["name"] for recipe in found] == [None, "Balanced"]


def test_user_text_is_escaped() -> None:
    assert escape_markdown("**a** [b](c) <i> :red[x]") == r"\*\*a\*\* \[b\]\(c\) \<i\> \:red\[x\]"


def test_steps_and_guidance_follow_a_distilled_scheduler_and_no_other(tiny_checkpoint: Path, output_dir: Path) -> None:
    (output_dir / "checkpoints").unlink()
    shutil.copytree(tiny_checkpoint / "checkpoints", output_dir / "checkpoints")
    distilled = {"schedulers": [*SCHEDULERS, "few_step"], "few_steps": {"few_step": 4}}
    edit_manifest(next(output_dir.rglob("manifest.json")).parent, lambda data: data.update(distilled))
    app = open_generator()
    recommended = app.number_input(key="steps of tiny").value

    def choose(scheduler: str) -> tuple[int, bool]:
        app.selectbox(key="scheduler of tiny").select(scheduler)
        run(app)
        return app.number_input(key="steps of tiny").value, app.number_input(key="guidance of tiny").disabled

    app.number_input(key="steps of tiny").set_value(4)
    run(app)
    assert choose("ddim") == (4, False)  # what was typed stays
    assert choose("few_step") == (4, True)
    app.number_input(key="steps of tiny").set_value(3)
    run(app)
    assert choose("dpm++") == (recommended, False)
    app.number_input(key="steps of tiny").set_value(20)
    run(app)
    assert choose("few_step") == (4, True)
