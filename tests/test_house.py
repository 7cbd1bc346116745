"""The rules that no linter knows: form, words, no invented numbers, no foreign code, no torch at import."""

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import packages_distributions, version
from pathlib import Path
from types import MappingProxyType

import pytest
from packaging.version import Version

from xray_generator.config import config_names, parse, read_config
from xray_generator.registry import FAMILIES, config_type

ROOT = Path(__file__).parents[1]
MAX_LINES = 450
HEAVY = ("torch", "diffusers", "transformers", "accelerate", "tensorboard")
AT_RUN_TIME = {"pylibjpeg", "pylibjpeg-libjpeg", "pylibjpeg-openjpeg", "tensorboard", "streamlit"}  # no import of ours
FLOORS = MappingProxyType(
    {  # the first releases without the advisories that concern us
        "torch": "2.10.0",  # CVE-2025-32434, CVE-2026-24747
        "diffusers": "0.38.0",  # CVE-2026-44513
        "streamlit": "1.54.0",  # CVE-2026-33682
        "pydicom": "3.0.2",  # CVE-2026-32711
        "pillow": "12.3.0",  # CVE-2026-59199 and others
        "opencv-python-headless": "4.12.0",  # CVE-2025-53644
        "python-multipart": "0.0.26",  # resource exhaustion
    }
)
FORBIDDEN_IMPORTS = {"cPickle", "_pickle", "dill", "joblib", "shelve", "marshal", "torch.hub"}
FORBIDDEN_CALLS = {
    "eval",
    "exec",
    "os.system",
    "os.popen",
    "torch.hub.load",
    "torch.hub.load_state_dict_from_url",
    "torch.jit.load",
    "torch.export.load",
    "pandas.read_pickle",
    "yaml.load",
    "yaml.unsafe_load",
    "accelerate.load_checkpoint_in_model",
}
GLOBAL_SEEDS = {"torch.manual_seed", "torch.seed", "numpy.random.seed", "random.seed", "accelerate.utils.set_seed"}
FORBIDDEN_OPTIONS = {
    ("allow_pickle", True),
    ("unsafe_allow_html", True),
    ("force", True),
    ("trust_remote_code", True),
    ("shell", True),
    ("weights_only", False),
    ("use_safetensors", False),
}
PLACES = re.compile(
    r"/wor[k]/|/roo[t]/|/hom[e]/\w|/User[s]/\w|[A-Z]:\\\\User[s]|/tm[p]/\w|/us[r]/local/\w"
    r"|pypi\.or[g]|pythonhoste[d]|index-ur[l]|registry\.npm[j]s|deb\.debia[n]\.org|proxy\.golan[g]"
)
UNFORMATTED = re.compile(r"#\s*fmt:\s*(skip|off)")
BRITISH = re.compile(
    r"learn[t]|licenc[e]|colou[r]|cent[r]e|centrin[g]|gre[y]|neighbou[r]|labelle[d]|labellin[g]|modellin[g]|behaviou[r]"
    r"|favou[r]|fib[r]e|normalis[e]|optimis[e]|analys[e]d|artefac[t]|cancelle[d]|cancellin[g]",
    re.IGNORECASE,
)
TEXT = (".py", ".md", ".toml", ".json", ".txt", ".cff", ".js", ".css")
syntax_tree = cache(ast.parse)  # a file is asked by several rules
PARTICIPLE = re.compile(r"_?(asked|told|found|drawn|given|made|seen|kept|left|taken|known|chosen|timed|measured|shown)")


