"""The feature spaces and classifiers that are at hand here; of those that are not, a note says why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from xray_generator.data.rows import Row
from xray_generator.evaluation.features import Classifier, Extractor, Principal, Radiomics, Remembering
from xray_generator.evaluation.image_sets import ImageSet
from xray_generator.evaluation.pretrained import Inception, pretrained_extractors
from xray_generator.reference_encoder.manifest import fitting_encoder
from xray_generator.reference_encoder.model import ReferenceEncoder, load_reference_encoder

PRETRAINED_SIZE = 299  # pixels a side that Inception-v3 looks at; the networks for X-rays look at more
NUM_COMPONENTS = 32  # of the encoder: half of the unseen films are too few for a Fréchet distance of all its features
NO_ENCODER = (
    "outputs/encoders/ holds no reference encoder of such images: features are radiomics, and fidelity to prompts and "
    "classes is not measured."
)


@dataclass(frozen=True, slots=True)
class Space:
    """A feature space, and how many pixels a side it looks at: a film of as many is sharp to it."""

    extractor: Extractor
    size: int


@dataclass(frozen=True, slots=True, eq=False)
class Classifiers:
    """What compares images; the first space is the best at hand; copies, conditions and sweeps are measured in it."""

    spaces: tuple[Space, ...]
    encoder: ReferenceEncoder | None = None
    inception: Classifier | None = None
    notes: tuple[str, ...] = ()


def find_classifiers(
    real: ImageSet, encoders: Path, device: str | None, *, pretrained: bool, asked: Sequence[Row] = ()
) -> Classifiers:
    """The reference encoder of a folder of encoders, radiomics in units of the real images, and foreign networks.

    Args:
        real: unseen real images.
        encoders: holds a folder for each encoder; that which learned from such images is taken.
        device: for the encoder.
        pretrained: whether to look for Inception-v3 and the like, which take long.
        asked: what generated images show, where nothing is known of the real ones.

    Raises:
        StudioError: fewer than two real images, or a damaged encoder.
    """
    folder = fitting_encoder(encoders, real.rows or asked)
    encoder = load_reference_encoder(folder, device) if folder else None
    others, missing = pretrained_extractors() if pretrained else ([], {})
    size = int(real.images.shape[-1])
    spaces = [
        *(spaces_of(encoder, real) if encoder else []),
        Space(Remembering(Radiomics.of(real.images)), size),
        *(Space(Remembering(other), PRETRAINED_SIZE) for other in others),
    ]
    notes = [*([] if encoder else [NO_ENCODER]), *(f"{name} is not used: {reason}" for name, reason in missing.items())]
    inception = next((other for other in others if isinstance(other, Inception)), None)
    return Classifiers(tuple(spaces), encoder, inception, tuple(notes))


def spaces_of(encoder: ReferenceEncoder, real: ImageSet) -> list[Space]:
    """All its features, and the principal components of real images where both are more."""
    whole = Remembering(encoder)
    spaces = [Space(whole, encoder.size)]
    if min(encoder.dimension, len(real)) > NUM_COMPONENTS:
        spaces.append(Space(Principal.of(whole, real.images, NUM_COMPONENTS), encoder.size))
    return spaces
