import pickle
from pathlib import Path

import numpy as np
import pytest

from xray_generator.evaluation.features import Principal, Radiomics, Remembering
from xray_generator.evaluation.image_sets import ImageSet
from xray_generator.evaluation.pretrained import LOADERS, checked_weights, pretrained_extractors
from xray_generator.evaluation.radiomics import NAMES, radiomics
from xray_generator.evaluation.study import encoder_spaces
from xray_generator.reference_encoder.manifest import Calibration, EncoderShape
from xray_generator.reference_encoder.model import ReferenceEncoder, build_network
from xray_generator.types import StudioError


def named(image: np.ndarray) -> dict[str, float]:
    return dict(zip(NAMES, radiomics(image), strict=True))


def test_radiomics_of_stripes() -> None:
    stripes = np.tile(np.array([0.25, 0.75], np.float32), (64, 32))
    found = named(stripes)
    assert len(found) == 46
    assert (found["mean"], found["deviation"], found["entropy"], found["quantile 0.9"]) == (0.5, 0.25, 1, 0.75)
    assert found["kurtosis"] == pytest.approx(1) and found["skewness"] == pytest.approx(0)
    assert found["horizontal wavelet 1"] == pytest.approx(np.log(4 * 0.25**2), abs=1e-3)  # all energy is in one band
    assert max(found["vertical wavelet 1"], found["diagonal wavelet 1"], found["horizontal wavelet 2"]) < np.log(1e-5)
    assert found["correlation at 4"] > found["correlation at 1"]  # period 2


def test_radiomics_knows_where_the_light_is() -> None:
    image = np.full((64, 64), 0.25, np.float32)
    image[:, :32] = 0.75
    assert named(image)["left to right"] == 0.5 and named(image)["top to bottom"] == 0
    assert named(image.T)["top to bottom"] == 0.5
    assert named(image)["vertical wavelet 1"] < named(np.tri(64, dtype=np.float32))["vertical wavelet 1"]


def test_radiomics_is_finite_for_a_uniform_image_and_refuses_a_tiny_one() -> None:
    assert np.isfinite(radiomics(np.zeros((16, 20), np.float32))).all()
    with pytest.raises(StudioError, match="16 pixels or more a side, not 15x16"):
        radiomics(np.zeros((16, 15), np.float32))


def test_real_images_are_the_unit_of_radiomics(real: ImageSet, radiomics_space: Remembering) -> None:
    features = radiomics_space(real.images)
    assert features.shape == (len(real), radiomics_space.dimension)
    np.testing.assert_allclose(features.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(features.std(axis=0), 1)
    assert radiomics_space(real.images[:0]).shape == (0, radiomics_space.dimension)
    with pytest.raises(StudioError, match="two real images"):
        Radiomics.of(real.images[:1])


def test_a_set_of_one_picture_has_a_unit_too(real: ImageSet) -> None:
    assert np.isfinite(Radiomics.of(np.repeat(real.images[:1], 3, axis=0))(real.images[:2])).all()


class Counting:
    name, dimension = "mean and spread", 2

    def __init__(self) -> None:
        self.num_images = 0

    def __call__(self, images: np.ndarray) -> np.ndarray:
        self.num_images += len(images)
        return np.stack([images.mean(axis=(1, 2)), images.std(axis=(1, 2))], axis=1).astype(np.float64)


def test_an_image_is_seen_once(real: ImageSet) -> None:
    counting = Counting()
    space = Remembering(counting)
    twice = np.concatenate([real.images[:5], real.images[2:4]])
    np.testing.assert_array_equal(space(twice), Counting()(twice))
    np.testing.assert_array_equal(space(real.images[3:8]), Counting()(real.images[3:8]))
    assert counting.num_images == 8 and (space.name, space.dimension) == (counting.name, 2)


def test_principal_components_keep_the_distances(real: ImageSet, radiomics_space: Remembering) -> None:
    whole = Principal.of(radiomics_space, real.images, 46)
    first = Principal.of(radiomics_space, real.images, 5)
    some, features = real.images[:2], radiomics_space(real.images[:2])
    assert np.linalg.norm(np.subtract(*whole(some))) == pytest.approx(np.linalg.norm(np.subtract(*features)))
    np.testing.assert_allclose(whole(some)[:, :5], first(some))
    spread = first(real.images).var(axis=0)
    assert (np.diff(spread) < 0).all() and first.name == "radiomics 1, 5 components"
    with pytest.raises(StudioError, match="1 to 9 components can be computed, not 10"):
        Principal.of(radiomics_space, real.images[:10], 10)


@pytest.mark.parametrize(
    ("num_features", "num_images", "dimensions"), [(48, 40, [48, 32]), (16, 40, [16]), (48, 32, [48])]
)
def test_a_wide_encoder_has_a_narrow_space_beside_it(
    real: ImageSet, num_features: int, num_images: int, dimensions: list[int]
) -> None:
    network = build_network(EncoderShape(32, 8, (8, num_features), (1, 1)), ["mass"])
    encoder = ReferenceEncoder(network, 32, {"mass": Calibration()}, "tiny@0")
    spaces = encoder_spaces(encoder, real.take(range(num_images)))
    assert [space.extractor.dimension for space in spaces] == dimensions
    assert [space.extractor(real.images[:2]).shape[1] for space in spaces] == dimensions


def test_every_pretrained_space_is_there_or_says_why_not() -> None:
    found, missing = pretrained_extractors()
    assert len(found) + len(missing) == len(LOADERS)
    for reason in missing.values():
        assert "cannot be used here" in reason or "not on this machine" in reason


def test_weights_that_hold_a_program_are_never_run(tmp_path: Path) -> None:
    class Program:
        def __reduce__(self):
            return (tmp_path.joinpath("harm").mkdir, ())

    path = tmp_path / "weights.pt"
    path.write_bytes(pickle.dumps(Program(), protocol=2))
    with pytest.raises(StudioError, match="more than tensors"):
        checked_weights(path)
    assert not (tmp_path / "harm").exists()
    with pytest.raises(StudioError, match="nothing is downloaded"):
        checked_weights(tmp_path / "none.pt")
