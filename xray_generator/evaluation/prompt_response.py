"""Whether a text model hears its prompt: what one changed fact changes, and whether a denied finding is left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import torch

from xray_generator.abilities import Predicting
from xray_generator.data.report import read_findings
from xray_generator.data.rows import Row, finding_name
from xray_generator.evaluation.fidelity import MIN_AUROC
from xray_generator.evaluation.image_sets import ImageSet
from xray_generator.evaluation.records import Measurement
from xray_generator.images import to_tensor
from xray_generator.reference_encoder.bootstrap import mean_interval
from xray_generator.reference_encoder.model import ReferenceEncoder

LEVEL = 0.7  # share of the noise schedule, where the structure of an image is decided
NUM_NOISES = 32  # images, each with a noise of its own
BASE = "PA chest X-ray of a 50-year-old man"
CHANGES = MappingProxyType(  # what is changed -> the two prompts
    {
        "PA to AP": (BASE, BASE.replace("PA", "AP")),
        "man to woman": (BASE, BASE.replace("man", "woman")),
        "age 30 to 80": (BASE.replace("50", "30"), BASE.replace("50", "80")),
        "age 2 to 40": (BASE.replace("50", "2").replace("man", "boy"), BASE.replace("50", "40")),
        "normal to pleural effusion": (f"Normal {BASE}", f"{BASE} with pleural effusion"),
        "normal to cardiomegaly": (f"Normal {BASE}", f"{BASE} with cardiomegaly"),
        "effusion to no effusion": (f"{BASE} with pleural effusion", f"{BASE}, no pleural effusion"),
    }
)
PER_PROMPT = 16  # images of a stated, a denied and an unmentioned finding
DENIED = "no {}"


@torch.inference_mode()
def measure_response(engine: Predicting, real: ImageSet, rng: np.random.Generator, split: str) -> list[Measurement]:
    """For each of CHANGES, how far the prediction moves at equal noise: |v' - v| / |v|, root mean square."""
    latents = engine.diffusion_latents(to_tensor(real.images[:NUM_NOISES]))
    noise = torch.from_numpy(rng.standard_normal(latents.shape, np.float32)).to(latents)
    found = []
    for change, prompts in CHANGES.items():
        before, after = (engine.predict(latents, noise, LEVEL, prompt).double() for prompt in prompts)
        shares = ((after - before).square().mean(dim=(1, 2, 3)) / before.square().mean()).cpu().numpy()
        ends = mean_interval(shares, rng)
        interval = (max(ends[0], 0.0) ** 0.5, max(ends[1], 0.0) ** 0.5) if ends else None
        value = float(shares.mean() ** 0.5)
        found.append(
            Measurement(
                "fact_response", value, len(latents), interval, condition=change, split=split, settings={"level": LEVEL}
            )
        )
    return found


def deniable_findings(encoder: ReferenceEncoder, known: Sequence[str]) -> tuple[str, ...]:
    """The findings that a model knows, whose denial the report reader understands and that the classifier can judge."""
    return tuple(
        name
        for name in known
        if name in encoder.quality
        and (encoder.quality[name].auroc or 0) >= MIN_AUROC
        and read_findings(DENIED.format(finding_name(name))).absent == (name,)
    )


def measure_negation(
    encoder: ReferenceEncoder,
    findings: Sequence[str],
    redraw: Callable[[Sequence[Row]], ImageSet],
    template: Row,
    real_normal: ImageSet,
    rng: np.random.Generator,
) -> list[Measurement]:
    """The classifier's mean probability of a finding on images whose prompt denies it.

    `settings` holds its mean where the prompt states the finding, and where it says "normal"; `real` is that of real
    images without any finding. The prompts differ in these words alone, and the noises are the same.
    """
    found = []
    for finding in findings:
        place, name = encoder.labels.index(finding), finding_name(finding)
        scores = {
            kind: encoder.probabilities(redraw([replace(template, prompt=prompt)] * PER_PROMPT).images)[:, place]
            for kind, prompt in (
                ("stated", f"{BASE} with {name}"),
                ("denied", f"{BASE}, {DENIED.format(name)}"),
                ("normal", f"Normal {BASE}"),
            )
        }
        yardstick = encoder.probabilities(real_normal.images)[:, place]
        found.append(
            Measurement(
                "denied_score",
                float(scores["denied"].mean()),
                PER_PROMPT,
                mean_interval(scores["denied"], rng),
                float(yardstick.mean()) if len(yardstick) else None,
                len(yardstick),
                finding,
                "test",
                encoder.name,
                {kind: round(float(scores[kind].mean()), 4) for kind in ("stated", "normal")},
            )
        )
    return found