def repository_files(*suffixes: str) -> list[Path]:
    """The files that belong to the repository: tracked, or new and not ignored."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listing.returncode:
        pytest.skip("not a git checkout")
    paths = (ROOT / name for name in listing.stdout.split("\0") if name)
    return sorted(path for path in paths if path.is_file() and (not suffixes or path.suffix in suffixes))


def product_files() -> list[Path]:
    """The Python files that users run."""
    folders = (ROOT / name for name in ("xray_generator", "postprocess", "pages"))
    return sorted([path for folder in folders for path in folder.rglob("*.py")] + [ROOT / "app.py"])


def test_no_file_is_long() -> None:
    long = {
        str(p.relative_to(ROOT)): n
        for p in repository_files(".py")
        if (n := len(p.read_text().splitlines())) > MAX_LINES
    }
    assert not long, f"over {MAX_LINES} lines: {long}"


def test_no_file_names_this_machine_or_a_registry() -> None:
    assert not list(matching_lines(PLACES, repository_files()))


def test_the_formatter_decides_everywhere() -> None:
    assert not list(matching_lines(UNFORMATTED, repository_files(".py")))


def test_words_are_spelled_the_american_way() -> None:
    foreign = {"outputs", "dataset"}  # cards of published weights, which their hashes fix, and texts of others
    paths = [path for path in repository_files(*TEXT) if path.relative_to(ROOT).parts[0] not in foreign]
    assert not list(matching_lines(BRITISH, paths))


@pytest.mark.parametrize(
    ("rule", "breach", "good"),
    [
        ("UNFORMATTED", "x = [1]  # fmt: " + "skip", "x = [1]  # a format: skip"),
        ("UNFORMATTED", "# fmt:" + "off", "# fmt is off"),
        ("BRITISH", "def test_of_neighbou" + "rs():", "def test_of_neighbors():"),
        ("BRITISH", "Gre" + "y PNG", "Gray PNG, once agreed"),
        ("BRITISH", "a Licenc" + "e", "a License"),
        ("BRITISH", "the cent" + "re", "the center"),
    ],
)
def test_the_rule_finds_a_line(rule: str, breach: str, good: str) -> None:
    pattern: re.Pattern[str] = globals()[rule]
    assert pattern.search(breach) and not pattern.search(good)


def matching_lines(pattern: re.Pattern[str], paths: Iterable[Path]) -> Iterator[str]:
    """`file:line: match` for each line of the text files that holds the pattern."""
    for path in paths:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue  # an image
        for number, line in enumerate(lines, start=1):
            if match := pattern.search(line):
                yield f"{path.relative_to(ROOT)}:{number}: {match[0]}"


def test_no_function_is_named_by_a_participle() -> None:
    found = [f"{p.relative_to(ROOT)}:{fault}" for p in product_files() for fault in participles(p.read_text())]
    assert not found, "a function is a verb or a noun: it says what it does or what it gives"


def test_the_rule_finds_a_participle() -> None:
    assert list(participles("def asked(row): ...")) == ["1: asked"]
    assert list(participles("class A:\n    async def _drawn(self): ...")) == ["2: _drawn"]
    assert not list(
        participles("def is_asked(): ...\ndef keep(): ...\nclass A:\n    @property\n    def kept(self): ...")
    )


def participles(code: str) -> Iterator[str]:
    """`line: name` for each function that is named by a bare participle; a property may be: it is a fact."""
    functions = (n for n in ast.walk(syntax_tree(code)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
    for function in functions:
        is_property = any(ast.unparse(decorator).endswith("property") for decorator in function.decorator_list)
        if PARTICIPLE.fullmatch(function.name) and not is_property:
            yield f"{function.lineno}: {function.name}"


def test_the_product_runs_no_foreign_code_and_sets_no_global_seed() -> None:
    found = [f"{p.relative_to(ROOT)}:{fault}" for p in product_files() for fault in code_faults(p.read_text(), p)]
    assert not found


@pytest.mark.parametrize(
    "code",
    [
        "import torch\ntorch.load('x')",
        "import torch as t\nt.load('x', weights_only=False)",
        "from torch import load\nload('x')",
        "import pickle\npickle.load(open('x'))",
        "import pickle as p\np.loads(b'')",
        "from pickle import loads",
        "import joblib",
        "import torch.hub",
        "import torch\ntorch.hub.load_state_dict_from_url('x')",
        "import numpy as np\nnp.load('x', allow_pickle=True)",
        "import pandas as pd\npd.read_pickle('x')",
        "eval('1')",
        "exec('1')",
        "import yaml\nyaml.load('x')",
        "from pydicom import dcmread\ndcmread('x', force=True)",
        "from PIL import ImageFile\nImageFile.LOAD_TRUNCATED_IMAGES = True",
        "import streamlit as st\nst.markdown('x', unsafe_allow_html=True)",
        "try:\n    pass\nexcept:\n    pass",
        "import torch\ntorch.manual_seed(0)",
        "import numpy as np\nnp.random.seed(0)",
        "import subprocess\nsubprocess.run('x', shell=True)",
    ],
)
def test_the_rule_finds_a_breach(code: str) -> None:
    assert list(code_faults(code, ROOT / "xray_generator" / "studio.py"))


def test_the_rule_lets_good_code_pass() -> None:
    code = "import torch, pickle\ntorch.load('x', weights_only=True)\npickle.UnpicklingError\ntorch.Generator()"
    assert not list(code_faults(code, ROOT / "xray_generator" / "studio.py"))
    assert not list(code_faults("import torch\ntorch.manual_seed(0)", ROOT / "xray_generator/families/x/training.py"))


def code_faults(code: str, path: Path) -> Iterator[str]:
    """`line: what` for each banned construct."""
    tree = syntax_tree(code)
    names = imported_names(tree)
    trains = "training" in path.parts or path.stem.endswith("training")
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            yield from (f"{node.lineno}: import {module}" for module in modules if module in FORBIDDEN_IMPORTS)
            yield from (f"{node.lineno}: {name}" for name in imported_names(node).values() if runs_pickle(name))
        elif isinstance(node, ast.Attribute):
            if node.attr == "LOAD_TRUNCATED_IMAGES" or runs_pickle(full_name(node, names)):
                yield f"{node.lineno}: {node.attr}"
        elif isinstance(node, ast.ExceptHandler) and node.type is None:
            yield f"{node.lineno}: bare except"
        elif isinstance(node, ast.Call):
            name = full_name(node.func, names)
            options = {word.arg: getattr(word.value, "value", None) for word in node.keywords}
            if name in FORBIDDEN_CALLS or (name in GLOBAL_SEEDS and not trains):
                yield f"{node.lineno}: {name}"
            if name == "torch.load" and options.get("weights_only") is not True:
                yield f"{node.lineno}: torch.load without weights_only=True"
            yield from (f"{node.lineno}: {k}={v}" for k, v in options.items() if (k, v) in FORBIDDEN_OPTIONS)


def runs_pickle(name: str) -> bool:
    """Whether a full name is part of pickle; its error alone may be caught."""
    return name.startswith("pickle.") and name != "pickle.UnpicklingError"


def imported_names(tree: ast.AST) -> dict[str, str]:
    """Local name -> what it stands for, over all imports of a file."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def full_name(function: ast.expr, names: dict[str, str]) -> str:
    """`np.load` -> `numpy.load`; empty for what is not a dotted name."""
    if isinstance(function, ast.Name):
        return names.get(function.id, function.id)
    if isinstance(function, ast.Attribute) and (base := full_name(function.value, names)):
        return f"{base}.{function.attr}"
    return ""


