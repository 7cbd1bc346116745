"""Seeded mutations of bytes, text, JSON and values, and the hunt for whatever does not end as it should."""

import json
import os
import random
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from decimal import Decimal
from types import FrameType
from typing import Any

import numpy as np

from xray_generator.types import StudioError

SEED = int(os.environ.get("FUZZ_SEED", "0"))
CPU_SECONDS = 60  # of one input: more is a hang. Time of the processor, since a loaded machine is no fault
MAX_WORDS = 4_000  # characters of a refusal
SHOWN = 300  # characters of an input in a message

WORDS = (
    *("", " ", "\0", "\n", "\r", "\t", ",", ";", '"', "'", "=", ":", ".", "..", "/", "\\", "|", "#", "%", "{", "}"),
    *("nan", "NaN", "-inf", "Infinity", "None", "null", "true", "0", "-0", "-1", "1.5", "1e999", "1e-999", "0x10"),
    *("2147483648", "9" * 30, "9" * 400, "9" * 5_000, "\u0661\u0662", "\u00b2", "\u2167", "1_000", " 7 ", "7,", "+7"),
    *("../../x", "/etc/passwd", "C:\\x", "CON", "a" * 300, "=1+1", "<script>", "$x$", "{{7*7}}", "%s%n", "a.b.c"),
    *("\ufeff", "\u202e", "\u200b", "\U0001fac1", "e\u0301", "\u0130", "\udc80", "\x1b[31m", "[" * 2_000, '{"a":' * 50),
)
VALUES = (
    *(None, True, False, 0, -1, 1, 2, 7, 16, 64, 255, 2**31, 2**32 - 1, 2**63, -(2**63), 2**64, 10**400),
    *(0.0, -0.0, 0.5, 1.5, -1.5, 1e-320, 1e308, float("nan"), float("inf"), float("-inf")),
    *("", "7", "nan", "normal", "x" * 3_000, "\0", "\ud800", "\U0001fac1", "../x"),
    *([], [[]], [1, 2], ["x"], {}, {"a": 1}),
)
ODD = (  # that only Python can give
    *VALUES,
    *(10**5_000, -(10**5_000), (10**5_000, 1), (2**70, 1), (8, 8), (), {1}, b"text", range(3), object()),
    *(Decimal(3), Decimal("NaN"), 2j, np.int64(3), np.uint8(1), np.float32(0.5), np.float64("nan"), np.bool_(1)),
    *(np.array([1.0, 2.0]), np.str_("x")),
)


@dataclass(frozen=True)
class Parser:
    """A reader of foreign input; `share` is of all inputs that are tried, in no unit."""

    make: Callable[[random.Random], Any]  # an input
    read: Callable[[Any], object]
    share: int


class Hang(BaseException):
    """No `except Exception` of a reader hides it."""


def hunt(name: str, parser: Parser, iterations: Sequence[int]) -> int:
    """Try inputs; how many were refused. AssertionError, with all that it takes to repeat one: it ended otherwise."""
    refused = 0
    for iteration in iterations:
        made = parser.make(random.Random(f"{SEED} {name} {iteration}"))
        try:
            with _limited():
                parser.read(made)
        except StudioError as error:
            refused += 1
            if "\n" in str(error) or not 0 < len(str(error)) < MAX_WORDS:
                raise AssertionError(
                    f"parser {name}, seed {SEED}, iteration {iteration}: no sentence: {error}"
                ) from error
        except (Exception, Hang) as error:
            raise AssertionError(
                f"parser {name}, seed {SEED}, iteration {iteration}: {type(error).__name__}: {error}\n"
                f"input: {_shown(made)}\n"
                f'repeat: FUZZ_SEED={SEED} FUZZ_AT={iteration} python -m pytest tests/test_fuzz.py -k "{name}"'
            ) from error
    return refused


def _shown(made: object) -> str:
    try:
        return repr(made)[:SHOWN]
    except ValueError:  # of a number with thousands of digits
        return f"a {type(made).__name__} that cannot be shown"


@contextmanager
def _limited() -> Iterator[None]:
    def stop(_number: int, _frame: FrameType | None) -> None:
        raise Hang(f"still reading after {CPU_SECONDS} seconds of the processor")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, CPU_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def mutate_bytes(rng: random.Random, data: bytes, first: int = 0) -> bytes:
    """One to eight changes after the place `first`; now and then none."""
    changed = bytearray(data)
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3, 5, 8))):
        place = rng.randrange(min(first, len(changed)), len(changed) + 1)
        size = min(int(rng.expovariate(1 / 16)) + 1, 4_096)
        match rng.randrange(9):
            case 0 | 1 | 2 | 3:
                changed[place : place + 1] = bytes([rng.randrange(256)])
            case 4:
                number = rng.choice((0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**32 - 1, rng.getrandbits(32)))
                width = rng.choice((1, 2, 4))
                written = (number % 2 ** (8 * width)).to_bytes(width, rng.choice(("little", "big")))
                changed[place : place + width] = written
            case 5:
                changed[place:place] = rng.randbytes(size)
            case 6:
                del changed[place : place + size]
            case 7:
                changed[place:place] = changed[place : place + size]
            case _:
                if rng.random() < 0.3:
                    del changed[place:]
    return bytes(changed)


def mutate_text(rng: random.Random, text: str, words: Sequence[str] = WORDS) -> str:
    """One to eight odd words put in, pieces left out, repeated or swapped."""
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3, 5, 8))):
        start = rng.randrange(len(text) + 1)
        end = min(len(text), start + int(rng.expovariate(1 / 6)))
        match rng.randrange(5):
            case 0 | 1:
                text = text[:start] + rng.choice(words) + text[end:]
            case 2:
                text = text[:start] + text[end:]
            case 3:
                text = text[:end] + text[start:]
            case _:
                text = text[:start] + chr(rng.choice((rng.randrange(128), rng.randrange(0x3000)))) + text[start:]
    return text


def mutate_data(rng: random.Random, data: Any) -> Any:
    """JSON data in which one to three values are replaced, left out, renamed or wrapped."""
    whole = json.loads(json.dumps({"": data}))
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
        places = list(_places(whole))
        holder, key = rng.choice(places)
        match rng.randrange(6):
            case 0 | 1 | 2:
                holder[key] = deepcopy(rng.choice(VALUES))
            case 3:
                holder[key] = [holder[key]]
            case 4 if holder is not whole:
                del holder[key]
            case 5 if isinstance(holder, dict) and holder is not whole:
                holder[rng.choice(WORDS)] = holder.pop(key) if rng.random() < 0.5 else deepcopy(rng.choice(VALUES))
            case _:
                holder[key] = deepcopy(rng.choice(list(_values(whole))))
    return whole[""]


def mutate_json(rng: random.Random, data: Any) -> bytes:
    """JSON of changed data, in part with damage to its text too."""
    text = json.dumps(mutate_data(rng, data), ensure_ascii=rng.random() < 0.5)
    text = mutate_text(rng, text) if rng.random() < 0.2 else text
    return text.encode(rng.choice(("utf-8",) * 8 + ("utf-8-sig", "utf-16")), "surrogatepass")


def _places(data: Any) -> Iterator[tuple[Any, Any]]:
    items = data.items() if isinstance(data, Mapping) else enumerate(data) if isinstance(data, list) else ()
    for key, value in list(items):
        yield data, key
        yield from _places(value)


def _values(data: Any) -> Iterator[Any]:
    return (holder[key] for holder, key in _places(data))
