"""What Windows and macOS need of the source: nothing that they lack at import, and text that is UTF-8 everywhere.

The studio is not run there: these rules are read off the source.
"""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.test_house import ROOT, imported_names, product_files, syntax_tree

POSIX = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}  # modules that Windows lacks
TEXT_MODE = re.compile(r"[rwax]\+?")


def test_no_module_needs_at_import_what_windows_lacks() -> None:
    found = [f"{p.relative_to(ROOT)}: {name}" for p in product_files() for name in posix_imports(p.read_text())]
    assert not found, "import it in the function that uses it, where the system is known"


def test_text_is_read_and_written_as_utf_8() -> None:
    found = [f"{p.relative_to(ROOT)}:{fault}" for p in product_files() for fault in unnamed_encodings(p.read_text())]
    assert not found, 'say encoding="utf-8": Windows would take the code page of its language'


@pytest.mark.parametrize(("code", "names"), [("import resource", ["resource"]), ("def f():\n    import resource", [])])
def test_the_rule_finds_an_import(code: str, names: list[str]) -> None:
    assert list(posix_imports(code)) == names


@pytest.mark.parametrize("call", ["path.read_text({})", "path.write_text(text, {})", "path.open('a', {})"])
def test_the_rule_finds_text_without_an_encoding(call: str) -> None:
    assert len(list(unnamed_encodings(call.format("errors='replace'")))) == 1
    assert not list(unnamed_encodings(call.format("encoding='utf-8'")))
    assert not list(unnamed_encodings("path.open('rb'); PIL.Image.open(path); read_text(path)"))


def posix_imports(code: str) -> Iterator[str]:
    """The modules of `POSIX` that are imported as the file is."""
    for node in syntax_tree(code).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in POSIX)
        elif isinstance(node, ast.ImportFrom) and node.module in POSIX:
            yield from imported_names(node)


def unnamed_encodings(code: str) -> Iterator[str]:
    """`line: call` for each method that reads or writes text in the system's own encoding."""
    for node in ast.walk(syntax_tree(code)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        mode = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else ""
        opens_text = node.func.attr == "open" and bool(TEXT_MODE.fullmatch(str(mode)))
        if (opens_text or node.func.attr in ("read_text", "write_text")) and "encoding" not in {
            word.arg for word in node.keywords
        }:
            yield f"{node.lineno}: {ast.unparse(node)}"