def test_pages_draw_only_measured_numbers() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{fault}"
        for path in [*(ROOT / "pages").rglob("*.py"), ROOT / "app.py"]
        for fault in literal_metrics(path.read_text())
    ]
    assert not found, "a number on a page comes from a measurement, never from the source"


@pytest.mark.parametrize(
    "code",
    [
        "st.metric('SSIM', 0.85)",
        "st.metric('SSIM', '92 %')",
        "st.metric(label='a', value=-1)",
        "c.metric('a', v, '+3')",
        "st.metric('a', f'{0.85:.2f}')",
        "st.metric('a', value=round(0.85, 2))",
        "st.metric('a', x or 0.85)",
    ],
)
def test_the_rule_finds_a_literal_metric(code: str) -> None:
    assert list(literal_metrics(code))


def test_the_rule_lets_measured_metrics_pass() -> None:
    assert not list(literal_metrics("st.metric('SSIM 1', f'{ssim:.3f}'); st.metric('n', str(len(rows)))"))
    assert not list(literal_metrics("st.metric('SSIM', 'not measured' if ssim is None else format(ssim, '.3f'))"))
    assert not list(literal_metrics("st.metric('p50', f'{values[0] * 1000:.0f} ms', border=True)"))


def literal_metrics(code: str) -> Iterator[str]:
    """`line: what` for each `.metric(...)` whose value or delta holds a digit and no variable, or a default number."""
    for node in ast.walk(syntax_tree(code)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "metric"):
            continue
        shown = [*node.args[1:3], *(word.value for word in node.keywords if word.arg in ("value", "delta"))]
        yield from (f"{node.lineno}: {ast.unparse(value)}" for value in shown if is_invented(value))


