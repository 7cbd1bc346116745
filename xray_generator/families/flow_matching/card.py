"""The text of a flow's model card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from xray_generator.cards import Card, describe_recommendation, describe_training, loading_code, table
from xray_generator.checkpoints import Manifest, Metrics
from xray_generator.config import parse
from xray_generator.families.flow_matching.config import FlowMatchingConfig
from xray_generator.families.flow_matching.likelihood import NUM_STEPS
from xray_generator.types import ClassLabel, LikelihoodMethod, Unconditional

SOLVERS: Mapping[LikelihoodMethod, str] = MappingProxyType(
    {
        "exact": "an adaptive solver",
        "fast": f"a Runge-Kutta method of fourth order in {NUM_STEPS} fixed steps",
    }
)


def describe(manifest: Manifest) -> Card:
    """The card of a checkpoint."""
    config = parse(FlowMatchingConfig, manifest.config)
    condition = ClassLabel(config.labels[0]) if config.labels else Unconditional()
    classes = f"by class ({', '.join(config.labels)}) or without a class" if config.labels else "without classes"
    counts = ", ".join(f"{name} {count:,}" for name, count in manifest.data.classes.items())
    return Card(
        tags=("ct", "flow-matching"),
        pipeline_tag="unconditional-image-generation",
        notice="Draws slices of patients who do not exist.",
        introduction=(
            f"Axial chest CT at {config.image_size} pixels, {classes}, by a continuous normalizing flow: a network "
            "predicts the velocity that turns noise into an image (rectified flow), and an ODE solver follows it. "
            "The same flow run backwards gives the likelihood of any slice.",
            f"Gray 0 to 1 stands for {config.window.low:g} to {config.window.high:g} HU; values outside are clipped.",
        ),
        out_of_scope=(
            "A class is that of the case: a slice of a malignant case need not show a lesion.",
            "Volumes: slices are drawn one by one and do not fit together.",
            "Likelihood as a test of whether a slice is real: smooth images score well whatever they show.",
        ),
        loading=loading_code(manifest.name, condition, config.image_size),
        recommended=describe_recommendation(manifest),
        images="slices",
        data=(
            *([f"By class: {counts}."] if counts else []),
            "Slices of classes that the model does not draw were used without their class.",
        ),
        procedure=(_describe_procedure(config), *config.remarks),
        measured=tuple(_describe_likelihoods(manifest.metrics)),
        sections={
            "A discrete flow": (
                "Affine coupling layers and invertible 1x1 convolutions (Glow, Kingma & Dhariwal 2018, "
                "arXiv:1807.03039) are not part of this checkpoint. What decided: on ImageNet at 64 pixels Glow "
                "reports 3.81 bits per dimension and flow matching 3.31 (Lipman et al. 2023, arXiv:2210.02747, table "
                "1), since a coupling layer may be no network but an invertible one. It would give a likelihood in one "
                "pass in place of some hundred, which nothing here waits for; none was trained on these slices, so "
                "nothing is claimed about how it would do on them.",
            )
        },
    )


def _describe_procedure(config: FlowMatchingConfig) -> str:
    moved = config.augmentation
    return (
        f"{describe_training(config.training, 'slices')}. Loss: mean squared error of the velocity, noise levels "
        f"logit-normal ({config.sigma_mean:g}, {config.sigma_std:g}), {config.coupling.replace('_', ' ')} coupling. "
        f"The class is dropped for {config.class_dropout:.0%} of the images, and images of rare classes appear up to "
        f"{config.repeats} times in an epoch. Each image is rotated by up to {moved.turn:g} radians, scaled by up to "
        f"{moved.zoom:.0%} and shifted by up to {moved.shift:.0%} of the side, never mirrored."
    )


def _describe_likelihoods(metrics: Metrics) -> Iterator[str]:
    if not metrics.likelihood:
        return
    rows = [
        (
            split,
            one.num_images,
            f"{one.bits_per_dimension:.3f}" + ("" if one.standard_error is None else f" ± {one.standard_error:.3f}"),
            f"{one.inversion_rmse:.2e}",
        )
        for split, one in metrics.likelihood.items()
    ]
    header = ("split", "slices", "bits per dimension, no class", "image to noise and back, RMS error of gray 0 to 1")
    yield from table(header, rows)
    known = {"a uniform density": 8.0, **metrics.likelihood_references}
    values = "; ".join(f"{name} {value:.2f}" for name, value in known.items())
    methods = {one.method for one in metrics.likelihood.values()}
    yield from (
        "",
        "Estimated on 256 gray levels made continuous by uniform noise, the divergence by Hutchinson's estimator, with "
        f"{' or '.join(SOLVERS[method] for method in sorted(methods))}.",
        "",
        f"For comparison, bits per dimension: {values}. Above 8, real slices are less probable under the model than "
        "under a uniform density: it has not learned their finest detail.",
    )
