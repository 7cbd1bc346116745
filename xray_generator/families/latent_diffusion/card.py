"""The text of a latent diffusion model's card."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from xray_generator.cards import Card, describe_recommendation, describe_training, loading_code, table
from xray_generator.checkpoints import Manifest, Metrics
from xray_generator.config import parse
from xray_generator.families.latent_diffusion.config import LatentDiffusionConfig
from xray_generator.types import TextPrompt

BIASES = {
    "nih_chestxray14": "NIH labels are text-mined; about one in ten is wrong. The full-resolution NIH films are mainly "
    "normal or pneumonia: other findings come from small images and are drawn less sharply and less reliably.",
    "kermany_pediatric": "The children are one to five years old and come from one hospital, with a tight crop.",
    "hannover_covid": "COVID-19 films are mostly bedside AP films with tubes and lines: the model associates these.",
}
TARGETS = {
    "v_prediction": "v",
    "epsilon": "the noise",
    "sample": "v, which follows from the latents that the UNet predicts",
}


def describe(manifest: Manifest) -> Card:
    """The card of a checkpoint."""
    config = parse(LatentDiffusionConfig, manifest.config)
    size, data, (low, high) = config.image_size, manifest.data, config.schedule.guidance_interval
    interval = "" if (low, high) == (0, 1) else f" (which acts from {low:g} to {high:g} of the timesteps)"
    detail = "" if config.detail_training is None else " A rectified flow enlarges what is decoded, and draws detail."
    prompt = next(iter(manifest.vocabulary.get("example_prompts", ())), "Normal chest X-ray, PA view")
    return Card(
        tags=("chest-x-ray", "latent-diffusion", "diffusers"),
        pipeline_tag="text-to-image",
        notice="Draws X-ray films of patients who do not exist.",
        introduction=(
            f"Draws frontal chest X-rays of {size}x{size} pixels, 8-bit gray, from an English description. Latent "
            f"diffusion: an autoencoder (latents at 1/{8 * size // config.structure_size} of the side), a UNet with "
            "cross-attention to the words, which is also given the facts that are read from them, and a text encoder."
            + detail,
            "Intended use: to see, teach and study how such models work, that is their training, sampling, guidance "
            "and failures.",
        ),
        out_of_scope=(
            "Evidence about a patient, a group or a disease.",
            "Teaching or testing the reading of films: findings can be absent, misplaced or impossible.",
            "Replacing real images where a medical device is trained or validated; passing an image off as real.",
        ),
        loading=loading_code(manifest.name, TextPrompt(prompt), size),
        recommended=describe_recommendation(manifest) + interval,
        data=(f"Of the training images, {data.num_full_resolution or 0:,} reach {size} pixels by themselves.",),
        procedure=(*_describe_stages(manifest, config), *_describe_beginning(config), *config.remarks),
        measured=tuple(_describe_metrics(manifest.metrics)),
        limits=(
            *(BIASES[source] for source in sorted(data.sources) if source in BIASES),
            "A prompt word that no training caption holds has no learned meaning.",
            "It may repeat parts of training images; the memorization rate in the records says whether it does.",
        ),
    )


def _describe_stages(manifest: Manifest, config: LatentDiffusionConfig) -> Iterator[str]:
    stages = (
        _describe_autoencoder(config, is_own="autoencoder" in manifest.steps),
        _describe_detail(config),
        _describe_denoiser(config),
        _describe_decoder(config),
        _describe_few_step(config),
    )
    for number, stage in enumerate(filter(None, stages), start=1):
        yield f"{number}. {stage}"


def _describe_beginning(config: LatentDiffusionConfig) -> Iterator[str]:
    if config.begin_with:
        other = Path(config.begin_with).name
        earlier = "an earlier " * (other == config.name)
        yield (
            f"Autoencoder, UNet and text encoder began with the weights of {earlier}{other}, as far as their tensors "
            "had the same names and shapes."
        )


def _describe_autoencoder(config: LatentDiffusionConfig, *, is_own: bool) -> str:
    if not is_own:
        return "**Autoencoder**: taken from another run, and frozen."
    shape = config.autoencoder
    noise = (
        f" The decoder is given latents with noise of up to {shape.max_noise:g} of each channel's deviation."
        if shape.max_noise
        else ""
    )
    half = (
        f" In half of the steps latents pooled to half their side must decode to images pooled alike (weight "
        f"{shape.equivariance_weight:g})."
        if shape.equivariance_weight
        else ""
    )
    return (
        f"**Autoencoder**, {describe_training(config.autoencoder_training)}, on images of {config.structure_size} "
        f"pixels, in random crops of {shape.crop_size}; loss: L1 + {shape.gradient_weight:g} x L1 of pixel differences "
        f"+ {shape.kl_weight:g} x KL divergence.{noise}{half} Frozen afterwards."
    )


def _describe_detail(config: LatentDiffusionConfig) -> str:
    if config.detail_training is None:
        return ""
    return (
        f"**Detail**, {describe_training(config.detail_training)}, on crops of {config.detail.crop_size} pixels of "
        f"films that reach {config.image_size} by themselves. From what the autoencoder gives back at half the side, "
        "with noise on its latents, a rectified flow draws what is missing of the film, in "
        f"{config.detail.num_inference_steps} steps."
    )


def _describe_denoiser(config: LatentDiffusionConfig) -> str:
    schedule, text, fold = config.schedule, config.text_encoder, config.unet.fold
    folded = f" folded {fold}x{fold} and" if fold > 1 else ""
    weight = "" if schedule.min_snr_gamma is None else f", weighted by min-SNR with gamma {schedule.min_snr_gamma:g}"
    balance = ", each channel's over its running mean at that noise level" if schedule.balance_errors else ""
    high = (
        f"; {schedule.high_noise_share:.0%} of the training is at timesteps from 50 to 95 % alone"
        if schedule.high_noise_share
        else ""
    )
    rare = f" An epoch shows films of rare conditions up to {config.rare_repeats} times." * (config.rare_repeats > 1)
    wordings = f" Each caption is shown in {config.caption_variants} wordings." * (config.caption_variants > 1)
    encoder = (
        "A small BERT, whose vocabulary comes from the training captions, is trained along."
        if text.kind == "bert"
        else f"The text encoder {text.name_or_path} is frozen and not in this folder; a projection is trained along."
    )
    return (
        f"**Denoiser**, {describe_training(config.denoiser_training)}. Mean squared error of "
        f"{TARGETS[schedule.prediction_type]}{weight}{balance}, on latents{folded} whitened by their measured "
        f"covariance, over {schedule.num_train_timesteps:,} steps of the noise schedule "
        f"{schedule.beta_schedule}{high}; {schedule.prompt_dropout:.0%} of the prompts are dropped, for guidance. "
        f"{encoder}{rare}{wordings}"
    )


def _describe_decoder(config: LatentDiffusionConfig) -> str:
    if config.decoder_training is None:
        return ""
    decoder = config.decoder
    adversarial = (
        f" + {decoder.adversarial_weight:g} x the score of a patch critic that learns along + "
        f"{decoder.feature_weight:g} x L1 of the critic's features"
    )
    return (
        f"**Decoder**, {describe_training(config.decoder_training)}, on crops of full resolution, the encoder frozen. "
        f"Loss: L1 + {decoder.energy_weight:g} x L1 of the Laplacian's local root mean square at three scales"
        f"{adversarial if decoder.adversarial_weight or decoder.feature_weight else ''}."
    )


def _describe_few_step(config: LatentDiffusionConfig) -> str:
    if config.few_step_training is None:
        return ""
    few_step = config.few_step
    return (
        f"**Adapter for {few_step.num_steps} steps** (scheduler few_step), "
        f"{describe_training(config.few_step_training)}: low rank ({few_step.rank}), distillation of "
        f"{few_step.teacher_steps} guided DDIM steps into one, with guidance {few_step.guidance_scale:g} built in."
    )


def _describe_metrics(metrics: Metrics) -> Iterator[str]:
    if metrics.reconstruction:
        rows = [
            (split, one.num_images, *(_number(value) for value in (one.psnr_db, one.ssim, one.sharpness_ratio)))
            for split, one in metrics.reconstruction.items()
        ]
        yield from table(("split", "images", "PSNR (dB)", "SSIM", "sharpness ratio"), rows)
        yield from (
            "",
            "Real images of full resolution against what the latents give back, mean over images; sharpness is the "
            "variance of the Laplacian. It bounds the detail that the model can draw, and says nothing of how true its "
            "images are.",
            "",
        )
    yield (
        "How realistic, varied, true to the prompt, useful and similar to training images its images are is measured "
        "by `python -m xray_generator.evaluate`; the records are in `outputs/metrics/`."
    )


def _number(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.4g}"
