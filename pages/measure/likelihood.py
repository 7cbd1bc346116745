"""Likelihood: how typical an image is for a model, beside real slices, and its latent noise."""

from __future__ import annotations

import streamlit as st

from pages.kit import charts
from pages.kit.checkpoints import pick_checkpoint
from pages.kit.images import pick_image
from pages.kit.jobs import POLL_S, draw_job, find_job, start_button
from pages.kit.sampling import pick_class
from pages.kit.services import escape_markdown, explain_faults, find_dataset_for, job_queue, studio
from xray_generator import generation
from xray_generator.abilities import Likelihood
from xray_generator.checkpoints import Manifest
from xray_generator.evaluation.summary import NOT_MEASURED, rough_time
from xray_generator.experiments.likelihoods import REACH, MethodComparison, find_comparison, noise_curve, noise_image
from xray_generator.export.archive import Source
from xray_generator.jobs import Job
from xray_generator.types import CheckpointRef, LikelihoodMethod, StudioError

METHODS: dict[LikelihoodMethod, str] = {"fast": "Fast", "exact": "Exact (adaptive, slow)"}
READING = (
    "Bits per dimension: how many bits the model needs on average for a pixel of 256 gray levels; 8 if it expects all "
    "levels equally. It is not a test of realism: smooth images score well whatever they show, and an image that no "
    "lung could produce may need fewer bits than a real slice. Values for other sizes or gray scales do not compare."
)


@explain_faults()
def main() -> None:
    """Draw the choice on the left and its result on the right."""
    st.caption("This model can run backwards, so it can score how typical an image is.")
    form, result = st.columns([2, 3], gap="medium")
    with form:
        manifest = pick_checkpoint("likelihood")
        comparison = find_comparison(studio().metrics_dir, manifest.ref)
        source = _pick_image(manifest)
        label = pick_class(manifest, "likelihood_class", "Score as", first=-1, any_title="any class")
        method = _pick_method(comparison)
        key = f"likelihood {manifest.ref.sha256} {source.digest if source else 'nothing'} {label} {method}"
        start_button(
            "Score",
            key,
            lambda: studio().task(
                generation.likelihood, source and source.image, label or None, method, checkpoint=manifest.ref.full_name
            ),
            key="likelihood_score",
            shortcut="Ctrl+Enter",
            disabled=source is None,
        )
        _draw_duration(manifest, method, comparison)
    with result:
        _draw_right(key, manifest, source, label)


def _pick_method(comparison: MethodComparison | None) -> LikelihoodMethod:
    st.session_state.setdefault("likelihood_method", "fast")
    st.segmented_control(
        "Method",
        list(METHODS),
        format_func=METHODS.__getitem__,
        required=True,
        key="likelihood_method",
        persist_state="session",
        help="Fast: a fixed number of steps. Exact: as many steps as the solver needs to stay within its tolerance.",
    )
    if comparison is None:
        st.caption(f"How far the fast method lies from the exact one with these weights: {NOT_MEASURED}.")
    else:
        low, high = min(comparison.differences), max(comparison.differences)
        st.caption(
            escape_markdown(
                f"Fast minus exact: {low:+.4f} to {high:+.4f} bits per dimension on n = {len(comparison.fast):,} "
                f"{comparison.images}."
            )
        )
    method: LikelihoodMethod = st.session_state["likelihood_method"]
    return method


def _draw_duration(manifest: Manifest, method: LikelihoodMethod, comparison: MethodComparison | None) -> None:
    """Say how long a score will take, from the time of one evaluation of the network on this machine."""
    try:
        job = _timing(manifest.ref)
    except StudioError:  # the queue is full: the next run asks again
        return
    if not job.is_over:
        st.fragment(_await_timing, run_every=POLL_S)(job)
    elif job.state != "done":
        st.caption(f"How long a score takes here: {NOT_MEASURED}.")
    elif method == "fast":
        st.caption(f"Takes about {rough_time(job.result)}, by the time of one evaluation of the network here.")
    elif comparison is None:
        st.caption(
            f"Takes longer than the fast method with its {rough_time(job.result)}; how much longer is not known, since "
            "the solver chooses its steps on the way."
        )
    else:
        st.caption(
            f"Takes about {rough_time(job.result * comparison.slowdown)}, by the time of one evaluation of the network "
            f"here. The solver chooses its steps on the way: {comparison.slowdown:.1f} times as many as the fast "
            f"method on n = {len(comparison.exact):,} images."
        )


@st.cache_resource(show_spinner=False)
def _timing(checkpoint: CheckpointRef) -> Job:
    """The job that times one evaluation; it also loads the model."""
    work = studio().task(generation.likelihood_seconds, checkpoint=checkpoint.full_name)
    return job_queue().submit(work, is_fleeting=True)


def _await_timing(job: Job) -> None:
    if job.is_over:
        st.rerun()
    st.caption("How long it takes here is being measured." if job.started else "Duration: measured after other jobs.")


def _draw_right(key: str, manifest: Manifest, source: Source | None, label: str) -> None:
    """The result; while there is none, the last one of these weights below the job's progress, or real slices alone."""
    before = f"likelihood of {manifest.ref.sha256}"
    if source is None or find_job(key) is None:
        found = None
    elif (found := draw_job(key, "")) is not None:
        is_synthetic = source.is_synthetic
        st.session_state[before] = {"found": found, "label": label, "is_synthetic": is_synthetic, "name": source.origin}
        _draw_result(manifest, found, label, is_synthetic=is_synthetic)
    elif before in st.session_state:
        last = dict(st.session_state[before])
        st.markdown(f"**The result before: {escape_markdown(last.pop('name'))}**")
        _draw_result(manifest, **last)
        return
    if found is None:
        st.markdown("**Real slices under this checkpoint**")
        _draw_bits(manifest, {})
        st.caption(READING)


def _pick_image(manifest: Manifest) -> Source | None:
    with explain_faults():
        return pick_image("likelihood", manifest=manifest, pick_rows=lambda: find_dataset_for(manifest).rows)
    return None


def _draw_result(manifest: Manifest, found: Likelihood, label: str, *, is_synthetic: bool) -> None:
    bits, error, inversion = st.columns(3)
    bits.metric("Bits per dimension", f"{found.bits_per_dimension:.3f}", border=True, help=READING)
    error.metric(
        "Standard error",
        f"± {found.standard_error:.3f}",
        border=True,
        help="Of the estimate, over its random probes. The solver's own error is not in it: see Method.",
    )
    inversion.metric(
        "Inversion error",
        f"{found.inversion_rmse:.1%}",
        border=True,
        help="Root mean square error of the image after a trip to noise and back, as a share of the gray scale. If it "
        "is small, the solver followed the path well and the likelihood can be trusted.",
    )
    if not found.is_sound:
        advice = " Try the exact method." if found.method == "fast" else ""
        st.warning(f"The image did not come back from its noise: do not rely on this likelihood.{advice}")
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
    methods = " and ".join(sorted({summary.method for summary in summaries.values()}))
    how = f" Scored without a class, by the {methods} method." if means else ""
    st.caption(escape_markdown(f"Real slices, mean ± standard error: {'; '.join(means) or NOT_MEASURED}.{how}"))


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
