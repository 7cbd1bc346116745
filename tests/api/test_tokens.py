"""Tokens: whose they are, that none is kept, and that a wrong line is told without it."""

from pathlib import Path

import pytest

from xray_generator.api.tokens import Tokens, is_loopback, read_tokens
from xray_generator.serve import main
from xray_generator.types import StudioError

SECRET = "a-long-secret-token"


def test_a_token_has_an_owner_and_only_its_hash_is_kept() -> None:
    tokens = read_tokens(f"# of the ward\nanna:{SECRET}\n ben:{SECRET[::-1]} anna:{SECRET * 2}")
    assert [tokens.find_owner(one) for one in (SECRET, SECRET[::-1], SECRET * 2)] == ["anna", "ben", "anna"]
    assert [tokens.find_owner(one) for one in ("", "anna", SECRET[:-1], f"anna:{SECRET}", "\ud800")] == [None] * 5
    assert SECRET not in repr(tokens) and read_tokens(" \n# anna:x\n") == Tokens()


@pytest.mark.parametrize(
    "line",
    [SECRET, "anna:", f":{SECRET}", f"Anna:{SECRET}", f"../a:{SECRET}", "anna:short-secret", f"anna:sha256:{SECRET}"],
)
def test_a_wrong_token_is_told_without_it(line: str) -> None:
    with pytest.raises(StudioError) as told:
        read_tokens(f"ben:{SECRET[::-1]} {line}")
    assert "secret" not in str(told.value)


def test_a_new_token_is_printed_once_and_its_hash_kept(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "tokens.txt"
    path.write_text("# of the ward")  # a line that is not ended must not take in the next
    for owner in ("anna", "ben"):
        assert main(["--new_token", owner, "--token_file", str(path)]) == 0
    anna, ben = capsys.readouterr().out.split()
    tokens = read_tokens(path.read_text())
    assert (tokens.find_owner(anna), tokens.find_owner(ben)) == ("anna", "ben")
    assert anna not in path.read_text() and len(anna) > 40


def test_what_this_machine_alone_reaches() -> None:
    assert all(is_loopback(host) for host in ("127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost"))
    assert not any(is_loopback(host) for host in ("0.0.0.0", "::", "10.0.0.1", "localhost.evil.example", "", "1"))
