"""The marks in a PNG that other programs read, and how they are found again."""

import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image as PILImage

from postprocess.presets import Preset
from xray_generator.config import dump
from xray_generator.export.archive import RAW, Source, encode_enhanced
from xray_generator.export.dicom import encode_dicom
from xray_generator.export.marks import PARAMETERS, XMP, find_marks, parameter_text, says_synthetic
from xray_generator.export.recipe import Recipe, encode_png, read_recipe
from xray_generator.images import encode_png as encode_bare_png
from xray_generator.types import NOTICE, AdapterWeight, CheckpointRef, Edit, GenerationRequest, Morph, TextPrompt

IMAGE = np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64)
REQUEST = GenerationRequest(TextPrompt("Chest X-ray, PA: a “mass”"), 1, 64, 96, 8, 2.5, "dpm++", 7)
RECIPE = Recipe(REQUEST, CheckpointRef("latent_diffusion", "chest_xray_256", "abcdef1234" + "0" * 54))
PAIR = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')  # of AUTOMATIC1111's own reader


def parsed(parameters: str) -> tuple[str, dict[str, str]]:
    """The prompt and the settings, as AUTOMATIC1111 reads them: pairs on the last line."""
    *lines, last = parameters.split("\n")
    pairs = {key: json.loads(value) if value[:1] == '"' else value for key, value in PAIR.findall(last)}
    return "\n".join(lines), pairs


def test_the_settings_are_read_as_other_programs_read_them() -> None:
    text = PILImage.open(io.BytesIO(encode_png(IMAGE, RECIPE))).text
    prompt, settings = parsed(text[PARAMETERS])
    assert prompt == "Chest X-ray, PA: a “mass”"
    assert settings | {"Version": ""} == {
        "Steps": "8",
        "Sampler": "dpm++",
        "CFG scale": "2.5",
        "Seed": "7",
        "Size": "96x64",
        "Model hash": "abcdef1234",
        "Model": "chest_xray_256",
        "Version": "",
    }


def test_adapters_are_written_into_the_prompt_as_others_do() -> None:
    adapters = (AdapterWeight(CheckpointRef("lora", "soft", "cd" * 32), -0.5), AdapterWeight(RECIPE.checkpoint))
    prompt, settings = parsed(parameter_text(replace(RECIPE, request=replace(REQUEST, adapters=adapters))))
    assert prompt == "Chest X-ray, PA: a “mass” <lora:soft:-0.5> <lora:chest_xray_256:1>"
    assert settings["Lora hashes"] == "soft: cdcdcdcdcdcd, chest_xray_256: abcdef123400"


@pytest.mark.parametrize(
    ("other", "key", "value"),
    [
        ({"origin": Edit("Normal", 0.4)}, "Denoising strength", "0.4"),
        ({"origin": Morph(REQUEST, 0.25)}, "Morph weight", "0.25"),
        ({"preset": dump(Preset('Mine, "soft": 2'))}, "Preset", 'Mine, "soft": 2'),
        ({"upscaler": CheckpointRef("super_resolution", "chest_xray_512", "cd" * 32)}, "Upscaler", "chest_xray_512"),
    ],
)
def test_what_else_was_done_is_among_the_settings(other: dict[str, Any], key: str, value: str) -> None:
    prompt, settings = parsed(parameter_text(replace(RECIPE, **other)))
    assert settings[key] == value and settings["Seed"] == "7"
    assert prompt == ("Normal" if key == "Denoising strength" else "Chest X-ray, PA: a “mass”")


def test_the_xmp_packet_states_the_source_type_of_the_iptc() -> None:
    marked = encode_enhanced(Source(IMAGE, "x", is_marked=True), RAW)
    for data in (encode_png(IMAGE, RECIPE), marked):
        picture = PILImage.open(io.BytesIO(data))
        tree = ElementTree.fromstring(picture.info["xmp"].decode().partition("?>")[2].rpartition("<?")[0])
        assert picture.text[XMP].startswith("<?xpacket begin=")
        (description,) = tree.iter("{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description")
        name = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
        assert description.attrib[name].rpartition("/")[2] == "trainedAlgorithmicMedia"


def test_marks_are_found_in_files_of_ours_and_of_others() -> None:
    assert len(find_marks(encode_png(IMAGE, RECIPE))) == 4
    assert len(find_marks(encode_dicom(IMAGE, RECIPE))) == 5
    assert says_synthetic(encode_bare_png(IMAGE, {"Description": NOTICE}))
    assert says_synthetic(encode_bare_png(IMAGE, {PARAMETERS: "a dog\nSteps: 20, Sampler: Euler a, Seed: 1"}))
    for data in (encode_bare_png(IMAGE), b"", b"text", encode_enhanced(Source(IMAGE, "x"), RAW)):
        assert find_marks(data) == ()


def test_a_shipped_image_of_an_earlier_version_keeps_its_recipe_and_its_name() -> None:
    paths = sorted((Path(__file__).parents[2] / "outputs" / "samples").rglob("*.png"))
    old = [path for path in paths if PILImage.open(path).text.get(PARAMETERS, "").startswith("{")]
    assert old, "no image of an earlier version ships any more: this test can go"
    recipe = read_recipe(old[0].read_bytes())
    assert old[0].name == f"{recipe.checkpoint.name}_seed{recipe.request.seed}_{recipe.digest}.png"
    assert find_marks(old[0].read_bytes())[0].startswith("a recipe of an earlier version")
