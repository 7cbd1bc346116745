"""A checkpoint in a folder of its own: plain diffusers draws the studio's image with it, where the studio is not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from xray_generator.export_hub import export, main
from xray_generator.requests import make_request, text_request
from xray_generator.studio import Studio
from xray_generator.types import ClassLabel, StudioError

PROMPT = "Normal chest X-ray, PA view"
SCRIPT = """
import sys, numpy, torch
from diffusers import DiffusionPipeline
ask = {"tiny": {"prompt": "Normal chest X-ray, PA view"}, "tiny_ct": {"label": "normal"}}
for name, settings in ask.items():
    pipeline = DiffusionPipeline.from_pretrained(name, trust_remote_code=True)
    seed = torch.Generator().manual_seed(5)
    images = pipeline(**settings, num_images_per_prompt=2, num_inference_steps=2, generator=seed).images
    numpy.save(f"{name}.npy", numpy.stack([numpy.asarray(image) for image in images]))
assert sys.modules["xray_generator"].__file__.startswith(sys.argv[1])
try:
    pipeline(prompt="Normal")
except ValueError as error:
    print(error)
"""


def test_diffusers_draws_the_images_of_the_studio(
    tiny_checkpoint: Path, tiny_ct_checkpoint: Path, tmp_path: Path
) -> None:
    studios = {"tiny": Studio(tiny_checkpoint, "cpu"), "tiny_ct": Studio(tiny_ct_checkpoint, "cpu")}
    for name, studio in studios.items():
        export(studio, name, tmp_path / name)
    for line in ("prompt=", "manual_seed"):
        assert line in (tmp_path / "tiny" / "README.md").read_text()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"HF_MODULES_CACHE": str(tmp_path / "modules"), "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    run = subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True)
    assert "tiny_ct draws a class, not a prompt" in run.stdout
    requests = {
        "tiny": text_request(PROMPT, seed=5, num_images=2, size=64, steps=2),
        "tiny_ct": make_request(ClassLabel("normal"), seed=5, num_images=2, size=32, steps=2),
    }
    for name, studio in studios.items():
        expected = np.stack([np.rint(image * 255) for image in studio.generate(requests[name]).images])
        assert np.array_equal(np.load(tmp_path / f"{name}.npy"), expected)


def test_the_command_refuses_a_folder_with_files_and_an_unknown_checkpoint(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OUTPUT_DIR", str(tiny_checkpoint))
    assert main(["tiny", str(tmp_path / "new")]) == 0
    assert json.loads((tmp_path / "new" / "model_index.json").read_text())["model"] == ["studio_model", "StudioModel"]
    assert main(["tiny", str(tmp_path / "new")]) == 1
    assert "is not empty" in capsys.readouterr().err
    with pytest.raises(StudioError, match="Unknown checkpoint"):
        export(Studio(tiny_checkpoint), "gone", tmp_path / "other")