def is_invented(value: ast.expr) -> bool:
    """Whether a number can reach the screen that nobody measured."""
    if isinstance(value, ast.IfExp):
        return is_invented(value.body) or is_invented(value.orelse)
    if isinstance(value, ast.BoolOp):
        return any(is_invented(part) for part in value.values)
    functions = {call.func for call in ast.walk(value) if isinstance(call, ast.Call)}
    variables = [n for n in ast.walk(value) if isinstance(n, ast.Name | ast.Attribute) and n not in functions]
    constants = [n.value for n in ast.walk(value) if isinstance(n, ast.Constant)]
    return not variables and any(re.search(r"\d", str(constant)) for constant in constants)


def imported_modules(path: Path) -> Iterator[str]:
    """The modules that a file imports, wherever in it."""
    for node in ast.walk(syntax_tree(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def test_a_menu_costs_no_torch() -> None:
    code = f"""
import json, sys
import postprocess, postprocess.presets, xray_generator, xray_generator.__main__, xray_generator.jobs
from xray_generator.registry import FAMILIES
from xray_generator.studio import Studio
names = [manifest.name for manifest in Studio().checkpoints()]
print(json.dumps([names, list(FAMILIES), [name for name in {HEAVY!r} if name in sys.modules]]))
"""
    run = subprocess.run(
        [sys.executable, "-W", "error:::xray_generator", "-c", code],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "OUTPUT_DIR"},
        capture_output=True,
        text=True,
        check=True,
    )
    names, families, heavy = json.loads(run.stdout)
    assert {"chest_xray_256", "lung_ct_128", "blood_cells_224"} <= set(names)
    assert families == list(FAMILIES)
    assert not heavy, "imported before they were needed"


@pytest.mark.parametrize("name", config_names())
def test_every_shipped_configuration_parses(name: str) -> None:
    data = read_config(name)
    config = parse(config_type(data["family"]), data)
    assert config.name == name


def test_every_family_folder_is_in_the_registry() -> None:
    folders = {path.parent.name for path in (ROOT / "xray_generator" / "families").glob("*/__init__.py")}
    assert folders == set(FAMILIES)


@pytest.mark.parametrize("name", FLOORS)
def test_installed_versions_are_above_the_advisories(name: str) -> None:
    assert Version(version(name)) >= Version(FLOORS[name])


def test_requirements_are_what_the_code_imports() -> None:
    texts = [(ROOT / name).read_text() for name in ("requirements.txt", "requirements-broker.txt")]
    pins = dict(re.findall(r"^([\w.-]+)==([\w.]+)", "\n".join(texts), re.MULTILINE))
    used = {name.split(".")[0] for path in product_files() for name in imported_modules(path)}
    foreign = used - set(sys.stdlib_module_names) - {"xray_generator", "postprocess", "pages", "app", "__future__"}
    owners = packages_distributions()
    needed = {min(owners.get(module, [module]), key=len) for module in foreign}
    assert {name.lower().replace("_", "-") for name in needed | AT_RUN_TIME} == {
        name.lower().replace("_", "-") for name in pins
    }
    installed = {name: Version(version(name)).public for name in pins}
    assert installed == pins, "run make again: the environment differs from requirements*.txt"
