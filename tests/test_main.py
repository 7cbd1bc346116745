"""The one command `xray-studio`: it passes each subcommand on, and the wheel holds what it needs."""

import re
import shutil
import subprocess
import sys
import zipfile
from importlib import import_module
from pathlib import Path

import pytest

from xray_generator.__main__ import COMMANDS, main
from xray_generator.types import PRODUCT

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("command", [*COMMANDS, "app"])
def test_a_subcommand_shows_the_help_of_its_module(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["xray-studio"])
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    module = "streamlit run" if command == "app" else COMMANDS[command][0].removesuffix(".__main__")
    assert module in capsys.readouterr().out


def test_a_subcommand_gets_its_arguments_and_gives_its_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["health", "--dataset_path", str(ROOT / "dataset"), "--strict"]) == 0
    assert "no issue found" in capsys.readouterr().out
    assert main(["health", "--dataset_path", str(tmp_path / "absent")]) == 1
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize("arguments", [[], ["fly"], ["--seed", "1"]])
def test_a_missing_or_unknown_command_ends_with_the_usage(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: xray-studio" in capsys.readouterr().err


def test_every_module_script_has_a_subcommand() -> None:
    paths = [path for folder in ("xray_generator", "postprocess") for path in (ROOT / folder).rglob("*.py")]
    scripts = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in paths
        if "\nif __name__ ==" in path.read_text()
    }
    assert scripts - {"xray_generator.__main__"} == {module for module, _ in COMMANDS.values()}
    assert all(callable(import_module(module).main) for module, _ in COMMANDS.values())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built from a copy of the sources without a network."""
    source = tmp_path_factory.mktemp("source")
    for name in ("xray_generator", "postprocess", "pages", ".streamlit"):
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    texts = (ROOT / name for name in ("pyproject.toml", "README.md", "LICENSE"))
    for path in (*ROOT.glob("requirements*.txt"), *texts):
        shutil.copy(path, source)
    code = "from setuptools import build_meta; build_meta.build_wheel('out')"
    subprocess.run([sys.executable, "-c", code], cwd=source, check=True, capture_output=True)
    (path,) = (source / "out").glob("*.whl")
    return zipfile.ZipFile(path)


def test_the_wheel_holds_the_packages_the_configurations_and_the_settings_of_the_app(wheel: zipfile.ZipFile) -> None:
    product = (path for name in ("xray_generator", "postprocess", "pages") for path in (ROOT / name).rglob("*"))
    files = {path.relative_to(ROOT).as_posix() for path in product if path.is_file() and path.suffix != ".pyc"}
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert packed == files | {"pages/.streamlit/config.toml"}
    assert wheel.read("pages/.streamlit/config.toml") == (ROOT / ".streamlit" / "config.toml").read_bytes()


def test_the_wheel_needs_the_pinned_requirements_and_installs_the_command(wheel: zipfile.ZipFile) -> None:
    facts = {name.partition("/")[2]: wheel.read(name).decode() for name in wheel.namelist() if ".dist-info/" in name}
    needs = set(re.findall(r"^Requires-Dist: (\S+==[^;\s]+)(; extra == \"\w+\")?$", facts["METADATA"], re.MULTILINE))
    for path in ROOT.glob("requirements*.txt"):
        name = path.stem.removeprefix("requirements").removeprefix("-")
        extra = f'; extra == "{name}"' if name else ""
        pins = re.findall(r"^[\w.-]+==[\w.]+", path.read_text(), re.MULTILINE)
        assert {pin for pin, wanted in needs if wanted == extra} == set(pins)
    assert "xray-studio = xray_generator.__main__:main" in facts["entry_points.txt"]


def test_an_installed_command_shows_its_help_without_torch(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    wheel.extractall(tmp_path)
    code = "import sys; from xray_generator.__main__ import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    code += "assert 'torch' not in sys.modules\nfrom xray_generator.config import config_names\nprint(config_names())"
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert PRODUCT in run.stdout and "train-encoder" in run.stdout and "chest_xray_256" in run.stdout
