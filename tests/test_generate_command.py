"""`python -m xray_generator.generate`: images and JSON lines, or one line of words and exit code 1."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from xray_generator.export.recipe import read_recipe
from xray_generator.generate import main
from xray_generator.images import read_image

PROMPT = "Normal chest X-ray, PA view"


@pytest.fixture(autouse=True)
def outputs(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTPUT_DIR", str(tiny_checkpoint))
    monkeypatch.setenv("STUDIO_THREADS", "1")


def arguments(folder: Path, *more: str, prompt: str = PROMPT) -> list[str]:
    defaults = {"--size": "64", "--steps": "2", "--device": "cpu"}
    given = {more[i]: more[i + 1] for i in range(0, len(more), 2)}
    pairs = [part for pair in (defaults | given).items() for part in pair]
    return ["--prompt", prompt, "--output_dir", str(folder), *pairs]


def test_images_are_written_and_listed_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(tmp_path, "--num_images", "2", "--seed", "5", "--preset", "BALANCED")) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["seed"] for line in lines] == [5, 6]
    for line in lines:
        assert line["milliseconds"] > 0
        assert read_image(Path(line["path"])).shape == (64, 64)
        assert read_image(Path(line["enhanced_path"])).shape == (64, 64)
    assert len(list(tmp_path.iterdir())) == 4


def test_same_command_writes_the_same_bytes(tmp_path: Path) -> None:
    for run in ("a", "b"):
        assert main(arguments(tmp_path / run, "--seed", "5")) == 0
    (first,), (second,) = ((tmp_path / run).iterdir() for run in ("a", "b"))
    assert first.name == second.name
    assert first.read_bytes() == second.read_bytes()


def test_guidance_reaches_the_file(tmp_path: Path) -> None:
    for guidance in ("1", "7"):
        assert main(arguments(tmp_path / guidance, "--seed", "5", "--guidance", guidance)) == 0
    (first,), (second,) = ((tmp_path / guidance).iterdir() for guidance in ("1", "7"))
    assert not np.array_equal(read_image(first), read_image(second))


def test_random_seed_is_told_and_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(tmp_path)) == 0
    line = json.loads(capsys.readouterr().out)
    assert read_recipe(Path(line["path"]).read_bytes()).request.seed == line["seed"] >= 0


@pytest.mark.parametrize(
    ("option", "value"), [("--scheduler", "DDIM"), ("--checkpoint", "TINY"), ("--preset", "sharp detail")]
)
def test_names_are_known_in_any_case(tmp_path: Path, option: str, value: str) -> None:
    assert main(arguments(tmp_path, "--seed", "1", option, value)) == 0


def test_unseen_words_and_ignored_ends_are_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(tmp_path, "--seed", "1", prompt="zebra " + "chest " * 60)) == 0
    errors = capsys.readouterr().err
    assert "never saw the word 'zebra'" in errors
    assert "exceeds 32 tokens" in errors


def test_unseen_words_are_those_of_the_prompts_that_are_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(tmp_path, "--seed", "1", "--steps", "1", prompt="{zebra|chest} {1-2}")) == 0
    errors = capsys.readouterr().err
    assert errors.count("never saw the word 'zebra'") == 1 and "1-2" not in errors


@pytest.mark.parametrize("prompt", ["\ud800 surrogate", "a\0b\x07", "\U0001fac1", "<script>", "عربى \u202e"])
def test_odd_prompts_are_drawn(tmp_path: Path, prompt: str) -> None:
    assert main(arguments(tmp_path, "--seed", "1", "--steps", "1", prompt=prompt)) == 0


WRONG = [
    ({"--size": "63"}, "of 64 pixels a side, not 63"),
    ({"--size": "256"}, "of 64 pixels"),
    ({"--size": "0"}, "not 0"),
    ({"--size": "100000"}, "of 64 pixels"),
    ({"--steps": "0"}, "from 1 to 1,000"),
    ({"--steps": "1000000"}, "from 1 to 1,000"),
    ({"--steps": "-3"}, "from 1 to 1,000"),
    ({"--guidance": "nan"}, "from 0 to 30"),
    ({"--guidance": "inf"}, "from 0 to 30"),
    ({"--guidance": "-1"}, "from 0 to 30"),
    ({"--guidance": "1e9"}, "from 0 to 30"),
    ({"--seed": "-2"}, "seed must be a whole number from 0"),
    ({"--seed": str(2**63)}, "seed must be"),
    ({"--seed": "9" * 30}, "seed must be"),
    ({"--num_images": "0"}, "from 1 to 64"),
    ({"--num_images": "1000000"}, "from 1 to 64"),
    ({"--checkpoint": "../../etc"}, "Allowed: latent_diffusion/tiny"),
    ({"--checkpoint": ""}, "Allowed: latent_diffusion/tiny"),
    ({"--scheduler": "euler"}, "Allowed: ddim"),
    ({"--scheduler": ""}, "Allowed: ddim"),
    ({"--preset": "Nonsense"}, "Balanced"),
    ({"--device": "tpu"}, "Allowed: cpu"),
    ({"--device": "cuda:77"}, "CUDA"),
    ({"--num_threads": "-1"}, "threads"),
    ({"--num_threads": "1000000"}, "threads"),
]


@pytest.mark.parametrize(("options", "words"), WRONG)
def test_wrong_value_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: dict[str, str], words: str
) -> None:
    pairs = [f"{name}={value}" for name, value in options.items()]
    assert main([*arguments(tmp_path), *pairs]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("error: ")
    assert words in output.err
    assert len(output.err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("prompt", ["", "   ", "\0", "\ud800", "x" * 10_000])
def test_wrong_prompt_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], prompt: str) -> None:
    assert main(arguments(tmp_path, prompt=prompt)) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: The prompt")


@pytest.mark.parametrize(("option", "value"), [("--seed", "1.5"), ("--steps", "many"), ("--guidance", "x")])
def test_what_is_no_number_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, value: str
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([*arguments(tmp_path), option, value])
    assert stopped.value.code == 2
    assert f"argument {option}: invalid" in capsys.readouterr().err


def test_output_folder_that_cannot_be_made_costs_no_generation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(arguments(tmp_path / "file", "--steps", "1000")) == 1
    assert capsys.readouterr().err.startswith(f"error: Cannot write to {tmp_path / 'file'}")


def test_missing_checkpoint_names_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OUTPUT_DIR", str(tmp_path))
    assert main(arguments(tmp_path)) == 1
    assert "python -m xray_generator.train" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["many", "-1", "1.5"])
def test_wrong_environment_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], value: str
) -> None:
    monkeypatch.setenv("STUDIO_THREADS", value)
    assert main(arguments(tmp_path)) == 1
    assert "number of threads" in capsys.readouterr().err


def test_as_a_process_a_fault_ends_with_code_1_and_no_traceback(tmp_path: Path, tiny_checkpoint: Path) -> None:
    process = subprocess.run(
        [sys.executable, "-m", "xray_generator.generate", *arguments(tmp_path, "--guidance", "nan")],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[1],
        env=os.environ | {"OUTPUT_DIR": str(tiny_checkpoint), "OMP_NUM_THREADS": "1"},
    )
    assert process.returncode == 1
    assert process.stdout == ""
    assert process.stderr == "error: The guidance must be a number from 0 to 30, not nan.\n"


def test_a_prompt_with_choices_draws_each_with_the_same_seed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(tmp_path, "--seed", "5", prompt="{Normal|Enlarged} heart")) == 0
    paths = [Path(json.loads(line)["path"]) for line in capsys.readouterr().out.splitlines()]
    requests = [read_recipe(path.read_bytes()).request for path in paths]
    assert [(request.condition.text, request.seed) for request in requests] == [
        ("Normal heart", 5),
        ("Enlarged heart", 5),
    ]
    assert main(arguments(tmp_path, "--num_images", "33", prompt="{Normal|Enlarged} heart")) == 1
    assert "2 prompts; at most 1" in capsys.readouterr().err
