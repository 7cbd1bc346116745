"""How every command ends: well, with one sentence on stderr, or stopped by the user. Never with a traceback of ours."""

from __future__ import annotations

import sys
from collections.abc import Callable

from xray_generator.types import StudioError

INTERRUPTED = 130  # as a shell reports SIGINT


def exit_code(work: Callable[[], int | None]) -> int:
    """Do the work of a command; its code: 0 where it gives none, 1 and a sentence where it fails, 130 on Ctrl+C.

    It fails by a StudioError, or by what the system says of a file (a full disk, no permission).
    """
    try:
        return work() or 0
    except StudioError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except OSError as error:
        place = f": {error.filename}" if error.filename else ""
        sys.stderr.write(f"error: {error.strerror or error}{place}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("stopped\n")
        return INTERRUPTED
