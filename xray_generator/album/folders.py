"""The folders of a gallery: that of a person, and the one of no person where they may see it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Folders:
    """Where the images of a gallery lie, each directly in one of the two."""

    own: Path  # of the person: their notes, prompts, deleted images and the index are here too
    shared: Path | None = None  # images of no person; None: not theirs to see

    def places(self) -> Iterator[tuple[str, Path]]:
        """The folders with their names; an image that is in both is that of the last."""
        if self.shared is not None:
            yield "shared", self.shared
        yield "own", self.own
