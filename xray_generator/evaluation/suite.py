"""The steps of an evaluation, run one after the other; a measure that fails gives its reason and stops no other."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

from xray_generator import generation
from xray_generator.abilities import Autoencoding, Editing, Predicting
from xray_generator.data.rows import Row, class_names, evenly
from xray_generator.evaluation import (
    ablations,
    architecture,
    c2st,
    class_fidelity,
    class_utility,
    distribution,
    diversity,
    fidelity,
    image_quality,
    latents,
    memorization,
    plots,
    prompt_response,
    similarity,
    speed,
    sweeps,
    utility,
)
from xray_generator.evaluation.image_sets import ImageSet, from_rows
from xray_generator.evaluation.inputs import num_shared
from xray_generator.evaluation.memorization import Audit
from xray_generator.evaluation.pixel_match import thumbnails
from xray_generator.evaluation.planted_copies import self_test
from xray_generator.evaluation.records import Measurement
from xray_generator.evaluation.study import MIN_IMAGES, NO_ENCODER, Findings, Model, Study, conditions
from xray_generator.evaluation.training_set import TrainingSet, read_training
from xray_generator.nn.flops import count_flops
from xray_generator.reference_encoder.metrics import rate_interval
from xray_generator.types import Edit, OnStep, StudioError, TextPrompt, report_loaded

TIMED_STEPS = (4, 8, 20)
MOST_PAIRS = 200  # images that the autoencoder reconstructs
MOST_EDITED = 48  # images that are noised half
NUM_SHOWN = 8  # closest pairs in the figure
MOST_REAL = 2_000  # training images given to a classifier
Find = Callable[[Study, np.random.Generator], Findings]


@dataclass(frozen=True, slots=True)
class Step:
    """A part of the suite; `measures` are recorded as missing, with the reason, where it fails."""

    name: str
    measures: tuple[str, ...]
    find: Find


def run(study: Study, steps: Sequence[Step], on_step: OnStep | None = None) -> Findings:
    """Take all measures. The random draws of a step depend on the seed and its name, not on the steps before it.

    What `on_step` raises ends it between two steps.
    """
    found = Findings()
    progress = tqdm(steps, desc="measures", unit="step", disable=None)
    for step in progress:
        progress.set_postfix_str(step.name)
        report_loaded(on_step)
        try:
            found += step.find(study, np.random.default_rng([study.seed, zlib.crc32(step.name.encode())]))
        except StudioError as error:
            found += Findings(
                tuple(
                    Measurement(name, None, len(study.generated), split=study.split, reason=str(error))
                    for name in step.measures
                ),
                notes=() if step.measures else (f"By {step.name}: not measured. {error}",),
            )
    return found


def find_architecture(study: Study, _: np.random.Generator) -> Findings:
    """Components, layers and attention layers, and the arithmetic of drawing and of the training."""
    model = study.require_model()
    request = replace(model.request, num_images=1)
    parts = architecture.describe(model.components)
    sites = architecture.attention_sites(model.components, lambda: model.draw(replace(request, num_inference_steps=2)))
    drawing = count_flops(lambda: model.draw(request))
    return Findings(
        (
            Measurement("parameters", float(sum(part.parameters for part in parts)), 1),
            Measurement("image_gigaflops", drawing / 1e9, 1),
            architecture.measure_training(model.engine.manifest),
        ),
        tables={
            "components": architecture.component_table(parts),
            "layers": architecture.layer_table(parts),
            "attention": architecture.attention_table(sites),
        },
    )


def find_speed(study: Study, _: np.random.Generator) -> Findings:
    """Time, memory and network evaluations on this machine."""
    model = study.require_model()
    found = speed.measure_speed(model.draw, model.components, model.request, TIMED_STEPS, repeats=3)
    reason = "the process may have held other models before" if model.peak_memory_mb is None else ""
    memory = Measurement("peak_memory_mb", model.peak_memory_mb, 1, settings=speed.machine_facts(), reason=reason)
    curve = speed.speed_curve(found)
    return Findings((*found, memory), {"speed": curve}, figures={"speed": plots.curves(curve)})


def find_detail(study: Study, rng: np.random.Generator) -> Findings:
    """Sharpness, noise, contrast and spectrum, compared with real images of full resolution."""
    generated, real = study.pair(study.size)
    spectra = image_quality.spectrum_curve(generated, real)
    ours, theirs = (image_quality.statistics(images.images) for images in (generated, real))
    spread = {
        f"{name}_distribution": image_quality.distribution_curve(name, ours[name], theirs[name])
        for name in image_quality.STATISTICS
    }
    figures = {name: plots.histograms(ours[name], theirs[name], name) for name in image_quality.STATISTICS}
    return Findings(
        tuple(image_quality.compare(generated, real, rng, split=study.split)),
        {"spectrum": spectra, **spread},
        figures={**figures, "spectrum": plots.curves(spectra, logarithmic=True)},
    )


def find_reconstruction(study: Study, rng: np.random.Generator) -> Findings:
    """How well the autoencoder reconstructs real images that it never saw."""
    if (reconstruct := study.require_model().reconstruct) is None:
        raise StudioError("This model has no autoencoder.")
    _, real = study.pair(study.size)
    real = real.take(rng.permutation(len(real))[:MOST_PAIRS])
    reconstructions = ImageSet("reconstructions", reconstruct(real))
    return Findings(tuple(image_quality.compare_pairs(reconstructions, real, rng, split=study.split)))


def find_latents(study: Study, rng: np.random.Generator) -> Findings:
    """How much of the latents a denoiser can learn, and how much error they bear."""
    engine = study.require_model().engine
    if not isinstance(engine, Autoencoding):
        raise StudioError("This model has no autoencoder.")
    _, real = study.pair(study.size)
    real = replace(real.take(rng.permutation(len(real))[:MOST_PAIRS]), rows=(), names=())
    found = [] if engine.manifest.labels else [latents.measure_fragility(engine, real, rng, study.split)]
    if isinstance(engine, Predicting):
        found.append(latents.measure_learnability(engine, real, study.split))
    return Findings(tuple(found))


def find_bands(study: Study, rng: np.random.Generator) -> Findings:
    """Power by frequency: of the images, and of real ones that the model noised half and denoised again."""
    generated, real = study.pair(study.size)
    found = image_quality.band_power(generated, real, rng, split=study.split)
    model = study.require_model()
    if isinstance(model.engine, Editing) and isinstance(model.request.condition, TextPrompt):
        some = real.take(rng.permutation([i for i, row in enumerate(real.rows) if row.prompt])[:MOST_EDITED])
        found += image_quality.band_power(
            _from_middle_noise(model, some), some, rng, ", from middle noise", study.split
        )
    return Findings(tuple(found))


def _from_middle_noise(model: Model, real: ImageSet) -> ImageSet:
    images = []
    for i, (image, row) in enumerate(zip(real.images, real.rows, strict=True)):
        request = replace(model.request, condition=TextPrompt(row.prompt), num_images=1, seed=i, guidance_scale=1.0)
        edited = generation.edit(model.engine, image, request, Edit(row.prompt, strength=0.5, method="noise"))
        images.append(edited.after.images[0])
    return ImageSet("denoised from middle noise", np.stack(images))


def find_response(study: Study, rng: np.random.Generator) -> Findings:
    """What one changed fact of the prompt changes in the prediction."""
    engine = study.require_model().engine
    if not isinstance(engine, Predicting):
        raise StudioError("This model does not show what its denoiser predicts.")
    _, real = study.pair(study.size)
    real = real.take(rng.permutation(len(real)))
    return Findings(tuple(prompt_response.measure_response(engine, real, rng, study.split)))


def find_negation(study: Study, rng: np.random.Generator) -> Findings:
    """Whether a finding that the prompt denies is left out."""
    model = study.require_model()
    if (encoder := study.classifiers.encoder) is None:
        raise StudioError(NO_ENCODER)
    if not isinstance(model.request.condition, TextPrompt):
        raise StudioError("This model takes no prompt.")
    known = [known["finding"] for known in model.engine.manifest.vocabulary.get("findings", ())]
    findings = prompt_response.deniable_findings(encoder, known)
    if not findings:
        raise StudioError("The classifier can judge no finding that the model knows.")
    test = study.test_images()
    normal = test.take(
        [i for i, row in enumerate(test.rows) if row.findings == ("no_finding",) and row.age_group == "adult"]
    )

    def redraw(rows: Sequence[Row]) -> ImageSet:
        return model.redraw(rows, {})

    template = Row(Path("prompt"), "", ())
    return Findings(tuple(prompt_response.measure_negation(encoder, findings, redraw, template, normal, rng)))


def find_realism(study: Study, rng: np.random.Generator) -> Findings:
    """Distances, shares and the C2ST AUROC in every feature space."""
    found: list[Measurement] = []
    for space in study.classifiers.spaces:
        generated, real = study.pair(min(space.size, study.size))
        try:
            found += distribution.compare(generated, real, space.extractor, rng, split=study.split)
            found.append(c2st.compare(generated, real, space.extractor, rng, split=study.split))
        except StudioError as error:  # of the space: the others are measured all the same
            name = space.extractor.name
            found += [
                Measurement(measure, None, extractor=name, reason=str(error)) for measure in (*REALISM, "detectability")
            ]
    return Findings(tuple(found))


def find_inception_score(study: Study, rng: np.random.Generator) -> Findings:
    """The Inception score, where Inception-v3 is installed."""
    if study.classifiers.inception is None:
        raise StudioError("Inception-v3 is not available here; the full suite looks for it.")
    inception = study.classifiers.inception
    return Findings((distribution.inception_scores(study.generated, study.real, inception, rng, split=study.split),))


def find_fid(study: Study, rng: np.random.Generator) -> Findings:
    """FID and KID as others report them, where Inception-v3 is installed."""
    if study.classifiers.inception is None:
        raise StudioError("Inception-v3 is not available here; the full suite looks for it.")
    space = next(
        space for space in study.classifiers.spaces if space.extractor.name == study.classifiers.inception.name
    )
    return Findings(tuple(distribution.fid_and_kid(study.generated, study.real, space.extractor, rng, study.split)))


def find_diversity(study: Study, rng: np.random.Generator) -> Findings:
    """Similarity of pairs of generated images, compared with that of real pairs."""
    return Findings((diversity.compare(*study.pair(study.size), rng, split=study.split),))


def find_copies(study: Study, rng: np.random.Generator) -> Findings:
    """The memorization audit, over all images and by condition, with the closest pairs."""
    training = _training(study)
    seen = num_shared(thumbnails(study.real.images), training.thumbnails)
    audit = memorization.audit(study.generated, study.real, training, study.space.extractor, rng, study.split)
    real_places = conditions(study.real.rows)
    rates = [
        replace(
            audit.measurements[0],
            value=float(flags.mean()),
            n=len(flags),
            condition=name,
            real=float(real_flags.mean()) if len(real_flags) else None,
            real_n=len(real_flags),
            interval=rate_interval(flags),
        )
        for name, places in conditions(study.generated.rows).items()
        if len(places) >= MIN_IMAGES
        for flags, real_flags in [(audit.flags[places], audit.real_flags[real_places.get(name, [])])]
    ]
    return Findings(
        (*audit.measurements, *rates),
        tables={"closest_pairs": memorization.closest(audit, study.generated, training)},
        figures={"closest_pairs": _gallery(study, audit, training)},
        notes=(f"{seen:,} of the real images are also training images: the yardsticks are too easy.",) * bool(seen),
    )


def find_planted(study: Study, rng: np.random.Generator) -> Findings:
    """Whether the memorization audit finds planted copies, and how often it flags unseen real images."""
    return Findings(tuple(self_test(study.real, _training(study), study.space.extractor, rng, study.split)))


def find_similarity(study: Study, rng: np.random.Generator) -> Findings:
    """Similarity of an image to the nearest real one."""
    found = similarity.measure_similarity(study.generated, study.real, _training(study), rng, study.split)
    return Findings(tuple(found))


def find_fidelity(study: Study, rng: np.random.Generator) -> Findings:
    """Whether the reference classifier recognizes what the prompts, or the classes, ask for."""
    if (encoder := study.classifiers.encoder) is None:
        raise StudioError(NO_ENCODER)
    test = study.test_images()
    found = fidelity.measure_fidelity(encoder, study.generated, test, rng)
    found += class_fidelity.measure_class_accuracy(encoder, study.generated, test, rng)
    table = fidelity.confusion_table(encoder, study.generated, test) if study.generated.rows else ()
    tables = {"confusion": table}
    if by_class := class_fidelity.class_confusion(encoder, study.generated, test):
        tables["class_confusion"] = by_class
    return Findings(tuple(found), tables=tables)


def find_utility(study: Study, rng: np.random.Generator) -> Findings:
    """How well a classifier trained on the generated images recognizes real ones."""
    if not study.generated.rows or not study.training:
        raise StudioError("Utility needs the prompts of the images, and real training images with labels.")
    chosen = rng.permutation(len(study.training))[: len(study.generated)]
    real = from_rows([study.training[i] for i in chosen], study.size, "real, train")
    found, curve = utility.measure_utility(study.generated, real, study.test_images(), rng)
    curves = {} if curve is None else {"utility": curve}
    return Findings(tuple(found), curves, figures={name: plots.curves(curve) for name, curve in curves.items()})


def find_few(study: Study, rng: np.random.Generator) -> Findings:
    """What generated images add where only few real ones of each class are available."""
    if not study.generated.rows or not study.training:
        raise StudioError(class_utility.NO_CLASSES)
    drawn = set(class_names(study.generated.rows))
    rows = evenly([row for row in study.training if row.label in drawn], MOST_REAL)
    found, curve = class_utility.measure_few(
        study.generated, from_rows(rows, study.size, "real, train"), study.test_images(), rng
    )
    curves = {"few_real_images": curve}
    return Findings(tuple(found), curves, figures={name: plots.curves(curve) for name, curve in curves.items()})


def find_conditions(study: Study, rng: np.random.Generator) -> Findings:
    """Detail, distance and diversity of each class, finding, view, sex and age group."""
    found: list[Measurement] = []
    for name, pair in _parts(*study.pair(study.size)):
        found += image_quality.compare(*pair, rng, name, study.split)
        found.append(diversity.compare(*pair, rng, name, study.split))
    space = study.space
    for name, pair in _parts(*study.pair(min(space.size, study.size))):
        found += distribution.compare(*pair, space.extractor, rng, name, study.split)
        found.append(c2st.compare(*pair, space.extractor, rng, name, study.split))
    return Findings(tuple(found))


def _parts(generated: ImageSet, real: ImageSet) -> Iterator[tuple[str, tuple[ImageSet, ImageSet]]]:
    """Generated and real images of each condition that enough of both show."""
    ours, theirs = conditions(generated.rows), conditions(real.rows)
    for name in sorted(ours.keys() & theirs.keys()):
        if len(ours[name]) >= MIN_IMAGES and len(theirs[name]) >= 2 * MIN_IMAGES:
            yield name, (generated.take(ours[name]), real.take(theirs[name]))


REALISM = ("frechet_distance", "frechet_ratio", "kernel_distance", "precision", "recall", "density", "coverage")
QUICK = (
    Step("speed", ("latency_ms", "images_per_second", "peak_memory_mb"), find_speed),
    Step("architecture", ("parameters", "image_gigaflops", "training_petaflops"), find_architecture),
    Step("detail", ("sharpness_ratio", "spectral_distance"), find_detail),
    Step("reconstruction", ("psnr", "ssim", "mse"), find_reconstruction),
    Step("latents", ("latent_fragility", "linear_v_error"), find_latents),
    Step("realism", (*REALISM, "detectability"), find_realism),
    Step("diversity", ("ms_ssim",), find_diversity),
    Step("copies", ("copy_rate", "authenticity", "nearest_distance_ratio"), find_copies),
    Step("planted copies", ("copies_found", "false_alarms"), find_planted),
    Step("similarity", similarity.MEASURED, find_similarity),
    Step("prompts", ("prompt_accuracy",), find_fidelity),
)
FULL = (
    *QUICK,
    Step("bands", ("band_power",), find_bands),
    Step("response", ("fact_response",), find_response),
    Step("negation", ("denied_score",), find_negation),
    Step("inception score", ("inception_score",), find_inception_score),
    Step("FID and KID", ("fid", "kid"), find_fid),
    Step("utility", ("utility_synthetic",), find_utility),
    Step("few real images", (class_utility.GAIN,), find_few),
    Step("conditions", (), find_conditions),
    Step("guidance", (), sweeps.find_guidance),
    Step("steps", (), sweeps.find_steps),
    Step("ablations", (), ablations.find_ablations),
)
SUITES = MappingProxyType({"quick": QUICK, "full": FULL})


def _training(study: Study) -> TrainingSet:
    if not study.training:
        raise StudioError("The training images are not known; name their dataset with --training.")
    return read_training(study.training, study.size, study.space.extractor, study.cache)


def _gallery(study: Study, audit: Audit, training: TrainingSet) -> Figure:
    nearest = audit.order[:NUM_SHOWN]
    originals = from_rows([training.rows[int(audit.near.match.place[i])] for i in nearest], study.size, "training")
    captions = [f"similarity {audit.near.match.similarity[i]:.2f}{', flagged' * bool(audit.flags[i])}" for i in nearest]
    pairs = list(zip(study.generated.images[nearest], originals.images, strict=True))
    return plots.image_pairs(pairs, ("generated", "nearest training image"), captions)
