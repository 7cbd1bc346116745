"""What the skills and the README tell agents exists: commands with their options, tools, and the server to start."""

import asyncio
import json
import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest

from xray_generator.__main__ import COMMANDS
from xray_generator.api.services import Services
from xray_generator.jobs import JobQueue
from xray_generator.mcp_server import make_server
from xray_generator.studio import Studio

ROOT = Path(__file__).parents[1]
SKILLS = sorted((ROOT / "skills").glob("*/SKILL.md"))
NO_TOOLS = {"prompt", "label", "seed", "wait_s", "eta_s", "reads_prompts", "done", "failed", "canceled"}  # words beside


def test_there_are_skills() -> None:
    assert {path.parent for path in SKILLS} == {path for path in (ROOT / "skills").iterdir() if path.is_dir()} != set()


@pytest.mark.parametrize("path", SKILLS, ids=lambda path: path.parent.name)
def test_a_skill_has_a_name_and_says_when_to_use_it(path: Path) -> None:
    _, head, body = path.read_text().split("---\n", 2)
    fields = dict(line.split(": ", 1) for line in head.splitlines())
    assert fields.keys() == {"name", "description"} and fields["name"] == path.parent.name
    assert re.fullmatch(r"[a-z0-9-]{1,64}", fields["name"]) and "Use when" in fields["description"]
    assert len(fields["description"]) <= 1_024 and body.count("\n# ") == 1


@pytest.mark.parametrize("path", SKILLS, ids=lambda path: path.parent.name)
def test_the_commands_of_a_skill_are_understood(path: Path) -> None:
    text = path.read_text()
    assert set(re.findall(r"xray-studio ([\w-]+)", text)) <= COMMANDS.keys()
    lines = [line for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    assert lines
    for line in lines:
        program, command, *arguments = shlex.split(line)
        assert program == "xray-studio"
        import_module(COMMANDS[command][0])._parser().parse_args(arguments)  # ends the test where it does not


@pytest.mark.parametrize("path", SKILLS, ids=lambda path: path.parent.name)
def test_the_tools_of_a_skill_exist(path: Path, tmp_path: Path) -> None:
    server = make_server(Services(Studio(tmp_path), JobQueue()))
    tools = {tool.name for tool in asyncio.run(server.list_tools())}
    named = set(re.findall(r"`([a-z_]+)`", path.read_text())) - NO_TOOLS
    assert named and named <= tools


def test_the_server_that_the_readme_tells_agents_of_exists() -> None:
    (block,) = re.findall(r"```json\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (server,) = json.loads(block)["mcpServers"].values()
    assert server["command"] == "xray-studio" and COMMANDS[server["args"][0]][0] == "xray_generator.mcp_server"
    assert server["env"].keys() == {"OUTPUT_DIR"}
