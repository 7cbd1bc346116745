"""Container and editor files name only what is there. No image is built: there is no Docker daemon here."""

import json
import re
import shlex
import subprocess
import tomllib

import pytest
import yaml

from tests.test_house import ROOT, repository_files
from xray_generator.__main__ import COMMANDS
from xray_generator.api.guard import OPEN
from xray_generator.queues.choice import VARIABLE
from xray_generator.serve import _parser as serve_options
from xray_generator.worker import _parser as worker_options

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MAKEFILE = (ROOT / "Makefile").read_text()
PYTHON = PROJECT["tool"]["mypy"]["python_version"]  # with which all is tested
APP_PORT = re.search(r"^PORT \?= (\d+)", MAKEFILE, re.MULTILINE)[1]
API_PORT = str(serve_options().get_default("port"))
HEALTH = {"app": f"http://127.0.0.1:{APP_PORT}/_stcore/health", "api": f"http://127.0.0.1:{API_PORT}{OPEN}"}


@pytest.fixture(scope="module")
def dockerfile() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile with what follows each."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if line and not line.startswith("#")]
    return [tuple(line.split(" ", 1)) for line in lines]


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, object]]:
    """The services of compose.yaml that run the image."""
    return {name: service for name, service in all_services().items() if "build" in service}


def all_services() -> dict[str, dict[str, object]]:
    """The services of compose.yaml."""
    return yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]


def let_in() -> list[str]:
    """The files and folders that .dockerignore lets into the image; each of its lines names some."""
    first, *lines = [
        line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")
    ]
    assert first == "*"
    found = {line: sorted(ROOT.glob(line.removeprefix("!"))) for line in lines if line.startswith("!")}
    assert all(found.values()), found
    return [path.relative_to(ROOT).as_posix() for paths in found.values() for path in paths]


def test_the_image_holds_all_that_ships_and_nothing_that_people_make() -> None:
    names = let_in()
    ignored = subprocess.run(["git", "check-ignore", *names], cwd=ROOT, capture_output=True, text=True, check=False)
    assert not ignored.stdout
    needed = ("xray_generator/", "postprocess/", "pages/", "outputs/", "dataset/", "app.py", "requirements")
    files = [path.relative_to(ROOT).as_posix() for path in repository_files()]
    left_out = [file for file in files if not any(file == name or file.startswith(f"{name}/") for name in names)]
    assert not [file for file in left_out if file.startswith(needed)]


def test_the_image_has_the_tested_python_and_copies_what_exists(dockerfile: list[tuple[str, str]]) -> None:
    values = dict(dockerfile)
    assert re.match(rf"python:{re.escape(PYTHON)}-slim\b", values["FROM"])
    sources = [word for key, rest in dockerfile if key == "COPY" for word in rest.split()[:-1] if word[:2] != "--"]
    assert sources and all((ROOT / source).exists() and source in (*let_in(), ".") for source in sources)
    assert {APP_PORT, API_PORT} == set(values["EXPOSE"].split())


def test_the_image_starts_the_app_as_a_user_without_rights(dockerfile: list[tuple[str, str]]) -> None:
    keys, values = [key for key, _ in dockerfile], dict(dockerfile)
    user = values["USER"]
    assert user not in ("root", "0") and f"useradd --create-home --uid 1000 {user}" in "\n".join(
        dict.fromkeys(rest for key, rest in dockerfile if key == "RUN")
    )
    assert keys.index("USER") < keys.index("CMD")
    command = json.loads(values["CMD"])
    assert command[0] in PROJECT["project"]["scripts"] and command[1] == "app"
    assert HEALTH["app"] in values["HEALTHCHECK"]


def test_compose_publishes_to_this_machine_alone_and_asks_the_health_of_each(
    services: dict[str, dict[str, object]], dockerfile: list[tuple[str, str]]
) -> None:
    ports = {"app": APP_PORT, "api": API_PORT}
    assert {name: service["ports"] for name, service in all_services().items() if "ports" in service} == {
        name: [f"127.0.0.1:{port}:{port}"] for name, port in ports.items()
    }
    assert {tuple(service["volumes"]) for service in services.values()} == {
        (f"outputs:{dict(dockerfile)['WORKDIR']}/outputs",)
    }
    program, command, *options = services["api"]["command"]
    assert program in PROJECT["project"]["scripts"] and command in COMMANDS
    assert serve_options().parse_args(options).host == "0.0.0.0"
    assert HEALTH["api"] in services["api"]["healthcheck"]["test"][-1]


def test_with_a_broker_compose_starts_workers_and_redis_and_tells_all_where_it_is(
    services: dict[str, dict[str, object]], dockerfile: list[tuple[str, str]]
) -> None:
    assert {name for name, one in all_services().items() if one.get("profiles") == ["broker"]} == {"worker", "redis"}
    assert all(VARIABLE in service["environment"] for service in services.values())
    program, command, *options = services["worker"]["command"]
    assert program in PROJECT["project"]["scripts"] and command in COMMANDS and worker_options().parse_args(options)
    guides = [ROOT / "compose.yaml", ROOT / "docs" / "several_machines.md"]
    hosts = {host for guide in guides for host in re.findall(rf"{VARIABLE}=redis://([a-z]+):6379/0", guide.read_text())}
    assert hosts == {"redis"} <= all_services().keys()
    assert "-r requirements-broker.txt" in "\n".join(rest for key, rest in dockerfile if key == "RUN")


def test_the_gpu_file_changes_services_and_arguments_that_exist(
    services: dict[str, dict[str, object]], dockerfile: list[tuple[str, str]]
) -> None:
    changed = yaml.safe_load((ROOT / "compose.gpu.yaml").read_text())["services"]
    assert changed.keys() == services.keys()
    arguments = {rest.partition("=")[0] for key, rest in dockerfile if key == "ARG"}
    assert all(service["build"]["args"].keys() <= arguments for service in changed.values())


def test_the_devcontainer_has_the_tested_python_and_what_ci_installs() -> None:
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    assert f"python:{PYTHON}-" in container["image"]
    assert {str(port) for port in container["forwardPorts"]} == {APP_PORT, API_PORT}
    make, target = shlex.split(container["postCreateCommand"])
    assert make == "make" and re.search(rf"^{target}:", MAKEFILE, re.MULTILINE)
    packages = {
        word
        for words in re.findall(r"missing\+=\((.*?)\)", (ROOT / ".ci" / "run").read_text())
        for word in words.split()
    }
    assert packages <= set(container["onCreateCommand"].split())


def test_every_target_of_make_that_a_document_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    guides = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    named = {name for guide in guides for name in re.findall(r"(?:^|`)make ([a-z-]+)", guide.read_text(), re.MULTILINE)}
    assert {"app", "test", "docs"} <= named <= targets
