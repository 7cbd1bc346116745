"""The map of a dataset, and the statistics of its images, on the films that ship."""

from pathlib import Path

import numpy as np
import pytest

from xray_generator.dashboards.dataset_images import SIZE, measure_image, measure_rows, stretched
from xray_generator.dashboards.embedding import METHODS, Features, allows_tsne, embed, extract
from xray_generator.dashboards.embedding import SIZE as FEATURES_SIZE
from xray_generator.data.read import read_dataset
from xray_generator.data.rows import Row
from xray_generator.evaluation.image_quality import STATISTICS
from xray_generator.evaluation.radiomics import NAMES
from xray_generator.images import encode_png, resize_square
from xray_generator.reference_encoder.model import load_reference_encoder
from xray_generator.train_encoder import main
from xray_generator.types import StudioError

TINY = (
    "--num_threads",
    "1",
    "shape.image_size=32",
    "shape.channels=[8,16]",
    "shape.blocks=[1,1]",
    "shape.stem_channels=8",
    "training.batch_size=8",
    "training.num_steps=2",
    "training.checkpoint_every=2",
)


@pytest.fixture(scope="module")
def rows(dataset_folder: Path) -> tuple[Row, ...]:
    return read_dataset(dataset_folder).rows[::5]


@pytest.fixture(scope="module")
def features(rows: tuple[Row, ...]) -> Features:
    return extract(rows, Path("no/encoders"))


def test_without_an_encoder_the_space_is_radiomics_in_units_of_the_images(features: Features) -> None:
    assert features.space == "radiomics 1"
    assert features.values.shape == (40, len(NAMES))
    np.testing.assert_allclose(features.values.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(features.values.std(axis=0), 1, atol=1e-9)


def test_principal_components_are_those_of_the_covariance(features: Features) -> None:
    found = embed(features, "PCA")
    covariance = np.cov(features.values.T, bias=True)
    values = np.linalg.eigvalsh(covariance)[::-1]
    np.testing.assert_allclose(found.points.var(axis=0), values[:2], rtol=1e-6)
    assert found.axes[0] == f"component 1 ({values[0] / values.sum():.0%} of variance)"
    mirrored = Features(features.rows, features.values[::-1], features.space)
    np.testing.assert_allclose(embed(mirrored, "PCA").points[::-1], found.points, atol=1e-6)


def test_t_sne_keeps_neighbors_together_and_comes_again() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(0, 1, (30, 10)), rng.normal(30, 1, (30, 10))])
    features = Features((), values, "two groups")
    many = Features(tuple(Row(Path(str(i)), "", ()) for i in range(60)), values, "two groups")
    with pytest.raises(StudioError, match="t-SNE takes 30 to 2,000 images, not 0"):
        embed(features, "t-SNE")
    points = embed(many, "t-SNE").points
    first, second = points[:30], points[30:]
    gap = np.linalg.norm(first.mean(axis=0) - second.mean(axis=0))
    assert gap > 2 * max(first.std(), second.std())
    np.testing.assert_array_equal(points, embed(many, "t-SNE").points)


def test_an_unreadable_image_is_left_out_by_name(rows: tuple[Row, ...], tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"x")
    found = extract((*rows[:3], Row(bad, "", ())), tmp_path)
    assert len(found.rows) == len(found.values) == 3
    assert found.skipped[0].startswith("bad.png: ")
    assert np.isfinite(embed(found, "PCA").points).all()
    with pytest.raises(StudioError, match="3 readable images or more, not 2"):
        extract(rows[:2], tmp_path)


def test_equal_images_fall_on_one_point(rows: tuple[Row, ...]) -> None:
    points = embed(extract(rows[:1] * 4, Path("no")), "PCA").points
    assert np.ptp(points) == pytest.approx(0, abs=1e-9)


def test_with_an_encoder_the_space_is_its_features_and_its_name(
    rows: tuple[Row, ...], dataset_folder: Path, tmp_path: Path
) -> None:
    assert main(["--dataset_path", str(dataset_folder), "--output_dir", str(tmp_path), "--quick_test", *TINY]) == 0
    (folder,) = (tmp_path / "encoders").iterdir()
    encoder = load_reference_encoder(folder, "cpu")
    found = extract(rows[:4], tmp_path / "encoders")
    stack = np.stack([resize_square(row.image(), FEATURES_SIZE) for row in rows[:4]])
    assert found.space == encoder.name
    assert found.notes == ()
    np.testing.assert_allclose(found.values, encoder(stack), atol=1e-4)


def test_a_damaged_encoder_is_named_and_radiomics_used(rows: tuple[Row, ...], tmp_path: Path) -> None:
    (tmp_path / "classifier").mkdir()
    (tmp_path / "classifier" / "manifest.json").write_text("{}")
    found = extract(rows[:4], tmp_path)
    assert found.space == "radiomics 1"
    assert found.notes[0].startswith("The reference encoder cannot be used.")


def test_methods(features: Features) -> None:
    assert METHODS == ("PCA", "t-SNE")
    assert [allows_tsne(n) for n in (29, 30, 2_000, 2_001)] == [False, True, True, False]
    with pytest.raises(StudioError, match="by PCA or t-SNE, not 'UMAP'"):
        embed(features, "UMAP")


def test_statistics_mean_and_deviation_are_those_of_the_stack(rows: tuple[Row, ...], tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"x")
    found = measure_rows((*rows[:6], Row(bad, "", ())))
    stack = np.stack([resize_square(row.image(), SIZE) for row in rows[:6]])
    np.testing.assert_allclose(found.mean, stack.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(found.deviation, stack.std(axis=0), atol=1e-4)
    assert found.rows == rows[:6]
    assert found.skipped[0].startswith("bad.png")
    for name, values in found.values.items():
        np.testing.assert_allclose(values, [STATISTICS[name](image) for image in stack])
        assert [m.value for m in measure_image(rows[0].image()) if m.measure == name] == [values[0]]
    with pytest.raises(StudioError, match="None of 1 images can be read"):
        measure_rows((Row(bad, "", ()),))


def test_a_stretched_image_spans_the_gray_scale(tmp_path: Path) -> None:
    ramp = np.linspace(0.2, 0.4, 256, dtype=np.float32).reshape(16, 16)
    assert (float(stretched(ramp).min()), float(stretched(ramp).max())) == (0.0, pytest.approx(1.0))
    assert encode_png(stretched(np.full((16, 16), 0.3, np.float32)))
