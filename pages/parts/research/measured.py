"""What the tabs of the research dashboard compute, each once for the same pixels; networks and SciPy load on need."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st
from pages.parts.record.picker import load_records

from pages.parts.services import encoders_key, studio
from xray_generator.dashboards.side_by_side import Sides
from xray_generator.evaluation.records import Curve, Record

if TYPE_CHECKING:
    from xray_generator.checkpoints import Manifest
    from xray_generator.dashboards.distributions import Comparisons, MeanImages
    from xray_generator.dashboards.neighbors import Features, Neighborhood

KEPT = 8  # pairs of sets


def comparisons(sides: Sides) -> Comparisons:
    """Every per-image measure on both sides."""
    return _comparisons(sides.digest, sides.condition, sides.split, sides)


def mean_images(sides: Sides) -> MeanImages:
    """Mean and deviation of each pixel."""
    return _mean_images(sides.digest, sides)


def spectra(sides: Sides) -> Curve:
    """The mean power spectra."""
    return _spectra(sides.digest, sides)


def gray_levels(sides: Sides) -> Curve:
    """The gray levels of all pixels."""
    return _gray_levels(sides.digest, sides)


def neighborhood(sides: Sides, space: str) -> Neighborhood:
    """All distances in a space."""
    return _neighborhood(sides.digest, space, studio().encoder_root, encoders_key(studio().encoder_root), sides)


@st.cache_resource(show_spinner="Loading the feature space", max_entries=4)
def features(space: str, encoders: Path, written: str) -> Features:  # noqa: ARG001 - a part of the cache's key
    """What turns images into vectors; `written` is the encoders' key."""
    from xray_generator.dashboards.neighbors import find_features

    return find_features(space, encoders, studio().device)


def stored_record(manifest: Manifest) -> Record | None:
    """The best record of a checkpoint: of these very weights before others, the full suite before the quick one.

    Of those the newest. Damaged records are named on the page.
    """
    mine = (manifest.family, manifest.name)
    found = [
        record
        for record in (entry.record for entry in load_records().entries)
        if record.checkpoint and (record.checkpoint.family, record.checkpoint.name) == mine
    ]
    return next((record for record in found if record.checkpoint == manifest.ref), found[0] if found else None)


@st.cache_resource(show_spinner="Measuring the images", max_entries=KEPT)
def _comparisons(digest: str, condition: str, split: str, _sides: Sides) -> Comparisons:  # noqa: ARG001 - the key
    from xray_generator.dashboards.distributions import compare

    return compare(_sides)


@st.cache_resource(show_spinner="Averaging the images", max_entries=KEPT)
def _mean_images(digest: str, _sides: Sides) -> MeanImages:  # noqa: ARG001 - the key
    from xray_generator.dashboards.distributions import mean_images

    return mean_images(_sides)


@st.cache_resource(show_spinner="Computing the power spectra", max_entries=KEPT)
def _spectra(digest: str, _sides: Sides) -> Curve:  # noqa: ARG001 - the key
    from xray_generator.dashboards.distributions import spectra

    return spectra(_sides)


@st.cache_resource(show_spinner="Counting gray levels", max_entries=KEPT)
def _gray_levels(digest: str, _sides: Sides) -> Curve:  # noqa: ARG001 - the key
    from xray_generator.dashboards.distributions import gray_levels

    return gray_levels(_sides)


@st.cache_resource(show_spinner="Measuring distances", max_entries=KEPT)
def _neighborhood(digest: str, space: str, encoders: Path, written: str, _sides: Sides) -> Neighborhood:  # noqa: ARG001 - the key
    from xray_generator.dashboards.neighbors import neighborhood

    return neighborhood(_sides, space, features(space, encoders, written))
