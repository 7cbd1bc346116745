"""The colors of real and of generated images, and where a radar ends: one for the figures of reports and of pages.

They are of the palette that Okabe & Ito 2008 chose for all eyes. No drawing library is imported here.
"""

from __future__ import annotations

REAL, GENERATED = "#0072B2", "#D55E00"
RADAR_LIMIT = 2.0  # times real; what is more lies on the rim
