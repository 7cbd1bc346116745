"""A training command ends by SIGTERM, SIGINT (Ctrl+C) or SIGHUP in any phase, with exit code 143."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name))


class TrainingStopped(SystemExit):
    """The process was asked to end; what was trained is saved. Exit code 143."""

    def __init__(self) -> None:
        super().__init__(143)


class StopRequest:
    """What signals ask for: at once the end of what is being done, unless that would lose something."""

    def __init__(self) -> None:
        self.is_made = False
        self._is_held = False
        self._process = os.getpid()

    def make(self, number: int, _frame: FrameType | None) -> None:
        """Handle a signal; a second one of its kind ends the process at once."""
        if os.getpid() != self._process:  # a copy that reads data: it ends with its parent
            return
        self.is_made = True
        signal.signal(number, signal.SIG_DFL)
        self._heed()

    def _heed(self) -> None:
        if self.is_made and not self._is_held:
            raise TrainingStopped

    @contextmanager
    def held(self, is_held: bool = True) -> Iterator[None]:
        """Within, a request is noted alone, or, where it is not held, heeded at once."""
        before, self._is_held = self._is_held, is_held
        try:
            self._heed()
            yield
        finally:
            self._is_held = before
        self._heed()


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Listen to the signals; whoever listens inside hears them first. A hang-up that `nohup` ignores stays ignored."""
    request = StopRequest()
    heard = [number for number in SIGNALS if number == signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, request.make) for number in heard}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ignore_signals(_worker: int) -> None:
    """In a copy that reads data: a terminal or a scheduler signals all processes, but the parent needs it to save."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
