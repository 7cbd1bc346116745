"""How commands end."""

from pathlib import Path

import pytest

from xray_generator.console import INTERRUPTED, exit_code
from xray_generator.types import StudioError


def test_a_command_ends_with_its_code_and_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise StudioError("No.")

    def interrupt() -> None:
        raise KeyboardInterrupt

    assert (exit_code(lambda: None), exit_code(lambda: 3), exit_code(fail)) == (0, 3, 1)
    assert exit_code(interrupt) == INTERRUPTED
    assert capsys.readouterr().err == "error: No.\nstopped\n"


def test_what_the_system_says_of_a_file_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(lambda: (tmp_path / "gone").read_bytes() and 0) == 1
    assert capsys.readouterr().err == f"error: No such file or directory: {tmp_path / 'gone'}\n"


def test_a_fault_of_ours_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        exit_code(lambda: int(1 / 0))
