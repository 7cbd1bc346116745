"""How probable a model holds an image: its bits beside those of real slices, and the noise that it lies at."""

from __future__ import annotations

import streamlit as st

from pages.parts import charts
from pages.parts.services import plain
from xray_generator.abilities import Likelihood
from xray_generator.checkpoints import Manifest
from xray_generator.dashboards.likelihoods import SPREAD, Known, known, noise_curve, noise_picture, num_above
from xray_generator.evaluation.summary import NOT_MEASURED

UNIT = "bits per dimension; fewer are more probable"
BITS_HEIGHT, NOISE_HEIGHT = 260, 250
READING = (
    "Bits per dimension say how many bits a pixel of 256 gray levels costs on average, if the model is believed; 8 is "
    "the cost where all levels are held equally probable. It is no test of truth: smooth images score well whatever "
    "they show, and an image that no lung ever looked like may cost fewer bits than a real slice. Numbers of another "
    "size or gray scale do not compare."
)


def draw_result(found: Likelihood, manifest: Manifest, label: str, *, is_synthetic: bool) -> None:
    """Draw what was found of an image, judged as one of a class or, "", of none."""
    beside = known(manifest)
    bits, error, way = st.columns(3)
    bits.metric("Bits per dimension", f"{found.bits_per_dimension:.3f}", border=True, help=READING)
    error.metric("Standard error", f"± {found.standard_error:.3f}", border=True, help="Of the estimate, by its probes.")
    way.metric(
        "To noise and back",
        f"{found.inversion_rmse:.1%}",
        border=True,
        help="By how much of the gray scale the image that was carried to noise and back is off, root mean square. It "
        "should be small: then the way, and with it the likelihood, was followed well.",
    )
    _draw_ranks(found, beside, label)
    name = "generated: this image" if is_synthetic else "this image"
    _draw_bits(beside, {name: found.bits_per_dimension})
    st.caption(READING)
    _draw_noise(found, is_synthetic=is_synthetic)


def draw_known(manifest: Manifest) -> None:
    """Draw what the checkpoint says of real slices, before any image is judged."""
    beside = known(manifest)
    st.markdown("**What this checkpoint brings**")
    _draw_bits(beside, {})
    st.caption(READING)


def _draw_ranks(found: Likelihood, beside: Known, label: str) -> None:
    said = [
        f"{num_above(found.bits_per_dimension, values):,} of {len(values):,} real slices of the {split} split"
        for split, values in beside.splits.items()
        if values
    ]
    asked = f" It was judged as {label.replace('_', ' ')}, the real slices as of no class." if label else ""
    if said:
        st.text(f"More probable, by this model, than {' and '.join(said)}.{asked}")


def _draw_bits(beside: Known, marks: dict[str, float]) -> None:
    groups = {f"real, {split}": values for split, values in beside.splits.items() if values}
    marks = marks | beside.references
    if groups or marks:
        charts.draw(charts.strips(groups, marks, UNIT), "likelihood_bits", BITS_HEIGHT)
    for split in beside.splits.keys() - {name.removeprefix("real, ") for name in groups}:
        st.caption(plain(f"Single real slices of the {split} split: {NOT_MEASURED}."))
    means = "; ".join(f"{split} {text}" for split, text in beside.means.items())
    st.caption(plain(f"Mean of real slices with its standard error: {means or NOT_MEASURED}. All under no class."))


def _draw_noise(found: Likelihood, *, is_synthetic: bool) -> None:
    st.markdown("**The noise that it lies at**")
    pictures = {"As it was judged": found.image, "Its noise": noise_picture(found.noise)}
    left, right = st.columns([1, 1], gap="medium")
    with left:
        grid = st.grid(2, min_column_width=110)
        for name, picture in pictures.items():
            with grid.cell():
                st.image(picture, name, width="stretch", output_format="PNG", alt=name)
        kind = "Synthetic." if is_synthetic else "Not known to be synthetic."
        st.caption(f"{kind} Black is -{SPREAD:g}, white {SPREAD:g} standard deviations.")
    with right:
        charts.draw(charts.lines(noise_curve(found.noise)), "likelihood_noise", NOISE_HEIGHT)
    st.caption(
        "Of a typical image it is like chance: no outline is left, and the levels follow the bell curve. What can "
        "still be seen of the image is what the model does not expect."
    )
