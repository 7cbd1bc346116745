"""Every reader of foreign bytes and words gives a value or one sentence (StudioError), whatever it is given.

About 5,000 inputs are tried here, each made from its number. `FUZZ=100000 python -m pytest tests/test_fuzz.py` tries
that many, dealt out to the parsers; FUZZ_SEED=1 tries others; a failure says how to repeat its input alone.
"""

import os
from pathlib import Path

import pytest
import torch

from tests.fuzz_files import file_parsers
from tests.fuzz_images import image_parsers
from tests.fuzz_words import word_parsers
from tests.fuzzing import Parser, hunt
from xray_generator import libtiff
from xray_generator.types import StudioError

FUZZ = int(os.environ.get("FUZZ", "5000"))  # inputs of all parsers together
ONLY = os.environ.get("FUZZ_AT")  # the number of one input
FILES = (
    "weights",
    "manifest",
    "state",
    "table",
    "volumes",
    "class folders",
    "preset",
    "configuration",
    "records",
    "log",
)
IMAGES = ("PNG", "JPEG", "TIFF", "DICOM", "recipe", "upload")
TEXTS = ("report", "vocabulary", "names", "request", "request in JSON", "operation", "command", "headers")


@pytest.fixture
def parsers(tmp_path: Path, tiny_ct_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Parser]:
    """All of them, in an empty folder."""
    for name in ("files", "images", "words", "temporary"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "words")
    monkeypatch.setenv("OUTPUT_DIR", str(tiny_ct_checkpoint))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    libtiff.silence()
    return {
        **image_parsers(tmp_path / "images"),
        **file_parsers(tmp_path / "files", tiny_ct_checkpoint / "checkpoints" / "flow_matching" / "tiny_ct"),
        **word_parsers(tmp_path / "words"),
    }


@pytest.mark.filterwarnings("ignore")  # of decoders, about what is refused
@pytest.mark.parametrize("name", [*IMAGES, *FILES, *TEXTS])
def test_every_input_ends_in_a_value_or_a_sentence(name: str, parsers: dict[str, Parser]) -> None:
    assert list(parsers) == [*IMAGES, *FILES, *TEXTS]
    parser, threads = parsers[name], torch.get_num_threads()
    count = max(1, round(FUZZ * parser.share / sum(one.share for one in parsers.values())))
    refused = hunt(name, parser, range(count) if ONLY is None else [int(ONLY)])
    torch.set_num_threads(threads)
    print(f"{name}: {count} inputs, {refused} refused")


def test_the_hunt_tells_faults_from_refusals() -> None:
    def read(number: int) -> float:
        if number == 7:
            raise StudioError("Seven is not read.")
        return 1 / (number - 5)

    parser = Parser(lambda rng: rng.randrange(10), read, 1)
    with pytest.raises(AssertionError, match=r"parser toy, seed \d+, iteration \d+: ZeroDivisionError.*\s.*input: 5"):
        hunt("toy", parser, range(100))
    numbers = [Parser(lambda rng: rng.choice((3, 4, 7)), read, 1)]
    assert 10 < hunt("toy", numbers[0], range(100)) < 90


def test_the_hunt_ends_what_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fuzzing.CPU_SECONDS", 0.1)

    def read(_: object) -> None:
        while True:
            try:
                sum(range(1_000))
            except Exception:  # noqa: BLE001 - as a careless reader would
                continue

    with pytest.raises(AssertionError, match="iteration 0: Hang: still reading"):
        hunt("endless", Parser(lambda _: 0, read, 1), range(3))
