"""Sides, in pixels, of the grids that networks work on; settings are checked against them without torch."""

from __future__ import annotations

STEM = 4  # folded into channels first, by every compact network
LATTICE = 16  # of the cell whose places `detail.lattice_bias` compares
