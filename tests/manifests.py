"""Honest edits of a manifest: with the hash that goes with them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from xray_generator.checkpoints import seal


def edit_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the fields of a folder's manifest."""
    path = folder / "manifest.json"
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(seal(data)))
