"""An imported Stable Diffusion in the studio: the Generator and the command draw with it as with our own models."""

import json
from pathlib import Path

import pytest
from PIL import Image as PILImage

from tests.families.tiny_sd import SIZE, make_tiny_sd
from tests.pages.generator import click, open_generator, wait
from xray_generator.generate import main
from xray_generator.registry import import_model


def test_the_generator_and_the_command_draw_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import_model(str(make_tiny_sd(tmp_path / "tiny")), tmp_path / "checkpoints", "small")
    monkeypatch.setenv("OUTPUT_DIR", str(tmp_path))
    app = open_generator()
    app.text_area(key="prompt").set_value("Normal X-ray")
    click(app, "generate")
    assert wait(app).state == "done" and not app.warning
    capsys.readouterr()
    options = ["--prompt", "Normal X-ray", "--steps", "2", "--seed", "1", "--output_dir", str(tmp_path / "drawn")]
    assert main(options) == 0
    drawn = capsys.readouterr()
    assert PILImage.open(json.loads(drawn.out)["path"]).size == (SIZE, SIZE)
    assert "never saw" not in drawn.err
