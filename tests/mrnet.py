"""A small MRNet in the exact layout of the real one: arrays of planes, and a table without a header a finding."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from xray_generator.data.volumes import PLANES, TASKS

Exams = Mapping[str, tuple[int, int, int]]  # exam -> abnormal, acl, meniscus
EXAMS: Exams = {"0000": (1, 0, 0), "0001": (1, 1, 1), "0002": (1, 1, 0), "0003": (0, 0, 0), "0004": (1, 0, 1)}
CLASSES = ("other_abnormality", "acl_and_meniscus_tear", "acl_tear", "normal", "meniscus_tear")  # of EXAMS


def make_mrnet(root: Path, exams: Exams, side: int = 256) -> Path:
    """The exams to train with, and one normal one to validate with: uint8 (slices, side, side)."""
    rng = np.random.default_rng(0)
    for split, known in (("train", exams), ("valid", {"1130": (0, 0, 0)})):
        for plane in PLANES:
            (root / split / plane).mkdir(parents=True)
            for i, exam in enumerate(known):
                np.save(root / split / plane / f"{exam}.npy", rng.integers(10, 200, (17 + i, side, side), np.uint8))
        for place, task in enumerate(TASKS):
            lines = "".join(f"{exam},{values[place]}\n" for exam, values in known.items())
            (root / f"{split}-{task}.csv").write_text(lines)
    return root
