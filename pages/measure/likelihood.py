"""Likelihood: how probable an image is under a model, beside real slices, and its latent noise."""

from __future__ import annotations

import streamlit as st

from pages.kit import charts
from pages.kit.checkpoints import pick_checkpoint
from pages.kit.images import pick_image
from pages.kit.jobs import draw_job, find_job, start_button
from pages.kit.sampling import pick_class
from pages.kit.services import escape_markdown, studio
from xray_generator import generation
from xray_generator.abilities import Likelihood
from xray_generator.checkpoints import Manifest
from xray_generator.evaluation.summary import NOT_MEASURED
from xray_generator.experiments.likelihoods import REACH, noise_curve, noise_image
from xray_generator.export.archive import Source
from xray_generator.types import StudioError

READING = (
    "Bits per dimension: how many bits the model needs on average for a pixel of 256 gray levels; 8 if it expects all "
    "levels equally. It is not a test of realism: smooth images score well whatever they show, and an image that no "
    "lung could produce may need fewer bits than a real slice. Values for other sizes or gray scales do not compare."
)


def main() -> None:
    """Draw the choice on the left and its result on the right."""
    st.caption(
        "A flow turns noise into an image along a path that can be followed backwards, and so gives the likelihood of "
        "any image."
    )
    form, result = st.columns([2, 3], gap="medium")
    with form:
        try:
            manifest = pick_checkpoint("likelihood")
        except StudioError as error:
            st.error(escape_markdown(error))
            return
        source = _pick_image(manifest)
        label = pick_class(manifest, "likelihood_class", "Score as", first=-1, any_title="any class")
        key = f"likelihood {manifest.ref.sha256} {source.digest if source else 'nothing'} {label}"
        start_button(
            "Score",
            key,
            lambda: studio().task(
                generation.likelihood, source and source.image, label or None, checkpoint=manifest.ref.full_name
            ),
            key="likelihood_score",
            shortcut="Ctrl+Enter",
            disabled=source is None,
        )
    with result:
        if source is None or find_job(key) is None:
            st.markdown("**Real slices under this checkpoint**")
            _draw_bits(manifest, {})
            st.caption(READING)
        elif (found := draw_job(key, "")) is not None:
            _draw_result(found, manifest, label, is_synthetic=source.is_synthetic)


def _pick_image(manifest: Manifest) -> Source | None:
    try:
        return pick_image("likelihood", manifest=manifest)
    except (StudioError, OSError) as error:
        st.error(escape_markdown(error))
        return None


def _draw_result(found: Likelihood, manifest: Manifest, label: str, *, is_synthetic: bool) -> None:
    bits, error, inversion = st.columns(3)
    bits.metric("Bits per dimension", f"{found.bits_per_dimension:.3f}", border=True, help=READING)
    error.metric(
        "Standard error", f"± {found.standard_error:.3f}", border=True, help="Of the estimate, over its random probes."
    )
    inversion.metric(
        "Inversion error",
        f"{found.inversion_rmse:.1%}",
        border=True,
        help="Root mean square error of the image after a trip to noise and back, as a share of the gray scale. If it "
        "is small, the solver followed the path well and the likelihood can be trusted.",
    )
    ranks = [
        f"{sum(value > found.bits_per_dimension for value in summary.values):,} of {len(summary.values):,} real slices "
        f"of the {split} split"
        for split, summary in manifest.metrics.likelihood.items()
        if summary.values
    ]
    if ranks:
        scored = f" Scored as {label.replace('_', ' ')}; the real slices were scored without a class." if label else ""
        st.text(f"Higher likelihood than {' and '.join(ranks)}.{scored}")
    _draw_bits(manifest, {"generated: this image" if is_synthetic else "this image": found.bits_per_dimension})
    st.caption(READING)
    _draw_noise(found, is_synthetic=is_synthetic)


def _draw_bits(manifest: Manifest, marks: dict[str, float]) -> None:
    """The checkpoint's likelihoods of real slices and of artificial images, and marks among them."""
    summaries, marks = manifest.metrics.likelihood, marks | manifest.metrics.likelihood_references
    groups = {f"real, {split}": summary.values for split, summary in summaries.items() if summary.values}
    if groups or marks:
        figure = charts.strips(groups, marks, "bits per dimension (lower: more likely)")
        charts.draw(figure, "likelihood_bits", 260)
    for split in dict.fromkeys(("train", "test", *summaries)):
        if f"real, {split}" not in groups:
            st.caption(escape_markdown(f"Single real slices of the {split} split: {NOT_MEASURED}."))
    means = []
    for split, summary in summaries.items():
        error = "" if summary.standard_error is None else f" ± {summary.standard_error:.3f}"
        means.append(f"{split} {summary.bits_per_dimension:.3f}{error}, n = {summary.num_images:,}")
    text = "; ".join(means) or NOT_MEASURED
    st.caption(escape_markdown(f"Real slices, mean ± standard error: {text}. Scored without a class."))


def _draw_noise(found: Likelihood, *, is_synthetic: bool) -> None:
    st.markdown("**Latent noise**")
    left, right = st.columns([1, 1], gap="medium")
    with left:
        grid = st.grid(2, min_column_width=110)
        for name, image in {"Scored image": found.image, "Latent noise": noise_image(found.noise)}.items():
            with grid.cell():
                st.image(image, name, width="stretch", output_format="PNG", alt=name)
        kind = "Synthetic." if is_synthetic else "Not known to be synthetic."
        st.caption(f"{kind} Noise from -{REACH:g} (black) to {REACH:g} (white) standard deviations.")
    with right:
        charts.draw(charts.lines(noise_curve(found.noise)), "likelihood_noise", 250)
    st.caption(
        "The latent noise of a typical image looks random: it shows no outlines, and its values follow the bell curve. "
        "Whatever of the image remains visible is what the model did not expect."
    )


main()
